"""Guards of what is perceived: age, origin, doubt, and what no agent can leave out."""

from scripts.soak.mutants import Mutant

F02 = "property:f02_state_drift"
F11 = "property:f11_backpressure"
F12 = "property:f12_adversarial_perception"
AGENT = "reasoning/agent.py"
BUS = "orchestrator/board/bus.py"
BOARD = "orchestrator/board/blackboard.py"
INTAKE = "orchestrator/board/intake.py"
RUNTIME = "orchestrator/runtime.py"
DOUBTS = "orchestrator/board/doubts.py"
FRESHNESS = "orchestrator/board/freshness.py"
ORIGINS = "orchestrator/board/origins.py"
PROVENANCE = "model/provenance.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "what is too old is refused",
        FRESHNESS,
        "        if age > reading.max_age_blocks:\n",
        "        if age > 10 * reading.max_age_blocks + 10:\n",
        F02,
    ),
    Mutant(
        "what its sources dispute is refused",
        FRESHNESS,
        "    if doubtful := _doubt(candidate, context):\n",
        "    if doubtful := '':\n",
        F02,
    ),
    Mutant(
        "a copy of the readings notes what is looked up",
        AGENT,
        'readings behind their notes."""\n        return self\n',
        'readings behind their notes."""\n        return Noted(self._readings)\n',
        F02,
    ),
    Mutant(
        "a deep copy of the readings notes what is looked up",
        AGENT,
        '        """Stay what it is; the readings are immutable."""\n        return self\n',
        "        return Noted(self._readings)\n",
        F02,
    ),
    Mutant(
        "whoever pickles the readings has looked at them",
        AGENT,
        "        self._touched.update(self._readings)\n",
        "",
        F02,
    ),
    Mutant(
        "who names nothing rests on everything",
        ORIGINS,
        "        touched = set(readings)\n",
        "        pass\n",
        F02,
    ),
    Mutant(
        "an intent keeps what it declares beside what was looked up",
        ORIGINS,
        "    return tuple(sorted(touched.union(*declared)))\n",
        "    return tuple(sorted(set().union(*declared) or touched))\n",
        F02,
    ),
    Mutant(
        "an exchange rests on the price it is measured by",
        ORIGINS,
        "        if leg.token_in != leg.token_out:\n",
        "        if leg.token_in == leg.token_out:\n",
        F12,
    ),
    Mutant(
        "the earliest deadline is inherited",
        PROVENANCE,
        "        deadline_block=min(deadlines),\n",
        "        deadline_block=max(deadlines),\n",
        F02,
    ),
    Mutant(
        "every origin is inherited",
        PROVENANCE,
        "[one.origins for one in parents if one.origins]",
        "[one.origins for one in parents[:2] if one.origins]",
        F02,
    ),
    Mutant(
        "a reorg takes readings back",
        BOARD,
        "if reading.block_hash not in gone]",
        "if reading.key]",
        F02,
    ),
    Mutant(
        "what comes late from a reverted block is passed over",
        BOARD,
        "            if reading.block_hash in self._orphans:\n",
        "            if False:\n",
        F02,
    ),
    Mutant(
        "what a newer reading has overtaken is passed over",
        BOARD,
        "            elif series and series[-1].block_number > reading.block_number:\n",
        "            elif False:\n",
        F02,
    ),
    Mutant(
        "a feed that stands still while others move is found",
        DOUBTS,
        "        if len(moved) >= WITNESSES:\n",
        "        if False:\n",
        F02,
    ),
    Mutant(
        "it is found within five updates",
        DOUBTS,
        "    recent = own[-updates - 1 :]\n",
        "    recent = own[-updates - 2 :]\n    updates += 1\n",
        F02,
    ),
    Mutant(
        "one source alone is held to its own past",
        DOUBTS,
        "    if moved <= rule.max_deviation_bps:\n",
        "    if moved:\n",
        F12,
    ),
    Mutant(
        "a source needs a majority",
        DOUBTS,
        "        if agreeing * 2 <= len(said):\n",
        "        if agreeing * 2 < len(said) - 1:\n",
        F12,
    ),
    Mutant(
        "a price without a rule has the default",
        DOUBTS,
        "    return (*rules, *(FactRule(key=key) for key in sorted(set(keys) - spoken)))\n",
        "    return tuple(rules)\n",
        F12,
    ),
    Mutant(
        "the text for people orders nothing",
        "orchestrator/deciding/arbitration.py",
        '    bare = msgspec.structs.replace(candidate.intent, reason="")\n',
        "    bare = msgspec.structs.replace(candidate.intent, agent=candidate.intent.reason)\n",
        F12,
    ),
    Mutant(
        "a full queue refuses",
        BUS,
        "            if not one.has_room(key):\n",
        "            if not one.has_room(key) and key == 'a':\n",
        F11,
    ),
    Mutant(
        "a state that waits makes room for its newer one",
        BUS,
        "        older = self._states.pop(message.key, None)\n",
        "        older = self._states.get(message.key)\n",
        F11,
    ),
    Mutant(
        "what stands in a newer state is counted",
        BUS,
        "            self._conflated += 1\n",
        "",
        F11,
    ),
    Mutant(
        "money is never conflated",
        BUS,
        "        if self._topic.delivery is not Delivery.STATE:\n",
        "        if self._topic.delivery is Delivery.COMMAND:\n",
        F11,
    ),
    Mutant(
        "a failed look forgets no head",
        RUNTIME,
        "            self._intake.again(change)\n",
        "            pass\n",
        F11,
    ),
    Mutant(
        "an outcome waits until it is journalled",
        RUNTIME,
        "            self._learn(await self._outbox.settle(change))\n",
        "            learned = await self._outbox.settle(change)\n",
        F11,
    ),
    Mutant(
        "a newer change of heads does not hide an older one",
        INTAKE,
        "capacity=1, merge=both)",
        "capacity=1)",
        "tests/orchestrator/board/test_intake.py",
    ),
    Mutant(
        "an outcome whose block is gone is taken back",
        "orchestrator/core.py",
        "        self._undo(now.seen.reverted, now)\n",
        "",
        "tests/orchestrator/board/test_intake.py",
    ),
)
