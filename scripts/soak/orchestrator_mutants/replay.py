"""Guards of replay, of restarts and of the order of things."""

from scripts.soak.mutants import Mutant

F10 = "property:f10_crash"
F13 = "property:f13_replay"
MILESTONES = "tests/orchestrator/audit/test_milestones.py"
UNDERSTUDY = "orchestrator/understudy.py"
OF_UNDERSTUDY = "tests/orchestrator/test_understudy.py"

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
    Mutant(
        "a look that is answered at once waits for no rehearsal",
        UNDERSTUDY,
        "            if not task.done() or len(self._due) >= MOST_DUE:\n",
        "            if True:\n",
        OF_UNDERSTUDY,
    ),
    Mutant(
        "what waits to be rehearsed is bounded",
        UNDERSTUDY,
        "            if not task.done() or len(self._due) >= MOST_DUE:\n",
        "            if not task.done():\n",
        OF_UNDERSTUDY,
    ),
    Mutant(
        "a block is rehearsed once",
        UNDERSTUDY,
        "        due, self._due = self._due, []\n",
        "        due = list(self._due)\n",
        OF_UNDERSTUDY,
    ),
    Mutant(
        "no look goes on behind who asked for it",
        UNDERSTUDY,
        "            if task.cancel():  # this was cancelled; else it has ended\n",
        "            if False:\n",
        OF_UNDERSTUDY,
    ),
    Mutant(
        "no search for garbage comes between a block and its plans",
        "orchestrator/runtime.py",
        "        with uncollected():\n            return await self._act(seen)\n",
        "        return await self._act(seen)\n",
        "tests/orchestrator/test_runtime.py",
    ),
    Mutant(
        "who wants no search for garbage gets none",
        "orchestrator/collecting.py",
        "        if was_on:\n            gc.enable()\n",
        "        gc.enable()\n",
        "tests/orchestrator/test_collecting.py",
    ),
)
