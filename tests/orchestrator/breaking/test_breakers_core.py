"""What binds a chain from beside its market: other chains' losses, doubts about its own prices."""

from collections.abc import Sequence

import msgspec
import pytest

from tests.orchestrator.recorded import seen_blocks
from tests.orchestrator.worlds import DAI_MARKET, shipped
from toolkit.model.decision import TradingState
from toolkit.orchestrator.arguments import agent_setup
from toolkit.orchestrator.block import Decision
from toolkit.orchestrator.board.doubts import FactRule
from toolkit.orchestrator.breaking.hazards import Hazard
from toolkit.orchestrator.capital.elsewhere import Elsewhere, Link
from toolkit.orchestrator.core import Core
from toolkit.orchestrator.deciding.limits import Limits
from toolkit.orchestrator.records import Inputs, Setup
from toolkit.perception.perceived import Perceived

ETHER = 10**18
PRICE = DAI_MARKET.prices[0].key
OTHERS = ("feed/one", "feed/two")


def core(*facts: FactRule) -> Core:
    agents = sorted(shipped(), key=lambda agent: agent.name)
    setup = Setup(
        agents=tuple(agent_setup(agent) for agent in agents),
        limits=Limits(),
        pauses=(),
        market=DAI_MARKET,
        facts=facts,
    )
    return Core(setup, agents)


def beside(pnl_wei: int) -> Elsewhere:
    """Another chain on which so much was gained."""
    return Elsewhere(
        chain="other",
        block_number=1,
        observed_at=0,
        state=TradingState.ACTIVE,
        pnl_wei=pnl_wei,
        capital_wei=100 * ETHER,
        books={},
        balances={},
        link=Link(transfer_blocks=1, haircut_ppm=0),
    )


def told(seen: Perceived, values: Sequence[float]) -> Perceived:
    """The block, with feeds beside its own price."""
    own = next(one for one in reversed(seen.readings) if one.key == PRICE)
    more = [
        msgspec.structs.replace(own, key=key, source=key, value=float(own.value) * factor)
        for key, factor in zip(OTHERS, values, strict=True)
    ]
    return msgspec.structs.replace(seen, readings=(*seen.readings, *more))


def tripped(decision: Decision) -> set[Hazard]:
    return {one.hazard for one in decision.report.breakers}


def test_what_is_lost_elsewhere_reduces_here() -> None:
    """5 % of all chains' capital lost on another is no loss here, and reduces here all the same."""
    one, (first, second, *_) = core(), seen_blocks()
    calm = one.advance(Inputs(seen=first, elsewhere=(beside(0),)))
    decision = one.advance(Inputs(seen=second, elsewhere=(beside(-50 * ETHER),)))

    assert set() == tripped(calm)
    assert {Hazard.DRAWDOWN} == tripped(decision)
    assert "on all chains together" in decision.report.breakers[0].evidence.why


@pytest.mark.parametrize(
    ("key", "values", "expected"),
    [
        (PRICE, (1.0, 1.0), set()),
        (PRICE, (1.0, 1.2), set()),  # two of three agree: only the third is in doubt
        (PRICE, (0.8, 0.8), {Hazard.ORACLE}),  # the market's own is the odd one
        (OTHERS[0], (1.0, 1.2), set()),  # two feeds that the market is not valued by
    ],
)
def test_doubts_about_the_markets_own_price_reduce(
    key: str, values: tuple[float, float], expected: set[Hazard]
) -> None:
    """A doubt about any other fact refuses what rests on it, and stops nobody else."""
    sources = OTHERS if key == PRICE else OTHERS[1:]
    one = core(FactRule(key=key, sources=sources))

    decision = one.advance(Inputs(seen=told(seen_blocks()[0], values)))

    assert expected == tripped(decision)
