"""Every kind of seeded world by name: one call, one seed, one life."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from toolkit.testing import desks, lives, second_lives
from toolkit.testing.coverage import Coverage
from toolkit.testing.disks import live_on_a_disk, live_on_a_file
from toolkit.testing.keys import live_with_keys
from toolkit.testing.nodes import live_with_nodes
from toolkit.testing.rivals import live_among_rivals
from toolkit.testing.simulation import chaotic_world, run_one

WORLDS: Mapping[str, Callable[[int], Coverage]] = MappingProxyType(
    {
        "chaotic": partial(run_one, chaotic_world),
        "stubborn": partial(run_one, lives.stubborn_world, schedule=lives.Stubborn),
        "impatient": partial(run_one, lives.calm_world, schedule=lives.Impatient),
        "hasty": partial(run_one, lives.calm_world, schedule=lives.Hasty),
        "poor": partial(run_one, lives.calm_world, schedule=lives.Poor),
        "lives": partial(run_one, second_lives.lives_world, schedule=second_lives.Lives),
        "rewritten": partial(run_one, second_lives.lives_world, schedule=second_lives.Rewritten),
        "halted": partial(run_one, second_lives.lives_world, schedule=second_lives.Halted),
        "lagging": partial(run_one, lives.lagging_world, schedule=lives.Lagging),
        "desk": partial(run_one, desks.desk_world, schedule=desks.Desk),
        "operator": partial(run_one, lives.calm_world, schedule=desks.Operator),
        "disk": live_on_a_disk,
        "file": live_on_a_file,
        "rivals": live_among_rivals,
        "keys": live_with_keys,
        "nodes": live_with_nodes,
    }
)
"""Each takes a seed, lives it, and raises what broke."""
