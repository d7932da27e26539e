from collections.abc import Callable

import msgspec
import pytest

from toolkit.bundles.profiles import (
    PROFILES,
    Dialect,
    Profile,
    bundle_params,
    excerpt,
    hash_in,
    is_loopback,
    profile_for,
    read_answer,
)
from toolkit.chain.signer import LocalSigner
from toolkit.model.bundle import Bundle
from toolkit.model.errors import RelayRejected, RelayUnavailable
from toolkit.model.tx import SignedTransaction

HASH = "0x" + "Ab" * 32
RAW = "0x02f8" + "cd" * 120


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"result": {"bundleHash": "' + HASH.encode() + b'", "smart": true}}', HASH.lower()),
        (b'{"result": "' + HASH.encode() + b'"}', HASH.lower()),
        (b'{"jsonrpc": "2.0", "id": 1, "result": null}', None),
        (b'{"result": null, "error": null}', None),
        (b'{"result": 200}', None),
        (b'{"result": {"status": "ok"}}', None),
        (b'{"result": {"bundleHash": 7}}', None),
        (b"null", None),
        (b"200", None),
        (b'"' + HASH.encode() + b'"', HASH.lower()),
        (b'"accepted"', None),
    ],
)
def test_answers_that_mean_accepted(body: bytes, expected: str | None) -> None:
    """Object, string, number and null are all in use for "taken"; a hash is found if it is one."""
    assert expected == hash_in(read_answer(200, body, relay="r"))


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, b'{"error": {"code": -32000, "message": "nonce too low"}}', "nonce too low"),
        (200, b'{"error": {"code": -32000}}', "-32000"),
        (200, b'{"error": "bad bundle"}', "bad bundle"),
        (400, b'{"error":"unable to decode txs"}', "unable to decode txs"),
        (500, b'{"error": {"code": -32603, "message": "internal"}}', "internal"),
        (400, b"nope", "nope"),
        (403, b"", "HTTP 403"),
        (429, b"slow", "429"),
    ],
)
def test_answers_that_mean_refused(status: int, body: bytes, words: str) -> None:
    """An error object, an error text and HTTP 4xx are a no, with the relay's words and name."""
    with pytest.raises(RelayRejected, match=words) as caught:
        read_answer(status, body, relay="builder-7")

    assert "builder-7" == caught.value.relay
    assert "builder-7" in str(caught.value)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b"oops"),
        (502, b"<html>bad gateway</html>"),
        (200, b"<html>hello</html>"),
        (200, b""),
        (200, b"[]"),
        (200, b"{}"),
        (200, b'{"resu'),
        (302, b"null"),
    ],
)
def test_answers_that_tell_nothing(status: int, body: bytes) -> None:
    """HTML, a cut or empty body and HTTP 5xx leave open whether the relay took the request."""
    with pytest.raises(RelayUnavailable):
        read_answer(status, body, relay="r")


def test_relay_text_never_repeats_a_transaction() -> None:
    """Whatever a relay echoes, with or without 0x, long hex is replaced; hashes stay readable."""
    shown = excerpt(f"cannot decode {RAW} nor {RAW[2:]}\n of {HASH}\x1b[31m")

    assert RAW[2:60] not in shown
    assert HASH in shown
    assert "\x1b" not in shown
    assert "\n" not in shown


def test_params_leave_out_what_is_unset(
    signer: LocalSigner,
    transfer: Callable[..., SignedTransaction],
    bundle_of: Callable[..., Bundle],
) -> None:
    """Unset fields are absent, not null or zero; numbers go as the documentation says."""
    one = transfer(signer)
    plain = bundle_of(one, target_block=17)
    full = msgspec.structs.replace(
        plain,
        reverting_hashes=(one.hash,),
        min_timestamp=0,
        max_timestamp=99,
        replacement_uuid="u",
    )

    assert {"txs": [one.raw], "blockNumber": "0x11"} == bundle_params(plain, PROFILES["flashbots"])
    assert {
        "txs": [one.raw],
        "blockNumber": "0x11",
        "revertingTxHashes": [one.hash],
        "minTimestamp": 0,
        "maxTimestamp": 99,
        "replacementUuid": "u",
    } == bundle_params(full, PROFILES["flashbots"])


def test_params_use_the_dialects_own_words(
    signer: LocalSigner,
    transfer: Callable[..., SignedTransaction],
    bundle_of: Callable[..., Bundle],
) -> None:
    """A dialect may name the uuid otherwise, and one that lacks a field refuses the bundle."""
    odd = Profile(
        name="odd",
        host="odd.example",
        dialect=Dialect(uuid_field="uuid", optional_fields=("replacementUuid",)),
    )
    bundle = bundle_of(transfer(signer), replacement_uuid="u")

    assert "u" == bundle_params(bundle, odd)["uuid"]
    with pytest.raises(RelayRejected, match="odd does not know maxTimestamp"):
        bundle_params(msgspec.structs.replace(bundle, max_timestamp=9), odd)


def test_profiles_are_recognised_by_host() -> None:
    """Public hosts map to their rows, loopback to the devnet, strangers to the common dialect."""
    assert "titan" == profile_for("https://rpc.titanbuilder.xyz").name
    assert "flashbots" == profile_for("https://relay.flashbots.net/").name
    assert "devnet" == profile_for("http://127.0.0.1:8555/builder0").name
    assert "mine.example" == profile_for("https://user:secret@mine.example/rpc").name
    assert is_loopback("http://[::1]:1/")
    assert not is_loopback("https://127.0.0.1.example")
    assert all(row.url.startswith("https://") for row in PROFILES.values() if row.host)
