"""Guards that no schedule can lean on: each has a test of its own that notices, and a reason."""

from scripts.soak.mutants import LANE, OBSERVER, RUNNER, SPENT, Mutant
from scripts.soak.mutants_worlds import PREFLIGHT, SQLITE

DELEGATION = "tx/delegation.py"
FOLLOWERS = "tx/followers.py"
HANDLE = "tx/handle.py"
SCHEDULER = "tx/scheduler.py"

TESTED: tuple[Mutant, ...] = (
    # Only power that fails shows it: the test counts what was synced before an answer.
    Mutant(
        "a write is on the disk before it counts",
        SQLITE,
        '        database.execute("PRAGMA synchronous=FULL")\n',
        '        database.execute("PRAGMA synchronous=OFF")\n',
        "tests/journal/test_fsync.py",
    ),
    # The next check refuses them too: what is lost is the word that says what to do instead.
    Mutant(
        "blobs are refused",
        PREFLIGHT,
        "    if request.type == _BLOB:\n",
        "    if False:\n",
        "tests/tx/test_preflight.py",
    ),
    # What is told in vain is taken back when the node speaks again: no truth is lost in between.
    Mutant(
        "silence takes no end back",
        SPENT,
        "        if told and job.lost:\n",
        "        if False:\n",
        "tests/tx/test_lane_silence.py",
    ),
    # A second reorg soon after one that moved what was final: two lives in five hundred.
    Mutant(
        "a stranger who is final stays so in a newer block",
        SPENT,
        "_marked(draft, job, seen_block) if again else job, spender)",
        "job, spender)",
        "tests/tx/test_lane_spent.py",
    ),
    Mutant(
        "what is named again after a silence is still final",
        SPENT,
        '        return draft.put(job, final="", final_block=0)\n    return job\n',
        '    return draft.put(job, final="", final_block=0)\n',
        "tests/tx/test_lane_silence.py",
    ),
    # Counts asked for in step with a balancer's turns, at six heads: one life in five hundred.
    Mutant(
        "a count that stays low is looked at again before it is believed",
        OBSERVER,
        "matters = reorged or state.fallen + 1 >= FALLEN_PATIENCE_HEADS",
        "matters = reorged",
        "tests/tx/test_observer.py",
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
        "            if busy and nonce >= state.nonce:\n",
        "            if False:\n",
        "tests/tx/test_delegation.py",
    ),
    Mutant(
        "an account that is being delegated sends nothing",
        DELEGATION,
        "return nonce >= state.nonce and not seen",
        "return False",
        "tests/tx/test_delegation.py",
    ),
    # Calls that overlap while a signer takes its time: each would take the other's turn.
    Mutant(
        "followers are let go one call at a time",
        FOLLOWERS,
        "            async with self._releasing:\n                sent",
        "            if True:\n                sent",
        "tests/tx/test_followers.py",
    ),
    # A crash between an end and its write is simulated; that nobody heard of that end is not.
    Mutant(
        "a state is told when its end is durable",
        HANDLE,
        "        if self._journal.is_durable(self._seq):\n            self._before = None\n",
        "        if True:\n            self._before = None\n",
        "tests/tx/test_told_ends.py",
    ),
    Mutant(
        "an end is logged when it is durable",
        RUNNER,
        "        self._journal.when_durable(seq, tell)\n",
        "        tell()\n",
        "tests/tx/test_told_ends.py",
    ),
    Mutant(
        "an end is counted when it is durable",
        SCHEDULER,
        "        self._journal.when_durable(seq, partial(self._counts.update, told))\n",
        "        self._counts.update(told)\n",
        "tests/tx/test_told_ends.py",
    ),
)
