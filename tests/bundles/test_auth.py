import json
from pathlib import Path

import pytest

from toolkit.bundles.auth import RelayAuth
from toolkit.chain.signer import LocalSigner

KEY = "0x" + "11" * 32


@pytest.mark.realdata
async def test_header_equals_published_vectors(data_dir: Path) -> None:
    """Every valid vector with a private key gives the very header other implementations give."""
    text = (data_dir / "bundles" / "x_flashbots_signature_vectors.json").read_text()
    vectors = [one for one in json.loads(text)["vectors"] if one["valid"] and "privateKey" in one]

    headers = [
        await RelayAuth(LocalSigner(one["privateKey"])).header(one["body"].encode())
        for one in vectors
    ]

    assert len(vectors) >= 6
    assert [one["header"] for one in vectors] == headers


async def test_header_depends_on_every_byte() -> None:
    """A space more in the body gives another signature: the posted bytes are signed, not JSON."""
    auth = RelayAuth(LocalSigner(KEY))

    headers = {await auth.header(body) for body in (b'{"a":1}', b'{"a": 1}')}

    assert 2 == len(headers)


def test_repr_names_account_not_key() -> None:
    """The repr tells the account and no digit run of the key."""
    auth = RelayAuth(LocalSigner(KEY))

    assert auth.address in repr(auth)
    assert KEY[2:] not in repr(auth)
