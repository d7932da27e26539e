"""The whole orchestrator over given blocks."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from tests.orchestrator.worlds import (
    DAI_CAPITAL,
    DAI_MARKET,
    DAI_PRICE,
    random_market,
    shipped,
)
from toolkit.journal.sqlite import read_entries
from toolkit.model.chain import ZERO_ADDRESS, ZERO_HASH, Address
from toolkit.model.decision import Intent, Leg, Plan, VetoCause
from toolkit.model.errors import ConfigError
from toolkit.model.market import Hop, PoolKind, Route
from toolkit.orchestrator.deciding.limits import Limits
from toolkit.orchestrator.mainnet import DAI, WETH
from toolkit.orchestrator.pausing.pauses import Pause
from toolkit.reasoning.agent import Agent, View
from toolkit.reasoning.arbitrage import CyclicArbitrage
from toolkit.testing.decide import MAIN_POOL, Decided, decide, given, main_pool

PAUSES = [Pause("momentum", on="arbitrage", impact_bps=5)]


@dataclass(frozen=True)
class Odd:
    """An agent that does what it is told, on its third block only."""

    what: object
    name: str = "odd"
    calls: list[int] = field(default_factory=list)

    def on_block(self, view: View) -> Iterable[Intent]:
        """Misbehave."""
        self.calls.append(view.block.number)
        if len(self.calls) != 3:
            return ()
        if isinstance(self.what, BaseException):
            raise self.what
        if callable(self.what):
            self.what(view)
            return [intent()]
        return self.what  # type: ignore[return-value]


def intent(**changes: object) -> Intent:
    """A good wish of the odd agent, or one spoilt in one field."""
    leg = Leg(token_in=WETH.address, token_out=DAI.address, amount_in=10**18)
    good = Intent(agent="odd", legs=(leg,), edge_wei=0, inputs=(DAI_PRICE.key,))
    return msgspec.structs.replace(good, **changes)


def leg(**changes: object) -> tuple[Leg, ...]:
    """Its leg, or one spoilt in one field."""
    good = Leg(token_in=WETH.address, token_out=DAI.address, amount_in=10**18)
    return (msgspec.structs.replace(good, **changes),)


def endless() -> Iterable[Intent]:
    """A flood without end."""
    while True:
        yield intent()


class Unspeakable(Exception):
    """Cannot even say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


def through(**changes: object) -> Intent:
    """A cycle whose route, or its first hop, is spoilt in one field."""
    names = set(changes) & set(Hop.__struct_fields__)
    hop = Hop(
        pool=MAIN_POOL,
        kind=PoolKind.CONSTANT_PRODUCT,
        token_in=WETH.address,
        token_out=DAI.address,
        amount_in=10**18,
        amount_out=10**18,
        fee_ppm=3000,
    )
    route = Route(
        token_in=WETH.address,
        token_out=WETH.address,
        amount_in=10**18,
        amount_out=2 * 10**18,
        hops=(msgspec.structs.replace(hop, **{name: changes.pop(name) for name in names}),),
        block_hash=ZERO_HASH,
        block_number=1,
    )
    spoilt = msgspec.structs.replace(route, **changes)
    return intent(legs=leg(token_out=WETH.address, route=spoilt), edge_wei=1)


def run(
    agents: Sequence[Agent],
    *,
    blocks: int = 30,
    pauses: Sequence[Pause] = (),
    journal: Path | None = None,
    lands: Callable[[Plan], bool] | None = None,
) -> Decided:
    """Run agents over a market in which things happen."""
    return decide(
        agents,
        random_market(3, blocks=blocks),
        capital=DAI_CAPITAL,
        market=DAI_MARKET,
        pauses=pauses,
        journal=journal,
        lands=lands,
    )


def others(decided: Decided) -> list[bytes]:
    """What was decided about everybody but the odd agent, without verdict numbers."""
    return [
        msgspec.json.encode(msgspec.structs.replace(verdict, verdict_id=""))
        for verdict in decided.verdicts
        if "odd" not in verdict.agents
    ]


BAD = {
    "exception": ValueError("boom"),
    "nan": [intent(confidence=float("nan"))],
    "infinite edge": [intent(edge_wei=float("inf"))],
    "negative amount": [intent(legs=leg(amount_in=-1))],
    "zero amount": [intent(legs=leg(amount_in=0))],
    "float amount": [intent(legs=leg(amount_in=1e18))],
    "bool amount": [intent(legs=leg(amount_in=True))],
    "unknown token": [intent(legs=leg(token_out=Address("0x" + "77" * 20)))],
    "no address": [intent(legs=leg(token_in=["x"]))],
    "unit error": [intent(legs=leg(amount_in=10**27))],
    "flood": [intent() for _ in range(1000)],
    "endless flood": endless(),
    "no intent": ["buy!"],
    "nothing iterable": 7,
    "another's name": [intent(agent="momentum")],
    "no legs": [intent(legs=())],
    "cycle without route": [intent(legs=leg(token_out=WETH.address))],
    "zero validity": [intent(valid_for_blocks=0)],
    "unhashable input": [intent(inputs=([],))],
    "endless reason": [intent(reason="x" * 10_000)],
    "exit": SystemExit(3),
    "cancellation": asyncio.CancelledError(),
    "unspeakable": Unspeakable(),
    "exception that is no text": ValueError("\ud800"),
    "reason that is no text": [intent(reason="\ud800")],
    "input that is no text": [intent(inputs=("\ud800",))],
    "looked up a number": lambda view: view.reading(5),
    "looked up what is no text": lambda view: view.reading("\ud800"),
    "unhashable pool": [through(pool=[])],
    "pool of no type": [through(pool=object())],
    "kind of no type": [through(kind=object())],
    "block number of text": [through(block_number="1")],
}


@pytest.mark.parametrize("what", BAD.values(), ids=BAD.keys())
def test_a_bad_agent_is_quarantined_and_nothing_else_disturbed(what: object) -> None:
    """A bad output is vetoed once with its reason, the agent never asked again."""
    odd = Odd(what)

    decided = run([*shipped(), odd], pauses=PAUSES)

    (veto,) = (verdict for verdict in decided.verdicts if "odd" in verdict.agents)
    assert (1002, VetoCause.INVALID) == (veto.block_number, veto.cause)
    assert "odd is quarantined" in veto.why
    assert [1000, 1001, 1002] == odd.calls
    assert "odd" in decided.reports[-1].quarantined
    assert others(run(shipped(), pauses=PAUSES)) == others(decided)


def test_an_agent_that_spoils_its_view_spoils_only_its_own() -> None:
    """What an agent does to the containers of its view, no other agent sees."""

    class Vandal:
        name = "odd"

        def on_block(self, view: View) -> Iterable[Intent]:
            view.snapshot.pools.clear()
            view.snapshot.tokens.clear()
            view.balances.clear()  # type: ignore[attr-defined]
            view.readings.clear()  # type: ignore[attr-defined]  # cannot: quarantined for it
            return ()

    # "odd" sorts before "rebalancing" and after the other two.
    assert others(run(shipped())) == others(run([*shipped(), Vandal()]))


def test_the_ledger_is_the_chain_in_every_block() -> None:
    """Expected balances equal the world's in every block, and books add up to their change."""
    decided = run(shipped(), blocks=60, pauses=PAUSES)
    last = decided.reports[-1]
    start = {**DAI_CAPITAL, ZERO_ADDRESS: 100 * 10**18}

    assert [] == [report.head.number for report in decided.reports if report.discrepancies]
    for token, amount in start.items():
        earned = sum(book.get(token, 0) for book in last.books.values())
        assert last.balances[token] == amount + earned
    assert any(fill.landed for report in decided.reports for fill in report.fills)


def test_plans_of_one_block_never_share_a_pool() -> None:
    """A pool that one plan goes through is closed to every later plan of the block."""
    decided = run(shipped(), blocks=60)
    together = [report.plans for report in decided.reports if len(report.plans) > 1]

    assert together
    for plans in together:
        pools = [hop.pool for plan in plans for hop in plan.route.hops]
        assert len(set(pools)) == len(pools)


def test_worst_case_gas_is_bounded() -> None:
    """A plan whose gas could cost more than the limit is vetoed with both figures."""
    blocks = random_market(3, blocks=3)
    limits = Limits(max_gas_wei=10**15)

    decided = decide(shipped(), blocks, capital=DAI_CAPITAL, market=DAI_MARKET, limits=limits)

    assert all(not report.plans for report in decided.reports)
    veto = decided.verdicts[0]
    assert VetoCause.LIMIT == veto.cause
    assert "at most 1000000000000000" in veto.why


def test_lost_plans_free_their_capital_and_change_nothing() -> None:
    """When no plan lands, balances stay and everything reserved is free again."""
    decided = run(shipped(), blocks=20, lands=lambda _: False)

    assert any(report.plans for report in decided.reports)
    assert all(not fill.landed for report in decided.reports for fill in report.fills)
    assert DAI_CAPITAL[WETH.address] == decided.reports[-1].balances[WETH.address]
    trades = [move for v in decided.reports[-1].books.values() for move in v.values() if move]
    assert sum(trades) == 0


def test_own_arbitrage_pauses_momentum_and_the_pause_ends() -> None:
    """A large own cycle pauses momentum, which is vetoed with the cause, and later freed."""
    blocks = random_market(11, blocks=90, gap=0.0, planted={0: 0.02})

    decided = decide(shipped(), blocks, capital=DAI_CAPITAL, market=DAI_MARKET, pauses=PAUSES)

    paused = [report.head.number for report in decided.reports if report.paused]
    assert 1001 == paused[0]
    assert paused[-1] < blocks[-1].head.number
    first = decided.reports[1].paused[0]
    assert ("momentum", ("1000-0",)) == (first.agent, first.because)


def test_turning_pauses_off_changes_a_momentum_decision() -> None:
    """The same market without pauses lets momentum do something it was vetoed for."""
    with_pauses, without = run(shipped(), pauses=PAUSES), run(shipped())
    vetoed = [v for v in with_pauses.verdicts if v.cause is VetoCause.PAUSED]

    assert vetoed
    assert all(verdict.cause is not VetoCause.PAUSED for verdict in without.verdicts)
    allowed = {v.block_number for v in without.verdicts if v.approved and "momentum" in v.agents}
    assert vetoed[0].block_number in allowed


def test_a_reorg_takes_back_fills_readings_and_names() -> None:
    """After a reorg the books forget its fills, and the number's verdicts get new names."""
    first, second = random_market(5, blocks=2, gap=0.0, planted={0: 0.02, 1: 0.02})
    again = given(
        1001,
        pools=list(second.snapshot.pools.values()),
        fork="b",
        reverted=[second.head],
        tokens=DAI_MARKET.tokens,
    )

    decided = decide(
        [CyclicArbitrage()], [first, second, again], capital=DAI_CAPITAL, market=DAI_MARKET
    )

    before, after, repeated = decided.reports
    assert before.plans
    assert any(fill.landed for fill in after.fills)
    assert 1 == repeated.reverted_blocks
    assert {} == repeated.discrepancies
    assert all(amount == 0 for book in repeated.books.values() for amount in book.values())
    assert all(v.verdict_id.startswith("1001.1-") for v in repeated.verdicts)


def test_the_journal_may_be_a_file_and_is_durable(tmp_path: Path) -> None:
    """With a path the journal is a file that holds exactly what was returned."""
    path = tmp_path / "journal.db"

    decided = run(shipped(), blocks=3, journal=path)

    assert list(decided.journal) == list(read_entries(path))


async def test_it_runs_inside_an_event_loop() -> None:
    """A test that is itself a coroutine can call it."""
    await asyncio.sleep(0)

    assert 3 == len(run(shipped(), blocks=3).reports)


def test_impossible_set_ups_are_refused_at_the_start() -> None:
    """No blocks, twin names, a cycle of pauses: one clear line."""
    blocks = [given(1000, pools=[main_pool("2000")])]
    cases = [
        ([], blocks, [Pause("a", "b")], "names 'a'"),
        (shipped(), [], [], "at least one block"),
        ([*shipped(), *shipped()], blocks, [], "share a name"),
        (
            shipped(),
            blocks,
            [Pause("momentum", "arbitrage"), Pause("arbitrage", "momentum")],
            "arbitrage -> momentum -> arbitrage",
        ),
    ]
    for agents, given_blocks, pauses, words in cases:
        with pytest.raises(ConfigError, match=words):
            decide(agents, given_blocks, capital=DAI_CAPITAL, market=DAI_MARKET, pauses=pauses)
