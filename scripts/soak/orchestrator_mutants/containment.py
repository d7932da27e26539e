"""Guards of containment: what keeps one agent's misfortune its own."""

from scripts.soak.mutants import Mutant

F04 = "property:f04_cascade"
F05 = "property:f05_latency"
HOSTING = "tests/orchestrator/hosting/test_hosting.py"
CONTAINMENT = "tests/orchestrator/hosting/test_containment.py"
WIRE = "tests/orchestrator/hosting/test_wire.py"
FUZZ = "tests/testing/test_fuzz.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "an agent that never answers is given up",
        "orchestrator/hosting/containment.py",
        "            if count >= LOST_IN_A_ROW\n",
        "            if count >= LOST_IN_A_ROW + 10**9\n",
        F04,
    ),
    Mutant(
        "who relies on a failed agent stops",
        "orchestrator/hosting/containment.py",
        "        return fallen_back(self._dependences, {**self._lost, **quarantined})\n",
        "        return {}\n",
        F04,
    ),
    Mutant(
        "a lost answer is a failure to those that rely on it",
        "orchestrator/hosting/containment.py",
        "{**self._lost, **quarantined})",
        "quarantined)",
        F04,
    ),
    Mutant(
        "who declared to go on alone does",
        "orchestrator/hosting/containment.py",
        'one.on != name or one.fallback != "stop" or',
        "one.on != name or",
        F04,
    ),
    Mutant(
        "dependents stop in the block of the failure",
        "orchestrator/core.py",
        "self._bury(thoughts, now) or self._contained.needs(arbitration.defects)",
        "self._bury(thoughts, now)",
        F04,
    ),
    Mutant(
        "what an agent raises is its own failure",
        "orchestrator/hosting/asking.py",
        "        return _answer(view, failure=told(error))\n",
        "        raise error\n",
        F04,
    ),
    Mutant(
        "every agent has a view of its own",
        "orchestrator/hosting/asking.py",
        "        tokens=dict(snapshot.tokens),\n        pools=dict(snapshot.pools),\n",
        "        tokens=snapshot.tokens,\n        pools=snapshot.pools,\n",
        F04,
    ),
    Mutant(
        "balances in a view are a copy",
        "orchestrator/hosting/asking.py",
        "        balances=dict(balances),\n",
        "        balances=balances,\n",
        F04,
    ),
    Mutant(
        "a number of thousands of digits is not printed",
        "orchestrator/deciding/validation.py",
        "    if type(value) is int and not -MAX_SHOWN < value < MAX_SHOWN:\n",
        "    if False:\n",
        F04,
    ),
    Mutant(
        "what a newer block overtook is not sent",
        "orchestrator/runtime.py",
        "        if not self._orders.halts and plan.target_block > newest:\n",
        "        if not self._orders.halts:\n",
        F05,
    ),
    Mutant(
        "a lost answer is journalled",
        "orchestrator/runtime.py",
        "        self._writer.write(whole, decision)\n",
        "        self._writer.write(inputs, decision)\n",
        F05,
    ),
    Mutant(
        "a lost answer proposes nothing",
        "orchestrator/core.py",
        "            if not thought.lost\n",
        "",
        CONTAINMENT,
    ),
    Mutant(
        "what was lost before a restart counts",
        "orchestrator/hosting/containment.py",
        "        self._silent = dict(memory.silent)\n",
        "",
        CONTAINMENT,
    ),
    Mutant(
        "a cycle of dependences is refused",
        "orchestrator/hosting/containment.py",
        "        if path := _cycle(name, relies_on):\n",
        "        if path := []:\n",
        CONTAINMENT,
    ),
    Mutant(
        "an agent that looks everything up is told so",
        "orchestrator/hosting/asking.py",
        "    if len(touched) > MAX_TOUCHED or text > MAX_TOUCHED_TEXT:\n",
        "    if False:\n",
        CONTAINMENT,
    ),
    Mutant(
        "an intent is no larger than its record",
        "orchestrator/deciding/validation.py",
        "    if len(record) > MAX_RECORD_BYTES:\n",
        "    if False:\n",
        CONTAINMENT,
    ),
    Mutant(
        "an agent's method is no coroutine",
        "orchestrator/hosting/roster.py",
        "inspect.iscoroutinefunction(on_block) or inspect.isasyncgenfunction(on_block)",
        "False",
        CONTAINMENT,
    ),
    Mutant(
        "a late process is ended",
        "orchestrator/hosting/processes.py",
        "        except TimeoutError:\n            await self._anew()\n",
        "        except TimeoutError:\n",
        HOSTING,
    ),
    Mutant(
        "a process that cannot be started is one agent's misfortune",
        "orchestrator/hosting/processes.py",
        '        except OSError as error:\n            raise ConfigError(f"{self._name}: no',
        '        except ZeroDivisionError as error:\n            raise ConfigError(f"{self._name}:',
        HOSTING,
    ),
    Mutant(
        "a start that fails leaves nothing running",
        "orchestrator/runtime.py",
        "            await self._doors.aclose()  # who cannot start leaves nothing running\n",
        "",
        HOSTING,
    ),
    Mutant(
        "who is out already gets no process",
        "orchestrator/runtime.py",
        "        for name in self._core.quarantined:\n            await self._host.dismiss(name)\n",
        "",
        HOSTING,
    ),
    Mutant(
        "a process ends with its parent",
        "orchestrator/hosting/worker.py",
        "    _die_with(leash)\n",
        "",
        HOSTING,
    ),
    Mutant(
        "the kernel ends a process whose interpreter is held",
        "orchestrator/hosting/worker.py",
        '    if sys.platform == "linux":\n',
        "    if False:\n",
        HOSTING,
    ),
    Mutant(
        "a process has bounded memory",
        "orchestrator/hosting/worker.py",
        "    resource.setrlimit(resource.RLIMIT_AS, (used + more, used + more))\n",
        "",
        HOSTING,
    ),
    Mutant(
        "a late thread is told to stop",
        "orchestrator/hosting/threads.py",
        "        self._busy, self._busy_with = thread, question.view.block.number\n"
        "        interrupt(thread)\n",
        "        self._busy, self._busy_with = thread, question.view.block.number\n",
        HOSTING,
    ),
    Mutant(
        "a busy thread's agent is not asked again",
        "orchestrator/hosting/threads.py",
        "        if self._busy is not None and self._busy.is_alive():\n",
        "        if False:\n",
        HOSTING,
    ),
    Mutant(
        "an inline answer that took too long is not used",
        "orchestrator/hosting/hosting.py",
        "        if taken > self._seconds:\n",
        "        if False:\n",
        HOSTING,
    ),
    Mutant(
        "a cancelled question's answer is not the next one's",
        "orchestrator/hosting/processes.py",
        "            await self.stop()  # its answer, when it comes, would be taken for the next "
        "one's\n",
        "",
        HOSTING,
    ),
    Mutant(
        "what an agent prints is no output",
        "orchestrator/hosting/worker.py",
        "    os.dup2(2, 1)",
        "    os.dup2(1, 1)",
        HOSTING,
    ),
    Mutant(
        "a view arrives in its order",
        "orchestrator/hosting/wire.py",
        "            order=None if now.order == before.order else now.order,\n",
        "            order=now.order if before is _NOTHING else None,\n",
        WIRE,
    ),
    Mutant(
        "a reverted reading is cut from what was sent",
        "orchestrator/hosting/wire.py",
        "        if old != new:\n            break\n",
        "",
        WIRE,
    ),
    Mutant(
        "an answer is no longer than it can be",
        "orchestrator/hosting/wire.py",
        "    if size > MAX_ANSWER:\n",
        "    if False:\n",
        WIRE,
    ),
    *(
        Mutant(
            f"fuzz looks at {what}",
            "testing/probes.py",
            guard,
            instead,
            FUZZ,
        )
        for what, guard, instead in (
            (
                "the view afterwards",
                "        if fingerprint(question.view) != before:\n",
                "        if False:\n",
            ),
            (
                "deadlines",
                "        if intent.valid_for_blocks > max(good_for, 1):\n",
                "        if False:\n",
            ),
            ("memory", "    if least < LEAK_BYTES:\n", "    if True:\n"),
            (
                "floats",
                "    if isinstance(intent, Intent) and _is_nan(intent):\n",
                "    if False:\n",
            ),
            ("what is remembered", "        found += _remembered(subject, scenes)\n", ""),
            (
                "reorgs",
                "            found += _reorganised(subject, scenes)\n",
                "            pass\n",
            ),
            (
                "other processes",
                "        found += _elsewhere(subject, scenes, notes)\n",
                "        pass\n",
            ),
            (
                "equal questions",
                "    found = [*_answers(subject, scenes), *_repeated(subject, scenes)]\n",
                "    found = [*_answers(subject, scenes)]\n",
            ),
            ("sizes", "    return found + _sized(subject, sizes)\n", "    return found\n"),
        )
    ),
)
