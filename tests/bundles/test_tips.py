from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.bundles.tips import Bid, BidPolicy
from toolkit.model.errors import ConfigError
from toolkit.model.units import PPM

WEI = st.integers(0, 10**24)
POLICIES = st.builds(
    BidPolicy,
    cap_wei=WEI,
    share_ppm=st.integers(0, PPM),
    min_tip_per_gas=st.integers(0, 10**12),
    coinbase_ppm=st.sampled_from([0, 1, PPM // 3, PPM]) | st.integers(0, PPM),
)


@pytest.mark.parametrize(
    ("policy", "profit_wei", "gas", "bid"),
    [
        # the share, as a priority fee: 900 / 90 = 10 a gas
        ({"cap_wei": 10**6}, 1_000, 90, (10, 900, 0, 100)),
        # the cap
        ({"cap_wei": 450}, 1_000, 90, (5, 450, 0, 550)),
        # what 91 gas cannot express is kept: 900 = 9 * 91 + 81
        ({"cap_wei": 10**6}, 1_000, 91, (9, 819, 0, 181)),
        # or goes with the transfer: half of 900 is 450, 450 = 4 * 91 + 86
        ({"cap_wei": 10**6, "coinbase_ppm": PPM // 2}, 1_000, 91, (4, 364, 536, 100)),
        # everything as a transfer
        ({"cap_wei": 10**6, "coinbase_ppm": PPM}, 1_000, 91, (0, 0, 900, 100)),
        # the floor is above the share: 90 * 11 = 990
        ({"cap_wei": 10**6, "min_tip_per_gas": 11}, 1_000, 90, (11, 990, 0, 10)),
        # the floor is all of it
        ({"cap_wei": 10**6, "min_tip_per_gas": 10}, 900, 90, (10, 900, 0, 0)),
        # the floor is above the profit, or above the cap
        ({"cap_wei": 10**6, "min_tip_per_gas": 11}, 900, 90, None),
        ({"cap_wei": 989, "min_tip_per_gas": 11}, 1_000, 90, None),
        # no profit, no bid
        ({"cap_wei": 10**6}, 0, 90, None),
        ({"cap_wei": 10**6}, -5, 90, None),
    ],
)
def test_a_profit_is_divided_exactly(
    policy: dict[str, int], profit_wei: int, gas: int, bid: tuple[int, int, int, int] | None
) -> None:
    """min(cap, share of the profit), at least the floor, by the ways that were asked for."""
    found = BidPolicy(**policy).bid(profit_wei=profit_wei, gas=gas)

    assert bid == (found and (found.priority_fee_per_gas, *_amounts(found)))


def _amounts(bid: Bid) -> tuple[int, int, int]:
    return bid.priority_wei, bid.coinbase_wei, bid.kept_wei


@given(policy=POLICIES, profit_wei=st.integers(-(10**24), 10**24), gas=st.integers(1, 30_000_000))
def test_paid_and_kept_are_the_profit_to_the_wei(
    policy: BidPolicy, profit_wei: int, gas: int
) -> None:
    """No wei is lost or made up, no bid exceeds cap or profit or falls below the floor, and a
    profit that cannot pay the floor pays nothing."""
    bid = policy.bid(profit_wei=profit_wei, gas=gas)
    floor = gas * policy.min_tip_per_gas
    wanted = max(floor, min(policy.cap_wei, profit_wei * policy.share_ppm // PPM))

    assert (bid is None) == (profit_wei <= 0 or floor > min(profit_wei, policy.cap_wei))
    if bid is not None:
        assert profit_wei == bid.paid_wei + bid.kept_wei
        assert bid.priority_wei == bid.priority_fee_per_gas * gas
        assert floor <= bid.paid_wei <= min(policy.cap_wei, profit_wei)
        assert min(_amounts(bid)) >= 0
        assert wanted - bid.paid_wei in range(1 if policy.coinbase_ppm else gas)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"cap_wei": -1}, "bid.cap_wei is -1"),
        ({"cap_wei": 1.5}, "bid.cap_wei is 1.5"),
        ({"share_ppm": PPM + 1}, "bid.share_ppm"),
        ({"coinbase_ppm": -1}, "bid.coinbase_ppm"),
        ({"min_tip_per_gas": True}, "bid.min_tip_per_gas"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(fields: dict[str, Any], words: str) -> None:
    """By the name of the field, with its value."""
    with pytest.raises(ConfigError, match=words):
        BidPolicy(**({"cap_wei": 1} | fields))


@pytest.mark.parametrize(("profit_wei", "gas"), [(1.0, 1), (True, 1), (1, 0), (1, 1.0)])
def test_a_profit_is_an_amount_and_gas_a_number(profit_wei: Any, gas: Any) -> None:
    """Floats, bools and no gas at all are refused."""
    with pytest.raises(ConfigError, match="give an integer"):
        BidPolicy(cap_wei=1).bid(profit_wei=profit_wei, gas=gas)
