from tests.orchestrator.test_halt import Recorded
from tests.orchestrator.test_recovery import Once
from tests.orchestrator.worlds import DAI_CAPITAL, DAI_MARKET, random_market, shipped
from toolkit.execution.planner import worst_gas_wei
from toolkit.model.chain import HeadChange
from toolkit.model.market import FundingKind
from toolkit.orchestrator import records
from toolkit.orchestrator.mainnet import WETH
from toolkit.orchestrator.records import Planned
from toolkit.orchestrator.replay import decoded
from toolkit.orchestrator.runtime import Orchestrator
from toolkit.perception.perceived import Perceived
from toolkit.testing.decide import decide


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
