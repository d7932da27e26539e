"""Bundles with somebody's transaction that carries an authorization by an account of ours."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.bundles.rig import Rig, lease_of
from toolkit.bundles.draft import BundleDraft
from toolkit.bundles.submitter import BundleHandle
from toolkit.chain.signer import LocalSigner
from toolkit.devnet.strict_node import StrictNode, open_strict_node
from toolkit.model.bundle import Bundle, MissCause, Missed
from toolkit.model.chain import Address
from toolkit.model.errors import AlreadyReserved, BundleRefused
from toolkit.model.tx import SignedTransaction, TransactionRequest, UnsignedTransaction, Visibility
from toolkit.session import Session, connect
from toolkit.tx.delegation import Spending

Build = Callable[..., Any]
Sign = Callable[..., SignedTransaction]
Make = Callable[..., Bundle]
FRIEND = Address("0x" + "b0" * 20)
SPONSOR = LocalSigner("0x" + "33" * 32)


def sponsored(
    by: LocalSigner, *, chain_id: int = 1, nonce: int = 0, own_nonce: int = 0
) -> SignedTransaction:
    """A transaction of the sponsor that delegates `by` at a nonce of it."""
    grant = by.sign_authorization(chain_id=chain_id, address=FRIEND, nonce=nonce)
    return SPONSOR.sign_transaction_now(
        UnsignedTransaction(
            type=4,
            chain_id=chain_id,
            nonce=own_nonce,
            to=FRIEND,
            value=1,
            data="0x",
            gas=80_000,
            max_fee_per_gas=30 * 10**9,
            max_priority_fee_per_gas=10**9,
            authorization_list=(grant,),
        )
    )


async def test_what_it_delegates_outlives_the_process(
    rig: Build, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """The journal has whose nonces the authorizations of a live bundle spend, not their
    signatures; after a restart the same is refused as before."""
    here: Rig = await rig(relays=1)
    theirs = sponsored(signer, nonce=4)
    foreign = transfer(LocalSigner("0x" + "44" * 32))
    await here.submitter.submit(bundle_of(theirs, foreign))
    expected = [Spending(here.submitter.handles()[0].bundle_hash, theirs.hash, 4)]
    before = list(here.submitter.spending(signer.address))

    (found,) = await here.restart()
    after = list(here.submitter.spending(signer.address))
    with pytest.raises(BundleRefused, match=f"nonce 4 of {signer.address} is in a live bundle"):
        here.submitter.checked(bundle_of(transfer(signer, nonce=4)))
    with pytest.raises(BundleRefused, match=f"both sides of {foreign.hash}"):
        here.submitter.checked(bundle_of(foreign, transfer(signer, nonce=5)))
    await here.submitter.on_head(await here.chain.seal())

    assert [expected, expected] == [before, after]
    result = await found.wait()
    assert isinstance(result, Missed)
    assert not list(here.submitter.spending(signer.address))
    (grant,) = theirs.unsigned.authorization_list
    journalled = b"".join(entry.data for entry in here.journal.entries())
    assert str(grant.r).encode() not in journalled
    assert f"{grant.r:x}".encode() not in journalled


async def test_what_stands_behind_it_is_still_in_place(
    rig: Build, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """A nonce that follows an authorization of its bundle waits for nobody, in the next process
    as in this one."""
    here: Rig = await rig(relays=1)
    here.servers[0].reply = (400, "no")
    bundle = bundle_of(sponsored(signer), transfer(signer, nonce=1))
    await here.submitter.submit(bundle)

    (found,) = await here.restart()
    await here.submitter.on_head(await here.chain.seal())
    result = await found.wait()

    assert isinstance(result, Missed)
    assert MissCause.STATE_CONFLICT is not result.cause, result.evidence


async def test_whose_keys_a_script_brought_is_known_to_the_next_process(
    rig: Build, signer: LocalSigner, other_signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """A key that signed for a live bundle counts as ours until its end, configured or not."""
    here: Rig = await rig(relays=1)
    foreign = transfer(LocalSigner("0x" + "44" * 32))
    here.submitter.add_own([other_signer.address])
    await here.submitter.submit(bundle_of(transfer(other_signer), foreign))

    await here.restart()

    with pytest.raises(BundleRefused, match=f"both sides of {foreign.hash}"):
        here.submitter.checked(bundle_of(foreign, transfer(signer)))


async def test_a_busy_account_is_not_delegated(
    rig: Build, signer: LocalSigner, bundle_of: Make
) -> None:
    """Its lane gives its nonces away meanwhile."""
    here: Rig = await rig(relays=1)
    here.lanes.own_under_way[signer.address, 4] = 1

    with pytest.raises(BundleRefused, match="its nonce 4 while 1 of its own are under way"):
        await here.submitter.submit(bundle_of(sponsored(signer, nonce=4)))


async def test_what_a_lane_signed_is_nobody_elses(
    rig: Build, signer: LocalSigner, other_signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """A request of the lane's own may be in a bundle, and holds nobody up, nor does what it signed
    for one, behind which its requests wait by themselves; what a key signed elsewhere does."""
    here: Rig = await rig(relays=1)
    mine, elsewhere = transfer(signer, nonce=4), transfer(other_signer, nonce=4)
    here.lanes.signed[signer.address, 4] = frozenset({mine.hash})
    await here.submitter.submit(bundle_of(mine, elsewhere))

    grant = signer.sign_authorization(chain_id=1, address=FRIEND, nonce=6)
    leased = transfer(signer, nonce=5, type=4, authorization_list=(grant,))
    await here.submitter.submit(bundle_of(leased), lease=lease_of(leased))

    assert not list(here.submitter.spending(signer.address))
    assert [4] == [one.nonce for one in here.submitter.spending(other_signer.address)]


async def test_what_every_relay_refused_holds_no_nonce(
    rig: Build, signer: LocalSigner, other_signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """Nobody has it, so another bundle may have its nonces at once; not as long as one relay is
    silent, took it, or will be asked again."""
    here: Rig = await rig(relays=2)
    other = bundle_of(transfer(signer, value=2))

    async def free_after(*replies: tuple[int, str] | None, **more: Any) -> bool:
        for server, reply in zip(here.servers, replies, strict=True):
            server.reply = reply
        bundle = bundle_of(transfer(signer), guards=())
        sending = asyncio.create_task(here.submitter.submit(bundle, **more))
        while not any(one.tasks for one in here.submitter._live):  # noqa: ASYNC110 - it asks first
            await asyncio.sleep(0)
        live = here.submitter._live
        await asyncio.gather(*live[0].tasks[: 1 if None in replies else 2])
        spent = list(here.submitter.spending(signer.address))
        try:
            here.submitter.checked(other)
        except BundleRefused:
            free = False
        else:
            free = True
        assert free is (not spent)
        sending.cancel()
        here.submitter._live.clear()
        return free

    no, perhaps, yes = (400, "no"), (500, "oops"), (0, "")
    free = [await free_after(no, one) for one in (no, perhaps, yes, None)]

    assert [True, False, False, False] == free
    assert not await free_after(no, no, blocks=2)


class Lives:
    """Sessions with one account and one relay, one after the other over the same journal."""

    def __init__(self, node: StrictNode, relay: str, journal: Path) -> None:
        self.node = node
        self.us = LocalSigner(node.accounts[0].key)
        self._relay = relay
        self._journal = journal

    def opened(self) -> AbstractAsyncContextManager[Session]:
        return connect(
            self.node.rpc_url,
            signer=self.us,
            relays=[self._relay],
            journal=self._journal,
            allow_real_key=True,
        )

    def bundle(self, session: Session, nonce: int) -> BundleDraft:
        theirs = sponsored(self.us, chain_id=self.node.chain_id, nonce=nonce)
        return session.bundle().include(theirs.raw)

    async def pay(self, session: Session) -> int | None:
        request = TransactionRequest(to=FRIEND, value=5)
        sent = await session.send(request, visibility=Visibility.PUBLIC)
        return sent.status().nonce


@pytest.fixture
async def lives(relay_server: Callable[[], Awaitable[Any]], tmp_path: Path) -> AsyncIterator[Lives]:
    async with open_strict_node(seed=1, accounts=1) as node:
        await node.node.rpc.call("anvil_setBalance", [SPONSOR.address, hex(10**20)])
        yield Lives(node, (await relay_server()).url, tmp_path / "journal.db")


async def test_no_lane_sends_across_it_in_either_process(lives: Lives) -> None:
    """While the bundle is live its account sends neither a request nor a bundle, also where only
    the journal knows of it; it goes on within the block that ends it."""
    refusal = pytest.raises(AlreadyReserved, match=f"may spend nonce 0 of {lives.us.address} by 0x")
    async with lives.opened() as session:
        handle = await session.submit(lives.bundle(session, nonce=0), blocks=1)
        assert isinstance(handle, BundleHandle)
        with refusal:
            await lives.pay(session)

    async with lives.opened() as session:
        (found,) = session.submitter.handles()
        with refusal:
            await lives.pay(session)
        with refusal:
            await session.submit(session.bundle().call(TransactionRequest(to=FRIEND, value=5)))
        await lives.node.seal()
        await session.advance()

        assert isinstance(await found.wait(), Missed)
        assert 0 == await lives.pay(session)


async def test_nor_is_a_lane_that_sends_delegated(lives: Lives) -> None:
    """The authorization would take the nonce of what is under way, or of what comes behind it."""
    async with lives.opened() as session:
        await lives.pay(session)

        for nonce in (0, 1):
            with pytest.raises(BundleRefused, match=f"its nonce {nonce} while 1 of its own are"):
                await session.submit(lives.bundle(session, nonce=nonce))
