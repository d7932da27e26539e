import sys

import pytest

from toolkit.bundles.answers import excerpt, hash_in, read_answer
from toolkit.model.errors import RelayRejected, RelayUnavailable

HASH = "0x" + "Ab" * 32
RAW = "0x02f8" + "cd" * 120


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b'{"result": {"bundleHash": "' + HASH.encode() + b'", "smart": true}}', HASH.lower()),
        (200, b'{"result": "' + HASH.encode() + b'"}', HASH.lower()),
        (200, b'{"jsonrpc": "2.0", "id": 1, "result": null}', None),
        (200, b'{"result": null, "error": null}', None),
        (200, b'{"result": 200, "error": "", "id": 1}', None),
        (200, b'{"error": null}', None),
        (200, b'{"result": 200}', None),
        (202, b'{"result": 200}', None),
        (200, b'{"result": {"status": "ok"}}', None),
        (200, b'{"result": {"bundleHash": 7}}', None),
        (200, b"null", None),
        (200, b"200", None),
        (200, b'"' + HASH.encode() + b'"', HASH.lower()),
        (200, b'"accepted"', None),
        (200, b"OK\n", None),
        (200, b"Accepted.", None),
    ],
)
def test_answers_that_mean_accepted(status: int, body: bytes, expected: str | None) -> None:
    """Object, string, number, null and a word are all in use for "taken"; a hash is found if it is
    one."""
    assert expected == hash_in(read_answer(status, body, relay="r"))


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, b'{"error": {"code": -32000, "message": "nonce too low"}}', "nonce too low"),
        (200, b'{"error": {"code": -32000}}', "-32000"),
        (200, b'{"error": "bad bundle"}', "bad bundle"),
        (200, b'{"result": null, "error": {"code": -32600, "message": "no"}}', "no"),
        (400, b'{"error":"unable to decode txs"}', "unable to decode txs"),
        (500, b'{"error": {"code": -32000, "message": "too late"}}', "too late"),
        (400, b"nope", "nope"),
        (403, b"", "HTTP 403"),
        (429, b"slow", "429"),
        (429, b'{"error": {"code": -32000, "message": "limit"}}', "limit"),
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
        (500, b'{"error": "oops"}'),
        (200, b'{"error": {"code": -32603, "message": "internal"}}'),
        (502, b"<html>bad gateway</html>"),
        (408, b"request timeout"),
        (200, b"<html>hello</html>"),
        (200, b"rate limit exceeded"),
        (200, b""),
        (200, b"[]"),
        (200, b"{}"),
        (200, b'{"resu'),
        (200, b"[" * 5000),
        (200, b"\xff\xfe"),
        (204, b""),
        (302, b"null"),
    ],
)
def test_answers_that_tell_nothing(status: int, body: bytes) -> None:
    """HTML, a cut or empty body, HTTP 5xx and an internal error leave open whether the relay took
    the request."""
    with pytest.raises(RelayUnavailable) as caught:
        read_answer(status, body, relay="builder-7")

    assert "builder-7" == caught.value.relay


@pytest.mark.parametrize("form", [b'{"error": %s}', b'{"error": {"message": %s}}'])
def test_an_error_may_be_deeper_than_can_be_written(form: bytes) -> None:
    """JSON holds lists that Python cannot always write: they are a no like any other."""
    deep = b"[" * 1_000 + b"]" * 1_000
    usual = sys.getrecursionlimit()

    sys.setrecursionlimit(900)  # libraries set it higher
    try:
        with pytest.raises(RelayRejected, match=r"^builder-7: "):
            read_answer(200, form % deep, relay="builder-7")
    finally:
        sys.setrecursionlimit(usual)


def test_relay_text_never_repeats_a_transaction() -> None:
    """Whatever a relay echoes, with or without 0x, long hex is replaced; hashes stay readable."""
    shown = excerpt(f"cannot decode {RAW} nor {RAW[2:]}\n of {HASH}\x1b[31m")

    assert RAW[2:60] not in shown
    assert HASH in shown
    assert "\x1b" not in shown
    assert "\n" not in shown
    assert 160 == len(excerpt("word " * 1_000))
    assert "nothing" == excerpt(b"")
