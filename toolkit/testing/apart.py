"""Work that has an event loop of its own, called from wherever there may be one already."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def apart(work: Callable[[], T]) -> T:
    """Do the work here, or, where a loop runs already, on a thread that is waited for.

    Not always on a thread: a module that calls this while it is imported holds its own import
    lock, and whoever pickles a class of that module on another thread would wait for it for ever.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(work).result()
