"""A running orchestrator at a local socket, for its owner alone: one line asks, one answers."""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import msgspec

from toolkit.model.checks import DEEPEST, is_deep
from toolkit.model.decision import TradingState
from toolkit.model.errors import ConfigError, ToolkitError
from toolkit.orchestrator.breaking.breakers import Tripped
from toolkit.orchestrator.core import Core
from toolkit.orchestrator.records import BlockReport, Command

T = TypeVar("T")

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
    chain: str = ""  # which of several; all of them unless named


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One line that goes out: the status after the command, or why it was refused.

    Where several chains are run it is `chains` that has the status of each that was asked, and
    `refused` why one of them had nothing to do; `withdrawn` is of all together.
    """

    error: str = ""
    status: Status | None = None
    withdrawn: Withdrawn | None = None
    chains: dict[str, Status] = {}
    refused: dict[str, str] = {}


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
async def listening(
    path: Path, controlled: Controlled | Mapping[str, Controlled]
) -> AsyncGenerator[None, None]:
    """Answer at `path` for as long as the block runs; only this user may connect.

    Several orchestrators, by names of their chains, answer as one.

    Raises:
        ConfigError: somebody else listens there, or there can be no socket.
    """
    listener = _bound(path)
    loop, serving = asyncio.get_running_loop(), set[asyncio.Task[None]]()

    def meet() -> None:
        try:
            line, _ = listener.accept()
        except OSError:
            return  # safe because whoever came has gone again
        line.setblocking(False)
        task = loop.create_task(_serve(controlled, line))
        serving.add(task)
        task.add_done_callback(serving.discard)
        task.add_done_callback(lambda _: line.close())

    try:
        loop.add_reader(listener, meet)
        yield
    finally:
        loop.remove_reader(listener)
        listener.close()
        _remove(path)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


async def _serve(controlled: Controlled | Mapping[str, Controlled], line: socket.socket) -> None:
    try:
        async with asyncio.timeout(PATIENCE_S):
            question = await _question(line)
        if question is None:
            return
        answer = await _answered(controlled, question)
        async with asyncio.timeout(PATIENCE_S):
            said = msgspec.json.encode(answer) + b"\n"
            await asyncio.get_running_loop().sock_sendall(line, said)
    except (OSError, TimeoutError):
        pass  # safe because whoever asked is gone, or never said what they wanted


async def _question(line: socket.socket) -> bytes | None:
    """Read up to the first line's end, or to where nothing more comes; None if that is too far."""
    loop, said = asyncio.get_running_loop(), bytearray()
    while b"\n" not in said:
        part = await loop.sock_recv(line, MAX_LINE)
        if not part:
            break
        said += part
        if len(said) > MAX_LINE:
            return None
    return bytes(said.partition(b"\n")[0])


async def _answered(controlled: Controlled | Mapping[str, Controlled], line: bytes) -> Answer:
    try:
        if is_deep(line):
            return Answer(error=f"not understood: more than {DEEPEST} lists within each other")
        asked = msgspec.json.decode(line, type=Asked)
        if isinstance(controlled, Mapping):
            return await _of_several(controlled, asked)
        if asked.chain:
            raise ConfigError(f"one chain is run here, which has no name: leave {asked.chain} out")
        withdrawn = await _obeyed(controlled, asked)
    except msgspec.MsgspecError as error:
        return Answer(error=f"not understood: {error}")
    except ToolkitError as error:
        return Answer(error=str(error))
    return Answer(status=controlled.status(), withdrawn=withdrawn)


async def _obeyed(controlled: Controlled, asked: Asked) -> Withdrawn | None:
    if asked.verb != "status":
        await controlled.order(Command(verb=asked.verb, target=asked.target, why=asked.why))
        if asked.verb == "halt" and asked.cancel_pending:
            return await controlled.withdraw()
    return None


async def _of_several(controlled: Mapping[str, Controlled], asked: Asked) -> Answer:
    """Let every chain do it at once: what one cannot holds up no other."""
    chosen = chosen_of(controlled, asked.chain)
    did = await asyncio.gather(
        *(_obeyed(one, asked) for one in chosen.values()), return_exceptions=True
    )
    refused: dict[str, str] = {}
    for name, answer in zip(chosen, did, strict=True):
        if isinstance(answer, ToolkitError):
            refused[name] = str(answer)
        elif isinstance(answer, BaseException):
            raise answer
    refuse_what_none_does(asked.verb, refused, chosen)
    back = [one for one in did if isinstance(one, Withdrawn)]
    return Answer(
        chains={name: one.status() for name, one in chosen.items()},
        refused=refused,
        withdrawn=Withdrawn(
            requests=sum(one.requests for one in back),
            plans=sum(one.plans for one in back),
            at_large=sum(one.at_large for one in back),
        )
        if back
        else None,
    )


def chosen_of(chains: Mapping[str, T], name: str) -> dict[str, T]:
    """Return the chain of that name, or all of them where none is named.

    Raises:
        ConfigError: no such chain.
    """
    if name and name not in chains:
        raise ConfigError(f"no chain {name!r} is run here; known are {', '.join(chains)}")
    return {name: chains[name]} if name else dict(chains)


def refuse_what_none_does(verb: str, refused: Mapping[str, str], chosen: Collection[str]) -> None:
    """Fail where no chain did what was asked, and where one did not halt.

    An agent may run on one chain only, and a breaker be open on one only: that others have nothing
    to do there is no failure.

    Raises:
        ConfigError: with each chain's reason.
    """
    if not refused or (verb != "halt" and len(refused) < len(chosen)):
        return
    told = "; ".join(f"{name}: {why}" for name, why in refused.items())
    halted = ", ".join(name for name in chosen if name not in refused)
    raise ConfigError(f"{told}; halted: {halted}" if halted else told)


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
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


def _clear(path: Path) -> None:
    """Take away what a process that died left behind; one that lives keeps it."""
    if not path.is_socket():
        if path.exists():
            raise ConfigError(f"{path} is in the control socket's place, and is none: move it")
        return
    if is_left_behind(path):
        path.unlink(missing_ok=True)
        return
    raise ConfigError(f"another orchestrator listens at {path}: stop it first")


def is_left_behind(path: Path) -> bool:
    """Whether nobody listens at a socket any more: its process died without taking it away.

    One that is too busy to be connected to, or is somebody else's, is not taken for dead.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
        trial.settimeout(1)
        try:
            trial.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return True
        except OSError:
            return False
    return False


def asked_of(path: Path, asked: Asked) -> Answer:
    """Ask a running orchestrator, and wait for its answer; blocks.

    Raises:
        ConfigError: nobody listens there, or what comes back is no answer; or the question is
            longer than anybody reads.
    """
    question = msgspec.json.encode(asked) + b"\n"
    if len(question) > MAX_LINE:
        raise ConfigError(
            f"{asked.verb} takes {len(question)} bytes with its name and reason, and an "
            f"orchestrator reads {MAX_LINE}: shorten them"
        )
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(PATIENCE_S)
            line.connect(os.fspath(path))
            line.sendall(question)
            with line.makefile("rb") as answers:
                said = answers.readline()
        if not said:
            raise ConfigError(
                f"the orchestrator at {path} ended before it answered: look at its journal with "
                "`toolkit journal show --kind orchestrator.command JOURNAL`"
            )
    except (ConnectionRefusedError, FileNotFoundError):
        raise ConfigError(
            f"no orchestrator runs at {path}: start it with control={os.fspath(path)!r}, or name "
            "another by --journal or --socket"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"no orchestrator answers at {path} ({error.strerror or error}): is it busy, and yours?"
        ) from None
    try:
        return msgspec.json.decode(said, type=Answer)
    except msgspec.MsgspecError:
        raise ConfigError(f"what listens at {path} is no orchestrator of this version") from None
