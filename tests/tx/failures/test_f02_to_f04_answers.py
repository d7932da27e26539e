"""Failure cases of a single hand-over: it never left, its answer was lost, it was refused."""

import socket

import pytest

from tests.tx.failures.bot import GWEI, Bot, Watched, open_bot, payment
from toolkit.chain.node import Node
from toolkit.chain.rpc import HttpRpc
from toolkit.model.errors import AlreadyKnown, NodeTimeout, NodeUnavailable
from toolkit.model.tx import Attempt, Cancelled, Confirmed, Exposure
from toolkit.tx.destination import RawSender

PROFILES = pytest.mark.parametrize("profile", ["geth", "reth"])
SEND = "eth_sendRawTransaction"


def closed_port() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


class Unplugged(Watched):
    """The public node, which cannot be connected to while `refusing` is above zero."""

    def __init__(self, node: RawSender) -> None:
        super().__init__(node)
        self.refusing = 0
        self.errors: list[NodeUnavailable] = []

    async def send(self, attempt: Attempt, *, target_block: int) -> None:
        if not self.refusing:
            return await super().send(attempt, target_block=target_block)
        self.refusing -= 1
        async with HttpRpc(closed_port()) as rpc:
            try:
                await Node(rpc).send_raw(attempt.signed.raw)
            except NodeUnavailable as error:
                self.errors.append(error)
                raise


async def plug(bot: Bot) -> Unplugged:
    """Let the bot send by way of a node whose port can be closed."""
    public = Unplugged(bot.reader())
    await bot.change(public=public)
    return public


@PROFILES
async def test_f02_a_send_that_fails_before_it_leaves(profile: str) -> None:
    """What was refused a connection keeps its nonce or gives it to the next; there is no gap."""
    async with open_bot(profile) as bot:
        public = await plug(bot)
        public.refusing = 1
        unsent = await bot.scheduler.send(payment(100))
        exposure = unsent.status().exposure
        await unsent.cancel()
        public.refusing = 1
        first = await bot.scheduler.send(payment(3))  # the nonce that was never used
        second = await bot.scheduler.send(payment(5))
        outcomes = await bot.settle([first, second])

        assert [False, False] == [error.sent for error in public.errors]
        assert Exposure.NONE == exposure
        assert Cancelled() == await unsent.wait()
        assert all(isinstance(each, Confirmed) for each in outcomes)
        assert (2, 3 + 5) == (await bot.chain_nonce(), await bot.received())
        assert [1, 1] == [len(public.hashes(nonce)) for nonce in (0, 1)]


@PROFILES
async def test_f03_a_timeout_after_the_node_accepted(profile: str) -> None:
    """The answer is lost: the same bytes again, `already known` is success, one payment."""
    async with open_bot(profile, timeout_s=0.3) as bot:
        bot.node.faults.next(SEND, "timeout_after_accept")
        sent = await bot.scheduler.send(payment(3))
        unknown = sent.status().exposure
        pooled = [each.nonce for each in bot.node.pool.pending(bot.address)]
        following = await bot.scheduler.send(payment(5))
        await bot.seal(base_fee_wei=100 * GWEI)  # passes it by, so that it is handed out again
        errors = [type(each.error) for each in bot.public.log if each.nonce == 0]
        known = sent.status().exposure
        outcomes = await bot.settle([sent, following], base_fee_wei=GWEI)

        assert (Exposure.UNKNOWN, [0]) == (unknown, pooled)
        assert [NodeTimeout, AlreadyKnown] == errors
        assert Exposure.PUBLIC == known
        assert [1, 1] == [len(bot.public.hashes(nonce)) for nonce in (0, 1)]
        assert all(isinstance(each, Confirmed) for each in outcomes)
        assert (2, 3 + 5) == (await bot.chain_nonce(), await bot.received())


@PROFILES
async def test_f04_the_first_of_three_is_refused(profile: str) -> None:
    """The refused one's nonce is filled first, the others follow, the next one gets the fourth."""
    async with open_bot(profile) as bot:
        bot.node.faults.next(SEND, "error", code=-32603, message="txpool is full")
        sent = [await bot.scheduler.send(payment(10**n)) for n in range(3)]
        queued = [each.nonce for each in bot.node.pool.queued(bot.address)]
        await bot.seal()
        pending = [each.nonce for each in bot.node.pool.pending(bot.address)]
        sent.append(await bot.scheduler.send(payment(10**3)))
        outcomes = await bot.settle(sent)

        assert [1, 2] == queued
        assert [0, 1, 2] == pending
        assert ["txpool is full"] == bot.public.refusals()
        assert all(isinstance(each, Confirmed) for each in outcomes)
        assert [0, 1, 2, 3] == [each.status().nonce for each in sent]
        assert (4, 1111) == (await bot.chain_nonce(), await bot.received())
