"""The report of a run: one HTML file that needs nothing else."""

import re
from collections.abc import Iterable, Sequence
from html import escape

from toolkit.dashboard.chart import Band, bar_chart, line_chart
from toolkit.dashboard.flow import route_picture
from toolkit.dashboard.record import BlockRow, RunRecord
from toolkit.model.printable import printable
from toolkit.model.units import format_units

AGENT_COLUMNS = ("agent", "intents", "approved", "landed", "P&L")
AGENT_NOTE = (
    "Counts are an agent's intents: how many there were, how many of them a verdict approved, and "
    "of how many of these the trade landed. P&L is in USDC, after gas and tips."
)
COLUMNS = {
    "block": 6,
    "base fee": 4.5,
    "price": 5,
    "intended": 13,
    "netted": 9,
    "vetoed": 11,
    "landed": 10,
    "missed": 8,
    "paused": 5.5,
}
"""Of the table of blocks, with their widths in rem: together the page's, and the table's least."""
JOINED = re.compile(r"(?<=\w)\+(?=[^\W\d])")
"""Between agents' names: where a line may break."""
STYLE = """
:root { color-scheme: light dark; --edge: #8884; --soft: #8882; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 74rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .4rem; }
svg { width: 100%; height: auto; } svg text { font-size: 11px; fill: currentColor; opacity: .75; }
@media (max-width: 40rem) { svg text { font-size: 22px; }
svg .between { display: none; } }
.grid { stroke: var(--edge); } .band { fill: #d69e2e; opacity: .25; }
.legend .shade { background: #d69e2e; opacity: .4; }
.legend span { margin-right: 1.2rem; } .legend i { display: inline-block; width: .8rem;
height: .8rem; margin-right: .35rem; vertical-align: -1px; }
table { border-collapse: collapse; font-size: 13px; }
td { overflow-wrap: break-word; }
.blocks { table-layout: fixed; width: 100%; }
.blocks td:nth-child(-n+3) { white-space: nowrap; }
.blocks div { padding-left: .7rem; text-indent: -.7rem; }
.figures { white-space: nowrap; } .figures td:not(:first-child), .figures th:not(:first-child) {
text-align: right; font-variant-numeric: tabular-nums; padding-left: .2rem; }
.stories td { overflow-wrap: anywhere; }
.note { font-size: 13px; opacity: .8; margin: .3rem 0; }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem .25rem 0;
border-bottom: 1px solid var(--edge); }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr));
gap: .6rem; } .tiles div { background: var(--soft);
border-radius: .5rem; padding: .5rem .9rem; } .tiles b { display: block; font-size: 1.25rem; }
.ok { color: #2f855a; } .bad { color: #c53030; font-weight: 600; } .scroll { overflow-x: auto; }
"""


def render(record: RunRecord) -> str:
    """Render a run as one self-contained HTML document: inline SVG, no script, no address."""
    first = record.rows[0].number if record.rows else 0
    sections = [
        f"<h1>Run with seed {record.seed} <small>[{_text(record.mode)}]</small></h1>",
        f"<p>{_subtitle(record, first)}</p>",
        _tiles(record),
        "<h2>Invariants</h2>",
        _invariants(record),
        "<h2>Agents</h2>",
        _agents(record),
        "<h2>P&amp;L per agent, in USDC, after gas and tips</h2>",
        line_chart(_pnl(record), first_block=first),
        "<h2>Price of WETH in USDC; shaded where an agent was paused</h2>",
        line_chart(
            {"WETH/USDC, main pool": [row.price for row in record.rows]},
            first_block=first,
            bands=pause_bands(record.rows),
        ),
        "<h2>Base fee, gwei</h2>",
        line_chart(
            {"base fee": [row.base_fee_wei * 1e-9 for row in record.rows]}, first_block=first
        ),
        "<h2>Gas and tips paid, ether per block</h2>",
        bar_chart(
            [row.cost_wei * 1e-18 for row in record.rows], first_block=first, label="gas and tips"
        ),
        "<h2>What happened</h2>",
        _stories(record.stories),
        *_routes(record),
        "<h2>Every block</h2>",
        _blocks(record.rows),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Run, seed {record.seed}</title><style>{STYLE}</style></head>"
        f"<body>{''.join(sections)}</body></html>\n"
    )


def pause_bands(rows: Sequence[BlockRow]) -> list[Band]:
    """Join the blocks in which an agent was paused into stretches, in row indices."""
    bands: list[Band] = []
    for agent in sorted({name for row in rows for name in row.paused}):
        start: int | None = None
        for index, row in enumerate([*rows, None]):
            paused = row is not None and agent in row.paused
            if paused and start is None:
                start = index
            elif not paused and start is not None:
                bands.append(Band(first=start, last=index - 1, label=f"{agent} paused"))
                start = None
    return bands


def _subtitle(record: RunRecord, first: int) -> str:
    blocks = f"{len(record.rows)} blocks from {first} in {record.seconds:.1f} s."
    return f"{blocks} Market: {_text(record.market)}."


def _text(text: str) -> str:
    """Write text that may be anybody's: one line that only shows, none of it markup."""
    return escape(printable(text))


def _pnl(record: RunRecord) -> dict[str, list[float]]:
    names = sorted({name for row in record.rows for name in row.pnl_usd})
    return {name: [row.pnl_usd.get(name, 0.0) for row in record.rows] for name in names}


def _tiles(record: RunRecord) -> str:
    tiles = (
        f"<div><b>{value}</b>{_text(name.replace('_', ' '))}</div>"
        for name, value in record.counts.items()
    )
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _invariants(record: RunRecord) -> str:
    rows = (
        f'<tr><td class="{"ok" if held else "bad"}">{"held" if held else "BROKEN"}</td>'
        f"<td>{_text(name.replace('_', ' '))}</td></tr>"
        for name, held in record.invariants.items()
    )
    return f"<table>{''.join(rows)}</table>"


def _agents(record: RunRecord) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in AGENT_COLUMNS)
    rows = (
        f"<tr><td>{_text(name)}</td>"
        + "".join(
            f"<td>{_text(_figure(figures.get(key, '')))}</td>"
            for key in ("intents", "approved", "landed", "pnl_usd")
        )
        + "</tr>"
        for name, figures in record.agents.items()
    )
    table = f'<table class="figures"><tr>{head}</tr>{"".join(rows)}</table>'
    return f'<div class="scroll">{table}</div><p class="note">{escape(AGENT_NOTE)}</p>'


def _figure(value: float | str) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else str(value)


def _stories(stories: Iterable[tuple[str, str]]) -> str:
    rows = (f"<tr><th>{_text(title)}</th><td>{_text(text)}</td></tr>" for title, text in stories)
    return f"<table class='stories'>{''.join(rows)}</table>"


def _routes(record: RunRecord) -> list[str]:
    tokens = {token.address: token for token in record.tokens}
    return [
        f'<h2>{_text(title)}</h2><div class="scroll">{route_picture(route, tokens)}</div>'
        for title, route in record.routes
    ]


def _blocks(rows: Sequence[BlockRow]) -> str:
    widths = "".join(f'<col style="width:{width}rem">' for width in COLUMNS.values())
    head = "".join(f"<th>{name}</th>" for name in COLUMNS)
    body = "".join(
        "<tr>"
        + "".join(
            f"<td>{cell}</td>"
            for cell in (
                str(row.number),
                escape(format_units(row.base_fee_wei, 9, places=3)),
                f"{row.price:,.2f}",
                *(
                    "".join(f"<div>{JOINED.sub('+<wbr>', _text(line))}</div>" for line in lines)
                    for lines in (
                        row.intended,
                        row.netted,
                        row.vetoed,
                        row.landed,
                        row.missed,
                        row.paused,
                    )
                ),
            )
        )
        + "</tr>"
        for row in rows
    )
    table = (
        f'<table class="blocks" style="min-width:{sum(COLUMNS.values())}rem">'
        f"<colgroup>{widths}</colgroup><tr>{head}</tr>{body}</table>"
    )
    return f'<div class="scroll">{table}</div>'
