import gzip
import itertools
import math
from pathlib import Path

import pytest

from toolkit.devnet.crowd.scenario import (
    HISTORY_MINUTES,
    RECORDED_MINUTES,
    ScenarioConfig,
    load_scenario,
)
from toolkit.model.errors import DataError


def recording(folder: Path, rows: list[str]) -> Path:
    path = folder / RECORDED_MINUTES
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress("\n".join(["ts,closeTick", *rows]).encode()))
    return path


def test_without_recording_the_seed_makes_the_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process depends on the seed alone, stays positive, and has a history of two hours."""
    monkeypatch.setenv("TOOLKIT_DATA", "/nonexistent")
    series = []
    for seed in (1, 1, 2):
        scenario = load_scenario(seed)
        series.append((*scenario.history, *itertools.islice(scenario.future, 60)))

    assert series[0] == series[1] != series[2]
    assert len(series[0]) == HISTORY_MINUTES + 60
    assert HISTORY_MINUTES >= 120
    assert min(series[0]) > 0


def test_a_recording_is_followed_and_then_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """History and future are neighbours in the recording; after its end the process goes on."""
    ticks = [202_000 + round(300 * math.sin(index / 20)) for index in range(600)]
    recording(tmp_path, [f"{60 * (index + 1)},{tick}" for index, tick in enumerate(ticks)])
    monkeypatch.setenv("TOOLKIT_DATA", str(tmp_path))
    prices = [10**12 / 1.0001**tick for tick in ticks]

    scenario = load_scenario(3)
    future = list(itertools.islice(scenario.future, 1000))

    joined = [*scenario.history, *future]
    starts = [i for i in range(len(prices)) if prices[i : i + 50] == joined[:50]]
    assert any(prices[start:] == joined[: len(prices) - start] for start in starts)
    assert min(future) > 0


@pytest.mark.realdata
def test_recorded_windows_move(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each seed's hour of recorded minutes spans at least the configured range."""
    monkeypatch.setenv("TOOLKIT_DATA", str(data_dir))
    config = ScenarioConfig()
    for seed in range(5):
        hour = list(itertools.islice(load_scenario(seed, config).future, config.window_minutes))
        span = math.log(max(hour) / min(hour)) * 10_000
        assert span >= config.minimum_range_bps
        assert 500 < min(hour) < 5000


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["60,1", "120,x"], "line 3: no ts and closeTick"),
        (["60,1", "120"], "line 3: no ts and closeTick"),
        (["60,1", "60,2"], "line 3: time goes from 60 to 60"),
        (["60,1"], "has 1 minutes"),
    ],
)
def test_a_damaged_recording_names_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[str], words: str
) -> None:
    """What cannot be read is named with file and line."""
    recording(tmp_path, rows)
    monkeypatch.setenv("TOOLKIT_DATA", str(tmp_path))

    with pytest.raises(DataError, match=words):
        load_scenario(1)


def test_a_truncated_recording_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gzip file that was cut off is an error that names it, not the seeded process."""
    path = recording(tmp_path, [f"{60 * index},{index}" for index in range(1, 900)])
    path.write_bytes(path.read_bytes()[:-40])
    monkeypatch.setenv("TOOLKIT_DATA", str(tmp_path))

    with pytest.raises(DataError, match="damaged or truncated"):
        load_scenario(1)
