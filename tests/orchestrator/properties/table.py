"""Every property of the orchestrator: a module `fNN_name.py` beside this one with `check(seed)`.

`check` raises AssertionError when the property does not hold for that seed. A module may name
`SEEDS` that once failed. `make test` tries 200 fresh seeds of each, `make soak AREA=orchestrator`
10,000.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Property:
    """One property by name; `says` is the first line of its module's docstring."""

    name: str
    says: str
    check: Callable[[int], None]
    seeds: tuple[int, ...] = ()


def names() -> tuple[str, ...]:
    """Return every property's name, without importing it."""
    return tuple(sorted(path.stem for path in HERE.glob("f[0-9][0-9]_*.py")))


def property_named(name: str) -> Property:
    """Import one property."""
    module = import_module(f"tests.orchestrator.properties.{name}")
    says = (module.__doc__ or "").splitlines()[0]
    return Property(
        name=name, says=says, check=module.check, seeds=tuple(getattr(module, "SEEDS", ()))
    )
