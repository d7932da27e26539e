from collections.abc import Sequence

import pytest

from tests.pools.test_windows import HEAD
from toolkit.chain.node import Node
from toolkit.chain.wire import Call
from toolkit.model.chain import Address
from toolkit.model.errors import PoolError
from toolkit.pools import manager

ONE, OTHER = Address("0x" + "1" * 40), Address("0x" + "2" * 40)


class Store:
    """Managers whose every slot holds its own number, and their contract's first digit."""

    url = "http://127.0.0.1"

    def __init__(self, answer: str | None = None) -> None:
        self.answer = answer
        self.sizes: list[int] = []

    async def call(
        self, method: str, params: Sequence[object] = (), *, timeout_s: float | None = None
    ) -> object:
        raise AssertionError(f"{method}{params} within {timeout_s} s is not asked alone")

    async def batch(self, calls: Sequence[Call], *, timeout_s: float | None = None) -> list[object]:
        assert timeout_s is None
        return [self.answer or self._told(params[0]) for _, params in calls]

    async def close(self) -> None: ...

    def _told(self, request: object) -> str:
        assert isinstance(request, dict)
        data = request["data"]
        words = [int(data[at : at + 64], 16) for at in range(10, len(data), 64)]
        assert words[:2] == [32, len(words) - 2]
        self.sizes.append(words[1])
        base = int(str(request["to"])[2]) * 10**6
        told = [32, words[1], *(base + word for word in words[2:])]
        return "0x" + "".join(f"{word:064x}" for word in told)


async def test_slots_come_back_in_the_order_they_were_asked() -> None:
    """However they are spread over managers and over calls of at most 1,000."""
    asked = [(ONE if slot % 3 else OTHER, slot) for slot in range(2500)]
    store = Store()

    read = await manager.read_slots(Node(store), asked, head=HEAD)

    assert read == [int(owner[2]) * 10**6 + slot for owner, slot in asked]
    assert store.sizes == [1000, 666, 834]


async def test_nothing_is_asked_for_nothing() -> None:
    """Without a V4 pool there is no request."""
    store = Store()

    assert [] == await manager.read_slots(Node(store), [], head=HEAD)
    assert store.sizes == []


@pytest.mark.parametrize("words", [[], [32], [32, 1], [32, 2, 7, 8], [32, 2, 7], [32, 0]])
async def test_an_answer_that_is_no_list_of_the_words_is_refused(words: list[int]) -> None:
    """No code there, or another contract: the manager is named."""
    answer = "0x" + "".join(f"{word:064x}" for word in words)

    with pytest.raises(PoolError, match=f"manager {ONE}: extsload: no 1 words"):
        await manager.read_slots(Node(Store(answer)), [(ONE, 5)], head=HEAD)


def test_packed_words_are_taken_apart() -> None:
    """Price, tick, protocol fees, fee; net and gross: signs where they belong."""
    first = 5 | (2**24 - 7) << 160 | (11 | 13 << 12) << 184 | 3000 << 208

    assert manager.slot0(first) == (5, -7, (11, 13), 3000)
    assert manager.slot0(2**160 - 1 | 7 << 160) == (2**160 - 1, 7, (0, 0), 0)
    assert manager.tick_liquidity(9 | (2**128 - 4) << 128) == (-4, 9)
    assert manager.tick_liquidity(9 | 4 << 128) == (4, 9)
