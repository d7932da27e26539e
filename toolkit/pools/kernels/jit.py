"""The one place where numba is asked to compile."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from numba import njit

P = ParamSpec("P")
R = TypeVar("R")


def jit(function: Callable[P, R]) -> Callable[P, R]:
    """Compile at the first call, without the GIL, keeping the result on disk.

    The cache lies in NUMBA_CACHE_DIR if that is set, else beside the module, else (a read-only
    install) in the user's cache folder. Division by zero follows IEEE 754 and raises nothing.
    """
    try:
        compiled = njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        # Not one of the three places is writable: each process then compiles for itself.
        compiled = njit(nogil=True, error_model="numpy")(function)
    return cast(Callable[P, R], compiled)
