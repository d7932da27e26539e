"""The control socket is its owner's alone, answers one line with one line, and leaves nothing."""

import asyncio
import socket
import stat
import sys
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

import msgspec
import pytest

from toolkit.model.decision import TradingState
from toolkit.model.errors import ConfigError
from toolkit.orchestrator.breaking import control
from toolkit.orchestrator.breaking.control import (
    MAX_LINE,
    MAX_PATH,
    Answer,
    Asked,
    Status,
    Withdrawn,
    asked_of,
    is_left_behind,
    listening,
    socket_path,
)
from toolkit.orchestrator.records import Command

STATUS = Status(
    mode="DEV",
    block_number=7,
    state=TradingState.ACTIVE,
    breakers=(),
    agents=(),
    underway=0,
    waiting=(),
)


@dataclass
class Desk:
    """Stands for an orchestrator, and remembers what it was told."""

    told: list[Command] = field(default_factory=list)
    withdrawals: int = 0

    def status(self) -> Status:
        """Tell the same as ever."""
        return STATUS

    async def order(self, command: Command) -> None:
        """Take everything but orders to nobody."""
        if command.target == "nobody":
            raise ConfigError("there is no agent 'nobody'")
        self.told.append(command)

    async def withdraw(self) -> Withdrawn:
        """Take nothing back."""
        self.withdrawals += 1
        return Withdrawn(requests=2, plans=3, at_large=1)


async def ask(path: Path, asked: Asked) -> Answer:
    """Ask as the command line does, from another thread."""
    return await asyncio.to_thread(asked_of, path, asked)


async def said_to(path: Path, line: bytes) -> bytes:
    """Say anything."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(line)
    await writer.drain()
    answer = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_nobody_else_may_even_connect(tmp_path: Path) -> None:
    """The socket lies beside its journal with mode 0600, and is gone afterwards."""
    path = socket_path(tmp_path / "journal.db")
    async with listening(path, Desk()):
        mode = stat.S_IMODE(path.stat().st_mode)

    assert (0o600, "journal.db.ctl") == (mode, path.name)
    assert not path.exists()


async def test_commands_reach_the_orchestrator_and_status_comes_back(tmp_path: Path) -> None:
    """Each verb is a command with its target and reason; status is none."""
    desk, path = Desk(), tmp_path / "c.ctl"
    async with listening(path, desk):
        answers = [
            await ask(path, Asked(verb="status")),
            await ask(path, Asked(verb="pause", target="momentum", why="look")),
            await ask(path, Asked(verb="halt", why="enough")),
        ]

    assert [Answer(status=STATUS)] * 3 == answers
    assert [
        Command(verb="pause", target="momentum", why="look"),
        Command(verb="halt", why="enough"),
    ] == desk.told
    assert 0 == desk.withdrawals


async def test_a_halt_may_take_back_what_is_pending(tmp_path: Path) -> None:
    """Only where it was asked for, and the answer says what became of it."""
    desk, path = Desk(), tmp_path / "c.ctl"
    async with listening(path, desk):
        answer = await ask(path, Asked(verb="halt", cancel_pending=True))

    assert Withdrawn(requests=2, plans=3, at_large=1) == answer.withdrawn


async def test_what_is_refused_comes_back_as_its_reason(tmp_path: Path) -> None:
    """A refusal is an answer; the server goes on."""
    path = tmp_path / "c.ctl"
    async with listening(path, Desk()):
        refused = await ask(path, Asked(verb="pause", target="nobody"))
        after = await ask(path, Asked(verb="status"))

    assert "there is no agent 'nobody'" == refused.error
    assert "" == after.error


@pytest.mark.parametrize(
    "line",
    [b"hello\n", b'{"verb": "sell"}\n', b'{"verb": "halt", "sudo": true}\n', b"\xff\xfe\n", b"7\n"],
)
async def test_what_is_no_question_is_told_so(tmp_path: Path, line: bytes) -> None:
    """Nothing that comes in can do more than be refused."""
    desk, path = Desk(), tmp_path / "c.ctl"
    async with listening(path, desk):
        answer = msgspec.json.decode(await said_to(path, line), type=Answer)

    assert answer.error.startswith("not understood")
    assert [] == desk.told


@pytest.mark.parametrize("limit", [1_000, 100_000])
async def test_lists_within_lists_are_no_question(tmp_path: Path, limit: int) -> None:
    """Whatever Python's own limit is, which some libraries lift."""
    desk, path, usual = Desk(), tmp_path / "c.ctl", sys.getrecursionlimit()
    line = b'{"verb":"status","odd":' + b"[" * 7_000 + b"]" * 7_000 + b"}\n"
    async with listening(path, desk):
        sys.setrecursionlimit(limit)
        try:
            answer = msgspec.json.decode(await said_to(path, line), type=Answer)
        finally:
            sys.setrecursionlimit(usual)

    assert "not understood: more than 500 lists within each other" == answer.error


async def test_a_line_without_end_is_cut_off(tmp_path: Path) -> None:
    """A megabyte without a line's end gets no answer, and the next question does."""
    path = tmp_path / "c.ctl"
    async with listening(path, Desk()):
        answer = await asyncio.to_thread(_shout, path)
        after = await ask(path, Asked(verb="status"))

    assert (b"", STATUS) == (answer, after.status)


def _shout(path: Path) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.connect(str(path))
        try:
            line.sendall(b"x" * 10**6)
            return line.recv(100)
        except (BrokenPipeError, ConnectionResetError):
            return b""


async def test_a_dead_process_leaves_its_place(tmp_path: Path) -> None:
    """A socket that nobody listens at is taken away; one that somebody does is not."""
    path = tmp_path / "c.ctl"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path))
    async with listening(path, Desk()):
        with pytest.raises(ConfigError, match="another orchestrator listens"):
            async with listening(path, Desk()):
                pass

        assert (await ask(path, Asked(verb="status"))).status == STATUS


async def test_a_file_in_its_place_is_left_alone(tmp_path: Path) -> None:
    """What is no socket is never taken away."""
    path = tmp_path / "c.ctl"
    path.write_text("mine")

    with pytest.raises(ConfigError, match="is none: move it"):
        async with listening(path, Desk()):
            pass
    assert "mine" == path.read_text()


async def test_a_name_that_is_too_long_is_told(tmp_path: Path) -> None:
    """The system's limit is said in words, not as its error number."""
    path = tmp_path / ("x" * MAX_PATH)

    with pytest.raises(ConfigError, match=f"more than {MAX_PATH} bytes"):
        async with listening(path, Desk()):
            pass


def test_nobody_at_home_is_told(tmp_path: Path) -> None:
    """Without a socket there is one line that says where it was looked for, and what to do."""
    with pytest.raises(ConfigError, match=r"no orchestrator runs at .*c\.ctl: start it with"):
        asked_of(tmp_path / "c.ctl", Asked(verb="status"))


def test_a_busy_one_is_not_taken_for_dead(tmp_path: Path) -> None:
    """Where a socket's queue is full its orchestrator lives; only a refusal says that it died."""
    path = tmp_path / "c.ctl"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener, ExitStack() as line:
        listener.bind(str(path))
        listener.listen(0)
        for _ in range(2):  # what a queue of none holds
            waiting = line.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            waiting.setblocking(False)
            with suppress(BlockingIOError):
                waiting.connect(str(path))
        busy = is_left_behind(path)

    assert not busy
    assert is_left_behind(path)
    assert is_left_behind(tmp_path / "none.ctl")


async def test_a_question_nobody_reads_to_its_end_is_not_asked(tmp_path: Path) -> None:
    """What is longer than a line may be is refused with its length, before it is sent."""
    desk, path = Desk(), tmp_path / "c.ctl"
    async with listening(path, desk):
        with pytest.raises(ConfigError, match=r"pause takes \d+ bytes .* reads 16384: shorten"):
            await ask(path, Asked(verb="pause", target="x" * MAX_LINE))

    assert [] == desk.told


def test_one_that_ends_meanwhile_is_told(tmp_path: Path) -> None:
    """Where nothing comes back the order may be journalled or not: the line says where to look."""
    path = tmp_path / "c.ctl"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(1)

        def end() -> None:
            line, _ = listener.accept()
            line.recv(MAX_LINE)
            line.close()

        ending = Thread(target=end)
        ending.start()
        with pytest.raises(ConfigError, match=r"ended before it answered: look at its journal"):
            asked_of(path, Asked(verb="halt"))
        ending.join()


async def test_who_is_not_heard_out_is_hung_up_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that connects and says nothing keeps nothing open when the orchestrator ends."""
    monkeypatch.setattr(control, "PATIENCE_S", 3_600.0)
    path = tmp_path / "c.ctl"
    async with asyncio.timeout(30), listening(path, Desk()):
        reader, writer = await asyncio.open_unix_connection(path)
        await ask(path, Asked(verb="status"))  # so the silent one has been met as well
    said = await reader.read()
    writer.close()
    await writer.wait_closed()

    assert b"" == said
