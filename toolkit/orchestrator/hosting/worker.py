"""The process that one agent lives in: asked over a socket, gone when whoever started it is.

It is started with two descriptors: the socket it is asked through, and the reading end of a pipe
that its parent alone can write to. The end of that pipe is the parent's, by whatever signal, and
the kernel then ends this process even while an agent's machine code holds the interpreter.
"""

import fcntl
import os
import pickle
import resource
import runpy
import select
import signal
import socket
import sys
import threading
import types
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec

from toolkit.orchestrator.hosting.asking import Question, ask, told
from toolkit.orchestrator.hosting.inside import settle_in
from toolkit.orchestrator.hosting.wire import (
    HEADER_BYTES,
    Asked,
    Hello,
    Ready,
    Views,
    answered,
    frame,
)
from toolkit.reasoning.agent import Agent

M = TypeVar("M", bound=msgspec.Struct)

PAGES = Path("/proc/self/statm")


def main() -> None:
    """Answer questions until the parent ends it, or is gone."""
    asked_through, leash = int(sys.argv[1]), int(sys.argv[2])
    _die_with(leash)
    os.dup2(2, 1)  # what an agent prints is no output of the program that it is a part of
    with socket.socket(fileno=asked_through) as line, line.makefile("rb") as incoming:
        hello = _received(incoming, Hello)
        settle_in(hello.name)
        try:
            agent = _agent(hello)
        except BaseException as error:  # noqa: BLE001 - anybody's code, while it is imported
            line.sendall(frame(Ready(error=told(error))))
            return
        _bound_memory(hello.memory_bytes)
        line.sendall(frame(Ready()))
        views = Views()
        while True:
            asked = _received(incoming, Asked)
            view = views.view(asked)
            thought = ask(Question(agent=agent, view=view, limit=asked.limit, key=asked.name))
            line.sendall(frame(answered(thought, agent=hello.name, market=hello.market)))


def _die_with(leash: int) -> None:
    """End with the parent: by the kernel's signal on Linux, else by a thread that reads."""
    if sys.platform == "linux":
        signal.signal(signal.SIGIO, signal.SIG_DFL)
        fcntl.fcntl(leash, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(leash, fcntl.F_SETFL, fcntl.fcntl(leash, fcntl.F_GETFL) | os.O_ASYNC)
        if select.select([leash], [], [], 0)[0]:
            os._exit(0)  # it was gone before it could be watched
    threading.Thread(target=_wait_for_end, args=(leash,), daemon=True).start()


def _wait_for_end(leash: int) -> None:
    select.select([leash], [], [])
    os._exit(0)


def _agent(hello: Hello) -> Agent:
    """Make the agent; a class of the parent's script needs that script, under a name of its own."""
    if hello.main:
        script = types.ModuleType("__mp_main__")
        script.__dict__.update(runpy.run_path(hello.main, run_name="__mp_main__"))
        sys.modules["__main__"] = sys.modules["__mp_main__"] = script
    agent: Agent = pickle.loads(hello.agent)  # noqa: S301 - our parent's own bytes
    return agent


def _bound_memory(more: int) -> None:
    """Let the address space grow by at most so many bytes from here on."""
    if not PAGES.exists():
        return  # macOS has no such bound: a leak is then the machine's to notice
    used = int(PAGES.read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + more, used + more))


def _received(incoming: BinaryIO, kind: type[M]) -> M:
    header = incoming.read(HEADER_BYTES)
    if len(header) < HEADER_BYTES:
        sys.exit(0)  # the parent closed the line
    return msgspec.json.decode(incoming.read(int.from_bytes(header, "big")), type=kind)
