import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.devnet.building.conftest import (
    NEXT,
    Client,
    Serve,
    builder_of,
    header,
    request,
    signed,
)
from tests.devnet.conftest import ACCOUNTS, OWNER, Wallet
from toolkit.devnet.building.dialects import Limits, Operation
from toolkit.devnet.building.identities import bundle_hash
from toolkit.devnet.building.orders import MAX_ORDERS
from toolkit.devnet.building.relay_server import authenticate, serve_relay
from toolkit.devnet.building.sealing import Market
from toolkit.devnet.building.wire import OrderError


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


async def test_a_distant_relay_looks_at_what_it_gets_later(serve: Serve) -> None:
    """Latency lies before everything a relay does: the near one answers first."""
    far, near = await serve(builder_of(latency_ms=400)), await serve(builder_of())
    asked = {"txs": [signed().raw], "blockNumber": NEXT}
    order: list[str] = []

    async def ask(name: str, client: Client) -> None:
        await client.ask("eth_sendBundle", asked)
        order.append(name)

    await asyncio.gather(ask("far", far), ask("near", near))

    assert ["near", "far"] == order


async def test_who_asks_too_often_is_told_for_how_long(serve: Serve) -> None:
    """HTTP 429 with Retry-After beyond a row's limit, and nothing is taken; withdrawing goes on."""
    limits = Limits(per_minute={Operation.SEND_BUNDLE: 2})
    client = await serve(builder := builder_of("titan", limits=limits))
    answers = [
        await client.ask("eth_sendBundle", {"txs": [signed(nonce).raw], "blockNumber": NEXT})
        for nonce in range(2)
    ]
    body = request("eth_sendBundle", {"txs": [signed(2).raw], "blockNumber": NEXT})
    async with client.session.post(client.url, data=body) as response:
        status, pause = response.status, int(response.headers["Retry-After"])
    withdrawn = await client.ask("eth_cancelBundle", {"replacementUuid": "u"})

    assert all("result" in answer for answer in answers)
    assert 429 == status
    assert 0 < pause <= 60
    assert 200 == withdrawn["result"]
    assert 2 == len(builder.orders())
