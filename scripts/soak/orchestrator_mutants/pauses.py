"""Guards of pauses: who waits, because of what, for how long, and who is left alone."""

from scripts.soak.mutants import Mutant

F09 = "property:f09_pauses"
WATCH = "orchestrator/pausing/watch.py"
PAUSES = "orchestrator/pausing/pauses.py"
REASONS = "orchestrator/pausing/reasons.py"
SIGNALS = "orchestrator/pausing/signals.py"
DECAY = "orchestrator/pausing/decay.py"
LESSONS = "orchestrator/pausing/lessons.py"
SUBTRACTION = "orchestrator/pausing/subtraction.py"
CORE = "orchestrator/core.py"
ARBITRATION = "orchestrator/deciding/arbitration.py"
OF_WATCH = "tests/orchestrator/pausing/test_watch.py"
OF_PAUSES = "tests/orchestrator/pausing/test_pauses.py"
OF_PAUSING = "tests/orchestrator/test_pausing.py"
OF_REASONS = "tests/orchestrator/pausing/test_reasons.py"
OF_SIGNALS = "tests/orchestrator/pausing/test_signals.py"
OF_DECAY = "tests/orchestrator/pausing/test_decay.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "who is paused does nothing",
        ARBITRATION,
        "    if assessment is not None and assessment.paused:\n",
        "    if False:\n",
        F09,
    ),
    Mutant(
        "a landed trade that somebody waits for is noted",
        WATCH,
        "            self._keep((*self._impacts, *news)[-MAX_IMPACTS:])\n",
        "            self._keep(self._impacts[-MAX_IMPACTS:])\n",
        F09,
    ),
    Mutant(
        "a trade counts for whoever declared its agent",
        WATCH,
        "            if impact.agent in least\n            and abs(impact.log_move) * BPS",
        "            if least\n            and abs(impact.log_move) * BPS",
        F09,
    ),
    Mutant(
        "what is subtracted does not pause",
        WATCH,
        "            impacts=self._counting(name, DELAYING),\n",
        "            impacts=self._counting(name, EFFECTS),\n",
        F09,
    ),
    Mutant(
        "own trades are taken out before a signal is scored",
        WATCH,
        "            impacts=self._counting(name, DELAYING),\n",
        "            impacts=(),\n",
        F09,
    ),
    Mutant(
        "each pause of an agent counts alone too",
        WATCH,
        "        if len(waiting) > 1:\n",
        "        if False:\n",
        OF_WATCH,
    ),
    Mutant(
        "who has no linear signal is asked twice",
        WATCH,
        "            if name not in self._signals and self._counting(name, DELAYING)\n",
        "            if False\n",
        F09,
    ),
    Mutant(
        "an answer that did not come counts as another one",
        WATCH,
        '            differs, said = 1.0, "its answer without it did not come"\n',
        '            differs, said = 0.0, "its answer without it did not come"\n',
        OF_WATCH,
    ),
    Mutant(
        "a fill told late is taken out of the past too",
        WATCH,
        "            if samples and samples[-1].block >= since_block:\n",
        "            if False:\n",
        OF_WATCH,
    ),
    Mutant(
        "a reverted fill is forgotten",
        WATCH,
        "        gone = [impact for impact in self._impacts if impact.verdict_id in verdicts]\n",
        "        gone = []\n",
        OF_WATCH,
    ),
    Mutant(
        "a feed in doubt pauses",
        WATCH,
        "    doubt = world.doubts.get(key)\n",
        "    doubt = None\n",
        OF_WATCH,
    ),
    Mutant(
        "a feed that is too old pauses",
        WATCH,
        "    if age > newest.max_age_blocks:\n",
        "    if age > newest.max_age_blocks + 1:\n",
        OF_WATCH,
    ),
    Mutant(
        "an open breaker pauses",
        WATCH,
        "        why = world.tripped.get(pause.on.name)\n",
        "        why = None\n",
        OF_WATCH,
    ),
    Mutant(
        "a fill teaches once",
        LESSONS,
        "            taught.add((impact.verdict_id, impact.agent))\n",
        "",
        OF_WATCH,
    ),
    Mutant(
        "what was learned of another filter is not taken over",
        WATCH,
        "            if theirs is not None and theirs.mark == mine.mark:\n",
        "            if theirs is not None:\n",
        OF_WATCH,
    ),
    Mutant(
        "any reason pauses",
        REASONS,
        "        paused=bool(stopping),\n",
        "        paused=len(stopping) == len(parts),\n",
        OF_REASONS,
    ),
    Mutant(
        "a pause ends with its last reason",
        REASONS,
        "max(part.until_block for part in parts)",
        "min(part.until_block for part in parts)",
        OF_REASONS,
    ),
    Mutant(
        "answers that are no intents have nothing in common",
        REASONS,
        "or type(intent.legs) is not tuple:\n            return None\n",
        "or type(intent.legs) is not tuple:\n            continue\n",
        OF_REASONS,
    ),
    Mutant(
        "a second answer is no intent",
        CORE,
        "for name, one in ordered if name == asked_agent(name)]",
        "for name, one in ordered]",
        F09,
    ),
    Mutant(
        "a discount weighs",
        CORE,
        "for one in now.assessments if one.scale < 1.0}",
        "for one in now.assessments if one.scale < 0.0}",
        OF_PAUSING,
    ),
    Mutant(
        "what is subtracted is not read",
        CORE,
        "        given = self._watch.as_given(agent.name, now.readings)\n",
        "        given = now.readings\n",
        F09,
    ),
    Mutant(
        "a cycle is refused",
        PAUSES,
        "        if path := _cycle(name, waits_for):\n",
        "        if path := []:\n",
        F09,
    ),
    Mutant(
        "only an own trade can be subtracted",
        PAUSES,
        '        if self.effect == "subtract" and not isinstance(self.on, str):\n',
        "        if False:\n",
        OF_PAUSES,
    ),
    Mutant(
        "a breaker that there is not is refused",
        PAUSES,
        "        if isinstance(pause.on, Breaker) and breakers is not None "
        "and pause.on.name not in breakers:\n",
        "        if False:\n",
        OF_PAUSES,
    ),
    Mutant(
        "a spread that an own trade has grown moves the threshold",
        SIGNALS,
        "        spread_seen=track.spread_seen if shape.remembers else clean,\n",
        "        spread_seen=clean,\n",
        OF_SIGNALS,
    ),
    Mutant(
        "a past that changed is looked at again",
        SIGNALS,
        "index + 1 if same and float(series[index].value) == last.value else None",
        "index + 1",
        OF_SIGNALS,
    ),
    Mutant(
        "a score is counted once",
        SIGNALS,
        "    if not track.seen or track.samples[-1].block <= track.counted_to:\n",
        "    if not track.seen:\n",
        OF_SIGNALS,
    ),
    Mutant(
        "the band is the fee until fills contradict it",
        DECAY,
        "        band = most_band if foot + FOOT_ERRORS * error >= most_band else max(foot, 0.0)\n",
        "        band = most_band\n",
        OF_DECAY,
    ),
    Mutant(
        "a price that stood still does not creep",
        SUBTRACTION,
        '    value = float(f"{float(reading.value) * math.exp(-own):.{DIGITS}g}")\n',
        "    value = float(reading.value) * math.exp(-own)\n",
        OF_WATCH,
    ),
)
