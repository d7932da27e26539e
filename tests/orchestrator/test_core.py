"""What the deciding fold does with capital, block after block."""

from collections.abc import Iterable

import msgspec

from tests.orchestrator.audit.test_recovery import Once
from tests.orchestrator.recorded import Recorded
from tests.orchestrator.worlds import DAI_CAPITAL, DAI_MARKET, random_market, shipped
from toolkit.execution.planner import worst_gas_wei
from toolkit.journal.log import Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.model.chain import Address, HeadChange
from toolkit.model.decision import Intent, Leg, Reading, VetoCause
from toolkit.model.market import FundingKind, Token
from toolkit.orchestrator import records
from toolkit.orchestrator.audit.recovery import KINDS
from toolkit.orchestrator.audit.replay import decoded, replay
from toolkit.orchestrator.core import Core
from toolkit.orchestrator.mainnet import USDC, WETH
from toolkit.orchestrator.market import Market
from toolkit.orchestrator.records import Planned
from toolkit.orchestrator.runtime import Orchestrator
from toolkit.perception.perceived import Perceived
from toolkit.perception.prices import PriceSource
from toolkit.reasoning.agent import View
from toolkit.testing.decide import OFFLINE_MARKET, PRICE_KEY, decide, given, main_pool
from toolkit.testing.paper import GivenBlock

ODD = Token(address=Address(f"0x{0xA0:040x}"), symbol="ODD", decimals=18)
ODD_PRICE = PriceSource(
    key="price/ODD-USDC", pool=Address("0x" + "0d" * 20), base=ODD.address, quote=USDC.address
)
ODD_MARKET = Market(
    wrapped=WETH.address,
    tokens=(ODD, USDC, WETH),
    stables=(USDC.address,),
    prices=(*OFFLINE_MARKET.prices, ODD_PRICE),
)


def odd_block(number: int) -> GivenBlock:
    """A block with a token that has a price and no pool."""
    block = given(number, pools=[main_pool("2000")], tokens=ODD_MARKET.tokens)
    price = Reading(
        key=ODD_PRICE.key,
        value=2000.0,
        source="somebody",
        block_number=number,
        block_hash=block.head.hash,
        observed_at=block.head.timestamp,
        max_age_blocks=0,
    )
    return msgspec.structs.replace(block, readings=(price,))


def test_reserved_gas_covers_every_transaction_of_a_plan() -> None:
    """What is held for a plan is its worst case, approvals and a tip in native token included."""
    blocks = random_market(3, blocks=30)
    fees = {block.head.number: block.fee for block in blocks}

    decided = decide(shipped(), blocks, capital=DAI_CAPITAL, market=DAI_MARKET)

    plans = [decoded(entry, Planned) for entry in decided.journal if entry.kind == records.PLAN]
    assert {FundingKind.OWN, FundingKind.BALANCER} <= {one.plan.funding.kind for one in plans}
    for planned in plans:
        fee = fees[planned.plan.target_block - 1]
        assert worst_gas_wei(planned.plan, fee) == planned.reservation.gas_wei


async def test_a_plan_is_in_flight_from_the_next_block_on() -> None:
    """What was decided is reserved, with the next block it is out, and past its target it is free.

    Nothing is sent here, so nothing comes back: only time ends it.
    """
    blocks = random_market(3, blocks=3, gap=0.0)
    first = decide([Once()], blocks, capital=DAI_CAPITAL, market=DAI_MARKET)
    seen = [decoded(entry, Perceived) for entry in first.journal if entry.kind == records.PERCEIVED]
    world = Recorded(seen)
    states = []
    async with Orchestrator(
        world, agents=[Once()], market=DAI_MARKET, perception=world
    ) as orchestrator:
        for one in seen:
            await orchestrator.step(HeadChange(added=(one.head,)))
            states.append(orchestrator.ledger())

    promised = [state.promised.get(WETH.address, 0) for state in states]
    in_flight = [state.in_flight.get(WETH.address, 0) for state in states]
    assert [5 * 10**17, 5 * 10**17, 0] == promised
    assert [0, 5 * 10**17, 0] == in_flight


class Wants(msgspec.Struct, frozen=True, kw_only=True):
    """Wants all the quote currency there is for one asset, in every block."""

    name: str
    asset: Address

    def on_block(self, view: View) -> Iterable[Intent]:
        """Return the one wish."""
        view.price(PRICE_KEY)
        leg = Leg(token_in=USDC.address, token_out=self.asset, amount_in=4_000 * 10**6)
        return (Intent(agent=self.name, legs=(leg,), edge_wei=0),)


def test_a_wish_that_never_finds_a_route_starves_nobody() -> None:
    """Who was tried and declined has had its turn, also after a restart: the next one is served."""
    agents = [Wants(name="hopeless", asset=ODD.address), Wants(name="sound", asset=WETH.address)]
    blocks = [odd_block(1_000 + n) for n in range(4)]
    log = Journal(MemoryBackend())
    capital = {USDC.address: 4_000 * 10**6}

    first = decide(agents, blocks[:1], capital=capital, market=ODD_MARKET, journal=log)
    second = decide(agents, blocks[1:], capital=capital, market=ODD_MARKET, journal=log)

    causes = {one.agents: one.cause for one in first.verdicts}
    assert {("hopeless",): VetoCause.NO_ROUTE, ("sound",): VetoCause.NO_CAPITAL} == causes
    assert second.reports[0].plans
    assert replay(second.journal, agents=agents).identical


def test_a_block_is_told_as_it_ended_however_late_it_is_asked_for() -> None:
    """A report that is asked for blocks later is the one that could be had at once."""
    decided = decide(shipped(), random_market(5, blocks=8), capital=DAI_CAPITAL, market=DAI_MARKET)
    entries = [entry for entry in decided.journal if entry.kind in KINDS]
    setup = decoded(entries[0], records.Setup)
    seen = [decoded(entry, Perceived) for entry in entries if entry.kind == records.PERCEIVED]
    prompt, patient = Core(setup, shipped()), Core(setup, shipped())

    at_once = [prompt.advance(records.Inputs(seen=one)).report for one in seen]
    waiting = [patient.advance(records.Inputs(seen=one)) for one in seen]

    assert at_once == [decision.report for decision in waiting]
    assert any(report.verdicts for report in at_once)
