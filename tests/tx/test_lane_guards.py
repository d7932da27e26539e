"""Guards of lanes that a random schedule needs too rarely: each in the smallest case there is."""

import msgspec

from tests.tx.bench import Bench
from toolkit.model.errors import Recovery
from toolkit.model.tx import Exposure


def test_a_halted_lane_fills_no_gap_at_a_head() -> None:
    """Nothing is signed for its account until its author has looked at what happened."""
    bench = Bench()
    for name in "abc":
        bench.accept(name)
    bench.answer("a")
    bench.answer("b", Exposure.NONE, Recovery.FAIL)
    bench.answer("c")
    running, mined = bench.state, bench.mined("a", 11)

    bench.state = msgspec.structs.replace(running, halted="a final end was taken back")
    bench.observe(11, nonce=1, receipts=(mined,))
    halted = bench.state.jobs.keys() - {"a"}
    bench.state = running
    bench.observe(11, nonce=1, receipts=(mined,))

    assert {"c"} == halted
    assert 2 == len(bench.state.jobs.keys() - {"a"})


def test_what_bundles_may_cost_is_reserved() -> None:
    """A bundle's worst case is not there for anything else until its block has passed."""
    bench = Bench()
    bench.lease("l", target_block=11)
    (lease,) = bench.state.leases.values()
    cost = sum(tx.unsigned.worst_cost_wei for tx in lease.signed)

    assert cost > 0
    assert cost == bench.state.reserved_wei()
    bench.observe(11)
    assert 0 == bench.state.reserved_wei()
