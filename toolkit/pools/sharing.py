"""Work on arrays shared by threads; kernels hold no lock while they run."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def share_out(work: Callable[[T], None], parts: Sequence[T]) -> None:
    """Do the first part here and each other one in a thread of its own; return when all is done."""
    first, *others = parts
    if not others:
        work(first)
        return
    with ThreadPoolExecutor(len(others)) as pool:
        started = [pool.submit(work, part) for part in others]
        work(first)
    for one in started:
        one.result()
