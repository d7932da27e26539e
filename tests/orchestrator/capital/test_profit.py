"""What agents gained is what the account gained, also in wei."""

import random

from tests.orchestrator.worlds import fresh_seeds
from toolkit.model.chain import ZERO_ADDRESS, Address
from toolkit.model.decision import Reading
from toolkit.orchestrator.capital.profit import account_wei, profits_wei
from toolkit.orchestrator.mainnet import USDC, WETH
from toolkit.testing.decide import OFFLINE_MARKET, PRICE_KEY, price_series

UNPRICED = Address("0x" + "0d" * 20)
TOKENS = (WETH.address, USDC.address, ZERO_ADDRESS, UNPRICED)


def at(price: float) -> dict[str, Reading]:
    """The readings at a price of WETH in USDC."""
    return {PRICE_KEY: price_series([price], before=10)[0]}


def test_gains_add_up_to_the_accounts_at_any_price() -> None:
    """The sum of agents' gains in wei is the account's, and each within one wei of its own."""
    for seed in fresh_seeds(300):
        rng = random.Random(seed)
        books = {
            f"a{n}": {token: rng.randrange(-(10**20), 10**20) for token in TOKENS}
            for n in range(rng.randint(1, 8))
        }
        readings = at(rng.randrange(10**6, 10**9) / 10**5)
        parts = profits_wei(books, OFFLINE_MARKET, readings)
        alone = {name: account_wei({"": b}, OFFLINE_MARKET, readings) for name, b in books.items()}

        assert account_wei(books, OFFLINE_MARKET, readings) == sum(parts.values()), f"seed {seed}"
        assert all(parts[name] - alone[name] in {0, 1} for name in books), f"seed {seed}"


def test_what_has_no_price_counts_as_nothing() -> None:
    """Without a price of the native token only what is native counts."""
    books = {"a": {USDC.address: 10**9, WETH.address: 7, UNPRICED: 10**30, ZERO_ADDRESS: -2}}

    assert {"a": 5} == profits_wei(books, OFFLINE_MARKET, {})
    assert {"a": 5 * 10**17 + 5} == profits_wei(books, OFFLINE_MARKET, at(2000.0))


def test_rounding_goes_to_the_largest_remainder() -> None:
    """Of 2/3, 4/3 and -2 wei the first is nearest to one more: it has the wei left over."""
    books = {"a": {USDC.address: 1}, "b": {USDC.address: 2}, "c": {USDC.address: -3}}

    assert {"a": 1, "b": 1, "c": -2} == profits_wei(books, OFFLINE_MARKET, at(1.5 * 10**12))


def test_nobody_gained_nothing() -> None:
    """No books, no gains."""
    assert {} == profits_wei({}, OFFLINE_MARKET, at(2000.0))
