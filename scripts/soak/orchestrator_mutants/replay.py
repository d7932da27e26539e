"""Guards of replay and of the order of things."""

from scripts.soak.mutants import Mutant

F13 = "property:f13_replay"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "every record is compared",
        "orchestrator/audit/replay.py",
        "        if (entry.kind, entry.data) != (expected.kind, encoded(expected.data)):\n",
        "        if entry.kind != expected.kind:\n",
        F13,
    ),
    Mutant(
        "whoever decides first is blamed",
        "orchestrator/audit/replay.py",
        "            agent=min(sides)[1],\n",
        "            agent=max(self._recorded, default=''),\n",
        F13,
    ),
)
