"""Processes that take one key from each other, in small."""

import asyncio
import sys
from pathlib import Path

import pytest

from scripts.soak import rivals, worlds
from scripts.soak.record import Progress, Run
from scripts.soak.rival import Errand
from toolkit.testing.worlds import WORLDS


def progress(tmp_path: Path, part_size: int) -> Progress:
    run = Run(area="x", date="2026-01-01", commit="abc1234", seed=0, size=part_size)
    return Progress(run, tmp_path / "x.json", limit_s=0)


@pytest.mark.timeout(300)
async def test_rivals_pay_exactly_once(tmp_path: Path) -> None:
    """Four processes, one key: holders are stopped and overtaken, and every payment ends once."""
    counted = progress(tmp_path, 1)

    found = await rivals.campaign(counted, payments=8, seed=7, profile="reth")

    assert [] == found
    assert 4 * 8 == counted.run.counts["payments"]
    assert counted.run.counts.get("takeovers") == counted.run.counts.get("holders that were fenced")


async def test_one_that_dies_is_not_waited_for() -> None:
    """A process that ends without a word has lost the key and will not get it."""
    errand = Errand(rpc_url="", folder="", own="", key="", first=0, payments=0, window=1)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", """print('{"what":"ready"}\\n{"what":"holds"}')"""),
        stdout=asyncio.subprocess.PIPE,
    )
    rival = rivals.Rival(0, errand, process)

    await rival.listen()

    async with asyncio.timeout(10):
        await rival.until_lost()
        await rival.until_holds()
    assert (True, True, False) == (rival.ready, rival.ended, rival.done)
    await process.wait()


def test_every_world_is_soaked() -> None:
    """The worlds in turn, each with its seed; the mixed one has a soak of its own."""
    counts, failures = worlds.live((0, len(worlds.NAMES)))

    assert () == failures
    assert {f"lives: {name}" for name in WORLDS if name != "chaotic"} == {
        name for name in counts if name.startswith("lives")
    }
    assert worlds.LIVES * len(worlds.NAMES) == worlds.PART.size
