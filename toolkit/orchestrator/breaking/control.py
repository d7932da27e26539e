"""A running orchestrator at a local socket, for its owner alone: one line asks, one answers."""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from toolkit.model.decision import TradingState
from toolkit.model.errors import ConfigError, ToolkitError
from toolkit.orchestrator.breaking.breakers import Tripped
from toolkit.orchestrator.core import Core
from toolkit.orchestrator.records import BlockReport, Command

SUFFIX = ".ctl"
MAX_LINE = 16_384
MAX_PATH = 100  # bytes; what every system's sun_path holds, with some room
PATIENCE_S = 10.0
BACKLOG = 8


class AgentStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How one agent fares; `why` it is not "active"."""

    name: str
    state: Literal["active", "waiting", "paused", "quarantined"]
    why: str = ""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What a running orchestrator says of itself, as of the last block it decided."""

    mode: str
    block_number: int | None
    state: TradingState
    breakers: tuple[Tripped, ...]
    agents: tuple[AgentStatus, ...]
    underway: int  # plans whose outcome is not known
    waiting: tuple[Command, ...]  # in force from the next block on


class Withdrawn(msgspec.Struct, frozen=True, kw_only=True):
    """What became of all that was on its way when somebody wanted it back."""

    requests: int  # transactions asked to be cancelled
    plans: int  # that every relay has given back
    at_large: int  # plans that may still land, in their one block


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line that comes in."""

    verb: Literal["status", "halt", "pause", "resume", "reset"]
    target: str = ""
    why: str = ""
    cancel_pending: bool = False


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One line that goes out: the status after the command, or why it was refused."""

    error: str = ""
    status: Status | None = None
    withdrawn: Withdrawn | None = None


class Controlled(Protocol):
    """The part of an orchestrator that people reach."""

    def status(self) -> Status:
        """Tell how it stands."""
        ...

    async def order(self, command: Command) -> None:
        """Take a command; durable when this returns."""
        ...

    async def withdraw(self) -> Withdrawn:
        """Try to take back what is on its way."""
        ...


def status_of(
    core: Core, *, mode: str, waiting: tuple[Command, ...], report: BlockReport | None
) -> Status:
    """Put together what a core and its last report say; `waiting` is not in force yet."""
    paused = {} if report is None else {one.agent: one.until_block for one in report.paused}
    agents: list[AgentStatus] = []
    for name in sorted(agent.name for agent in core.setup.agents):
        if name in core.quarantined:
            one = AgentStatus(name=name, state="quarantined", why=core.quarantined[name])
        elif name in core.stopped:
            one = AgentStatus(name=name, state="paused", why=core.stopped[name])
        elif name in paused:
            one = AgentStatus(name=name, state="waiting", why=f"until block {paused[name]}")
        else:
            one = AgentStatus(name=name, state="active")
        agents.append(one)
    return Status(
        mode=mode,
        block_number=None if report is None else report.head.number,
        state=core.breakers.state,
        breakers=core.breakers.tripped,
        agents=tuple(agents),
        underway=sum(
            report is None or plan.target_block > report.head.number for plan in core.plans_underway
        ),
        waiting=waiting,
    )


def socket_path(journal: Path) -> Path:
    """Return where the orchestrator of a journal listens: beside it."""
    return journal.with_name(journal.name + SUFFIX)


def has_room(path: Path) -> bool:
    """Whether the system takes a socket of this name."""
    return len(os.fsencode(path)) <= MAX_PATH


@asynccontextmanager
async def listening(path: Path, controlled: Controlled) -> AsyncGenerator[None, None]:
    """Answer at `path` for as long as the block runs; only this user may connect.

    Raises:
        ConfigError: somebody else listens there, or there can be no socket.
    """
    listener = _bound(path)
    try:
        server = await asyncio.start_unix_server(
            lambda reader, writer: _serve(controlled, reader, writer),
            sock=listener,
            limit=MAX_LINE,
            backlog=BACKLOG,
        )
        async with server:
            yield
    finally:
        listener.close()
        _remove(path)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


async def _serve(
    controlled: Controlled, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    try:
        async with asyncio.timeout(PATIENCE_S):
            line = await reader.readline()
        answer = await _answered(controlled, line)
        writer.write(msgspec.json.encode(answer) + b"\n")
        await writer.drain()
    except (OSError, TimeoutError, ValueError):
        pass  # safe because whoever asked is gone, or never said what they wanted
    finally:
        writer.close()
        with suppress(OSError):  # safe because nobody is there any more to be answered
            await writer.wait_closed()


async def _answered(controlled: Controlled, line: bytes) -> Answer:
    try:
        asked = msgspec.json.decode(line, type=Asked)
        withdrawn: Withdrawn | None = None
        if asked.verb != "status":
            command = Command(verb=asked.verb, target=asked.target, why=asked.why)
            await controlled.order(command)
            if asked.verb == "halt" and asked.cancel_pending:
                withdrawn = await controlled.withdraw()
    except msgspec.MsgspecError as error:
        return Answer(error=f"not understood: {error}")
    except ToolkitError as error:
        return Answer(error=str(error))
    return Answer(status=controlled.status(), withdrawn=withdrawn)


def _bound(path: Path) -> socket.socket:
    """Bind a socket that nobody else may even connect to, from its first moment on."""
    if not has_room(path):
        raise ConfigError(
            f"the control socket {path} has a name of more than {MAX_PATH} bytes, which the "
            "system refuses: put the journal into a folder nearer to the root"
        )
    _clear(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(os.fspath(path))
    except OSError as error:
        listener.close()
        raise ConfigError(f"no control socket at {path}: {error.strerror}") from None
    finally:
        os.umask(before)
    return listener


def _clear(path: Path) -> None:
    """Take away what a process that died left behind; one that lives keeps it."""
    if not path.is_socket():
        if path.exists():
            raise ConfigError(f"{path} is in the control socket's place, and is none: move it")
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
        trial.settimeout(1)
        try:
            trial.connect(os.fspath(path))
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise ConfigError(f"another orchestrator listens at {path}: stop it first")


def asked_of(path: Path, asked: Asked) -> Answer:
    """Ask a running orchestrator, and wait for its answer; blocks.

    Raises:
        ConfigError: nobody listens there, or what comes back is no answer.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(PATIENCE_S)
            line.connect(os.fspath(path))
            line.sendall(msgspec.json.encode(asked) + b"\n")
            with line.makefile("rb") as answers:
                said = answers.readline()
    except OSError as error:
        raise ConfigError(
            f"no orchestrator answers at {path} ({error.strerror or error}): is it running, and "
            "yours?"
        ) from None
    try:
        return msgspec.json.decode(said, type=Answer)
    except msgspec.MsgspecError:
        raise ConfigError(f"what listens at {path} is no orchestrator of this version") from None
