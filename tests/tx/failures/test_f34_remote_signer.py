"""The key is elsewhere, and what comes back is late, wrong, or nothing."""

from typing import Any, cast

import pytest

from tests.chain.remote import fake_signer
from tests.tx.failures.bot import open_bot, payment
from toolkit.chain.remote_signer import RemoteSigner
from toolkit.chain.signer import LocalSigner
from toolkit.model.errors import RemoteSignerMismatch, SignerError
from toolkit.model.tx import Confirmed

PROFILES = pytest.mark.parametrize("profile", ["geth", "reth"])


@PROFILES
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("silent", SignerError),
        ("other key", RemoteSignerMismatch),
        ({"nonce": 1}, RemoteSignerMismatch),
        ({"value": 10**18}, RemoteSignerMismatch),
    ],
    ids=["late", "key", "nonce", "value"],
)
async def test_f34_a_remote_signer_is_slow_or_lies(
    profile: str, fault: Any, kind: type[SignerError]
) -> None:
    """Nothing of it is journalled or sent, and its nonce goes to the next request."""
    async with (
        open_bot(profile) as bot,
        fake_signer(bot.node.accounts[0].key) as remote,
        RemoteSigner(remote.url, bot.address, timeout_s=0.5) as signer,
    ):
        await bot.stop()
        bot.signer = cast("LocalSigner", signer)  # the scheduler only asks it to sign
        await bot.start()
        remote.fault = fault
        with pytest.raises(kind):
            await bot.scheduler.send(payment(7))
        prepared = [*bot.journal.entries("tx.prepared")]
        remote.fault = None
        following = await bot.scheduler.send(payment(5))
        (outcome,) = await bot.settle([following])

        assert [] == prepared
        assert isinstance(outcome, Confirmed)
        assert (0, 5) == await bot.mined(outcome)
        assert (1, 5) == (await bot.chain_nonce(), await bot.received())
