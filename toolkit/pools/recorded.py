"""Pool states from a recorded block: the words of storage that it found, read as contracts do.

A recording is JSON, gzipped or not, of one block:

    {"number": 18085863, "header": {"parentHash": "0x…", …},
     "pre": {"0x<account>": {"storage": {"0x<slot>": "0x<word>", …}, …}, …}, …}

`pre` has what the block touched, as it was before it, but for words of 0; so what is not there is
0 or was not looked at, and nobody can tell which. What a pool's code says (a V3 pool's tokens, fee
and spacing, a V2 pair's fee) is in no storage: the specs are believed there.

Sources: the storage of UniswapV2Pair.sol, UniswapV3Pool.sol and v4-core's PoolManager.sol; forks
that keep it elsewhere cannot be read.
"""

import gzip
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, assert_never

import msgspec

from toolkit.model.chain import ZERO_HASH, Address, Hash, Head, address, hash32
from toolkit.model.checks import path_of
from toolkit.model.errors import ConfigError, DataError, PoolError
from toolkit.model.market import PoolId, PoolKind, Token, has_contract
from toolkit.pools import abi, manager
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.constant_product import MAX_RESERVE, ConstantProduct
from toolkit.pools.fields import checked
from toolkit.pools.snapshot import Pool, PoolSpec, Snapshot, WithTicks
from toolkit.pools.states import build_v4
from toolkit.pools.tick_walk import MAX_LIQUIDITY, WORD, refuse
from toolkit.pools.ticks import MAX_TICK, MIN_TICK
from toolkit.pools.windows import bits_of

# Where UniswapV2Pair.sol and UniswapV3Pool.sol keep what.
_TOKEN0, _TOKEN1, _RESERVES = 6, 7, 8
_SLOT0, _LIQUIDITY, _TICKS, _BITMAP = 0, 4, 5, 6


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """The words of storage that a block found, by contract and slot.

    `block` is the one before it, as of which they are; of its header only number and hash are
    known.
    """

    block: Head
    words: dict[Address, dict[int, int]]

    def word(self, contract: Address, slot: int) -> int | None:
        """Return a word; None where it was 0, or not looked at."""
        return self.words.get(contract, {}).get(slot)


class _Account(msgspec.Struct):
    storage: dict[str, str] = {}


class _Header(msgspec.Struct, rename="camel"):
    parent_hash: str


class _File(msgspec.Struct):
    number: Annotated[int, msgspec.Meta(ge=1)]
    header: _Header
    pre: dict[str, _Account]


_decode = msgspec.json.Decoder(_File).decode


def read_recording(path: str | Path) -> Recording:
    """Read a recorded block's file.

    Raises:
        DataError: it cannot be read, or is no recording; names file and field.
    """
    try:
        data = path_of("recording", path).read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: {why}; name a recorded block (JSON, may be gzipped)") from None
    try:
        file = _decode(checked(data, where=str(path)))
        return Recording(
            block=Head(
                number=file.number - 1,
                hash=hash32(file.header.parent_hash),
                parent_hash=ZERO_HASH,
                timestamp=0,
                base_fee_per_gas=0,
                gas_limit=0,
                gas_used=0,
            ),
            words={
                address(name): {int(slot, 16): int(word, 16) for slot, word in one.storage.items()}
                for name, one in file.pre.items()
            },
        )
    except (msgspec.DecodeError, ConfigError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: is no recorded block: {error}") from None


def load(
    recording: Recording,
    specs: Sequence[PoolSpec],
    tokens: Mapping[str, Token] | Iterable[Token] = (),
    *,
    replayed: bool = False,
) -> Snapshot:
    """Return the pools as the recorded block found them.

    A concentrated pool is known as far as the words of its bitmap around the price are recorded,
    and up to the first tick either way of which only that is known that it is there.

    Args:
        recording: a block's.
        specs: which pools; those of V4 by their managers.
        tokens: those whose symbols and decimals matter; a recording has none.
        replayed: take what is not recorded for 0: what the recorded block itself did is quoted
            as it was, because it looked at nothing else. Any other quote may then be wrong.

    Raises:
        PoolError: a pool of which the recording does not have enough, or another one than its
            spec says; names pool and field.
    """
    pools: dict[PoolId, Pool] = {}
    for spec in sorted(specs, key=lambda spec: spec.id):
        if spec.id in pools:
            raise PoolError(f"pool {spec.id}: id: given twice")
        pools[spec.id] = _Recorded(recording, spec, replayed=replayed).pool()
    given = tokens.values() if isinstance(tokens, Mapping) else tokens
    return Snapshot(
        block=recording.block,
        tokens={token.address: token for token in given},
        pools=pools,
    )


class _Recorded:
    """One pool's words."""

    def __init__(self, recording: Recording, spec: PoolSpec, *, replayed: bool) -> None:
        self._spec = spec
        self._replayed = replayed
        contract = spec.id if has_contract(spec.id) else spec.manager
        self._words = recording.words.get(contract, {})

    def pool(self) -> Pool:
        """Build the pool of its kind."""
        spec = self._spec
        if not has_contract(spec.id):
            number = Hash(spec.id)
            first = self._word("slot0", manager.slot0_of(number))
            managed = build_v4(spec, first, self._word("liquidity", manager.liquidity_of(number)))
            return self._ticked(
                managed, partial(manager.word_of, number), partial(manager.tick_of, number)
            )
        if spec.kind is PoolKind.CONSTANT_PRODUCT:
            return self._pair(spec.id)
        if spec.kind is not PoolKind.CONCENTRATED:
            assert_never(spec.kind)
        return self._v3(spec.id)

    def _pair(self, pair: Address) -> ConstantProduct:
        """UniswapV2Pair.sol: both reserves in one word, below the time of the last change."""
        spec = self._spec
        for field, slot, wanted in (
            ("token0", _TOKEN0, spec.token0),
            ("token1", _TOKEN1, spec.token1),
        ):
            found = self._words.get(slot)
            if found is not None and abi.to_address(found) != wanted:
                raise PoolError(
                    f"pool {pair}: {field}: the recording says {abi.to_address(found)}, the spec "
                    f"{wanted}"
                )
        reserves = self._word("reserves", _RESERVES)
        return ConstantProduct(
            id=pair,
            token0=spec.token0,
            token1=spec.token1,
            reserve0=reserves & MAX_RESERVE,
            reserve1=reserves >> 112 & MAX_RESERVE,
            fee_ppm=spec.fee_ppm,
        )

    def _v3(self, contract: Address) -> WithTicks:
        spec = self._spec
        first = manager.slot0(self._word("slot0", _SLOT0))  # price and tick are where V4's are
        pool = Concentrated(
            id=contract,
            token0=spec.token0,
            token1=spec.token1,
            fee_ppm=spec.fee_ppm,
            tick_spacing=spec.tick_spacing,
            sqrt_price_x96=first.sqrt_price_x96,
            tick=first.tick,
            liquidity=self._word("liquidity", _LIQUIDITY) & MAX_LIQUIDITY,
            ticks=(),
        )
        return self._ticked(
            pool,
            lambda word: manager.entry(word, _BITMAP),
            lambda tick: manager.entry(tick, _TICKS),
        )

    def _ticked(
        self, pool: WithTicks, word_at: Callable[[int], int], tick_at: Callable[[int], int]
    ) -> WithTicks:
        """Add the ticks that are known, and say within which all are."""
        spacing = pool.tick_spacing
        words = self._bitmap(pool, word_at)
        found: dict[int, tuple[int, int]] = {}
        low, high = MIN_TICK, MAX_TICK
        if not self._replayed:
            low = max(min(words) * WORD * spacing, MIN_TICK)
            high = min((max(words) * WORD + WORD - 1) * spacing, MAX_TICK)
        for tick in [
            (w * WORD + bit) * spacing for w, bits in words.items() for bit in bits_of(bits)
        ]:
            packed = self._words.get(tick_at(tick))
            # It is a stop; what begins or ends there was not looked at.
            found[tick] = (0, 1) if packed is None else manager.tick_liquidity(packed)
            if packed is None and not self._replayed:
                low, high = (max(low, tick), high) if tick <= pool.tick else (low, min(high, tick))
        known = {tick: one for tick, one in sorted(found.items()) if low <= tick <= high}
        return msgspec.structs.replace(
            pool,
            ticks=tuple((tick, net) for tick, (net, _) in known.items()),
            gross=tuple(gross for _, gross in known.values()),
            known=(low, high),
        )

    def _bitmap(self, pool: WithTicks, word_at: Callable[[int], int]) -> dict[int, int]:
        """The words of the bitmap that are known: all, or those next to each other at the price."""
        least, most = (tick // pool.tick_spacing // WORD for tick in (MIN_TICK, MAX_TICK))
        if self._replayed:
            return {word: self._words.get(word_at(word), 0) for word in range(least, most + 1)}
        here = pool.tick // pool.tick_spacing // WORD
        found: dict[int, int] = {}
        for way in (range(here, least - 1, -1), range(here + 1, most + 1)):
            for word in way:
                bits = self._words.get(word_at(word))
                if bits is None:
                    break
                found[word] = bits
        if here not in found:
            refuse(pool, "ticks", "the word of the bitmap at its price is not in the recording")
        return dict(sorted(found.items()))

    def _word(self, field: str, slot: int) -> int:
        found = self._words.get(slot)
        if found is None and not self._replayed:
            raise PoolError(
                f"pool {self._spec.id}: {field}: is not in the recording; "
                "the block did not look at the pool, or found 0 there"
            )
        return found or 0
