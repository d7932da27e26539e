"""Lives of senders in small: killed, resumed, and compared with the chain."""

import random
from pathlib import Path

import pytest

from scripts.soak import chaos, kill
from scripts.soak.kill import doom
from scripts.soak.record import Progress, Run
from scripts.soak.rig import PROFILES, bytes_figure, count_bytes, next_profile
from scripts.soak.sender import Ledger
from toolkit.journal.log import Journal
from toolkit.journal.sqlite import SqliteBackend
from toolkit.model.tx import TransactionRequest
from toolkit.testing.fakes import FRIEND, OWNER, World
from toolkit.tx.events import KIND_OF, Prepared
from toolkit.tx.stages import Stage


def progress(tmp_path: Path) -> Progress:
    run = Run(area="x", date="2026-01-01", commit="abc1234", seed=0, size=10)
    return Progress(run, tmp_path / "x.json", limit_s=0)


def test_every_stage_is_drawn() -> None:
    """The kill set is the code's own list of stages."""
    drawn = {doom(random.Random(seed))[0] for seed in range(400)}

    assert {stage.value for stage in Stage} == drawn


def test_an_author_s_torn_note_is_no_end(tmp_path: Path) -> None:
    """What a killed process had half written down counts as not ended."""
    ledger = Ledger(tmp_path)
    ledger.note(3, "Confirmed")
    with (tmp_path / "ends.txt").open("a") as file:
        file.write("\n4 Confi")

    assert {3: "Confirmed"} == Ledger(tmp_path).ends


@pytest.mark.timeout(240)
@pytest.mark.parametrize("profile", PROFILES)
async def test_killed_senders_pay_exactly_once(tmp_path: Path, profile: str) -> None:
    """Two lives die at stages of the seed's choice; the third ends, and the chain agrees."""
    counted = progress(tmp_path)
    found, died = await kill.campaign(counted, kills=2, payments=60, seed=5, profile=profile)

    assert [] == found
    killed = [n for name, n in counted.run.counts.items() if name.startswith("killed")]
    assert died == sum(n for n in killed if not isinstance(n, dict))
    assert 60 == counted.run.counts["payments"]
    (distinct,) = bytes_figure(counted.run)
    assert distinct.is_met


@pytest.mark.timeout(240)
@pytest.mark.parametrize("profile", PROFILES)
async def test_payments_through_a_lying_node_end_in_the_truth(tmp_path: Path, profile: str) -> None:
    """Timeouts, drops, stale reads, wrong codes and reorgs: each payment once, told as it is."""
    counted = progress(tmp_path)
    found = await chaos.campaign(counted, payments=60, seed=5, profile=profile)

    assert [] == found
    assert any(name.startswith("fault ") for name in counted.run.counts)


def test_campaigns_take_the_clients_in_turn(tmp_path: Path) -> None:
    """Geth's rules, then reth's, however many cases a campaign has."""
    counted = progress(tmp_path)

    assert ["geth", "reth", "geth"] == [next_profile(counted) for _ in range(3)]
    assert (2, 1) == (
        counted.run.counts["campaigns on geth"],
        counted.run.counts["campaigns on reth"],
    )


async def test_other_bytes_for_no_more_fees_are_counted(tmp_path: Path) -> None:
    """A second attempt counts against the bound unless it bids more than all before it."""
    world = World(random.Random(0))
    journal = Journal(SqliteBackend(tmp_path / "journal.db"))
    for name, value, fee in (("a", 1, 9), ("a", 2, 9), ("a", 3, 10), ("b", 1, 9)):
        request = TransactionRequest(to=FRIEND, value=value, gas=21_000)
        signed = world.sign(request, nonce=0, fee=fee)
        event = Prepared(lane=OWNER.address, request_id=name, signed=signed)
        journal.append(KIND_OF[Prepared], event)
    await journal.close()
    counted = progress(tmp_path)
    count_bytes(counted, tmp_path)

    (distinct,) = bytes_figure(counted.run)
    assert 1.5 == distinct.ours
    assert not distinct.is_met


@pytest.mark.parametrize("depth", [1, 16, 64])
async def test_a_gap_heals_within_two_blocks(depth: int) -> None:
    """However many of the lowest are lost, they are sent again at the head that shows it."""
    assert await chaos.heal(depth, seed=1) <= 2
