"""Pools files: a snapshot as JSON, read and written without losing a unit.

Every amount is exact: decimal strings and integers are read, floats are refused. What the file
says wrongly is told with its name, the pool and the field; a field that nothing here knows is a
warning. Only the number, hash and timestamp of a block are in a file; the other fields of a
snapshot's `block` are then 0.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from toolkit.model.chain import ZERO_HASH, Address, Head
from toolkit.model.checks import path_of, shown
from toolkit.model.errors import DataError, PoolError
from toolkit.model.market import PoolId, Token
from toolkit.model.printable import printable
from toolkit.model.units import PPM
from toolkit.pools.fields import Fields, checked
from toolkit.pools.formats import FORMATS
from toolkit.pools.snapshot import Pool, Snapshot

VERSION = 1
MAX_DECIMALS = 255
_encode = msgspec.json.Encoder().encode


class PoolsFile(msgspec.Struct, frozen=True, kw_only=True):
    """What a pools file says: the snapshot, and what routes have to know of its pools.

    Attributes:
        snapshot: every pool's state and every token.
        gas: gas units of a swap in each pool that names them.
        flash: the pools that lend within a transaction.
        warnings: a line for each unknown field, wherever and however often it is there.
    """

    snapshot: Snapshot
    gas: dict[PoolId, int] = {}
    flash: frozenset[PoolId] = frozenset()
    warnings: tuple[str, ...] = ()


def read_pools(path: str | Path) -> PoolsFile:
    """Read a pools file.

    Raises:
        DataError: it cannot be read, or is wrong; names file, pool and field.
    """
    try:
        data = path_of("pools file", path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}; name a pools file") from None
    return decode(data, name=str(path))


def write_pools(
    path: str | Path,
    snapshot: Snapshot,
    *,
    gas: Mapping[PoolId, int] | None = None,
    flash: Collection[PoolId] = (),
) -> None:
    """Write a snapshot to a pools file, the same bytes for equal snapshots.

    Pools that are set aside have no state, so they are not in it.

    Raises:
        DataError: it cannot be written.
    """
    try:
        path_of("pools file", path).write_bytes(encode(snapshot, gas=gas, flash=flash))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}; name another file") from None


def decode(data: bytes, *, name: str) -> PoolsFile:
    """Read a pools file's bytes; `name` is what errors call it.

    Raises:
        DataError: as `read_pools`.
    """
    unknown = _Unknown()
    fields = Fields(name, checked(data, where=name))
    if (version := fields.integer("version")) != VERSION:
        fields.refuse("version", f"is {shown(version)}; this toolkit reads {VERSION}")
    block = _read_block(fields.part("block"), unknown)
    tokens = _read_tokens(fields, unknown)
    read = [
        _read_pool(name, place, raw, unknown) for place, raw in enumerate(fields.items("pools"))
    ]
    unknown.note("file", fields)
    pools: dict[PoolId, Pool] = {}
    for one in read:
        pool = one.pool
        if pool.id in pools:
            raise DataError(f"{name}: pool {pool.id}: id: is in the file twice")
        for token in (pool.token0, pool.token1):
            if token not in tokens:
                raise DataError(
                    f"{name}: pool {pool.id}: tokens: {token} is not among the tokens of the file"
                )
        pools[pool.id] = pool
    return PoolsFile(
        snapshot=Snapshot(block=block, tokens=tokens, pools=pools),
        gas={one.pool.id: one.gas for one in read if one.gas is not None},
        flash=frozenset(one.pool.id for one in read if one.flash),
        warnings=unknown.warnings,
    )


def encode(
    snapshot: Snapshot,
    *,
    gas: Mapping[PoolId, int] | None = None,
    flash: Collection[PoolId] = (),
) -> bytes:
    """Return the bytes of a pools file: tokens and pools by address, one a line."""
    block = snapshot.block
    head = {"number": block.number, "hash": block.hash, "timestamp": block.timestamp}
    tokens = [msgspec.to_builtins(token) for _, token in sorted(snapshot.tokens.items())]
    pools = [
        _written(pool, None if gas is None else gas.get(pool.id), lends=pool.id in flash)
        for _, pool in sorted(snapshot.pools.items())
    ]
    lines = [
        b'{"version": %d, "block": %b,' % (VERSION, _encode(head)),
        b' "tokens": [',
        b",\n".join(b"  " + _encode(token) for token in tokens) + b"],",
        b' "pools": [',
        b",\n".join(b"  " + _encode(pool) for pool in pools) + b"]}",
    ]
    return b"\n".join(lines) + b"\n"


class _Unknown:
    """Fields that nobody took: where the first of each name and kind of object is, and how many."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], tuple[str, int]] = {}

    def note(self, what: str, fields: Fields) -> None:
        """Remember what is left of an object, all of whose known fields were taken."""
        for field in fields.unknown:
            first, times = self._found.get((what, field), (fields.where, 0))
            self._found[what, field] = first, times + 1

    @property
    def warnings(self) -> tuple[str, ...]:
        """One line for each."""
        return tuple(
            printable(
                f"{where}: {shown(field)}: unknown field, ignored"
                + (f" here and in {times - 1} more" if times > 1 else "")
            )
            for (_, field), (where, times) in self._found.items()
        )


class _Read(NamedTuple):
    """One pool, and what the file says of it besides."""

    pool: Pool
    gas: int | None
    flash: bool


def _read_block(fields: Fields, unknown: _Unknown) -> Head:
    block = Head(
        number=fields.count("number"),
        hash=fields.hash("hash"),
        parent_hash=ZERO_HASH,
        timestamp=fields.count("timestamp"),
        base_fee_per_gas=0,
        gas_limit=0,
        gas_used=0,
    )
    unknown.note("block", fields)
    return block


def _read_tokens(file: Fields, unknown: _Unknown) -> dict[Address, Token]:
    tokens: dict[Address, Token] = {}
    for place, raw in enumerate(file.items("tokens")):
        fields = Fields(f"{file.where}: tokens[{place}]", raw)
        token = Token(
            address=fields.address("address"),
            symbol=fields.text("symbol"),
            decimals=fields.count("decimals", most=MAX_DECIMALS),
            transfer_fee_ppm=fields.count("transfer_fee_ppm", most=PPM - 1)
            if fields.has("transfer_fee_ppm")
            else 0,
        )
        if token.address in tokens:
            fields.refuse("address", f"{token.address} is among the tokens twice")
        tokens[token.address] = token
        unknown.note("token", fields)
    return tokens


def _read_pool(name: str, place: int, raw: msgspec.Raw, unknown: _Unknown) -> _Read:
    fields = Fields(f"{name}: pools[{place}]", raw)
    if (pool_id := fields.peek("id")) is not None:
        fields.where = f"{name}: pool {pool_id}"
    kind = fields.text("kind")
    if kind not in FORMATS:
        fields.refuse("kind", f"unknown kind: {kind} (known: {', '.join(sorted(FORMATS))})")
    try:
        pool = FORMATS[kind].read(fields)
    except PoolError as error:
        raise DataError(f"{name}: {error}") from None
    read = _Read(
        pool=pool,
        gas=fields.count("gas") if fields.has("gas") else None,
        flash=fields.flag("flash") if fields.has("flash") else False,
    )
    unknown.note(kind, fields)
    return read


def _written(pool: Pool, gas: int | None, *, lends: bool) -> dict[str, object]:
    fields: dict[str, object] = {"id": pool.id, "kind": pool.kind.value}
    fields |= FORMATS[pool.kind.value].write(pool)
    if gas is not None:
        fields["gas"] = gas
    if lends:
        fields["flash"] = True
    return fields
