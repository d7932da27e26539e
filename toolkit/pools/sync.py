"""Snapshots from a node: everything at one block hash, then by events alone.

Reads are `eth_call`s pinned by block hash (EIP-1898) in JSON-RPC batches, so a snapshot never
mixes two blocks, and a reorg between two requests is an error instead of a mixture.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from toolkit.chain.multicall import aggregate
from toolkit.chain.node import Node
from toolkit.logs import log_of
from toolkit.model.chain import ZERO_ADDRESS, Address, Hash, Head, LogEntry
from toolkit.model.errors import NodeError, PoolError
from toolkit.model.market import PoolId, Token
from toolkit.pools import abi, events
from toolkit.pools.apart import read_apart, read_untold
from toolkit.pools.concentrated_v4 import ConcentratedV4
from toolkit.pools.history import Followed
from toolkit.pools.misfits import misfit
from toolkit.pools.snapshot import Pool, PoolSpec, SetAside, Snapshot
from toolkit.pools.states import read_states, spec_of

# Beyond this gap a fresh load is cheaper than following the blocks one by one.
MAX_GAP_BLOCKS = 64
MAX_FILTER = 1000  # addresses in a request for logs; with more pools all logs are asked for
_MAX_DECIMALS = 255
NATIVE = Token(address=ZERO_ADDRESS, symbol="ETH", decimals=18)
"""What V4 pools trade besides tokens, unless the caller names the chain's own."""
_log = log_of(__name__)


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

    A pool that cannot be read then, or whose logs show that it is not what its spec says, is set
    aside, with the reason (`Snapshot.aside`, and the log event `pool_set_aside`), and the others
    are followed. It is read again at the next block, then after 1, 2, 4 and up to 64 more; one of
    the second sort never is.

    Raises:
        NodeError: as `load`, or the node puts logs where they do not belong.
    """
    if head.hash == followed.snapshot.block.hash:
        return followed
    path = await _path(node, followed.reach, head, {block.hash: block for block in between})
    start = None if path is None else followed.back(path[0].parent_hash if path else head.hash)
    if path is None or start is None:
        after = await _loaded(node, followed, head)
    else:
        after = await _followed(node, start, path)
    _tell_changes(followed.snapshot, after.snapshot)
    return after


async def _followed(node: Node, start: Followed, path: Sequence[Head]) -> Followed:
    """Go forward by the logs of some blocks, then read what they do not tell."""
    after, untold, odd = await _forward(node, start, path)
    after = after.without(odd)
    head, before = after.snapshot.block, start.snapshot.pools
    touched = [pool for pool in after.snapshot.pools.values() if pool is not before[pool.id]]
    read, failed = await read_untold(node, after.snapshot, touched, untold)
    after = after.corrected(read, since=start.snapshot.block.hash)
    after = after.without(_aside(after.snapshot, failed, head))
    due = {
        one.spec.id: one.spec
        for one in start.snapshot.aside.values()
        if not one.lasting and start.again.get(one.spec.id, 0) <= head.number
    }
    regained, failed = await read_apart(
        node, due, lambda specs: read_states(node, specs, head=head), head=head
    )
    return _waiting(after.regained(regained), failed)


async def _loaded(node: Node, followed: Followed, head: Head) -> Followed:
    """Read everything anew, but what has shown that it is not what its spec says."""
    old = followed.snapshot
    again = {one.spec.id: one.spec for one in old.aside.values() if not one.lasting}
    specs = again | {spec.id: spec for spec in specs_of(old)}
    ordered = {name: specs[name] for name in sorted(specs)}
    pools, failed = await read_apart(
        node, ordered, lambda some: read_states(node, some, head=head), head=head
    )
    fresh = _aside(old, {name: why for name, why in failed.items() if name not in again}, head)
    aside = {name: one for name, one in old.aside.items() if one.lasting or name in failed}
    snapshot = msgspec.structs.replace(old, block=head, pools=pools, aside=aside)
    after = Followed(snapshot=snapshot, depth=followed.depth, again=followed.again).without(fresh)
    return _waiting(after, {name: why for name, why in failed.items() if name in again})


def _aside(snapshot: Snapshot, failed: Mapping[PoolId, str], head: Head) -> list[SetAside]:
    return [
        SetAside(spec=spec_of(snapshot.pools[name]), why=why, block_number=head.number)
        for name, why in failed.items()
    ]


def _waiting(followed: Followed, failed: Iterable[PoolId]) -> Followed:
    """Say when pools that still cannot be read are read again: after as long as it has been."""
    head, aside = followed.snapshot.block.number, followed.snapshot.aside
    again = {name: one for name, one in followed.again.items() if name in aside}
    for name in failed:
        since = head - aside[name].block_number
        again[name] = head + min(max(since, 1), MAX_GAP_BLOCKS)
    return msgspec.structs.replace(followed, again=again)


def _tell_changes(before: Snapshot, after: Snapshot) -> None:
    """Log each pool that is set aside, once, and each that is followed again."""
    for name in sorted(after.aside.keys() - before.aside.keys()):
        _log.warning("pool_set_aside", pool=name, why=after.aside[name].why)
    for name in sorted(before.aside.keys() & after.pools.keys()):
        _log.info("pool_regained", pool=name, block=after.block.number)


def specs_of(snapshot: Snapshot) -> tuple[PoolSpec, ...]:
    """Return what never changes about a snapshot's pools, by address."""
    return tuple(spec_of(pool) for _, pool in sorted(snapshot.pools.items()))


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
) -> tuple[Followed, frozenset[PoolId], list[SetAside]]:
    """Follow blocks by their logs; name also what they do not tell, and what they disprove."""
    untold: set[PoolId] = set()
    odd: dict[PoolId, SetAside] = {}
    contracts = sorted({_contract_of(pool) for pool in followed.snapshot.pools.values()})
    named = contracts if len(contracts) <= MAX_FILTER else ()
    for block in path:
        logs = await node.logs(block_hash=block.hash, addresses=named, topics=(abi.STATE_TOPICS,))
        by_pool: dict[PoolId, list[LogEntry]] = {}
        for log in sorted(logs, key=lambda log: log.log_index):
            pool = events.pool_of(followed.snapshot.pools, log)
            if pool is not None and pool.id not in odd:
                by_pool.setdefault(pool.id, []).append(log)
        for name, own in by_pool.items():
            state = followed.snapshot.pools[name]
            if name not in untold and (why := misfit(state, own)):
                odd[name] = SetAside(
                    spec=spec_of(state), why=why, block_number=block.number, lasting=True
                )
            elif not _tell(state, own):
                untold.add(name)
        left = untold | odd.keys()
        told = [log for name, own in by_pool.items() if name not in left for log in own]
        try:
            followed = followed.forward(block, told)
        except PoolError as error:  # not by the pools: each of their logs has been tried
            raise NodeError(f"the node's logs of block {block.number}: {error}") from error
    return followed, frozenset(untold - odd.keys()), list(odd.values())


def _tell(state: Pool, logs: Sequence[LogEntry]) -> bool:
    """Whether a pool's logs in a block, in order, tell its state after it.

    They do not where they cannot have happened in the state that we hold (it came from a file that
    is wrong, say), nor where the contract does not write what its kind writes: only the node knows
    then, and reading the pool either mends our state or says what is wrong with the pool.
    """
    try:
        for log in logs:
            if not events.tells(state, log):
                return False
            state = events.apply(state, log)
    except PoolError:
        return False
    return True


def _contract_of(pool: Pool) -> Address:
    return pool.manager if isinstance(pool, ConcentratedV4) else pool.id
