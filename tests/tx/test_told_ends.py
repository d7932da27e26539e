# ruff: noqa: ARG002 - the fakes take what the real ones take
"""An author is told an end only once it is durable; whoever is overtaken is told that instead."""

import asyncio
import logging
import random
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from tests.tx.desk import CONFIG, PAYMENT, Desk
from toolkit.journal.chain import Entry
from toolkit.journal.log import Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.journal.sqlite import SqliteBackend
from toolkit.model.chain import HeadChange, Mode
from toolkit.model.errors import (
    ConfigError,
    GasLimitTooHigh,
    JournalUnavailable,
    LaneHalted,
    LeaseLost,
)
from toolkit.model.tx import Attempt, Confirmed
from toolkit.testing.fakes import OWNER, Mempool, World
from toolkit.tx.scheduler import TransactionScheduler


class Disk(MemoryBackend):
    """A disk that is full, or takes its time, when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.full = False
        self.spins = threading.Event()
        self.spins.set()

    def write(self, entries: Sequence[Entry]) -> None:
        self.spins.wait()
        if self.full:
            raise JournalUnavailable("disk full")
        super().write(entries)


@pytest.fixture
def desk() -> Desk:
    """A desk whose disk may fail."""
    desk = Desk(World(random.Random(7)))
    desk.backend = Disk()
    return desk


@pytest.fixture
def disk(desk: Desk) -> Iterator[Disk]:
    """The desk's disk; in the end it spins."""
    assert isinstance(desk.backend, Disk)
    disk = desk.backend
    yield disk
    disk.spins.set()


def ended(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Of which requests a line has said that they ended."""
    told = [one.msg for one in caplog.records if isinstance(one.msg, dict)]
    return [one["request"] for one in told if one["event"] == "request_ended"]


async def turns(count: int = 20) -> None:
    """Let everything happen that needs no more than the loop."""
    for _ in range(count):
        await asyncio.sleep(0)


async def overtake(desk: Desk, path: Path) -> TransactionScheduler:
    """Another process takes the journal over; the old one notices at its next write."""
    journal = Journal(SqliteBackend(path, takeover=True))
    scheduler = TransactionScheduler(
        desk.world,
        signers=[OWNER],
        journal=journal,
        oracle=desk.world,
        chain_id=1,
        mode=Mode.DEV,
        config=CONFIG,
        public=desk.public,
    )
    await scheduler.start()
    return scheduler


async def test_an_end_is_told_when_its_batch_is_durable(desk: Desk, disk: Disk) -> None:
    """While the disk still writes the entry, who waits goes on waiting."""
    scheduler = await desk.open()
    sent = await scheduler.send(PAYMENT)
    waiting = asyncio.create_task(sent.wait())
    disk.spins.clear()
    mining = asyncio.create_task(desk.mine())
    await turns()
    told_early = waiting.done()
    disk.spins.set()
    await mining
    outcome = await waiting

    assert (False, True) == (told_early, isinstance(outcome, Confirmed))
    assert "tx.outcome" in [entry.kind for entry in disk.rows]


async def test_nothing_tells_an_end_before_it_is_durable(
    desk: Desk, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither states nor lines nor counts; all of them do once the disk has it."""
    caplog.set_level(logging.INFO, "toolkit")
    scheduler = await desk.open()
    sent = await scheduler.send(PAYMENT)
    unsent = await scheduler.send(PAYMENT, after=sent)
    disk.spins.clear()
    at_once = sent.tx_hash
    calls = [asyncio.create_task(desk.mine()), asyncio.create_task(unsent.cancel())]
    await turns()
    early, lines = scheduler.statistics(), ended(caplog)
    states = [one.status().state for one in (sent, unsent)]
    untold = (sent.tx_hash, unsent.tx_hash, early.open, early.confirmed, early.cancelled)
    disk.spins.set()
    await asyncio.gather(*calls)
    late = scheduler.statistics()

    assert (["broadcast", "queued"], []) == (states, lines)
    assert (at_once, None, 2, 0, 0) == untold
    assert ["confirmed", "cancelled"] == [one.status().state for one in (sent, unsent)]
    assert {sent.request_id, unsent.request_id} == set(ended(caplog))
    assert (0, 1, 1) == (late.open, late.confirmed, late.cancelled)


async def test_what_the_disk_refused_has_not_ended_in_any_word(
    desk: Desk, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    """The next process still sends it: "cancelled" would be a lie for ever."""
    caplog.set_level(logging.INFO, "toolkit")
    scheduler = await desk.open()
    sent = await scheduler.send(PAYMENT)
    unsent = await scheduler.send(PAYMENT, after=sent)
    disk.full = True
    with pytest.raises(JournalUnavailable):
        await unsent.cancel()

    told = scheduler.statistics()
    assert ("queued", 0, 2) == (unsent.status().state, told.cancelled, told.open)
    assert [] == ended(caplog)


async def test_a_confirmed_end_is_mined_until_it_is_durable(desk: Desk, disk: Disk) -> None:
    """Deep enough by now, says the chain; under how much, says only what is on disk."""
    desk.config = msgspec.structs.replace(CONFIG, confirmations=2)
    scheduler = await desk.open()
    sent = await scheduler.send(PAYMENT)
    await desk.mine()
    disk.spins.clear()
    mining = asyncio.create_task(desk.mine())
    await turns()
    early, still_open = sent.status(), scheduler.statistics().open
    disk.spins.set()
    await mining

    assert ("mined", 1, "confirmed") == (early.state, still_open, sent.status().state)


async def test_an_end_that_the_disk_refused_is_not_told(
    desk: Desk, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    """Before and after the failure, also by a new handle, `wait` raises it; a line says so once."""
    caplog.set_level(logging.INFO, "toolkit")
    scheduler = await desk.open()
    sent, behind = await scheduler.send(PAYMENT), await scheduler.send(PAYMENT)
    unheld = (await scheduler.send(PAYMENT)).request_id
    waiting = [asyncio.create_task(one.wait()) for one in (sent, behind)]
    await turns()
    disk.full = True
    with pytest.raises(JournalUnavailable):
        await desk.mine(capacity=1)
    told = await asyncio.gather(*waiting, sent.wait(), return_exceptions=True)

    assert [JournalUnavailable] * 3 == [type(one) for one in told]
    assert not any(entry.kind == "tx.outcome" for entry in disk.rows)
    with pytest.raises(JournalUnavailable, match="disk full"):
        await asyncio.wait_for(scheduler.request(unheld).wait(), 5)
    lost = [one.msg for one in caplog.records if one.levelno == logging.ERROR]
    assert [{"event": "journal_lost", "mode": "DEV", "why": "disk full"}] == lost


async def test_what_was_durable_before_is_told_after(desk: Desk, disk: Disk) -> None:
    """A failure takes nothing back."""
    scheduler = await desk.open()
    sent = await scheduler.send(PAYMENT)
    await desk.mine()
    disk.full = True
    with pytest.raises(JournalUnavailable):
        await scheduler.send(PAYMENT)

    assert isinstance(await sent.wait(), Confirmed)


async def test_a_refusal_is_raised_once_it_is_durable(desk: Desk, disk: Disk) -> None:
    """What `send` raises as never sent must stay so for the next process."""

    class Refusing(Mempool):
        async def send(self, attempt: Attempt, *, target_block: int) -> None:
            disk.full = True
            raise GasLimitTooHigh("exceeds block gas limit")

    desk.public = Refusing(desk.world)
    scheduler = await desk.open()

    with pytest.raises(JournalUnavailable, match="disk full"):
        await scheduler.send(PAYMENT)


async def test_who_was_overtaken_is_told_so_and_the_successor_knows_the_end(
    desk: Desk, tmp_path: Path
) -> None:
    """Both see the block; only the one whose journal takes it down tells it."""
    desk.backend = SqliteBackend(tmp_path / "j.db")
    scheduler = await desk.open()
    sent = await scheduler.send(PAYMENT)
    waiting = asyncio.create_task(sent.wait())
    await turns()
    heir = await overtake(desk, tmp_path / "j.db")
    with pytest.raises(LeaseLost):
        await desk.mine()
    with pytest.raises(LeaseLost):
        await waiting
    with pytest.raises(LeaseLost):
        await sent.wait()

    await heir.on_head(HeadChange(added=(desk.world.tip,)))
    assert isinstance(await heir.request(sent.request_id).wait(), Confirmed)
    await heir.close()
    await desk.close()


async def test_closing_after_a_takeover_tells_who_waits(
    desk: Desk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The last write is refused: that is what handles raise, not that all goes on here."""
    caplog.set_level(logging.INFO, "toolkit")
    desk.backend = SqliteBackend(tmp_path / "j.db")
    scheduler = await desk.open()
    sent = await scheduler.send(PAYMENT)
    waiting = asyncio.create_task(sent.wait())
    await turns()
    heir = await overtake(desk, tmp_path / "j.db")
    await desk.close()
    with pytest.raises(LeaseLost):
        await waiting

    await heir.close()
    names = [one.msg["event"] for one in caplog.records if isinstance(one.msg, dict)]
    assert 1 == names.count("journal_lost")


async def test_a_closed_scheduler_says_that_it_is_closed(desk: Desk) -> None:
    """Without a failure, what is open goes on at the next start, and handles say that."""
    scheduler = await desk.open()
    sent = await scheduler.send(PAYMENT)
    waiting = asyncio.create_task(sent.wait())
    await turns()
    await scheduler.close()

    with pytest.raises(LaneHalted, match="next start"):
        await waiting


async def test_requests_are_found_by_id(desk: Desk, disk: Disk) -> None:
    """Open or ended, in this process or an earlier one; what nobody knows is refused in a line."""
    scheduler = await desk.open()
    ended = await scheduler.send(PAYMENT)
    await desk.mine()
    still_open = await scheduler.send(PAYMENT)
    await desk.close()
    desk.backend = MemoryBackend(disk.rows)
    scheduler = await desk.open()

    assert isinstance(await scheduler.request(ended.request_id).wait(), Confirmed)
    found = scheduler.request(still_open.request_id)
    assert (still_open.tx_hash, "broadcast") == (found.tx_hash, found.status().state)
    with pytest.raises(ConfigError, match=r"^no request here is called 'tx-99'; .+$"):
        scheduler.request("tx-99")
