"""What a pool is after an event log: decoding and application, without a node.

Sources: IUniswapV2Pair.sol, IUniswapV3PoolEvents.sol, V4's IPoolManager.sol and IProtocolFees.sol;
UniswapV3Pool.sol `_modifyPosition`, Pool.sol `modifyLiquidity` and Tick.sol `update` for what a
position does to the ticks. A V2 pair's reserves follow Sync, which tells the balances themselves:
fees on transfer and rebasing tokens need nothing more. A V3 pool's SetFeeProtocol, Collect and
Flash change nothing that a quote reads. A V4 hook sets a dynamic fee without any event.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import NamedTuple, NoReturn, TypeVar

import msgspec

from toolkit.model.chain import LogEntry
from toolkit.model.errors import PoolError
from toolkit.model.market import PoolId
from toolkit.pools.abi import TICK_TOPICS, TOPICS
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.concentrated_v4 import ConcentratedV4
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.snapshot import Pool, WithTicks
from toolkit.pools.tick_walk import Ticked, check_initialised, check_tick, moved, refuse, reticked
from toolkit.pools.ticks import MAX_TICK, MIN_TICK

_WORD_BITS, _WORD_BYTES, _WORD_DIGITS = 256, 32, 64
_tick_of = itemgetter(0)
Ranged = TypeVar("Ranged", Concentrated, ConcentratedV4)


class _Field(NamedTuple):
    """One integer of an event, `bits` wide."""

    name: str
    bits: int
    signed: bool


class _Event(NamedTuple):
    """An event's integers: the indexed ones are topics, the others the words of its data."""

    name: str
    indexed: tuple[_Field, ...]
    data: tuple[_Field, ...]


def pool_of(pools: Mapping[PoolId, Pool], log: LogEntry) -> Pool | None:
    """Return the pool that a log is of: its contract's or, by the id, one of its manager's."""
    found = pools.get(log.address)
    if found is None and len(log.topics) > 1:
        found = pools.get(log.topics[1])
    return found if found is not None and _is_of(found, log) else None


def tells(pool: Pool, log: LogEntry) -> bool:
    """Tell whether the pool's new state follows from the log; otherwise a node has to be asked.

    It does not where liquidity changes at ticks whose `gross` is not known.
    """
    unknown = isinstance(pool, WithTicks) and bool(pool.ticks) and not pool.gross
    return not (unknown and bool(log.topics) and log.topics[0] in TICK_TOPICS)


def apply(pool: Pool, log: LogEntry) -> Pool:
    """Return the pool after one of its logs; logs must come in the order of the chain.

    Logs of other pools, and of events that change nothing of this one, leave it as it is.
    Ticks outside `known` stay unknown. Where `gross` is not known, removing liquidity from a tick
    whose net becomes 0 is refused: whether the tick is still initialised does not follow.

    Raises:
        PoolError: a log that the contract cannot have written, or not in this state; names the
            pool and the field.
    """
    if not log.topics or not _is_of(pool, log):
        return pool
    topic = log.topics[0]
    if isinstance(pool, ConstantProduct):
        return _synced(pool, log) if topic == _SYNC else pool
    if isinstance(pool, Concentrated):
        step = _V3_STEPS.get(topic)
        return step(pool, log) if step else pool
    step_v4 = _V4_STEPS.get(topic)
    return step_v4(pool, log) if step_v4 else pool


def _is_of(pool: Pool, log: LogEntry) -> bool:
    if isinstance(pool, ConcentratedV4):
        return log.address == pool.manager and log.topics[1:2] == (pool.id,)
    return log.address == pool.id


def _synced(pool: ConstantProduct, log: LogEntry) -> ConstantProduct:
    told = _decoded(pool.id, _SYNCED, log)
    return msgspec.structs.replace(pool, reserve0=told["reserve0"], reserve1=told["reserve1"])


def _initialized(pool: Concentrated, log: LogEntry) -> Concentrated:
    return _started(pool, _decoded(pool.id, _INITIALIZED, log))


def _initialized_v4(pool: ConcentratedV4, log: LogEntry) -> ConcentratedV4:
    started = _started(pool, _decoded(pool.id, _INITIALIZED_V4, log))
    # Pool.sol `initialize`: no protocol fee yet, and a dynamic fee is 0 until the hook sets it.
    fee = 0 if pool.dynamic_fee else pool.fee_ppm
    return msgspec.structs.replace(started, fee_ppm=fee, protocol_fee_ppm=(0, 0))


def _started(pool: Ranged, told: dict[str, int]) -> Ranged:
    if pool.sqrt_price_x96:
        refuse(pool, "sqrt_price_x96", "the pool is initialised a second time")
    return _priced(pool, {**told, "liquidity": pool.liquidity})


def _swapped(pool: Concentrated, log: LogEntry) -> Concentrated:
    check_initialised(pool)
    return _priced(pool, _decoded(pool.id, _SWAPPED, log))


def _swapped_pancake(pool: Concentrated, log: LogEntry) -> Concentrated:
    check_initialised(pool)
    return _priced(pool, _decoded(pool.id, _SWAPPED_PANCAKE, log))


def _swapped_v4(pool: ConcentratedV4, log: LogEntry) -> ConcentratedV4:
    check_initialised(pool)
    return _priced(pool, _decoded(pool.id, _SWAPPED_V4, log))


def _priced(pool: Ranged, told: dict[str, int]) -> Ranged:
    if not told["sqrt_price_x96"]:  # which is a state, but none that a swap leaves
        refuse(pool, "sqrt_price_x96", "0 is told, which is no price")
    return moved(pool, told["sqrt_price_x96"], told["tick"], told["liquidity"])


def _minted(pool: Concentrated, log: LogEntry) -> Concentrated:
    told = _decoded(pool.id, _MINTED, log)
    return _repositioned(pool, told, told["amount"])


def _burned(pool: Concentrated, log: LogEntry) -> Concentrated:
    told = _decoded(pool.id, _BURNED, log)
    return _repositioned(pool, told, -told["amount"])


def _modified_v4(pool: ConcentratedV4, log: LogEntry) -> ConcentratedV4:
    told = _decoded(pool.id, _MODIFIED_V4, log)
    return _repositioned(pool, told, told["liquidity_delta"])


def _charged_v4(pool: ConcentratedV4, log: LogEntry) -> ConcentratedV4:
    """ProtocolFeeLibrary.sol: the lower 12 bits are for token0 going in, the upper for token1."""
    check_initialised(pool)
    fee = _decoded(pool.id, _CHARGED_V4, log)["protocol_fee"]
    return msgspec.structs.replace(pool, protocol_fee_ppm=(fee & 0xFFF, fee >> 12))


def _repositioned(pool: Ranged, told: dict[str, int], delta: int) -> Ranged:
    """Add signed liquidity to a range, UniswapV3Pool.sol `_modifyPosition`."""
    lower, upper = told["tick_lower"], told["tick_upper"]
    check_initialised(pool)
    if not MIN_TICK <= lower < upper <= MAX_TICK:
        refuse(pool, "tick_lower", f"{lower}..{upper} is no range within the ticks (TLU)")
    for field, tick in (("tick_lower", lower), ("tick_upper", upper)):
        if tick % pool.tick_spacing:
            refuse(pool, field, f"{tick} is no multiple of the spacing {pool.tick_spacing}")
    if not delta:  # fees are collected
        return pool
    liquidity = pool.liquidity + (delta if lower <= pool.tick < upper else 0)
    ticks, gross = pool.ticks, pool.gross
    for tick, net in ((lower, delta), (upper, -delta)):
        if pool.known[0] <= tick <= pool.known[1]:
            ticks, gross = _at_tick(pool, ticks, gross, (tick, net, delta))
    return reticked(pool, liquidity, ticks, gross)


def _at_tick(
    pool: Ticked,
    ticks: tuple[tuple[int, int], ...],
    gross: tuple[int, ...],
    change: tuple[int, int, int],
) -> tuple[tuple[tuple[int, int], ...], tuple[int, ...]]:
    """Change one tick by (tick, net, gross), Tick.sol `update`; return all ticks and their gross.

    A tick is initialised while its gross is not 0: with a net of 0 it remains a stop.
    """
    tick, net, delta = change
    at = bisect_left(ticks, tick, key=_tick_of)
    known = len(gross) == len(ticks)
    here = at < len(ticks) and ticks[at][0] == tick
    net += ticks[at][1] if here else 0
    before = gross[at] if here and known else 0
    after = at + 1 if here else at
    if known and before + delta < abs(net):
        refuse(pool, "gross", f"{before} at {tick} with {delta} more leaves less than |{net}|")
    if known and before + delta == 0:
        return ticks[:at] + ticks[after:], gross[:at] + gross[after:]
    if not known and delta < 0 and (net == 0 or not here):
        refuse(pool, "gross", f"is not known at {tick}, so neither if it stays; read the pool")
    left = (before + delta,) if known else ()
    check_tick(pool, tick, net, left[0] if left else None)
    return (
        (*ticks[:at], (tick, net), *ticks[after:]),
        (*gross[:at], *left, *gross[after:]),
    )


def _decoded(pool: PoolId, event: _Event, log: LogEntry) -> dict[str, int]:
    """Read an event's integers by name, each checked to fit its type."""
    _check_size(pool, f"{event.name} topics", len(log.topics) - 1, len(event.indexed))
    fields, wanted = event.indexed + event.data, len("0x") + _WORD_DIGITS * len(event.data)
    _check_size(pool, f"{event.name} data", len(log.data), wanted)
    try:
        raw = bytes.fromhex("".join(part[2:] for part in (*log.topics[1:], log.data)))
    except ValueError:
        raw = b""
    _check_size(pool, f"{event.name} bytes", len(raw), _WORD_BYTES * len(fields))
    found = [
        int.from_bytes(raw[at : at + _WORD_BYTES], "big") for at in range(0, len(raw), _WORD_BYTES)
    ]
    return {
        field.name: _value(pool, event.name, field, word)
        for field, word in zip(fields, found, strict=True)
    }


def _value(pool: PoolId, event: str, field: _Field, word: int) -> int:
    if not field.signed:
        if word >> field.bits:
            _refuse(pool, f"{event} {field.name}", f"{word} does not fit uint{field.bits}")
        return word
    value = word - (1 << _WORD_BITS) if word >> (_WORD_BITS - 1) else word
    if not -(1 << (field.bits - 1)) <= value < 1 << (field.bits - 1):
        _refuse(pool, f"{event} {field.name}", f"{value} does not fit int{field.bits}")
    return value


def _check_size(pool: PoolId, field: str, found: int, wanted: int) -> None:
    if found != wanted:
        _refuse(pool, field, f"{found} instead of {wanted}; is it a pool of this kind?")


def _refuse(pool: PoolId, field: str, why: str) -> NoReturn:
    raise PoolError(f"pool {pool}: {field}: {why}")


def _uint(name: str, bits: int) -> _Field:
    return _Field(name, bits, signed=False)


def _int(name: str, bits: int) -> _Field:
    return _Field(name, bits, signed=True)


_SENDER, _OWNER, _RECIPIENT = _uint("sender", 160), _uint("owner", 160), _uint("recipient", 160)
_LOWER, _UPPER = _int("tick_lower", 24), _int("tick_upper", 24)
_PRICE, _TICK, _LIQUIDITY = _uint("sqrt_price_x96", 160), _int("tick", 24), _uint("liquidity", 128)
_AMOUNTS = (_uint("amount", 128), _uint("amount0", 256), _uint("amount1", 256))
_MOVED = (_int("amount0", 256), _int("amount1", 256), _PRICE, _LIQUIDITY, _TICK)
_TAKEN = (_uint("protocol_fees0", 128), _uint("protocol_fees1", 128))

_SYNCED = _Event("Sync", (), (_uint("reserve0", 112), _uint("reserve1", 112)))
_INITIALIZED = _Event("Initialize", (), (_PRICE, _TICK))
_SWAPPED = _Event("Swap", (_SENDER, _RECIPIENT), _MOVED)
_SWAPPED_PANCAKE = _Event("Swap", (_SENDER, _RECIPIENT), _MOVED + _TAKEN)
_MINTED = _Event("Mint", (_OWNER, _LOWER, _UPPER), (_SENDER, *_AMOUNTS))
_BURNED = _Event("Burn", (_OWNER, _LOWER, _UPPER), _AMOUNTS)
_ID, _KEY = _uint("id", 256), (_uint("currency0", 160), _uint("currency1", 160))
_TERMS = (_uint("fee", 24), _int("tick_spacing", 24), _uint("hooks", 160))
_INITIALIZED_V4 = _Event("Initialize", (_ID, *_KEY), (*_TERMS, _PRICE, _TICK))
_SWAPPED_V4 = _Event(
    "Swap",
    (_ID, _SENDER),
    (_int("amount0", 128), _int("amount1", 128), _PRICE, _LIQUIDITY, _TICK, _uint("fee", 24)),
)
_MODIFIED_V4 = _Event(
    "ModifyLiquidity",
    (_ID, _SENDER),
    (_LOWER, _UPPER, _int("liquidity_delta", 128), _uint("salt", 256)),
)
_CHARGED_V4 = _Event("ProtocolFeeUpdated", (_ID,), (_uint("protocol_fee", 24),))

_SYNC = TOPICS["Sync(uint112,uint112)"]
_V3_STEPS: dict[str, Callable[[Concentrated, LogEntry], Concentrated]] = {
    TOPICS["Initialize(uint160,int24)"]: _initialized,
    TOPICS["Swap(address,address,int256,int256,uint160,uint128,int24)"]: _swapped,
    TOPICS["Swap(address,address,int256,int256,uint160,uint128,int24,uint128,uint128)"]: (
        _swapped_pancake
    ),
    TOPICS["Mint(address,address,int24,int24,uint128,uint256,uint256)"]: _minted,
    TOPICS["Burn(address,int24,int24,uint128,uint256,uint256)"]: _burned,
}
_V4_STEPS: dict[str, Callable[[ConcentratedV4, LogEntry], ConcentratedV4]] = {
    TOPICS["Initialize(bytes32,address,address,uint24,int24,address,uint160,int24)"]: (
        _initialized_v4
    ),
    TOPICS["Swap(bytes32,address,int128,int128,uint160,uint128,int24,uint24)"]: _swapped_v4,
    TOPICS["ModifyLiquidity(bytes32,address,int24,int24,int256,bytes32)"]: _modified_v4,
    TOPICS["ProtocolFeeUpdated(bytes32,uint24)"]: _charged_v4,
}
