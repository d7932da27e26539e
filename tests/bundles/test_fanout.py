import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from toolkit.bundles.auth import RelayAuth
from toolkit.bundles.fanout import answers_of, answers_so_far, fan_out, first_acceptance
from toolkit.bundles.profiles import PROFILES
from toolkit.bundles.relay import Relay
from toolkit.chain.signer import LocalSigner
from toolkit.model.bundle import Bundle
from toolkit.model.tx import SignedTransaction

Servers = Callable[[], Awaitable[Any]]
Sign = Callable[..., SignedTransaction]
Make = Callable[..., Bundle]
EIGHT = [name for name, row in PROFILES.items() if row.host]


class CountingSigner(LocalSigner):
    """Counts what it signs."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.count = 0

    async def sign_message(self, text: bytes) -> str:
        self.count += 1
        return self.sign_message_now(text)


@pytest.fixture
async def eight(relay_server: Servers) -> Any:
    """A relay of every dialect, each with a server that takes everything; and the key."""
    signer = CountingSigner("0x" + "11" * 32)
    servers, relays = [], []
    for name in EIGHT:
        server = await relay_server()
        server.reply = (200, '{"result": null}')
        servers.append(server)
        relays.append(
            Relay(
                server.url,
                name=name,
                auth=RelayAuth(signer),
                authorization="account",
                timeout_s=3600,
            )
        )
    yield servers, relays, signer
    for relay in relays:
        await relay.close()


async def test_every_dialect_gets_its_own_words(
    eight: Any, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """One bundle reaches eight builders, each in its dialect; a body is signed once a dialect."""
    servers, relays, key = eight
    bundle = bundle_of(transfer(signer), transfer(signer, nonce=1))

    tasks = await fan_out(relays, bundle, newest_head=lambda: 4)
    answers = await asyncio.gather(*tasks)

    assert [(name, True, 4) for name in EIGHT] == [
        (one.relay, one.accepted, one.head_number) for one in answers
    ]
    # Flashbots, BuilderNet, Titan and builder0x69 look at signatures.
    assert 4 == sum(bool(server.headers[0]) for server in servers)
    assert 4 == key.count
    methods = [server.requests[0]["method"] for server in servers]
    assert 7 == methods.count("eth_sendBundle")


async def test_a_hanging_endpoint_holds_up_nobody(
    eight: Any, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """With one that never answers, and an hour to do so, the others' answers are all there."""
    servers, relays, _ = eight
    servers[0].reply = None
    bundle = bundle_of(transfer(signer), transfer(signer, nonce=1))

    tasks = await fan_out(relays, bundle, newest_head=lambda: 4)
    await first_acceptance(tasks)
    await asyncio.gather(*tasks[1:])
    early = answers_so_far(tasks)
    late = await answers_of(tasks, relays=relays, newest_head=9)

    assert EIGHT[1:] == [one.relay for one in early]
    assert [False, *[True] * 7] == [one.accepted for one in late]
    assert f"{EIGHT[0]} gave no answer before block 9" == late[0].why
    assert [True, *[False] * 7] == [one.unsure for one in late]


@pytest.mark.parametrize(
    ("reply", "unsure"), [((500, "oops"), True), ((200, "<html>"), True), ((400, "no"), False)]
)
async def test_what_is_not_told_is_unsure(
    relay_server: Servers,
    signer: LocalSigner,
    transfer: Sign,
    bundle_of: Make,
    reply: tuple[int, str],
    unsure: bool,  # noqa: FBT001 - a parameter of the table above
) -> None:
    """A refusal is certain; where nothing is told, the relay may have the bundle."""
    server = await relay_server()
    server.reply = reply
    relay = Relay(server.url, auth=RelayAuth(signer))

    (task,) = await fan_out([relay], bundle_of(transfer(signer)), newest_head=lambda: 4)
    answer = await task
    await relay.close()

    assert (False, unsure) == (answer.accepted, answer.unsure)


async def test_a_refusal_is_in_each_relays_own_name(
    relay_server: Servers, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """Two relays of one dialect that cannot take a bundle each say so themselves, unasked."""
    servers = [await relay_server() for _ in range(2)]
    relays = [
        Relay(server.url, name=name, auth=RelayAuth(signer))
        for server, name in zip(servers, ("titan", "titan-2"), strict=True)
    ]

    tasks = await fan_out(
        relays, bundle_of(transfer(signer), builders=("rsync",)), newest_head=lambda: 4
    )
    answers = await asyncio.gather(*tasks)
    for relay in relays:
        await relay.close()

    assert ["titan does", "titan-2 do"] == [one.why[:10] for one in answers]
    assert [] == servers[0].requests + servers[1].requests


async def test_a_head_may_end_what_is_still_being_sent(
    eight: Any, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """Who waits for the first word learns that all were given up, and is not cancelled itself."""
    servers, relays, _ = eight
    for server in servers:
        server.reply = None
    bundle = bundle_of(transfer(signer), transfer(signer, nonce=1))
    tasks = await fan_out(relays, bundle, newest_head=lambda: 4)

    waiting = asyncio.create_task(first_acceptance(tasks))
    await asyncio.sleep(0)
    await answers_of(tasks, relays=relays, newest_head=5)
    await waiting

    assert not waiting.cancelled()
