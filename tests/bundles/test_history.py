"""One bundle, told from what a journal has of it."""

from typing import Any

import msgspec
import pytest

from toolkit.bundles.entries import (
    CANCELLED,
    RESULT,
    SUBMITTED,
    BundleCancelled,
    BundleEnded,
    BundleSubmitted,
)
from toolkit.bundles.evidence import RelayAnswer
from toolkit.bundles.history import READ, history
from toolkit.journal.log import Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.model.bundle import Landed, MissCause, Missed
from toolkit.model.chain import Address, Hash
from toolkit.model.errors import JournalCorrupt

BUNDLE, OTHER, TX = (Hash("0x" + two * 32) for two in ("b1", "b2", "7a"))
SAID = (RelayAnswer(relay="r", accepted=True, head_number=7),)
MISSED = Missed(bundle_hash=BUNDLE, target_block=8, cause=MissCause.LATE, evidence="late")
LANDED = Landed(
    bundle_hash=BUNDLE,
    block_number=9,
    block_hash=Hash("0x" + "09" * 32),
    builder=Address("0x" + "cb" * 20),
    fee_wei=2,
    tip_wei=1,
)


def sent(bundle_hash: Hash = BUNDLE, *, block: int = 8, **fields: Any) -> BundleSubmitted:
    filled: dict[str, Any] = {
        "hashes": (TX,),
        "relays": ("r",),
        "lease_id": None,
        "guards": (),
        "bid_wei": 0,
    }
    return BundleSubmitted(bundle_hash=bundle_hash, target_block=block, **(filled | fields))


@pytest.fixture
async def journal() -> Any:
    found = Journal(MemoryBackend())
    yield found
    await found.close()


async def test_every_block_it_was_tried_in_is_one_try(journal: Journal) -> None:
    """Oldest first, each with its ends in the order they were told, and what relays had said."""
    first = journal.append(SUBMITTED, sent(replacement_uuid="u"))
    stranger = journal.append(SUBMITTED, sent(OTHER, hashes=(OTHER,)))
    journal.append(RESULT, BundleEnded(result=MISSED, answers=SAID), cause=first)
    second = journal.append(SUBMITTED, sent(block=9, replacement_uuid="u"))
    journal.append(RESULT, BundleEnded(result=MISSED, answers=SAID), cause=stranger)
    wish = BundleCancelled(bundle_hash=BUNDLE, replacement_uuid="u")
    journal.append(CANCELLED, wish, cause=second)
    journal.append(RESULT, BundleEnded(result=MISSED, answers=SAID), cause=second)
    journal.append(RESULT, BundleEnded(result=LANDED, answers=()), cause=second)
    await journal.commit()
    entries = list(journal.entries(*READ))

    one, two = history(entries, BUNDLE)

    assert [8, 9] == [each.submitted.target_block for each in (one, two)]
    assert ((MISSED,), SAID, False) == (one.ends, one.answers, one.cancelled)
    assert ((MISSED, LANDED), SAID, True) == (two.ends, two.answers, two.cancelled)
    assert LANDED == two.end
    assert (one, two) == history(entries, "u")
    assert (one, two) == history(entries, TX)
    assert () == history(entries, "0x" + "ff" * 32)


async def test_what_is_under_way_has_no_end(journal: Journal) -> None:
    """A try whose process died before its block has none, and no answers."""
    journal.append(SUBMITTED, sent())
    await journal.commit()

    (one,) = history(journal.entries(*READ), TX)

    assert one.end is None
    assert () == one.answers


@pytest.mark.parametrize("kind", [SUBMITTED, CANCELLED, RESULT])
async def test_an_entry_that_cannot_be_read_is_named(journal: Journal, kind: str) -> None:
    """By number and kind, with what to do; nothing is guessed."""
    first = journal.append(SUBMITTED, sent())
    await journal.commit()
    (entry,) = journal.entries(*READ)
    broken = msgspec.structs.replace(entry, seq=first + 1, kind=kind, data=b"[7]", cause=first)

    with pytest.raises(JournalCorrupt, match=rf"entry {first + 1} \({kind}\).*restore the file"):
        history([entry, broken], BUNDLE)
