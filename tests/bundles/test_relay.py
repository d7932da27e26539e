import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from toolkit.bundles.auth import RelayAuth
from toolkit.bundles.hashes import bundle_hash
from toolkit.bundles.profiles import PROFILES, Dialect
from toolkit.bundles.relay import Relay
from toolkit.chain.signer import LocalSigner
from toolkit.model.bundle import Bundle
from toolkit.model.errors import ConfigError, RelayRejected, RelayUnavailable
from toolkit.model.tx import Attempt, Exposure, SignedTransaction

Servers = Callable[[], Awaitable[Any]]
Sign = Callable[..., SignedTransaction]
Make = Callable[..., Bundle]


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
    await relay.send(Attempt(request_id="r", number=0, signed=one), target_block=5)
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
    with pytest.raises(ConfigError, match="no http"):
        Relay("ftp://x", name="odd", auth=RelayAuth(signer))
    with pytest.raises(ConfigError, match="wants signed requests"):
        Relay("https://relay.flashbots.net")

    assert "titan" == Relay("https://rpc.titanbuilder.xyz").name
