"""What a block shows is measured by the chain's own balances, and only by prices that are fresh."""

import pytest

from tests.orchestrator.worlds import TETHER_MARKET
from toolkit.model.chain import ZERO_ADDRESS, ZERO_HASH, Address, Hash
from toolkit.model.decision import Fill, Reading
from toolkit.orchestrator.breaking.facts import confirmed, deviation, fresh, settled, worth_wei
from toolkit.orchestrator.mainnet import DAI, USDC, USDT, WBTC, WETH
from toolkit.orchestrator.market import Market
from toolkit.perception.prices import PriceSource

ETHER = 10**18
KEY = "price/WETH-USDC"
OTHER_KEY = "price/WETH-USDT"
POOL = Address("0x" + "11" * 20)
MARKET = Market(
    wrapped=WETH.address,
    tokens=(USDC, WETH, USDT, WBTC, DAI),
    stables=(USDC.address, USDT.address),
    prices=(
        PriceSource(key=KEY, pool=POOL, base=WETH.address, quote=USDC.address),
        PriceSource(key=OTHER_KEY, pool=POOL, base=WETH.address, quote=USDT.address),
        PriceSource(key="price/WETH-DAI", pool=POOL, base=WETH.address, quote=DAI.address),
    ),
)


def reading(key: str, value: float, *, block: int = 10) -> Reading:
    return Reading(
        key=key,
        value=value,
        source=POOL,
        block_number=block,
        block_hash=ZERO_HASH,
        observed_at=0,
        max_age_blocks=1,
    )


PRICED = {KEY: reading(KEY, 2000.0)}


def test_a_gain_is_what_the_accounts_hold_more() -> None:
    """1 WETH bought for 1,900 USDC at 2,000 is worth 0.05 ether more, less 0.01 of gas."""
    opening = {WETH.address: 5 * ETHER, USDC.address: 10_000 * 10**6, ZERO_ADDRESS: ETHER}
    now = {
        WETH.address: 6 * ETHER,
        USDC.address: 8_100 * 10**6,
        ZERO_ADDRESS: ETHER - ETHER // 100,
    }

    assert (ETHER // 25, 11 * ETHER) == worth_wei(MARKET, PRICED, opening=opening, balances=now)


@pytest.mark.parametrize(("change", "expected"), [(1, 0), (-1, None)])
def test_a_token_without_a_price_can_be_given_but_not_lost(change: int, expected: object) -> None:
    """What anybody may send us changes nothing; that it is gone cannot be valued."""
    opening, now = {WBTC.address: 5}, {WBTC.address: 5 + change}

    assert (expected, 0) == worth_wei(MARKET, PRICED, opening=opening, balances=now)


def test_without_the_price_that_there_should_be_nothing_is_known() -> None:
    """A missing reading makes the gain unknown, not zero."""
    now = {USDC.address: 5 * 10**6}

    assert (None, 0) == worth_wei(MARKET, {}, opening={}, balances=now)


def test_capital_is_the_opening_at_these_prices() -> None:
    """10,000 USDC at 2,000 are 5 ether; what has no price counts for nothing."""
    opening = {WETH.address: ETHER, USDC.address: 10_000 * 10**6, WBTC.address: 7}

    assert (0, 6 * ETHER) == worth_wei(MARKET, PRICED, opening=opening, balances=opening)


def test_a_deposit_is_no_gain_and_a_theft_is_a_loss() -> None:
    """Of what is expected counts what is there; of what nobody expects, nothing."""
    expected = {WETH.address: 5, USDC.address: 5, ZERO_ADDRESS: 5}
    balances = {WETH.address: 9, USDC.address: 3, DAI.address: 2}

    assert {WETH.address: 5, USDC.address: 3, DAI.address: 2} == confirmed(balances, expected)


def test_old_readings_are_left_out() -> None:
    """A price of two blocks ago is not measured by where one block is the limit."""
    readings = {KEY: reading(KEY, 2000.0, block=8), OTHER_KEY: reading(OTHER_KEY, 1.0, block=9)}

    assert {OTHER_KEY} == set(fresh(readings, block=10))


def test_deviation_is_between_prices_in_stables() -> None:
    """2,040 is 200 bps from 2,000; a price in what is no stable here is another matter."""
    readings = {
        KEY: reading(KEY, 2000.0),
        OTHER_KEY: reading(OTHER_KEY, 2040.0),
        "price/WETH-DAI": reading("price/WETH-DAI", 9.0),
    }

    assert (200, f"the price of {WETH.address}") == deviation(MARKET, readings)
    assert (0, "") == deviation(TETHER_MARKET, readings)


@pytest.mark.parametrize(
    ("landed", "hashes", "expected"),
    [
        (True, (), (True, True)),
        (False, (Hash("0x" + "22" * 32),), (False, True)),
        (False, (), (False, False)),
    ],
)
def test_a_mined_revert_is_told_from_a_miss(
    *,
    landed: bool,
    hashes: tuple[Hash, ...],
    expected: tuple[bool, bool],
) -> None:
    """What never got into a block costs nothing and proves nothing."""
    fill = Fill(
        verdict_id="1-0",
        agents=("a",),
        landed=landed,
        block_number=1,
        tx_hashes=hashes,
        predicted_out=100,
        realised_out=90,
    )
    (one,) = settled([(fill, None)])

    assert (*expected, 1000) == (one.landed, one.mined, one.shortfall_bps)
