"""Delegations that one lane sends of another lane's account, on a node with geth's rules."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from toolkit.chain.signer import LocalSigner
from toolkit.devnet.strict_node import StrictNode, open_strict_node
from toolkit.model.chain import Address
from toolkit.model.errors import AlreadyReserved, ConfigError
from toolkit.model.tx import Confirmed, FeeQuote, TransactionRequest, Visibility
from toolkit.session import Session, connect
from toolkit.tx.handle import Sent

FRIEND = Address("0x" + "b0" * 20)
FEE = FeeQuote(
    max_fee_per_gas=10**10, max_priority_fee_per_gas=1, base_fee_per_gas=10**9, for_block=1
)
OTHER_CHAIN = 5


@pytest.fixture
async def node() -> AsyncIterator[StrictNode]:
    async with open_strict_node(seed=1, accounts=2) as node:
        yield node


class Pair:
    """A session with two accounts; `a` signs authorizations that `b` sends."""

    def __init__(self, node: StrictNode, session: Session) -> None:
        self.node = node
        self.session = session
        self.a, self.b = (LocalSigner(account.key) for account in node.accounts)

    def delegation(self, nonce: int = 0, chain_id: int | None = None) -> TransactionRequest:
        grant = self.a.sign_authorization(
            chain_id=self.node.chain_id if chain_id is None else chain_id,
            address=FRIEND,
            nonce=nonce,
        )
        return TransactionRequest(
            sender=self.b.address, to=FRIEND, gas=100_000, type=4, authorization_list=(grant,)
        )

    def payment(self, signer: LocalSigner) -> TransactionRequest:
        return TransactionRequest(sender=signer.address, to=FRIEND, value=5)

    async def send(self, request: TransactionRequest, *, after: Sent | None = None) -> Sent:
        return await self.session.send(request, visibility=Visibility.PUBLIC, after=after)

    async def seal(self) -> None:
        await self.node.seal()
        await self.session.advance()

    async def end(self, sent: Sent) -> Confirmed:
        outcome = await asyncio.wait_for(sent.wait(), 10)
        assert isinstance(outcome, Confirmed)
        return outcome


@pytest.fixture
async def pair(node: StrictNode) -> AsyncIterator[Pair]:
    signers = [account.signer for account in node.accounts]
    async with connect(node.rpc_url, signer=signers, allow_real_key=True) as session:
        yield Pair(node, session)


async def test_no_lane_delegates_an_account_that_has_something_out(pair: Pair) -> None:
    """The authorization might be mined first, and the transfer would be lost without a word."""
    paid = await pair.send(pair.payment(pair.a))

    with pytest.raises(AlreadyReserved, match=r"would spend its nonce 0 while 1 of its own"):
        await pair.send(pair.delegation(nonce=0))
    await pair.seal()
    await pair.end(paid)
    delegated = await pair.send(pair.delegation(nonce=1))
    await pair.seal()
    await pair.end(delegated)
    assert 5 == await pair.node.node.balance(FRIEND)


async def test_nor_one_that_has_something_waiting(pair: Pair) -> None:
    """What waits for another request gets its nonce later, of which nobody will ask again."""
    first = await pair.send(pair.payment(pair.b))
    waiting = await pair.send(pair.payment(pair.a), after=first)

    with pytest.raises(AlreadyReserved, match="while 1 of its own are under way"):
        await pair.send(pair.delegation(nonce=0))
    for _ in range(2):
        await pair.seal()
    await pair.end(waiting)


async def test_an_account_that_is_being_delegated_sends_nothing(pair: Pair) -> None:
    """Until the delegation is mined; from then on its nonces are counted with it."""
    delegated = await pair.send(pair.delegation(nonce=0))

    with pytest.raises(AlreadyReserved, match=f"{delegated.request_id} of 0x.* delegates 0x"):
        await pair.send(pair.payment(pair.a))
    await pair.seal()
    paid = await pair.send(pair.payment(pair.a))
    await pair.seal()
    assert 1 == paid.status().nonce
    await pair.end(paid)
    await pair.end(delegated)
    assert 5 == await pair.node.node.balance(FRIEND)


async def test_both_at_the_same_moment(pair: Pair) -> None:
    """Whichever is accepted first goes; never both."""
    results = await asyncio.gather(
        pair.send(pair.delegation(nonce=0)), pair.send(pair.payment(pair.a)), return_exceptions=True
    )

    assert [AlreadyReserved] == [type(one) for one in results if not isinstance(one, Sent)]


async def test_what_an_earlier_process_sent_counts(node: StrictNode, tmp_path: Path) -> None:
    """A delegation that is found in the journal holds its account as one sent just now."""
    signers = [account.signer for account in node.accounts]

    def opened() -> AbstractAsyncContextManager[Session]:
        return connect(
            node.rpc_url, signer=signers, allow_real_key=True, journal=tmp_path / "journal.db"
        )

    async with opened() as session:
        first = Pair(node, session)
        await first.send(first.delegation(nonce=0))

    async with opened() as session:
        again = Pair(node, session)
        with pytest.raises(AlreadyReserved, match="wait until tx-"):
            await again.send(again.payment(again.a))


@pytest.mark.parametrize(("nonce", "chain_id"), [(0, OTHER_CHAIN), (0, None)])
async def test_authorizations_that_spend_nothing_hold_nobody_up(
    pair: Pair, nonce: int, chain_id: int | None
) -> None:
    """Those for another chain, and those of a nonce that is spent already."""
    if chain_id is None:
        paid = await pair.send(pair.payment(pair.a))
        await pair.seal()
        await pair.end(paid)
    delegated = await pair.send(pair.delegation(nonce=nonce, chain_id=chain_id))
    paid = await pair.send(pair.payment(pair.a))
    await pair.seal()

    await pair.end(delegated)
    await pair.end(paid)


async def test_no_replacement_delegates_an_account_of_ours(pair: Pair) -> None:
    """Neither another one nor its own, whose next nonces may be out already."""
    sent = await pair.send(pair.payment(pair.b))
    behind = await pair.send(pair.payment(pair.b))
    own = pair.b.sign_authorization(chain_id=pair.node.chain_id, address=FRIEND, nonce=1)
    by_itself = TransactionRequest(to=FRIEND, gas=100_000, type=4, authorization_list=(own,))

    for request in (by_itself, pair.delegation(nonce=0)):
        with pytest.raises(ConfigError, match=f"cancel {sent.request_id} and send the delegation"):
            await sent.replace(request)
    await pair.seal()
    await pair.end(sent)
    await pair.end(behind)


async def test_bundles_keep_apart_as_well(pair: Pair) -> None:
    """No bundle delegates another account, and a delegated one leases no nonce."""
    scheduler, head = pair.session.scheduler, pair.session.head
    plain = TransactionRequest(to=FRIEND, value=1, gas=21_000)

    with pytest.raises(ConfigError, match=r"a bundle of 0x.* cannot delegate"):
        await scheduler.lease_bundle(
            [pair.delegation()], sender=pair.b.address, target_block=head.number + 1, fee=FEE
        )
    await pair.send(pair.delegation(nonce=0))
    with pytest.raises(AlreadyReserved, match="may spend its nonce 0"):
        await scheduler.lease_bundle(
            [plain], sender=pair.a.address, target_block=head.number + 1, fee=FEE
        )
