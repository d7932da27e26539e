"""A session at work: its lane, web3 through it, bundles, and who moves it along the chain."""

import asyncio
import json
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount
from eth_typing import HexStr
from web3 import AsyncHTTPProvider, AsyncWeb3, WebSocketProvider
from web3.exceptions import Web3RPCError
from web3.providers.async_base import AsyncBaseProvider
from web3.types import Wei

from toolkit.chain.rpc import HttpRpc, WsRpc
from toolkit.chain.signer import LocalSigner
from toolkit.devnet.anvil import Anvil, start_anvil
from toolkit.devnet.devnet import Devnet, DevnetConfig
from toolkit.model.bundle import GuardKind, Landed
from toolkit.model.chain import Address, Mode
from toolkit.model.errors import (
    BundleRefused,
    CallReverted,
    ConfigError,
    FeeLimitReached,
    IdempotencyConflict,
    NodeUnavailable,
)
from toolkit.model.tx import (
    Cancelled,
    Confirmed,
    TransactionRequest,
    UnsignedTransaction,
    Urgency,
    Visibility,
)
from toolkit.model.units import ether, gwei
from toolkit.routing.router import Router
from toolkit.session import Session, connect

SIGNER = LocalSigner("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
SECOND = LocalSigner("0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d")
OTHER = Address("0x" + "22" * 20)
WETH = Address("0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2")
PAY = TransactionRequest(to=OTHER, value=7)
PUBLIC = Visibility.PUBLIC
ARTEFACT = json.loads(files("toolkit.devnet").joinpath("artifacts/StandInWeth.json").read_text())


@pytest.fixture
async def anvil() -> AsyncIterator[Anvil]:
    """A fresh Anvil that mines every transaction, with a wrapped-ether contract."""
    async with await start_anvil(["--chain-id", "1"]) as process:
        async with HttpRpc(process.url) as rpc:
            await rpc.call("anvil_setCode", [WETH, ARTEFACT["runtime"]])
        yield process


@pytest.fixture
async def session(anvil: Anvil) -> AsyncIterator[Session]:
    """A session on it, with a public key."""
    async with connect(anvil.url, signer=SIGNER) as opened:
        yield opened


async def test_a_send_is_followed_to_its_end_without_further_calls(session: Session) -> None:
    """After a send the session moves along by itself; the outcome is the chain's."""
    sent = await session.send(PAY, visibility=PUBLIC, urgency=Urgency.NEXT_BLOCK)
    outcome = await sent.wait()

    assert isinstance(outcome, Confirmed)
    assert 7 == await session.node.balance(OTHER)
    assert outcome.block_number <= session.head.number
    assert 1 == session.scheduler.statistics().confirmed


async def test_web3_params_and_contract_functions_are_sent_alike(session: Session) -> None:
    """TxParams dictionaries and bound contract functions become requests of the first signer."""
    token = session.w3.eth.contract(session.w3.to_checksum_address(WETH), abi=ARTEFACT["abi"])
    wrap = {"to": WETH, "value": 10**18, "data": token.encode_abi("deposit")}
    for what in (wrap, token.functions.transfer(session.w3.to_checksum_address(OTHER), 5)):
        sent = await session.send(what, visibility=PUBLIC)

        assert isinstance(await sent.wait(), Confirmed)
    balance = token.functions.balanceOf(session.w3.to_checksum_address(OTHER))
    assert 5 == await balance.call()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"foo": 1}, "'foo' is not known"),
        ({"blobs": []}, "'blobs' is not known"),
        ({"chainId": 5}, "for chain 5, the session is on chain 1"),
        ({"nonce": 9}, "nonce 9 cannot be chosen"),
        ({"from": OTHER}, "is not a signer of this session"),
        ({"value": -1}, "value is -1"),
        ({"value": 1.5}, "value is 1.5"),
        ({"gas": "21000"}, "gas is '21000'"),
        ({"to": "0x12"}, "40 hex digits"),
        ({"data": "12"}, "neither bytes nor 0x hex"),
        ({"gasPrice": 1, "maxFeePerGas": 1}, "one kind of fees"),
    ],
)
async def test_a_transaction_that_cannot_be_meant_is_refused(
    session: Session, change: dict[str, Any], message: str
) -> None:
    """Unknown keys, other chains, foreign nonces and malformed values are one clear line each."""
    with pytest.raises(ConfigError, match=message):
        await session.send({"to": OTHER, "value": 1, **change}, visibility=PUBLIC)

    assert 0 == await session.node.nonce(SIGNER.address, "pending")


async def test_other_things_cannot_be_sent(session: Session) -> None:
    """Something that is no transaction is refused by its type."""
    with pytest.raises(ConfigError, match="cannot send int"):
        await session.send(5, visibility=PUBLIC)  # type: ignore[arg-type]


async def test_limits_hold_before_a_nonce_is_used(session: Session) -> None:
    """A revert, a fee above the ceiling and a reused idempotency key cost nothing."""
    with pytest.raises(CallReverted):
        await session.send(
            {"to": WETH, "data": "0xa9059cbb" + "00" * 31 + "22" + "ff" * 32}, visibility=PUBLIC
        )
    with pytest.raises(FeeLimitReached):
        await session.send(PAY, max_fee_per_gas=gwei(10_000), visibility=PUBLIC)
    assert 0 == await session.node.nonce(SIGNER.address, "pending")

    first = await session.send(PAY, idempotency_key="rent", visibility=PUBLIC)
    again = await session.send(PAY, idempotency_key="rent", visibility=PUBLIC)
    assert first.tx_hash == again.tx_hash
    with pytest.raises(IdempotencyConflict):
        await session.send({"to": OTHER}, idempotency_key="rent", visibility=PUBLIC)


async def test_every_signer_has_its_lane(anvil: Anvil) -> None:
    """Requests go to the lane of the sender they name, or of the first signer."""
    async with connect(anvil.url, signer=[SIGNER, SECOND]) as session:
        await (await session.send(PAY, visibility=PUBLIC)).wait()
        await (await session.send({**_params(), "from": SECOND.address}, visibility=PUBLIC)).wait()

        assert 1 == await session.node.nonce(SIGNER.address)
        assert 1 == await session.node.nonce(SECOND.address)
        assert [SIGNER.address, SECOND.address] == [
            account.lower() for account in await session.w3.eth.accounts
        ]


def _params() -> dict[str, Any]:
    return {"to": OTHER, "value": 7}


async def script(w3: Any) -> tuple[int, int, int]:
    """An ordinary web3.py script: send ether, call an ERC-20, wait for receipts, read balances."""
    account = (await w3.eth.accounts)[0]
    other = w3.to_checksum_address(OTHER)
    paid = await w3.eth.send_transaction({"from": account, "to": other, "value": 10**15})
    receipt = await w3.eth.wait_for_transaction_receipt(paid)
    token = w3.eth.contract(w3.to_checksum_address(WETH), abi=ARTEFACT["abi"])
    deposit = await token.functions.deposit().transact({"from": account, "value": 10**18})
    await w3.eth.wait_for_transaction_receipt(deposit)
    moved = await token.functions.transfer(other, 123).transact({"from": account})
    logs = (await w3.eth.wait_for_transaction_receipt(moved))["logs"]
    amount = token.events.Transfer().process_log(logs[0])["args"]
    received = await token.functions.balanceOf(other).call()
    assert 123 in amount.values()
    return receipt["status"], await w3.eth.get_balance(other), received


async def test_a_web3_script_ports_by_one_line(anvil: Anvil) -> None:
    """The same script runs on web3's own provider, and on `session.w3` through the lane."""
    w3 = AsyncWeb3(AsyncHTTPProvider(anvil.url))
    before = await script(w3)
    await w3.provider.disconnect()
    async with connect(anvil.url, signer=SIGNER) as session:
        w3 = session.w3
        after = await script(w3)

        assert 3 == session.scheduler.statistics().accepted
    assert (1, 10**15, 123) == before
    assert (1, 2 * 10**15, 246) == after


async def test_a_script_that_signs_for_itself_goes_through_the_lane(session: Session) -> None:
    """A raw transaction of our signer is sent by the lane, here with the very same bytes."""
    w3 = session.w3
    account: LocalAccount = w3.eth.account.from_key(
        "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
    )
    fields: dict[str, Any] = {
        "to": OTHER,
        "value": 9,
        "gas": 21_000,
        "maxFeePerGas": gwei(10),
        "maxPriorityFeePerGas": 1,
        "nonce": await w3.eth.get_transaction_count(account.address),
        "chainId": 1,
    }
    signed = account.sign_transaction(fields)
    tx_hash = await w3.eth.send_raw_transaction(signed.raw_transaction)
    receipt = await w3.eth.wait_for_transaction_receipt(tx_hash)

    assert signed.hash == tx_hash
    assert 1 == receipt["status"]
    assert tx_hash == await w3.eth.send_raw_transaction(signed.raw_transaction)
    stranger = w3.eth.account.create().sign_transaction(fields)
    for raw, message in (
        (account.sign_transaction({**fields, "value": 8}).raw_transaction, "nonce 0 cannot be"),
        (stranger.raw_transaction, "is not a signer of this session"),
        (account.sign_transaction({**fields, "chainId": 5}).raw_transaction, "for chain 5"),
    ):
        with pytest.raises(ConfigError, match=message):
            await w3.eth.send_raw_transaction(raw)


async def test_what_relays_hold_is_not_paid_twice() -> None:
    """The same signed bytes, or the same nonce, sent again while private are one transaction."""
    async with Devnet(DevnetConfig(seed=3, builders=1)) as devnet:
        owner = devnet.accounts[0]
        fields: dict[str, Any] = {
            "to": AsyncWeb3.to_checksum_address(OTHER),
            "value": 9,
            "gas": 21_000,
            "maxFeePerGas": gwei(100),
            "maxPriorityFeePerGas": gwei(1),
            "nonce": 0,
            "chainId": 1,
        }
        signer = LocalSigner(owner.key)
        async with connect(devnet.rpc_url, signer=signer, relays=devnet.relays) as session:
            w3 = session.w3
            raw = w3.eth.account.from_key(owner.key).sign_transaction(fields).raw_transaction
            first = await asyncio.gather(*(w3.eth.send_raw_transaction(raw) for _ in range(3)))
            again = await w3.eth.send_raw_transaction(raw)
            with pytest.raises(ConfigError, match="nonce 0 cannot be chosen"):
                await w3.eth.send_transaction(fields)  # type: ignore[arg-type]
            named = {**fields, "nonce": 1}
            at_once = await asyncio.gather(
                w3.eth.send_transaction(named),  # type: ignore[arg-type]
                session.send(named),
                w3.eth.send_transaction(named),  # type: ignore[arg-type]
                return_exceptions=True,
            )
            for _ in range(3):
                await devnet.seal()
                await session.advance()

            assert {again} == set(first)
            assert 2 == sum(isinstance(each, ConfigError) for each in at_once)
            assert 2 * 9 == await session.node.balance(OTHER)


@pytest.mark.parametrize(
    ("field", "value"),
    [("deadline_blocks", 2.5), ("urgency", 1), ("idempotency_key", 5), ("max_fee_per_gas", 0)],
)
async def test_a_malformed_wish_does_not_reach_the_lane(
    session: Session, field: str, value: object
) -> None:
    """It is refused before it is journalled, and the next request is sent."""
    with pytest.raises(ConfigError, match=field):
        await session.send(PAY, visibility=PUBLIC, **{field: value})  # type: ignore[arg-type]

    assert isinstance(await (await session.send(PAY, visibility=PUBLIC)).wait(), Confirmed)


async def test_web3_cannot_go_around_the_lane(session: Session) -> None:
    """Other ways to send, and sends inside a batch, are refused; reads in a batch are not."""
    w3 = session.w3
    for method in ("eth_sendBundle", "eth_sendRawTransactionConditional", "eth_sendUserOperation"):
        with pytest.raises(ConfigError, match="go around the lane"):
            await w3.provider.make_request(method, [])
    async with w3.batch_requests() as batch:
        batch.add(w3.eth.get_block("latest"))
        batch.add(w3.eth.get_balance(w3.to_checksum_address(OTHER)))
        answers: list[Any] = list(await batch.async_execute())

    assert (0, 0) == (answers[0]["number"], answers[1])
    with pytest.raises(ConfigError, match="in a batch is refused"):
        await w3.provider.make_batch_request([("eth_sendTransaction", [{}])])


async def test_errors_of_the_node_stay_web3s_own(session: Session) -> None:
    """What a script catches from web3 is raised through the session as well."""
    with pytest.raises(Web3RPCError):
        await session.w3.eth.get_storage_at(
            session.w3.to_checksum_address(OTHER), 0, HexStr("0x" + "ab" * 32)
        )


async def test_a_replaced_transactions_receipt_is_found_by_its_first_hash(anvil: Anvil) -> None:
    """A script that waits for the hash it was given learns of the attempt that was mined."""
    async with (
        await start_anvil(["--chain-id", "1", "--no-mining"]) as slow,
        connect(slow.url, signer=SIGNER) as session,
    ):
        w3, rpc = session.w3, session.node.rpc
        first = await w3.eth.send_transaction({"to": OTHER, "value": Wei(1)})
        for _ in range(4):
            await rpc.call("anvil_dropAllTransactions")
            await rpc.call("anvil_setNextBlockBaseFeePerGas", [hex(gwei(3))])
            await rpc.call("evm_mine")
            await session.advance()
        await rpc.call("evm_mine")
        await session.advance()
        receipt = await w3.eth.get_transaction_receipt(first)

    assert 1 == receipt["status"]
    assert first != receipt["transactionHash"]


class Through(AsyncBaseProvider):
    """A provider of a user's own, which only it knows how to reach."""

    def __init__(self, rpc: HttpRpc) -> None:
        super().__init__()
        self.rpc = rpc
        self.asked: list[str] = []

    async def make_request(self, method: Any, params: Any) -> Any:
        self.asked.append(method)
        return {"jsonrpc": "2.0", "id": 1, "result": await self.rpc.call(method, params)}


async def test_a_users_own_web3_can_be_connected(anvil: Anvil) -> None:
    """Its address is taken over; settings of its own and strange providers are spoken through."""
    plain = AsyncWeb3(AsyncHTTPProvider(anvil.url))
    async with connect(plain, signer=SIGNER) as session:
        assert isinstance(session.node.rpc, HttpRpc)
        assert isinstance(await (await session.send(PAY, visibility=PUBLIC)).wait(), Confirmed)
    headers = {"headers": {"Authorization": "Bearer x", "Content-Type": "application/json"}}
    async with connect(AsyncWeb3(AsyncHTTPProvider(anvil.url, headers))) as session:
        assert not isinstance(session.node.rpc, HttpRpc)
        assert Mode.DEV is session.mode
        assert await session.w3.eth.chain_id == 1
    async with HttpRpc(anvil.url) as rpc:
        provider = Through(rpc)
        async with connect(AsyncWeb3(provider), signer=SIGNER) as session:
            sent = await session.send(PAY, visibility=PUBLIC)
            assert isinstance(await sent.wait(), Confirmed)
        assert "eth_sendRawTransaction" in provider.asked


async def test_a_users_middleware_is_kept(anvil: Anvil) -> None:
    """What the user's instance does to answers, session.w3 does too."""
    from web3.middleware import ExtraDataToPOAMiddleware

    mine = AsyncWeb3(AsyncHTTPProvider(anvil.url))
    mine.middleware_onion.inject(ExtraDataToPOAMiddleware, name="poa", layer=0)
    async with connect(mine) as session:
        assert "poa" in session.w3.middleware_onion


@pytest.mark.parametrize("as_web3", [True, False])
async def test_a_session_runs_over_a_websocket(anvil: Anvil, *, as_web3: bool) -> None:
    """ws:// addresses and WebSocket providers give a session that hears of heads by itself."""
    endpoint: Any = AsyncWeb3(WebSocketProvider(anvil.ws_url)) if as_web3 else anvil.ws_url
    async with connect(endpoint, signer=SIGNER) as session:
        assert isinstance(session.node.rpc, WsRpc)
        sent = await session.send(PAY, visibility=PUBLIC)
        outcome = await sent.wait()

    assert isinstance(outcome, Confirmed)


async def test_whoever_advances_drives(anvil: Anvil) -> None:
    """After `advance` nothing happens between calls; a change is digested once and in order."""
    async with (
        await start_anvil(["--chain-id", "1", "--no-mining"]) as slow,
        connect(slow.url, signer=SIGNER) as session,
    ):
        assert await session.advance() is None
        sent = await session.send(PAY, visibility=PUBLIC)
        await session.node.rpc.call("evm_mine")
        assert 0 == session.scheduler.statistics().confirmed
        change = await session.advance()

        assert change is not None
        assert [1] == [head.number for head in change.added]
        assert isinstance(await sent.wait(), Confirmed)
        assert await session.advance() is None


async def test_the_wheel_can_be_taken_from_a_following_session(anvil: Anvil) -> None:
    """Driving by hand after a send stops the following, and loses no change."""
    async with (
        await start_anvil(["--chain-id", "1", "--no-mining"]) as slow,
        connect(slow.url, signer=SIGNER) as session,
    ):
        sent = await session.send(PAY, visibility=PUBLIC)
        await session.advance()
        await session.node.rpc.call("evm_mine")
        await session.advance()

        assert isinstance(await sent.wait(), Confirmed)


async def test_cancelling_has_a_truthful_end(anvil: Anvil) -> None:
    """A cancelled request ends as what was mined at its nonce."""
    async with (
        await start_anvil(["--chain-id", "1", "--no-mining"]) as slow,
        connect(slow.url, signer=SIGNER) as session,
    ):
        sent = await session.send(PAY, visibility=PUBLIC)
        await sent.cancel()
        await session.node.rpc.call("evm_mine")
        await session.advance()
        outcome = await sent.wait()

        assert isinstance(outcome, Cancelled)
        assert 0 == await session.node.balance(OTHER)


async def test_a_node_that_dies_ends_the_session_and_not_the_patience(
    anvil: Anvil, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the chain can no longer be followed, waiting ends with the reason."""
    monkeypatch.setattr("toolkit.chain.heads._BACKOFF_MAX_S", 0.0)
    slow = await start_anvil(["--chain-id", "1", "--no-mining"])

    async def wait_for_ever() -> None:
        async with slow, connect(slow.url, signer=SIGNER) as session:
            sent = await session.send(PAY, visibility=PUBLIC)
            await slow.stop()
            await sent.wait()

    with pytest.raises(NodeUnavailable, match="no connection"):
        await wait_for_ever()
    task = asyncio.current_task()

    assert task is not None
    assert 0 == task.cancelling()


async def test_a_restart_finishes_what_was_under_way(tmp_path: Path) -> None:
    """A journal file carries a request from one session to the next, sent once."""
    journal = tmp_path / "journal.db"
    async with await start_anvil(["--chain-id", "1", "--no-mining"]) as slow:
        async with connect(slow.url, signer=SIGNER, journal=journal) as session:
            sent = await session.send(PAY, idempotency_key="once", visibility=PUBLIC)
            first = sent.tx_hash
        async with connect(slow.url, signer=SIGNER, journal=str(journal)) as session:
            sent = await session.send(PAY, idempotency_key="once", visibility=PUBLIC)
            await session.node.rpc.call("evm_mine")
            await session.advance()
            outcome = await sent.wait()

            assert isinstance(outcome, Confirmed)
            assert first == outcome.tx_hash
            assert 1 == await session.node.nonce(SIGNER.address)


async def test_an_error_of_the_body_passes_unchanged(anvil: Anvil) -> None:
    """`async with connect` wraps nobody's exception."""
    with pytest.raises(KeyError):
        async with connect(anvil.url):
            raise KeyError


@pytest.fixture(scope="module")
def devnet_config() -> DevnetConfig:
    """A market without rivals, so that bundles land."""
    return DevnetConfig(seed=1)


def pending(devnet: Devnet, nonce: int) -> str:
    """Somebody else's signed transfer."""
    unsigned = UnsignedTransaction(
        type=2,
        chain_id=devnet.chain_id,
        nonce=nonce,
        to=OTHER,
        value=3,
        data="0x",
        gas=21_000,
        max_fee_per_gas=gwei(20),
        max_priority_fee_per_gas=gwei(1),
    )
    return devnet.accounts[1].signer.sign_transaction_now(unsigned).raw


async def test_bundles_and_private_sends_on_the_devnet(devnet_config: DevnetConfig) -> None:
    """With relays: sends are private by default, a backrun bundle lands, a router reads pools."""
    async with Devnet(devnet_config) as devnet:
        signer = devnet.accounts[0].signer
        async with connect(devnet.rpc_url, signer=signer, relays=devnet.relays) as session:
            sent = await session.send(PAY)
            pool = await session.node.rpc.call("txpool_status")
            await devnet.seal()
            await session.advance()
            assert isinstance(await sent.wait(), Confirmed)
            assert 0 == int(pool["pending"], 16)

            draft = session.bundle().include(pending(devnet, 0)).call(PAY)
            handle = await session.submit(draft, blocks=3, tip_wei=10**15)
            await devnet.seal()
            await session.advance()
            result = await handle.wait()
            assert isinstance(result, Landed)
            assert result.fee_wei >= 10**15

            await _refusals(session, devnet)
            router = await session.router(pools=devnet.pools)
            assert isinstance(router, Router)
            assert session.head == router.snapshot.block


async def test_a_bundle_goes_on_in_the_next_session(
    devnet_config: DevnetConfig, tmp_path: Path
) -> None:
    """What is under way at the end is tried and told by whoever has the journal next."""
    async with Devnet(devnet_config) as devnet:
        signer, journal = devnet.accounts[0].signer, tmp_path / "journal.db"
        url, relays = devnet.rpc_url, devnet.relays
        async with connect(url, signer=signer, journal=journal, relays=relays) as session:
            for builder in devnet.builders:
                builder.failures.next("http_500")
            draft = session.bundle().call(PAY)
            await session.submit(draft, blocks=2, tip_wei=10**15)
        await devnet.seal()
        async with connect(url, signer=signer, journal=journal, relays=relays) as session:
            (handle,) = session.submitter.handles()
            leased = sum(lane.leases for lane in session.scheduler.statistics().lanes)
            await devnet.seal()
            await session.advance()
            result = await handle.wait()
            free = sum(lane.leases for lane in session.scheduler.statistics().lanes)

    assert isinstance(result, Landed)
    assert (1, 0) == (leased, free)


async def _refusals(session: Session, devnet: Devnet) -> None:
    nonce = await session.node.nonce(session.signers[0].address)
    spent = session.bundle().include(pending(devnet, 0)).call(PAY)
    with pytest.raises(BundleRefused, match="fails on block"):
        await session.submit(spent)
    failing = TransactionRequest(to=WETH, data="0xa9059cbb" + "00" * 31 + "22" + "ff" * 32)
    with pytest.raises(CallReverted, match="transaction 0 of 1"):
        await session.submit(session.bundle().call(failing))
    with pytest.raises(ConfigError, match="bundle is empty"):
        await session.submit(session.bundle())
    with pytest.raises(ConfigError, match="tip of -1 wei"):
        await session.submit(session.bundle().call(PAY), tip_wei=-1)
    with pytest.raises(FeeLimitReached, match="more than max_cost_wei allows"):
        await session.submit(session.bundle().call(PAY), tip_wei=ether("0.05"))
    with pytest.raises(ConfigError, match="no own call"):
        await session.submit(session.bundle().include(pending(devnet, 1)), tip_wei=1)
    sandwich = session.bundle().call(PAY).include(pending(devnet, 1))
    with pytest.raises(BundleRefused, match="both sides"):
        await session.submit(sandwich.call(PAY, guards=[GuardKind.BLOCK]))
    with pytest.raises(BundleRefused, match="has no guard"):
        await session.submit(session.bundle().call(PAY).call(PAY))
    assert nonce == await session.node.nonce(session.signers[0].address, "pending")
    assert 0 == sum(lane.leases for lane in session.scheduler.statistics().lanes)
