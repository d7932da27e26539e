"""Our relay client beside what the official clients sent (`make conformance` records them)."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import orjson
import pytest

from scripts.conformance.golden import CLIENTS, Case, Golden, agrees, load, send_ours
from toolkit.bundles.flashbots import Flashbots
from toolkit.bundles.relay import Relay
from toolkit.model.errors import RelayError
from toolkit.session import connect

GOLDEN = {name: load(name) for name in CLIENTS}
EACH = [(golden, case) for golden in GOLDEN.values() for case in golden.cases]
NAMES = [f"{name}: {case.name}" for name, golden in GOLDEN.items() for case in golden.cases]
each_case = pytest.mark.parametrize(("golden", "case"), EACH, ids=NAMES)
Servers = Callable[[], Awaitable[Any]]


@each_case
async def test_request_is_the_official_clients(
    golden: Golden, case: Case, relay_server: Servers
) -> None:
    """Equal inputs give the same body, signed so that a relay accepts it."""
    server = await relay_server()

    await send_ours(case, url=server.url, auth=golden.auth)

    (asked,) = server.requests
    assert case.method == asked["method"]
    assert agrees(case, ours=asked, theirs=orjson.loads(case.body))


@each_case
async def test_header_is_the_official_clients(golden: Golden, case: Case) -> None:
    """For the body that it posted, we would have sent the very same signature header."""
    assert case.header == await golden.auth.header(case.body.encode())


@each_case
async def test_a_difference_is_seen(golden: Golden, case: Case, relay_server: Servers) -> None:
    """A parameter more, less or other is no agreement, whether it must be exact or not."""
    server = await relay_server()
    await send_ours(case, url=server.url, auth=golden.auth)
    (asked,) = server.requests
    (params,) = asked["params"]
    others = [{**params, name: "0x1"} for name in params]
    others += [{k: v for k, v in params.items() if k != name} for name in params]
    others += [{**params, "more": 1}]

    theirs = orjson.loads(case.body)
    assert not any(agrees(case, ours={**asked, "params": [p]}, theirs=theirs) for p in others)
    assert not agrees(case, ours={**asked, "method": "eth_call"}, theirs=theirs)
    assert not agrees(case, ours={**asked, "more": 1}, theirs=theirs)


@pytest.mark.parametrize("golden", GOLDEN.values(), ids=GOLDEN)
async def test_ported_script_sends_the_official_clients_bodies(
    golden: Golden, relay_server: Servers, chain: Any
) -> None:
    """The same calls on `Flashbots` give the same bodies again, and nothing beside them."""
    server = await relay_server()
    relay = Relay(server.url, auth=golden.auth)
    async with connect(chain.node.rpc.url, relays=[relay]) as session:
        client = Flashbots(session, guards_waived=True)
        for case in golden.cases:
            await call_as_a_script(client, case)

    for case, asked in zip(golden.cases, server.requests, strict=True):
        assert agrees(case, ours=asked, theirs=orjson.loads(case.body)), case.name


async def call_as_a_script(client: Flashbots, case: Case) -> None:
    given = case.inputs
    if case.method == "eth_sendBundle":
        await client.send_raw_bundle(given["transactions"], given["block"], given["options"])
    elif case.method == "eth_callBundle":
        state, at = given["state_block"], given["timestamp"]
        state = hex(state) if isinstance(state, int) else state
        await client.call_bundle(given["transactions"], hex(given["block"]), state, at)
    elif case.method == "eth_cancelBundle":
        await client.cancel_bundles(given["uuid"])
    elif case.method == "eth_cancelPrivateTransaction":
        await client.cancel_private_transaction(given["tx_hash"])
    else:
        entry = {"signed_transaction": given["transactions"][0]}
        await client.send_private_transaction(entry, given["max_block"])


def test_every_method_both_clients_have_is_recorded() -> None:
    """The recordings come from both official clients and hold each of their relay methods."""
    assert {
        "flashbots": "flashbots 2.0.0",
        "ethers": "@flashbots/ethers-provider-bundle 1.0.0",
    } == {name: golden.client for name, golden in GOLDEN.items()}
    for golden in GOLDEN.values():
        assert {
            "eth_sendBundle",
            "eth_callBundle",
            "eth_cancelBundle",
            "eth_sendPrivateTransaction",
            "eth_cancelPrivateTransaction",
        } == {case.method for case in golden.cases}


def test_only_what_the_relays_own_page_forbids_is_excused() -> None:
    """All bodies agree exactly, but for the Python client's empty options and for block numbers
    of private transactions that are no hex."""
    excused = {
        name: [case.name for case in golden.cases if not case.exact]
        for name, golden in GOLDEN.items()
    }

    assert {
        "flashbots": ["a bundle without options", "a private transaction"],
        "ethers": ["a private transaction"],
    } == excused


def test_equal_inputs_are_equal_for_both_clients() -> None:
    """A case of both clients has the same inputs, so that their bodies can be compared as well."""
    first, second = (
        {case.name: case.inputs for case in golden.cases} for golden in GOLDEN.values()
    )
    shared = first.keys() & second.keys()

    assert len(GOLDEN["flashbots"].cases) == len(shared)
    assert {name: first[name] for name in shared} == {name: second[name] for name in shared}


async def test_refusal_leaves_no_connection_open(relay_server: Servers) -> None:
    """A call that a relay refuses raises, and closes what it opened."""
    server, golden = await relay_server(), GOLDEN["flashbots"]
    server.reply = (200, '{"error": {"code": -32000, "message": "no"}}')

    with pytest.raises(RelayError, match="no"):
        await send_ours(golden.cases[0], url=server.url, auth=golden.auth)


async def test_a_changed_byte_changes_the_header() -> None:
    """The recorded header is of exactly the recorded bytes."""
    golden = GOLDEN["ethers"]
    case = msgspec.structs.replace(golden.cases[0], body=golden.cases[0].body + " ")

    assert case.header != await golden.auth.header(case.body.encode())
