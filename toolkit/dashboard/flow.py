"""A route as a picture: tokens from left to right, pools between them, amounts on the way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from toolkit.dashboard.chart import COLOURS
from toolkit.model.chain import Address
from toolkit.model.market import Hop, Route, Token
from toolkit.model.printable import printable
from toolkit.model.units import format_units

GAP = 250  # from one column of tokens to the next
MARGIN = 66
ROW = 40  # of one swap
NODE_WIDTH, NODE_HEIGHT = 84, 40
MOST_APART = 24
"""More hops than these are drawn together where they swap the same two tokens."""
_PLACES = 4
_SHORT = 6, 4  # characters of an id that are shown at its ends
_LONGEST = 12  # characters of a symbol
_THICKEST = 7.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Swap:
    """Hops that are drawn as one line."""

    token_in: Address
    token_out: Address
    amount_in: int
    amount_out: int
    title: str
    share: float  # of all that is swapped out of its token


def route_picture(route: Route, tokens: Mapping[Address, Token], *, alone: bool = False) -> str:
    """Draw a route as SVG: no script, no font, nothing fetched.

    Each token stands right of all that it is bought with; a cycle's own stands at both ends. What
    goes back to a token further left is dashed.

    Args:
        route: with its amounts.
        tokens: their symbols and decimals; one that is not among them is shown by its address, and
            its amounts in smallest units.
        alone: for a file of its own rather than for a page.
    """
    columns = _columns(route)
    last = max(columns.values(), default=0) + 1
    stacks: dict[int, list[_Swap]] = {}
    for swap in _swaps(route.hops):
        stacks.setdefault(columns[swap.token_in], []).append(swap)
    rows = max((len(stack) for stack in stacks.values()), default=1)
    width, height = 2 * MARGIN + GAP * last, ROW * rows + NODE_HEIGHT
    places = _places(columns, height)
    end = (MARGIN + GAP * last, height / 2)
    lines = []
    for column, stack in stacks.items():
        for row, swap in enumerate(stack):
            middle = (MARGIN + GAP * (column + 0.5), height * (row + 0.5) / len(stack))
            final = swap.token_out == route.token_out
            to = end if final else places[swap.token_out]
            back = to[0] <= places[swap.token_in][0]
            lines.append(_line((places[swap.token_in], middle, to), swap, tokens, dashed=back))
    starts = _amount(tokens, route.token_in, route.amount_in)
    ends = _amount(tokens, route.token_out, route.amount_out)
    nodes = [
        _node(place, _symbol(tokens, token), starts if token == route.token_in else "")
        for token, place in places.items()
        if token != route.token_out or route.is_cycle
    ]
    nodes.append(_node(end, _symbol(tokens, route.token_out), ends))
    label = escape(f"{len(route.hops)} hops, {starts} to {ends}")
    space = ' xmlns="http://www.w3.org/2000/svg"' if alone else ""
    return (
        f'<svg{space} viewBox="0 0 {width} {height:.0f}" role="img" aria-label="{label}" '
        f'font-family="system-ui, sans-serif" font-size="11">{"".join([*lines, *nodes])}</svg>'
    )


def _columns(route: Route) -> dict[Address, int]:
    """The column of each token: one right of the furthest that it is first bought with."""
    columns = {route.token_in: 0}
    for hop in route.hops:
        start = columns.setdefault(hop.token_in, 0)
        if hop.token_out not in columns and hop.token_out != route.token_out:
            columns[hop.token_out] = start + 1
    return columns


def _places(columns: Mapping[Address, int], height: float) -> dict[Address, tuple[float, float]]:
    """Where each token stands: those of a column evenly one below the other."""
    stacks: dict[int, list[Address]] = {}
    for token, column in columns.items():
        stacks.setdefault(column, []).append(token)
    return {
        token: (MARGIN + GAP * column, height * (row + 0.5) / len(stack))
        for column, stack in stacks.items()
        for row, token in enumerate(stack)
    }


def _swaps(hops: Sequence[Hop]) -> list[_Swap]:
    """What is drawn as one line each: every hop, or of many all that swap the same tokens."""
    spent: dict[Address, int] = {}
    groups: dict[tuple[object, ...], list[Hop]] = {}
    for place, hop in enumerate(hops):
        spent[hop.token_in] = spent.get(hop.token_in, 0) + hop.amount_in
        alone = place if len(hops) <= MOST_APART else -1
        groups.setdefault((hop.token_in, hop.token_out, alone), []).append(hop)
    found = []
    for group in groups.values():
        first = group[0]
        paid = sum(hop.amount_in for hop in group)
        fee = f"{first.fee_ppm / 10_000:g} %"
        title = f"{_short(first.pool)}  {fee}" if len(group) == 1 else f"{len(group)} pools"
        found.append(
            _Swap(
                token_in=first.token_in,
                token_out=first.token_out,
                amount_in=paid,
                amount_out=sum(hop.amount_out for hop in group),
                title=title,
                share=paid / max(spent[first.token_in], 1),
            )
        )
    return found


def _line(
    points: tuple[tuple[float, float], tuple[float, float], tuple[float, float]],
    swap: _Swap,
    tokens: Mapping[Address, Token],
    *,
    dashed: bool,
) -> str:
    """A curve from token to token by way of its words, as thick as its share."""
    (x0, y0), (x1, y1), (x2, y2) = points
    half, bend = NODE_WIDTH / 2, GAP / 6
    x0, x2 = x0 + half, x2 + (half if dashed else -half)
    path = (
        f"M{x0:.0f},{y0:.0f} C{x0 + bend:.0f},{y0:.0f} {x1 - bend:.0f},{y1:.0f} {x1:.0f},{y1:.0f}"
    )
    path += f" S{x2 + (bend if dashed else -bend):.0f},{y2:.0f} {x2:.0f},{y2:.0f}"
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    paid = _amount(tokens, swap.token_in, swap.amount_in)
    got = _amount(tokens, swap.token_out, swap.amount_out)
    return (
        f'<path d="{path}" fill="none" stroke="{COLOURS[0]}" stroke-opacity=".45" '
        f'stroke-width="{1 + (_THICKEST - 1) * swap.share:.1f}"{dash}/>'
        f'<text x="{x1:.0f}" y="{y1 - 6:.0f}" text-anchor="middle">{escape(swap.title)}</text>'
        f'<text x="{x1:.0f}" y="{y1 + 10:.0f}" text-anchor="middle">{paid} to {got}</text>'
    )


def _node(place: tuple[float, float], symbol: str, below: str) -> str:
    x, y = place
    return (
        f'<rect x="{x - NODE_WIDTH / 2:.0f}" y="{y - NODE_HEIGHT / 2:.0f}" width="{NODE_WIDTH}" '
        f'height="{NODE_HEIGHT}" rx="8" fill="{COLOURS[2]}" fill-opacity=".18" '
        f'stroke="{COLOURS[2]}"/>'
        f'<text x="{x:.0f}" y="{y if below else y + 4:.0f}" text-anchor="middle" '
        f'font-weight="600">{symbol}</text>'
        + (f'<text x="{x:.0f}" y="{y + 14:.0f}" text-anchor="middle">{below}</text>' * bool(below))
    )


def _symbol(tokens: Mapping[Address, Token], token: Address) -> str:
    known = tokens.get(token)
    return escape(printable(known.symbol, most=_LONGEST)) if known else _short(token)


def _amount(tokens: Mapping[Address, Token], token: Address, amount: int) -> str:
    """An amount in whole units, with as many digits as it takes to see it."""
    known = tokens.get(token)
    decimals = known.decimals if known else 0
    whole = len(str(abs(amount))) - decimals
    places = _PLACES if whole > 0 else _PLACES - whole
    return f"{format_units(amount, decimals, places=places)} {_symbol(tokens, token)}"


def _short(name: str) -> str:
    head, tail = _SHORT
    return f"{name[:head]}…{name[-tail:]}"
