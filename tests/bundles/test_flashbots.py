"""Scripts for the official client, ported: the same calls on a session, against the devnet."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from eth_account import Account
from eth_typing import HexStr
from web3.exceptions import TransactionNotFound

from toolkit.bundles.flashbots import Flashbots
from toolkit.chain.signer import LocalSigner
from toolkit.devnet.crowd.rivals import RivalConfig
from toolkit.devnet.devnet import Devnet, DevnetConfig
from toolkit.model.bundle import Landed, MissCause, Missed
from toolkit.model.errors import (
    BundleRefused,
    ConfigError,
    FeeLimitReached,
    RelayRejected,
    RelayUnavailable,
)
from toolkit.model.units import ether, gwei
from toolkit.session import Session, connect

PAYEE = "0x" + "42" * 20
UUID = "6f1f4a9e-5d54-4d8c-8f1e-0c6b4a5d2e11"


class Script:
    """What a script has at hand: a client, two accounts of the devnet, a way to the next block."""

    def __init__(self, devnet: Devnet, session: Session) -> None:
        self.devnet, self.session = devnet, session
        self.client = Flashbots(session)
        self.account, self.friend = (
            Account.from_key(account.key) for account in devnet.accounts[:2]
        )
        self.signer = LocalSigner(devnet.accounts[2].key)

    @property
    def target(self) -> int:
        return self.session.head.number + 1

    def transfer(self, **fields: Any) -> dict[str, Any]:
        fees = {"maxFeePerGas": gwei(50), "maxPriorityFeePerGas": gwei(1)}
        return {"to": PAYEE, "value": 1, "gas": 21_000, **fees, **fields}

    def own(self, **fields: Any) -> dict[str, Any]:
        return {"signer": self.account, "transaction": self.transfer(**fields)}

    def foreign(self, **fields: Any) -> dict[str, Any]:
        params = self.transfer(nonce=0, chainId=1, **fields)
        signed = self.friend.sign_transaction(params)
        return {"signed_transaction": signed.raw_transaction}

    async def seal(self) -> None:
        await self.devnet.seal()
        await self.session.advance()


@pytest.fixture
async def script() -> AsyncIterator[Script]:
    config = DevnetConfig(seed=5, builders=1, flow=False, accounts=3, rivals=RivalConfig(count=0))
    async with (
        Devnet(config) as devnet,
        connect(devnet.rpc_url, relays=devnet.relays) as session,
    ):
        yield Script(devnet, session)


@pytest.mark.parametrize("rows", [[7], [{}], [{"gasUsed": "21000"}], [{"gasUsed": None}]])
async def test_a_simulation_without_gas_is_no_simulation(
    script: Script, monkeypatch: pytest.MonkeyPatch, rows: list[object]
) -> None:
    """A relay whose results are not what every relay gives is named as the fault, in one error."""

    async def call_bundle(*_: object) -> dict[str, object]:
        return {"results": rows}

    monkeypatch.setattr(script.client, "call_bundle", call_bundle)

    with pytest.raises(RelayUnavailable, match="simulated 1 transactions, and not their gas"):
        await script.client.simulate([script.own()])


async def test_bundle_lands_whole_and_in_order(script: Script) -> None:
    """A foreign transaction and an own one land one after the other; wait, receipts and the
    bundle's hash are as a script expects them."""
    sent = await script.client.send_bundle([script.foreign(), script.own()], script.target)
    await script.seal()

    result = await sent.wait()
    receipts = await sent.receipts()

    assert isinstance(result, Landed)
    assert "0x" + sent.bundle_hash().hex() == result.bundle_hash
    assert [bytes(one["transactionHash"]) for one in receipts] == [
        one["hash"] for one in sent.bundle
    ]
    assert [1, 1] == [one["status"] for one in receipts]
    assert {sent.target_block_number} == {one["blockNumber"] for one in receipts}
    first = receipts[0]["transactionIndex"]
    assert [first, first + 1] == [one["transactionIndex"] for one in receipts]


async def test_a_bundle_is_followed_without_a_hand(script: Script) -> None:
    """A script need not move the session along: sending is enough for the end to be told."""
    sent = await script.client.send_bundle([script.own()], script.target)
    await script.devnet.seal()

    async with asyncio.timeout(20):
        assert isinstance(await sent.wait(), Landed)


async def test_nonces_and_gas_are_filled_as_by_the_official_client(script: Script) -> None:
    """An account's nonces count on within a bundle, from the chain's or from a named one; gas that
    is not named is estimated, by keys of either kind."""
    bare = script.own()
    del bare["transaction"]["gas"]
    ours = {"signer": script.signer, "transaction": script.transfer(nonce=7)}
    again = {"signer": script.signer, "transaction": script.transfer()}

    signed = await script.client.sign_bundle([bare, script.own(), ours, again])

    read = [script.session.w3.eth.account.recover_transaction(raw) for raw in signed]
    assert [script.account.address] * 2 == read[:2]
    assert [script.signer.address] * 2 == [one.lower() for one in read[2:]]
    again_signed = await script.client.sign_bundle(
        [
            script.own(nonce=0, chainId=1),
            script.own(nonce=1, type=2),
            ours,
            {"signer": script.signer, "transaction": script.transfer(nonce=8)},
        ]
    )
    assert signed == again_signed


async def test_missed_bundle_says_why(script: Script) -> None:
    """Receipts of a bundle that is not in its block raise web3's own error, with the cause."""
    options = {"replacementUuid": UUID, "minTimestamp": 0, "revertingTxHashes": []}
    sent = await script.client.send_bundle([script.own()], script.target, options)
    assert {"bundleHashes": [sent.handle.bundle_hash]} == await script.client.cancel_bundles(UUID)
    await script.seal()

    result = await sent.wait()

    assert isinstance(result, Missed)
    assert MissCause.CANCELLED is result.cause
    with pytest.raises(TransactionNotFound, match=r"is not in block \d+: cancelled, "):
        await sent.receipts()
    assert {"bundleHashes": []} == await script.client.cancel_bundles(UUID)


async def test_sends_at_once_are_told_apart(script: Script) -> None:
    """Of ten sends under way together each response has its own bundle, and its own end."""
    entries = [script.own(nonce=nonce) for nonce in range(10)]
    signed = [await script.client.sign_bundle([entry]) for entry in entries]

    sent = await asyncio.gather(
        *(script.client.send_bundle([entry], script.target) for entry in entries)
    )
    await script.seal()

    for (raw,), one in zip(signed, sent, strict=True):
        assert [raw] == [each["signed_transaction"] for each in one.bundle]
        result = await one.wait()
        assert "0x" + one.bundle_hash().hex() == result.bundle_hash
        if isinstance(result, Landed):
            assert "0x" + one.bundle[0]["hash"].hex() == result.tx_hash


async def test_replaced_bundle_does_not_land(script: Script) -> None:
    """A second bundle with the same uuid takes the place of the first, which pays more."""
    options = {"replacementUuid": UUID}
    better = script.own(nonce=0, maxPriorityFeePerGas=gwei(2))
    first = await script.client.send_bundle([better], script.target, options)
    second = await script.client.send_bundle([script.own(nonce=0)], script.target, options)
    await script.seal()

    assert isinstance(await first.wait(), Missed)
    assert isinstance(await second.wait(), Landed)


async def test_simulation_is_of_the_next_block(script: Script) -> None:
    """Without a block the next one is simulated on the newest state, by the relay."""
    said = await script.client.simulate([script.foreign(), script.own()])
    same = await script.client.simulate(
        [script.foreign(), script.own()], script.target, script.session.head.number
    )

    assert said == same
    assert [21_000, 21_000] == [row["gasUsed"] for row in said["results"]]
    assert 42_000 == said["totalGasUsed"]
    assert 2 * 21_000 * gwei(1) == int(said["coinbaseDiff"])
    assert said["signedBundledTransactions"] == await script.client.sign_bundle(
        [script.foreign(), script.own()]
    )


async def test_raw_bundle_is_named_by_its_hash(script: Script) -> None:
    """Bytes that were signed before are sent as they are, given as bytes or as hex."""
    raws = await script.client.sign_bundle([script.foreign(), script.own()])

    said = await script.client.send_raw_bundle([raws[0], "0x" + raws[1].hex()], script.target)
    again = await script.client.send_bundle(
        [{"signed_transaction": raw} for raw in raws], script.target + 1
    )

    assert {"bundleHash": again.handle.bundle_hash} == said


async def test_private_transaction_is_mined(script: Script) -> None:
    """A private transaction is mined within its blocks; its receipt comes, and is no mystery."""
    sent = await script.client.send_private_transaction(script.own())
    assert script.target - 1 + 25 == sent.max_block_number
    await script.seal()

    assert await sent.wait()
    receipt = await sent.receipt()
    assert sent.tx["hash"] == bytes(receipt["transactionHash"])


async def test_private_transaction_taken_back_is_not_mined(script: Script) -> None:
    """A private transaction is taken back once; after its last block its wait ends."""
    sent = await script.client.send_private_transaction(script.own(), script.target)
    assert await script.client.cancel_private_transaction(sent.tx["hash"])
    assert not await script.client.cancel_private_transaction("0x" + sent.tx["hash"].hex())
    await script.seal()
    await script.seal()

    assert not await sent.wait()
    assert None is await sent.receipt()


async def test_pending_transaction_is_included_as_the_node_tells_it(script: Script) -> None:
    """What `get_transaction` returns may stand in a bundle: its bytes are found again."""
    raw = script.foreign()["signed_transaction"]
    tx_hash = await script.session.node.send_raw("0x" + raw.hex())
    told = await script.session.w3.eth.get_transaction(HexStr(tx_hash))

    sent = await script.client.send_bundle([told, script.own()], script.target)
    await script.seal()

    assert raw == sent.bundle[0]["signed_transaction"]
    assert isinstance(await sent.wait(), Landed)


async def test_several_own_transactions_need_a_guard(script: Script) -> None:
    """Two own transactions are refused unless the guard is waived for all that this one sends."""
    bundle = [script.own(), script.own()]

    with pytest.raises(BundleRefused, match="no guard"):
        await script.client.send_bundle(bundle, script.target)

    waived = Flashbots(script.session, guards_waived=True)
    assert 2 == len((await waived.send_bundle(bundle, script.target)).bundle)


async def test_own_on_both_sides_is_refused(script: Script) -> None:
    """Two keys of a script around a foreign transaction are own on both sides, and refused."""
    client = Flashbots(script.session, guards_waived=True)
    other = {"signer": script.signer, "transaction": script.transfer()}

    with pytest.raises(BundleRefused, match="both sides"):
        await client.send_bundle([script.own(), script.foreign(), other], script.target)


async def test_keys_are_held_to_the_rules_of_the_session(script: Script) -> None:
    """A key that the node's mode refuses is refused here too, unless it is meant; so is a cost."""
    stranger = {"signer": Account.from_key("0x" + "77" * 32), "transaction": script.transfer()}
    dear = script.own(maxFeePerGas=gwei(3_000_000))

    with pytest.raises(ConfigError, match="neither an account of this devnet"):
        await script.client.sign_bundle([stranger])
    with pytest.raises(FeeLimitReached, match="more than max_cost_wei allows"):
        await script.client.sign_bundle([dear])

    meant = Flashbots(script.session, allow_real_key=True, max_cost_wei=ether(70))
    assert 2 == len(await meant.sign_bundle([stranger, dear]))


async def test_signers_of_the_session_keep_their_nonces(script: Script) -> None:
    """A key that a lane has signs no script's transactions, and its bytes are not sent either."""
    key = script.devnet.accounts[0].key
    url, relays = script.devnet.rpc_url, script.devnet.relays
    async with connect(url, signer=LocalSigner(key), relays=relays) as session:
        client = Flashbots(session)
        raw = script.account.sign_transaction(script.transfer(nonce=0, chainId=1))
        signed = {"signed_transaction": raw.raw_transaction}

        with pytest.raises(ConfigError, match="lane owns its nonces"):
            await client.send_bundle([script.own()], script.target)
        with pytest.raises(BundleRefused, match="belongs to its lane"):
            await client.send_bundle([signed], script.target)
        with pytest.raises(ConfigError, match="lane owns its nonces"):
            await client.send_private_transaction(signed)


async def test_what_no_relay_takes_raises(script: Script) -> None:
    """Where every relay refuses, the reasons are raised, as the official client raises them; the
    nonce is another bundle's at once, however far the first one's block is."""
    script.devnet.builders[0].failures.next("text")
    with pytest.raises(RelayRejected, match=r"no relay took it: .*HTTP 400"):
        await script.client.send_bundle([script.own()], script.target + 90)
    await script.client.send_bundle([script.own(value=2)], script.target)
    with pytest.raises(BundleRefused, match="1001 ahead: aim at most 100"):
        await script.client.send_bundle([script.own()], script.target + 1_000)
    with pytest.raises(RelayRejected, match="no relay did it: "):
        await script.client.send_private_transaction(script.own(), 1)


async def test_without_relays_nothing_is_pretended(script: Script) -> None:
    """A session without relays cannot send, simulate or cancel, and says what it needs."""
    async with connect(script.devnet.rpc_url) as session:
        client = Flashbots(session)

        with pytest.raises(BundleRefused, match="no relays are configured"):
            await client.send_bundle([script.own()], script.target)
        with pytest.raises(ConfigError, match="no relays are configured"):
            await client.send_private_transaction(script.own())
        with pytest.raises(ConfigError, match="no relays are configured"):
            await client.cancel_bundles(UUID)
        with pytest.raises(ConfigError, match="no relay simulates for this DEV session"):
            await client.simulate([script.own()])
