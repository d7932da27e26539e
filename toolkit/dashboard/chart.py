"""Small line and bar charts as inline SVG: no script, no font, no address."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from toolkit.model.printable import printable

WIDTH, HEIGHT = 860, 240
LEFT, RIGHT, TOP, BOTTOM = 84, 16, 14, 28
_ANCHORS = ("start", "middle", "middle", "middle", "end")  # labels stay inside the frame
COLOURS = ("#2b6cb0", "#c05621", "#2f855a", "#6b46c1", "#b83280")
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)  # times a power of ten: what people count in
_LINES = 4  # of the grid, about
_MOST_DIGITS = 6  # behind the point


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
    step: float
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
    shaded = ", ".join(sorted({band.label for band in bands}))
    scale = _scale(values, max((len(line) for line in series.values()), default=0))
    parts = [_band(scale, band) for band in bands]
    parts += _axes(scale, first_block)
    for index, (name, line) in enumerate(series.items()):
        colour = COLOURS[index % len(COLOURS)]
        points = " ".join(f"{scale.x(n):.1f},{scale.y(value):.1f}" for n, value in enumerate(line))
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.8">'
            f"<title>{_text(name)}</title></polyline>"
        )
    return _svg(parts) + _legend(list(series), shaded=shaded)


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
    power = 10.0 ** math.floor(math.log10((high - low) / _LINES))
    step = power * next(one for one in _STEPS if power * one * _LINES >= high - low)
    low, high = math.floor(low / step) * step, math.ceil(high / step) * step
    return _Scale(low=low, high=high, step=step, count=count)


def _axes(scale: _Scale, first_block: int) -> list[str]:
    parts = []
    for line in range(round((scale.high - scale.low) / scale.step) + 1):
        value = scale.low + scale.step * line
        y = scale.y(value)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>'
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">'
            f"{_label(value, scale.step)}</text>"
        )
    for step in range(5):
        index = round((scale.count - 1) * step / 4) if scale.count else 0
        # On a phone there is room for every other one.
        kind = ' class="between"' if step % 2 else ""
        parts.append(
            f'<text x="{scale.x(index):.1f}" y="{HEIGHT - 8}" text-anchor="{_ANCHORS[step]}"{kind}>'
            f"{first_block + index}</text>"
        )
    return parts


def _label(value: float, step: float) -> str:
    """Write a line's value with as many digits as tell it from the next line's."""
    if abs(value) < step / 2:
        return "0"
    for digits in range(_MOST_DIGITS + 1):
        if math.isclose(round(step, digits), step):
            return f"{value:,.{digits}f}"
    return f"{value:.3g}"


def _text(text: str) -> str:
    return escape(printable(text))


def _band(scale: _Scale, band: Band) -> str:
    left, right = scale.x(band.first - 0.5), scale.x(band.last + 0.5)
    return (
        f'<rect x="{left:.1f}" y="{TOP}" width="{right - left:.1f}" '
        f'height="{HEIGHT - TOP - BOTTOM}" class="band"><title>{_text(band.label)}</title></rect>'
    )


def _svg(parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(parts)}</svg>'


def _legend(names: Sequence[str], *, shaded: str = "") -> str:
    items = [
        f'<span><i style="background:{COLOURS[n % len(COLOURS)]}"></i>{_text(name)}</span>'
        for n, name in enumerate(names)
    ]
    if shaded:
        items.append(f'<span><i class="shade"></i>{_text(shaded)}</span>')
    return f'<p class="legend">{"".join(items)}</p>'
