"""Failure case of a private route: it takes a transaction and never has it mined."""

import pytest

from tests.tx.failures.bot import open_bot, payment
from toolkit.model.errors import NonceTooLow
from toolkit.model.tx import Attempt, Cancelled, Confirmed, Expired, Exposure
from toolkit.tx.fallback import PATIENCE_BLOCKS, PrivateThenPublic

PROFILES = pytest.mark.parametrize("profile", ["geth", "reth"])


class Silent:
    """A relay that accepts everything, keeps it, and includes nothing."""

    name = "silent relay"
    exposure = Exposure.PRIVATE

    def __init__(self) -> None:
        self.kept: dict[str, Attempt] = {}
        self.targets: list[int] = []

    async def send(self, attempt: Attempt, *, target_block: int) -> None:
        self.kept[attempt.signed.hash] = attempt
        self.targets.append(target_block)


@PROFILES
async def test_f33_a_silent_private_route_ends_in_public(profile: str) -> None:
    """After its private blocks the same nonce goes public; what the relay kept has no effect."""
    async with open_bot(profile) as bot:
        relay = Silent()
        route = PrivateThenPublic([relay], bot.public)
        sent = await bot.scheduler.send(payment(3), destinations=[route])
        private = []
        for _ in range(PATIENCE_BLOCKS):
            private.append(len(bot.public.log))
            await bot.seal()
        (outcome,) = await bot.settle([sent], within=2)
        late = []
        for attempt in relay.kept.values():
            with pytest.raises(NonceTooLow) as refusal:
                await bot.reader().send_raw(attempt.signed.raw)
            late.append(refusal)

        assert [0] * PATIENCE_BLOCKS == private
        assert [1, 2, 3] == relay.targets[:3]
        assert late
        assert isinstance(outcome, Confirmed)
        assert {0} == {each.nonce for each in bot.public.log}
        assert (1, 3) == (await bot.chain_nonce(), await bot.received())


@pytest.mark.parametrize("wish", ["deadline", "cancel"])
@PROFILES
async def test_f33_never_public_is_honoured(profile: str, wish: str) -> None:
    """A private payload stays so; only the empty transfer that gives it up is public, and ends it.

    With a silent relay alone the nonce would never be spent, and the lane stand still for ever.
    """
    blocks = 3
    async with open_bot(profile) as bot:
        relay = Silent()
        deadline = blocks if wish == "deadline" else None
        sent = await bot.scheduler.send(payment(3), destinations=[relay], deadline_blocks=deadline)
        following = await bot.scheduler.send(payment(5))
        await bot.seal(blocks)
        if wish == "cancel":
            await sent.cancel()
        outcome, after = await bot.settle([sent, following])
        payload = next(iter(relay.kept))

        assert list(range(1, blocks + 1)) == relay.targets[:blocks]
        assert payload not in {each.tx_hash for each in bot.public.log}
        assert isinstance(outcome, Expired if wish == "deadline" else Cancelled)
        assert (0, 0) == await bot.mined(outcome)
        assert isinstance(after, Confirmed)
        assert (2, 5) == (await bot.chain_nonce(), await bot.received())
