"""Guards of capital: nothing is promised twice, lost, made or kept, and everybody has a turn."""

from scripts.soak.mutants import Mutant

F03 = "property:f03_contention"
LEDGER = "orchestrator/capital/ledger.py"
ELSEWHERE = "orchestrator/capital/elsewhere.py"
OF_LEDGER = "tests/orchestrator/capital/test_ledger.py"
OF_ELSEWHERE = "tests/orchestrator/capital/test_elsewhere.py"
OF_CHAINS = "tests/orchestrator/test_chains.py"
OF_PROFIT = "tests/orchestrator/capital/test_profit.py"
OF_CORE = "tests/orchestrator/test_core.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "two chains do not grant the same room at once",
        "orchestrator/chains.py",
        "            one.beside(self._news(name), turn)\n",
        "            one.beside(self._news(name), asyncio.Lock())\n",
        OF_CHAINS,
    ),
    Mutant(
        "what was taken over before its outcome was told counts once",
        "orchestrator/core.py",
        "        if late or block <= self._unwatched_until:\n",
        "        if block <= self._unwatched_until:\n",
        "tests/orchestrator/audit/test_recovery.py",
    ),
    Mutant(
        "a plan lands once",
        "orchestrator/core.py",
        "        self._take_back(self.ledger.supersede(fill), now)\n",
        "",
        "tests/orchestrator/board/test_intake.py",
    ),
    Mutant(
        "a trade told again is whose it was",
        "orchestrator/core.py",
        "self._open.pop(name, None) or self._ended.pop(name, None)",
        "self._open.pop(name, None)",
        "tests/orchestrator/board/test_intake.py",
    ),
    Mutant(
        "what is promised is not promised again",
        LEDGER,
        "            if amount > max(self.free(token), 0):\n",
        "            if False:\n",
        F03,
    ),
    Mutant(
        "gas is held with a plan",
        LEDGER,
        "        asked[ZERO_ADDRESS] = asked.get(ZERO_ADDRESS, 0) + reservation.gas_wei\n",
        "        asked.setdefault(ZERO_ADDRESS, 0)\n",
        F03,
    ),
    Mutant(
        "what is in flight is not free",
        LEDGER,
        "return self._reserved.get(token, 0) + self._in_flight.get(token, 0)",
        "return self._reserved.get(token, 0)",
        F03,
    ),
    Mutant(
        "a fill releases what was held for it",
        LEDGER,
        "        if fill.verdict_id in self._held:\n",
        "        if partial and fill.verdict_id in self._held:\n",
        F03,
    ),
    Mutant(
        "after a part of a fill the rest stays promised",
        LEDGER,
        "            if partial:\n",
        "            if False:\n",
        F03,
    ),
    Mutant(
        "news that comes twice is booked once",
        LEDGER,
        "        if entry.key in self._booked:\n",
        "        if False:\n",
        F03,
    ),
    Mutant(
        "a reverted fill is taken back",
        LEDGER,
        "            self._book(entry, sign=-1)\n",
        "            pass\n",
        F03,
    ),
    Mutant(
        "a fill that was taken back may be booked anew",
        LEDGER,
        "            self._booked -= gone\n",
        "            pass\n",
        OF_LEDGER,
    ),
    Mutant(
        "a promise ends with its time",
        LEDGER,
        "if held.reservation.expires_block < block]",
        "if held.reservation.expires_block < block - 1]",
        F03,
    ),
    Mutant(
        "units left over by a division are somebody's",
        "model/units.py",
        "    if left:\n",
        "    if False:\n",
        F03,
    ),
    Mutant(
        "a trade inside makes no money",
        LEDGER,
        "            if sum(move.change for move in moves if move.token == token):\n",
        "            if False:\n",
        OF_LEDGER,
    ),
    Mutant(
        "a crash does not forget what is promised",
        LEDGER,
        "            self._keep(held)\n        for entry in memory.posted:\n",
        "            pass\n        for entry in memory.posted:\n",
        F03,
    ),
    Mutant(
        "a crash does not forget what may be reverted",
        LEDGER,
        "            self._remember(entry)\n        self._gas",
        "            pass\n        self._gas",
        F03,
    ),
    Mutant(
        "who waits longest goes first",
        "orchestrator/deciding/exchanges.py",
        "    return min(context.served.get(agent, -1) for agent in agents)\n",
        "    return 0\n",
        F03,
    ),
    Mutant(
        "each promise is a turn",
        LEDGER,
        "        self.take_turn([share.agent for share in shares])\n",
        "",
        F03,
    ),
    Mutant(
        "who was tried has had its turn",
        "orchestrator/core.py",
        "            self.ledger.take_turn(ruling.tried)\n            final.append(ruling)\n",
        "            final.append(ruling)\n",
        OF_CORE,
    ),
    Mutant(
        "a restart remembers who was tried",
        "orchestrator/core.py",
        "            self.ledger.take_turn(ruling.tried)\n        for planned in plans:\n",
        "        for planned in plans:\n",
        OF_CORE,
    ),
    Mutant(
        "what was planned before counts as sent",
        "orchestrator/core.py",
        "        self.ledger.dispatch()  # what was planned before has gone out since\n",
        "",
        OF_CORE,
    ),
    Mutant(
        "the wei that rounding leaves over is somebody's",
        "orchestrator/capital/profit.py",
        "        whole[agent] += 1\n",
        "        pass\n",
        OF_PROFIT,
    ),
    Mutant(
        "an offset elsewhere counts less what its transfer costs",
        ELSEWHERE,
        "else PPM - self.link.cost_ppm",
        "else PPM",
        OF_ELSEWHERE,
    ),
    Mutant(
        "the time of a transfer is a risk",
        ELSEWHERE,
        "self.haircut_ppm + isqrt(self.transfer_blocks * self.sigma_ppm**2)",
        "self.haircut_ppm",
        OF_ELSEWHERE,
    ),
    Mutant(
        "plans underway elsewhere count",
        ELSEWHERE,
        "            for books in (other.books, underway)\n",
        "            for books in (other.books,)\n",
        OF_ELSEWHERE,
    ),
    Mutant(
        "a chain tells its plans underway",
        "orchestrator/core.py",
        "            underway=[(one.planned.plan, one.shares) for one in self._open.values()],\n",
        "",
        OF_CHAINS,
    ),
    Mutant(
        "what is not known any more offsets nothing",
        ELSEWHERE,
        "        return 0 if late or",
        "        return 0 if",
        OF_ELSEWHERE,
    ),
    Mutant(
        "each run is told of all other chains before its first block",
        "orchestrator/capital/position.py",
        "        books=_named(there.books, there, here, same),\n",
        "        books={},\n",
        OF_CHAINS,
    ),
)
