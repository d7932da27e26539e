"""Pool states held against the node: every field and tick that differs, by its name."""

from collections.abc import Iterator, Sequence

import msgspec

from toolkit.chain.node import Node
from toolkit.model.market import PoolId
from toolkit.pools.apart import read_apart
from toolkit.pools.snapshot import Pool, Snapshot, WithTicks
from toolkit.pools.states import read_bare, spec_of
from toolkit.pools.windows import with_ticks

_TICKED_FIELDS = frozenset({"known", "ticks", "gross"})  # compared tick by tick, where ours are


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A field of a pool in which a snapshot and the node differ; a tick's is `ticks[TICK]`.

    Of a pool that cannot be read `nodes` says why not.
    """

    pool: PoolId
    field: str
    ours: str
    nodes: str


async def check(node: Node, snapshot: Snapshot) -> tuple[Difference, ...]:
    """Read every pool at the snapshot's block and name all in which it differs from ours.

    Ticks are compared as far as ours are known, and their gross where it is.

    Raises:
        NodeError: the node cannot be asked, or does not have the block.
    """
    head = snapshot.block

    async def read(pools: Sequence[Pool]) -> dict[PoolId, Pool]:
        bare = await read_bare(node, [spec_of(pool) for pool in pools], head=head)
        ranged: list[WithTicks] = []
        for ours in pools:
            theirs = bare[ours.id]
            if isinstance(theirs, WithTicks) and isinstance(ours, WithTicks):
                ranged.append(msgspec.structs.replace(theirs, known=ours.known))
        return bare | {pool.id: pool for pool in await with_ticks(node, ranged, head=head)}

    found, failed = await read_apart(node, dict(sorted(snapshot.pools.items())), read, head=head)
    differences: list[Difference] = []
    for name, pool in sorted(snapshot.pools.items()):
        if name in failed:
            differences.append(_unread(pool, failed[name]))
            continue
        differences += [
            Difference(pool=name, field=field, ours=ours, nodes=nodes)
            for field, ours, nodes in _compared(pool, found[name])
            if ours != nodes
        ]
    return tuple(differences)


def _unread(pool: Pool, why: str) -> Difference:
    """Word that the node has no such pool: `why` is a PoolError's text."""
    field, _, nodes = why.removeprefix(f"pool {pool.id}: ").partition(": ")
    ours = getattr(pool, field) if field in pool.__struct_fields__ else f"a {pool.kind.value} pool"
    return Difference(pool=pool.id, field=field, ours=str(ours), nodes=nodes)


def _compared(ours: Pool, nodes: Pool) -> Iterator[tuple[str, str, str]]:
    """Pair up the fields of one pool that can differ: (field, ours, the node's)."""
    for field in ours.__struct_fields__:
        if field not in _TICKED_FIELDS:
            yield field, str(getattr(ours, field)), str(getattr(nodes, field))
    if isinstance(ours, WithTicks) and isinstance(nodes, WithTicks):
        known = bool(ours.gross)
        mine, told = _ticks_of(ours, gross=known), _ticks_of(nodes, gross=known)
        for tick in sorted(mine.keys() | told.keys()):
            none = "not initialised"
            yield f"ticks[{tick}]", mine.get(tick, none), told.get(tick, none)


def _ticks_of(pool: WithTicks, *, gross: bool) -> dict[int, str]:
    if not gross:
        return {tick: f"net {net}" for tick, net in pool.ticks}
    held = zip(pool.ticks, pool.gross, strict=True)
    return {tick: f"net {net} gross {much}" for (tick, net), much in held}
