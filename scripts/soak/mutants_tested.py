"""Guards that no schedule can lean on: each has a test of its own that notices, and a reason."""

from scripts.soak.mutants import LANE, Mutant
from scripts.soak.mutants_worlds import PREFLIGHT

DELEGATION = "tx/delegation.py"

TESTED: tuple[Mutant, ...] = (
    # The next check refuses them too: what is lost is the word that says what to do instead.
    Mutant(
        "blobs are refused",
        PREFLIGHT,
        "    if request.type == _BLOB:\n",
        "    if False:\n",
        "tests/tx/test_preflight.py",
    ),
    # A refusal for good on its way while a cancellation cannot be signed: one life in some hundred.
    Mutant(
        "an author's cancellation has no other reason",
        LANE,
        "        elif job.cancelling:\n            draft.put(dead)\n",
        "",
        "tests/tx/test_lane_stuck.py",
    ),
    # A gap whose filling is refused in a market that stands still: one life in a hundred.
    Mutant(
        "a gap is filled by other bytes where some were refused",
        LANE,
        "            draft.update(fill_floor=above(attempt.signed.unsigned, draft.state.block))\n",
        "            pass\n",
        "tests/tx/test_lane_stuck.py",
    ),
    # No simulated author delegates an account of its own: who signed for whom is a matter of bytes.
    Mutant(
        "nothing follows a delegation of the account itself",
        DELEGATION,
        "    return any(granted(one.signed.unsigned, lane) for one in job.tries)\n",
        "    return False\n",
        "tests/tx/test_delegation.py",
    ),
    Mutant(
        "a delegation that was replaced may still be mined",
        DELEGATION,
        "any(granted(one.signed.unsigned, lane) for one in job.tries)",
        "bool(granted(job.last.signed.unsigned, lane))",
        "tests/tx/test_delegation.py",
    ),
    Mutant(
        "an authorization of a spent nonce spends none",
        DELEGATION,
        "        if grant.nonce > unsigned.nonce\n        and",
        "        if",
        "tests/tx/test_delegation.py",
    ),
    Mutant(
        "an account of ours that is busy is not delegated by another",
        DELEGATION,
        "        return busy if nonce >= state.nonce else 0\n",
        "        return 0\n",
        "tests/tx/test_delegation.py",
    ),
    Mutant(
        "an account that is being delegated sends nothing",
        DELEGATION,
        "return nonce >= state.nonce and not seen",
        "return False",
        "tests/tx/test_delegation.py",
    ),
)
