"""The canonical chain as a sequence of changes, without gaps and with honest reorgs."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

import msgspec

from toolkit.chain import answers
from toolkit.chain.node import Node, block_request
from toolkit.chain.websocket import Subscription, WsRpc
from toolkit.model.chain import Hash, Head, HeadChange
from toolkit.model.errors import ConfigError, NodeError, NodeTimeout, NodeUnavailable, RpcError

_POLL_S = 0.25
_RECONNECTS = 8
_BACKOFF_S = 0.1
_BACKOFF_MAX_S = 5.0
_FILL_TRIES = 8


class MissingParent(msgspec.Struct, frozen=True, kw_only=True):
    """The chain cannot place a head before it is given this one."""

    hash: Hash
    number: int


class HeadChain:
    """The last canonical heads, and the branch that is being connected to them. No I/O.

    Reorgs down to `depth` blocks can be undone; twice as many heads are kept, because one reorg may
    follow another before the chain has grown again.

    A head that extends or replaces what is known gives a HeadChange. One whose parent is unknown
    gives MissingParent: `step` that parent next, and so on down to a known head. Nothing changes
    until the branch connects, so a branch that never does is simply dropped by the next head.

    A node that falls back to an ancestor of the tip (a lagging one behind a load balancer, a
    snapshot reverted on a development node) changes nothing by itself: blocks are undone when
    others take their place.
    """

    def __init__(self, *, depth: int = 64, max_gap: int = 10_000) -> None:
        if depth < 1 or max_gap < depth:
            raise ConfigError(
                f"head chain of depth {depth} and gap {max_gap}: need 1 <= depth <= gap"
            )
        self._depth = depth
        self._max_gap = max_gap
        self._canonical: list[Head] = []  # oldest first
        self._place: dict[Hash, int] = {}  # hash -> block number, for the heads above
        self._branch: list[Head] = []  # newest first

    @property
    def tip(self) -> Head | None:
        """The newest canonical head; None before the first."""
        return self._canonical[-1] if self._canonical else None

    @property
    def heads(self) -> tuple[Head, ...]:
        """The canonical heads still remembered, oldest first."""
        return tuple(self._canonical)

    def begin(self, ancestors: Sequence[Head], head: Head) -> HeadChange:
        """Start at `head`, knowing some of its ancestors, so that it can itself be undone.

        Ancestors are taken from the newest down as far as they link; only `head` counts as added.
        """
        linked = [head]
        for ancestor in sorted(ancestors, key=lambda known: known.number, reverse=True):
            if ancestor.hash != linked[-1].parent_hash:
                break
            linked.append(ancestor)
        self._connect(0, linked[::-1])
        return HeadChange(added=(head,))

    def step(self, head: Head) -> HeadChange | MissingParent | None:
        """Take a head: the newest one, or the parent that was asked for.

        Returns:
            None when it is canonical already.

        Raises:
            NodeError: the branch leaves the chain more than `depth` blocks back, or is more than
                `max_gap` blocks ahead, or a parent's number is not its child's minus one.
        """
        if not self._canonical:
            return self.begin((), head)
        if head.hash in self._place:
            return None
        below = self._branch[-1] if self._branch else None
        if below is None or below.parent_hash != head.hash:
            self._branch = [head]
        elif below.number != head.number + 1:
            raise NodeError(f"block {below.number} names block {head.number} as its parent")
        else:
            self._branch.append(head)
        return self._place_branch()

    def _place_branch(self) -> HeadChange | MissingParent:
        oldest, newest = self._branch[-1], self._branch[0]
        parent = self._place.get(oldest.parent_hash)
        if parent is not None:
            return self._connect(parent + 1 - self._canonical[0].number, self._branch[::-1])
        tip, branch = self._canonical[-1], self._branch
        self._branch = []  # dropped, unless it is found to be merely unfinished
        if oldest.number <= self._canonical[0].number:
            raise NodeError(
                f"block {newest.number} leaves the chain more than {len(self._canonical)} blocks"
                f" below its tip {tip.number}: too deep to undo; open the session again"
            )
        if newest.number - tip.number > self._max_gap:
            raise NodeError(
                f"the node is at block {newest.number}, {newest.number - tip.number} ahead of"
                f" ours and more than {self._max_gap}: open the session again"
            )
        self._branch = branch
        return MissingParent(hash=oldest.parent_hash, number=oldest.number - 1)

    def _connect(self, keep: int, added: list[Head]) -> HeadChange:
        reverted = self._canonical[keep:]
        kept = (self._canonical[:keep] + added)[-2 * self._depth :]
        self._canonical, self._branch = kept, []
        self._place = {head.hash: head.number for head in kept}
        return HeadChange(added=tuple(added), reverted=tuple(reversed(reverted)))


class FollowerStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What a follower went through since it began; `deepest_reorg` in blocks."""

    changes: int = 0
    reorgs: int = 0
    deepest_reorg: int = 0
    filled_blocks: int = 0
    reconnects: int = 0


class HeadFollower:
    """Follows a node's head: `newHeads` over a WebSocket, polling over HTTP; fills every gap."""

    def __init__(
        self, node: Node, *, depth: int = 64, poll_s: float = _POLL_S, backoff_s: float = _BACKOFF_S
    ) -> None:
        self._node = node
        self._chain = HeadChain(depth=depth)
        self._depth = depth
        self._poll_s = poll_s
        self._backoff_s = backoff_s
        self._statistics = FollowerStatistics()
        self._one_at_a_time = asyncio.Lock()

    @property
    def head(self) -> Head | None:
        """The newest canonical head seen; None before the first."""
        return self._chain.tip

    @property
    def heads(self) -> tuple[Head, ...]:
        """The canonical heads still remembered, oldest first."""
        return self._chain.heads

    def statistics(self) -> FollowerStatistics:
        """Counts since the follower began."""
        return self._statistics

    async def poll(self) -> HeadChange | None:
        """Ask for the head once; None if nothing changed. The first time, the head is the change.

        Raises:
            NodeError: see `HeadChain.step`, or the node keeps withdrawing the blocks we ask for.
        """
        async with self._one_at_a_time:
            return await self._advance(await self._node.head())

    async def changes(self) -> AsyncGenerator[HeadChange, None]:
        """Every change, from the current head on.

        A node that cannot be reached is asked again up to eight times in a row, a lost WebSocket
        opened again, and what was missed is filled in before anything newer; then the error is
        raised.
        """
        rpc = self._node.rpc
        lost = 0
        while True:
            try:
                subscription = await rpc.subscribe("newHeads") if isinstance(rpc, WsRpc) else None
                change = await self.poll()  # what happened before the subscription stood
                lost = 0
                if change is not None:
                    yield change
                if subscription is not None:
                    async for change in self._subscribed(subscription):
                        yield change
                elif change is None:
                    await asyncio.sleep(self._poll_s)
            except (NodeUnavailable, NodeTimeout):
                lost += 1
                if lost > _RECONNECTS:
                    raise
                self._count(reconnects=1)
                await asyncio.sleep(min(_BACKOFF_MAX_S, self._backoff_s * 2.0**lost))

    async def _subscribed(self, subscription: Subscription) -> AsyncGenerator[HeadChange, None]:
        try:
            async for event in subscription:
                async with self._one_at_a_time:
                    change = await self._advance(answers.head(event))
                if change is not None:
                    yield change
        finally:
            await subscription.close()

    async def _advance(self, head: Head) -> HeadChange | None:
        if self._chain.tip is None:
            known = await self._between(max(-1, head.number - self._depth), head.number)
            return self._seen(self._chain.begin(tuple(known.values()), head))
        for _ in range(_FILL_TRIES):
            change = await self._place(head)
            if not isinstance(change, MissingParent):
                return self._seen(change)
            # The branch was replaced while we read it: begin again from what is newest now.
            head = await self._node.head()
        raise NodeError(
            f"the node withdrew its own blocks {_FILL_TRIES} times while we read up to"
            f" block {head.number}"
        )

    async def _place(self, head: Head) -> HeadChange | MissingParent | None:
        """Connect `head`, fetching what is missing; MissingParent if the node lost that block."""
        change = self._chain.step(head)
        tip = self._chain.tip
        if not isinstance(change, MissingParent) or tip is None:
            return change
        ahead = await self._between(tip.number, head.number)
        while isinstance(change, MissingParent):
            parent = ahead.get(change.hash) or await self._by_hash(change.hash)
            if parent is None:
                return change
            self._count(filled_blocks=1)
            change = self._chain.step(parent)
        return change

    async def _between(self, low: int, high: int) -> dict[Hash, Head]:
        """Blocks above `low` and below `high` in one batch, by hash; a guess at what is missing."""
        requests = [block_request(number) for number in range(low + 1, high)]
        found = await self._node.rpc.batch([(method, params) for method, *params in requests])
        heads = [answers.head(item) for item in found if isinstance(item, dict)]
        return {head.hash: head for head in heads}

    async def _by_hash(self, block: Hash) -> Head | None:
        found = await self._node.rpc.batch([("eth_getBlockByHash", [block, False])])
        if isinstance(found[0], RpcError):
            raise found[0]
        return answers.head(found[0]) if isinstance(found[0], dict) else None

    def _seen(self, change: HeadChange | None) -> HeadChange | None:
        if change is not None:
            before = self._statistics.deepest_reorg
            self._count(changes=1, reorgs=int(change.depth > 0))
            self._statistics = msgspec.structs.replace(
                self._statistics, deepest_reorg=max(before, change.depth)
            )
        return change

    def _count(
        self, *, changes: int = 0, reorgs: int = 0, filled_blocks: int = 0, reconnects: int = 0
    ) -> None:
        now = self._statistics
        self._statistics = msgspec.structs.replace(
            now,
            changes=now.changes + changes,
            reorgs=now.reorgs + reorgs,
            filled_blocks=now.filled_blocks + filled_blocks,
            reconnects=now.reconnects + reconnects,
        )
