import json
from pathlib import Path

import pytest

from toolkit.devnet.building.refunds import Formula, refund_wei

GWEI = 10**9


@pytest.mark.realdata
def test_refunds_are_those_of_the_rules_in_use(data_dir: Path) -> None:
    """Each recorded refund to the wei, by the rule that its source names."""
    path = data_dir / "bundles/refund_formula_vectors.json"
    titan, spec, rbuilder = json.loads(path.read_text())["vectors"]
    # The vector's payment of 15,000 stands for thousands of Gwei, as does its refund.
    value = titan["lastTxReward_gwei"] * 1000 * GWEI
    found = [
        refund_wei(
            Formula.NET_SHARED,
            value_wei=value,
            percent=titan["percent"],
            gas=titan["payoutGas"],
            base_fee_wei=titan["baseFee_gwei"] * GWEI,
        )
    ]
    for vector, formula in ((spec, Formula.NET_SHARED), (rbuilder, Formula.SHARED_NET)):
        found.append(
            refund_wei(
                formula,
                value_wei=vector["V"],
                percent=vector["percent"],
                gas=vector["payoutGas"],
                base_fee_wei=vector["baseFee"],
            )
        )

    assert [titan["refund_gwei"] * 1000 * GWEI, spec["refund"], rbuilder["refund"]] == found


def test_the_two_rules_differ_by_the_kept_share_of_the_payouts_cost() -> None:
    """(V - cost) * p exceeds V * p - cost by (1 - p) * cost."""
    terms = {"value_wei": 10**18, "percent": 90, "gas": 21_000, "base_fee_wei": 7 * GWEI}
    net, shared = (refund_wei(each, **terms) for each in Formula)

    assert 21_000 * 7 * GWEI // 10 == net - shared


@pytest.mark.parametrize("formula", list(Formula))
def test_a_refund_is_rounded_down_and_may_not_cover_its_payout(formula: Formula) -> None:
    """The builder keeps the odd wei; what is left of too small a payment is not above zero."""
    odd = refund_wei(formula, value_wei=199, percent=50, gas=0, base_fee_wei=0)
    small = refund_wei(formula, value_wei=100, percent=50, gas=100, base_fee_wei=1)

    assert odd == 99
    assert small <= 0
