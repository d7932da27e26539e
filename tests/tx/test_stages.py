import random
from collections import Counter

import pytest

from tests.tx.desk import PAYMENT, Desk
from toolkit.testing.fakes import World
from toolkit.tx import scheduler as scheduler_module
from toolkit.tx.stages import Stage


async def test_every_stage_is_reached_in_one_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """One request that is sent, asked about and mined passes every point where it may be killed."""
    monkeypatch.setattr(scheduler_module, "CHECKPOINT_ENTRIES", 1)
    desk = Desk(World(random.Random(7)))
    seen: list[Stage] = []
    desk.on_stage = seen.append
    scheduler = await desk.open()
    first = await scheduler.send(PAYMENT)
    await first.speed_up()
    await desk.mine()
    await desk.mine()
    await desk.close()

    assert set(Stage) == set(seen)
    order = [stage for stage in seen if Counter(seen)[stage] >= 1]
    accepted = order.index(Stage.ACCEPTED)
    assert [
        Stage.CHECKED,
        Stage.ACCEPTED,
        Stage.SIGNED,
        Stage.PREPARED,
        Stage.DURABLE,
        Stage.SENT,
        Stage.ANSWERED,
    ] == order[accepted - 1 : accepted + 6]
