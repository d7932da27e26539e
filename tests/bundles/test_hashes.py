import json
from pathlib import Path

import pytest

from toolkit.bundles.hashes import bundle_hash
from toolkit.chain.hashing import keccak
from toolkit.model.chain import Hash


def test_hash_of_one_is_hash_of_its_hash() -> None:
    """A bundle of one transaction is named keccak(hash), not by the transaction itself."""
    one = Hash("0x" + "ab" * 32)

    assert "0x" + keccak(bytes.fromhex("ab" * 32)).hex() == bundle_hash([one])


@pytest.mark.realdata
def test_hash_equals_published_vectors(data_dir: Path) -> None:
    """Every eth_sendBundle vector's hash comes out, whatever its block and uuid version."""
    text = (data_dir / "bundles" / "eth_sendBundle_hash_uuid_vectors.json").read_text()
    vectors = json.loads(text)["vectors"]

    found = []
    for vector in vectors:
        raws = vector["payload"].get("txs") or []
        found.append(bundle_hash([Hash("0x" + keccak(bytes.fromhex(r[2:])).hex()) for r in raws]))

    assert [vector["bundleHash"] for vector in vectors] == found
