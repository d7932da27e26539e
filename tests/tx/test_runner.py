"""Hand-overs of a head that are cut off: whatever was about to be sent is sent at the next head."""

import asyncio
import random
from collections.abc import AsyncIterator

import msgspec
import pytest

from tests.tx.desk import CONFIG, PAYMENT, Desk
from toolkit.model.tx import Attempt, Confirmed, Exposure
from toolkit.testing.fakes import OWNER, Mempool, World

ONE = msgspec.structs.replace(CONFIG, max_in_flight=1)
"""Limits under which a second request is first handed out by a head."""


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk(World(random.Random(7)))
    yield desk
    await desk.close()


def _exposures(desk: Desk) -> dict[str, Exposure]:
    state = desk.scheduler._runners[OWNER.address].state
    (job,) = state.in_flight()
    return job.last.exposures


async def test_a_head_that_is_cut_off_before_it_is_durable_waits_for_no_answer(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it was about to hand out counts as unknown, and the next head hands it out."""
    desk.config = ONE
    scheduler = await desk.open()
    await scheduler.send(PAYMENT)
    second = await scheduler.send(PAYMENT)
    writing = asyncio.Event()

    async def slow_disk(upto: int | None = None) -> None:
        writing.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(desk.journal, "commit", slow_disk)
    cut = asyncio.create_task(desk.mine())
    await writing.wait()
    cut.cancel()
    await asyncio.wait([cut])
    monkeypatch.undo()

    assert {"public": Exposure.UNKNOWN} == _exposures(desk)
    await desk.mine(capacity=0)
    await desk.mine()
    assert isinstance(await second.wait(), Confirmed)


async def test_a_hand_over_that_breaks_off_waits_for_no_answer(desk: Desk) -> None:
    """A destination that fails in its own way is told of once, and asked again at the next head."""

    class Broken(Mempool):
        whole = True

        async def send(self, attempt: Attempt, *, target_block: int) -> None:
            if attempt.signed.unsigned.nonce == 1 and self.whole:
                self.whole = False
                raise OSError("the plug was pulled")
            await super().send(attempt, target_block=target_block)

    desk.public = Broken(desk.world)
    desk.config = ONE
    scheduler = await desk.open()
    await scheduler.send(PAYMENT)
    second = await scheduler.send(PAYMENT)
    with pytest.raises(OSError, match="plug"):
        await desk.mine()

    assert {"public": Exposure.UNKNOWN} == _exposures(desk)
    await desk.mine(capacity=0)
    await desk.mine()
    assert isinstance(await second.wait(), Confirmed)
