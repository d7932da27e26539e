"""The live table of a run: the last blocks, who intended what, and what became of it."""

from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from toolkit.dashboard.record import BlockRow, RunRecord
from toolkit.model.printable import printable
from toolkit.model.units import format_units

LIVE_ROWS = 12
_FIGURES = ("intents", "approved", "landed", "pnl_usd")
COLUMNS = ("block", "base fee", "WETH/USDC", "intended", "vetoed", "landed", "missed", "paused")


class LiveTable:
    """A table that follows a run on a terminal; on a pipe it prints one line a block instead."""

    def __init__(self, *, mode: str, console: Console | None = None) -> None:
        self._mode = mode
        self._console = console or Console(stderr=True)
        self._rows: deque[BlockRow] = deque(maxlen=LIVE_ROWS)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        """Take the terminal, if there is one."""
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the terminal back."""
        if self._console.is_terminal:
            self._live.stop()

    def add(self, row: BlockRow) -> None:
        """Show one more block."""
        self._rows.append(row)
        if self._console.is_terminal:
            self._live.update(block_table(list(self._rows), mode=self._mode), refresh=True)
        else:
            # Soft wrap: a pipe has no width, and a second line would lack the mode.
            line = one_line(row, mode=self._mode)
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def block_table(rows: Sequence[BlockRow], *, mode: str) -> Table:
    """Lay the rows out as a table whose title shows the mode."""
    table = Table(title=f"[{mode}] blocks", expand=True, title_justify="left")
    for name in COLUMNS:
        table.add_column(name, no_wrap=name in COLUMNS[:3], overflow="fold")
    for row in rows:
        table.add_row(
            str(row.number),
            format_units(row.base_fee_wei, 9, places=2),
            f"{row.price:,.2f}",
            _lines((*row.intended, *row.netted)),
            _lines(row.vetoed, style="yellow"),
            _lines(row.landed, style="green"),
            _lines(row.missed, style="red"),
            _lines(row.paused, style="magenta"),
        )
    return table


def _lines(told: Sequence[str], *, style: str = "") -> Text:
    """Lay text of others out as it is: no escape of a terminal in it works, nor any markup."""
    return Text("\n".join(map(printable, told)), style=style)


def one_line(row: BlockRow, *, mode: str) -> str:
    """Write a block as one plain line, for logs and pipes."""
    parts = [
        f"[{mode}] block {row.number}",
        f"base fee {format_units(row.base_fee_wei, 9, places=2)} gwei",
        f"WETH {row.price:,.2f}",
    ]
    for name in ("landed", "missed", "netted", "vetoed", "paused"):
        lines: tuple[str, ...] = getattr(row, name)
        if lines:
            parts.append(f"{name}: {'; '.join(map(printable, lines))}")
    return " | ".join(parts)


def print_summary(record: RunRecord, *, console: Console, report: str, ask: str) -> None:
    """Print what a person wants to know at the end of a run, and the command to `ask` for more."""
    counts = Table(title="what happened", title_justify="left", show_header=False)
    for name, value in record.counts.items():
        counts.add_row(name.replace("_", " "), str(value))
    agents = Table(
        "agent",
        title="agents (intents: all, approved, landed)",
        title_justify="left",
    )
    for name in ("intents", "approved", "landed", "P&L USDC"):
        agents.add_column(name, justify="right")
    for name, figures in record.agents.items():
        told = (name, *(figures.get(key, "") for key in _FIGURES))
        agents.add_row(*(Text(printable(str(one))) for one in told))
    invariants = Table(title="invariants", title_justify="left", show_header=False)
    for name, held in record.invariants.items():
        invariants.add_row(
            Text("held", style="green") if held else Text("BROKEN", style="bold red"),
            name.replace("_", " "),
        )
    stories = [Text(printable(f"{title}: {text}")) for title, text in record.stories]
    console.print(Group(counts, agents, invariants, *stories))
    console.print(
        f"[{record.mode}] {len(record.rows)} blocks, seed {record.seed}, {record.seconds:.1f} s",
        markup=False,
    )
    console.print(f"report: {report}", markup=False, soft_wrap=True)
    console.print(f"why any of it: {ask}", markup=False, soft_wrap=True)
