from collections.abc import Sequence

import msgspec
import pytest

from toolkit.chain.node import Node
from toolkit.chain.wire import Call
from toolkit.model.chain import Address, Hash, Head
from toolkit.model.errors import PoolError
from toolkit.pools import abi
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.ticks import MAX_TICK, MIN_TICK, sqrt_price_at_tick
from toolkit.pools.windows import known_range, with_ticks, with_windows

POOL = Address("0x" + "1" * 40)
HEAD = Head(
    number=9,
    hash=Hash("0x" + "11" * 32),
    parent_hash=Hash("0x" + "22" * 32),
    timestamp=1,
    base_fee_per_gas=1,
    gas_limit=1,
    gas_used=1,
)
EMPTY = Concentrated(
    id=POOL,
    token0=Address("0x" + "a" * 40),
    token1=Address("0x" + "b" * 40),
    fee_ppm=500,
    tick_spacing=1,
    sqrt_price_x96=2**96,
    tick=0,
    liquidity=5,
    ticks=(),
)


class OnePool:
    """A node that knows one pool's bitmap and ticks: {tick in spacings: (gross, net)}."""

    url = "http://127.0.0.1"

    def __init__(self, ticks: dict[int, tuple[int, int]], spacing: int) -> None:
        self.ticks = ticks
        self.spacing = spacing

    async def call(
        self, method: str, params: Sequence[object] = (), *, timeout_s: float | None = None
    ) -> object:
        raise AssertionError(f"{method}{params} within {timeout_s} s is not asked alone")

    async def batch(self, calls: Sequence[Call], *, timeout_s: float | None = None) -> list[object]:
        assert timeout_s is None
        return [self.answer(params) for _, params in calls]

    async def close(self) -> None: ...

    def answer(self, params: Sequence[object]) -> str:
        request, block = params
        assert isinstance(request, dict)
        assert block == {"blockHash": HEAD.hash}
        argument = abi.signed(int(request["data"][10:], 16))
        if request["data"].startswith(abi.SELECTORS["tickBitmap(int16)"]):
            bits = [1 << tick % 256 for tick in self.ticks if tick // 256 == argument]
            return f"0x{sum(bits):064x}"
        gross, net = self.ticks[argument // self.spacing]
        words = [gross, net % (1 << 256), 0, 0, 0, 0, 0, 1]
        return "0x" + "".join(f"{word:064x}" for word in words)


async def test_an_initialised_tick_of_net_zero_is_read() -> None:
    """What counts is whether liquidity rests on a tick, not whether its net is zero."""
    held = {-300: (5, 5), -1: (10, 0), 0: (7, -7), 255: (1, 1), 256: (1, -1)}
    pool = msgspec.structs.replace(EMPTY, tick_spacing=10)

    (read,) = await with_ticks(Node(OnePool(held, 10)), [pool], head=HEAD)

    assert read.gross == (5, 10, 7, 1, 1)
    assert read.ticks == ((-3000, 5), (-10, 0), (0, -7), (2550, 1), (2560, -1))


async def test_a_bitmap_that_contradicts_the_ticks_is_refused() -> None:
    """A tick whose bit is set has liquidity, or it is no such pool."""
    pool = msgspec.structs.replace(EMPTY, tick_spacing=10)

    with pytest.raises(PoolError, match=f"pool {POOL}: ticks: -10 is in the bitmap"):
        await with_ticks(Node(OnePool({-1: (0, 0)}, 10)), [pool], head=HEAD)


async def test_a_window_that_moves_is_read_where_it_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known of the new range stays, the rest is read, what lies outside is dropped."""
    monkeypatch.setattr("toolkit.pools.windows.MAX_WORDS", 2)
    held = {-300: (5, 5), -1: (10, 0), 0: (7, -7), 255: (1, 1), 256: (1, -1)}
    at_zero = msgspec.structs.replace(EMPTY, known=known_range(0, 1))
    (before,) = await with_ticks(Node(OnePool(held, 1)), [at_zero], head=HEAD)
    moved = msgspec.structs.replace(before, tick=256, sqrt_price_x96=sqrt_price_at_tick(256))
    fewer = OnePool({256: (1, -1)}, 1)

    (after,) = await with_windows(Node(fewer), [moved], head=HEAD)

    assert ((-256, 255), (0, 511)) == (before.known, after.known)
    assert ((0, -7), (255, 1), (256, -1)) == after.ticks
    assert (7, 1, 1) == after.gross


async def test_a_word_that_was_known_in_part_is_read_whole() -> None:
    """A pools file may say less than whole words are known; the window then moves over them."""
    held = {-20: (5, 5), -1: (10, 0), 0: (7, -7), 20: (1, -1)}
    known = {"known": (-10, 10), "ticks": ((-10, 0), (0, -7)), "gross": (10, 7)}
    pool = msgspec.structs.replace(EMPTY, tick_spacing=10, **known)

    (after,) = await with_windows(Node(OnePool(held, 10)), [pool], head=HEAD)

    assert (MIN_TICK, MAX_TICK) == after.known
    assert ((-200, 5), (-10, 0), (0, -7), (200, -1)) == after.ticks


async def test_ticks_of_a_word_beyond_the_known_range_are_left_out() -> None:
    """What is compared with the node is what is known, not the whole words around it."""
    held = {-20: (5, 5), -1: (10, 0), 20: (1, -1)}
    pool = msgspec.structs.replace(EMPTY, tick_spacing=10, known=(-10, 10))

    (read,) = await with_ticks(Node(OnePool(held, 10)), [pool], head=HEAD)

    assert ((-10, 0),) == read.ticks
