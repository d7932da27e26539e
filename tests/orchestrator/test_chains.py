"""Two chains under one roof: what is held on one counts on the other, and each replays alone."""

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

import toolkit as tk
from tests.orchestrator.worlds import (
    DAI_CAPITAL,
    DAI_MARKET,
    dai_pair,
    fresh_seeds,
    random_market,
    shipped,
)
from toolkit.journal.log import Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.model.chain import ZERO_ADDRESS, Address, HeadChange
from toolkit.model.decision import TradingState, Verdict, VetoCause
from toolkit.model.errors import ConfigError
from toolkit.model.market import Token
from toolkit.model.units import PPM
from toolkit.orchestrator import records
from toolkit.orchestrator.audit.replay import decoded, replay
from toolkit.orchestrator.breaking.breakers import BreakerChange
from toolkit.orchestrator.breaking.control import Answer, Asked, Withdrawn, asked_of
from toolkit.orchestrator.breaking.hazards import BreakerLimits, Hazard
from toolkit.orchestrator.capital.elsewhere import Elsewhere, Link
from toolkit.orchestrator.chains import Chains
from toolkit.orchestrator.deciding.limits import Limits
from toolkit.orchestrator.hosting.hosting import Hosting
from toolkit.orchestrator.mainnet import DAI, WETH
from toolkit.orchestrator.market import Market
from toolkit.orchestrator.records import BlockReport
from toolkit.orchestrator.runtime import Orchestrator
from toolkit.perception.prices import PriceSource
from toolkit.pools.constant_product import ConstantProduct
from toolkit.testing.decide import MAIN_POOL, given
from toolkit.testing.paper import VAULT_LENDS, GivenBlock, PaperChain, PaperSession

Verb = Literal["status", "halt", "pause", "resume", "reset"]
ETHER = 10**18
SIDE_WETH = Token(address=Address("0x" + "51" * 20), symbol="WETH", decimals=18)
SIDE_DAI = Token(address=Address("0x" + "5d" * 20), symbol="DAI", decimals=6)
SIDE_POOL = Address("0x" + "59" * 20)
SIDE_MARKET = Market(
    wrapped=SIDE_WETH.address,
    tokens=(SIDE_WETH, SIDE_DAI),
    stables=(SIDE_DAI.address,),
    prices=(
        PriceSource(
            key="price/side", pool=SIDE_POOL, base=SIDE_WETH.address, quote=SIDE_DAI.address
        ),
    ),
)
SIDE_CAPITAL = {SIDE_WETH.address: 50 * ETHER, SIDE_DAI.address: 100_000 * 10**6}
FREE = Link(transfer_blocks=0, haircut_ppm=0)
LIMITS = Limits(max_position_wei=ETHER, max_trade_wei=5 * ETHER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trader:
    """Trades the same amount in every block, claiming nothing for it."""

    name: str
    token_in: Address
    token_out: Address
    amount: int

    def on_block(self, view: tk.View) -> Iterable[tk.Intent]:  # noqa: ARG002 - whatever it is
        """Return the one wish."""
        leg = tk.Leg(token_in=self.token_in, token_out=self.token_out, amount_in=self.amount)
        return (tk.Intent(agent=self.name, legs=(leg,), edge_wei=0),)


BUYS_MAIN = Trader(name="mine", token_in=DAI.address, token_out=WETH.address, amount=8_000 * ETHER)
SELLS_MAIN = Trader(name="mine", token_in=WETH.address, token_out=DAI.address, amount=4 * ETHER)
BUYS_SIDE = Trader(
    name="mine",
    token_in=SIDE_DAI.address,
    token_out=SIDE_WETH.address,
    amount=8_000 * 10**6,
)


def side_pair(price: float, depth: int = 5_000) -> ConstantProduct:
    """A pair of the side chain, `depth` whole WETH deep."""
    return ConstantProduct(
        id=SIDE_POOL,
        token0=SIDE_WETH.address,
        token1=SIDE_DAI.address,
        reserve0=depth * ETHER,
        reserve1=int(price * depth * 10**6),
    )


def main_blocks(*prices: float) -> list[GivenBlock]:
    """Blocks of the main chain."""
    return [
        given(1_000 + n, pools=[dai_pair(MAIN_POOL, price, 5_000)], tokens=DAI_MARKET.tokens)
        for n, price in enumerate(prices)
    ]


def side_blocks(count: int, price: float = 2000.0) -> list[GivenBlock]:
    """Quiet blocks of the side chain."""
    tokens = SIDE_MARKET.tokens
    return [given(1_000 + n, pools=[side_pair(price)], tokens=tokens) for n in range(count)]


@dataclass
class Run:
    """One orchestrator over a chain on paper."""

    world: PaperChain
    journal: Journal
    orchestrator: Orchestrator
    agents: Sequence[tk.Agent]

    def replays(self) -> bool:
        """Whether its journal alone gives the same decisions again."""
        return replay(self.journal.entries(), agents=self.agents).identical

    def told(self) -> list[Elsewhere]:
        """What it was told of others."""
        entries = self.journal.entries(records.ELSEWHERE)
        return [decoded(entry, Elsewhere) for entry in entries]

    def tripped(self) -> list[BreakerChange]:
        """What its breakers did."""
        entries = self.journal.entries(records.BREAKER)
        return [decoded(entry, BreakerChange) for entry in entries]


def chain(
    blocks: Sequence[GivenBlock],
    agents: Sequence[tk.Agent],
    *,
    market: Market,
    capital: Mapping[Address, int],
    journal: Journal | None = None,
    breakers: BreakerLimits | None = None,
    lands: bool = True,
    hosting: Mapping[str, Hosting] | None = None,
) -> Run:
    """Set one chain up."""
    world = PaperChain(
        blocks, {ZERO_ADDRESS: 100 * ETHER, **capital}, market=market, lands=lambda _: lands
    )
    log = journal or Journal(MemoryBackend())
    orchestrator = Orchestrator(
        PaperSession(log, world),
        agents=agents,
        market=market,
        perception=world,
        gateway=world,
        limits=LIMITS,
        breakers=breakers,
        lenders=(VAULT_LENDS,),
        hosting=hosting,
    )
    return Run(world, log, orchestrator, agents)


def main(count: int, *agents: tk.Agent, journal: Journal | None = None, lands: bool = True) -> Run:
    """The main chain, quiet."""
    return chain(
        main_blocks(*[2000.0] * count),
        agents,
        market=DAI_MARKET,
        capital=DAI_CAPITAL,
        journal=journal,
        lands=lands,
    )


def side(count: int, *agents: tk.Agent, journal: Journal | None = None) -> Run:
    """The side chain, quiet."""
    blocks = side_blocks(count)
    return chain(blocks, agents, market=SIDE_MARKET, capital=SIDE_CAPITAL, journal=journal)


async def step(chains: Chains, runs: Mapping[str, Run], *names: str) -> list[BlockReport]:
    """Give the named chains a block each, in that order."""
    reports: list[BlockReport] = []
    for name in names:
        change = await runs[name].world.advance()
        assert change is not None
        reports.append(await chains.step(name, change))
    return reports


def bought(report: BlockReport) -> int:
    """What was approved of a block, in units of its legs' input."""
    return sum(leg.amount_in for one in report.verdicts if one.approved for leg in one.legs)


async def test_a_position_on_one_chain_fills_the_room_on_the_other() -> None:
    """An agent as long as it may be on one chain buys nothing on the other; alone it does."""
    runs = {"main": main(3, BUYS_MAIN), "side": side(3, BUYS_SIDE)}
    alone = side(3, BUYS_SIDE)
    async with (
        Chains({n: r.orchestrator for n, r in runs.items()}, links=FREE) as chains,
        alone.orchestrator,
    ):
        await step(chains, runs, "main", "main")
        (report,) = await step(chains, runs, "side")
        total = chains.total("side")
        change = await alone.world.advance()
        assert change is not None
        single = await alone.orchestrator.step(change)

    (verdict,) = report.verdicts
    assert VetoCause.LIMIT == verdict.cause
    assert "max_position_wei" in verdict.why
    assert 2_000 * 10**6 == bought(single)
    assert ETHER == pytest.approx(total.held[SIDE_WETH.address], rel=0.01)
    assert total.held == total.long
    assert runs["main"].replays()
    assert runs["side"].replays()


async def test_a_plan_underway_on_one_chain_fills_the_room_on_the_other() -> None:
    """What was decided there and may land counts here; once it is missed it does not any more."""
    runs = {"main": main(4, BUYS_MAIN, lands=False), "side": side(3, BUYS_SIDE)}
    async with Chains({n: r.orchestrator for n, r in runs.items()}, links=FREE) as chains:
        first, waits = await step(chains, runs, "main", "side")
        total = chains.total("side")
        runs["main"].orchestrator.halt("no more")
        _, then = await step(chains, runs, "main", "side")

    assert first.plans
    assert 0 == bought(waits)
    assert ETHER == pytest.approx(total.long[SIDE_WETH.address], rel=0.01)
    assert 0 == total.held.get(SIDE_WETH.address, 0)
    assert 2_000 * 10**6 == bought(then)
    assert all(run.replays() for run in runs.values())


@pytest.mark.parametrize(
    ("link", "ethers"),
    [
        (FREE, 2.0),
        (Link(transfer_blocks=0, haircut_ppm=PPM // 2), 1.5),
        (Link(transfer_blocks=640_000, haircut_ppm=100_000, sigma_ppm=500), 1.5),
        (Link(transfer_blocks=10**8, haircut_ppm=0), 1.0),
    ],
)
async def test_an_opposite_position_elsewhere_gives_room_less_what_its_transfer_costs(
    link: Link, ethers: float
) -> None:
    """Short on one chain, an agent may buy more on the other, less haircut and transfer risk."""
    runs = {"main": main(3, SELLS_MAIN), "side": side(3, BUYS_SIDE)}
    async with Chains({n: r.orchestrator for n, r in runs.items()}, links=link) as chains:
        await step(chains, runs, "main", "main")
        (report,) = await step(chains, runs, "side")

    assert ethers == pytest.approx(bought(report) / (2_000 * 10**6), rel=0.01)
    assert all(run.replays() for run in runs.values())


async def test_a_restart_knows_what_the_other_chain_held() -> None:
    """Before the other chain has decided a block again, its books count from its journal."""
    runs = {"main": main(3, BUYS_MAIN), "side": side(3, BUYS_SIDE)}
    async with Chains({n: r.orchestrator for n, r in runs.items()}, links=FREE) as chains:
        await step(chains, runs, "main", "main", "main")
    again = {
        "main": main(1, BUYS_MAIN, journal=runs["main"].journal),
        "side": side(2, BUYS_SIDE, journal=runs["side"].journal),
    }

    async with Chains({n: r.orchestrator for n, r in again.items()}, links=FREE) as chains:
        (report,) = await step(chains, again, "side")

    assert 0 == bought(report)
    assert "max_position_wei" in report.verdicts[0].why
    assert all(run.replays() for run in again.values())


async def test_gains_and_state_of_all_chains_are_told_in_the_terms_of_each() -> None:
    """A loss on one chain is in the other's total, in its tokens and decimals; so is a halt."""
    runs = {"main": main(4, SELLS_MAIN), "side": side(4, BUYS_SIDE)}
    async with Chains({n: r.orchestrator for n, r in runs.items()}, links=FREE) as chains:
        _, last = await step(chains, runs, "main", "main")
        (before,) = chains.elsewhere("side")
        runs["main"].orchestrator.halt("enough")
        await step(chains, runs, "main", "side")
        (after,) = chains.elsewhere("side")
        total, other = chains.total("side"), chains.total("main")

    assert [TradingState.ACTIVE, TradingState.HALTED] == [before.state, after.state]
    assert sum(last.pnl_wei.values()) == before.pnl_wei < 0
    assert {"mine"} == set(before.books)
    assert (
        before.books["mine"][SIDE_WETH.address]
        == last.books["mine"][WETH.address] + (last.books["mine"][ZERO_ADDRESS])
    )
    assert before.books["mine"][SIDE_DAI.address] == last.books["mine"][DAI.address] // 10**12
    assert total.pnl_wei == other.pnl_wei
    assert [one.state for one in runs["side"].told()] == [TradingState.HALTED]
    assert all(run.replays() for run in runs.values())


async def test_a_loss_on_one_chain_opens_the_breaker_of_all() -> None:
    """What one chain loses is a drawdown of all: the other, which lost nothing, may only reduce."""
    limits = BreakerLimits(drawdown_ppm=1_000)
    blocks = main_blocks(2000.0, 2000.0, 1000.0)
    runs = {
        "main": chain(blocks, [BUYS_MAIN], market=DAI_MARKET, capital=DAI_CAPITAL, breakers=limits),
        "side": chain(
            side_blocks(3), [BUYS_SIDE], market=SIDE_MARKET, capital=SIDE_CAPITAL, breakers=limits
        ),
    }
    far = Link(transfer_blocks=0, haircut_ppm=0, max_age_s=10**9)
    async with Chains({n: r.orchestrator for n, r in runs.items()}, links=far) as chains:
        await step(chains, runs, "main", "main", "side", "main")
        before = runs["side"].tripped()
        (report,) = await step(chains, runs, "side")

    (tripped,) = runs["side"].tripped()
    assert [] == before
    assert Hazard.DRAWDOWN == tripped.hazard
    assert "on all chains together" in tripped.evidence.why
    assert [VetoCause.REDUCING] == [one.cause for one in report.verdicts]
    assert all(run.replays() for run in runs.values())


async def test_any_interleaving_replays_chain_by_chain() -> None:
    """Two lively chains in any order of blocks: each journal alone gives the same bytes again."""
    for seed in fresh_seeds(5):
        rng = random.Random(seed)
        agents = [*shipped(), BUYS_MAIN]
        blocks = random_market(seed, blocks=5, gap=8e-3)
        runs = {
            "main": chain(blocks, agents, market=DAI_MARKET, capital=DAI_CAPITAL),
            "side": side(5, BUYS_SIDE),
        }
        order = [*runs] * 5
        rng.shuffle(order)
        async with Chains({n: r.orchestrator for n, r in runs.items()}, links=FREE) as chains:
            await step(chains, runs, *order)

        assert all(run.replays() for run in runs.values()), f"seed {seed}"
        assert runs["side"].told(), f"seed {seed}"


async def test_events_of_all_chains_come_as_they_are_decided() -> None:
    """One stream gives every chain's blocks under its name, and leaves no task behind."""
    runs = {"main": main(2, BUYS_MAIN), "side": side(3, BUYS_SIDE)}
    seen: dict[str, list[int]] = {"main": [], "side": []}
    async with Chains({n: r.orchestrator for n, r in runs.items()}, links=FREE) as chains:
        stream = chains.events()
        async for name, report in stream:
            seen[name].append(report.head.number)
            if sum(map(len, seen.values())) == 5:
                break
        await stream.aclose()

    assert {"main": [1_000, 1_001], "side": [1_000, 1_001, 1_002]} == seen


async def test_halting_all_halts_each() -> None:
    """One word stops every chain with its next block."""
    runs = {"main": main(2, BUYS_MAIN), "side": side(2, BUYS_SIDE)}
    async with Chains({n: r.orchestrator for n, r in runs.items()}, links=FREE) as chains:
        chains.halt("enough")
        reports = await step(chains, runs, "main", "side")

    verdicts: list[Verdict] = [one for report in reports for one in report.verdicts]
    assert [VetoCause.HALTED] * 2 == [one.cause for one in verdicts]


async def test_one_word_reaches_every_chain_that_it_concerns() -> None:
    """Or the one that is named; what none can do is refused with each chain's reason."""
    other = Trader(name="other", token_in=DAI.address, token_out=WETH.address, amount=ETHER)
    runs = {"main": main(2, BUYS_MAIN, other), "side": side(2, BUYS_SIDE)}
    async with Chains({n: r.orchestrator for n, r in runs.items()}, links=FREE) as chains:
        chains.pause("mine")
        chains.pause("other")
        chains.halt("enough", chain="side")
        reports = await step(chains, runs, "main", "side")
        stopped = {name: one.agents for name, one in chains.status().items()}
        chains.resume("mine", chain="main")
        chains.reset("halt")
        await step(chains, runs, "main", "side")
        told = chains.status()
        with pytest.raises(ConfigError, match=r"main: .*no agent 'who'.*; side: .*no agent 'who'"):
            chains.pause("who")
        with pytest.raises(ConfigError, match="no chain 'base' is run here; known are main, side"):
            chains.halt("enough", chain="base")

    assert [TradingState.ACTIVE, TradingState.HALTED] == [report.state for report in reports]
    assert {"main": ["paused", "paused"], "side": ["paused"]} == {
        name: [one.state for one in agents] for name, agents in stopped.items()
    }
    assert {"main": TradingState.ACTIVE, "side": TradingState.ACTIVE} == {
        name: one.state for name, one in told.items()
    }
    assert ["active", "paused"] == [one.state for one in told["main"].agents]
    assert ["paused"] == [one.state for one in told["side"].agents]
    assert all(run.replays() for run in runs.values())


async def test_a_breaker_of_all_chains_together_is_reset_on_all_with_one_word() -> None:
    """What it measured is past: on no chain does it open again for the same loss."""
    limits = BreakerLimits(drawdown_ppm=1_000)
    blocks = main_blocks(2000.0, 2000.0, 1000.0, 1000.0)
    runs = {
        "main": chain(blocks, [BUYS_MAIN], market=DAI_MARKET, capital=DAI_CAPITAL, breakers=limits),
        "side": chain(
            side_blocks(5), [BUYS_SIDE], market=SIDE_MARKET, capital=SIDE_CAPITAL, breakers=limits
        ),
    }
    far = Link(transfer_blocks=0, haircut_ppm=0, max_age_s=10**9)
    async with Chains({n: r.orchestrator for n, r in runs.items()}, links=far) as chains:
        await step(chains, runs, "main", "main", "side", "main", "side")
        opened = chains.status()
        chains.reset("drawdown")
        await step(chains, runs, "side", "main", "side", "side")
        closed = chains.status()

    before, after = (
        [Hazard.DRAWDOWN in {one.hazard for one in status.breakers} for status in told.values()]
        for told in (opened, closed)
    )
    assert [True, True] == before
    assert [False, False] == after
    assert all(run.replays() for run in runs.values())


async def test_a_halt_that_one_chain_cannot_write_halts_the_others(tmp_path: Path) -> None:
    """And the answer says which did not; every other command concerns whom it concerns."""
    runs = {"main": main(2, BUYS_MAIN), "side": side(2, BUYS_SIDE)}
    path = tmp_path / "all.ctl"
    orchestrators = {n: r.orchestrator for n, r in runs.items()}

    async def ask(verb: Verb, target: str = "", chain: str = "") -> Answer:
        asked = Asked(verb=verb, target=target, chain=chain, cancel_pending=True)
        return await asyncio.to_thread(asked_of, path, asked)

    async with Chains(orchestrators, links=FREE, control=path) as chains:
        quiet = await ask("status")
        unknown = await ask("status", chain="base")
        await step(chains, runs, "main", "side")
        one = await ask("pause", "mine", chain="side")
        both = await ask("pause", "mine")
        halted = await ask("halt")
        await runs["main"].journal.close()
        torn = await ask("halt")

    assert ["main", "side"] == list(quiet.chains)
    assert "no chain 'base' is run here; known are main, side" == unknown.error
    assert ["side"] == list(one.chains)
    assert {"side": "mine is paused already"} == both.refused
    assert ["main", "side"] == list(both.chains)
    assert Withdrawn(requests=0, plans=0, at_large=1) == halted.withdrawn
    assert torn.error.startswith("main: ")
    assert torn.error.endswith("; halted: side")
    assert not path.exists()


def pair() -> dict[str, Orchestrator]:
    """Two chains that could run together."""
    return {"main": main(1).orchestrator, "side": side(1).orchestrator}


def shared() -> dict[str, Orchestrator]:
    """Two chains that write into one journal."""
    log = Journal(MemoryBackend())
    return {"main": main(1, journal=log).orchestrator, "side": side(1, journal=log).orchestrator}


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (lambda: Chains({"main": main(1).orchestrator}, links=FREE), "at least two chains"),
        (lambda: Chains(shared(), links=FREE), "main and side share a journal"),
        (lambda: Chains(pair(), links={("main", "side"): FREE}), "no link from side to main"),
        (
            lambda: Chains(
                pair(),
                links={("main", "side"): FREE, ("side", "main"): FREE, ("op", "main"): FREE},
            ),
            "a link from op to main, but the chains are main, side",
        ),
        (lambda: Chains(pair() | {"": main(1).orchestrator}, links=FREE), "named ''; give a word"),
        (
            lambda: Chains(pair() | {"op": "x"}, links=FREE),  # type: ignore[arg-type]
            "chain op is 'x'; give an Orchestrator",
        ),
        (
            lambda: Chains(
                pair(),
                links={("main", "side"): FREE, ("side", "main"): 5},  # type: ignore[dict-item]
            ),
            "the link from side to main is 5; give a Link",
        ),
        (
            lambda: Chains(pair(), links=FREE, assets={"WETH": 1}),  # type: ignore[arg-type]
            "an asset is 'WETH'; give its token by chain",
        ),
        (
            lambda: Chains(pair(), links=FREE, assets=[{"op": WETH.address}]),
            "an asset names chain 'op'; known are main, side",
        ),
        (
            lambda: Chains(pair(), links=FREE, assets=[{"side": WETH.address}]),
            f"token {WETH.address} is not in this market",
        ),
        (
            lambda: Chains(
                pair(), links=FREE, assets=[{"main": WETH.address}, {"main": WETH.address}]
            ),
            "is in two assets",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(build: Callable[[], Chains], why: str) -> None:
    """A roof over one chain, one journal for two, a missing link, an unknown chain or token."""
    with pytest.raises(ConfigError, match=why):
        build()


async def test_an_unknown_chain_is_named() -> None:
    """Asking for a chain that is not there tells which are."""
    chains = Chains(pair(), links=FREE)

    with pytest.raises(ConfigError, match="no chain 'op' is run here; known are main, side"):
        await chains.step("op", HeadChange(added=()))


async def test_chains_that_decide_at_one_time_do_not_grant_the_same_room() -> None:
    """Both are asked for all that one agent may hold, while its code runs in threads: together
    they grant it once."""
    threads = {"mine": Hosting.THREAD}
    quiet = main_blocks(2000.0, 2000.0)
    one = chain(quiet, [BUYS_MAIN], market=DAI_MARKET, capital=DAI_CAPITAL, hosting=threads)
    other = chain(
        side_blocks(2), [BUYS_SIDE], market=SIDE_MARKET, capital=SIDE_CAPITAL, hosting=threads
    )
    runs = {"main": one, "side": other}
    async with Chains({name: run.orchestrator for name, run in runs.items()}, links=FREE) as chains:
        for _ in range(2):
            await asyncio.gather(*(step(chains, runs, name) for name in runs))
        total = chains.total("main")

    assert 0 < total.long[WETH.address] <= LIMITS.max_position_wei
    assert [True, True] == [run.replays() for run in runs.values()]
