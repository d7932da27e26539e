import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.bundles.dialects import PAYEE, plain, transactions
from toolkit.bundles.hashes import bundle_hash
from toolkit.bundles.uuids import uuid_v1, uuid_v2
from toolkit.chain.hashing import keccak
from toolkit.model.bundle import Bundle, Refund
from toolkit.model.chain import Hash, address, hash32
from toolkit.model.errors import ConfigError

FIRST, SECOND = Hash("0x" + "11" * 32), Hash("0x" + "ee" * 32)


def bundle_of(payload: dict[str, Any]) -> Bundle:
    """A published `eth_sendBundle` payload as our own value."""
    raws = tuple(payload.get("txs") or ())
    percent, recipient = payload.get("refundPercent"), payload.get("refundRecipient")
    return Bundle(
        transactions=raws,
        hashes=tuple(Hash("0x" + keccak(bytes.fromhex(raw[2:])).hex()) for raw in raws),
        target_block=int(payload.get("blockNumber") or "0x0", 16),
        reverting_hashes=tuple(map(hash32, payload.get("revertingTxHashes", ()))),
        dropping_hashes=tuple(map(hash32, payload.get("droppingTxHashes", ()))),
        min_timestamp=payload.get("minTimestamp"),
        max_timestamp=payload.get("maxTimestamp"),
        refund=percent
        and Refund(
            percent=percent,
            recipient=recipient and address(recipient),
            tx_hashes=tuple(map(hash32, payload.get("refundTxHashes", ()))),
        ),
    )


@pytest.mark.realdata
def test_names_equal_published_vectors(data_dir: Path) -> None:
    """Every published vector's hash and uuid come out, of version 1 and of version 2."""
    text = (data_dir / "bundles" / "eth_sendBundle_hash_uuid_vectors.json").read_text()
    vectors = json.loads(text)["vectors"]
    bundles = [bundle_of(vector["payload"]) for vector in vectors]
    second = [vector["payload"].get("version") == "v2" for vector in vectors]

    names = [
        str(uuid_v2(one) if is_second else uuid_v1(one))
        for one, is_second in zip(bundles, second, strict=True)
    ]

    assert 13 == len(vectors)
    assert {True, False} == set(second)
    assert [vector["bundleHash"] for vector in vectors] == [bundle_hash(b.hashes) for b in bundles]
    assert [vector["uuid"] for vector in vectors] == names


def test_what_is_unset_counts_as_its_default() -> None:
    """Leaving out a bound of time or a refund's details is the same as naming their defaults."""
    bundle = msgspec.structs.replace(plain(), refund=Refund(percent=7))
    said = msgspec.structs.replace(
        bundle,
        min_timestamp=0,
        max_timestamp=2**64 - 1,
        refund=Refund(
            percent=7, recipient=transactions()[0].sender, tx_hashes=(bundle.hashes[-1],)
        ),
    )

    assert uuid_v2(said) == uuid_v2(bundle)


@pytest.mark.parametrize(
    "change",
    [
        {"target_block": 1},
        {"min_timestamp": 1},
        {"max_timestamp": 1},
        {"reverting_hashes": (FIRST,)},
        {"dropping_hashes": (FIRST,)},
        {"refund": Refund(percent=1)},
        {"refund": Refund(percent=2)},
        {"refund": Refund(percent=1, recipient=PAYEE)},
        {"refund": Refund(percent=1, tx_hashes=(FIRST,))},
        {"hashes": (FIRST,)},
    ],
    ids=str,
)
def test_everything_that_is_asked_for_counts(change: dict[str, Any]) -> None:
    """A change of anything but the replacement uuid is another submission."""
    bundle = plain()

    assert uuid_v2(bundle) != uuid_v2(msgspec.structs.replace(bundle, **change))
    assert uuid_v2(bundle) == uuid_v2(msgspec.structs.replace(bundle, replacement_uuid="u"))


def test_order_of_allowed_failures_does_not_count() -> None:
    """Lists of hashes are sets: their order changes no name."""
    one = msgspec.structs.replace(
        plain(), reverting_hashes=(FIRST, SECOND), dropping_hashes=(FIRST, SECOND)
    )
    other = msgspec.structs.replace(
        one, reverting_hashes=(SECOND, FIRST), dropping_hashes=(SECOND, FIRST)
    )

    assert uuid_v1(one) == uuid_v1(other)
    assert uuid_v2(one) == uuid_v2(other)


def test_refund_of_nothing_has_no_name() -> None:
    """A refund on a bundle without transactions is refused, as the relays refuse it."""
    empty = Bundle(transactions=(), hashes=(), target_block=1, refund=Refund(percent=5))

    with pytest.raises(ConfigError, match="refund of 5 percent of a bundle without"):
        uuid_v2(empty)
