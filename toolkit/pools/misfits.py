"""What shows that a pool is not what its spec says, where no function of its contract tells it.

A V2 pair has no view of its fee, and forks of another kind answer V2's functions. Both come out in
what they log: in UniswapV2Pair.sol `_update` logs Sync right before `swap` logs Swap, and lets a
swap through if

    (balance0 1e6 - amount0In fee) (balance1 1e6 - amount1In fee) >= reserve0 reserve1 1e12.

A swap that breaks this at the fee of the spec proves that the pair takes less. One that takes more
cannot be proved: whoever swaps may leave the pair more than it asks for.
"""

from collections.abc import Sequence

from toolkit.model.chain import LogEntry
from toolkit.model.units import PPM
from toolkit.pools.abi import TOPICS, words
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.snapshot import Pool

SOLIDLY = (
    "so it is of Solidly's family, whose quotes are others; leave it out of the pools: the "
    "toolkit has no such kind yet"
)
"""What a pair with functions or logs of Solidly's is told to be."""

_SYNC = TOPICS["Sync(uint112,uint112)"]
_SYNC_WIDE = TOPICS["Sync(uint256,uint256)"]
_SWAP = TOPICS["Swap(address,uint256,uint256,uint256,uint256,address)"]
_RESERVES, _AMOUNTS = 2, 4


def misfit(pool: Pool, logs: Sequence[LogEntry]) -> str:
    """Say why a pool is not of its kind, or not of its fee, by its logs of a block in order.

    "" where nothing shows it. Swaps that do not fit the reserves at hand prove nothing.
    """
    if not isinstance(pool, ConstantProduct):
        return ""
    before = now = (pool.reserve0, pool.reserve1)
    for log in logs:
        topic, told = log.topics[:1], words(log.data)
        if topic == (_SYNC_WIDE,):
            return f"pool {pool.id}: kind: it logs Sync(uint256,uint256), {SOLIDLY}"
        if topic == (_SYNC,) and len(told) == _RESERVES:
            before, now = now, (told[0], told[1])
        elif topic == (_SWAP,):
            why = _unfair(pool, before, now, told)
            if why:
                return f"{why} in block {log.block_number}, log {log.log_index}"
    return ""


def _unfair(
    pool: ConstantProduct,
    reserves: tuple[int, int],
    balances: tuple[int, int],
    amounts: Sequence[int],
) -> str:
    """Say what of the pool a swap disproves: (in, in, out, out) from `reserves` to `balances`."""
    if len(amounts) != _AMOUNTS:
        return ""
    paid = (amounts[0], amounts[1])
    for reserve, balance, went_in, went_out in zip(
        reserves, balances, paid, amounts[2:], strict=True
    ):
        # Of what came in the pair knows by its balance; without that, a token may have taken some.
        kept = reserve - went_out
        if (balance != kept + went_in) if went_in else (balance > kept):
            return ""
    if _lets_through(reserves, balances, paid, pool.fee_ppm):
        return ""
    highest = _highest_fee(reserves, balances, paid, below=pool.fee_ppm)
    if highest is None:
        return f"pool {pool.id}: kind: a swap left less than constant product, without any fee,"
    return (
        f"pool {pool.id}: fee_ppm: is {pool.fee_ppm} in the spec, but the pair takes {highest} at "
        "most: give the fee of its factory; it let a swap through"
    )


def _lets_through(
    reserves: tuple[int, int], balances: tuple[int, int], paid: tuple[int, int], fee_ppm: int
) -> bool:
    """UniswapV2Pair.sol `swap`, its last check (K)."""
    left = [
        balance * PPM - amount * fee_ppm for balance, amount in zip(balances, paid, strict=True)
    ]
    return left[0] * left[1] >= reserves[0] * reserves[1] * PPM**2


def _highest_fee(
    reserves: tuple[int, int], balances: tuple[int, int], paid: tuple[int, int], *, below: int
) -> int | None:
    """Return the highest fee at which a swap passes; None where it does at none."""
    if not _lets_through(reserves, balances, paid, 0):
        return None
    low, high = 0, below
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (
            (middle, high) if _lets_through(reserves, balances, paid, middle) else (low, middle)
        )
    return low
