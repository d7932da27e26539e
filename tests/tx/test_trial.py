"""What a gas limit is worth, on a chain that says so: reverts for want of gas are called that."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from toolkit.chain.signer import LocalSigner
from toolkit.devnet.strict_node import StrictNode, open_strict_node
from toolkit.model.chain import Address, Hash
from toolkit.model.errors import CallReverted, GasLimitTooHigh, RpcError
from toolkit.model.tx import AccessListItem, Reverted, TransactionRequest, Visibility
from toolkit.session import Session, connect
from toolkit.tx.trial import try_call, try_request

STORES = Address("0x" + "c0" * 20)
CALLS = Address("0x" + "c1" * 20)
FAILS = Address("0x" + "c2" * 20)
# sstore(0, 1): 43,106 gas with the transaction's own.
STORES_CODE = "0x600160005500"
# require(call(all gas but a 64th, STORES)) without a reason.
CALLS_CODE = f"0x6000600060006000600073{STORES[2:]}5af1602857600080fd5b00"
FAILS_CODE = "0x60006000fd"
ENOUGH = 60_000


@pytest.fixture
async def node() -> AsyncIterator[StrictNode]:
    async with open_strict_node(seed=1, accounts=2) as node:
        for where, code in ((STORES, STORES_CODE), (CALLS, CALLS_CODE), (FAILS, FAILS_CODE)):
            await node.node.rpc.call("anvil_setCode", [where, code])
        yield node


@pytest.fixture
async def session(node: StrictNode) -> AsyncIterator[Session]:
    signer = node.accounts[0].signer
    async with connect(node.rpc_url, signer=signer, allow_real_key=True) as session:
        yield session


@pytest.mark.parametrize("to", [STORES, CALLS])
@pytest.mark.parametrize("gas", [20_000, 21_100, 30_000])
async def test_too_little_gas_is_refused_before_a_nonce_is_used(
    session: Session, to: Address, gas: int
) -> None:
    """The limit that is stated is tried; also where a contract in between says nothing of gas."""
    request = TransactionRequest(to=to, gas=gas)

    with pytest.raises(CallReverted, match=f"out of gas: the gas limit of {gas} is too low"):
        await session.send(request, visibility=Visibility.PUBLIC)
    sent = await session.send(TransactionRequest(to=to, gas=ENOUGH), visibility=Visibility.PUBLIC)
    assert 0 == sent.status().nonce


async def test_the_access_list_is_paid_for(node: StrictNode) -> None:
    """What is enough without one is too little with it."""
    gas, sender = 43_200, node.accounts[0].address
    unused = AccessListItem(address=FAILS, storage_keys=(Hash("0x" + "00" * 32),))
    bare = TransactionRequest(to=STORES, gas=gas)
    await try_request(node.node, bare, sender=sender)

    with pytest.raises(CallReverted, match="out of gas"):
        await try_request(
            node.node,
            TransactionRequest(to=STORES, gas=gas, access_list=(unused,)),
            sender=sender,
        )


async def test_a_delegation_is_paid_for(node: StrictNode) -> None:
    """A type 4 request is tried within the gas it states, too."""
    sender, other = (account.address for account in node.accounts)
    grant = LocalSigner(node.accounts[1].key).sign_authorization(
        chain_id=node.chain_id, address=STORES, nonce=0
    )

    def of(gas: int) -> TransactionRequest:
        return TransactionRequest(to=other, gas=gas, type=4, authorization_list=(grant,))

    await try_request(node.node, of(120_000), sender=sender)
    with pytest.raises(CallReverted, match="out of gas: the gas limit of 50000"):
        await try_request(node.node, of(50_000), sender=sender)


async def test_a_revert_with_enough_gas_is_no_matter_of_gas(node: StrictNode) -> None:
    """More gas would not have helped, so its own reason is told."""
    with pytest.raises(CallReverted, match="no reason given"):
        await try_request(
            node.node,
            TransactionRequest(to=FAILS, gas=ENOUGH),
            sender=node.accounts[0].address,
        )


async def test_more_than_the_cap_is_not_called_too_little(session: Session) -> None:
    """Nodes refuse a call above their cap in words of their own; ours come first."""
    with pytest.raises(GasLimitTooHigh, match="is above"):
        await session.send(
            TransactionRequest(to=STORES, gas=2**24 + 1), visibility=Visibility.PUBLIC
        )


async def test_a_reverted_one_says_that_its_gas_ran_out(node: StrictNode, session: Session) -> None:
    """Sent without a trial, the outcome tells that the limit was too low."""
    sent = await session.send(
        TransactionRequest(to=CALLS, gas=30_000), visibility=Visibility.PUBLIC, simulate=False
    )
    await node.seal()
    await session.advance()
    outcome = await asyncio.wait_for(sent.wait(), 10)

    assert isinstance(outcome, Reverted)
    assert outcome.reason.startswith("out of gas: the gas limit of 30000")


async def test_an_error_that_is_not_of_gas_is_asked_about_once() -> None:
    """A node that is too busy has said nothing about the limit."""
    asked: list[int | None] = []

    class Busy:
        async def call(self, *, gas: int | None = None, **_: object) -> str:
            asked.append(gas)
            raise RpcError(-32005, "too many requests")

        async def estimate_gas(self, request: TransactionRequest, *, sender: Address) -> int:
            raise AssertionError((request, sender))

    with pytest.raises(RpcError, match="too many requests"):
        await try_call(Busy(), TransactionRequest(to=STORES, gas=30_000), sender=FAILS)
    assert [30_000] == asked
