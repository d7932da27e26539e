"""How a head is shown to lanes."""

import asyncio
import gc
import random

import pytest

from tests.tx.desk import PAYMENT, Desk
from toolkit.testing.fakes import World


@pytest.mark.parametrize("turns", range(1, 8))
async def test_everything_can_be_cancelled_at_any_turn_of_a_head(turns: int) -> None:
    """As Ctrl-C does: no look is left that nobody awaits, and the next head finds what it finds."""
    desk = Desk(World(random.Random(7), delay=1.0))
    scheduler = await desk.open()
    sent = await scheduler.send(PAYMENT)
    hasty = asyncio.create_task(desk.mine())
    for _ in range(turns):
        await asyncio.sleep(0)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for one in (hasty, *others):
        one.cancel()
    await asyncio.gather(hasty, *others, return_exceptions=True)
    gc.collect()
    await desk.mine()

    assert "confirmed" == sent.status().state
    await desk.close()
