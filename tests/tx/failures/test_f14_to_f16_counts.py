"""Failure cases of the account's count: it jumps, it is old, it never falls."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.tx.failures.bot import GWEI, Bot, open_bot, payment
from toolkit.chain.rpc import HttpRpc
from toolkit.model.errors import RpcError
from toolkit.model.tx import Confirmed, Replaced
from toolkit.tx.lane_spent import FALLEN_PATIENCE_HEADS, SPENT_PATIENCE_BLOCKS

PROFILES = pytest.mark.parametrize("profile", ["geth", "reth"])
COUNT = "eth_getTransactionCount"
DEAR = 100 * GWEI  # a base fee at which nothing of ours is mined


async def set_nonce(bot: Bot, nonce: int) -> None:
    await bot.rpc.call("anvil_setNonce", (bot.address, hex(nonce)))


@PROFILES
async def test_f14_the_count_jumps_ahead_and_back(profile: str) -> None:
    """Ahead: skipped nonces are marked and passed over. Back: exposed ones keep what they had."""
    async with open_bot(profile) as bot:
        early = await bot.scheduler.send(payment(3))
        await bot.set_base_fee(DEAR)
        await set_nonce(bot, 5)
        await bot.seal(SPENT_PATIENCE_BLOCKS + 1, base_fee_wei=DEAR)
        marked = await early.wait()
        late = await bot.scheduler.send(payment(5))
        await set_nonce(bot, 0)
        await bot.seal(base_fee_wei=DEAR)
        following = await bot.scheduler.send(payment(7))
        given = [each.status().nonce for each in (late, following)]
        await bot.seal(FALLEN_PATIENCE_HEADS, base_fee_wei=DEAR)
        outcomes = await bot.settle([early, late, following], base_fee_wei=GWEI)

        assert Replaced(by=None, nonce=0) == marked
        assert [5, 6] == given
        assert all(isinstance(each, Confirmed) for each in outcomes)
        assert [(0, 3), (5, 5), (6, 7)] == [await bot.mined(each) for each in outcomes]
        assert (7, 3 + 5 + 7) == (await bot.chain_nonce(), await bot.received())
        assert [1] * 6 == [len(bot.public.hashes(nonce)) for nonce in range(1, 7)]


@PROFILES
async def test_f15_five_stale_counts_from_behind_a_load_balancer(profile: str) -> None:
    """While a node answers with an old count, no nonce is given out twice."""
    async with open_bot(profile) as bot:
        first = [await bot.scheduler.send(payment(10**n)) for n in range(3)]
        await bot.settle(first)
        await bot.node.seal()  # not seen yet, so that the lane has to ask before it sends
        bot.node.faults.next(COUNT, "answer", count=5, result="0x1")
        await bot.follow()
        further = [await bot.scheduler.send(payment(10 ** (3 + n))) for n in range(2)]
        nonces = [each.status().nonce for each in further]
        await bot.seal(4)
        struck = bot.node.faults.struck.total()
        outcomes = await bot.settle(further)

        assert 5 == struck
        assert [3, 4] == nonces
        assert all(isinstance(each, Confirmed) for each in outcomes)
        assert [1] * 5 == [len(bot.public.hashes(nonce)) for nonce in range(5)]
        assert (5, 11_111) == (await bot.chain_nonce(), await bot.received())


class Pinned(HttpRpc):
    """A node whose "pending" count of every account stands still."""

    pinned = 40

    async def call(
        self, method: str, params: Sequence[Any] = (), *, timeout_s: float | None = None
    ) -> Any:
        if method == COUNT and params[1] == "pending":
            return hex(self.pinned)
        return await super().call(method, params, timeout_s=timeout_s)

    async def batch(
        self, calls: Sequence[tuple[str, Sequence[Any]]], *, timeout_s: float | None = None
    ) -> list[Any | RpcError]:
        answers = await super().batch(calls, timeout_s=timeout_s)
        asked = [method == COUNT and params[1] == "pending" for method, params in calls]
        return [hex(self.pinned) if a else b for a, b in zip(asked, answers, strict=True)]


@PROFILES
async def test_f16_a_pending_count_that_never_falls(profile: str) -> None:
    """With 40 "pending" and an empty pool, nonces follow the chain; what is lost is back at once.

    The count of pending transactions is nobody's promise: no nonce is taken from it.
    """
    async with open_bot(profile, rpc=Pinned) as bot:
        sent = [await bot.scheduler.send(payment(10**n)) for n in range(3)]
        nonces = [each.status().nonce for each in sent]
        await bot.set_base_fee(DEAR)
        await bot.rpc.call("anvil_dropAllTransactions")
        await bot.seal()
        healed = [bot.node.pool.get(*bot.public.hashes(nonce)) for nonce in range(3)]
        outcomes = await bot.settle(sent, base_fee_wei=GWEI)

        assert [0, 1, 2] == nonces
        assert None not in healed
        assert all(isinstance(each, Confirmed) for each in outcomes)
        assert (3, 111) == (await bot.chain_nonce(), await bot.received())
