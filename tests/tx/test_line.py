import asyncio

import pytest

from toolkit.tx.line import Line


async def _act(
    line: Line, name: str, ready: asyncio.Event, acted: list[str], *, priority: int = 0
) -> None:
    with line.enter(priority) as place:
        await ready.wait()
        await place.first()
        acted.append(name)


async def test_callers_act_in_the_order_in_which_they_came() -> None:
    """Whoever is ready first still waits for those before."""
    line, acted = Line(), list[str]()
    ready = [asyncio.Event() for _ in range(3)]
    tasks = [asyncio.create_task(_act(line, str(i), ready[i], acted)) for i in range(3)]
    await asyncio.sleep(0)
    for event in (ready[2], ready[0], ready[1]):
        event.set()
        for _ in range(5):
            await asyncio.sleep(0)
    await asyncio.gather(*tasks)

    assert ["0", "1", "2"] == acted


async def test_who_gives_up_does_not_let_others_overtake() -> None:
    """Behind a caller that failed, the next one still waits for the one before both."""
    line, acted = Line(), list[str]()
    ready = [asyncio.Event() for _ in range(3)]
    tasks = [asyncio.create_task(_act(line, str(i), ready[i], acted)) for i in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    ready[2].set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert [] == acted
    ready[0].set()
    await asyncio.gather(tasks[0], tasks[2])

    assert ["0", "2"] == acted
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]
    assert {} == line._last


async def test_an_urgent_caller_does_not_wait_for_others() -> None:
    """Each priority is a line of its own."""
    line, acted = Line(), list[str]()
    slow, fast = asyncio.Event(), asyncio.Event()
    tasks = [
        asyncio.create_task(_act(line, "slow", slow, acted)),
        asyncio.create_task(_act(line, "urgent", fast, acted, priority=1)),
    ]
    fast.set()
    await tasks[1]
    slow.set()
    await tasks[0]

    assert ["urgent", "slow"] == acted
