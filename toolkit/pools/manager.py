"""Where the V4 PoolManager keeps a pool, and reading it by `extsload`, which every one has.

Sources: PoolManager.sol (`_pools` is its slot 6), Pool.sol `State`, Slot0.sol, Extsload.sol. A
StateView contract would read the same slots, one call each.
"""

from collections.abc import Sequence
from typing import NamedTuple

from toolkit.chain.hashing import keccak
from toolkit.chain.multicall import aggregate
from toolkit.chain.node import Node
from toolkit.model.chain import Address, Hash, Head
from toolkit.model.errors import PoolError
from toolkit.pools import abi

_POOLS = 6
_SLOT0, _LIQUIDITY, _TICKS, _BITMAP = 0, 3, 4, 5
_WORD = 1 << 256
# A cold slot costs 2,100 gas, and nodes allow a call 25,000,000 and more.
MAX_SLOTS = 1000


class Slot0(NamedTuple):
    """A pool's first word; fees in ppm, the protocol's for token0 going in and for token1."""

    sqrt_price_x96: int
    tick: int
    protocol_fee_ppm: tuple[int, int]
    lp_fee_ppm: int


def slot0_of(pool: Hash) -> int:
    """The slot of price, tick and fees."""
    return _state(pool) + _SLOT0


def liquidity_of(pool: Hash) -> int:
    """The slot of the liquidity in range."""
    return _state(pool) + _LIQUIDITY


def tick_of(pool: Hash, tick: int) -> int:
    """The slot of a tick's gross and net liquidity."""
    return entry(tick, _state(pool) + _TICKS)


def word_of(pool: Hash, word: int) -> int:
    """The slot of a word of the bitmap."""
    return entry(word, _state(pool) + _BITMAP)


def slot0(word: int) -> Slot0:
    """Unpack a pool's first word."""
    tick, protocol = word >> 160 & 0xFFFFFF, word >> 184 & 0xFFFFFF
    return Slot0(
        sqrt_price_x96=word % (1 << 160),
        tick=tick - (1 << 24) if tick >> 23 else tick,
        protocol_fee_ppm=(protocol & 0xFFF, protocol >> 12),
        lp_fee_ppm=word >> 208 & 0xFFFFFF,
    )


def tick_liquidity(word: int) -> tuple[int, int]:
    """Unpack a tick's word: (net, gross)."""
    net = word >> 128
    return (net - (1 << 128) if net >> 127 else net), word % (1 << 128)


async def read_slots(node: Node, asked: Sequence[tuple[Address, int]], *, head: Head) -> list[int]:
    """Read (manager, slot) pairs, up to 1,000 of one manager by one call, in one batch.

    Raises:
        PoolError: a contract that does not answer as a PoolManager.
        NodeError: as `aggregate`.
    """
    if not asked:
        return []
    chunks = [
        (manager, own[start : start + MAX_SLOTS])
        for manager in sorted({manager for manager, _ in asked})
        for own in [[at for at, (owner, _) in enumerate(asked) if owner == manager]]
        for start in range(0, len(own), MAX_SLOTS)
    ]
    calls = [(manager, _extsload([asked[at][1] for at in part])) for manager, part in chunks]
    values = [0] * len(asked)
    for (manager, part), answer in zip(
        chunks, await aggregate(node, calls, block=head.hash), strict=True
    ):
        _, *found = abi.words(answer) or (0,)
        if found[:1] != [len(part)] or len(found) != len(part) + 1:
            raise PoolError(
                f"manager {manager}: extsload: no {len(part)} words; "
                "is it a PoolManager, deployed at this block?"
            )
        for at, value in zip(part, found[1:], strict=True):
            values[at] = value
    return values


def _extsload(slots: Sequence[int]) -> str:
    words = (32, len(slots), *slots)
    return abi.SELECTORS["extsload(bytes32[])"] + "".join(f"{word:064x}" for word in words)


def _state(pool: Hash) -> int:
    return entry(int(pool, 16), _POOLS)


def entry(key: int, slot: int) -> int:
    """The slot of a mapping's entry, Solidity's layout of storage."""
    return int.from_bytes(
        keccak((key % _WORD).to_bytes(32, "big") + (slot % _WORD).to_bytes(32, "big")), "big"
    )
