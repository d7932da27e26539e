"""What a journal says of one request."""

from collections.abc import Iterator

import msgspec
import pytest

from toolkit.chain.signer import LocalSigner
from toolkit.journal.log import GENESIS, Entry, chained
from toolkit.model.chain import Hash
from toolkit.model.errors import JournalCorrupt
from toolkit.model.tx import (
    Cancelled,
    Confirmed,
    DryRun,
    Exposure,
    FeeQuote,
    TransactionRequest,
    UnsignedTransaction,
    Urgency,
)
from toolkit.tx.config import KEEP_BLOCKS
from toolkit.tx.events import (
    DRY,
    FAILED,
    KINDS,
    OUTCOME,
    REOPENED,
    Accepted,
    Answered,
    CancelAsked,
    Ended,
    Event,
    Failed,
    LaneLimits,
    LaneOpened,
    Mined,
    Observed,
    Prepared,
    Reopened,
    ReplaceAsked,
)
from toolkit.tx.history import first_entry, history, request_named
from toolkit.tx.lane import open_lane, step
from toolkit.tx.recovery import CHECKPOINT, Fold

SIGNER = LocalSigner(b"\1" * 32)
LANE = SIGNER.address
BLOCK = Hash("0x" + "0b" * 32)
QUOTE = FeeQuote(max_fee_per_gas=9, max_priority_fee_per_gas=1, base_fee_per_gas=4, for_block=8)
REPORTS: dict[object, str] = {
    Failed: FAILED,
    Reopened: REOPENED,
    Ended: OUTCOME,
    Fold: f"checkpoint.{CHECKPOINT}",
}


def entries(*events: msgspec.Struct) -> list[Entry]:
    """The journal that these made."""
    made: list[Entry] = []
    for seq, event in enumerate(events, start=1):
        kind = REPORTS.get(type(event)) or next(k for k, t in KINDS.items() if t is type(event))
        if isinstance(event, Ended) and event.request_id.startswith("dry"):
            kind = DRY
        made.append(
            chained(
                seq=seq,
                kind=kind,
                version=1,
                cause=None,
                data=msgspec.json.encode(event),
                previous=made[-1].hash if made else GENESIS,
            )
        )
    return made


def accepted(name: str = "tx-1", **more: object) -> Accepted:
    base = Accepted(
        lane=LANE,
        request_id=name,
        request=TransactionRequest(to=LANE, value=5, gas=21_000),
        urgency=Urgency.SOON,
        deadline_block=30,
        destinations=("public",),
        quote=QUOTE,
        balance_wei=10**18,
    )
    return msgspec.structs.replace(base, **more)


def prepared(number: int = 0, *, name: str = "tx-1", cancels: bool = False) -> Prepared:
    unsigned = UnsignedTransaction(
        type=2,
        chain_id=7,
        nonce=3,
        to=LANE,
        value=5,
        data="0x",
        gas=21_000,
        max_fee_per_gas=9 + number,
        max_priority_fee_per_gas=1 + number,
    )
    signed = SIGNER.sign_transaction_now(unsigned)
    return Prepared(lane=LANE, request_id=name, signed=signed, cancels=cancels, version=number)


def answered(number: int = 0, exposure: Exposure = Exposure.PUBLIC, message: str = "") -> Answered:
    return Answered(
        lane=LANE,
        request_id="tx-1",
        tx_hash=prepared(number).signed.hash,
        destination="public",
        exposure=exposure,
        message=message,
    )


def observed(block: int, number: int | None = None, *, reorged: bool = False) -> Observed:
    receipts: tuple[Mined, ...] = ()
    if number is not None:
        receipts = (
            Mined(
                tx_hash=prepared(number).signed.hash,
                block_number=block,
                block_hash=BLOCK,
                succeeded=True,
                gas_used=21_000,
                fee_wei=1,
            ),
        )
    return Observed(
        lane=LANE,
        block=block,
        nonce=3,
        balance_wei=1,
        quotes={},
        receipts=receipts,
        reorged=reorged,
    )


def ended(number: int = 0, block: int = 9) -> Ended:
    outcome = Confirmed(
        tx_hash=prepared(number).signed.hash,
        block_number=block,
        block_hash=BLOCK,
        gas_used=21_000,
        fee_wei=1,
    )
    return Ended(lane=LANE, request_id="tx-1", outcome=outcome)


def steps() -> Iterator[tuple[msgspec.Struct, str]]:
    """A request's way, with a reorg and an end that it took back."""
    yield accepted(), "queued"
    yield prepared(), "prepared"
    yield answered(exposure=Exposure.UNKNOWN), "broadcast"
    yield observed(8), "broadcast"
    yield observed(9, 0), "mined"
    yield observed(9, reorged=True), "broadcast"
    yield prepared(1), "broadcast"
    yield observed(10, 1, reorged=True), "mined"
    yield ended(1, 10), "confirmed"
    yield Reopened(lane=LANE, request_id="tx-1", tx_hash=prepared(1).signed.hash), "broadcast"
    yield observed(11, 0), "mined"
    yield ended(0, 11), "confirmed"
    yield observed(11 + KEEP_BLOCKS - 2), "confirmed"
    yield observed(11 + KEEP_BLOCKS - 1), "finalized"


def test_the_state_follows_the_entries() -> None:
    """After each entry the state is what a reader at that moment must be told."""
    way = list(steps())
    events = [event for event, _ in way]

    told = []
    for length in range(1, len(way) + 1):
        found = history(entries(*events[:length]), "tx-1")
        assert found is not None
        told.append(found.state)

    assert [state for _, state in way] == told


def test_what_is_told_of_a_request() -> None:
    """What was asked, every attempt without its bytes, and what destinations answered."""
    way = [accepted(idempotency_key="rent", after="tx-0"), prepared(), answered(message="full")]
    way += [CancelAsked(lane=LANE, request_id="tx-1"), prepared(1, cancels=True)]

    found = history(entries(*way), "tx-1")

    assert found is not None
    assert ("rent", "tx-0", 30, True, 7, 3) == (
        found.idempotency_key,
        found.after,
        found.deadline_block,
        found.cancel_asked,
        found.chain_id,
        found.nonce,
    )
    assert [(False, 9, Exposure.PUBLIC), (True, 10, Exposure.JOURNALLED)] == [
        (one.cancels, one.max_fee_per_gas, one.exposure) for one in found.attempts
    ]
    assert ("public: full",) == found.attempts[0].answers
    assert prepared(1).signed.hash == found.tx_hash
    assert prepared().signed.raw not in repr(found)
    assert prepared().signed.raw.encode() not in msgspec.json.encode(found)


def test_a_replacement_is_what_is_wanted_by_now() -> None:
    """Another payload takes the place of the first; higher fees alone change nothing of it."""
    other = TransactionRequest(to=LANE, value=6, gas=21_000)
    asks = [
        ReplaceAsked(lane=LANE, request_id="tx-1", request=one, urgency=Urgency.SOON, quote=QUOTE)
        for one in (other, None)
    ]

    found = history(entries(accepted(), prepared(), *asks), "tx-1")

    assert found is not None
    assert other == found.request


def test_other_lanes_do_not_matter() -> None:
    """What another account's lane saw of a reorg says nothing of this one's transactions."""
    other = msgspec.structs.replace(observed(9, reorged=True), lane="0x" + "22" * 20)

    found = history(entries(accepted(), prepared(), observed(9, 0), other), "tx-1")

    assert found is not None
    assert "mined" == found.state


def test_an_exposure_never_falls() -> None:
    """A later answer that knows less does not take back who may hold the bytes."""
    way = [accepted(), prepared(), answered(), answered(exposure=Exposure.UNKNOWN)]

    found = history(entries(*way), "tx-1")

    assert found is not None
    assert Exposure.PUBLIC == found.attempts[0].exposure


@pytest.mark.parametrize(
    ("end", "state"),
    [
        (Ended(lane=LANE, request_id="tx-1", outcome=Cancelled()), "cancelled"),
        (Failed(lane=LANE, request_id="tx-1", message="the signer refused"), "failed"),
    ],
)
def test_other_ends(end: msgspec.Struct, state: str) -> None:
    """A cancelled or refused request says so."""
    found = history(entries(accepted(), end), "tx-1")

    assert found is not None
    assert (state, None) == (found.state, found.tx_hash)


def test_a_request_is_found_by_every_name() -> None:
    """By its id, its idempotency key, the hash of any attempt, and what was mined."""
    dry = DryRun(would_be_hash=prepared(2).signed.hash, max_cost_wei=1)
    made = entries(
        accepted("tx-1", idempotency_key="rent"),
        accepted("tx-2"),
        prepared(0, name="tx-2"),
        prepared(1, name="tx-2"),
        Ended(lane=LANE, request_id="dry-5", outcome=dry),
    )

    names = ["tx-1", "rent", "tx-2", *(prepared(n).signed.hash for n in range(3)), "dry-5", "tx-9"]

    assert ["tx-1", "tx-1", "tx-2", "tx-2", "tx-2", "dry-5", "dry-5", None] == [
        request_named(made, name) for name in names
    ]
    found = history(made, "dry-5")
    assert found is not None
    assert ("dryrun", None) == (found.state, found.request)


def test_a_checkpoint_stands_for_what_is_gone() -> None:
    """From a checkpoint on, nothing of a request is missing but what destinations answered."""
    opened = LaneOpened(
        lane=LANE,
        chain_id=7,
        limits=LaneLimits(max_cost_wei=10**18),
        anchor_block=1,
        anchor_hash=BLOCK,
    )
    asked = CancelAsked(lane=LANE, request_id="tx-1")
    way: list[Event] = [opened, accepted(), prepared(), answered(), asked]
    state = open_lane(opened)
    for event in way[1:]:
        state, _ = step(state, event)
    fold = Fold(opening=opened, lanes={LANE: state}, seqs={"tx-1": 2})

    recalled = history(entries(fold, observed(9, 0)), "tx-1")

    assert history(entries(*way, observed(9, 0)), "tx-1") == recalled
    assert "tx-1" == request_named(entries(fold), prepared().signed.hash)
    assert None is request_named(entries(fold), "tx-2")


def test_nothing_is_told_of_a_request_that_is_not_there() -> None:
    """Other requests' entries do not make one up."""
    assert None is history(entries(accepted("tx-1")), "tx-2")


@pytest.mark.parametrize(
    ("name", "first"), [("tx-17", 17), ("dry-3", 3), ("tx-", 1), ("rent-9", 1), ("tx-9x", 1)]
)
def test_a_name_tells_where_to_begin(name: str, first: int) -> None:
    """A request's number is that of its first entry; other names tell nothing."""
    assert first == first_entry(name)


def test_an_entry_of_another_shape_is_named() -> None:
    """A damaged entry is an error with its number, not a hole in the story."""
    broken = msgspec.structs.replace(entries(accepted())[0], data=b'{"lane": 1}')

    with pytest.raises(JournalCorrupt, match=r"journal entry 1 \(tx.request\) cannot be read"):
        history([broken], "tx-1")


def test_a_hash_of_two_requests_is_the_later_ones() -> None:
    """One cancellation's bytes at one nonce: whoever held it first had lost it by then."""
    first, later = accepted("tx-1"), accepted("tx-2", idempotency_key="rent")
    journal = entries(
        first,
        prepared(name="tx-1", cancels=True),
        later,
        prepared(name="tx-2", cancels=True),
    )

    assert "tx-2" == request_named(journal, prepared().signed.hash)
    assert ["tx-1", "tx-2"] == [request_named(journal, name) for name in ("tx-1", "rent")]
