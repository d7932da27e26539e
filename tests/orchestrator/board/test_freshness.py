"""What an intent rests on, and when it may not any more."""

from collections.abc import Mapping

import msgspec
import pytest

from tests.orchestrator.worlds import buys, context_of, proposed, quiet_block
from toolkit.model.chain import Hash
from toolkit.model.decision import Intent, Reading, VetoCause
from toolkit.orchestrator.board.origins import priced_by, rests_on
from toolkit.orchestrator.deciding.arbitration import Context, arbitrate
from toolkit.testing.decide import OFFLINE_MARKET, PRICE_KEY

BLOCK = quiet_block()


def feed(key: str, block: int, *, most: int = 5, block_hash: Hash | None = None) -> Reading:
    """A reading of another feed."""
    return Reading(
        key=key,
        value=1.0,
        source="feed",
        block_number=block,
        block_hash=block_hash or (BLOCK.head.hash if block == 1000 else Hash(f"0x{block:064x}")),
        observed_at=0,
        max_age_blocks=most,
    )


def told(
    *readings: Reading,
    doubtful: Mapping[str, str] | None = None,
    canonical: Mapping[int, Hash] | None = None,
) -> Context:
    """A decision's context in which feeds said this besides."""
    usual = context_of(BLOCK)
    return msgspec.structs.replace(
        usual,
        readings={**usual.readings, **{one.key: one for one in readings}},
        doubtful=doubtful or {},
        canonical=canonical or usual.canonical,
    )


def decided(context: Context, intent: Intent) -> tuple[VetoCause | None, str]:
    """What becomes of one intent."""
    verdict = arbitrate(context, proposed(BLOCK, intent)).rulings[0].verdict
    return verdict.cause, verdict.why


def test_an_intent_has_the_earliest_deadline_of_what_it_rests_on() -> None:
    """Its own claim of a long life is cut to what its readings and its prices allow."""
    intent = msgspec.structs.replace(
        buys("a", 10**9), valid_for_blocks=500, inputs=(PRICE_KEY, "feed")
    )
    context = told(feed("feed", 998, most=2))
    candidate = arbitrate(context, proposed(BLOCK, intent)).candidates[0]

    assert 1001 == candidate.provenance.deadline_block
    assert 998 == candidate.provenance.block_number
    assert ["feed", PRICE_KEY] == [origin.key for origin in candidate.provenance.origins]


def test_what_is_in_doubt_is_named_with_its_reason() -> None:
    """A doubted input, declared or only used to measure the trade, vetoes."""
    doubt = {PRICE_KEY: "it moved by 900 bps"}
    reader = buys("a", 10**9)
    silent = msgspec.structs.replace(reader, inputs=("feed",))

    for intent in (reader, silent):
        found = decided(told(feed("feed", 1000), doubtful=doubt), intent)
        assert (VetoCause.DOUBTFUL, "it moved by 900 bps") == found
    assert None is decided(told(feed("feed", 1000), doubtful={"x": "y"}), reader)[0]


def test_a_reading_of_a_reverted_block_vetoes() -> None:
    """Even if it were still on the board: the chain has another block of that number."""
    intent = msgspec.structs.replace(buys("a", 10**9), inputs=("feed",))
    canonical = {999: Hash("0x" + "9" * 64), 1000: BLOCK.head.hash}
    other = decided(told(feed("feed", 999), canonical=canonical), intent)
    same = decided(told(feed("feed", 999, block_hash=canonical[999]), canonical=canonical), intent)

    assert (VetoCause.STALE, "rests on 'feed' of a block 999 that was reverted") == other
    assert None is same[0]


def test_one_feed_more_or_less_is_not_worth_a_lie() -> None:
    """What one of an agent's intents rests on, all of them do."""
    first = msgspec.structs.replace(buys("a", 10**9), inputs=("x",))
    second = msgspec.structs.replace(buys("a", 2 * 10**9), inputs=("y",))
    readings = {"x": feed("x", 1), "y": feed("y", 1), "z": feed("z", 1)}
    silent = msgspec.structs.replace(first, inputs=())

    assert ("x", "y") == rests_on(proposed(BLOCK, first, second), readings)
    assert ("x", "y", "z") == rests_on(proposed(BLOCK, first, silent), readings)


@pytest.mark.parametrize(("known", "expected"), [(True, (PRICE_KEY,)), (False, ())])
def test_only_prices_that_there_are_measure_an_exchange(
    *, known: bool, expected: tuple[str, ...]
) -> None:
    """Where there is no price at all, sizing says so itself."""
    readings = {PRICE_KEY: feed(PRICE_KEY, 1)} if known else {}

    assert expected == priced_by(buys("a", 1), market=OFFLINE_MARKET, readings=readings)
