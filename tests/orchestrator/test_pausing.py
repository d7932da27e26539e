"""Pauses in whole blocks: who is vetoed, asked twice, or reads other prices, and why."""

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
import pytest

from tests.orchestrator.worlds import DAI_CAPITAL, DAI_MARKET, DAI_PRICE, random_market
from toolkit.model.decision import Intent, Leg, VetoCause
from toolkit.orchestrator import records
from toolkit.orchestrator.audit.replay import decoded, replay
from toolkit.orchestrator.core import Core
from toolkit.orchestrator.hosting.asking import Thought, ask
from toolkit.orchestrator.mainnet import DAI, WETH
from toolkit.orchestrator.pausing.pauses import Assessment, Breaker, Feed, Pause
from toolkit.orchestrator.pausing.reasons import without
from toolkit.reasoning.agent import Agent, View
from toolkit.reasoning.arbitrage import CyclicArbitrage
from toolkit.testing.decide import Decided, decide
from toolkit.testing.oscillators import Donchian

KEY = DAI_PRICE.key
BLOCKS = random_market(11, blocks=30, gap=0.0, planted={0: 0.02})


class Watcher(msgspec.Struct, frozen=True, kw_only=True):
    """Buys a little in each block and says which prices it saw; no linear signal."""

    name: str = "watcher"
    buys_above: float = 0.0

    def on_block(self, view: View) -> Iterable[Intent]:
        """Return the one wish."""
        if view.price(KEY) <= self.buys_above:
            return ()
        leg = Leg(token_in=DAI.address, token_out=WETH.address, amount_in=10**20)
        seen = " ".join(repr(price) for price in view.history(KEY, 3))
        return (Intent(agent=self.name, legs=(leg,), edge_wei=10**16, reason=seen),)


def run(*agents: Agent, pauses: Iterable[Pause] = ()) -> Decided:
    """Decide the blocks; arbitrage trades in the first."""
    return decide(
        [CyclicArbitrage(), *agents],
        BLOCKS,
        capital=DAI_CAPITAL,
        market=DAI_MARKET,
        pauses=tuple(pauses),
    )


def reasons(decided: Decided, agent: str) -> list[str]:
    """What an agent said of its intents, block by block."""
    return [
        one.intent.reason
        for report in decided.reports
        for one in report.intents
        if one.intent.agent == agent
    ]


def vetoed(decided: Decided, agent: str) -> list[str]:
    """Why an agent's intents were vetoed by a pause."""
    return [
        verdict.why
        for verdict in decided.verdicts
        if verdict.cause is VetoCause.PAUSED and verdict.agents == (agent,)
    ]


def test_subtraction_shows_the_price_as_it_would_be() -> None:
    """After the own trade its dependent reads another price than everybody else, and trades."""
    pause = Pause("watcher", "arbitrage", 1.0, effect="subtract")
    raw, cleaned = run(Watcher()), run(Watcher(), pauses=[pause])

    before, after = (reasons(one, "watcher") for one in (raw, cleaned))

    assert before[0] == after[0]
    assert all(one != other for one, other in zip(before[1:], after[1:], strict=True))
    assert [] == vetoed(cleaned, "watcher")
    notes = [e for e in cleaned.journal if e.kind == records.PAUSE]
    assert "is taken out of what it reads" in notes[0].data.decode()
    assert replay(cleaned.journal, agents=[Watcher()]).identical


def test_one_without_a_signal_waits_exactly_while_it_would_do_otherwise() -> None:
    """Asked twice, it is vetoed in the blocks in which the own trade changes its answer."""
    pause = Pause("watcher", "arbitrage", 1.0)
    prices = [report.prices[KEY] for report in run().reports]
    always = run(Watcher(), pauses=[pause])
    free = reasons(
        run(Watcher(), pauses=[Pause("watcher", "arbitrage", 1.0, effect="subtract")]), "watcher"
    )
    clean = [float(one.split()[-1]) for one in free]
    for level in (prices[1], (prices[5] + clean[5]) / 2):
        decided = run(Watcher(buys_above=level), pauses=[pause])
        expected = [
            report.head.number
            for report, seen, other in zip(decided.reports, prices, clean, strict=True)
            if seen > level >= other
        ]

        found = [v.block_number for v in decided.verdicts if v.cause is VetoCause.PAUSED]

        assert expected == found
        assert replay(decided.journal, agents=[Watcher(buys_above=level)]).identical

    assert any(abs(a - b) > 0 for a, b in zip(prices, clean, strict=True))
    assert [] == vetoed(always, "watcher")  # it buys either way


def test_the_second_question_is_never_an_intent() -> None:
    """What an agent would have done without own trades is compared, not traded."""
    decided = run(
        Donchian(base=WETH.address, quote=DAI.address, price_key=KEY),
        pauses=[Pause("donchian", "arbitrage", 1.0)],
    )

    names = {one.intent.agent for report in decided.reports for one in report.intents}

    assert names <= {"arbitrage", "donchian"}


@dataclass
class Moody:
    """Raises when it reads another price than the newest of the board."""

    newest: float
    name: str = "moody"

    def on_block(self, view: View) -> Iterable[Intent]:
        """Return one wish, or fail."""
        if view.block.number >= 1001 and view.price(KEY) not in self.known:
            raise RuntimeError("who changed my price?")
        leg = Leg(token_in=DAI.address, token_out=WETH.address, amount_in=10**20)
        return (Intent(agent=self.name, legs=(leg,), edge_wei=10**16),)

    @property
    def known(self) -> set[float]:
        """Prices that were really there."""
        return {float(block.snapshot.mid_price(DAI_PRICE.pool, WETH.address)) for block in BLOCKS}


def test_a_second_answer_that_fails_pauses_and_condemns_nobody() -> None:
    """An agent that breaks down on a price that never was is paused, not quarantined."""
    prices = {report.prices[KEY] for report in run().reports}

    class Strict(Moody):
        known = prices

    decided = run(Strict(newest=0.0), pauses=[Pause("moody", "arbitrage", 1.0)])

    assert {} == decided.reports[-1].quarantined
    whys = vetoed(decided, "moody")
    assert whys
    assert all("its answer without it did not come" in why for why in whys)


def test_a_discounted_agent_trades_less() -> None:
    """While its answer would be another, it counts with what is tolerated."""
    pause = Pause("watcher", "arbitrage", 1.0, 0.5, "discount")
    prices = [report.prices[KEY] for report in run().reports]
    whole, less = (run(Watcher(buys_above=prices[1] - 1e-9), pauses=p) for p in ((), [pause]))

    def paid(decided: Decided) -> dict[int, int]:
        return {
            verdict.block_number: verdict.legs[0].amount_in
            for verdict in decided.verdicts
            if verdict.legs and verdict.agents == ("watcher",)
        }

    weighed = [block for block in paid(whole) if block in paid(less)]
    assert 1001 in weighed
    assert paid(whole)[1001] == 2 * paid(less)[1001]
    assert [] == vetoed(less, "watcher")


@pytest.mark.parametrize(
    ("on", "words"),
    [
        (Feed("oracle/ETH"), "feed oracle/ETH has given nothing"),
        (Feed(KEY), ""),
        (Breaker("gas"), ""),
    ],
)
def test_feeds_and_breakers_are_told_in_the_veto(on: Feed | Breaker, words: str) -> None:
    """A dependent of a feed that never came is vetoed with that; one of a good feed trades."""
    decided = run(Watcher(), pauses=[Pause("watcher", on)])

    found = vetoed(decided, "watcher")

    assert (words != "") == bool(found)
    assert all(words in why for why in found)
    noted = [decoded(e, Assessment) for e in decided.journal if e.kind == records.PAUSE]
    assert all(one.because == ("feed:oracle/ETH",) for one in noted)


def test_a_second_answer_that_is_lost_pauses_and_is_replayed() -> None:
    """Where the answer without own trades never came, the dependent waits; so says a replay."""
    pause = Pause("watcher", "arbitrage", 1.0)
    decided = run(Watcher(), pauses=[pause])
    agents: list[Agent] = [CyclicArbitrage(), Watcher()]
    setup = next(decoded(e, records.Setup) for e in decided.journal if e.kind == records.SETUP)
    given_rows: list[msgspec.Struct] = []
    blocks: list[records.Inputs] = []
    for entry in decided.journal:
        if entry.kind in records.INPUT_TYPES:
            given_rows.append(decoded(entry, records.INPUT_TYPES[entry.kind]))
            if entry.kind == records.PERCEIVED:
                blocks.append(records.gathered(given_rows))
                given_rows = []
    lost = records.Lost(agent=without("watcher"), why="too late")
    blocks[1] = msgspec.structs.replace(blocks[1], lost=(lost,))

    live, again = (Core(setup, agents) for _ in range(2))
    live.advance(blocks[0])
    questions = live.begin(msgspec.structs.replace(blocks[1], lost=()))
    assert without("watcher") in {one.name for one in questions}
    answers = {one.name: ask(one) for one in questions}
    answers[without("watcher")] = Thought(lost="too late")
    decision = live.decide(answers)
    again.advance(blocks[0])
    repeated = again.advance(blocks[1])

    (veto,) = [v for v in decision.report.verdicts if v.cause is VetoCause.PAUSED]
    assert ("watcher",) == veto.agents
    assert "did not come" in veto.why
    assert [msgspec.json.encode(one.data) for one in decision.records] == [
        msgspec.json.encode(one.data) for one in repeated.records
    ]
