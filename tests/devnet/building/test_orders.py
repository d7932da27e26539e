from typing import Any

import pytest

from tests.devnet.building.conftest import HEAD, NEXT, SIGNER, signed
from toolkit.devnet.building.dialects import PROFILES
from toolkit.devnet.building.orders import (
    PRIVATE_BLOCKS,
    Order,
    read_bundle,
    read_private_transaction,
)
from toolkit.devnet.building.refunds import RefundTerms

HASH = "0x" + "AB" * 32
RECIPIENT = "0x" + "CD" * 20


def read(name: str = "flashbots", **fields: Any) -> Order:
    params = [{"txs": [signed().raw], "blockNumber": NEXT, **fields}]
    return read_bundle(params, owner=SIGNER.address, head=HEAD.number, profile=PROFILES[name])


def test_an_order_is_what_was_asked_for() -> None:
    """Every field of a bundle, hashes and addresses in lower case."""
    order = read(
        minTimestamp=5,
        maxTimestamp="0x9",
        revertingTxHashes=[HASH],
        droppingTxHashes=[HASH],
        uuid="mine",
        replacementNonce=0,
        refundPercent=7,
        refundRecipient=RECIPIENT,
        refundTxHashes=[HASH],
        builders=["Titan"],
    )

    assert (5, 9) == (order.min_timestamp, order.max_timestamp)
    assert frozenset({HASH.lower()}) == order.reverting == order.dropping
    assert ("mine", 0) == (order.replacement_uuid, order.replacement_nonce)
    assert order.builders == ("titan",)
    assert (7, RECIPIENT.lower(), (HASH.lower(),)) == terms(order.refund)
    assert not order.is_private_transaction


def terms(refund: RefundTerms | None) -> tuple[object, ...]:
    assert refund is not None
    return refund.percent, refund.recipient, refund.tx_hashes


def test_what_was_not_asked_for_is_not_there() -> None:
    """A bare bundle has no bounds in time, no name to replace it by, and no refund."""
    order = read(maxTimestamp=0, refundPercent=0, refundRecipient=RECIPIENT)

    assert (0, None, None, None, None) == (
        order.min_timestamp,
        order.max_timestamp,
        order.replacement_uuid,
        order.replacement_nonce,
        order.refund,
    )


@pytest.mark.parametrize(("timestamp", "wanted"), [(4, False), (5, True), (9, True), (10, False)])
def test_bounds_in_time_belong_to_it(timestamp: int, *, wanted: bool) -> None:
    """The first and the last second are in; another block is out whatever the time."""
    order = read(minTimestamp=5, maxTimestamp=9)

    assert wanted is order.wants(HEAD.number + 1, timestamp)
    assert not order.wants(HEAD.number + 2, timestamp)


def test_a_full_percentage_is_rsyncs_own() -> None:
    """Others keep at least one."""
    assert terms(read("rsync", refundPercent=100).refund)[0] == 100


@pytest.mark.parametrize(
    ("params", "last"),
    [
        ([{"tx": signed().raw}], HEAD.number + PRIVATE_BLOCKS),
        ([{"tx": signed().raw, "maxBlockNumber": 103}], 103),
        ([{"tx": signed().raw, "maxBlockNumber": "0x67"}], 103),
        ([{"tx": signed().raw, "maxBlockNumber": None}], HEAD.number + PRIVATE_BLOCKS),
        ([{"tx": signed().raw, "preferences": {"fast": True}}], HEAD.number + PRIVATE_BLOCKS),
        ([signed().raw], HEAD.number + PRIVATE_BLOCKS),
        ([signed().raw, {"fast": True}], HEAD.number + PRIVATE_BLOCKS),
        ([signed().raw, None], HEAD.number + PRIVATE_BLOCKS),
    ],
)
def test_a_private_transaction_is_tried_from_now_to_its_last_block(
    params: list[Any], last: int
) -> None:
    """As an object or raw, with or without preferences; 25 blocks by default."""
    order = read_private_transaction(params, owner=SIGNER.address, head=HEAD.number)

    assert (HEAD.number + 1, last) == (order.first_block, order.last_block)
    assert order.is_private_transaction
