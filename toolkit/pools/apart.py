"""Reading many pools at once, though some of them cannot be: those are told from the others.

What concerns the node stays an error for all; what concerns one pool is that pool's alone.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TypeVar

import msgspec

from toolkit.chain.node import Node
from toolkit.model.chain import ZERO_ADDRESS, Head
from toolkit.model.errors import PoolError, RejectedByNode, RpcError
from toolkit.model.market import PoolId
from toolkit.pools import manager
from toolkit.pools.concentrated_v4 import ConcentratedV4
from toolkit.pools.snapshot import Pool, Snapshot, WithTicks
from toolkit.pools.states import read_states, spec_of
from toolkit.pools.windows import has_moved, with_windows

T = TypeVar("T")


async def read_apart(
    node: Node,
    wanted: Mapping[PoolId, T],
    read: Callable[[Sequence[T]], Awaitable[Mapping[PoolId, Pool]]],
    *,
    head: Head,
) -> tuple[dict[PoolId, Pool], dict[PoolId, str]]:
    """Read pools together; where that fails by halves, until what cannot be read is alone.

    Args:
        node: the node that `read` asks.
        wanted: what `read` takes, of each pool.
        read: reads some of them as of `head`.
        head: the block.

    Returns:
        The pools, and why each of the others cannot be read. Without one that cannot it is one
        reading; each that cannot costs about log2 of their number more.

    Raises:
        NodeError: the node cannot be asked, or does not have the block.
    """
    if not wanted:
        return {}, {}
    try:
        return dict(await read(tuple(wanted.values()))), {}
    except PoolError as error:
        why = str(error)
    except (RpcError, RejectedByNode) as error:
        # A contract may end a call otherwise than by a revert; a node without the block's state
        # fails here too, and then it is not the pools that are wrong.
        await node.call(to=ZERO_ADDRESS, block=head.hash)
        why = f"contract: the node cannot run it: {error}"
    names = list(wanted)
    if len(names) == 1:
        told = why if why.startswith(f"pool {names[0]}: ") else f"pool {names[0]}: {why}"
        return {}, {names[0]: told}
    found: dict[PoolId, Pool] = {}
    failed: dict[PoolId, str] = {}
    for half in (names[: len(names) // 2], names[len(names) // 2 :]):
        pools, wrong = await read_apart(
            node, {name: wanted[name] for name in half}, read, head=head
        )
        found |= pools
        failed |= wrong
    return found, failed


async def read_untold(
    node: Node, snapshot: Snapshot, touched: Sequence[Pool], untold: Collection[PoolId]
) -> tuple[dict[PoolId, Pool], dict[PoolId, str]]:
    """Read what the events of the last blocks did not tell, and name what cannot be read.

    That is whole pools (`untold`), the known ranges of those `touched` that have moved, and
    dynamic fees, as of the snapshot's block. Errors as `read_apart`.
    """
    head, pools = snapshot.block, snapshot.pools
    moved = [pool for pool in touched if isinstance(pool, WithTicks) and has_moved(pool)]
    whole = {*untold, *(pool.id for pool in moved if pool.ticks and not pool.gross)}

    async def windows(some: Sequence[WithTicks]) -> dict[PoolId, Pool]:
        return {pool.id: pool for pool in await with_windows(node, some, head=head)}

    read, failed = await read_apart(
        node,
        {name: spec_of(pools[name]) for name in sorted(whole)},
        lambda specs: read_states(node, specs, head=head),
        head=head,
    )
    shifted = {pool.id: pool for pool in moved if pool.id not in whole}
    found, wrong = await read_apart(node, shifted, windows, head=head)
    read, failed = read | found, failed | wrong
    dynamic: dict[PoolId, ConcentratedV4] = {
        pool.id: pool
        for pool in (pools | read).values()
        if isinstance(pool, ConcentratedV4) and pool.dynamic_fee and pool.id not in failed
    }
    found, wrong = await read_apart(
        node, dynamic, lambda some: _with_fees(node, some, head), head=head
    )
    return read | found, failed | wrong


async def _with_fees(node: Node, pools: Sequence[ConcentratedV4], head: Head) -> dict[PoolId, Pool]:
    """Read the fees that hooks set, and return the pools of which it is another one."""
    slots = [(pool.manager, manager.slot0_of(pool.id)) for pool in pools]
    words = await manager.read_slots(node, slots, head=head)
    fees = [manager.slot0(word).lp_fee_ppm for word in words]
    return {
        pool.id: msgspec.structs.replace(pool, fee_ppm=fee)
        for pool, fee in zip(pools, fees, strict=True)
        if fee != pool.fee_ppm
    }
