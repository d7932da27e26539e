"""Seeded lives of an orchestrator and its agents in a faulty world: one seed is one life, for ever.

    coverage = run_many(agent_world([MyAgent()]), range(200))
    print(coverage)

Blocks are reverted, heads are missed, looks fail, plans are lost, answers do not come, and the
process dies and starts again. After every block the books must agree with the chain, nobody may
act who is out, and no class of assets may be bought and sold at once; at the end a replay must
decide all of it again, byte for byte.
"""

import asyncio
import copy
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from toolkit.journal.memory import MemoryBackend
from toolkit.model.chain import ZERO_ADDRESS, Address, Head, HeadChange
from toolkit.model.decision import Plan
from toolkit.model.errors import ConfigError, NodeUnavailable
from toolkit.orchestrator.audit.replay import replay
from toolkit.orchestrator.deciding.limits import Limits
from toolkit.orchestrator.hosting.asking import Question, Thought, ask
from toolkit.orchestrator.hosting.containment import Dependence
from toolkit.orchestrator.mainnet import USDC, WETH
from toolkit.orchestrator.market import Side
from toolkit.orchestrator.pausing.pauses import Pause
from toolkit.orchestrator.records import BlockReport
from toolkit.orchestrator.runtime import Orchestrator
from toolkit.perception.perceived import Perceived
from toolkit.pools.constant_product import ConstantProduct
from toolkit.reasoning.agent import Agent
from toolkit.testing.decide import OFFLINE_MARKET, given, main_pool, price_series
from toolkit.testing.fakes import InlineJournal
from toolkit.testing.paper import VAULT_LENDS, GivenBlock, PaperChain, PaperSession

PAST = 260
DEEPEST = 3
SIDE_POOL = Address("0x" + "51de" * 10)
CAPITAL = {WETH.address: 50 * 10**18, USDC.address: 10**11, ZERO_ADDRESS: 10**20}


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """How often each thing goes wrong, per block (or plan, or answer): a probability each."""

    reorg: float = 0.1  # up to three blocks are reverted
    missed: float = 0.15  # a head is only seen together with the next one
    look: float = 0.1  # the node cannot be asked
    lost: float = 0.2  # a plan is not in its block
    late: float = 0.03  # an agent's answer does not come
    crash: float = 0.05  # the process dies after the block, and starts again
    away: float = 0.5  # after a crash: a block comes before it has started, and then another

    def __post_init__(self) -> None:
        """Check the probabilities."""
        for name in self.__struct_fields__:
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"faults.{name} is {getattr(self, name)}; it must be in 0..1")


class AgentWorld(msgspec.Struct, frozen=True, kw_only=True):
    """What one seed lives in; agents are copied, so that every life begins with fresh ones."""

    agents: tuple[Agent, ...]
    faults: Faults = Faults()
    blocks: int = 20
    capital: dict[Address, int] = msgspec.field(default_factory=CAPITAL.copy)
    limits: Limits = Limits()
    pauses: tuple[Pause, ...] = ()
    dependences: tuple[Dependence, ...] = ()


class AgentCoverage(msgspec.Struct, frozen=True, kw_only=True):
    """What lives went through; two of them add up."""

    lives: int = 0
    blocks: int = 0
    intents: int = 0
    plans: int = 0
    landed: int = 0
    lost: int = 0
    vetoes: dict[str, int] = {}
    faults: dict[str, int] = {}
    quarantined: dict[str, int] = {}

    def __add__(self, other: "AgentCoverage") -> "AgentCoverage":
        """Add every count."""
        sums: dict[str, object] = {}
        for name in self.__struct_fields__:
            mine, theirs = getattr(self, name), getattr(other, name)
            if isinstance(mine, int):
                sums[name] = mine + theirs
            else:
                sums[name] = {
                    key: mine.get(key, 0) + theirs.get(key, 0) for key in sorted({*mine, *theirs})
                }
        return msgspec.convert(sums, AgentCoverage)


def agent_world(
    agents: Sequence[Agent],
    *,
    faults: Faults | None = None,
    blocks: int = 20,
    limits: Limits | None = None,
    pauses: Sequence[Pause] = (),
    dependences: Sequence[Dependence] = (),
) -> Callable[[random.Random], AgentWorld]:
    """Return the same world for every seed, as `run_many` wants it."""
    world = AgentWorld(
        agents=tuple(agents),
        faults=faults or Faults(),
        blocks=blocks,
        limits=limits or Limits(),
        pauses=tuple(pauses),
        dependences=tuple(dependences),
    )
    return lambda _: world


def live(world: AgentWorld, seed: int) -> AgentCoverage:
    """Live one seed, on a loop of its own.

    Raises:
        AssertionError: what broke; the first note names the seed.
    """
    life = _Life(world, seed)
    try:
        asyncio.run(life.run())
    except AssertionError as error:
        error.add_note(f"seed {seed}")
        raise
    return life.coverage


@dataclass
class _Host:
    """Asks agents here and now; some answers are lost on the way."""

    rng: random.Random
    share: float

    async def start(self) -> None:
        """Nothing has to be ready."""

    async def ask(self, questions: Sequence[Question]) -> Mapping[str, Thought]:
        """Ask, and lose some."""
        gone = Thought(lost="late: lost on purpose")
        return {one.name: gone if self.rng.random() < self.share else ask(one) for one in questions}

    async def dismiss(self, name: str) -> None:
        """Nothing runs."""

    async def stop(self) -> None:
        """Nothing runs."""


class _Chain(PaperChain):
    """Paper that cannot be read now and then, and is read anew after a crash."""

    failing = False

    async def observe(self, change: HeadChange) -> Perceived:
        if self.failing:
            self.failing = False
            raise NodeUnavailable("unplugged on purpose", sent=False)
        return await super().observe(change)

    def forget(self) -> None:
        """Whoever looks next has seen nothing yet."""
        self._last = None


class _Life:
    """One seed."""

    def __init__(self, world: AgentWorld, seed: int) -> None:
        self._world = world
        self._rng = random.Random(seed)  # noqa: S311 - a seed is a life
        self._counts: dict[str, int] = {}
        self._reports: list[BlockReport] = []
        self._journal = InlineJournal(MemoryBackend())
        market = _market(self._rng, world.blocks, world.faults.reorg)
        self._chain = _Chain(market, world.capital, market=OFFLINE_MARKET, lands=self._lands)

    @property
    def coverage(self) -> AgentCoverage:
        """What it went through."""
        fills = [fill for report in self._reports for fill in report.fills]
        vetoes = [str(v.cause and v.cause.value) for r in self._reports for v in r.vetoes]
        last = self._reports[-1].quarantined if self._reports else {}
        return AgentCoverage(
            lives=1,
            blocks=len(self._reports),
            intents=sum(len(report.intents) for report in self._reports),
            plans=sum(len(report.plans) for report in self._reports),
            landed=sum(fill.landed for fill in fills),
            lost=sum(not fill.landed for fill in fills),
            vetoes={cause: vetoes.count(cause) for cause in sorted(set(vetoes))},
            faults=dict(sorted(self._counts.items())),
            quarantined=dict.fromkeys(sorted(last), 1),
        )

    async def run(self) -> None:
        """Go through the blocks, then decide them again."""
        orchestrator: Orchestrator | None = None
        while (change := await self._change()) is not None:
            if orchestrator is None:
                orchestrator = await self._started()
            self._check(await self._stepped(orchestrator, change))
            if self._happens("crash", self._world.faults.crash):
                orchestrator = None
                self._chain.forget()
                while self._happens("away", self._world.faults.away):
                    await self._chain.advance()  # nobody is told, not even of a reorg
        result = replay(self._journal.entries(), agents=self._agents())
        await self._journal.close()
        assert result.identical, f"a replay decided otherwise: {result.divergence}"

    def _agents(self) -> list[Agent]:
        return [copy.deepcopy(agent) for agent in self._world.agents]

    async def _started(self) -> Orchestrator:
        world = self._world
        orchestrator = Orchestrator(
            PaperSession(self._journal, self._chain),
            agents=self._agents(),
            market=OFFLINE_MARKET,
            perception=self._chain,
            gateway=self._chain,
            lenders=(VAULT_LENDS,),
            limits=world.limits,
            pauses=world.pauses,
            dependences=world.dependences,
            host=_Host(self._rng, world.faults.late),
        )
        await orchestrator.start()
        return orchestrator

    async def _change(self) -> HeadChange | None:
        """Return the next head, or some in one; a head that tells of a reorg is always seen."""
        change = await self._chain.advance()
        while change is not None and not change.reverted:
            first = not self._reports  # it brings the past
            if first or not self._happens("missed", self._world.faults.missed):
                return change
            later = await self._chain.advance()
            if later is None or later.reverted:
                change = later or change  # what was missed is among what it reverts
                break
            change = HeadChange(added=(*change.added, *later.added))
        if change is not None and change.reverted:
            self._counts["reorg"] = self._counts.get("reorg", 0) + 1
        return change

    async def _stepped(self, orchestrator: Orchestrator, change: HeadChange) -> BlockReport:
        self._chain.failing = self._happens("look", self._world.faults.look)
        try:
            return await orchestrator.step(change)
        except NodeUnavailable:
            return await orchestrator.step(change)

    def _check(self, report: BlockReport) -> None:
        """What must hold after every block."""
        at = f"at block {report.head.number}"
        assert not report.discrepancies, f"books and chain differ {at}: {report.discrepancies}"
        assert all(amount >= 0 for amount in report.balances.values()), f"overspent {at}"
        acting = {name for plan in report.plans for name in plan.agents}
        assert not acting & report.quarantined.keys(), f"a quarantined agent acts {at}"
        sides: dict[str, Side] = {}
        for plan in report.plans:
            if plan.route.is_cycle:
                continue
            name, side = OFFLINE_MARKET.netting_class(plan.route.token_in, plan.route.token_out)
            assert sides.setdefault(name, side) is side, f"buys and sells {name} {at}"
        self._reports.append(report)

    def _lands(self, plan: Plan) -> bool:  # noqa: ARG002 - each has the same chance
        return not self._happens("lost", self._world.faults.lost)

    def _happens(self, what: str, share: float) -> bool:
        happens = self._rng.random() < share
        if happens:
            self._counts[what] = self._counts.get(what, 0) + 1
        return happens


def _market(rng: random.Random, count: int, reorg: float) -> list[GivenBlock]:
    """A wandering price with a pool that strays from it; now and then the last blocks go."""
    log, past = math.log(2000.0), []
    for _ in range(PAST):
        log += rng.gauss(0, 1e-3)
        past.append(math.exp(log))
    made: list[GivenBlock] = []
    chain: list[tuple[Head, str]] = []
    for index in range(count):
        gone: list[Head] = []
        if len(chain) > DEEPEST and rng.random() < reorg:
            gone = [chain.pop()[0] for _ in range(rng.randrange(1, DEEPEST + 1))]
        log += rng.gauss(0, 2e-3)
        number = chain[-1][0].number + 1 if chain else 1000
        beside = _side_pool(math.exp(log + rng.gauss(0, 6e-3)))
        block = given(
            number,
            pools=[main_pool(f"{math.exp(log):.6f}"), beside],
            readings=price_series(past, before=1000) if index == 0 else (),
            base_fee_wei=rng.randrange(10**9, 3 * 10**9),
            fork=str(index),
            parent_fork=chain[-1][1] if chain else "",
            reverted=gone,
        )
        chain.append((block.head, str(index)))
        made.append(block)
    return made


def _side_pool(price: float) -> ConstantProduct:
    return ConstantProduct(
        id=SIDE_POOL,
        token0=USDC.address,
        token1=WETH.address,
        reserve0=round(price * 900) * 10**6,
        reserve1=900 * 10**18,
    )
