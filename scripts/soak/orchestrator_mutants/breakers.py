"""Guards of breakers, of people's orders and of the socket they come through."""

from scripts.soak.mutants import Mutant

F08 = "property:f08_breakers"
GAUGES = "orchestrator/breaking/gauges.py"
BREAKERS = "orchestrator/breaking/breakers.py"
CORE = "orchestrator/core.py"
ORDERS = "orchestrator/breaking/orders.py"
CONTROL = "orchestrator/breaking/control.py"
OWN = "tests/orchestrator/breaking/test_breakers.py"
HALTING = "tests/orchestrator/test_halt.py"
SOCKET = "tests/orchestrator/breaking/test_control.py"
FACTS = "tests/orchestrator/breaking/test_facts.py"

MUTANTS: tuple[Mutant, ...] = (
    *(
        Mutant(
            f"there is a breaker of {hazard}",
            GAUGES,
            f"            (Hazard.{hazard.upper()}, self._{hazard}(facts)),\n",
            "",
            F08,
        )
        for hazard in ("drawdown", "oracle", "gas", "reorg", "messages", "clock")
    ),
    Mutant(
        "there is a breaker of simulation",
        GAUGES,
        "            (Hazard.SIMULATION, self._simulation(facts.settled)),\n",
        "",
        F08,
    ),
    Mutant(
        "there is a breaker of agents",
        GAUGES,
        "        if len(news) >= MIN_DEAD and ",
        "        if not news and ",
        F08,
    ),
    Mutant(
        "a person's halt halts",
        CORE,
        "            return self.breakers.halt(command.why, block=block)\n",
        "            return ()\n",
        F08,
    ),
    Mutant(
        "what has just been learned of agents binds this block already",
        CORE,
        "        if changed:  # what has just been learned binds this block already\n",
        "        if False:\n",
        F08,
    ),
    Mutant(
        "an open breaker reduces",
        BREAKERS,
        "        return TradingState.REDUCING\n",
        "        return TradingState.ACTIVE\n",
        F08,
    ),
    Mutant(
        "some breakers halt",
        BREAKERS,
        "        if opened.intersection(self._limits.halting):\n",
        "        if False:\n",
        F08,
    ),
    Mutant(
        "a probe is as large as declared",
        BREAKERS,
        "        return self._limits.probe_wei\n",
        "        return self._limits.probe_wei * 2\n",
        F08,
    ),
    Mutant(
        "half-open comes after calm",
        BREAKERS,
        "            calm = self._block - one.seen_block >= self._limits.cooldown_blocks\n",
        "            calm = True\n",
        F08,
    ),
    Mutant(
        "some breakers wait for a person",
        BREAKERS,
        "and one.hazard not in self._limits.manual:",
        "and one.hazard is not None:",
        F08,
    ),
    Mutant(
        "probes close",
        BREAKERS,
        "            if one.landed + landed >= self._limits.probes:\n",
        "            if False:\n",
        F08,
    ),
    Mutant(
        "one probe at a time",
        BREAKERS,
        " or self._probing:\n",
        ":\n",
        OWN,
    ),
    Mutant(
        "a probe among evidence proves nothing",
        BREAKERS,
        "        if not landed or found:\n",
        "        if not landed:\n",
        OWN,
    ),
    Mutant(
        "a reset measures from there on",
        BREAKERS,
        "            self._gauges.forget(hazard)\n",
        "",
        OWN,
    ),
    Mutant(
        "breakers outlive the process",
        CORE,
        "        self.breakers.resume(memory.breakers)\n",
        "",
        HALTING,
    ),
    Mutant(
        "who is paused by a person stays so over a restart",
        CORE,
        "        self._stopped = dict(memory.stopped)\n",
        "",
        HALTING,
    ),
    Mutant(
        "an order that no block was decided with outlives the process",
        "orchestrator/runtime.py",
        "            self._orders.again(earlier.ordered)\n",
        "",
        HALTING,
    ),
    Mutant(
        "a replay carries such an order on",
        "orchestrator/audit/replay.py",
        "        self._inputs = [one for one in self._inputs if isinstance(one, Command)]\n",
        "        self._inputs = []\n",
        HALTING,
    ),
    Mutant(
        "a halt keeps back what is not sent yet",
        "orchestrator/runtime.py",
        "        if not self._orders.halts and plan.target_block > newest:\n",
        "        if plan.target_block > newest:\n",
        HALTING,
    ),
    Mutant(
        "nobody else may connect",
        CONTROL,
        "    before = os.umask(0o177)\n",
        "    before = os.umask(0o022)\n",
        SOCKET,
    ),
    Mutant(
        "one that lives keeps its socket",
        CONTROL,
        '    raise ConfigError(f"another orchestrator listens at {path}: stop it first")\n',
        "    path.unlink()\n",
        SOCKET,
    ),
    Mutant(
        "a gift without a price changes nothing",
        "orchestrator/breaking/facts.py",
        "        elif change < 0 or (change > 0 and _has_source(market, token)):\n",
        "        else:\n",
        FACTS,
    ),
    Mutant(
        "worth is measured by fresh prices only",
        "orchestrator/breaking/facts.py",
        "if block - one.block_number > one.max_age_blocks]",
        "if False]",
        FACTS,
    ),
    Mutant(
        "a deposit is nobody's gain",
        CORE,
        "            expected=self.ledger.expected(),\n",
        "",
        HALTING,
    ),
)
