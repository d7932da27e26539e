"""Lives of senders in small: killed, resumed, and compared with the chain."""

import random
from pathlib import Path

import pytest

from scripts.soak import chaos, kill
from scripts.soak.kill import doom
from scripts.soak.record import Progress, Run
from scripts.soak.sender import Ledger
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
async def test_killed_senders_pay_exactly_once(tmp_path: Path) -> None:
    """Two lives die at stages of the seed's choice; the third ends, and the chain agrees."""
    counted = progress(tmp_path)
    found, died = await kill.campaign(counted, kills=2, payments=60, seed=5)

    assert [] == found
    killed = [n for name, n in counted.run.counts.items() if name.startswith("killed")]
    assert died == sum(n for n in killed if not isinstance(n, dict))
    assert 60 == counted.run.counts["payments"]


@pytest.mark.timeout(240)
async def test_payments_through_a_lying_node_end_in_the_truth(tmp_path: Path) -> None:
    """Timeouts, drops, stale reads, wrong codes and reorgs: each payment once, told as it is."""
    counted = progress(tmp_path)
    found = await chaos.campaign(counted, payments=60, seed=5)

    assert [] == found
    assert any(name.startswith("fault ") for name in counted.run.counts)


@pytest.mark.parametrize("depth", [1, 16, 64])
async def test_a_gap_heals_within_two_blocks(depth: int) -> None:
    """However many of the lowest are lost, they are sent again at the head that shows it."""
    assert await chaos.heal(depth, seed=1) <= 2
