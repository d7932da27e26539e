import itertools
import random
import secrets
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from toolkit.chain.heads import HeadChain, HeadFollower, MissingParent
from toolkit.chain.node import Node
from toolkit.chain.rpc import HttpRpc, WsRpc
from toolkit.devnet.anvil import Anvil
from toolkit.model.chain import Hash, Head, HeadChange
from toolkit.model.errors import ConfigError, NodeError, NodeUnavailable


def block(number: int, branch: int = 0, parent_branch: int | None = None) -> Head:
    """A head named by its number and branch."""
    above = branch if parent_branch is None else parent_branch
    return Head(
        number=number,
        hash=Hash(f"0x{branch:032x}{number:032x}"),
        parent_hash=Hash(f"0x{above:032x}{number - 1:032x}"),
        timestamp=12 * number,
        base_fee_per_gas=1,
        gas_limit=30_000_000,
        gas_used=0,
    )


def chain_of(*heads: Head, depth: int = 64) -> HeadChain:
    """A chain that has seen these heads."""
    chain = HeadChain(depth=depth)
    for head in heads:
        assert isinstance(chain.step(head), HeadChange)
    return chain


def test_the_first_head_is_the_whole_change() -> None:
    """Whatever came before the first head is not our history."""
    assert HeadChange(added=(block(5),)) == HeadChain().step(block(5))


def test_a_child_extends_the_chain() -> None:
    """The next block is added, nothing is reverted; seen again it is no change."""
    chain = chain_of(block(5))

    assert HeadChange(added=(block(6),)) == chain.step(block(6))
    assert chain.step(block(6)) is None
    assert chain.step(block(5)) is None
    assert block(6) == chain.tip


def test_a_gap_is_filled_parent_by_parent() -> None:
    """A head that is ahead asks for its parents, and all of them arrive as one change."""
    chain = chain_of(block(5))

    assert MissingParent(hash=block(7).hash, number=7) == chain.step(block(8))
    assert MissingParent(hash=block(6).hash, number=6) == chain.step(block(7))
    assert HeadChange(added=(block(6), block(7), block(8))) == chain.step(block(6))


def test_a_reorg_tells_what_it_undid_newest_first() -> None:
    """Replaced blocks come newest first, their replacements oldest first; depth counts them."""
    chain = chain_of(block(1), block(2), block(3), block(4))

    assert isinstance(chain.step(block(4, 1)), MissingParent)
    assert isinstance(chain.step(block(3, 1)), MissingParent)
    change = chain.step(block(2, 1, parent_branch=0))

    expected = HeadChange(
        added=(block(2, 1, 0), block(3, 1), block(4, 1)),
        reverted=(block(4), block(3), block(2)),
    )
    assert expected == change
    assert 3 == expected.depth


def test_a_shorter_branch_can_win() -> None:
    """A replacement below the old tip undoes everything above it."""
    chain = chain_of(block(1), block(2), block(3))

    change = chain.step(block(2, 1, parent_branch=0))

    assert HeadChange(added=(block(2, 1, 0),), reverted=(block(3), block(2))) == change


def test_an_unfinished_branch_changes_nothing() -> None:
    """Another head may come while a parent is missing: the half branch is forgotten."""
    chain = chain_of(block(1))

    assert isinstance(chain.step(block(9, 1)), MissingParent)
    assert HeadChange(added=(block(2),)) == chain.step(block(2))


def test_a_branch_below_all_we_remember_is_an_error() -> None:
    """Undoing needs the blocks that are undone; a deeper reorg stops us with a clear line."""
    chain = chain_of(*(block(n) for n in range(1, 11)), depth=4)

    for number in range(10, 3, -1):
        assert isinstance(chain.step(block(number, 1)), MissingParent)
    with pytest.raises(NodeError, match="too deep to undo"):
        chain.step(block(3, 1))
    assert block(10) == chain.tip


def test_a_gap_beyond_the_bound_is_an_error() -> None:
    """Filling is bounded; after too long an absence the session must start afresh."""
    chain = HeadChain(depth=4, max_gap=100)
    chain.step(block(1))

    with pytest.raises(NodeError, match="open the session again"):
        chain.step(block(102))
    assert isinstance(chain.step(block(101)), MissingParent)


def test_a_parent_with_the_wrong_number_is_an_error() -> None:
    """A node that answers with inconsistent headers is not believed."""
    chain = chain_of(block(1))
    chain.step(block(8))
    liar = Head(
        number=3,
        hash=block(7).hash,
        parent_hash=block(2).hash,
        timestamp=0,
        base_fee_per_gas=0,
        gas_limit=1,
        gas_used=0,
    )

    with pytest.raises(NodeError, match="names block 3 as its parent"):
        chain.step(liar)


@pytest.mark.parametrize(("depth", "gap"), [(0, 10), (10, 9)])
def test_bounds_that_make_no_sense_are_refused(depth: int, gap: int) -> None:
    """The depth is at least one and the gap at least the depth."""
    with pytest.raises(ConfigError):
        HeadChain(depth=depth, max_gap=gap)


def test_a_chain_begun_with_ancestors_can_undo_its_first_head() -> None:
    """Ancestors that link are known; those behind a break are not, and none counts as added."""
    chain = HeadChain(depth=8)
    known = [block(3), block(1), block(4), block(2, 7)]

    assert HeadChange(added=(block(5),)) == chain.begin(known, block(5))
    assert (block(3), block(4), block(5)) == chain.heads
    change = chain.step(block(5, 1, parent_branch=0))
    assert HeadChange(added=(block(5, 1, 0),), reverted=(block(5),)) == change


def test_changes_replayed_give_the_canonical_chain() -> None:
    """For 300 random histories, undoing and adding as told ends at the node's own chain."""
    seed = secrets.randbits(64)
    print("seed", seed)
    rng = random.Random(seed)
    for case in range(300):
        node = [block(n) for n in range(3)]
        mine = list(node)
        chain = chain_of(*node, depth=64)
        for branch in range(1, 12):
            undo = rng.randint(0, min(len(node) - 1, 8))
            node = node[: len(node) - undo]
            for _ in range(rng.randint(1, 6)):
                parent = node[-1]
                made = block(parent.number + 1, branch)
                node.append(Head(**{**as_dict(made), "parent_hash": parent.hash}))
            by_hash = {head.hash: head for head in node}
            change = chain.step(node[-1])
            while isinstance(change, MissingParent):
                change = chain.step(by_hash[change.hash])
            assert isinstance(change, HeadChange)
            assert list(change.reverted) == mine[len(mine) - change.depth :][::-1], (seed, case)
            mine = mine[: len(mine) - change.depth] + list(change.added)

            assert node == mine, (seed, case)
            assert tuple(node[-len(chain.heads) :]) == chain.heads


def as_dict(head: Head) -> dict[str, Any]:
    """The fields of a head."""
    return {name: getattr(head, name) for name in head.__struct_fields__}


async def mine(node: Node, count: int) -> None:
    """Seal blocks on Anvil."""
    for _ in range(count):
        await node.rpc.call("evm_mine")


async def test_polling_fills_what_it_did_not_see(node: Node) -> None:
    """Blocks mined between two polls arrive in order, as one change."""
    follower = HeadFollower(node)
    await mine(node, 2)
    first = await follower.poll()
    nothing = await follower.poll()
    await mine(node, 5)
    change = await follower.poll()

    assert first is not None
    assert change is not None
    assert nothing is None
    assert [2] == [head.number for head in first.added]
    assert [3, 4, 5, 6, 7] == [head.number for head in change.added]
    assert 0 == change.depth
    assert await node.head() == follower.head
    assert 4 == follower.statistics().filled_blocks


@pytest.mark.parametrize("depth", [1, 3, 5])
async def test_a_real_reorg_has_its_real_depth(node: Node, depth: int) -> None:
    """anvil_reorg of n blocks is a change that undoes n blocks and adds n others."""
    follower = HeadFollower(node)
    await mine(node, 8)
    await follower.poll()
    before = follower.heads
    await node.rpc.call("anvil_reorg", [depth, []])
    change = await follower.poll()

    assert change is not None
    assert before[: -depth - 1 : -1] == change.reverted
    assert depth == change.depth == len(change.added)
    assert [head.number for head in before[-depth:]] == [head.number for head in change.added]
    assert await node.head() == follower.head
    assert (1, depth) == (follower.statistics().reorgs, follower.statistics().deepest_reorg)


async def test_a_node_that_falls_back_is_waited_for(node: Node) -> None:
    """A shorter view of the same chain is no change; other blocks in its place are a reorg."""
    follower = HeadFollower(node)
    snapshot = await node.rpc.call("evm_snapshot")
    await mine(node, 2)
    await follower.poll()
    await node.rpc.call("evm_revert", [snapshot])
    fallen = await follower.poll()
    await node.rpc.call("anvil_setNextBlockBaseFeePerGas", ["0x77359400"])
    await mine(node, 1)
    change = await follower.poll()

    assert fallen is None
    assert change is not None
    assert 2 == change.depth
    assert [1] == [head.number for head in change.added]


async def test_a_branch_withdrawn_while_it_is_read_is_begun_anew(node: Node) -> None:
    """When a missing parent is reorged away, the follower turns to the newest head instead."""

    class Vanishing(HttpRpc):
        """Reorganises the chain at the moment its first by-hash answer is due."""

        struck = False

        async def batch(self, calls: Any, *, timeout_s: float | None = None) -> list[Any]:
            if calls and calls[0][0] == "eth_getBlockByHash" and not self.struck:
                self.struck = True
                await self.call("anvil_reorg", [4, []])
            return await super().batch(calls, timeout_s=timeout_s)

    async with Vanishing(node.rpc.url) as rpc:
        follower = HeadFollower(Node(rpc))
        await mine(node, 8)
        await follower.poll()
        await node.rpc.call("anvil_reorg", [3, []])
        change = await follower.poll()

    assert change is not None
    assert 4 == change.depth
    assert await node.head() == follower.head


async def take(changes: AsyncIterator[HeadChange], count: int) -> list[HeadChange]:
    """The next changes."""
    return [await anext(changes) for _ in range(count)]


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_changes_tell_every_block_once(anvil: Anvil, node: Node, scheme: str) -> None:
    """Over HTTP and WebSocket the changes add up to the chain, reorgs included."""
    rpc = HttpRpc(anvil.url) if scheme == "http" else WsRpc(anvil.ws_url)
    follower = HeadFollower(Node(rpc), poll_s=0.01)
    seen: list[Head] = []
    async with rpc, aclosing(follower.changes()) as changes:
        await take(changes, 1)
        await mine(node, 6)
        await node.rpc.call("anvil_reorg", [2, []])
        end = await node.head()
        while not seen or seen[-1] != end:
            change = await anext(changes)
            seen = seen[: len(seen) - change.depth] + list(change.added)

    assert [1, 2, 3, 4, 5, 6] == [head.number for head in seen]
    assert all(a.hash == b.parent_hash for a, b in itertools.pairwise(seen))


async def test_a_lost_socket_is_opened_again_and_its_gap_filled(anvil: Anvil, node: Node) -> None:
    """Blocks mined while the connection was gone arrive after it, and the loss is counted."""
    async with WsRpc(anvil.ws_url) as rpc:
        follower = HeadFollower(Node(rpc))
        async with aclosing(follower.changes()) as changes:
            await take(changes, 1)
            assert rpc._socket is not None
            await rpc._socket.close()
            await mine(node, 3)
            change = (await take(changes, 1))[0]

    assert [1, 2, 3] == [head.number for head in change.added]
    assert 1 == follower.statistics().reconnects


async def test_a_node_that_stays_away_ends_the_changes(anvil: Anvil) -> None:
    """Reconnecting is bounded: then the error is raised, not swallowed."""
    async with WsRpc(anvil.ws_url) as rpc:
        follower = HeadFollower(Node(rpc), backoff_s=0.0)
        async with aclosing(follower.changes()) as changes:
            await take(changes, 1)
            await anvil.stop()
            with pytest.raises(NodeUnavailable):
                await take(changes, 1)

    assert 8 == follower.statistics().reconnects
