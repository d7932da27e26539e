"""Guards that no schedule can lean on: each has a test of its own that notices, and a reason."""

from scripts.soak.mutants import LANE, SPENT, Mutant
from scripts.soak.mutants_worlds import PREFLIGHT, SQLITE

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
)
