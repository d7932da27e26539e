"""`toolkit ctl` on an orchestrator that runs, over its real socket."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.orchestrator.recorded import Recorded, seen_blocks
from tests.orchestrator.worlds import DAI_MARKET, shipped
from toolkit.cli.main import EXIT_BAD_INPUT, main
from toolkit.model.chain import HeadChange
from toolkit.model.decision import Intent, TradingState, VetoCause
from toolkit.orchestrator import records
from toolkit.orchestrator.audit.replay import decoded, replay
from toolkit.orchestrator.breaking.control import listening, socket_path
from toolkit.orchestrator.records import Command
from toolkit.orchestrator.runtime import Orchestrator
from toolkit.reasoning.agent import Agent, View


@dataclass
class Swearing:
    """Fails in words that clear a screen."""

    name: str = "swearing"

    def on_block(self, view: View) -> Iterable[Intent]:
        """Fail."""
        raise ValueError(f"\x1b[2J\n\u202e at {view.block.number}")


@asynccontextmanager
async def running(
    journal: Path, *also: Agent
) -> AsyncGenerator[tuple[Recorded, Orchestrator], None]:
    """An orchestrator that listens beside `journal`, its first block decided."""
    world = Recorded(list(seen_blocks()))
    orchestrator = Orchestrator(
        world,
        agents=[*shipped(), *also],
        market=DAI_MARKET,
        perception=world,
        control=socket_path(journal),
    )
    async with orchestrator:
        await orchestrator.step(HeadChange(added=(world.blocks[0].head,)))
        yield world, orchestrator


async def ctl(*words: str | Path) -> int:
    """Run the command beside the orchestrator."""
    return await asyncio.to_thread(main, ["ctl", *map(str, words)])


async def test_status_says_what_may_be_done_and_by_whom(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line for all, one for each agent."""
    journal = tmp_path / "journal.db"
    async with running(journal) as (world, _):
        code = await ctl("status", "--journal", journal)
    first, *agents = capsys.readouterr().out.splitlines()

    assert 0 == code
    assert first.startswith(f"[DEV] active as of block {world.blocks[0].head.number}; ")
    assert ["  arbitrage: active", "  momentum: active", "  rebalancing: active"] == agents


async def test_a_halt_stops_the_next_block_and_reset_lets_it_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command is journalled when the command line returns, and in force from the next block."""
    where = ("--socket", socket_path(tmp_path / "journal.db"))
    async with running(tmp_path / "journal.db") as (world, orchestrator):
        codes = [await ctl("halt", "--why", "enough", *where)]
        entry = [one for one in world.journal.entries() if one.kind == records.COMMAND][-1]
        halted = await orchestrator.step(HeadChange(added=(world.blocks[1].head,)))
        codes.append(await ctl("status", *where))
        codes.append(await ctl("reset", "halt", *where))
        after = await orchestrator.step(HeadChange(added=(world.blocks[2].head,)))
        entries = list(world.journal.entries())
    said = capsys.readouterr().out

    assert [0, 0, 0] == codes
    assert Command(verb="halt", why="enough") == decoded(entry, Command)
    assert world.journal.is_durable(entry.seq)
    assert {(VetoCause.HALTED, "enough")} == {(v.cause, v.why) for v in halted.verdicts}
    assert "from the next block on: halt (enough)" in said
    assert "halt: enough" in said
    assert TradingState.ACTIVE is after.state
    assert replay(entries).identical


async def test_status_shows_what_agents_say_and_obeys_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Why an agent is out is told in its own words, on one line that only shows."""
    journal = tmp_path / "journal.db"
    async with running(journal, Swearing()) as (world, _):
        await ctl("status", "--journal", journal)
    number = world.blocks[0].head.number

    assert capsys.readouterr().out.splitlines()[-1] == (
        f"  swearing: quarantined, raised ValueError: \\x1b[2J \\u202e at {number}"
    )


async def test_json_is_one_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A program reads what people read."""
    journal = tmp_path / "journal.db"
    async with running(journal):
        code = await ctl("pause", "momentum", "--journal", journal, "--json")
    document = json.loads(capsys.readouterr().out)

    assert 0 == code
    assert [("pause", "momentum")] == [
        (one["verb"], one["target"]) for one in document["status"]["waiting"]
    ]
    assert 3 == len(document["status"]["agents"])


async def test_cancel_pending_says_what_became_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a chain there are no requests; plans that are out may still land."""
    journal = tmp_path / "journal.db"
    async with running(journal):
        await ctl("halt", "--cancel-pending", "--journal", journal)

    assert "0 requests asked to be cancelled" in capsys.readouterr().out


async def test_several_chains_answer_as_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line and its agents for each, what one had nothing to do with, and one by its name."""
    where = ("--socket", tmp_path / "all.ctl")
    async with (
        running(tmp_path / "a.db") as (_, one),
        running(tmp_path / "b.db") as (_, two),
        listening(tmp_path / "all.ctl", {"main": one, "side": two}),
    ):
        codes = [await ctl("pause", "momentum", "--chain", "side", *where)]
        alone = capsys.readouterr().out
        codes.append(await ctl("pause", "momentum", *where))
        both = capsys.readouterr().out
        codes.append(await ctl("halt", "--cancel-pending", *where))
        halted = capsys.readouterr().out
        codes.append(await ctl("status", "--chain", "main", "--journal", tmp_path / "a.db"))
        refused = capsys.readouterr().err

    assert [0, 0, 0, EXIT_BAD_INPUT] == codes
    assert alone.startswith("side: [DEV] active as of block")
    assert ["main: [DEV]", "side: [DEV]"] == [
        line[:11] for line in both.splitlines() if not line.startswith(" ")
    ]
    assert "  not there: momentum is paused already" in both
    assert 2 == halted.count("from the next block on: halt")
    assert 1 == halted.count("requests asked to be cancelled")
    assert "one chain is run here, which has no name: leave main out" in refused


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("pause", "momentun"), "there is no agent 'momentun'; there are arbitrage, momentum,"),
        (("resume", "momentum"), "momentum was not paused by anybody"),
        (("reset", "gas"), "breaker gas is not open; open: none"),
        (("reset", "gass"), "there is no breaker 'gass'; there are agents, clock,"),
    ],
)
async def test_a_refusal_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    """What makes no sense is refused with what there is, and nothing is journalled."""
    journal = tmp_path / "journal.db"
    async with running(journal) as (world, _):
        code = await ctl(*words, "--journal", journal)
        kinds = [one.kind for one in world.journal.entries()]
    (line,) = capsys.readouterr().err.splitlines()

    assert EXIT_BAD_INPUT == code
    assert line.startswith(f"toolkit: {said}")
    assert records.COMMAND not in kinds


async def test_the_one_orchestrator_below_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a name the socket below the working folder is meant; of two, neither."""
    (tmp_path / "runs" / "1").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    async with running(Path("runs/1/journal.db")):
        code = await ctl("status")
        async with running(Path("other.db")):
            several = await ctl("status")
    said = capsys.readouterr()

    assert (0, EXIT_BAD_INPUT) == (code, several)
    assert said.out.startswith("[DEV] active")
    assert "other.db.ctl, runs/1/journal.db.ctl" in said.err


def test_nothing_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no orchestrator is there is one line that says so, for each way to name one."""
    monkeypatch.chdir(tmp_path)
    codes = [
        main(["ctl", "status"]),
        main(["ctl", "status", "--journal", "journal.db"]),
        main(["ctl", "halt", "--socket", os.fspath(tmp_path / "x.ctl")]),
        main(["ctl", "reset"]),
    ]
    lines = capsys.readouterr().err.splitlines()

    assert [EXIT_BAD_INPUT] * 4 == codes
    assert 4 == len(lines)
    assert "no orchestrator runs below" in lines[0]
    assert "no orchestrator runs at journal.db.ctl: start it with control=" in lines[1]
    assert "BREAKER" in lines[3]


async def test_what_died_is_not_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sockets that killed runs left behind are no orchestrators: the one that lives is asked."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.ctl", "b.ctl"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
            dead.bind(name)
    nobody = await ctl("status")
    async with running(Path("journal.db")):
        one = await ctl("status")
    said = capsys.readouterr()

    assert (EXIT_BAD_INPUT, 0) == (nobody, one)
    assert f"toolkit: no orchestrator runs below {tmp_path}: start one" in said.err
    assert said.out.startswith("[DEV] active")


async def test_a_long_way_to_a_folder_keeps_nobody_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket is looked for from where one stands: its whole name may be too long to connect."""
    deep = tmp_path / ("deep" * 40)
    deep.mkdir()
    monkeypatch.chdir(deep)
    async with running(Path("journal.db")):
        code = await ctl("status")

    assert 0 == code
    assert capsys.readouterr().out.startswith("[DEV] active")


@pytest.mark.parametrize(
    ("why", "noted"),
    [
        ("first line\nsecond\r\n\tthird\n", "first line second third"),
        ("", "by toolkit ctl"),
        (" \n ", "by toolkit ctl"),
        ("\x1b[2Jred\x07", "\\x1b[2Jred\\x07"),
        ("half \udcff", "half \\udcff"),
        ("x" * 30_000, f"{'x' * 480}… (30000 characters)"),
    ],
    ids=["lines", "nothing", "blank", "escapes", "half a character", "huge"],
)
async def test_a_halt_is_never_refused_for_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], why: str, noted: str
) -> None:
    """Whatever is given as the reason, it halts, and the reason is one line that can be read."""
    journal = tmp_path / "journal.db"
    async with running(journal) as (world, _):
        code = await ctl("halt", "--why", why, "--journal", journal)
        (command,) = [one for one in world.journal.entries() if one.kind == records.COMMAND]
    out = capsys.readouterr().out

    assert 0 == code
    assert noted == decoded(command, Command).why
    assert f"  from the next block on: halt ({noted})" == out.splitlines()[-1]


async def test_a_name_of_rubbish_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An agent named by escapes, half a character or a novel is refused like any other."""
    journal = tmp_path / "journal.db"
    async with running(journal):
        codes = [
            await ctl("pause", name, "--journal", journal)
            for name in ("\x1b[2J", "\udcff", "x" * 60_000)
        ]
    said = capsys.readouterr()

    assert [EXIT_BAD_INPUT] * 3 == codes
    assert ["toolkit: there is no agent '"] * 3 == [line[:28] for line in said.err.splitlines()]
    assert said.err.replace("\n", "").isprintable()
