"""Failure cases of a chain that takes blocks back: ours, our other attempt, what was final."""

import pytest

from tests.tx.failures.bot import GWEI, open_bot, payment
from toolkit.model.errors import LaneHalted
from toolkit.model.tx import Confirmed
from toolkit.model.units import ether
from toolkit.tx.events import HALTED
from toolkit.tx.scheduler import SchedulerConfig

PROFILES = pytest.mark.parametrize("profile", ["geth", "reth"])


@PROFILES
async def test_f17_a_reorg_drops_what_was_mined(profile: str) -> None:
    """Depths 1 to 3: the end is taken back, the same bytes are sent again and mined once more."""
    async with open_bot(profile) as bot:
        for depth in (1, 2, 3):
            sent = await bot.scheduler.send(payment(10 ** (depth - 1)))
            await bot.seal(depth)
            before = await sent.wait()
            told = sent.status().state
            await bot.node.reorg(depth)
            await bot.rpc.call("anvil_dropAllTransactions")  # nobody puts it back for us
            await bot.follow()
            back = sent.status().state
            (after,) = await bot.settle([sent])

            assert isinstance(before, Confirmed)
            assert isinstance(after, Confirmed)
            assert ("confirmed", "broadcast") == (told, back)
            assert before.tx_hash == after.tx_hash
            assert before.block_hash != after.block_hash
            assert [before.tx_hash] == bot.public.hashes(depth - 1)
            assert depth == bot.scheduler.statistics().reopened
        assert (3, 111) == (await bot.chain_nonce(), await bot.received())


@PROFILES
async def test_f18_a_reorg_swaps_the_attempt(profile: str) -> None:
    """The older attempt is mined on the new branch: the outcome names that one, and pays once."""
    async with open_bot(profile) as bot:
        sent = await bot.scheduler.send(payment(3))
        (first,) = bot.node.pool.pending(bot.address)
        await sent.speed_up()
        await bot.seal(2)
        before = await sent.wait()
        await bot.node.reorg(2, [str(first.raw)])
        await bot.follow()
        after = await sent.wait()
        statistics = bot.scheduler.statistics()
        await bot.seal(3)

        assert [first.hash, before.tx_hash] == bot.public.hashes(0)
        assert isinstance(after, Confirmed)
        assert (first.hash, first.hash) == (after.tx_hash, sent.tx_hash)
        assert (2, 1) == (statistics.confirmed, statistics.reopened)
        assert after == await sent.wait()
        assert (1, 3) == (await bot.chain_nonce(), await bot.received())


@PROFILES
async def test_f19_a_reorg_deeper_than_what_was_final(
    profile: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What was told as final is undone: the lane says so, and sends nothing until resumed."""
    final = 2
    config = SchedulerConfig(max_cost_wei=ether("0.5"), confirmations=final, finality_blocks=final)
    async with open_bot(profile, config=config) as bot:
        await bot.seal()
        sent = await bot.scheduler.send(payment(3))
        await bot.seal(final)
        before = await sent.wait(final)
        state = sent.status().state
        await bot.node.reorg(final + 1)
        await bot.rpc.call("anvil_dropAllTransactions")
        handed = len(bot.public.log)
        await bot.follow()
        await bot.seal(2)
        (lane,) = bot.scheduler.statistics().lanes
        with pytest.raises(LaneHalted, match="final"):
            await bot.scheduler.send(payment(5))
        quiet = handed == len(bot.public.log)
        await bot.scheduler.resume(bot.address)
        await bot.seal(final, base_fee_wei=GWEI)
        after = await sent.wait(final)

        assert isinstance(before, Confirmed)
        assert "finalized" == state
        assert "was final" in lane.halted
        assert quiet
        assert 1 == sum("lane_halted" in record.getMessage() for record in caplog.records)
        assert 1 == sum(entry.kind == HALTED for entry in bot.journal.entries())
        assert isinstance(after, Confirmed)
        assert before.tx_hash == after.tx_hash
        assert (1, 3) == (await bot.chain_nonce(), await bot.received())
