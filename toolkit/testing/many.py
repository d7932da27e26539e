"""`run_many`: one life for each seed, of a scheduler or of an orchestrator with its agents."""

import random
from collections.abc import Callable, Iterable
from functools import reduce
from operator import add
from typing import overload

from toolkit.model.errors import ConfigError
from toolkit.testing import simulation
from toolkit.testing.apart import apart
from toolkit.testing.coverage import Coverage
from toolkit.testing.fakes import World
from toolkit.testing.orchestra import AgentCoverage, AgentWorld, live


@overload
def run_many(
    world: Callable[[random.Random], World],
    seeds: Iterable[int],
    *,
    schedule: "type[simulation.Schedule] | None" = None,
) -> Coverage: ...


@overload
def run_many(
    world: Callable[[random.Random], AgentWorld], seeds: Iterable[int]
) -> AgentCoverage: ...


def run_many(
    world: Callable[[random.Random], World] | Callable[[random.Random], AgentWorld],
    seeds: Iterable[int],
    *,
    schedule: "type[simulation.Schedule] | None" = None,
) -> Coverage | AgentCoverage:
    """Live one life for each seed; returns what all of them went through.

    Needs no event loop, and may be called inside one.

    Args:
        world: makes the world of one seed: the chain of a scheduler
            (`toolkit.testing.simulation.chaotic_world`), or agents with their orchestrator
            (`toolkit.testing.agent_world`).
        seeds: one life each.
        schedule: another kind of scheduler's life than `Schedule`.

    Raises:
        AssertionError, ToolkitError: an invariant broke; the first note names the seed.
        ConfigError: a schedule for agents, or a world that is none.
    """
    made = world(random.Random(0))  # noqa: S311 - only to see what it is
    if isinstance(made, World):
        return simulation.run_many(world, seeds, schedule=schedule)  # type: ignore[arg-type]
    if not isinstance(made, AgentWorld):
        raise ConfigError(f"world gives a {type(made).__name__}; give a World or an AgentWorld")
    if schedule is not None:
        raise ConfigError("a schedule is what a scheduler lives; a world of agents has none")
    return apart(lambda: _all(world, seeds))  # type: ignore[arg-type]


def _all(world: Callable[[random.Random], AgentWorld], seeds: Iterable[int]) -> AgentCoverage:
    lives = (live(world(random.Random(seed)), seed) for seed in seeds)  # noqa: S311 - as it is
    return reduce(add, lives, AgentCoverage())
