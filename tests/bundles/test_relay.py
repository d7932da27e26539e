import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from toolkit.bundles.auth import RelayAuth
from toolkit.bundles.hashes import bundle_hash
from toolkit.bundles.limits import Rate, Rates
from toolkit.bundles.profiles import PROFILES, Dialect
from toolkit.bundles.relay import Relay
from toolkit.chain.signer import LocalSigner
from toolkit.model.bundle import Bundle
from toolkit.model.chain import Hash
from toolkit.model.errors import ConfigError, RelayRejected, RelayUnavailable, SignerError
from toolkit.model.tx import Attempt, Exposure, SignedTransaction

Servers = Callable[[], Awaitable[Any]]
Sign = Callable[..., SignedTransaction]
Make = Callable[..., Bundle]
CANCELLED = "0x" + "cd" * 32


def open_relay(server: Any, signer: LocalSigner, **fields: Any) -> Relay:
    filled: dict[str, Any] = {"name": "fake", "timeout_s": 5} | fields
    return Relay(server.url, auth=RelayAuth(signer), **filled)


async def test_bundle_is_taken_and_named(
    relay_server: Servers, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """A relay that checks signatures and hashes itself takes the bundle and names it as we do."""
    server = await relay_server()
    relay = open_relay(server, signer)
    bundle = bundle_of(transfer(signer), transfer(signer, nonce=1), target_block=9)

    named = await relay.send_bundle(bundle)
    await relay.close()

    assert bundle_hash(bundle.hashes) == named
    assert [{"txs": list(bundle.transactions), "blockNumber": "0x9"}] == server.bundles


async def test_parallel_sends_each_report_their_own_bundle(
    relay_server: Servers, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """Of 200 sends at once, each returns the hash of the bundle it was given."""
    server = await relay_server()
    relay = open_relay(server, signer)
    bundles = [bundle_of(transfer(signer, nonce=n)) for n in range(200)]

    named = await asyncio.gather(*(relay.send_bundle(bundle) for bundle in bundles))
    await relay.close()

    assert [bundle_hash(bundle.hashes) for bundle in bundles] == named


async def test_other_methods_follow_the_dialect(
    relay_server: Servers, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """Simulation, cancellation and private transactions go out as the documentation writes them."""
    server = await relay_server()
    relay = open_relay(server, signer)
    one = transfer(signer)

    simulated = await relay.call_bundle(bundle_of(one), state_block=16, timestamp=7)
    await relay.cancel_bundle("some-uuid")
    sent = await relay.send_private_transaction(one.raw, max_block=255)
    await relay.send(Attempt(request_id="r", number=0, signed=one, since_block=5), target_block=5)
    await relay.close()

    assert {"method": "eth_callBundle"} == simulated
    assert one.hash == sent
    assert [
        {"txs": [one.raw], "blockNumber": "0x1", "stateBlockNumber": "0x10", "timestamp": 7},
        {"replacementUuid": "some-uuid"},
        {"tx": one.raw, "maxBlockNumber": "0xff"},
        {"tx": one.raw, "maxBlockNumber": "0x5"},
    ] == [asked["params"][0] for asked in server.requests]
    assert Exposure.PRIVATE == relay.exposure


async def test_private_transaction_is_named_where_the_relay_does_not(
    relay_server: Servers, signer: LocalSigner, transfer: Sign
) -> None:
    """A relay that answers null has taken the transaction; its hash is computed here."""
    server = await relay_server()
    server.reply = (200, '{"result": null}')
    relay = open_relay(server, signer)
    one = transfer(signer)

    sent = await relay.send_private_transaction(one.raw, max_block=1)
    await relay.close()

    assert one.hash == sent


@pytest.mark.parametrize("raw", ["0xzz", "02f8", "", None, 7])
async def test_what_is_no_hex_is_not_sent(
    relay_server: Servers, signer: LocalSigner, raw: Any
) -> None:
    """Bytes that are not even hex, and a uuid that is no text, are one line and no request."""
    server = await relay_server()
    relay = open_relay(server, signer)

    with pytest.raises(ConfigError, match="raw transaction is not 0x hex"):
        await relay.send_private_transaction(raw, max_block=1)
    with pytest.raises(ConfigError, match="replacement uuid is 7; give a text"):
        await relay.cancel_bundle(7)  # type: ignore[arg-type]
    await relay.close()

    assert [] == server.requests


async def test_a_relay_names_no_transaction_but_ours(
    relay_server: Servers, signer: LocalSigner, transfer: Sign
) -> None:
    """A relay that answers with another transaction's hash does not change what ours is called."""
    server = await relay_server()
    server.reply = (200, '{"result": "0x' + "ab" * 32 + '"}')
    relay = open_relay(server, signer)
    one = transfer(signer)

    sent = await relay.send_private_transaction(one.raw, max_block=1)
    await relay.close()

    assert one.hash == sent


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("200", None),
        ("null", None),
        ('{"bundleHashes": 1}', None),
        ("true", None),
        ("false", ()),
        ('{"error": "unknown uuid"}', ()),
        ("[]", ()),
        (f'["0x{"ab" * 32}", {{"bundleHash": "0x{"CD" * 32}"}}, 7]', ("0x" + "ab" * 32, CANCELLED)),
    ],
)
async def test_cancellation_tells_what_it_withdrew(
    relay_server: Servers, signer: LocalSigner, answer: str, expected: tuple[str, ...] | None
) -> None:
    """A list of hashes is what was withdrawn, a no within a result nothing; another answer does
    not say."""
    server = await relay_server()
    server.reply = (200, f'{{"result": {answer}}}')
    relay = open_relay(server, signer)

    withdrawn = await relay.cancel_bundle("u")
    await relay.close()

    assert expected == withdrawn


async def test_cancellation_says_what_the_newest_bundle_said(
    relay_server: Servers, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """An empty bundle that cancels has the block of the uuid's newest bundle and a number above
    all of its bundles, unless others are given."""
    server = await relay_server()
    server.reply = (200, "null")
    relay = open_relay(server, signer, profile=PROFILES["buildernet"])
    uuid = "6f1f4a9e-5d54-4d8c-8f1e-0c6b4a5d2e11"
    for block, nonce in ((7, 5), (8, 4)):
        bundle = bundle_of(
            transfer(signer), target_block=block, replacement_uuid=uuid, replacement_nonce=nonce
        )
        await relay.send_bundle(bundle)

    await relay.cancel_bundle(uuid)
    await relay.cancel_bundle(uuid, target_block=9, replacement_nonce=9)
    await relay.cancel_bundle(uuid[:-1] + "2")
    await relay.close()

    empty = {"txs": [], "replacementUuid": uuid}
    assert [
        empty | {"blockNumber": "0x8", "replacementNonce": 6},
        empty | {"blockNumber": "0x9", "replacementNonce": 9},
        empty | {"replacementUuid": uuid[:-1] + "2"},
    ] == [asked["params"][0] for asked in server.requests[2:]]


async def test_only_the_newest_uuids_are_remembered(
    relay_server: Servers,
    signer: LocalSigner,
    transfer: Sign,
    bundle_of: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What cancellations will say is kept of so many uuids only, the last ones sent."""
    monkeypatch.setattr("toolkit.bundles.relay._REMEMBERED_UUIDS", 2)
    server = await relay_server()
    relay = open_relay(server, signer)
    for uuid in ("a", "b", "a", "c"):
        await relay.send_bundle(bundle_of(transfer(signer), replacement_uuid=uuid))
    await relay.close()

    assert ["a", "c"] == list(relay._newest)


@pytest.mark.parametrize(
    ("answer", "expected"), [("true", True), ("false", False), ("null", False)]
)
async def test_private_transaction_is_taken_back(
    relay_server: Servers,
    signer: LocalSigner,
    answer: str,
    expected: bool,  # noqa: FBT001 - a parameter of the table above
) -> None:
    """Only a relay that says so has taken a transaction back."""
    server = await relay_server()
    server.reply = (200, f'{{"result": {answer}}}')
    relay = open_relay(server, signer)

    taken = await relay.cancel_private_transaction(Hash("0x" + "ab" * 32))
    await relay.close()

    assert expected is taken
    assert ["eth_cancelPrivateTransaction"] == [one["method"] for one in server.requests]


async def test_delegating_transactions_go_in_bundles(
    relay_server: Servers, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """A transaction of type 4 (EIP-7702) is sent and named as any other."""
    server = await relay_server()
    relay = open_relay(server, signer)
    grant = signer.sign_authorization(chain_id=1, address=signer.address, nonce=1)
    bundle = bundle_of(transfer(signer, type=4, authorization_list=(grant,)))

    named = await relay.send_bundle(bundle)
    await relay.close()

    assert bundle_hash(bundle.hashes) == named
    assert server.bundles[0]["txs"][0].startswith("0x04")


async def test_more_than_its_limit_is_not_sent(
    relay_server: Servers, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """What a relay's limit has no room for is refused before it is sent, and cancellations go."""
    server = await relay_server()
    hour = Rates(bundles=Rate(requests=8, seconds=3600), cancels=Rate(requests=8, seconds=3600))
    relay = open_relay(server, signer, rates=hour)
    bundle = bundle_of(transfer(signer))

    answers = await asyncio.gather(
        *(relay.send_bundle(bundle) for _ in range(9)), return_exceptions=True
    )
    await relay.cancel_bundle("u")
    await relay.close()

    refused = [one for one in answers if isinstance(one, RelayRejected)]
    assert 4 == len(server.bundles)
    assert 5 == len(refused)
    assert re.match(
        r"fake takes no more bundles for (900|89\d)\.\d s, nothing was", str(refused[0])
    )
    assert "eth_cancelBundle" == server.requests[-1]["method"]


async def test_a_short_wait_is_waited(
    relay_server: Servers, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """A turn that comes in time for the request is waited for, instead of refused."""
    server = await relay_server()
    relay = open_relay(server, signer, rates=Rates(bundles=Rate(requests=4, seconds=0.2)))
    bundle = bundle_of(transfer(signer))

    await asyncio.gather(*(relay.send_bundle(bundle) for _ in range(6)))
    await relay.close()

    assert 6 == len(server.bundles)


@pytest.mark.parametrize(
    ("header", "pause"),
    [
        ({"Retry-After": "2000"}, "2000|1999"),
        ({}, "3000|2999"),
        ({"Retry-After": "9" * 18}, "3600|3599"),
    ],
)
async def test_a_relay_that_asks_for_a_pause_gets_it(
    relay_server: Servers,
    signer: LocalSigner,
    transfer: Sign,
    bundle_of: Make,
    header: dict[str, str],
    pause: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After HTTP 429 nothing of that purpose goes out until the pause is over, an hour at most."""
    monkeypatch.setattr("toolkit.bundles.relay._PAUSE_S", 3000.0)
    server = await relay_server()
    server.reply, server.more_headers = (429, "slow down"), header
    relay = open_relay(server, signer, timeout_s=30)
    bundle = bundle_of(transfer(signer))

    with pytest.raises(RelayRejected, match="is rate limiting"):
        await relay.send_bundle(bundle)
    server.reply, relay.timeout_s = (200, '{"result": 200}'), 0.01
    with pytest.raises(RelayRejected, match=rf"takes no more bundles for ({pause})\."):
        await relay.send_bundle(bundle)
    relay.timeout_s = 30
    await relay.cancel_bundle("u")
    await relay.close()

    assert 2 == len(server.requests)


async def test_a_bundle_of_megabytes_is_sent(
    relay_server: Servers, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """Builders without a bound get long bodies as they are, and nobody is warned."""
    server = await relay_server()
    relay = open_relay(server, signer)
    uuid = "u" * 1_050_000

    await relay.send_bundle(bundle_of(transfer(signer), replacement_uuid=uuid))
    await relay.close()

    assert uuid == server.bundles[0]["replacementUuid"]


async def test_account_is_shown_to_the_relay_only(
    relay_server: Servers, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """An account's header is sent as given, and shown in no repr and no error."""
    server = await relay_server()
    server.reply = (400, "no")
    relay = open_relay(
        server, signer, profile=PROFILES["bloxroute"], authorization="c2VjcmV0OmhlYWRlcg=="
    )

    with pytest.raises(RelayRejected, match="HTTP 400") as caught:
        await relay.send_bundle(bundle_of(transfer(signer)))
    await relay.close()

    assert ["c2VjcmV0OmhlYWRlcg=="] == server.authorizations
    assert [""] == server.headers
    assert "c2VjcmV0" not in str(caught.value) + repr(relay)


async def test_key_that_cannot_sign_sends_nothing(
    relay_server: Servers, transfer: Sign, signer: LocalSigner, bundle_of: Make
) -> None:
    """A reputation key whose signer fails is a refusal of ours: the relay has seen nothing."""

    class Broken(LocalSigner):
        async def sign_message(self, text: bytes) -> str:
            raise SignerError(f"the signer is away ({len(text)} bytes)")

    server = await relay_server()
    relay = Relay(server.url, name="fake", auth=RelayAuth(Broken("0x" + "33" * 32)))

    with pytest.raises(RelayRejected, match=r"fake was sent nothing.*the signer is away"):
        await relay.send_bundle(bundle_of(transfer(signer)))
    await relay.close()

    assert [] == server.requests


async def test_a_closed_relay_opens_again(
    relay_server: Servers, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """Closing while a request starts harms neither: what comes later has its own connections."""
    server = await relay_server()
    relay = open_relay(server, signer)
    bundle = bundle_of(transfer(signer))
    await relay.send_bundle(bundle)

    _, named = await asyncio.gather(relay.close(), relay.send_bundle(bundle))
    again = await relay.send_bundle(bundle)
    await relay.close()

    assert bundle_hash(bundle.hashes) == named == again


async def test_a_relay_counts_what_it_answers(
    relay_server: Servers, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """Each request counts once, by what came of it; only answers have a latency."""
    server = await relay_server()
    relay = open_relay(server, signer, timeout_s=30)
    bundle = bundle_of(transfer(signer))
    before = relay.statistics()
    for reply in ((0, ""), (400, "no"), (500, "oops"), None):
        server.reply = reply
        relay.timeout_s = 30 if reply else 0.05
        await asyncio.gather(relay.send_bundle(bundle), return_exceptions=True)
    after = relay.statistics()
    await relay.close()

    assert (0, 0, 0, 0, 0) == msgspec.structs.astuple(before)
    assert (1, 1, 2) == (after.accepted, after.refused, after.unsure)
    assert 0 < after.latency_p50_s <= after.latency_p99_s < 30


async def test_hanging_relay_ends_at_its_deadline(
    relay_server: Servers, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """A relay that never answers is unavailable after its own deadline, and is named."""
    server = await relay_server()
    server.reply = None
    relay = open_relay(server, signer, timeout_s=0.05)

    with pytest.raises(RelayUnavailable, match=r"fake gave no answer within 0\.05 s"):
        await relay.send_bundle(bundle_of(transfer(signer)))
    await relay.close()


async def test_unreachable_relay_is_unavailable(
    signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """A refused connection names the relay, never the URL, which may carry a password."""
    relay = Relay("http://user:hunter2@127.0.0.1:1/", name="gone", auth=RelayAuth(signer))

    with pytest.raises(RelayUnavailable, match="gone cannot be reached") as caught:
        await relay.send_bundle(bundle_of(transfer(signer)))
    await relay.close()

    assert "hunter2" not in str(caught.value) + repr(relay)
    assert caught.value.__cause__ is None


async def test_redirect_is_not_followed(
    relay_server: Servers, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """A redirect is an unusable answer: private bytes go to configured hosts only."""
    server, elsewhere = await relay_server(), await relay_server()
    server.reply, server.location = (307, "elsewhere"), elsewhere.url
    relay = open_relay(server, signer)

    with pytest.raises(RelayUnavailable, match="HTTP 307"):
        await relay.send_bundle(bundle_of(transfer(signer)))
    await relay.close()

    assert [] == elsewhere.requests


async def test_endless_answer_is_cut_off(
    relay_server: Servers, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """An answer above one mebibyte is refused instead of read."""
    server = await relay_server()
    server.reply = (200, "x" * (2 << 20))
    relay = open_relay(server, signer)

    with pytest.raises(RelayUnavailable, match="answered more than"):
        await relay.send_bundle(bundle_of(transfer(signer)))
    await relay.close()


async def test_nothing_private_is_ever_printed(
    relay_server: Servers,
    signer: LocalSigner,
    transfer: Sign,
    bundle_of: Make,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A relay that throws the request back at us learns nothing into errors, reprs or logs."""
    server = await relay_server()
    relay = open_relay(server, signer)
    one = transfer(signer)
    bundle = bundle_of(one)
    seen = [repr(bundle), repr(one), repr(relay), repr(await relay.seal_bundle(bundle))]

    with caplog.at_level(logging.DEBUG):
        for status in (200, 400, 404, 429, 500):
            for text in (f"bad {one.raw}", f'{{"error": {{"message": "bad {one.raw[2:]}"}}}}'):
                server.reply = (status, text)
                with pytest.raises((RelayRejected, RelayUnavailable)) as caught:
                    await relay.send_bundle(bundle)
                seen += [str(caught.value), repr(caught.value)]
    await relay.close()

    everything = "\n".join(seen) + caplog.text
    assert one.raw[2:80] not in everything
    assert "11" * 32 not in everything


async def test_missing_methods_are_refused_before_sending(
    relay_server: Servers, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """A dialect without simulation, cancellation or private transactions sends nothing."""
    server = await relay_server()
    dialect = Dialect(simulate_method=None, cancel_method=None, private_method=None)
    profile = msgspec.structs.replace(PROFILES["devnet"], dialect=dialect)
    relay = open_relay(server, signer, profile=profile)

    with pytest.raises(RelayRejected, match="does not simulate bundles"):
        await relay.call_bundle(bundle_of(transfer(signer)))
    with pytest.raises(RelayRejected, match="does not cancel bundles"):
        await relay.cancel_bundle("u")
    with pytest.raises(RelayRejected, match="does not take single transactions"):
        await relay.send_private_transaction("0x00", max_block=1)
    await relay.close()

    assert [] == server.requests


def test_bad_settings_are_named(signer: LocalSigner) -> None:
    """A URL that is none, and a missing key, are refused at once."""
    for url in ("http://a..b/", f"http://{'a' * 70}.example/", "http://[::1/", "http://h:99999/"):
        with pytest.raises(ConfigError, match="its host or port cannot be read"):
            Relay(url, name="odd", auth=RelayAuth(signer))
    with pytest.raises(ConfigError, match="no http"):
        Relay("ftp://x", name="odd", auth=RelayAuth(signer))
    wrong: list[Any] = [0, -1, float("nan"), "2"]
    for timeout_s in wrong:
        with pytest.raises(ConfigError, match="timeout_s is"):
            Relay("http://127.0.0.1:9", auth=RelayAuth(signer), timeout_s=timeout_s)
    with pytest.raises(ConfigError, match="wants signed requests"):
        Relay("https://relay.flashbots.net")
    with pytest.raises(ConfigError, match="bloxroute wants an account"):
        Relay("https://api.blxrbdn.com")
    with pytest.raises(ConfigError, match="is no header") as caught:
        Relay("https://api.blxrbdn.com", authorization="hunter2\r\nX: y")

    assert "hunter2" not in str(caught.value)
    assert "titan" == Relay("https://rpc.titanbuilder.xyz").name
