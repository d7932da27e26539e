"""Guards of replay, of restarts and of the order of things."""

from scripts.soak.mutants import Mutant

F10 = "property:f10_crash"
F13 = "property:f13_replay"
MILESTONES = "tests/orchestrator/audit/test_milestones.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "nothing is decided on top of a block that is not journalled",
        "orchestrator/runtime.py",
        "        self._is_torn = True\n",
        "",
        "tests/orchestrator/test_runtime.py",
    ),
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
    Mutant(
        "what is decided is durable before it is sent",
        "orchestrator/runtime.py",
        "        await self._session.journal.commit()\n        try:\n",
        "        try:\n",
        F10,
    ),
    Mutant(
        "what became of an earlier life's plans is asked",
        "orchestrator/runtime.py",
        "        self._outbox.resume(self._core.plans_underway, told=told)\n",
        "",
        F10,
    ),
    Mutant(
        "a fold begins with the checkpoint",
        "orchestrator/audit/recovery.py",
        "            self._core.restore(start)\n",
        "",
        F10,
    ),
    Mutant(
        "capital of plans underway is held over a restart",
        "orchestrator/core.py",
        "        self.ledger.resume(memory.ledger)\n",
        "",
        F10,
    ),
    Mutant(
        "which plans are underway is known after a restart",
        "orchestrator/core.py",
        "        self._open = dict(memory.underway)\n",
        "",
        F10,
    ),
    Mutant(
        "readings outlive a restart",
        "orchestrator/core.py",
        "        self._board = Blackboard.remembered(memory.board)\n",
        "",
        F10,
    ),
    Mutant(
        "a checkpoint is held against what was folded",
        "orchestrator/audit/replay.py",
        "return None if encoded(known.data) == entry.data else ",
        "return None if known else ",
        "tests/orchestrator/audit/test_checkpoints.py",
    ),
    Mutant(
        "a milestone is held against what was folded, and tells of orders that wait",
        "orchestrator/audit/milestones.py",
        "            memory = _replace(core.memory(), ordered=waiting)\n",
        "            memory = core.memory()\n",
        MILESTONES,
    ),
    Mutant(
        "a milestone goes on from the one before",
        "orchestrator/audit/milestones.py",
        "        if moved.since != seq:\n",
        "        if moved.since > number:\n",
        MILESTONES,
    ),
    Mutant(
        "what is behind a milestone is folded",
        "orchestrator/audit/recovery.py",
        "        journal.entries(*KINDS, after=0 if start is None else start.seq)\n",
        "        journal.entries(*KINDS) if start is None else ()\n",
        MILESTONES,
    ),
    Mutant(
        "a window loses at its front what is gone",
        "orchestrator/audit/splices.py",
        "        return [*window[self.start : self.stop], *self.added]\n",
        "        return [*window[: self.stop], *self.added]\n",
        MILESTONES,
    ),
    Mutant(
        "a plan is found by its own calldata only",
        "execution/lookup.py",
        'carried = _carried(str(tx["input"]).lower(), plans, executor)',
        "carried = tuple(plans[:1])",
        "tests/execution/test_lookup.py",
    ),
)
