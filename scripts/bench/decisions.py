"""Decisions: from what was perceived to a signed transaction, and a run's journal folded again."""

import asyncio
import gc
import math
import random
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from types import MappingProxyType

import msgspec

from scripts.bench.figures import Figure, Measured
from toolkit.chain.signer import LocalSigner
from toolkit.cli.demo_run import DemoConfig, trade
from toolkit.execution.calldata import encode_plan
from toolkit.journal.log import Entry, Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.journal.sqlite import SqliteBackend, read_entries
from toolkit.model.chain import ZERO_ADDRESS, Address
from toolkit.model.decision import Intent, Leg, Plan
from toolkit.model.errors import ConfigError
from toolkit.model.market import Hop, Route
from toolkit.model.tx import FeeQuote, UnsignedTransaction
from toolkit.orchestrator import records
from toolkit.orchestrator.arguments import agent_setup
from toolkit.orchestrator.audit.memory import MILESTONE_BLOCKS
from toolkit.orchestrator.audit.recovery import KINDS, recovered, resumed
from toolkit.orchestrator.audit.replay import decoded, remade, replay
from toolkit.orchestrator.collecting import uncollected
from toolkit.orchestrator.core import Core
from toolkit.orchestrator.deciding.limits import Limits
from toolkit.orchestrator.hosting.asking import ask
from toolkit.orchestrator.mainnet import DAI, WETH
from toolkit.orchestrator.market import Market
from toolkit.orchestrator.records import Inputs, Setup
from toolkit.orchestrator.understudy import Understudy
from toolkit.orchestrator.writing import BlockWriter
from toolkit.perception.prices import PriceSource
from toolkit.pools.constant_product import ConstantProduct
from toolkit.reasoning.agent import Agent, View
from toolkit.testing.decide import given, price_series
from toolkit.testing.paper import VAULT_LENDS, GivenBlock, PaperChain

TIMEOUT_S = 300
BLOCKS = 2_000
WARM = 300
ROUNDS = 9
SLOT_S = 12
NODE_S = 0.002  # in which a node on the same machine tells of a block
TARGET_US = 250.0
EVENTS_PER_S = 100_000
REAL_TIME = 20
US = 1e6
PIECES = (
    "taking the block in",
    "deciding",
    "writing it into the journal",
    "calldata and signature",
)
DURABLE = "its durable commit"
MAIN, SIDE = (Address("0x" + f"{n:02x}" * 20) for n in (17, 34))
EXECUTOR = Address("0x" + "ee" * 20)
PRICE = PriceSource(key="price/WETH-DAI", pool=MAIN, base=WETH.address, quote=DAI.address)
MARKET = Market(wrapped=WETH.address, tokens=(DAI, WETH), stables=(DAI.address,), prices=(PRICE,))
CAPITAL = MappingProxyType({ZERO_ADDRESS: 10**20, DAI.address: 10**23, WETH.address: 10**20})


class Cycle(msgspec.Struct, frozen=True, kw_only=True):
    """Sells one whole token where it is dear and buys it back where it is cheap, each block."""

    name: str = "cycle"
    amount: int = 10**18

    def on_block(self, view: View) -> Iterable[Intent]:
        """Return the cycle with its exact amounts."""
        view.price(PRICE.key)
        dear, cheap = view.snapshot.pools[SIDE], view.snapshot.pools[MAIN]
        out, _ = dear.swap_in(WETH.address, self.amount)
        back, _ = cheap.swap_in(DAI.address, out)
        amounts = ((dear, WETH, DAI, self.amount, out), (cheap, DAI, WETH, out, back))
        route = Route(
            token_in=WETH.address,
            token_out=WETH.address,
            amount_in=self.amount,
            amount_out=back,
            hops=tuple(
                Hop(
                    pool=Address(pool.id),
                    kind=pool.kind,
                    token_in=token_in.address,
                    token_out=token_out.address,
                    amount_in=given_in,
                    amount_out=given_out,
                    fee_ppm=pool.fee_ppm,
                )
                for pool, token_in, token_out, given_in, given_out in amounts
            ),
            block_hash=view.block.hash,
            block_number=view.block.number,
        )
        leg = Leg(token_in=WETH.address, token_out=WETH.address, amount_in=self.amount, route=route)
        return (Intent(agent=self.name, legs=(leg,), edge_wei=route.profit),)


def _pair(pool: Address, price: float, depth: int) -> ConstantProduct:
    return ConstantProduct(
        id=pool,
        token0=DAI.address,
        token1=WETH.address,
        reserve0=int(price * depth * 10**6) * 10**12,
        reserve1=depth * 10**18,
    )


async def perceived_blocks(seed: int, count: int) -> list[Inputs]:
    """Blocks whose two pools differ by 4 %, as perception hands them over, one by one."""
    rng, price = random.Random(seed), 2000.0  # noqa: S311 - a market, no secret
    blocks: list[GivenBlock] = []
    for number in range(1000, 1000 + count):
        price *= math.exp(rng.gauss(0, 1e-4))
        pools = (_pair(MAIN, price, 5000), _pair(SIDE, price * 1.04, 1000))
        past = price_series([2000.0] * 512, before=1000, source=PRICE) if not blocks else ()
        blocks.append(given(number, pools=pools, tokens=MARKET.tokens, readings=past))
    chain = PaperChain(blocks, CAPITAL, market=MARKET)
    seen = []
    while (change := await chain.advance()) is not None:
        seen.append(Inputs(seen=await chain.observe(change)))
    return seen


class _Path:
    """One core with its journal and signer, as the runtime has them; timed piece by piece.

    With an understudy, where the runtime has one: beside a chain.
    """

    def __init__(self, journal: Journal, *, rehearsed: bool = False) -> None:
        agent = Cycle()
        setup = Setup(
            agents=(agent_setup(agent),),
            limits=Limits(),
            pauses=(),
            market=MARKET,
            lenders=(VAULT_LENDS,),
        )
        self._core, self._journal = Core(setup, [agent]), journal
        self._understudy = Understudy(Core(setup, [agent])) if rehearsed else None
        self._writer = BlockWriter(journal)
        self._signer = LocalSigner("0x" + "11" * 32)
        self.times: dict[str, list[float]] = {piece: [] for piece in (*PIECES, DURABLE)}

    @property
    def decided(self) -> list[float]:
        """Seconds of each block up to its signed transactions, without the agent's own."""
        return [sum(parts) for parts in zip(*(self.times[one] for one in PIECES), strict=True)]

    async def look(self) -> None:
        """Wait for the node as the runtime does: what it would tell is given."""
        looking = asyncio.sleep(NODE_S)
        await (looking if self._understudy is None else self._understudy.beside(looking))

    async def block(self, inputs: Inputs, *, durable: bool = True) -> None:
        """Decide a block, journal it, sign what is to be sent; then make it durable, unless told.

        That wait for the disk is what empties the processor's caches, as the wait for a head does.
        """
        with uncollected():
            await self._block(inputs, durable=durable)

    async def _block(self, inputs: Inputs, *, durable: bool) -> None:
        began = time.perf_counter()
        questions = self._core.begin(inputs)
        asked = time.perf_counter()
        thoughts = {one.name: ask(one) for one in questions}
        answered = time.perf_counter()
        decision = self._core.decide(thoughts)
        decided = time.perf_counter()
        self._writer.write(inputs, decision)
        written = time.perf_counter()
        for plan in decision.plans:
            self._signer.sign_transaction_now(_unsigned(plan, inputs.seen.fee))
        ready = time.perf_counter()
        if durable:
            await self._journal.commit()
        ended = time.perf_counter()
        decision.report  # noqa: B018 - a run tells of its blocks too, once all is sent
        if self._understudy is not None:
            self._understudy.watch(inputs, thoughts, decision)
        if not decision.plans:
            raise ConfigError(f"block {inputs.seen.head.number} led to no plan: nothing to measure")
        took = (asked - began, decided - answered, written - decided, ready - written)
        for piece, seconds in zip((*PIECES, DURABLE), (*took, ended - ready), strict=True):
            self.times[piece].append(seconds)


def _unsigned(plan: Plan, fee: FeeQuote) -> UnsignedTransaction:
    return UnsignedTransaction(
        type=2,
        chain_id=1,
        nonce=plan.target_block,
        to=EXECUTOR,
        value=0,
        data=encode_plan(plan, EXECUTOR),
        gas=plan.gas_limit,
        max_fee_per_gas=fee.max_fee_per_gas,
        max_priority_fee_per_gas=fee.max_priority_fee_per_gas,
    )


async def _waiting(blocks: Sequence[Inputs], *, rehearsed: bool) -> _Path:
    """Decide block after block as beside a chain: each waits for the disk and for the node."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(SqliteBackend(Path(folder) / "journal.db"))
        path = _Path(journal, rehearsed=rehearsed)
        for inputs in blocks:
            await path.look()
            await path.block(inputs)
        await journal.close()
    return path


async def _path(seed: int) -> tuple[Figure, ...]:
    blocks = await perceived_blocks(seed, WARM + BLOCKS)
    path = await _waiting(blocks, rehearsed=True)
    unrehearsed = await _waiting(blocks, rehearsed=False)
    return (
        *_told("decision path, reading to signed transaction, journal on", path.decided[WARM:]),
        *(
            Figure(
                name=f"of it: {piece}, median", unit="µs", ours=_quantile(path.times[piece][WARM:])
            )
            for piece in PIECES
        ),
        *_told(DURABLE, path.times[DURABLE][WARM:], target=None),
        *_told(
            "the same path without rehearsals: with a policy of one's own, or without a chain",
            unrehearsed.decided[WARM:],
            target=None,
        ),
        *_told(
            "the same path without any wait, so that all it needs stays in the caches",
            await _without_waits(blocks),
            target=None,
        ),
    )


async def _without_waits(blocks: Sequence[Inputs]) -> list[float]:
    """Decide block after block with nothing in between: what the path costs by itself."""
    journal = Journal(MemoryBackend())
    path = _Path(journal)
    for inputs in blocks:
        await path.block(inputs, durable=False)
    await journal.close()
    return path.decided[WARM:]


def _told(
    name: str, seconds: list[float], *, target: float | None = TARGET_US
) -> tuple[Figure, Figure]:
    return (
        Figure(name=f"{name}, median", unit="µs", ours=_quantile(seconds)),
        Figure(
            name=f"{name}, 99th percentile",
            unit="µs",
            target=target,
            ours=_quantile(seconds, 0.99),
        ),
    )


def _quantile(seconds: list[float], part: float = 0.5) -> float:
    """Return a quantile in microseconds."""
    return US * sorted(seconds)[int(len(seconds) * part)]


def _fastest(work: Callable[[], object]) -> float:
    """Return the least seconds of one core in a few rounds, after one to warm up."""
    work()
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()  # one thread: on an idle machine that is the wall's time
        work()
        times.append(time.process_time() - start)
    return min(times)


async def _journal(seed: int) -> tuple[Figure, ...]:
    """Fold and decide again what one demo run journalled."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.db"
        await trade(DemoConfig(journal=path, seed=seed), lambda _: None)
        entries = tuple(read_entries(path))
        setup = decoded(next(one for one in entries if one.kind == records.SETUP), Setup)
        agents: list[Agent] = [one for one in map(remade, setup.agents) if one is not None]
        if not replay(entries).identical:
            raise ConfigError("the demo's journal does not replay: there is nothing to measure")
        blocks = [place for place, one in enumerate(entries) if one.kind == records.PERCEIVED]
        cut_off = _cut_off(Path(folder), entries, blocks[-MILESTONE_BLOCKS:])
        kept = tuple(one for one in entries if one.kind in KINDS)
        gc.collect()
        gc.freeze()  # as above
        try:
            begun = [_fastest(partial(_begun, one)) / n for one, n in cut_off]
            known = [
                _fastest(partial(_begun, one, lambda journal: resumed(journal, setup, agents))) / n
                for one, n in cut_off
            ]
            whole = _fastest(lambda: recovered(kept, setup, agents)) / len(entries)
            again = _fastest(lambda: replay(entries))
        finally:
            gc.unfreeze()
            for backend, _ in cut_off:
                backend.close()
    return (
        Figure(
            name=f"an event of the demo's journal, read, checked and folded ({EVENTS_PER_S:,}/s), "
            f"on average where its last {MILESTONE_BLOCKS} blocks begin",
            unit="µs",
            target=US / EVENTS_PER_S,
            ours=US * fmean(known),
        ),
        Figure(name="of that, read and checked", unit="µs", ours=US * fmean(begun)),
        Figure(name="folded alone, if there were no milestones", unit="µs", ours=US * whole),
        Figure(
            name=f"decisions of the demo recomputed, in percent of real time ({REAL_TIME} x)",
            unit="%",
            target=100 / REAL_TIME,
            ours=100 * again / (len(blocks) * SLOT_S),
        ),
    )


def _cut_off(
    folder: Path, entries: Sequence[Entry], places: Sequence[int]
) -> list[tuple[SqliteBackend, int]]:
    """Open journals that end at these places, each with its number of entries."""
    made = [(SqliteBackend(folder / f"until-{place}.db"), place) for place in places]
    for backend, place in made:
        backend.write(entries[:place])
    return made


def _begun(backend: SqliteBackend, use: Callable[[Journal], object] = lambda _: None) -> None:
    """Read and check all of a journal, as a start does."""
    use(Journal(backend))


async def measure(seed: int) -> Measured:
    """Time single decisions, then folds and replays of a demo run."""
    decided = await _path(seed)
    return Measured(
        figures=(*decided, *await _journal(seed)),
        not_covered=(
            "the agent's own time, and routing of swaps with own capital",
            "more than one agent and one plan a block; pools that are not V2 pairs",
            "reading the chain and sending: see rpc and run",
        ),
    )
