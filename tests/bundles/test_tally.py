from toolkit.bundles.tally import Tally
from toolkit.model.errors import RelayRejected, RelayUnavailable


def test_latencies_are_of_the_newest_answers() -> None:
    """Quantiles are values that were measured, of the last 256 answers only."""
    tally = Tally()
    for latency_s in (9.0, *(number / 1000 for number in range(1, 257))):
        tally.answered(latency_s)

    told = tally.told()

    assert (0.128, 0.254) == (told.latency_p50_s, told.latency_p99_s)


def test_one_answer_is_every_quantile() -> None:
    """With a single answer both latencies are its own, and without one they are zero."""
    tally = Tally()
    before = tally.told()
    tally.answered(0.5)
    after = tally.told()

    assert (0, 0) == (before.latency_p50_s, before.latency_p99_s)
    assert (0.5, 0.5) == (after.latency_p50_s, after.latency_p99_s)


def test_ends_are_counted_by_kind() -> None:
    """Taken, refused, and not told are three counts."""
    tally = Tally()
    for error in (None, RelayRejected("no"), RelayUnavailable("?"), RelayUnavailable("?")):
        tally.ended(error)

    told = tally.told()

    assert (1, 1, 2) == (told.accepted, told.refused, told.unsure)
