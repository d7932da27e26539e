import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.devnet.conftest import ACCOUNTS, GWEI, OWNER, Wallet
from toolkit.chain.hashing import keccak
from toolkit.chain.signer import LocalSigner
from toolkit.devnet.building.identities import bundle_hash
from toolkit.devnet.building.orders import MAX_ORDERS
from toolkit.devnet.building.relay_server import authenticate, serve_relay
from toolkit.devnet.building.sealing import Market
from toolkit.devnet.building.wire import OrderError

SIGNER = ACCOUNTS[0].signer


def header(body: bytes, signer: LocalSigner = SIGNER) -> str:
    return f"{signer.address}:{signer.sign_message_now(('0x' + keccak(body).hex()).encode())}"


class Client:
    """Posts signed requests to a relay."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url, self.session = url, session

    async def raw(self, body: bytes, signature: str | None) -> dict[str, Any]:
        headers = {"X-Flashbots-Signature": signature} if signature else {}
        async with self.session.post(self.url, data=body, headers=headers) as response:
            document: dict[str, Any] = await response.json()
            return document

    async def ask(
        self, method: str, *params: object, signer: LocalSigner = SIGNER
    ) -> dict[str, Any]:
        request = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
        body = json.dumps(request).encode()
        return await self.raw(body, header(body, signer))


@pytest.fixture
async def relay(market: Market) -> AsyncIterator[Client]:
    server = await serve_relay(market.builders[0])
    async with aiohttp.ClientSession() as session:
        yield Client(server.url, session)
    await server.close()


def bundle(market: Market, wallet: Wallet, **fields: object) -> dict[str, object]:
    return {
        "txs": [wallet.sign().raw],
        "blockNumber": hex(market.head.number + 1),
        **fields,
    }


@pytest.mark.realdata
def test_signature_vectors(data_dir: Path) -> None:
    """Every recorded header, valid or not, is judged as the reference verifier does."""
    path = data_dir / "bundles/x_flashbots_signature_vectors.json"
    vectors = json.loads(path.read_text())["vectors"]
    judged = []
    for vector in vectors:
        try:
            authenticate(vector["header"], vector["body"].encode())
            judged.append(True)
        except OrderError:
            judged.append(False)

    assert [vector["valid"] for vector in vectors] == judged


async def test_only_signed_bytes_are_served(relay: Client) -> None:
    """No header, a malformed one, another signer's or one over other bytes is refused: -32600."""
    body = b'{"jsonrpc":"2.0","id":1,"method":"eth_sendBundle","params":[{}]}'
    other = header(body, ACCOUNTS[1].signer).split(":")[1]
    answers = [
        await relay.raw(body, signature)
        for signature in (None, "nonsense", f"{OWNER}:{other}", header(body + b" "))
    ]

    assert [-32600] * 4 == [answer["error"]["code"] for answer in answers]
    assert "signature is required" in answers[0]["error"]["message"]
    assert "signing address mismatch" in answers[2]["error"]["message"]


async def test_a_bundle_is_taken_under_its_hash(
    relay: Client, market: Market, wallets: list[Wallet]
) -> None:
    """eth_sendBundle answers keccak of the joined hashes, and the builder holds the order."""
    signed = [wallets[1].sign(), wallets[2].sign()]
    request = {"txs": [s.raw for s in signed], "blockNumber": hex(market.head.number + 1)}

    answer = await relay.ask("eth_sendBundle", request)

    wanted = bundle_hash(each.hash for each in signed)
    assert {"bundleHash": wanted} == answer["result"]
    assert [wanted] == [order.bundle_hash for order in market.builders[0].orders()]
    assert signed[0].raw not in repr(market.builders[0].orders())


async def test_a_uuid_replaces_and_cancels_only_its_owners_bundle(
    relay: Client, market: Market, wallets: list[Wallet]
) -> None:
    """The same uuid of the same signer replaces; another signer's cancel finds nothing."""
    builder = market.builders[0]
    for wallet in wallets[1:3]:
        await relay.ask("eth_sendBundle", bundle(market, wallet, replacementUuid="one"))
    replaced = [order.bundle_hash for order in builder.orders()]
    stranger = await relay.ask(
        "eth_cancelBundle", {"replacementUuid": "one"}, signer=ACCOUNTS[1].signer
    )
    own = await relay.ask("eth_cancelBundle", {"replacementUuid": "one"})

    assert len(replaced) == 1
    assert stranger["result"] == []
    assert replaced == own["result"]
    assert builder.orders() == ()


async def test_private_transactions_by_all_their_names(
    relay: Client, market: Market, wallets: list[Wallet]
) -> None:
    """Object and raw form answer the hash; maxBlockNumber bounds it; the sender can cancel."""
    first, second = wallets[1].sign(), wallets[2].sign()
    last = market.head.number + 3
    answers = [
        await relay.ask("eth_sendPrivateTransaction", {"tx": first.raw, "maxBlockNumber": last}),
        await relay.ask("eth_sendPrivateRawTransaction", second.raw),
    ]
    held = [(order.first_block, order.last_block) for order in market.builders[0].orders()]
    cancelled = await relay.ask("eth_cancelPrivateTransaction", {"txHash": first.hash})

    assert [first.hash, second.hash] == [answer["result"] for answer in answers]
    assert [(last - 2, last), (last - 2, last + 22)] == held
    assert cancelled["result"] is True
    assert len(market.builders[0].orders()) == 1


async def test_call_bundle_prices_without_sending(
    relay: Client, market: Market, wallets: list[Wallet]
) -> None:
    """The simulation's sums obey their identities, and nothing is kept or mined."""
    payer = wallets[1].sign(market.builders[0].fee_recipient, value=777, tip=2 * GWEI)
    request = {
        "txs": [payer.raw, wallets[2].sign(tip=GWEI).raw],
        "blockNumber": hex(market.head.number + 1),
        "stateBlockNumber": "latest",
    }

    result = (await relay.ask("eth_callBundle", request))["result"]

    fees = 21_000 * 3 * GWEI
    assert (str(fees), "777", str(fees + 777)) == (
        result["gasFees"],
        result["ethSentToCoinbase"],
        result["coinbaseDiff"],
    )
    assert str((fees + 777) // 42_000) == result["bundleGasPrice"]
    assert result["totalGasUsed"] == 42_000
    assert market.builders[0].orders() == ()


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ({"nonce": 3}, "err: nonce too low"),
        ({"nonce": 30}, "err: nonce too high"),
        ({"cap": 1000, "tip": 1}, "err: max fee per gas less than block base fee"),
        ({"value": 10**30}, "err: "),
    ],
)
async def test_call_bundle_says_what_would_be_refused(
    relay: Client,
    market: Market,
    wallets: list[Wallet],
    field: dict[str, Any],
    words: str,
) -> None:
    """What Anvil's simulation does not check is checked here, in the relays' words."""
    request = {"txs": [wallets[1].sign(**field).raw], "blockNumber": hex(market.head.number + 1)}

    answer = await relay.ask("eth_callBundle", request)

    assert answer["error"]["code"] == -32000
    assert answer["error"]["message"].startswith(words)


@pytest.mark.parametrize("state", ["pending", "0xzz", {"a": 1}, True])
async def test_a_state_that_is_no_block_is_refused(
    relay: Client, market: Market, wallets: list[Wallet], state: object
) -> None:
    """A tag other than latest, or no number at all, is a wrong parameter."""
    request = bundle(market, wallets[0], stateBlockNumber=state)

    assert -32602 == (await relay.ask("eth_callBundle", request))["error"]["code"]


@pytest.mark.parametrize(
    ("method", "params", "code", "words"),
    [
        ("eth_sendBundle", [{"txs": [], "blockNumber": "0xffffffffff"}], -32602, "txs is empty"),
        ("eth_sendBundle", [{"txs": ["0x02"], "blockNumber": "0xffffffffff"}], -32602, "decode"),
        ("eth_sendBundle", [{"txs": "0x", "blockNumber": "0xffffffffff"}], -32602, "not a list"),
        ("eth_sendBundle", [{"txs": []}], -32602, "blockNumber None"),
        ("eth_sendBundle", [{"txs": [], "blockNumber": "0xzz"}], -32602, "blockNumber '0xzz'"),
        ("eth_sendBundle", [{"txs": [], "blockNumber": "0x1"}], -32000, "sealed already"),
        ("eth_sendBundle", [], -32602, "one object"),
        (
            "eth_sendBundle",
            [{"txs": ["0x"] * 101, "blockNumber": "0xffffffffff"}],
            -32602,
            "more than 100",
        ),
        (
            "eth_sendBundle",
            [{"txs": ["0x" + "00" * 300_001], "blockNumber": "0xffffffffff"}],
            -32602,
            "more than 300000",
        ),
        ("eth_cancelBundle", [{}], -32602, "replacementUuid is missing"),
        ("eth_cancelBundle", [{"replacementUuid": "a", "uuid": "b"}], -32602, "not both"),
        ("eth_blockNumber", [], -32601, "not offered"),
    ],
)
async def test_malformed_requests_are_named(
    relay: Client, method: str, params: list[Any], code: int, words: str
) -> None:
    """Each malformed field has the documented code and a message that names it."""
    answer = await relay.ask(method, *params)

    assert code == answer["error"]["code"]
    assert words in answer["error"]["message"]


async def test_what_is_no_request_is_told_so(relay: Client) -> None:
    """Not JSON is -32700; JSON that is no request is -32600."""
    bodies = (b"{", b"[]", b'{"id": 1}')
    answers = [await relay.raw(body, header(body)) for body in bodies]

    assert [-32700, -32600, -32600] == [answer["error"]["code"] for answer in answers]


async def test_a_builder_takes_a_bounded_number_of_orders(
    market: Market, wallets: list[Wallet]
) -> None:
    """Past its limit a builder refuses instead of growing."""
    request = bundle(market, wallets[1])
    for second in range(MAX_ORDERS):
        varied = request | {"minTimestamp": second}
        await market.builders[0].handle("eth_sendBundle", [varied], OWNER)

    request["minTimestamp"] = MAX_ORDERS
    with pytest.raises(OrderError, match="too many orders"):
        await market.builders[0].handle("eth_sendBundle", [request], OWNER)
