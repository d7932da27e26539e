"""An agent in a process of its own: asked through a socket, ended when it takes too long."""

import asyncio
import contextlib
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from toolkit.model.checks import DEEPEST, is_deep
from toolkit.model.errors import ConfigError
from toolkit.orchestrator.hosting.asking import Question, Thought
from toolkit.orchestrator.hosting.inside import refuse_inside
from toolkit.orchestrator.hosting.wire import (
    HEADER_BYTES,
    Answered,
    Differences,
    FrameTooLong,
    Hello,
    Ready,
    answer_length,
    frame,
)
from toolkit.orchestrator.market import Market
from toolkit.reasoning.agent import Agent

M = TypeVar("M", bound=msgspec.Struct)

START_S = 60.0
"""What a process may take until it is ready: an interpreter, the toolkit, the agent's imports."""

_LAUNCH = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); "
    "from toolkit.orchestrator.hosting.worker import main; main()"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Life:
    """One process of an agent; `leash` is the pipe end whose closing ends it."""

    process: subprocess.Popen[bytes]
    line: socket.socket
    leash: int
    known: Differences


class ProcessHost:
    """Asks one agent in a process of its own, and gives it a new one when that has ended.

    Raises:
        ConfigError: from the constructor, an agent that cannot be told to another process, or a
            process that is an agent's itself.
    """

    def __init__(
        self,
        agent: Agent,
        *,
        market: Market,
        seconds: float,
        memory_bytes: int,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        refuse_inside("the orchestrator")
        self._name = agent.name
        self._seconds = seconds
        self._environment = environment
        self._hello = frame(
            Hello(
                agent=_pickled(agent),
                name=agent.name,
                market=market,
                main=_script_of(agent),
                memory_bytes=memory_bytes,
            )
        )
        self._life: _Life | None = None
        self._ready = False

    @property
    def pid(self) -> int | None:
        """The process there is now."""
        return None if self._life is None else self._life.process.pid

    async def start(self) -> None:
        """Start the process, and wait until the agent is there.

        Raises:
            ConfigError: the agent cannot be made in a process of its own; with the reason.
        """
        life, loop = self._life or self._spawn(), asyncio.get_running_loop()
        try:
            async with asyncio.timeout(START_S):
                await loop.sock_sendall(life.line, self._hello)
                ready = await _received(life.line, Ready)
        except TimeoutError:
            await self.stop()
            raise ConfigError(f"{self._name} was not ready after {START_S:.0f} s") from None
        except (EOFError, OSError):
            raise ConfigError(f"{self._name}: its process ended: {await self._ended()}") from None
        if ready.error:
            await self.stop()
            raise ConfigError(f"{self._name} cannot be made in a process of its own: {ready.error}")
        self._ready = True

    async def ask(self, question: Question) -> Thought:
        """Return the agent's answer, or why there is none; a process that is late is ended."""
        try:
            if not self._ready:
                await self.start()
            return await self._asked(question)
        except ConfigError as error:
            return Thought(lost=str(error))
        except asyncio.CancelledError:
            await self.stop()  # its answer, when it comes, would be taken for the next one's
            raise

    async def stop(self) -> None:
        """End the process and all that it started; a second call does nothing."""
        life, self._life, self._ready = self._life, None, False
        if life is None:
            return
        life.line.close()
        os.close(life.leash)
        with contextlib.suppress(ProcessLookupError):  # safe because then it is gone already
            os.killpg(life.process.pid, signal.SIGKILL)
        await asyncio.to_thread(life.process.wait)

    async def _asked(self, question: Question) -> Thought:
        assert self._life is not None
        loop, life = asyncio.get_running_loop(), self._life
        try:
            async with asyncio.timeout(self._seconds):
                await loop.sock_sendall(life.line, frame(life.known.asked(question)))
                answer = await _received(life.line, Answered)
        except TimeoutError:
            await self._anew()
            return Thought(lost=f"late: no answer within {self._seconds:g} s")
        except (EOFError, OSError):
            why = await self._ended()
            self._spawn()
            return Thought(lost=f"its process ended: {why}")
        except (FrameTooLong, msgspec.MsgspecError) as error:
            await self._anew()
            return Thought(lost=f"answered what cannot be read: {error}")
        return answer.thought()

    async def _anew(self) -> None:
        """End the process, and let the next one start while nobody waits for it."""
        await self.stop()
        self._spawn()

    async def _ended(self) -> str:
        """Clear a process away that has ended by itself, and say how."""
        assert self._life is not None
        process = self._life.process
        with contextlib.suppress(subprocess.TimeoutExpired):  # only its line is closed: end it
            await asyncio.to_thread(process.wait, 1.0)
        code = process.poll()
        await self.stop()
        if code is None:
            return "it closed its line"
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def _spawn(self) -> _Life:
        """Start a process; it loads the toolkit by itself, then waits to be told whom to be."""
        try:
            self._life = self._born()
        except OSError as error:
            raise ConfigError(f"{self._name}: no process can be started: {error}") from None
        return self._life

    def _born(self) -> _Life:
        ours, theirs = socket.socketpair()
        held, leash = os.pipe()
        try:
            process = subprocess.Popen(
                [sys.executable, "-c", _LAUNCH, _path(), str(theirs.fileno()), str(held)],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), held),
                start_new_session=True,  # what it starts goes with it; Ctrl-C is for its parent
                env=None if self._environment is None else {**os.environ, **self._environment},
            )
        except BaseException:
            ours.close()
            os.close(leash)
            raise
        finally:
            theirs.close()
            os.close(held)
        ours.setblocking(False)
        return _Life(process=process, line=ours, leash=leash, known=Differences())


async def _received(line: socket.socket, kind: type[M]) -> M:
    header = await _exactly(line, HEADER_BYTES)
    answer = await _exactly(line, answer_length(header))
    if is_deep(answer):
        raise msgspec.DecodeError(f"more than {DEEPEST} lists within each other")
    return msgspec.json.decode(answer, type=kind)


async def _exactly(line: socket.socket, count: int) -> bytes:
    loop, data = asyncio.get_running_loop(), bytearray()
    while len(data) < count:
        part = await loop.sock_recv(line, count - len(data))
        if not part:
            raise EOFError
        data += part
    return bytes(data)


def _pickled(agent: Agent) -> bytes:
    try:
        return pickle.dumps(agent)
    except Exception as error:  # noqa: BLE001 - its own code says how it is pickled
        raise ConfigError(
            f"agent {agent.name!r} cannot have a process of its own, because it cannot be pickled "
            f"({type(error).__name__}: {error}); define its class at a module's top level, and "
            "keep no files, locks or connections in it"
        ) from None


def _script_of(agent: Agent) -> str:
    """Return the script that an agent's class is defined in, if it is the one that runs."""
    if type(agent).__module__ != "__main__":
        return ""
    path = getattr(sys.modules["__main__"], "__file__", None)
    if path is None:
        raise ConfigError(
            f"agent {agent.name!r} cannot have a process of its own: its class was typed in; "
            "define it in a file"
        )
    return str(Path(path).resolve())


def _path() -> str:
    """Where modules are looked for, here and there."""
    return json.dumps([str(Path(entry).resolve()) for entry in sys.path])
