"""The scheduler's benchmarks in small: they measure what they say."""

import pytest

from scripts.bench.restart import restarts
from scripts.bench.scheduler import mined_throughput


@pytest.mark.timeout(120)
async def test_transactions_of_full_windows_are_mined_and_told() -> None:
    """Every caller goes on behind its receipt: nothing is sent before a block made room for it."""
    a_transaction, slowest = await mined_throughput(1, transactions=96, in_flight=2)

    # 32 under way at a time, and a block every 100 ms at the most.
    assert 2 * 0.1 / 96 < a_transaction
    assert 0 < slowest


@pytest.mark.timeout(240)
async def test_a_new_process_sends_again_what_was_not_sent() -> None:
    """The journal is as long as it is to be, the resend reaches the node, and little is loaded."""
    found = await restarts(1, entries=200, runs=1, peer_runs=1)

    assert 200 <= found.entries
    assert (1, 1, 0) == (len(found.ours), len(found.peers), found.heavy)
    assert 0 < found.ours[0] < 60
