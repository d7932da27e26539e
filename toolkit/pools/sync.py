"""Snapshots from a node: everything at one block hash, then only what events touched.

Reads are `eth_call`s pinned by block hash (EIP-1898) in JSON-RPC batches, so a snapshot never
mixes two blocks, and a reorg between two requests is an error instead of a mixture.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from toolkit.chain.multicall import aggregate
from toolkit.chain.node import Node
from toolkit.model.chain import Address, Hash, Head, LogEntry
from toolkit.model.errors import PoolError
from toolkit.model.market import PoolId, Token, has_contract
from toolkit.pools import abi
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.concentrated_v4 import ConcentratedV4
from toolkit.pools.snapshot import Pool, PoolSpec, Snapshot
from toolkit.pools.states import build, read_nets, read_states, with_ticks

# Beyond this gap a fresh load is cheaper than following the blocks one by one.
MAX_GAP_BLOCKS = 64
_MAX_DECIMALS = 255


async def load(
    node: Node,
    specs: Sequence[PoolSpec],
    tokens: Mapping[str, Token] | Iterable[Token] = (),
    *,
    head: Head,
) -> Snapshot:
    """Read every pool's state as of `head`, in three batches however many pools there are.

    Tokens that are not given are read from their contracts in a fourth.

    Raises:
        PoolError: a contract does not answer as its spec says; names pool and field.
        NodeError: the node cannot be asked, or no longer has the block.
    """
    ordered = sorted(specs, key=lambda spec: spec.id)
    for spec, following in itertools.pairwise(ordered):
        if spec.id == following.id:
            raise PoolError(f"pool {spec.id}: id: given twice")
    known = {t.address: t for t in (tokens.values() if isinstance(tokens, Mapping) else tokens)}
    wanted = sorted({token for spec in ordered for token in (spec.token0, spec.token1)})
    missing = [token for token in wanted if token not in known]
    known |= {token.address: token for token in await read_tokens(node, missing, head=head)}
    return Snapshot(
        block=head,
        tokens={token: known[token] for token in wanted},
        pools=await read_states(node, ordered, head=head),
    )


async def refresh(node: Node, snapshot: Snapshot, *, head: Head) -> Snapshot:
    """Bring a snapshot to `head`, re-reading only pools with events in the blocks between.

    Equals `load` at `head`, and is it where the snapshot's block is no ancestor of `head` (a
    reorg) or more than 64 blocks behind.

    Raises:
        PoolError, NodeError: as `load`.
    """
    if head.hash == snapshot.block.hash:
        return snapshot
    blocks = await _blocks_between(node, snapshot.block, head)
    if blocks is None:
        return await load(node, specs_of(snapshot), snapshot.tokens.values(), head=head)
    logs: list[LogEntry] = []
    for block in blocks:
        logs += await node.logs(
            block_hash=block,
            addresses=sorted(filter(has_contract, snapshot.pools)),
            topics=(abi.STATE_TOPICS,),
        )
    touched = await _reread(node, snapshot, logs, head)
    return msgspec.structs.replace(snapshot, block=head, pools=snapshot.pools | touched)


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


async def _blocks_between(node: Node, base: Head, head: Head) -> list[Hash] | None:
    """Hashes after `base` up to `head`, oldest first; None unless `base` is a near ancestor."""
    if head.number - base.number > MAX_GAP_BLOCKS:
        return None
    hashes, parent = [head.hash], head.parent_hash
    while len(hashes) < head.number - base.number:
        hashes.append(parent)
        parent = (await node.head(parent)).parent_hash
    return hashes[::-1] if parent == base.hash else None


async def _reread(
    node: Node, snapshot: Snapshot, logs: Sequence[LogEntry], head: Head
) -> dict[PoolId, Pool]:
    """Read the pools that `logs` touch: prices and reserves, and the ticks of Mint and Burn."""
    before = [snapshot.pools[pool] for pool in sorted({log.address for log in logs})]
    asked = [(_spec_of(pool).id, pool.kind) for pool in before]
    calls = [(pool, abi.SELECTORS[name]) for pool, kind in asked for name in abi.STATE[kind]]
    answers = iter(await aggregate(node, calls, block=head.hash))
    nets = await read_nets(node, _touched_ticks(snapshot, logs), head=head)
    changes: dict[PoolId, dict[int, int | None]] = defaultdict(dict)
    for (owner, tick), net in nets.items():
        changes[owner][tick] = net
    after: dict[PoolId, Pool] = {}
    moved: list[Concentrated] = []
    for pool in before:
        fresh = build(_spec_of(pool), [next(answers) for _ in abi.STATE[pool.kind]])
        if isinstance(pool, Concentrated) and isinstance(fresh, Concentrated):
            if fresh.known == pool.known:
                ticks = _merged(pool.ticks, changes[pool.id])
                fresh = msgspec.structs.replace(fresh, ticks=ticks)
            else:
                moved.append(fresh)
        after[pool.id] = fresh
    return after | {pool.id: pool for pool in await with_ticks(node, moved, head=head)}


def _touched_ticks(snapshot: Snapshot, logs: Sequence[LogEntry]) -> list[tuple[Address, int]]:
    """(pool, tick) of both ends of every position that changed, within the known ranges."""
    touched = set()
    for log in logs:
        pool = snapshot.pools[log.address]
        if log.topics[0] in abi.TICK_TOPICS and isinstance(pool, Concentrated):
            for topic in log.topics[2:4]:  # owner, tickLower and tickUpper are indexed
                tick = abi.signed(int(topic, 16))
                if pool.known[0] <= tick <= pool.known[1]:
                    touched.add((pool.id, tick))
    return sorted(touched)


def _merged(
    ticks: tuple[tuple[int, int], ...], changes: Mapping[int, int | None]
) -> tuple[tuple[int, int], ...]:
    if not changes:
        return ticks
    merged: dict[int, int | None] = {**dict(ticks), **changes}
    return tuple((tick, net) for tick, net in sorted(merged.items()) if net is not None)


def _spec_of(pool: Pool) -> PoolSpec:
    if isinstance(pool, ConcentratedV4):
        raise PoolError(f"pool {pool.id}: id: pools of the V4 PoolManager are not read from a node")
    return PoolSpec(
        id=pool.id,
        kind=pool.kind,
        token0=pool.token0,
        token1=pool.token1,
        fee_ppm=pool.fee_ppm,
        tick_spacing=pool.tick_spacing if isinstance(pool, Concentrated) else 0,
    )
