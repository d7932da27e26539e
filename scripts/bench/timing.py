"""Medians of repeated runs, ours and a peer's in turn so that both meet the same disturbances."""

import statistics
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version

Work = Callable[[], Awaitable[object]]


def versions(*names: str) -> dict[str, str]:
    """Return the installed versions of distributions."""
    return {name: version(name) for name in names}


async def medians(works: tuple[Work, ...], *, rounds: int, warm_up: int = 1) -> list[float]:
    """Return each work's median seconds over rounds in which all of them run once."""
    times: list[list[float]] = [[] for _ in works]
    for number in range(warm_up + rounds):
        for taken, work in zip(times, works, strict=True):
            start = time.perf_counter()
            await work()
            if number >= warm_up:
                taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in times]
