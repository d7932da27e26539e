"""Our relay client beside what the official client sent (`make conformance` records it)."""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest

from scripts.conformance.golden import Case, agrees, load, send_ours
from toolkit.model.errors import RelayError

GOLDEN = load()
Servers = Callable[[], Awaitable[Any]]


def sent_by_official(case: Case) -> dict[str, Any]:
    (found,) = orjson.loads(case.body)["params"]
    return dict(found)


@pytest.mark.parametrize("case", GOLDEN.cases, ids=lambda case: case.name)
async def test_request_is_the_official_clients(case: Case, relay_server: Servers) -> None:
    """Equal inputs give the same method and parameters, signed so that a relay accepts them."""
    server = await relay_server()

    await send_ours(case, url=server.url, auth=GOLDEN.auth)

    (asked,) = server.requests
    assert orjson.loads(case.body)["method"] == asked["method"]
    assert agrees(case, ours=asked["params"][0], theirs=sent_by_official(case))


@pytest.mark.parametrize("case", GOLDEN.cases, ids=lambda case: case.name)
async def test_header_is_the_official_clients(case: Case) -> None:
    """For the body that it posted, we would have sent the very same signature header."""
    assert case.header == await GOLDEN.auth.header(case.body.encode())


async def test_a_difference_is_seen(relay_server: Servers) -> None:
    """A parameter more, less or other is no agreement, whether it must be exact or not."""
    server = await relay_server()
    for case in GOLDEN.cases:
        await send_ours(case, url=server.url, auth=GOLDEN.auth)
        theirs = sent_by_official(case)
        ours = server.requests[-1]["params"][0]
        for name in ours:
            assert not agrees(case, ours={**ours, name: "0x1"}, theirs=theirs)
            assert not agrees(
                case, ours={k: v for k, v in ours.items() if k != name}, theirs=theirs
            )
        assert not agrees(case, ours={**ours, "more": 1}, theirs=theirs)


def test_every_method_both_clients_have_is_recorded() -> None:
    """The recordings come from flashbots 2.0.0 and hold each method of the devnet's dialect."""
    methods = {case.method for case in GOLDEN.cases}

    assert "flashbots 2.0.0" == GOLDEN.client
    assert {
        "eth_sendBundle",
        "eth_callBundle",
        "eth_cancelBundle",
        "eth_sendPrivateTransaction",
    } == methods


async def test_refusal_leaves_no_connection_open(relay_server: Servers) -> None:
    """A call that a relay refuses raises, and closes what it opened."""
    server = await relay_server()
    server.reply = (200, '{"error": {"code": -32000, "message": "no"}}')

    with pytest.raises(RelayError, match="no"):
        await send_ours(GOLDEN.cases[0], url=server.url, auth=GOLDEN.auth)
