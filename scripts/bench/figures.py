"""Figures as values: one JSON an area, and the table that is made of them."""

from pathlib import Path

import msgspec

from toolkit.model.errors import DataError

WHOLE_FROM = 100  # three digits are more than the noise leaves

HEADER = """# Figures

Made by `make bench` and `make soak` from `scripts/bench/results/*.json`; never edited by hand. A
figure is a median on the machine named below, taken beside its peer in the same run; a target that
was missed says so.

| figure | target | ours | peer | command | seed | commit | date |
|---|---|---|---|---|---|---|---|
"""


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One measured number; `target` is the most it may be, `peer` what others need for the same.

    `unit` is written behind each number; counts have none.
    """

    name: str
    unit: str
    ours: float
    target: float | None = None
    peer: float | None = None
    peer_name: str = ""

    @property
    def is_met(self) -> bool:
        """Whether the number is within its target, or has none."""
        return self.target is None or self.ours <= self.target


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What an area's measurement gives: its figures, its peers' versions, what it leaves out."""

    figures: tuple[Figure, ...]
    peers: dict[str, str] = {}
    not_covered: tuple[str, ...] = ()


class AreaResult(msgspec.Struct, frozen=True, kw_only=True):
    """One area's run: when, of which commit (`+`: with changes), with which seed, where.

    `load` is the machine's load average as the run began; above `cores` others took our time.
    """

    area: str
    date: str
    commit: str
    seed: int
    cores: int
    load: float
    python: str
    seconds: float
    command: str
    measured: Measured


def store(result: AreaResult, folder: Path) -> Path:
    """Write an area's result in place of its last one."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result.area}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
    return path


def load(folder: Path) -> tuple[AreaResult, ...]:
    """Read every area's last result, in order of name.

    Raises:
        DataError: a file that no bench wrote.
    """
    return tuple(_read(path) for path in sorted(folder.glob("*.json")))


def render(results: tuple[AreaResult, ...]) -> str:
    """Write the table of all results, and what they do not cover."""
    rows = "".join(_row(figure, result) for result in results for figure in result.measured.figures)
    machines = sorted(
        {
            f"{r.area}: {r.cores} cores at load {r.load:.1f}, Python {r.python}{_peers(r)}"
            for r in results
        }
    )
    gaps = [f"{r.area}: {gap}" for r in results for gap in r.measured.not_covered]
    return f"{HEADER}{rows}\n## Measured on\n\n{_items(machines)}\n## Not covered\n\n{_items(gaps)}"


def _read(path: Path) -> AreaResult:
    try:
        return msgspec.json.decode(path.read_bytes(), type=AreaResult)
    except msgspec.DecodeError as error:
        raise DataError(f"{path} is no bench's result: {error}; measure its area anew") from None


def _row(figure: Figure, result: AreaResult) -> str:
    ours = _number(figure.ours, figure.unit)
    cells = (
        f"{result.area}: {figure.name}",
        "" if figure.target is None else f"≤ {_number(figure.target, figure.unit)}",
        ours if figure.is_met else f"**{ours}, missed**",
        "" if figure.peer is None else f"{_number(figure.peer, figure.unit)} {figure.peer_name}",
        f"`{result.command}`",
        str(result.seed),
        result.commit,
        result.date,
    )
    return f"| {' | '.join(cells)} |\n"


def _number(value: float, unit: str) -> str:
    shown = f"{value:.3g}" if abs(value) < WHOLE_FROM else f"{value:.0f}"
    return f"{shown} {unit}".strip()


def _peers(result: AreaResult) -> str:
    return "".join(f", {name} {version}" for name, version in result.measured.peers.items())


def _items(lines: list[str]) -> str:
    return "".join(f"- {line}\n" for line in lines)
