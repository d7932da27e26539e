import asyncio
from typing import Any

import pytest

from tests.chain.peers import OWNER, RAW, Chain, Peer, Trio, as_hash
from toolkit.chain.node import Node
from toolkit.chain.quorum import QuorumRpc
from toolkit.model.errors import (
    ConfigError,
    GasLimitTooHigh,
    NodeTimeout,
    NodeUnavailable,
    NonceTooLow,
    RejectedByNode,
    RpcError,
    Underpriced,
)


async def test_every_node_is_told_and_one_acceptance_is_enough(trio: Trio) -> None:
    """One accepts, one refuses, one is dead: accepted; each verdict is kept under its name."""
    trio.peers[0].lies["eth_sendRawTransaction"] = RpcError(-32000, "transaction underpriced")
    trio.peers[1].dead = True

    assert RAW.hash == await trio.node.send_raw(RAW.raw)
    await trio.rpc.drain()
    assert [1, 1, 1] == [peer.asked.count("eth_sendRawTransaction") for peer in trio.peers]
    verdicts = trio.rpc.verdicts(RAW.hash)
    assert "accepted" == verdicts["node 3 (http://c.example)"]
    assert "underpriced" in verdicts["node 1 (http://a.example)"]
    assert "no connection" in verdicts["node 2 (http://b.example)"]
    assert {} == trio.rpc.verdicts(as_hash("another"))


async def test_already_known_is_an_acceptance(trio: Trio) -> None:
    """Whoever has the bytes already has accepted them."""
    for peer in trio.peers:
        peer.pool.append(RAW.hash)

    assert RAW.hash == await trio.node.send_raw(RAW.raw)


async def test_a_slow_node_is_told_after_the_first_acceptance(trio: Trio) -> None:
    """The first acceptance is the answer; the slow one still gets the bytes and its say."""
    gate = asyncio.Event()
    slow = trio.peers[2]
    honest = slow.call

    async def late(method: str, params: Any = (), *, timeout_s: float | None = None) -> Any:
        await gate.wait()
        return await honest(method, params)

    slow.call = late  # type: ignore[method-assign]
    assert RAW.hash == await trio.node.send_raw(RAW.raw)
    assert [] == slow.pool

    gate.set()
    await trio.rpc.drain()
    assert [RAW.hash] == slow.pool
    assert "accepted" == trio.rpc.verdicts(RAW.hash)["node 3 (http://c.example)"]


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (("nonce too low",) * 3, NonceTooLow),
        (("nonce too low", "nonce too low: next nonce 5", "transaction underpriced"), NonceTooLow),
        (("transaction underpriced", "transaction underpriced", None), Underpriced),
        (("gas limit too high", "gas limit too high", "nonce too low"), GasLimitTooHigh),
        (("gas limit too high", "nonce too low", None), NonceTooLow),  # what can be undone first
    ],
)
async def test_a_refusal_of_a_quorum_is_the_refusal(
    trio: Trio, texts: tuple[str | None, ...], kind: type[RejectedByNode]
) -> None:
    """Two of three refuse (the third, None, is not there): the commonest reason is raised."""
    for peer, text in zip(trio.peers, texts, strict=True):
        peer.dead = text is None
        if text is not None:
            peer.lies["eth_sendRawTransaction"] = RpcError(-32000, text)

    with pytest.raises(kind) as caught:
        await trio.node.send_raw(RAW.raw)
    assert kind is type(caught.value)


async def test_one_refusal_and_two_dead_is_no_refusal(trio: Trio) -> None:
    """Nobody took it, but too few are known to refuse: NodeUnavailable, and nothing left."""
    trio.peers[0].lies["eth_sendRawTransaction"] = RpcError(-32000, "nonce too low")
    trio.peers[1].dead = trio.peers[2].dead = True

    with pytest.raises(NodeUnavailable, match="no quorum of 2") as caught:
        await trio.node.send_raw(RAW.raw)
    assert not caught.value.sent


async def test_a_refusal_for_good_is_none_while_somebody_may_hold_the_bytes(trio: Trio) -> None:
    """Two refuse for good, the third's answer was lost: it may yet be mined, so it is unknown."""
    for peer in trio.peers[:2]:
        peer.lies["eth_sendRawTransaction"] = RpcError(-32000, "gas limit too high")
    trio.peers[2].lies["eth_sendRawTransaction"] = NodeTimeout("no answer within 10 s")
    with pytest.raises(NodeUnavailable, match="gas limit too high") as caught:
        await trio.node.send_raw(RAW.raw)
    assert caught.value.sent

    for peer in trio.peers[:2]:
        peer.lies["eth_sendRawTransaction"] = RpcError(-32000, "transaction underpriced")
    with pytest.raises(Underpriced):  # the same nonce again with higher fees is safe either way
        await trio.node.send_raw(RAW.raw)


async def test_an_acceptance_of_something_else_is_none(trio: Trio) -> None:
    """A node that answers with another hash, or none, has not accepted these bytes."""
    for peer, answer in zip(trio.peers, ("0x" + "ee" * 32, [], {}), strict=True):
        peer.lies["eth_sendRawTransaction"] = answer

    with pytest.raises(NodeUnavailable, match="other than the transaction's hash") as caught:
        await trio.node.send_raw(RAW.raw)
    assert caught.value.sent


async def test_bytes_that_are_none_are_told_to_nobody(trio: Trio) -> None:
    """A raw transaction that is no hex is a ConfigError."""
    with pytest.raises(ConfigError, match="no hex"):
        await trio.rpc.call("eth_sendRawTransaction", ["0xzz"])
    with pytest.raises(ConfigError, match="no hex"):
        await trio.rpc.call("eth_sendRawTransaction", [])

    assert [[], [], []] == [peer.asked for peer in trio.peers]


async def test_closing_gives_slow_nodes_a_moment_and_no_more() -> None:
    """A node that is slow still gets the bytes; one that never answers is let go of."""
    trio = Trio()
    trio.peers[0].silent = True
    slow = trio.peers[2]
    honest = slow.call

    async def late(method: str, params: Any = (), *, timeout_s: float | None = None) -> Any:
        for _ in range(20):
            await asyncio.sleep(0)
        return await honest(method, params)

    slow.call = late  # type: ignore[method-assign]
    async with asyncio.timeout(5), trio.rpc:
        assert RAW.hash == await trio.node.send_raw(RAW.raw)
        assert [] == slow.pool

    assert [RAW.hash] == slow.pool
    assert trio.peers[0].closed


async def test_broadcasts_that_are_not_answered_are_bounded() -> None:
    """At most so many are let go on: then a sender waits until one of them has ended."""
    trio = Trio()
    trio.peers[0].silent = True
    sent = []

    async def send_many() -> None:
        for _ in range(300):
            trio.peers[1].pool.clear()
            sent.append(await trio.node.send_raw(RAW.raw))

    async with trio.rpc:
        sending = asyncio.create_task(send_many())
        for _ in range(20_000):  # far more turns than all of them need
            await asyncio.sleep(0)
        sending.cancel()

    assert 256 == len(sent)


async def test_send_only_nodes_are_told_and_never_asked() -> None:
    """A send-only node has no vote, its acceptance counts, and its refusal does not."""
    chain = Chain()
    voter, mute = Peer(chain, "v"), Peer(chain, "s")
    async with QuorumRpc([voter], send_only=[mute]) as rpc:
        node = Node(rpc)
        await node.head()
        await node.nonce(OWNER)
        assert [] == mute.asked
        voter.lies["eth_sendRawTransaction"] = RpcError(-32000, "txpool is full")
        assert RAW.hash == await node.send_raw(RAW.raw)
        mute.lies["eth_sendRawTransaction"] = RpcError(-32601, "nonce too low")
        with pytest.raises(RejectedByNode, match="txpool is full"):
            await node.send_raw(RAW.raw)

    assert mute.closed
