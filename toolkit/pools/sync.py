"""Snapshots from a node: everything at one block hash, then by events alone.

Reads are `eth_call`s pinned by block hash (EIP-1898) in JSON-RPC batches, so a snapshot never
mixes two blocks, and a reorg between two requests is an error instead of a mixture.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from toolkit.chain.multicall import aggregate
from toolkit.chain.node import Node
from toolkit.model.chain import ZERO_ADDRESS, Address, Hash, Head, LogEntry
from toolkit.model.errors import PoolError
from toolkit.model.market import PoolId, Token
from toolkit.pools import abi, events, manager
from toolkit.pools.concentrated_v4 import ConcentratedV4
from toolkit.pools.history import Followed
from toolkit.pools.snapshot import Pool, PoolSpec, Snapshot, WithTicks
from toolkit.pools.states import read_bare, read_states
from toolkit.pools.windows import Ranged, has_moved, with_ticks, with_windows

# Beyond this gap a fresh load is cheaper than following the blocks one by one.
MAX_GAP_BLOCKS = 64
MAX_FILTER = 1000  # addresses in a request for logs; with more pools all logs are asked for
_MAX_DECIMALS = 255
_TICKED_FIELDS = frozenset({"known", "ticks", "gross"})  # compared tick by tick, where ours are
NATIVE = Token(address=ZERO_ADDRESS, symbol="ETH", decimals=18)
"""What V4 pools trade besides tokens, unless the caller names the chain's own."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A field of a pool in which a snapshot and the node differ; a tick's is `ticks[TICK]`."""

    pool: PoolId
    field: str
    ours: str
    nodes: str


async def load(
    node: Node,
    specs: Sequence[PoolSpec],
    tokens: Mapping[str, Token] | Iterable[Token] = (),
    *,
    head: Head,
) -> Snapshot:
    """Read every pool's state as of `head`, in three batches however many pools there are.

    V4's pools take three more, and tokens that are not given are read from their contracts in
    another; the native currency is taken for ETH.

    Raises:
        PoolError: a contract does not answer as its spec says; names pool and field.
        NodeError: the node cannot be asked, or no longer has the block.
    """
    ordered = sorted(specs, key=lambda spec: spec.id)
    for spec, following in itertools.pairwise(ordered):
        if spec.id == following.id:
            raise PoolError(f"pool {spec.id}: id: given twice")
    known = {ZERO_ADDRESS: NATIVE}
    known |= {t.address: t for t in (tokens.values() if isinstance(tokens, Mapping) else tokens)}
    wanted = sorted({token for spec in ordered for token in (spec.token0, spec.token1)})
    missing = [token for token in wanted if token not in known]
    known |= {token.address: token for token in await read_tokens(node, missing, head=head)}
    return Snapshot(
        block=head,
        tokens={token: known[token] for token in wanted},
        pools=await read_states(node, ordered, head=head),
    )


async def refresh(node: Node, snapshot: Snapshot, *, head: Head) -> Snapshot:
    """Bring a snapshot to `head` by the events of the blocks between; as `follow`, without undo."""
    return (await follow(node, Followed(snapshot=snapshot, depth=0), head=head)).snapshot


async def follow(
    node: Node, followed: Followed, *, head: Head, between: Sequence[Head] = ()
) -> Followed:
    """Bring pool states to `head`: back over what a reorg replaced, then forward by events.

    One request a block for its logs, and one for each header between that is not among `between`.
    The snapshot equals `load` at `head`, and is it where none of the blocks at hand is an ancestor
    of `head`, or only one more than 64 blocks before it. What no event tells is read: the ticks
    that come into a moved known range, pools whose `gross` was unknown, dynamic fees, and pools
    whose logs cannot have happened in the state at hand.

    Raises:
        PoolError, NodeError: as `load`.
    """
    if head.hash == followed.snapshot.block.hash:
        return followed
    path = await _path(node, followed.reach, head, {block.hash: block for block in between})
    start = None if path is None else followed.back(path[0].parent_hash if path else head.hash)
    if path is None or start is None:
        specs, tokens = specs_of(followed.snapshot), followed.snapshot.tokens.values()
        loaded = await load(node, specs, tokens, head=head)
        return Followed(snapshot=loaded, depth=followed.depth)
    after, untold = await _forward(node, start, path)
    before = followed.snapshot.pools
    touched = [pool for pool in after.snapshot.pools.values() if pool is not before[pool.id]]
    read = await _read_untold(node, after, touched, untold)
    return after.corrected(read, since=start.snapshot.block.hash)


async def check(node: Node, snapshot: Snapshot) -> tuple[Difference, ...]:
    """Read every pool at the snapshot's block and name all in which it differs from ours.

    Ticks are compared as far as ours are known, and their gross where it is.

    Raises:
        PoolError: a contract that is no such pool at all; names pool and field.
        NodeError: as `load`.
    """
    head = snapshot.block
    bare = await read_bare(node, specs_of(snapshot), head=head)
    ranged: list[Ranged] = []
    for pool in bare.values():
        ours = snapshot.pools[pool.id]
        if isinstance(pool, WithTicks) and isinstance(ours, WithTicks):
            ranged.append(msgspec.structs.replace(pool, known=ours.known))
    whole = bare | {pool.id: pool for pool in await with_ticks(node, ranged, head=head)}
    return tuple(
        Difference(pool=pool.id, field=field, ours=mine, nodes=nodes)
        for _, pool in sorted(snapshot.pools.items())
        for field, mine, nodes in _compared(pool, whole[pool.id])
        if mine != nodes
    )


def specs_of(snapshot: Snapshot) -> tuple[PoolSpec, ...]:
    """Return what never changes about a snapshot's pools, by address."""
    return tuple(_spec_of(pool) for _, pool in sorted(snapshot.pools.items()))


async def read_tokens(node: Node, addresses: Sequence[Address], *, head: Head) -> tuple[Token, ...]:
    """Read symbol and decimals; a token without a readable symbol is named by its address.

    Raises:
        PoolError: a token without `decimals()`.
    """
    if not addresses:
        return ()
    calls = [
        (token, abi.SELECTORS[name]) for token in addresses for name in ("symbol()", "decimals()")
    ]
    answers = await aggregate(node, calls, block=head.hash)
    found = []
    for token, symbol, decimals in zip(addresses, answers[::2], answers[1::2], strict=True):
        words = abi.words(decimals)
        if len(words) != 1 or words[0] > _MAX_DECIMALS:
            raise PoolError(f"token {token}: decimals: no answer; is it an ERC-20 at this block?")
        name = abi.text(symbol) or token
        found.append(Token(address=token, symbol=name, decimals=words[0]))
    return tuple(found)


async def _path(
    node: Node, reach: Mapping[Hash, int], head: Head, between: Mapping[Hash, Head]
) -> list[Head] | None:
    """Return the blocks after one of `reach` up to `head`, oldest first; None if it is too far."""
    if head.hash in reach:
        return []
    oldest = min(reach.values())
    path = [head]
    while path[-1].parent_hash not in reach:
        if len(path) == MAX_GAP_BLOCKS or path[-1].number - 1 <= oldest:
            return None
        parent = path[-1].parent_hash
        path.append(between.get(parent) or await node.head(parent))
    return path[::-1]


async def _forward(
    node: Node, followed: Followed, path: Sequence[Head]
) -> tuple[Followed, frozenset[PoolId]]:
    """Follow blocks by their logs; return also the pools that the events do not tell."""
    untold: set[PoolId] = set()
    contracts = sorted({_contract_of(pool) for pool in followed.snapshot.pools.values()})
    named = contracts if len(contracts) <= MAX_FILTER else ()
    for block in path:
        logs = await node.logs(block_hash=block.hash, addresses=named, topics=(abi.STATE_TOPICS,))
        by_pool: dict[PoolId, list[LogEntry]] = {}
        for log in logs:
            pool = events.pool_of(followed.snapshot.pools, log)
            if pool is not None:
                by_pool.setdefault(pool.id, []).append(log)
        untold |= {pool for pool, own in by_pool.items() if not _tell(followed, pool, own)}
        told = [log for pool, own in by_pool.items() if pool not in untold for log in own]
        followed = followed.forward(block, told)
    return followed, frozenset(untold)


def _tell(followed: Followed, pool: PoolId, logs: Sequence[LogEntry]) -> bool:
    """Whether a pool's logs in a block tell its state after it.

    They do not where they cannot have happened in the state that we hold (it came from a file that
    is wrong, say), nor where the contract does not write what its kind writes: only the node knows
    then, and reading the pool either mends our state or says what is wrong with the pool.
    """
    state = followed.snapshot.pools[pool]
    try:
        for log in sorted(logs, key=lambda log: log.log_index):
            if not events.tells(state, log):
                return False
            state = events.apply(state, log)
    except PoolError:
        return False
    return True


async def _read_untold(
    node: Node, followed: Followed, touched: Sequence[Pool], untold: frozenset[PoolId]
) -> dict[PoolId, Pool]:
    """Read what the events did not tell: whole pools, moved known ranges, dynamic fees."""
    head, pools = followed.snapshot.block, followed.snapshot.pools
    moved = [pool for pool in touched if isinstance(pool, WithTicks) and has_moved(pool)]
    whole = untold | {pool.id for pool in moved if pool.ticks and not pool.gross}
    specs = [_spec_of(pools[pool]) for pool in sorted(whole)]
    shifted = [pool for pool in moved if pool.id not in whole]
    read = await read_states(node, specs, head=head) if specs else {}
    read |= {pool.id: pool for pool in await with_windows(node, shifted, head=head)}
    dynamic = [
        pool
        for pool in (pools | read).values()
        if isinstance(pool, ConcentratedV4) and pool.dynamic_fee
    ]
    slots = [(pool.manager, manager.slot0_of(pool.id)) for pool in dynamic]
    for pool, word in zip(dynamic, await manager.read_slots(node, slots, head=head), strict=True):
        fee = manager.slot0(word).lp_fee_ppm
        if fee != pool.fee_ppm:
            read[pool.id] = msgspec.structs.replace(pool, fee_ppm=fee)
    return read


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


def _ticks_of(pool: Ranged, *, gross: bool) -> dict[int, str]:
    if not gross:
        return {tick: f"net {net}" for tick, net in pool.ticks}
    held = zip(pool.ticks, pool.gross, strict=True)
    return {tick: f"net {net} gross {much}" for (tick, net), much in held}


def _contract_of(pool: Pool) -> Address:
    return pool.manager if isinstance(pool, ConcentratedV4) else pool.id


def _spec_of(pool: Pool) -> PoolSpec:
    spec = PoolSpec(
        id=pool.id,
        kind=pool.kind,
        token0=pool.token0,
        token1=pool.token1,
        fee_ppm=pool.fee_ppm,
        tick_spacing=pool.tick_spacing if isinstance(pool, WithTicks) else 0,
    )
    if not isinstance(pool, ConcentratedV4):
        return spec
    return msgspec.structs.replace(
        spec, hooks=pool.hooks, dynamic_fee=pool.dynamic_fee, manager=pool.manager
    )
