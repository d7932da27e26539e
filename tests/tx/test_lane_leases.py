import pytest

from tests.tx.bench import ME, Bench
from toolkit.tx.events import (
    LeaseSettled,
)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_lease_holds_its_nonces_until_its_block_has_passed(bench: Bench) -> None:
    """Public requests wait behind a bundle, and take its nonces when it missed."""
    bench.lease("l", target_block=11)
    bench.accept("a")

    assert ({0, 1}, {"a": None}) == (bench.state.held(), bench.nonces())
    bench.observe(11)
    assert {"a": 0} == bench.nonces()


def test_a_landed_lease_spends_its_nonces_even_before_the_head_is_seen(bench: Bench) -> None:
    """Whoever learns first that the bundle landed, its nonces are not given out again."""
    bench.lease("l", target_block=11)
    bench.accept("a")

    bench.do(LeaseSettled(lane=ME, lease_id="l", landed=True))

    assert {"a": 2} == bench.nonces()


def test_a_missed_lease_frees_its_nonces_at_once(bench: Bench) -> None:
    """Settling early lets what waits go on."""
    bench.lease("l", target_block=11)
    bench.accept("a")

    bench.do(LeaseSettled(lane=ME, lease_id="l", landed=False))

    assert {"a": 0} == bench.nonces()


def test_leases_stand_behind_everything_that_is_held(bench: Bench) -> None:
    """A bundle's nonces follow those in flight and those of the bundle before it."""
    bench.accept("a")
    bench.lease("l", target_block=11)
    bench.lease("m", target_block=11, count=1)

    assert {0, 1, 2, 3} == bench.state.held()
    assert 4 == bench.state.next_lease_nonce()
