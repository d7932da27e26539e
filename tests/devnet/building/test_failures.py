import asyncio
import contextlib
import json

import pytest

from tests.devnet.building.conftest import NEXT, Serve, builder_of, moved, signed
from toolkit.devnet.building.failures import MAX_FORCED, FailureMode, Failures
from toolkit.devnet.building.identities import bundle_hash
from toolkit.model.errors import ConfigError

SECOND = hex(102)
TAKEN = [
    FailureMode.LOST,
    FailureMode.HTTP_500_TAKEN,
    FailureMode.NULL,
    FailureMode.WRONG_HASH,
    FailureMode.NONE,
]


def bundle(block: str = NEXT) -> dict[str, object]:
    return {"txs": [signed().raw], "blockNumber": block}


@pytest.mark.parametrize(
    ("mode", "status", "words"),
    [
        (FailureMode.HTTP_500, 500, "internal server error"),
        (FailureMode.HTTP_500_TAKEN, 500, "internal server error"),
        (FailureMode.HTML, 200, "<!DOCTYPE html>"),
        (FailureMode.TEXT, 400, "bad request"),
        (FailureMode.TOO_MANY_REQUESTS, 429, "too many requests"),
        (FailureMode.NULL, 200, '"result":null'),
        (FailureMode.FORGET, 200, bundle_hash([signed().hash])),
        (FailureMode.LATE, 200, bundle_hash([signed().hash])),
    ],
)
async def test_a_failure_is_heard_as_it_is_named(
    serve: Serve, mode: FailureMode, status: int, words: str
) -> None:
    """Status and body are what such a relay sends; the next request finds it well again."""
    builder = builder_of()
    client = await serve(builder)
    builder.failures.next(mode)

    answer = await client.sent("eth_sendBundle", bundle())
    after = await client.sent("eth_sendBundle", bundle())

    assert (status, True) == (answer[0], words in answer[1])
    assert (200, bundle_hash([signed().hash])) == (
        after[0],
        json.loads(after[1])["result"]["bundleHash"],
    )


@pytest.mark.parametrize("mode", list(FailureMode))
async def test_what_is_taken_is_part_of_the_failure(serve: Serve, mode: FailureMode) -> None:
    """A lost answer and an HTTP 500 may hide a bundle that was taken; a hang takes nothing."""
    builder = builder_of()
    client = await serve(builder)
    builder.failures.next(mode)

    silent = mode in {FailureMode.HANG, FailureMode.LOST}
    with pytest.raises(TimeoutError) if silent else contextlib.nullcontext():
        async with asyncio.timeout(0.3 if silent else 30):
            await client.sent("eth_sendBundle", bundle())

    assert (mode in TAKEN) is bool(builder.orders())


async def test_a_relay_that_hangs_serves_others(serve: Serve) -> None:
    """One request without an answer holds up nobody, and ends with its client's patience."""
    builder = builder_of()
    client = await serve(builder)
    builder.failures.next("hang", method="eth_cancelBundle")
    silent = asyncio.create_task(client.sent("eth_cancelBundle", {"replacementUuid": "one"}))
    await asyncio.sleep(0)

    answers = await asyncio.gather(
        *(client.sent("eth_sendBundle", bundle(hex(block))) for block in range(101, 111))
    )
    silent.cancel()
    await asyncio.gather(silent, return_exceptions=True)

    assert [200] * 10 == [status for status, _ in answers]
    assert len(builder.orders()) == 10


async def test_a_wrong_hash_is_another_one(serve: Serve) -> None:
    """The bundle is taken, and named as none of its transactions and neither by itself."""
    builder = builder_of()
    client = await serve(builder)
    builder.failures.always = FailureMode.WRONG_HASH

    bundled = await client.ask("eth_sendBundle", bundle())
    private = await client.ask("eth_sendPrivateTransaction", {"tx": signed().raw})

    hashes = {bundled["result"]["bundleHash"], private["result"]}
    assert 2 == len(hashes - {signed().hash, bundle_hash([signed().hash])})
    assert len(builder.orders()) == 2


async def test_what_is_late_misses_the_next_block_only(serve: Serve) -> None:
    """A bundle for the next block is never there; one for the block after it is there in time."""
    builder = builder_of()
    client = await serve(builder)
    builder.failures.always = FailureMode.LATE

    await client.sent("eth_sendBundle", bundle())
    await client.sent("eth_sendBundle", bundle(SECOND))
    before, late = builder.orders(), builder.late()
    moved(builder)

    assert () == before
    assert [101, 102] == [order.first_block for order in late]
    assert [102] == [order.first_block for order in builder.orders()]
    assert builder.late() == ()


async def test_a_cancellation_may_be_late_or_forgotten_too(serve: Serve) -> None:
    """It is answered as if it had been done."""
    builder = builder_of()
    client = await serve(builder)
    wanted = bundle(SECOND) | {"replacementUuid": "one"}
    await client.sent("eth_sendBundle", wanted)
    builder.failures.next("forget")
    builder.failures.next("late")

    answers = [await client.ask("eth_cancelBundle", {"replacementUuid": "one"}) for _ in range(2)]
    held = len(builder.orders())
    moved(builder)

    assert [[bundle_hash([signed().hash])]] * 2 == [answer["result"] for answer in answers]
    assert (1, 0) == (held, len(builder.orders()))


async def test_what_is_forgotten_is_known_as_such(serve: Serve) -> None:
    """The market's truth has it until the next block."""
    builder = builder_of()
    client = await serve(builder)
    builder.failures.next("forget")

    await client.sent("eth_sendBundle", bundle())
    forgotten = builder.forgotten()
    moved(builder)

    assert [bundle_hash([signed().hash])] == [order.bundle_hash for order in forgotten]
    assert builder.forgotten() == ()


def test_failures_come_in_the_order_they_were_told() -> None:
    """Those of one method first, then those of any, then what always goes wrong."""
    failures = Failures(FailureMode.HTML)
    failures.next("null", 2)
    failures.next(FailureMode.TEXT, method="eth_sendBundle")

    drawn = [failures.draw("eth_sendBundle") for _ in range(4)]

    assert [FailureMode.TEXT, FailureMode.NULL, FailureMode.NULL, FailureMode.HTML] == drawn


def test_failures_to_come_are_bounded() -> None:
    """Too many are refused, and none of them is kept."""
    failures = Failures()
    failures.next("null", MAX_FORCED)

    with pytest.raises(ConfigError, match="set `always` instead"):
        failures.next("html")
    assert {FailureMode.NULL} == {failures.draw("any") for _ in range(MAX_FORCED)}
    assert FailureMode.NONE is failures.draw("any")


@pytest.mark.parametrize(("mode", "count"), [("explode", 1), ("null", 0), ("null", True)])
def test_failures_that_cannot_be_are_refused(mode: str, count: int) -> None:
    """No such failure, or no such number of them."""
    with pytest.raises(ConfigError, match=r"no failure|count"):
        Failures().next(mode, count)
