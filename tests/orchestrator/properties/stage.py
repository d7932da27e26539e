"""A small market on paper, agents that need no time, and a host whose clock is a number."""

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import toolkit as tk
from toolkit.journal.log import Entry, Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.model.chain import ZERO_ADDRESS, Head, HeadChange
from toolkit.model.decision import Plan
from toolkit.model.tx import FeeQuote
from toolkit.orchestrator.capital.ledger import LedgerState
from toolkit.orchestrator.hosting.asking import Question, Thought, ask
from toolkit.orchestrator.hosting.containment import Dependence
from toolkit.orchestrator.mainnet import USDC, WETH
from toolkit.orchestrator.records import BlockReport
from toolkit.orchestrator.runtime import Orchestrator
from toolkit.pools.constant_product import ConstantProduct
from toolkit.testing.decide import MAIN_POOL, OFFLINE_MARKET, given, price_series
from toolkit.testing.fakes import InlineJournal
from toolkit.testing.paper import VAULT_LENDS, GivenBlock, Paper, PaperChain, PaperSession

PRICE = OFFLINE_MARKET.prices[0].key
CAPITAL = {WETH.address: 50 * 10**18, USDC.address: 10**11, ZERO_ADDRESS: 10**20}


@dataclass(frozen=True)
class Taker:
    """Buys what rose since the block before and sells what fell, `amount` of USDC worth."""

    name: str
    amount: int = 300 * 10**6
    until: int = 10**9  # the block from which on it says nothing

    def on_block(self, view: tk.View) -> Iterable[tk.Intent]:
        """Return one wish, or none."""
        before, now = view.history(PRICE, 2)
        if before == now or view.block.number >= self.until:
            return
        if now > before:
            leg = tk.Leg(token_in=USDC.address, token_out=WETH.address, amount_in=self.amount)
        else:
            sold = self.amount * 10**12 // 2000
            leg = tk.Leg(token_in=WETH.address, token_out=USDC.address, amount_in=sold)
        yield tk.Intent(agent=self.name, legs=(leg,), edge_wei=10**15, reason=f"at {now:.9f}")


def blocks(rng: random.Random, count: int) -> list[GivenBlock]:
    """A price that wanders, with a little past."""
    price, made = 2000.0, []
    for n in range(count):
        price *= 1 + rng.gauss(0, 1e-3)
        pool = ConstantProduct(
            id=MAIN_POOL,
            token0=USDC.address,
            token1=WETH.address,
            reserve0=int(price * 5000) * 10**6,
            reserve1=5000 * 10**18,
        )
        past = price_series([2000.0, 2000.0], before=1000) if n == 0 else ()
        made.append(given(1000 + n, pools=[pool], readings=past))
    return made


class Clocked:
    """Asks agents at once, but says how long each of them took: one that is late is lost.

    A late agent is busy until it is done, as on a thread that cannot be stopped.
    """

    def __init__(self, delay: Callable[[str], float], *, budget_s: float) -> None:
        self.now = 0.0
        self.late: list[tuple[str, int]] = []
        self._delay = delay
        self._budget_s = budget_s
        self._busy_until: dict[str, float] = {}

    async def start(self) -> None:
        """Nothing has to be ready."""

    async def ask(self, questions: Sequence[Question]) -> Mapping[str, Thought]:
        """Answer what comes in time; the clock moves on by the slowest of these."""
        begun, answers = self.now, {}
        for question in questions:
            name = question.name
            if self._busy_until.get(name, 0.0) > begun:
                answers[name] = Thought(lost="still busy")
                self.late.append((name, question.view.block.number))
                continue
            taken = self._delay(name)
            self.now = max(self.now, begun + min(taken, self._budget_s))
            if taken > self._budget_s:
                self._busy_until[name] = begun + taken
                self.late.append((name, question.view.block.number))
                answers[name] = Thought(lost=f"late: {taken:.3f} s of {self._budget_s:g} s")
            else:
                answers[name] = ask(question)
        return answers

    async def dismiss(self, name: str) -> None:
        """Nothing runs."""

    async def stop(self) -> None:
        """Nothing runs."""


@dataclass(kw_only=True)
class Played:
    """What a run did."""

    reports: list[BlockReport]
    entries: list[Entry]
    ledger: LedgerState
    sent: list[tuple[Plan, int]] = field(default_factory=list)  # with the newest block then


class _Racing(PaperSession):
    """Heads come by the clock of whoever asks the agents."""

    def __init__(self, journal: Journal, world: PaperChain, heads: Callable[[], Head]) -> None:
        super().__init__(journal, world)
        self._heads = heads

    @property
    def head(self) -> Head:
        """The newest there is."""
        return self._heads()


class _Counting(PaperChain):
    """Remembers what was sent when."""

    def __init__(self, market: Sequence[GivenBlock], newest: Callable[[], Head]) -> None:
        super().__init__(market, CAPITAL, market=OFFLINE_MARKET)
        self.sent: list[tuple[Plan, int]] = []
        self._newest = newest

    async def submit_merged(
        self, plans: Sequence[Plan], *, fee: FeeQuote | None = None
    ) -> tuple[Paper, ...]:
        self.sent += [(plan, self._newest().number) for plan in plans]
        return await super().submit_merged(plans, fee=fee)

    async def submit(self, plan: Plan, *, fee: FeeQuote | None = None) -> Paper:
        self.sent.append((plan, self._newest().number))
        return await super().submit(plan, fee=fee)


def play(
    agents: Sequence[tk.Agent],
    market: Sequence[GivenBlock],
    *,
    clock: Clocked | None = None,
    block_s: float = 12.0,
    dependences: Sequence[Dependence] = (),
) -> Played:
    """Let agents decide over a market; with a clock, heads that came meanwhile are skipped."""
    last = len(market) - 1

    def newest() -> Head:
        place = 0 if clock is None else min(int(clock.now / block_s), last)
        return market[place].head

    async def run() -> Played:
        world = _Counting(market, newest)
        session = _Racing(InlineJournal(MemoryBackend()), world, newest)
        orchestrator = Orchestrator(
            session,
            agents=agents,
            market=OFFLINE_MARKET,
            perception=world,
            gateway=world,
            lenders=(VAULT_LENDS,),
            dependences=dependences,
            host=clock,
        )
        reports: list[BlockReport] = []
        async with orchestrator:
            while (change := await world.advance()) is not None:
                added = change.added
                while clock is not None and added[-1].number < newest().number:
                    later = await world.advance()
                    assert later is not None
                    added = (*added, *later.added)
                reports.append(await orchestrator.step(HeadChange(added=added)))
                if clock is not None:  # idle until the next block
                    clock.now = max(clock.now, (added[-1].number - 999) * block_s)
            entries = list(session.journal.entries())
        await session.journal.close()
        return Played(
            reports=reports, entries=entries, ledger=orchestrator.ledger(), sent=world.sent
        )

    return asyncio.run(run())
