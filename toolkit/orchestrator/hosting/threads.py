"""An agent on a thread of its own: it cannot hold up the others, and it is told to stop."""

import asyncio
import contextlib
import ctypes
import threading

from toolkit.orchestrator.hosting.asking import Question, Thought, ask


class Stopped(SystemExit):
    """Raised inside a thread whose answer nobody waits for any more."""


class ThreadHost:
    """Asks one agent, each question on a new thread.

    A thread cannot be ended from outside. One that is late gets an exception, which ends Python
    code at its next instruction; until it has ended (a sleep, a call into machine code) its agent
    is not asked again.
    """

    def __init__(self, *, seconds: float) -> None:
        self._seconds = seconds
        self._busy: threading.Thread | None = None
        self._busy_with = 0

    async def start(self) -> None:
        """Nothing has to be ready."""

    async def ask(self, question: Question) -> Thought:
        """Return the agent's answer, or that it was late."""
        if self._busy is not None and self._busy.is_alive():
            return Thought(lost=f"still busy with block {self._busy_with}")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Thought] = loop.create_future()
        thread = threading.Thread(
            target=_think,
            args=(question, loop, answer),
            daemon=True,
            name=f"agent {question.name}",
        )
        thread.start()
        try:
            async with asyncio.timeout(self._seconds):
                return await answer
        except TimeoutError:
            self._abandon(thread, question)
            return Thought(lost=f"late: no answer within {self._seconds:g} s")
        except asyncio.CancelledError:
            self._abandon(thread, question)
            raise

    async def stop(self) -> None:
        """Nothing to end: a late thread has been told, and goes with the process at the latest."""

    def _abandon(self, thread: threading.Thread, question: Question) -> None:
        self._busy, self._busy_with = thread, question.view.block.number
        interrupt(thread)


def _think(
    question: Question, loop: asyncio.AbstractEventLoop, answer: asyncio.Future[Thought]
) -> None:
    with contextlib.suppress(Stopped):  # safe because its question was given up
        thought = ask(question)
        with contextlib.suppress(RuntimeError):  # safe because a closed loop waits for nothing
            loop.call_soon_threadsafe(_tell, answer, thought)


def _tell(answer: asyncio.Future[Thought], thought: Thought) -> None:
    if not answer.done():
        answer.set_result(thought)


def interrupt(thread: threading.Thread) -> None:
    """Raise `Stopped` inside a thread that still runs."""
    if thread.is_alive() and thread.ident is not None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident), ctypes.py_object(Stopped)
        )
