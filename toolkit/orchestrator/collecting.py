"""When Python may look for garbage: not between a block and what is sent because of it.

A search goes through every object there is, which takes longer than many decisions. What is not
freed at once, because it refers to itself, is found in the seconds that are waited for a head.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Put searches for garbage off until the end; where several overlap, until the first's.

    Who has turned them off altogether finds them so.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
