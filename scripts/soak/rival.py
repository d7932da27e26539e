"""One of several processes that pay from the same key, with one journal, in turns.

`python -m scripts.soak.rival` with an `Errand` as JSON on stdin. It waits until it gets the key,
pays what it has to pay, and gives the key back. SIGUSR1 tells it to take the key over from
whoever holds it. What it lost to somebody else it begins again: each payment has an idempotency
key, so what the other one has carried on is found and not paid twice.
"""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import msgspec

from scripts.soak.sender import PAYEE, Ledger
from toolkit.chain.signer import LocalSigner
from toolkit.journal.sqlite import SqliteBackend
from toolkit.model.errors import (
    ConfigError,
    JournalUnavailable,
    LaneHalted,
    LeaseLost,
    NodeError,
    ToolkitError,
)
from toolkit.model.tx import TransactionRequest, Urgency, Visibility
from toolkit.session import Session, connect
from toolkit.tx.leases import Leases

RETRY_S = 0.02
LOST = (LeaseLost, JournalUnavailable, LaneHalted)
"""What a process meets that was overtaken, or whose session ended for it."""


class Errand(msgspec.Struct, frozen=True, kw_only=True):
    """What one process is to do."""

    rpc_url: str
    folder: str  # of the journal and the leases, which all share
    own: str  # of its own note of ends
    key: str
    first: int
    payments: int
    window: int


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """What a process tells, a line each: ready, holds, lost or done.

    "ready" says that it hears SIGUSR1; sent earlier, that would end the process.
    """

    what: str
    why: str = ""


def tell(what: str, why: str = "") -> None:
    """Write a line for the parent at once."""
    sys.stdout.buffer.write(msgspec.json.encode(Word(what=what, why=why)) + b"\n")
    sys.stdout.buffer.flush()


class Turn:
    """Whether the next try is to take the key over."""

    def __init__(self) -> None:
        self.takeover = False
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self._asked)

    def _asked(self) -> None:
        self.takeover = True


async def pay(session: Session, errand: Errand, ledger: Ledger) -> None:
    """Pay all that has no end yet, and note each end."""
    last = errand.first + errand.payments
    todo = (number for number in range(errand.first, last) if number not in ledger.ends)

    async def clerk() -> None:
        for number in todo:
            request = TransactionRequest(to=PAYEE, value=number + 1, gas=21_000)
            sent = await session.send(
                request,
                visibility=Visibility.PUBLIC,
                idempotency_key=f"pay-{number}",
                simulate=False,
                urgency=Urgency.NEXT_BLOCK,
            )
            outcome = await sent.wait()
            ledger.note(number, type(outcome).__name__)

    try:
        async with asyncio.TaskGroup() as clerks:
            for _ in range(errand.window):
                clerks.create_task(clerk())
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None


async def hold(errand: Errand, ledger: Ledger, *, takeover: bool) -> str:
    """Get the key and pay; "done", or what kept it from that."""
    folder = Path(errand.folder)
    leases = Leases(folder, takeover=takeover)
    try:
        backend = SqliteBackend(folder / "journal.db", takeover=takeover)
    except (ConfigError, JournalUnavailable) as error:
        leases.close()
        return f"refused {type(error).__name__}"
    held = False
    try:
        signer = LocalSigner(errand.key)
        async with connect(
            errand.rpc_url, signer=signer, journal=backend, leases=leases
        ) as session:
            held = True
            tell("holds")
            await pay(session, errand, ledger)
    except (*LOST, ConfigError, NodeError) as error:
        return f"{'lost' if held else 'refused'} {type(error).__name__}"
    finally:
        backend.close()
        with suppress(ToolkitError):
            leases.close()
    return "done"


async def live(errand: Errand) -> None:
    """Try until everything has ended."""
    ledger, turn = Ledger(Path(errand.own)), Turn()
    tell("ready")
    while True:
        takeover, turn.takeover = turn.takeover, False
        what, _, why = (await hold(errand, ledger, takeover=takeover)).partition(" ")
        if takeover and what == "refused":
            turn.takeover = True  # whoever holds it was stopped inside a write
        if what != "refused":
            tell(what, why)
        if what == "done":
            return
        await asyncio.sleep(RETRY_S)


def main() -> None:
    """Live one process's life."""
    errand = msgspec.json.decode(os.read(0, 1 << 16), type=Errand)
    asyncio.run(live(errand))


if __name__ == "__main__":
    main()
