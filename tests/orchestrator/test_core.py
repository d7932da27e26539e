from tests.orchestrator.worlds import DAI_CAPITAL, DAI_MARKET, random_market, shipped
from toolkit.execution.planner import worst_gas_wei
from toolkit.model.market import FundingKind
from toolkit.orchestrator import records
from toolkit.orchestrator.records import Planned
from toolkit.orchestrator.replay import decoded
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
