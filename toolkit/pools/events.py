"""What a pool is after an event log: decoding and application, without a node.

Sources: IUniswapV2Pair.sol, IUniswapV3PoolEvents.sol, and UniswapV3Pool.sol `_modifyPosition` and
Tick.sol `update` for what a Mint or Burn does to the ticks. A V2 pair's reserves follow Sync, which
tells the balances themselves: fees on transfer and rebasing tokens need nothing more. A V3 pool's
SetFeeProtocol, Collect and Flash change nothing that a quote reads.
"""

from bisect import bisect_left
from collections.abc import Callable
from operator import itemgetter
from typing import NamedTuple, NoReturn

import msgspec

from toolkit.model.chain import Address, LogEntry
from toolkit.model.errors import PoolError
from toolkit.pools.abi import TICK_TOPICS, TOPICS
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.snapshot import Pool
from toolkit.pools.tick_walk import MAX_LIQUIDITY
from toolkit.pools.ticks import MAX_TICK, MIN_TICK

_WORD_BITS, _WORD_BYTES, _WORD_DIGITS = 256, 32, 64
_tick_of = itemgetter(0)


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


def tells(pool: Pool, log: LogEntry) -> bool:
    """Tell whether the pool's new state follows from the log; otherwise a node has to be asked.

    It does not where liquidity changes at ticks whose `gross` is not known.
    """
    unknown = isinstance(pool, Concentrated) and bool(pool.ticks) and not pool.gross
    return not (unknown and bool(log.topics) and log.topics[0] in TICK_TOPICS)


def apply(pool: Pool, log: LogEntry) -> Pool:
    """Return the pool after one of its logs; logs must come in the order of the chain.

    Logs that are no event of the pool's kind, or of one that changes nothing, leave it as it is.
    Ticks outside `known` stay unknown. Where `gross` is not known, removing liquidity from a tick
    whose net becomes 0 is refused: whether the tick is still initialised does not follow.

    Raises:
        PoolError: a log that the contract cannot have written, or not in this state; names the
            pool and the field.
    """
    if not log.topics:
        return pool
    if isinstance(pool, ConstantProduct):
        return _synced(pool, log) if log.topics[0] == _SYNC else pool
    step = _V3_STEPS.get(log.topics[0]) if isinstance(pool, Concentrated) else None
    return step(pool, log) if step and isinstance(pool, Concentrated) else pool


def _synced(pool: ConstantProduct, log: LogEntry) -> ConstantProduct:
    told = _decoded(pool.id, _SYNCED, log)
    return msgspec.structs.replace(pool, reserve0=told["reserve0"], reserve1=told["reserve1"])


def _initialized(pool: Concentrated, log: LogEntry) -> Concentrated:
    if pool.sqrt_price_x96:
        _refuse(pool.id, "sqrt_price_x96", "the pool is initialised a second time (AI)")
    told = _decoded(pool.id, _INITIALIZED, log)
    return msgspec.structs.replace(pool, sqrt_price_x96=told["sqrt_price_x96"], tick=told["tick"])


def _swapped(pool: Concentrated, log: LogEntry) -> Concentrated:
    return _priced(pool, _decoded(pool.id, _SWAPPED, log))


def _swapped_pancake(pool: Concentrated, log: LogEntry) -> Concentrated:
    return _priced(pool, _decoded(pool.id, _SWAPPED_PANCAKE, log))


def _priced(pool: Concentrated, told: dict[str, int]) -> Concentrated:
    _check_initialised(pool)
    return msgspec.structs.replace(
        pool,
        sqrt_price_x96=told["sqrt_price_x96"],
        tick=told["tick"],
        liquidity=told["liquidity"],
    )


def _minted(pool: Concentrated, log: LogEntry) -> Concentrated:
    told = _decoded(pool.id, _MINTED, log)
    return _repositioned(pool, told["tick_lower"], told["tick_upper"], told["amount"])


def _burned(pool: Concentrated, log: LogEntry) -> Concentrated:
    told = _decoded(pool.id, _BURNED, log)
    return _repositioned(pool, told["tick_lower"], told["tick_upper"], -told["amount"])


def _repositioned(pool: Concentrated, lower: int, upper: int, delta: int) -> Concentrated:
    """Add signed liquidity to a range, UniswapV3Pool.sol `_modifyPosition`."""
    _check_initialised(pool)
    if not MIN_TICK <= lower < upper <= MAX_TICK:
        _refuse(pool.id, "tick_lower", f"{lower}..{upper} is no range within the ticks (TLU)")
    for field, tick in (("tick_lower", lower), ("tick_upper", upper)):
        if tick % pool.tick_spacing:
            _refuse(pool.id, field, f"{tick} is no multiple of the spacing {pool.tick_spacing}")
    if not delta:  # a Burn of 0 collects fees
        return pool
    liquidity = pool.liquidity
    if lower <= pool.tick < upper:
        liquidity += delta
        if not 0 <= liquidity <= MAX_LIQUIDITY:
            _refuse(pool.id, "liquidity", f"{pool.liquidity} with {delta} more leaves uint128")
    ticks, gross = pool.ticks, pool.gross
    for tick, net in ((lower, delta), (upper, -delta)):
        if pool.known[0] <= tick <= pool.known[1]:
            ticks, gross = _at_tick(pool, ticks, gross, (tick, net, delta))
    return msgspec.structs.replace(pool, liquidity=liquidity, ticks=ticks, gross=gross)


def _at_tick(
    pool: Concentrated,
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
        _refuse(pool.id, "gross", f"{before} at {tick} with {delta} more leaves less than |{net}|")
    if known and before + delta == 0:
        return ticks[:at] + ticks[after:], gross[:at] + gross[after:]
    if not known and delta < 0 and (net == 0 or not here):
        _refuse(pool.id, "gross", f"is not known at {tick}, so neither if it stays; read the pool")
    left = (before + delta,) if known else ()
    return (
        (*ticks[:at], (tick, net), *ticks[after:]),
        (*gross[:at], *left, *gross[after:]),
    )


def _check_initialised(pool: Concentrated) -> None:
    if not pool.sqrt_price_x96:
        _refuse(pool.id, "sqrt_price_x96", "is 0, the pool is not initialised")


def _decoded(pool: Address, event: _Event, log: LogEntry) -> dict[str, int]:
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


def _value(pool: Address, event: str, field: _Field, word: int) -> int:
    if not field.signed:
        if word >> field.bits:
            _refuse(pool, f"{event} {field.name}", f"{word} does not fit uint{field.bits}")
        return word
    value = word - (1 << _WORD_BITS) if word >> (_WORD_BITS - 1) else word
    if not -(1 << (field.bits - 1)) <= value < 1 << (field.bits - 1):
        _refuse(pool, f"{event} {field.name}", f"{value} does not fit int{field.bits}")
    return value


def _check_size(pool: Address, field: str, found: int, wanted: int) -> None:
    if found != wanted:
        _refuse(pool, field, f"{found} instead of {wanted}; is it a pool of this kind?")


def _refuse(pool: Address, field: str, why: str) -> NoReturn:
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
