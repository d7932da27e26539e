"""Small line and bar charts as inline SVG: no script, no font, no address."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 860, 240
LEFT, RIGHT, TOP, BOTTOM = 72, 16, 14, 28
_ANCHORS = ("start", "middle", "middle", "middle", "end")  # labels stay inside the frame
COLOURS = ("#2b6cb0", "#c05621", "#2f855a", "#6b46c1", "#b83280")


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A stretch of the x axis drawn behind the lines, such as a pause."""

    first: int
    last: int
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    low: float
    high: float
    count: int

    def x(self, index: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * index / max(self.count - 1, 1)

    def y(self, value: float) -> float:
        span = self.high - self.low
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - (value - self.low) / span)


def line_chart(
    series: Mapping[str, Sequence[float]], *, first_block: int, bands: Sequence[Band] = ()
) -> str:
    """Draw one line per series over consecutive blocks, with shaded bands behind them.

    All series have the same length; an empty mapping draws an empty frame.
    """
    values = [value for line in series.values() for value in line]
    scale = _scale(values, max((len(line) for line in series.values()), default=0))
    parts = [_band(scale, band) for band in bands]
    parts += _axes(scale, first_block)
    for index, (name, line) in enumerate(series.items()):
        colour = COLOURS[index % len(COLOURS)]
        points = " ".join(f"{scale.x(n):.1f},{scale.y(value):.1f}" for n, value in enumerate(line))
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.8">'
            f"<title>{escape(name)}</title></polyline>"
        )
    return _svg(parts) + _legend(list(series))


def bar_chart(values: Sequence[float], *, first_block: int, label: str) -> str:
    """Draw one bar per block; negative values hang below the zero line."""
    scale = _scale([0.0, *values], len(values))
    width = max((WIDTH - LEFT - RIGHT) / max(len(values), 1) * 0.7, 1)
    bars = []
    for index, value in enumerate(values):
        top, bottom = sorted((scale.y(value), scale.y(0.0)))
        bars.append(
            f'<rect x="{scale.x(index) - width / 2:.1f}" y="{top:.1f}" width="{width:.1f}" '
            f'height="{max(bottom - top, 0.0):.1f}" fill="{COLOURS[0]}">'
            f"<title>block {first_block + index}: {value:.4g}</title></rect>"
        )
    return _svg([*_axes(scale, first_block), *bars]) + _legend([label])


def _scale(values: Sequence[float], count: int) -> _Scale:
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if high - low <= abs(high) * 1e-12:
        low, high = low - 1.0, high + 1.0
    margin = (high - low) * 0.05
    return _Scale(low=low - margin if low else 0.0, high=high + margin, count=count)


def _axes(scale: _Scale, first_block: int) -> list[str]:
    parts = []
    for step in range(5):
        value = scale.low + (scale.high - scale.low) * step / 4
        y = scale.y(value)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>'
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:,.5g}</text>'
        )
    for step in range(5):
        index = round((scale.count - 1) * step / 4) if scale.count else 0
        parts.append(
            f'<text x="{scale.x(index):.1f}" y="{HEIGHT - 8}" text-anchor="{_ANCHORS[step]}">'
            f"{first_block + index}</text>"
        )
    return parts


def _band(scale: _Scale, band: Band) -> str:
    left, right = scale.x(band.first - 0.5), scale.x(band.last + 0.5)
    return (
        f'<rect x="{left:.1f}" y="{TOP}" width="{right - left:.1f}" '
        f'height="{HEIGHT - TOP - BOTTOM}" class="band"><title>{escape(band.label)}</title></rect>'
    )


def _svg(parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(parts)}</svg>'


def _legend(names: Sequence[str]) -> str:
    items = (
        f'<span><i style="background:{COLOURS[n % len(COLOURS)]}"></i>{escape(name)}</span>'
        for n, name in enumerate(names)
    )
    return f'<p class="legend">{"".join(items)}</p>'
