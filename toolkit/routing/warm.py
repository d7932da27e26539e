"""Getting the kernels of routes ready ahead of their first use."""

from collections.abc import Callable, Mapping

from toolkit.model.chain import ZERO_HASH, Address, Head
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.snapshot import Snapshot
from toolkit.routing.cycles import search
from toolkit.routing.router import Router
from toolkit.routing.swaps import split

_HEAD = Head(
    number=0,
    hash=ZERO_HASH,
    parent_hash=ZERO_HASH,
    timestamp=0,
    base_fee_per_gas=0,
    gas_limit=0,
    gas_used=0,
)
_TOKENS = tuple(Address(f"0x{number:040x}") for number in range(1, 5))


def _networks() -> None:
    """Plan over pools that are apart, with gas and without, and put the hops in order."""
    router = Router(_market(), native=_TOKENS[0])
    for gas_price_wei in (0, 10**9):
        router.network(_TOKENS[0], gas_price_wei=gas_price_wei)
    router.rebalance({_TOKENS[0]: 10**18}, {_TOKENS[1]: 1, _TOKENS[2]: 1})


def _market() -> Snapshot:
    """Two pools between any two of four tokens, no two of them at one price."""
    ends = [(first, second) for second in range(4) for first in range(second)] * 2
    pools = [
        ConstantProduct(
            id=Address(f"0x{100 + place:040x}"),
            token0=_TOKENS[first],
            token1=_TOKENS[second],
            reserve0=10**21,
            reserve1=(1000 + 7 * place + 3 * second) * 10**18,
        )
        for place, (first, second) in enumerate(ends)
    ]
    return Snapshot(block=_HEAD, tokens={}, pools={pool.id: pool for pool in pools})


QUESTIONS: Mapping[str, Callable[[], None]] = {
    "cycles": search.warm_up,
    "splits": split.warm_up,
    "networks": _networks,
}
"""What routes are asked for, each with what compiles its kernels or loads them from the cache."""
