"""What nobody should send: each has its documented error, and the market goes on."""

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest
import rlp

from tests.devnet.building.conftest import (
    HEAD,
    NEXT,
    SIGNER,
    Client,
    Serve,
    builder_of,
    header,
    request,
    signed,
)
from tests.devnet.conftest import ACCOUNTS, Wallet
from toolkit.bundles.auth import RelayAuth
from toolkit.bundles.relay import Relay
from toolkit.devnet.building.dialects import PROFILES
from toolkit.devnet.building.failures import FailureMode
from toolkit.devnet.building.identities import bundle_hash
from toolkit.devnet.building.sealing import Market
from toolkit.devnet.building.wire import OrderError
from toolkit.model.bundle import Bundle
from toolkit.model.errors import RelayRejected, RelayUnavailable

DEEP = 1_500
RAW = signed().raw
UUID = "3f2c1a52-9c1b-4d6a-8a63-0c9d3cf0a111"


def nested() -> str:
    """Lists within lists, deeper than any reader follows."""
    found = b"\xc0"
    for _ in range(DEEP):
        found = bytes(rlp.codec.length_prefix(len(found), 0xC0)) + found
    return "0x" + found.hex()


def bundle(**fields: Any) -> dict[str, Any]:
    return {"txs": [signed().raw], "blockNumber": NEXT, **fields}


BAD: list[tuple[str, list[Any], int, str]] = [
    # garbage instead of transactions
    ("eth_sendBundle", [bundle(txs=["0x"])], -32602, "unable to decode txs"),
    ("eth_sendBundle", [bundle(txs=["0x02f8"])], -32602, "unable to decode txs"),
    ("eth_sendBundle", [bundle(txs=["0xzz"])], -32602, "unable to decode txs"),
    ("eth_sendBundle", [bundle(txs=[nested()])], -32602, "unable to decode txs"),
    ("eth_sendBundle", [bundle(txs=[signed().raw[:-2]])], -32602, "unable to decode txs"),
    ("eth_sendBundle", [bundle(txs=[signed().raw[2:]])], -32602, "starts with 0x"),
    ("eth_sendBundle", [bundle(txs=["0x03" + "00" * 40])], -32602, "type 3"),
    ("eth_sendBundle", [bundle(txs=[7])], -32602, "not a list of raw transactions"),
    ("eth_sendBundle", [bundle(txs={})], -32602, "not a list of raw transactions"),
    ("eth_sendBundle", [bundle(txs=[])], -32602, "txs is empty"),
    ("eth_sendPrivateTransaction", [{"tx": "0x00"}], -32602, "unable to decode"),
    ("eth_sendPrivateTransaction", [{}], -32602, "tx is no raw transaction"),
    ("eth_sendPrivateRawTransaction", ["0x00"], -32602, "unable to decode"),
    ("eth_sendPrivateRawTransaction", [7], -32602, "one object"),
    # another chain
    ("eth_sendBundle", [bundle(txs=[signed(chain_id=5).raw])], -32000, "chain 5, this is 1"),
    ("eth_callBundle", [bundle(txs=[signed(chain_id=5).raw])], -32000, "chain 5, this is 1"),
    ("eth_sendPrivateTransaction", [{"tx": signed(chain_id=5).raw}], -32000, "chain id"),
    # too much
    ("eth_sendBundle", [bundle(txs=[signed().raw] * 101)], -32602, "101 txs are more than 100"),
    ("eth_sendBundle", [bundle(txs=["0x" + "00" * 300_001])], -32602, "300001 bytes are more"),
    ("eth_sendBundle", [bundle(revertingTxHashes=["0x" + "11" * 32] * 101)], -32602, "101 hashes"),
    # past and far blocks
    ("eth_sendBundle", [bundle(blockNumber=hex(100))], -32000, "block 100 is sealed already"),
    ("eth_sendBundle", [bundle(blockNumber="0x0")], -32000, "block 0 is sealed already"),
    ("eth_sendBundle", [bundle(blockNumber=hex(201))], -32000, "invalid inclusion: block 201"),
    ("eth_sendBundle", [bundle(blockNumber=hex(2**64 - 1))], -32000, "invalid inclusion"),
    ("eth_sendBundle", [bundle(blockNumber=hex(2**64))], -32602, "64 bits"),
    ("eth_sendBundle", [bundle(blockNumber="0x" + "f" * 9_000)], -32602, "characters)"),
    ("eth_sendBundle", [bundle(blockNumber="0x_1")], -32602, "blockNumber '0x_1'"),
    ("eth_sendBundle", [bundle(blockNumber="101")], -32602, "blockNumber '101'"),
    ("eth_sendBundle", [bundle(blockNumber=1e30)], -32602, "blockNumber 1e+30"),
    ("eth_sendBundle", [bundle(blockNumber=True)], -32602, "blockNumber True"),
    ("eth_sendBundle", [bundle(blockNumber=-1)], -32602, "blockNumber -1"),
    ("eth_sendPrivateTransaction", [{"tx": signed().raw, "maxBlockNumber": 100}], -32000, "sealed"),
    ("eth_sendPrivateTransaction", [{"tx": signed().raw, "maxBlockNumber": 201}], -32000, "ahead"),
    # other fields
    ("eth_sendBundle", [bundle(revertingTxHash=[])], -32602, "'revertingTxHash' is no field of a"),
    ("eth_sendBundle", [bundle(replacementUuid="x" * 257)], -32602, "at most 256 characters"),
    ("eth_sendBundle", [{"txs": [RAW]}], -32602, "blockNumber is missing"),
    ("eth_sendBundle", [bundle(builders={"titan": ""})], -32602, "builders is not a list of names"),
    ("eth_sendBundle", [bundle(minTimestamp="soon")], -32602, "minTimestamp 'soon'"),
    ("eth_sendBundle", [bundle(minTimestamp=2, maxTimestamp=1)], -32602, "no block fits"),
    ("eth_sendBundle", [bundle(revertingTxHashes="0x1")], -32602, "revertingTxHashes"),
    ("eth_sendBundle", [bundle(droppingTxHashes=["0x1"])], -32602, "droppingTxHashes"),
    ("eth_sendBundle", [bundle(refundPercent=100)], -32602, "not between 0 and 99"),
    ("eth_sendBundle", [bundle(refundPercent=-1)], -32602, "refundPercent -1"),
    ("eth_sendBundle", [bundle(refundRecipient="0x12")], -32602, "is not an address"),
    (
        "eth_sendBundle",
        [bundle(refundPercent=9, refundTxHashes=["0x" + "11" * 32] * 2)],
        -32602,
        "at most 1",
    ),
    ("eth_sendBundle", [bundle(delayedRefund=True)], -32602, "delayedRefund"),
    ("eth_sendBundle", [bundle(version="v3")], -32000, "unsupported bundle version"),
    ("eth_sendBundle", [bundle(builders=[1])], -32602, "builders is not a list"),
    ("eth_sendBundle", [bundle(replacementNonce=1)], -32602, "needs a replacementUuid"),
    ("eth_sendBundle", [bundle(replacementUuid="a", uuid="b")], -32602, "not both"),
    ("eth_sendBundle", [bundle(), bundle()], -32602, "one object"),
    ("eth_sendBundle", [], -32602, "one object"),
    ("eth_cancelBundle", [{}], -32602, "replacementUuid is missing"),
    ("eth_cancelBundle", ["one"], -32602, "one object"),
    ("eth_cancelPrivateTransaction", [{}], -32602, "txHash None is not a hash"),
    ("eth_cancelPrivateTransaction", [{"txHash": "0x12"}], -32602, "txHash '0x12'"),
    ("eth_sendPrivateTransaction", [{"tx": signed().raw, "preferences": 1}], -32602, "preferences"),
    ("mev_sendBundle", [{}], -32601, "'mev_sendBundle' is not offered"),
    ("eth_callBundle", [bundle(txs=[])], -32602, "txs is empty"),
    ("eth_callBundle", [bundle(timestamp="now")], -32602, "timestamp 'now'"),
    ("eth_callBundle", [bundle(stateBlockNumber={})], -32602, "stateBlockNumber {}"),
]


@pytest.mark.parametrize(("method", "params", "code", "words"), BAD)
async def test_each_has_its_code_and_one_line(
    serve: Serve, method: str, params: list[Any], code: int, words: str
) -> None:
    """HTTP 200 with the JSON-RPC code, a line that names the value, and nothing taken."""
    builder = builder_of()
    client = await serve(builder)

    status, text = await client.sent(method, *params)

    error = json.loads(text)["error"]
    assert (200, code) == (status, error["code"])
    assert words in error["message"]
    assert len(error["message"]) < 300
    assert "\n" not in error["message"]
    assert signed().raw[4:60] not in text
    assert builder.orders() == ()


@pytest.mark.realdata
async def test_the_recorded_signatures_over_the_wire(serve: Serve, data_dir: Path) -> None:
    """The 7 invalid headers are refused with -32600; the 10 valid ones are believed."""
    path = data_dir / "bundles/x_flashbots_signature_vectors.json"
    vectors = json.loads(path.read_text())["vectors"]
    client = await serve(builder_of())
    refused = []
    for vector in vectors:
        answer = await client.raw(vector["body"].encode(), vector["header"])
        error = answer.get("error", {"code": 0, "message": ""})
        refused.append(error["code"] == -32600 and "sign" in error["message"])

    assert 7 == sum(refused)
    assert [vector["valid"] for vector in vectors] == [not each for each in refused]


async def test_a_header_may_be_any_bytes(serve: Serve) -> None:
    """Whatever is in it, the answer is JSON and says what was expected."""
    client = await serve(builder_of())
    body = request("eth_sendBundle", bundle())
    good = header(body)
    chance = random.Random("headers")
    tried = ["é" * 20, ":", "0x:0x", good.replace(":", "é:"), good[:-1] + "g", good + "\u00ff"]
    for _ in range(60):
        place = chance.randrange(len(good))
        tried.append(good[:place] + chr(chance.randrange(33, 256)) + good[place + 1 :])

    answers = [await client.raw(body, each) for each in tried if each.lower() != good.lower()]

    assert {-32600} == {answer["error"]["code"] for answer in answers}


async def test_bodies_may_be_any_bytes(serve: Serve) -> None:
    """A damaged request is answered with an error or, where the damage is harmless, a result."""
    builder = builder_of(signature=PROFILES["rsync"].signature)
    client = await serve(builder)
    body = request("eth_sendBundle", bundle(replacementUuid=UUID, refundPercent=3))
    chance = random.Random("bodies")
    statuses = []
    for _ in range(200):
        damaged = bytearray(body)
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(damaged))
            damaged[place : place + chance.randint(0, 2)] = chance.randbytes(chance.randint(0, 2))
        status, text = await client.post(bytes(damaged))
        answer = json.loads(text)
        assert ("error" in answer) is not ("result" in answer)
        statuses.append(status)

    assert {200} == set(statuses)


@pytest.mark.parametrize("place", ["id", "method", "params", "blockNumber", "txs", "uuid"])
async def test_lists_may_be_deeper_than_we_can_write(serve: Serve, place: str) -> None:
    """What can be read and not written again is refused like anything else."""
    client = await serve(builder_of(signature=PROFILES["rsync"].signature))
    deep = "[" * 1000 + "]" * 1000
    fields = {"txs": json.dumps([signed().raw]), "blockNumber": f'"{NEXT}"'}
    fields |= {place: deep} if place in {"blockNumber", "txs", "uuid"} else {}
    bundled = "{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}"
    asked = {"id": "1", "method": '"eth_sendBundle"', "params": f"[{bundled}]"}
    asked |= {place: deep} if place in asked else {}
    body = "{" + ",".join(f'"{name}":{value}' for name, value in asked.items()) + "}"

    status, text = await client.post(body.encode())

    assert 200 == status
    assert (place == "id") is ("result" in json.loads(text))


@pytest.mark.parametrize(
    ("http", "headers", "status"),
    [
        ("GET", {}, 405),
        ("PUT", {}, 405),
        ("POST", {"Content-Type": "text/plain"}, 415),
        ("POST", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ("POST", {"Content-Encoding": "gzip"}, 400),
    ],
)
async def test_what_is_no_json_rpc_has_its_http_status(
    serve: Serve, http: str, headers: dict[str, str], status: int
) -> None:
    """Other verbs, other content and what cannot be unpacked never reach the builder."""
    client = await serve(builder_of())
    body = b"" if http == "GET" else request("eth_sendBundle", bundle())

    async with client.session.request(http, client.url, data=body, headers=headers) as response:
        assert status == response.status


async def test_methods_that_died_are_forbidden(serve: Serve) -> None:
    """The statistics of Flashbots' relay are answered with HTTP 403 since June 2025."""
    client = await serve(builder_of())

    status, _ = await client.sent("flashbots_getBundleStatsV2", {"bundleHash": "0x"})

    assert status == 403


async def test_an_origin_has_a_limit(serve: Serve) -> None:
    """More than 255 characters of it are refused."""
    client = await serve(builder_of())
    body = request("eth_sendBundle", bundle())

    _, text = await client.post(
        body, X_Flashbots_Signature=header(body), X_Flashbots_Origin="o" * 256
    )

    assert json.loads(text)["error"]["code"] == -32600


async def test_a_simulation_of_garbage_is_refused_outside_json_rpc(serve: Serve) -> None:
    """Flashbots answers HTTP 400 and a body of its own; others stay within JSON-RPC."""
    asked = bundle(txs=["0x02ff"])
    flashbots = await (await serve(builder_of())).sent("eth_callBundle", asked)
    other = await (await serve(builder_of(plain_decode_error=False))).sent("eth_callBundle", asked)

    assert (400, {"error": "unable to decode txs"}) == (flashbots[0], json.loads(flashbots[1]))
    assert (200, -32602) == (other[0], json.loads(other[1])["error"]["code"])


async def test_a_builder_without_a_node_says_so(serve: Serve) -> None:
    """A simulation that cannot be made is an internal error, not a broken server."""
    builder = builder_of()
    client = await serve(builder)

    status, text = await client.sent("eth_callBundle", bundle())
    await builder.rpc.close()

    assert (200, -32603) == (status, json.loads(text)["error"]["code"])


@pytest.mark.parametrize("mode", [each for each in FailureMode if each is not FailureMode.NONE])
async def test_our_client_hears_each_failure_as_what_it_is(serve: Serve, mode: FailureMode) -> None:
    """No answer, HTML and HTTP 500 leave it open; 400 and 429 are a refusal; null is an answer."""
    builder = builder_of()
    client = await serve(builder)
    one = signed()
    relay = Relay(client.url, auth=RelayAuth(SIGNER), timeout_s=0.5)
    builder.failures.always = mode
    sent = Bundle(transactions=(one.raw,), hashes=(one.hash,), target_block=101)
    heard: object
    try:
        heard = await relay.send_bundle(sent)
    except (RelayRejected, RelayUnavailable) as error:
        heard = type(error)
    finally:
        await relay.close()

    named = bundle_hash([one.hash])
    wanted = {
        FailureMode.HANG: RelayUnavailable,
        FailureMode.LOST: RelayUnavailable,
        FailureMode.HTTP_500: RelayUnavailable,
        FailureMode.HTTP_500_TAKEN: RelayUnavailable,
        FailureMode.HTML: RelayUnavailable,
        FailureMode.TEXT: RelayRejected,
        FailureMode.TOO_MANY_REQUESTS: RelayRejected,
        FailureMode.NULL: None,
        FailureMode.FORGET: named,
        FailureMode.LATE: named,
    }
    assert heard == wanted.get(mode, heard)
    assert (mode is FailureMode.WRONG_HASH) is (mode not in wanted)


def any_value(dice: random.Random, depth: int = 0) -> object:
    """What JSON can hold, likely values of bundles among it."""
    plain = (
        *(None, True, False, 0, -1, 1e30, 2**63, "", "0x", "0x0", NEXT, "0x" + "ab" * 32),
        *("0x" + "cd" * 20, UUID, "é", RAW, RAW[2:], "v2", 100, 101, 3),
    )
    kind = dice.random()
    if depth > 2 or kind < 0.6:
        return dice.choice(plain)
    if kind < 0.85:
        return [any_value(dice, depth + 1) for _ in range(dice.randrange(4))]
    return any_fields(dice, depth + 1)


def any_fields(dice: random.Random, depth: int = 0) -> dict[str, object]:
    names = (
        *("txs", "blockNumber", "minTimestamp", "maxTimestamp", "revertingTxHashes", "uuid"),
        *("droppingTxHashes", "replacementUuid", "replacementNonce", "refundPercent", "builders"),
        *("refundRecipient", "refundTxHashes", "version", "tx", "txHash", "maxBlockNumber"),
        *("preferences", "transaction", "block_number", "stateBlockNumber", "timestamp"),
        *("replacementSeqNumber", "signingAddress", "delayedRefund"),
    )
    fields = {name: any_value(dice, depth) for name in dice.sample(names, dice.randrange(6))}
    if depth == 0 and dice.random() < 0.7:
        fields |= dice.choice([{"txs": [RAW], "blockNumber": NEXT}, {"tx": RAW}])
    if depth == 0 and dice.random() < 0.1:
        fields = {"transaction": [RAW[2:]], "block_number": NEXT}
    return fields


@pytest.mark.parametrize("name", sorted(PROFILES))
async def test_no_request_breaks_a_builder(name: str) -> None:
    """Whatever JSON is asked with, a builder answers what can be written, or refuses."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    builder = builder_of(name)
    builder.known = lambda wanted: signed() if wanted == signed().hash else None
    methods = [m for m, what in builder.profile.methods.items() if what.value != "call_bundle"]
    taken = 0
    for _ in range(300):
        params = dice.choice([[any_fields(dice)], [any_fields(dice)], any_fields(dice), [], 7])
        try:
            answer = await builder.handle(dice.choice(methods), params, SIGNER.address)
        except OrderError as error:
            written = json.dumps({"code": error.code, "message": str(error)})
            assert len(written) < 600, f"seed {seed}"
        else:
            json.dumps(answer)
            taken += 1
        for order in builder.orders():
            assert order.last_block > HEAD.number, f"seed {seed}"

    assert taken, f"seed {seed}"


async def test_the_market_goes_on_after_all_of_it(
    serve: Serve, market: Market, wallets: list[Wallet]
) -> None:
    """Bad requests, a hanging client and foreign cancellations cost a good bundle nothing."""
    builder = market.builders[0]
    builder.chain_id = 1
    market.builders = (builder,)
    client = await serve(builder)
    good = wallets[1].sign()
    wanted = {"txs": [good.raw], "blockNumber": hex(market.head.number + 1)}
    await client.ask("eth_sendBundle", wanted | {"replacementUuid": "mine"})
    builder.failures.next("hang", method="eth_callBundle")
    hanging = asyncio.create_task(client.sent("eth_callBundle", bundle()))
    for method, params, _, _ in BAD:
        await client.sent(method, *params)
    await client.ask("eth_cancelBundle", {"replacementUuid": "mine"}, signer=ACCOUNTS[2].signer)
    await _bad_for_this_market(client, market, wallets)

    await market.seal()
    after = await client.ask("eth_cancelBundle", {"replacementUuid": "mine"})
    hanging.cancel()
    await asyncio.gather(hanging, return_exceptions=True)

    included = [each for each in market.slots[-1].considered if each.included]
    assert [(good.hash,)] == [each.transactions for each in included]
    assert after["result"] == []


async def _bad_for_this_market(client: Client, market: Market, wallets: list[Wallet]) -> None:
    """What is well written and cannot be mined: the builder takes it and leaves it out."""
    number = hex(market.head.number + 1)
    for bad in (
        wallets[2].sign(nonce=3),
        wallets[2].sign(nonce=99),
        wallets[2].sign(value=10**30),
        wallets[2].sign(gas=2**60),
        wallets[2].sign(cap=1, tip=1),
    ):
        answer = await client.ask("eth_sendBundle", {"txs": [bad.raw], "blockNumber": number})
        assert "result" in answer
