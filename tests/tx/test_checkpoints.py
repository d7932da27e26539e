import random
import secrets
from contextlib import suppress

import pytest

from tests.tx.clock import run
from tests.tx.desk import PAYMENT, Desk
from toolkit.journal.log import Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.model.tx import Confirmed
from toolkit.testing.fakes import OWNER, InlineJournal, World
from toolkit.testing.simulation import Schedule, chaotic_world
from toolkit.tx import scheduler as scheduler_module
from toolkit.tx.recovery import recover

SEEDS = 40


@pytest.mark.timeout(120)
def test_recovery_from_a_checkpoint_is_recovery_from_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After any life under faults, crashes and reorgs, both ways lead to the same lanes."""
    monkeypatch.setattr(scheduler_module, "CHECKPOINT_ENTRIES", 1)
    monkeypatch.setattr(scheduler_module, "ENTRIES_A_REQUEST", 1)
    base = secrets.randbits(32)
    print(f"seeds {base}..{base + SEEDS - 1}")
    taken = 0

    for seed in range(base, base + SEEDS):
        schedule = Schedule(chaotic_world, seed)
        # Whether that life was lived right is the simulation's own test; here its journal counts.
        with suppress(AssertionError, LookupError):
            run(schedule.run())
        rows = schedule.backend.rows
        for cut in [*random.Random(seed).sample(range(1, len(rows) + 1), 4), len(rows)]:
            journal = Journal(MemoryBackend(rows[:cut]))
            whole, short = recover(journal, from_start=True), recover(journal)
            assert whole == short, f"seed {seed}, entry {cut}"
            taken += journal.last_checkpoint("tx") is not None

    assert taken > SEEDS


async def test_a_restart_reads_only_what_follows_the_checkpoint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A long life leaves a short reading, and what was under way goes on."""
    monkeypatch.setattr(scheduler_module, "CHECKPOINT_ENTRIES", 100)
    desk = Desk(World(random.Random(7)))
    scheduler = await desk.open()
    for _ in range(200):
        await scheduler.send(PAYMENT)
        await desk.mine()
    sent = await scheduler.send(PAYMENT, idempotency_key="open")
    await desk.close()
    read: list[int] = []

    class Watching(InlineJournal):
        def entries(self, *kinds: str, after: int = 0):  # type: ignore[no-untyped-def] # as it is
            for entry in super().entries(*kinds, after=after):
                read.append(entry.seq)
                yield entry

    recover(Watching(MemoryBackend(list(desk.backend.load()))))
    assert len(read) < 100 + 4 * 70 + 20
    scheduler = await desk.open()
    again = await scheduler.send(PAYMENT, idempotency_key="open")
    await desk.mine()

    assert again.request_id == sent.request_id
    assert isinstance(await again.wait(), Confirmed)
    assert 201 == desk.world.spent
    await desk.close()


async def test_lanes_of_other_keys_survive_a_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that signs for other accounts keeps what it found of this one."""
    monkeypatch.setattr(scheduler_module, "CHECKPOINT_ENTRIES", 1)
    desk = Desk(World(random.Random(7)))
    scheduler = await desk.open()
    await scheduler.send(PAYMENT)
    await desk.mine()
    await desk.close()
    desk.signers = []
    await desk.open()
    before = recover(desk.journal, from_start=True).lanes[OWNER.address]
    await desk.mine()
    await desk.close()
    journal = Journal(desk.backend)

    assert before == recover(journal).lanes[OWNER.address]
    await journal.close()
