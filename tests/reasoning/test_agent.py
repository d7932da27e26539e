"""Views and linear signals."""

import math
from collections.abc import Callable, Iterator, Sequence

import pytest

from toolkit.model.decision import Reading
from toolkit.model.errors import ConfigError
from toolkit.orchestrator.mainnet import USDC, WETH
from toolkit.reasoning.agent import LinearSignal, Series, View, filtered
from toolkit.reasoning.arbitrage import CyclicArbitrage
from toolkit.reasoning.momentum import Momentum
from toolkit.routing.router import Router
from toolkit.testing.decide import PRICE_KEY, given, main_pool, price_series


def view(prices: list[float], **changes: object) -> View:
    """A view at block 1000 with a history of prices that ends in that block."""
    block = given(1000, pools=[main_pool("2000")])
    values: dict[str, object] = {
        "block": block.head,
        "snapshot": block.snapshot,
        "router": Router(block.snapshot),
        "readings": {PRICE_KEY: price_series(prices, before=1001)},
        "balances": {},
        "positions": {},
        "fee": block.fee,
        "wrapped": WETH.address,
    }
    return View(**(values | changes))  # type: ignore[arg-type]


def test_a_view_tells_price_history_and_exact_age() -> None:
    """The newest price, the last n of them in order, and how many blocks ago that was."""
    seen = view([1.0, 2.0, 3.0])
    older = view([], readings={PRICE_KEY: price_series([5.0], before=998)})

    assert 3.0 == seen.price(PRICE_KEY)
    assert (2.0, 3.0) == seen.history(PRICE_KEY, 2)
    assert (1.0, 2.0, 3.0) == seen.history(PRICE_KEY, 99)
    assert 0 == seen.age(PRICE_KEY)
    assert 3 == older.age(PRICE_KEY)
    assert None is older.age("nothing")


def test_a_view_remembers_what_was_looked_at() -> None:
    """Every key that an agent looks up is noted, whether it was there or not."""
    seen = view([1.0])
    seen.price(PRICE_KEY)
    seen.age("nothing")

    assert {PRICE_KEY, "nothing"} == seen.touched


@pytest.mark.parametrize(
    "look",
    [
        lambda seen: seen.readings[PRICE_KEY],
        lambda seen: seen.readings.get(PRICE_KEY),
        lambda seen: PRICE_KEY in seen.readings,
        lambda seen: list(seen.readings.values()),
        lambda seen: dict(seen.readings),
    ],
    ids=["item", "get", "in", "values", "copy"],
)
def test_no_way_to_a_reading_goes_unnoticed(look: Callable[[View], object]) -> None:
    """A key looked up in the readings themselves is noted like any other; names alone are not."""
    seen = view([1.0])
    names = list(seen.readings)
    before = seen.touched
    look(seen)

    assert ([PRICE_KEY], frozenset()) == (names, before)
    assert {PRICE_KEY} == seen.touched


def test_what_was_looked_at_cannot_be_forgotten_or_written() -> None:
    """Neither the readings nor the record of look-ups can be changed through a view."""
    seen = view([1.0])
    seen.price(PRICE_KEY)

    assert not hasattr(seen.touched, "clear")
    with pytest.raises((AttributeError, TypeError)):
        seen.touched = frozenset()  # type: ignore[misc]
    with pytest.raises(TypeError):
        seen.readings["x"] = ()  # type: ignore[index]
    with pytest.raises(TypeError, match="by text, not by int"):
        seen.readings[5]  # type: ignore[index]


class Newest(Series):
    """A long series of which only the newest can be had."""

    def __getitem__(self, key: str) -> tuple[Reading, ...]:
        """Fail: that would put all of it together."""
        raise AssertionError(f"all of {key} was asked for")

    def __iter__(self) -> Iterator[str]:
        """Name the one key."""
        return iter((PRICE_KEY,))

    def __len__(self) -> int:
        """Count it."""
        return 1

    def last(self, key: str, most: int) -> Sequence[Reading]:
        """Return the newest."""
        return price_series([1.0, 2.0, 3.0], before=1001)[-most:] if key == PRICE_KEY else ()


def test_a_price_and_a_short_history_put_no_long_one_together() -> None:
    """What is asked for is the newest; that it was looked up is noted all the same."""
    seen = view([], readings=Newest())

    assert 3.0 == seen.price(PRICE_KEY)
    assert (2.0, 3.0) == seen.history(PRICE_KEY, 2)
    assert 0 == seen.age(PRICE_KEY)
    assert seen.reading("other") is None
    assert {PRICE_KEY, "other"} == seen.touched


def test_an_unknown_price_is_a_clear_error() -> None:
    """Asking for a key that nobody wrote names the keys that there are."""
    with pytest.raises(ConfigError, match=r"no reading 'x'; there are price/WETH-USDC"):
        view([1.0]).price("x")


def test_values_are_converted_in_integers() -> None:
    """One WETH at 2000.5 is 2000.5 USDC to the last unit."""
    amount = view([2000.5]).convert(10**18, PRICE_KEY, base=WETH.address, quote=USDC.address)

    assert 2_000_500_000 == amount


def test_a_filter_is_a_weighted_sum_wherever_it_fits() -> None:
    """Weights meet samples newest first, and there is a value for every full window."""
    assert (2 * 2.0 - 1.0, 2 * 4.0 - 2.0) == filtered((2.0, -1.0), (1.0, 2.0, 4.0))
    assert () == filtered((1.0, 1.0, 1.0), (1.0, 2.0))


def test_momentum_is_a_linear_signal_and_arbitrage_is_not() -> None:
    """What can be paused by contamination says so by its shape alone."""
    momentum = Momentum(base=WETH.address, quote=USDC.address)

    assert isinstance(momentum, LinearSignal)
    assert not isinstance(CyclicArbitrage(), LinearSignal)
    assert math.isclose(0.0, sum(momentum.kernel()), abs_tol=1e-12)
    assert momentum.window == len(momentum.kernel())
