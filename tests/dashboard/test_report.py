"""The report and the table show a run truthfully and need nothing from outside."""

import io
import json
import re

import pytest
from msgspec import structs
from rich.console import Console

from toolkit.dashboard.chart import HEIGHT, bar_chart, line_chart
from toolkit.dashboard.record import BlockRow, RunRecord
from toolkit.dashboard.report import pause_bands, render
from toolkit.dashboard.terminal import LiveTable, one_line, print_summary
from toolkit.model.chain import Address, Hash
from toolkit.model.market import Hop, PoolKind, Route, Token

EVIL = "\x1b[2J\x1b]0;x\x07[/bold][red]<script>x</script><b>evil\u202e\r\n" + "z" * 100_000


def row(number: int, *, paused: tuple[str, ...] = (), landed: tuple[str, ...] = ()) -> BlockRow:
    """One quiet block."""
    return BlockRow(
        number=number,
        timestamp=12 * number,
        base_fee_wei=1_500_000_000,
        price=1_523.25,
        paused=paused,
        landed=landed,
        pnl_usd={"arbitrage": 1.5},
        cost_wei=10**15,
    )


def record(*rows: BlockRow, broken: bool = False) -> RunRecord:
    """A run of these blocks."""
    return RunRecord(
        mode="DEV",
        seed=7,
        market="a <script> of prices",
        rows=rows,
        invariants={"ledger_equals_chain": not broken},
        counts={"landed_arbitrage": 3},
        agents={"arbitrage": {"intents": 4, "approved": 3, "landed": 3, "pnl_usd": 12.5}},
        stories=(("conflict", "momentum against rebalancing"),),
    )


def test_report_is_self_contained_and_escapes_text() -> None:
    """No script, no address, no import; text from the run is escaped."""
    page = render(record(row(1), row(2)))

    assert None is re.search(r"<script|https?:|url\(|@import|src=", page)
    assert "&lt;script&gt;" in page
    assert "[DEV]" in page


def test_routes_are_drawn_under_their_titles() -> None:
    """A run's routes are pictures in the page, with its tokens' symbols."""
    weth, usdc = (Address("0x" + digit * 40) for digit in "ab")
    hop = Hop(
        pool=Address("0x" + "1" * 40),
        kind=PoolKind.CONSTANT_PRODUCT,
        token_in=weth,
        token_out=usdc,
        amount_in=10**18,
        amount_out=3 * 10**9,
        fee_ppm=500,
    )
    route = Route(
        token_in=weth,
        token_out=usdc,
        amount_in=10**18,
        amount_out=3 * 10**9,
        hops=(hop,),
        block_hash=Hash("0x" + "11" * 32),
        block_number=1,
    )
    tokens = tuple(
        Token(address=address, symbol=symbol, decimals=decimals)
        for address, symbol, decimals in ((weth, "WETH", 18), (usdc, "US<DC", 6))
    )
    page = render(structs.replace(record(row(1)), routes=(("The <best>", route),), tokens=tokens))

    assert "<h2>The &lt;best&gt;</h2>" in page
    assert "1 WETH to 3000 US&lt;DC" in page
    assert None is re.search(r"https?:", page)


def test_a_broken_invariant_is_shouted() -> None:
    """A broken invariant is written in words, not only in colour."""
    assert "BROKEN" in render(record(row(1), broken=True))


def test_pause_bands_join_consecutive_blocks() -> None:
    """Each stretch of paused blocks is one band, also at the end of the run."""
    rows = [row(1), row(2, paused=("m",)), row(3, paused=("m",)), row(4), row(5, paused=("m",))]

    assert [(1, 2), (4, 4)] == [(band.first, band.last) for band in pause_bands(rows)]


def test_charts_survive_empty_and_flat_series() -> None:
    """No values, one value or equal values draw a frame and do not divide by zero."""
    for chart in (
        line_chart({}, first_block=0),
        line_chart({"flat": [5.0, 5.0]}, first_block=0),
        bar_chart([], first_block=0, label="none"),
        bar_chart([0.0], first_block=0, label="zero"),
    ):
        assert "nan" not in chart
        assert "<svg" in chart


def test_summary_has_the_contract_fields() -> None:
    """`summary.json` carries version, mode, seed, blocks, invariants, counts and agents."""
    document = json.loads(record(row(1), row(2)).summary())

    assert {"version", "mode", "seed", "blocks", "invariants", "counts", "agents"} <= set(document)
    assert 2 == document["blocks"]


def test_a_pipe_gets_one_line_a_block_with_the_mode() -> None:
    """Without a terminal each block is one plain line that names the mode."""
    out = io.StringIO()
    with LiveTable(mode="DEV", console=Console(file=out, width=200)) as table:
        table.add(row(41, landed=("arbitrage +0.01 WETH",)))

    lines = out.getvalue().splitlines()
    assert 1 == len(lines)
    assert lines[0].startswith("[DEV] block 41")
    assert "arbitrage +0.01 WETH" in lines[0]


def test_a_terminal_gets_a_table() -> None:
    """On a terminal the table shows the block, and is cleared at the end."""
    out = io.StringIO()
    console = Console(file=out, width=160, force_terminal=True)
    with LiveTable(mode="FORK", console=console) as table:
        table.add(row(42))

    assert "[FORK]" in out.getvalue()


def test_the_closing_summary_names_the_report() -> None:
    """The end of a run shows counts, agents, invariants and where the report is."""
    out = io.StringIO()
    print_summary(
        record(row(1), broken=True),
        console=Console(file=out, width=120),
        report="runs/x/report.html",
        ask="toolkit why VERDICT --journal runs/x/journal.db",
    )

    text = out.getvalue()
    assert "BROKEN" in text
    assert "runs/x/report.html" in text
    assert "landed arbitrage" in text
    assert "toolkit why VERDICT --journal runs/x/journal.db" in text


def hostile() -> RunRecord:
    """A run in which every text that others give is an attack."""
    block = structs.replace(
        row(1, landed=(EVIL,), paused=(EVIL,)),
        intended=(EVIL,),
        netted=(EVIL,),
        vetoed=(EVIL,),
        missed=(EVIL,),
        pnl_usd={EVIL: 1.0},
    )
    return structs.replace(
        record(block),
        market=EVIL,
        agents={EVIL: {"intents": 1, "approved": 1, "landed": 1, "pnl_usd": 1.0}},
        stories=((EVIL, EVIL),),
    )


def test_a_page_shows_the_text_of_others_and_does_nothing_with_it() -> None:
    """No markup, no control, no reversed line, no megabyte of a name gets into the page."""
    page = render(hostile())

    assert None is re.search(r"<script|<b>evil|onerror=(?!&)", page)
    assert [] == [letter for letter in page if not letter.isprintable() and letter != "\n"]
    assert len(page) < 60_000
    assert "&lt;script&gt;" in page
    assert "\\x1b[2J" in page


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_terminal_shows_the_text_of_others_and_obeys_none_of_it(*, is_terminal: bool) -> None:
    """Table, lines and summary: no escape works, no markup either, and all of it ends."""
    out = io.StringIO()
    console = Console(file=out, width=200, force_terminal=is_terminal, color_system=None)
    with LiveTable(mode="DEV", console=console) as table:
        for one in hostile().rows:
            table.add(one)
    print_summary(hostile(), console=console, report="r", ask="j")

    said = out.getvalue()
    assert None is re.search("\x1b\\[2J|\x1b\\]|[\x07\x9b\u202e]", said)
    assert "[/bold]" in said
    assert "\\x1b[2J" in said
    assert len(said) < 60_000


def test_a_report_names_every_agent_and_what_is_counted() -> None:
    """The agents' table has a row for each, and says that it counts intents."""
    page = render(record(row(1)))

    assert "<tr><td>arbitrage</td><td>4</td><td>3</td><td>3</td><td>12.50</td></tr>" in page
    assert "Counts are an agent" in page


def test_a_report_s_blocks_name_conflicts() -> None:
    """Wishes that met are seen in the block they met in, on a page and on a pipe."""
    met = "momentum+rebalancing: 1 WETH among themselves"
    block = structs.replace(row(1), netted=(met,))

    assert met.replace("+", "+<wbr>") in render(record(block))
    assert met in one_line(block, mode="DEV")


def test_a_page_says_who_was_paused() -> None:
    """Shading is explained, also on paper; without a pause nothing is."""
    rows = [row(1), row(2, paused=("momentum",))]

    assert '<i class="shade"></i>momentum paused' in render(record(*rows))
    assert '<i class="shade">' not in render(record(row(1)))


def test_a_chart_counts_as_people_do() -> None:
    """The lines of the grid are at round values, which are told apart and reach all values."""
    prices = line_chart({"price": [1733.9, 1778.2]}, first_block=0)
    fees = bar_chart([0.0, 0.0004], first_block=0, label="fees")

    assert ["1,720", "1,740", "1,760", "1,780"] == labels(prices)
    assert ["0", "0.0001", "0.0002", "0.0003", "0.0004"] == labels(fees)


def labels(chart: str) -> list[str]:
    """What stands beside the lines of the grid."""
    return re.findall(r'text-anchor="end">([^<]+)</text>', chart.partition(f'y="{HEIGHT - 8}"')[0])
