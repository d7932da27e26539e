import asyncio
import sys

import pytest

from toolkit.chain import wire
from toolkit.model.errors import ConfigError, NodeError, NodeTimeout, NodeUnavailable, RpcError


@pytest.mark.parametrize(
    "method",
    [
        "eth_sendRawTransaction",
        "eth_sendTransaction",
        "eth_sendBundle",
        "eth_sendPrivateTransaction",
        "evm_mine",
        "anvil_mine",
        "eth_getFilterChanges",
        "eth_subscribe",
        "eth_unheardOf",
    ],
)
def test_what_may_have_an_effect_is_not_idempotent(method: str) -> None:
    """Sends, mining, filters and names we do not know are never asked twice."""
    assert not wire.is_idempotent(method)


def test_addresses_are_shown_without_secrets() -> None:
    """User, password, path and query may hold keys and stay out of every text."""
    shown = wire.public_url("https://user:pass@node.example:8443/v3/apikey?token=abc")

    assert "https://node.example:8443" == shown


def test_batches_are_cut_by_items_and_by_bytes() -> None:
    """At most 1,000 items and 512 KiB a batch, order kept, an oversized item alone."""
    small = [b"x"] * 2500
    large = [b"y" * (300 * 1024)] * 3

    assert [1000, 1000, 500] == [len(chunk) for chunk in wire.chunks(small)]
    assert [1, 1, 1] == [len(chunk) for chunk in wire.chunks(large)]
    assert [1] == [len(chunk) for chunk in wire.chunks([b"z" * 1024 * 1024])]
    assert [] == list(wire.chunks([]))


def test_an_integer_above_64_bits_is_a_clear_error() -> None:
    """JSON-RPC quantities are hex strings; a raw big integer is refused with the method's name."""
    with pytest.raises(ConfigError, match="eth_call"):
        wire.encode(("eth_call", [2**70]), 1)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"error": {"code": -1, "message": "no", "data": "0x1"}}, "no"),
        ({"error": "plain words"}, "plain words"),
        ({"error": {"weird": 1}}, "weird"),
        ({}, "neither result nor error"),
        ([], "not a JSON-RPC object"),
    ],
)
def test_every_shape_of_error_becomes_an_rpc_error(answer: object, message: str) -> None:
    """However a node writes its error, the text survives."""
    error = wire.outcome(answer)

    assert isinstance(error, RpcError)
    assert message in error.message


def test_an_error_too_deep_to_be_written_is_one_line() -> None:
    """Lists within lists, which JSON may have deeper than Python can write."""
    deepest = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000)  # as Python has it; some libraries raise it
    try:
        found = wire.outcome(wire.decode(f'{{"error": {"[" * 1_020}{"]" * 1_020}}}', "a node"))
    finally:
        sys.setrecursionlimit(deepest)

    assert isinstance(found, RpcError)
    assert "too deep to be written" in str(found)


def test_batch_answers_are_matched_by_number() -> None:
    """Order does not matter, and an item left out is an error at its own place."""
    answers = [{"id": 3, "result": "c"}, {"id": 1, "result": "a"}]

    first, second, third = wire.by_number(answers, [1, 2, 3])

    assert ("a", "c") == (first, third)
    assert isinstance(second, RpcError)


def test_a_batch_refused_as_a_whole_raises() -> None:
    """One error object for a whole batch is not an item's error."""
    with pytest.raises(RpcError, match="too large"):
        wire.by_number({"id": None, "error": {"code": -32600, "message": "too large"}}, [1, 2])
    with pytest.raises(NodeError):
        wire.by_number("nonsense", [1])


async def test_attempts_are_counted_and_bounded() -> None:
    """`within` gives the last error after exactly `attempts` tries."""
    tries = 0

    async def once() -> int:
        nonlocal tries
        tries += 1
        raise NodeUnavailable("gone")

    with pytest.raises(NodeUnavailable):
        await wire.within(once, attempts=3, timeout_s=10, what="it")
    assert 3 == tries


async def test_the_deadline_spans_all_attempts() -> None:
    """A call that never answers ends at its deadline as NodeTimeout, which is a TimeoutError."""

    async def never() -> int:
        await asyncio.Event().wait()
        return 0

    with pytest.raises(NodeTimeout, match=r"no answer to it within 0\.01 s") as caught:
        await wire.within(never, attempts=3, timeout_s=0.01, what="it")
    assert isinstance(caught.value, TimeoutError)
