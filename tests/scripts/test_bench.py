import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from scripts.bench.__main__ import AREAS, FIGURES, RESULTS, line, measure
from scripts.bench.figures import AreaResult, Figure, Measured, load, render, store
from scripts.bench.timing import medians
from scripts.soak.__main__ import PARTS as SOAKS
from toolkit.model.errors import DataError

ROOT = Path(__file__).resolve().parents[2]


def result(*figures: Figure, area: str = "rpc", gaps: tuple[str, ...] = ()) -> AreaResult:
    return AreaResult(
        area=area,
        date="2026-01-02",
        commit="abc1234",
        seed=7,
        cores=2,
        load=0.5,
        python="3.11.7",
        seconds=1.5,
        command=f"make bench AREA={area}",
        measured=Measured(figures=figures, peers={"web3": "8.0.0"}, not_covered=gaps),
    )


ONE_CALL = Figure(name="one call", unit="ms", ours=0.123456, target=0.4, peer=1.5, peer_name="web3")


def test_committed_table_is_made_of_the_committed_results() -> None:
    """docs/FIGURES.md is what the JSON results give, so nobody wrote a figure by hand."""
    assert render(load(RESULTS)) == FIGURES.read_text()


def test_every_result_is_of_a_known_area() -> None:
    """No result stays behind when its area is gone."""
    assert {found.area for found in load(RESULTS)} <= {*AREAS, *(f"soak-{name}" for name in SOAKS)}


def test_row_carries_everything_that_a_figure_needs_to_be_believed() -> None:
    """A row names figure, target, ours, peer, command, seed, commit and date."""
    table = render((result(ONE_CALL),))

    assert (
        "| rpc: one call | ≤ 0.4 ms | 0.123 ms | 1.5 ms web3 | `make bench AREA=rpc` | 7 | abc1234 "
        "| 2026-01-02 |\n"
    ) in table
    assert "- rpc: 2 cores at load 0.5, Python 3.11.7, web3 8.0.0\n" in table


def test_missed_target_is_said_in_the_table_and_on_the_terminal() -> None:
    """A figure above its target is marked wherever it is shown."""
    slow = msgspec.structs.replace(ONE_CALL, ours=0.41)

    assert "**0.41 ms, missed**" in render((result(slow),))
    assert "MISSED" in line(slow)
    assert "MISSED" not in line(ONE_CALL)


def test_figure_at_its_target_is_met_and_one_without_is_never_missed() -> None:
    """The target is the most that a figure may be."""
    assert Figure(name="x", unit="", ours=0.0, target=0.0).is_met
    assert not Figure(name="x", unit="", ours=1.0, target=0.0).is_met
    assert Figure(name="x", unit="", ours=10.0**9).is_met


def test_gaps_are_listed() -> None:
    """What an area does not cover stands under the table."""
    assert "- rpc: WebSocket\n" in render((result(ONE_CALL, gaps=("WebSocket",)),))


def test_results_are_stored_by_area_and_read_in_order(tmp_path: Path) -> None:
    """An area's newer result replaces its older one; others stay."""
    store(result(area="signing"), tmp_path)
    store(result(ONE_CALL), tmp_path)
    newer = result(ONE_CALL, gaps=("more",))
    store(newer, tmp_path)

    assert (newer, result(area="signing")) == load(tmp_path)


def test_damaged_result_is_refused(tmp_path: Path) -> None:
    """A result without its figures is an error, not an empty row."""
    (tmp_path / "rpc.json").write_text('{"area": "rpc"}')

    with pytest.raises(DataError, match=r"rpc\.json is no bench's result: .*`date`"):
        load(tmp_path)


async def test_medians_run_all_works_in_every_round() -> None:
    """Works take turns, so that a disturbance meets all of them; warm-up rounds do not count."""
    order: list[str] = []

    async def ours() -> None:
        order.append("ours")

    async def theirs() -> None:
        order.append("theirs")

    taken = await medians((ours, theirs), rounds=3, warm_up=2)

    assert ["ours", "theirs"] * 5 == order
    assert 2 == len(taken)


def test_signing_is_measured_beside_its_peer() -> None:
    """A measured area carries its seed, its commit and a peer's number from the same run."""
    measured = measure("signing", 3)

    assert 3 == measured.seed
    assert measured.commit.rstrip("+").isalnum()
    assert measured.measured.figures[0].peer is not None
    assert {"eth-account", "coincurve"} == measured.measured.peers.keys()


def test_unknown_area_is_bad_usage() -> None:
    """An area that does not exist is refused with those that do, before anything is written."""
    done = subprocess.run(
        [sys.executable, "-m", "scripts.bench", "--area", "nonsense"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )

    assert 2 == done.returncode
    assert "invalid choice: 'nonsense'" in done.stderr
    assert "signing" in done.stderr
