"""The one place where numba is asked to compile, and where it is told what that took."""

import functools
import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar, cast

from numba import config, njit
from numba.core.caching import FunctionCache

from toolkit.logs import log_of

P = ParamSpec("P")
R = TypeVar("R")

_UNREADABLE = (ImportError, AttributeError, EOFError, pickle.UnpicklingError)

COMPILED = not config.DISABLE_JIT
"""False under NUMBA_DISABLE_JIT=1: whoever has exact kernels asks the plain integers instead."""


def jit(function: Callable[P, R]) -> Callable[P, R]:
    """Compile at the first call, without the GIL, keeping the result on disk.

    The cache lies in NUMBA_CACHE_DIR if that is set, else beside the module, else (a read-only
    install) in the user's cache folder. It is good as long as no source in this folder, nor in
    that of the kernel, changed.
    Division by zero follows IEEE 754 and raises nothing.
    """
    compiled = njit(nogil=True, error_model="numpy")(function)
    if COMPILED:
        try:
            compiled._cache = _Cache(function)  # noqa: SLF001 - what njit(cache=True) does
        except RuntimeError as error:
            # Not one of the three places is writable: each process then compiles for itself.
            if "no locator available" not in str(error):
                raise
    return cast(Callable[P, R], compiled)


def part(function: Callable[P, R]) -> Callable[P, R]:
    """Compile into the kernels that call it; it has no entry and no file of its own."""
    return _part(function, inline=False)


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """A part that LLVM must put in place of each call: for what is small, or called once."""
    return _part(function, inline=True)


def _part(function: Callable[P, R], *, inline: bool) -> Callable[P, R]:
    # Said either way, because a part that says nothing is compiled as its first caller is.
    compiled = njit(
        nogil=True,
        error_model="numpy",
        forceinline=inline,
        no_cpython_wrapper=True,
        no_cfunc_wrapper=True,
    )(function)
    return cast(Callable[P, R], compiled)


class _Cache(FunctionCache):  # type: ignore[misc] # numba has no types
    """Numba's cache, which looks at a kernel's own file only: here at all it may be made of.

    What is not found is compiled next, and takes seconds: whoever listens can show that.
    """

    def load_overload(self, sig: object, target_context: object) -> object:
        try:
            found: object = super().load_overload(sig, target_context)
        except _UNREADABLE:  # of an older version, whose types were elsewhere: as good as none
            self.flush()
            found = None
        if found is None:
            log_of(__name__).info("kernel_compiling", kernel=self._kernel())
        return found

    def save_overload(self, sig: object, data: object) -> None:
        log_of(__name__).info("kernel_compiled", kernel=self._kernel())
        super().save_overload(sig, data)

    def _index_key(self, sig: object, codegen: object) -> tuple[object, ...]:
        own = Path(self._py_func.__code__.co_filename).parent
        return (*super()._index_key(sig, codegen), _sources(Path(__file__).parent), _sources(own))

    def _kernel(self) -> str:
        return f"{self._py_func.__module__}.{self._py_func.__qualname__}"


@functools.cache
def _sources(folder: Path) -> str:
    """The digest of every source in a folder."""
    total = hashlib.sha256()
    for file in sorted(folder.glob("*.py")):
        total.update(file.read_bytes())
    return total.hexdigest()
