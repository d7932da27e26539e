"""The bus: from publish to the handler, beside nautilus_trader's message bus in turn."""

import asyncio
import json
import os
import statistics
import sys
from pathlib import Path

from scripts.bench.checkout import ROOT
from scripts.bench.figures import Figure, Measured

PROBE = Path(__file__).with_name("bus_probe.py")
PEER = "nautilus_trader==1.221.0"
PEER_PLACE = ROOT / ".venv-nautilus"
INSTALL_TIMEOUT_S = 240
TIMEOUT_S = 420
MESSAGES = 100_000
ROUNDS = 7
OURS, QUEUED, THEIRS = "ours", "queued", "nautilus"


async def measure(_: int) -> Measured:
    """Time each bus in processes of its own, in turn; nothing is drawn."""
    peer, missing = await _peer()
    works = {OURS: Path(sys.executable), QUEUED: Path(sys.executable)}
    if peer is not None:
        works[THEIRS] = peer
    found: dict[str, list[dict[str, float]]] = {name: [] for name in works}
    for _round in range(ROUNDS):
        for name, python in works.items():
            found[name].append(json.loads(await _said(python, str(PROBE), name, str(MESSAGES))))
    versions = {} if peer is None else {"nautilus_trader": PEER.partition("==")[2]}
    return Measured(
        figures=(
            _figure("publish to handler, p99", "p99", found, OURS, target=2.0),
            _figure("publish to handler, p50", "p50", found, OURS),
            _figure("publish to handler beside a queue, p99", "p99", found, QUEUED, target=2.0),
            _figure("a message, processor time", "each", found, OURS),
        ),
        peers=versions,
        not_covered=(
            *((missing,) if missing else ()),
            "more than one subscriber; a bus between processes",
        ),
    )


def _figure(
    name: str,
    what: str,
    found: dict[str, list[dict[str, float]]],
    which: str,
    *,
    target: float | None = None,
) -> Figure:
    theirs = found.get(THEIRS)
    return Figure(
        name=name,
        unit="µs",
        target=target,
        ours=_median_us(found[which], what),
        peer=None if theirs is None else _median_us(theirs, what),
        peer_name="" if theirs is None else "nautilus_trader",
    )


def _median_us(rounds: list[dict[str, float]], what: str) -> float:
    return statistics.median(one[what] for one in rounds) / 1_000


async def _peer() -> tuple[Path | None, str]:
    """The Python that has the peer, made once, or why there is none."""
    python = PEER_PLACE / "bin" / "python"
    try:
        if not python.exists():
            await _said(Path(sys.executable), "-m", "venv", str(PEER_PLACE))
        if await _has(python) != PEER.partition("==")[2]:
            pip = ("-m", "pip", "install", "-q", "--only-binary", ":all:", PEER)
            await _said(python, *pip, seconds=INSTALL_TIMEOUT_S)
    except (RuntimeError, TimeoutError) as error:
        return None, f"{PEER} does not install here: {error or 'it took too long'}"
    return python, ""


async def _has(python: Path) -> str:
    try:
        return (await _said(python, str(PROBE), "version", "0")).strip()
    except RuntimeError:
        return ""  # safe because it is installed then


async def _said(python: Path, *arguments: str, seconds: float = 60) -> str:
    process = await asyncio.create_subprocess_exec(
        str(python),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), seconds)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        lines = err.decode(errors="replace").strip().splitlines() or ["no word"]
        raise RuntimeError(lines[-1][:200])
    return out.decode()
