"""Failure case of a key that is kept elsewhere, by a signer that goes wrong."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.chain.remote import FakeSigner, fake_signer
from tests.tx.failures.bot import GWEI, Bot, open_bot, payment
from toolkit.chain.remote_signer import RemoteSigner
from toolkit.devnet.participants import user_accounts
from toolkit.model.errors import RemoteSignerMismatch, SignerError
from toolkit.model.tx import Confirmed
from toolkit.tx.events import KIND_OF, Prepared

PROFILES = pytest.mark.parametrize("profile", ["geth", "reth"])
(ACCOUNT,) = user_accounts(1, 1)
FAULTS: list[tuple[Any, type[Exception], str]] = [
    ("silent", SignerError, r"within 0\.2 s"),
    ("cut", SignerError, "was lost"),
    ("500", SignerError, "HTTP 500"),
    ("error", SignerError, "refused"),
    ("html", SignerError, "not JSON"),
    ("null", RemoteSignerMismatch, "no transaction"),
    ("garbage", RemoteSignerMismatch, "no signed transaction"),
    ("other key", RemoteSignerMismatch, "the signature of 0x"),
    ({"nonce": 1}, RemoteSignerMismatch, "differs in nonce"),
    ({"value": 2}, RemoteSignerMismatch, "differs in value"),
    ({"chain_id": 1}, RemoteSignerMismatch, "differs in chain_id"),
]


@asynccontextmanager
async def open_remote(profile: str) -> AsyncIterator[tuple[Bot, FakeSigner]]:
    """A bot whose key is behind a remote signer; a signature may take a fifth of a second."""
    async with (
        fake_signer(ACCOUNT.key) as remote,
        RemoteSigner(remote.url, ACCOUNT.address, timeout_s=0.2) as signer,
        open_bot(profile, signer=signer, accounts=1) as bot,
    ):
        yield bot, remote


def prepared(bot: Bot) -> int:
    """Attempts that were ever journalled."""
    return sum(entry.kind == KIND_OF[Prepared] for entry in bot.journal.entries())


@PROFILES
async def test_f34_a_signer_that_goes_wrong_costs_no_nonce(profile: str) -> None:
    """Slow, wrong or of another transaction: told, not journalled, not sent, its nonce is free."""
    async with open_remote(profile) as (bot, remote):
        for fault, kind, said in FAULTS:
            remote.fault = fault
            with pytest.raises(kind, match=said):
                await bot.scheduler.send(payment(1))
        before = prepared(bot), len(bot.node.pool)
        remote.fault = None
        (outcome,) = await bot.settle([await bot.scheduler.send(payment(3))])

        assert (0, 0) == before
        assert isinstance(outcome, Confirmed)
        assert (0, 3) == await bot.mined(outcome)
        assert (1, 1) == (prepared(bot), len(bot.public.log))
        assert (1, 3) == (await bot.chain_nonce(), await bot.received())


@PROFILES
async def test_f34_one_signature_too_late_leaves_no_gap_among_many(profile: str) -> None:
    """Of nine sends at once, the one whose signature times out fails; eight are mined in a row."""
    async with open_remote(profile) as (bot, remote):
        remote.fault, remote.only = "silent", 5
        results = await asyncio.gather(
            *(bot.scheduler.send(payment(1)) for _ in range(9)), return_exceptions=True
        )
        failed = [result for result in results if isinstance(result, BaseException)]
        await bot.seal()

        assert [SignerError] == [type(error) for error in failed]
        assert (8, 8) == (await bot.chain_nonce(), await bot.received())


@PROFILES
async def test_f34_a_replacement_that_is_not_signed_comes_when_the_signer_is_back(
    profile: str,
) -> None:
    """With the signer gone the first attempt stands; the nonce is mined once it can sign again."""
    async with open_remote(profile) as (bot, remote):
        sent = await bot.scheduler.send(payment(3))
        remote.fault = "500"
        await bot.seal(3, base_fee_wei=100 * GWEI)
        asked, made = len(remote.asked), prepared(bot)
        remote.fault = None
        await bot.seal(base_fee_wei=100 * GWEI)
        back = prepared(bot)
        (outcome,) = await bot.settle([sent], base_fee_wei=GWEI)

        assert asked > 1
        assert (1, 2) == (made, back)
        assert isinstance(outcome, Confirmed)
        assert (1, 3) == (await bot.chain_nonce(), await bot.received())
