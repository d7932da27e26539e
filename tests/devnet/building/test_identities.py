import json
from pathlib import Path
from typing import Any

import pytest

from toolkit.devnet.building.dialects import PROFILES
from toolkit.devnet.building.fields import BundleFields, read_fields
from toolkit.devnet.building.identities import (
    bundle_hash,
    bundle_uuid,
    hash_with_block,
    unique_key,
)


def read(payload: dict[str, Any]) -> BundleFields:
    head = int(payload.get("blockNumber") or "0x0", 16) - 1
    return read_fields(
        [payload], profile=PROFILES["buildernet"], head=max(0, head), known=lambda _: None
    )


@pytest.mark.realdata
def test_bundles_are_named_as_the_reference_names_them(data_dir: Path) -> None:
    """Bundle hash, uuid v1 or v2, and the key of the request, for every recorded bundle."""
    path = data_dir / "bundles/eth_sendBundle_hash_uuid_vectors.json"
    vectors = json.loads(path.read_text())["vectors"]
    assert len(vectors) == 13
    for vector in vectors:
        fields = read(vector["payload"])
        wanted_key = vector["uniqueKey"] or str(unique_key(fields))

        assert vector["bundleHash"] == bundle_hash(each.hash for each in fields.transactions)
        assert vector["uuid"] == str(bundle_uuid(fields))
        assert wanted_key == str(unique_key(fields))


def test_a_request_is_repeated_only_if_nothing_of_it_changed() -> None:
    """Every field that is asked for is in the key of the request."""
    plain: dict[str, Any] = {"transactions": (), "block_number": 7}
    text = "0x" + "ab" * 32
    changes: list[dict[str, Any]] = [
        {},
        {"block_number": 8},
        {"min_timestamp": 1},
        {"max_timestamp": 2},
        {"reverting": (text,)},
        {"uuid": "one"},
        {"uuid": "62b35666-4162-51a4-b2dc-fb42aed171ac"},
        {"replacement_nonce": 3},
        {"refund_percent": 5},
        {"refund_recipient": "0x" + "cd" * 20},
        {"refund_hashes": (text,)},
        {"signing_address": "0x" + "ef" * 20},
    ]
    keys = [unique_key(BundleFields(**(plain | change))) for change in changes]

    assert len(changes) == len(set(keys))
    assert keys[0] == unique_key(BundleFields(**plain))


def test_some_builders_name_a_bundle_with_its_block() -> None:
    """The same transactions have another name in another block there."""
    named = bundle_hash(())

    assert named != hash_with_block(named, 1) != hash_with_block(named, 2)
