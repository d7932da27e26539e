"""The one place where numba is asked to compile."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from numba import njit

P = ParamSpec("P")
R = TypeVar("R")


def jit(function: Callable[P, R]) -> Callable[P, R]:
    """Compile at the first call, without the GIL, keeping the result on disk.

    The cache lies beside the module, in the user's cache folder where that is read-only, or in
    NUMBA_CACHE_DIR. Division by zero follows IEEE 754 and raises nothing.
    """
    compiled = njit(cache=True, nogil=True, error_model="numpy")(function)
    return cast(Callable[P, R], compiled)
