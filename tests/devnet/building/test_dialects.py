import json
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

import msgspec
import pytest

from tests.devnet.building.conftest import HEAD, NEXT, SIGNER, Serve, builder_of, header, signed
from tests.devnet.conftest import ACCOUNTS
from toolkit.devnet.building.dialects import (
    MAX_BUILDERS,
    PROFILES,
    BuilderProfile,
    Limits,
    Operation,
    builder_profiles,
)
from toolkit.devnet.building.failures import FailureMode
from toolkit.devnet.building.identities import bundle_hash, hash_with_block
from toolkit.devnet.building.relay_server import ANONYMOUS
from toolkit.devnet.building.wire import OrderError
from toolkit.model.errors import ConfigError

UUID_4 = "3f2c1a52-9c1b-4d6a-8a63-0c9d3cf0a111"
UUID_5 = str(uuid5(NAMESPACE_DNS, "five"))


def bundle(name: str, **fields: Any) -> tuple[str, dict[str, Any]]:
    """A bundle as this builder wants it: its method and its fields."""
    row = PROFILES[name]
    method = next(m for m, what in row.methods.items() if what is Operation.SEND_BUNDLE)
    raw = signed().raw
    common = {"txs": [raw if row.hex_prefix else raw[2:]], "blockNumber": NEXT, **fields}
    own = {common_name: name for name, common_name in row.renamed.items()}
    return method, {own.get(key, key): value for key, value in common.items()}


def body_of(name: str, method: str, fields: object) -> bytes:
    params = fields if PROFILES[name].bare_params else [fields]
    document = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
    return json.dumps(document).encode()


@pytest.mark.parametrize("name", sorted(PROFILES))
async def test_every_dialect_takes_its_own_bundle_and_answers_in_its_own_form(
    serve: Serve, name: str
) -> None:
    """The same bundle in each builder's words is one order; object, text and null answer it."""
    builder = builder_of(name)
    client = await serve(builder)
    method, fields = bundle(name)
    body = body_of(name, method, fields)
    answers = {
        "rsync": None,
        "blink": bundle_hash([signed().hash]),
        "jetbldr": {"bundleHash": hash_with_block(bundle_hash([signed().hash]), 101)},
    }
    status, text = await client.post(
        body, X_Flashbots_Signature=header(body), Authorization="account"
    )

    wanted = answers.get(name, {"bundleHash": bundle_hash([signed().hash])})
    assert (200, wanted) == (status, json.loads(text).get("result", text))
    assert [(signed().hash,)] == [
        tuple(each.hash for each in order.transactions) for order in builder.orders()
    ]
    assert builder.orders()[0].first_block == HEAD.number + 1


@pytest.mark.parametrize("name", sorted(PROFILES))
async def test_without_a_name_only_some_are_served(serve: Serve, name: str) -> None:
    """Flashbots and BuilderNet want a signature, bloXroute an account; others take anybody."""
    builder = builder_of(name)
    client = await serve(builder)

    status, text = await client.post(body_of(name, *bundle(name)))

    refused = name in {"flashbots", "buildernet", "bloxroute"}
    assert status == 200
    assert refused is ("error" in json.loads(text))
    assert ([] if refused else [ANONYMOUS]) == [order.owner for order in builder.orders()]


async def test_an_optional_signature_still_has_to_be_right(serve: Serve) -> None:
    """Who signs is the owner; a wrong signature is refused where none would have been taken."""
    builder = builder_of("titan")
    client = await serve(builder)
    method, fields = bundle("titan")

    wrong = await client.raw(body_of("titan", method, fields), f"{SIGNER.address}:0x{'11' * 65}")
    right = await client.ask(method, fields)

    assert wrong["error"]["code"] == -32600
    assert "result" in right
    assert [SIGNER.address] == [order.owner for order in builder.orders()]


@pytest.mark.parametrize("name", ["buildernet", "titan", "rsync", "beaverbuild", "blink"])
@pytest.mark.parametrize("number", [None, "0x0", "0x", "missing"])
async def test_a_block_that_is_not_named_is_the_next_one_for_some(
    name: str, number: str | None
) -> None:
    """Null, zero, an empty number and none mean the next block to them."""
    builder = builder_of(name)
    method, fields = bundle(name)
    fields["blockNumber"] = number
    if number == "missing":
        del fields["blockNumber"]

    await builder.handle(method, [fields], SIGNER.address)

    assert [HEAD.number + 1] == [order.last_block for order in builder.orders()]


@pytest.mark.parametrize("number", [{}, [], "0x0x", False])
async def test_a_block_that_is_no_number_is_no_next_one(number: object) -> None:
    """Whatever JSON has for it, it is refused by name where the block need not be named."""
    method, fields = bundle("titan", blockNumber=number)

    with pytest.raises(OrderError, match="blockNumber") as caught:
        await builder_of("titan").handle(method, [fields], SIGNER.address)

    assert -32602 == caught.value.code


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (2, ["builder-1", "builder-2"]),
        (("titan", "rsync", "titan"), ["titan", "rsync", "titan-2"]),
        ([PROFILES["titan"], "flashbots"], ["titan", "flashbots"]),
    ],
)
def test_builders_come_by_number_name_or_row(wanted: Any, names: list[str]) -> None:
    """A number means Flashbots' style; a name that comes again is numbered."""
    found = builder_profiles(wanted)

    assert names == [each.name for each in found]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (0, "builders 0 is not between 1"),
        (MAX_BUILDERS + 1, "builders 17 is not between"),
        (10**200, "201 characters"),
        ((), "builders 0 is not between"),
        (("titan",) * 17, "builders 17"),
        (("atlas",), "builders names 'atlas'; there are beaverbuild"),
        ((7,), "builders names 7"),
        ("titan", "builders is 'titan'"),
        (1.5, "builders is 1.5"),
        (True, "builders is True"),
        (("titan", msgspec.structs.replace(PROFILES["rsync"], name="titan")), "two builders"),
    ],
)
def test_builders_that_cannot_be_are_named(wanted: Any, words: str) -> None:
    """None, too many, and names that nobody has, in one line."""
    with pytest.raises(ConfigError, match=words):
        builder_profiles(wanted)


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ({"name": ""}, "name of a builder"),
        ({"share": 0}, "share of b is 0"),
        ({"share": float("nan")}, "share of b is nan"),
        ({"share": "1"}, "share of b is '1'"),
        ({"latency_ms": -1}, "latency_ms of b"),
        ({"latency_ms": 60_001}, "latency_ms of b"),
        ({"limits": Limits(per_minute={"bundle": 5})}, "no Operation"),  # type: ignore[dict-item]
        ({"limits": Limits(per_minute={Operation.SEND_BUNDLE: 0})}, "send_bundle per minute of b"),
        ({"failure": "hang"}, "failure of b is 'hang'"),
    ],
)
def test_a_row_that_cannot_be_is_refused(field: dict[str, Any], words: str) -> None:
    """What a caller may set is checked where it is set."""
    with pytest.raises(ConfigError, match=words):
        BuilderProfile(**({"name": "b"} | field))


def test_every_row_says_what_it_does() -> None:
    """Eight builders and more, each well by default, with one method for bundles."""
    assert {
        *("flashbots", "buildernet", "titan", "rsync", "beaverbuild"),
        *("mevblocker", "bloxroute", "builder0x69"),
    } <= set(PROFILES)
    for name, row in PROFILES.items():
        assert name == row.name
        assert FailureMode.NONE is row.failure
        assert 1 == [*row.methods.values()].count(Operation.SEND_BUNDLE)


@pytest.mark.parametrize("name", ["mevblocker", "blink"])
async def test_a_target_is_named_by_its_hash_where_that_is_the_custom(
    serve: Serve, name: str
) -> None:
    """`txs[0]` may be a public transaction's hash; the order then holds that transaction."""
    target = signed(account=2)
    builder = builder_of(name)
    builder.known = lambda wanted: target if wanted == target.hash else None
    client = await serve(builder)
    own = signed().raw

    found = await client.ask("eth_sendBundle", {"txs": [target.hash, own], "blockNumber": NEXT})
    lost = await client.ask("eth_sendBundle", {"txs": ["0x" + "77" * 32, own], "blockNumber": NEXT})
    second = await client.ask("eth_sendBundle", {"txs": [own, target.hash], "blockNumber": NEXT})

    assert "result" in found
    assert [(target, signed())] == [order.transactions for order in builder.orders()]
    assert (-32000, True) == (
        lost["error"]["code"],
        lost["error"]["message"].startswith("backrun not found"),
    )
    assert second["error"]["code"] == -32602


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("blink", {"droppingTxHashes": ["0x" + "11" * 32]}),
        ("mevblocker", {"refundPercent": 10}),
        ("titan", {"builders": ["titan"]}),
        ("rsync", {"uuid": UUID_4}),
        ("rsync", {"replacementNonce": 1, "replacementUuid": UUID_4}),
        ("jetbldr", {"droppingTxHashes": ["0x" + "11" * 32]}),
    ],
)
async def test_what_a_builder_does_not_offer_is_refused_by_name(
    name: str, field: dict[str, Any]
) -> None:
    """Leaving it out silently would do something else than was asked for."""
    builder = builder_of(name)
    method, fields = bundle(name, **field)

    with pytest.raises(OrderError, match=rf"{next(iter(field))} is not offered by {name}"):
        await builder.handle(method, [fields], SIGNER.address)
    assert builder.orders() == ()


@pytest.mark.parametrize(
    ("name", "field", "own"),
    [
        ("bloxroute", "txs", "transaction"),
        ("bloxroute", "replacementUuid", "uuid"),
        ("titan", "replacementNonce", "replacementSeqNumber"),
    ],
)
async def test_a_field_by_anothers_name_is_refused(name: str, field: str, own: str) -> None:
    """The error says what this builder calls it."""
    builder = builder_of(name)
    method, fields = bundle(name)

    with pytest.raises(OrderError, match=f"{field} is called {own} by {name}"):
        await builder.handle(method, [fields | {field: 1}], SIGNER.address)


@pytest.mark.parametrize("unset", [None, 0, "", []])
async def test_what_a_client_does_not_set_is_not_asked_for(unset: object) -> None:
    """Clients write null, 0 and empty lists for what they do not want."""
    builder = builder_of("blink")
    method, fields = bundle("blink", droppingTxHashes=unset, refundPercent=unset)

    await builder.handle(method, [fields], ACCOUNTS[0].address)

    assert len(builder.orders()) == 1


@pytest.mark.parametrize(
    ("name", "uuid", "words"),
    [
        ("buildernet", "one", "is no uuid"),
        ("rsync", "one", "is no uuid"),
        ("rsync", UUID_5, "not of version 4"),
        ("flashbots", "x" * 257, "256 characters"),
        ("flashbots", 7, "256 characters"),
        ("rsync", UUID_4, ""),
        ("buildernet", UUID_5, ""),
        ("titan", "one", ""),
    ],
)
async def test_uuids_have_the_form_that_a_builder_wants(
    serve: Serve, name: str, uuid: object, words: str
) -> None:
    """Any text, any uuid, or version 4 only."""
    client = await serve(builder_of(name))
    method, fields = bundle(name, replacementUuid=uuid)

    answer = await client.ask(method, fields)

    assert bool(words) is ("error" in answer)
    assert words in answer.get("error", {}).get("message", "")


async def test_bloxroute_answers_null_to_what_has_a_uuid(serve: Serve) -> None:
    """Its own names, no 0x, an object for params, null for a bundle that can be replaced."""
    builder = builder_of("bloxroute")
    client = await serve(builder)
    method, fields = bundle("bloxroute", replacementUuid=UUID_4, droppingTxHashes=[signed().hash])
    assert {"transaction", "block_number", "uuid", "dropping_hashes"} == set(fields)

    status, text = await client.post(body_of("bloxroute", method, fields), Authorization="account")
    other = await client.post(body_of("bloxroute", method, fields), Authorization="other")

    assert (200, None) == (status, json.loads(text)["result"])
    assert json.loads(other[1])["result"] is None
    assert 2 == len({order.owner for order in builder.orders()})
    assert {frozenset({signed().hash})} == {order.dropping for order in builder.orders()}


@pytest.mark.parametrize("name", ["flashbots", "bloxroute"])
async def test_raw_transactions_are_written_in_one_way(serve: Serve, name: str) -> None:
    """With 0x in front, or without, as the builder says."""
    client = await serve(builder_of(name, signature=PROFILES["rsync"].signature))
    method, fields = bundle(name)
    key = "transaction" if name == "bloxroute" else "txs"
    raw = fields[key][0]
    fields[key] = [raw[2:] if raw.startswith("0x") else "0x" + raw]

    answer = await client.post(body_of(name, method, fields))

    assert "0x" in json.loads(answer[1])["error"]["message"]
