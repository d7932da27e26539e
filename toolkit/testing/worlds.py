"""Every kind of seeded world by name: one call, one seed, one life."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from toolkit.testing import (
    delegations,
    desks,
    leaders,
    lives,
    refusals,
    second_lives,
    silences,
    tellings,
)
from toolkit.testing.coverage import Coverage
from toolkit.testing.disks import live_on_a_disk, live_on_a_file
from toolkit.testing.keys import live_with_keys
from toolkit.testing.nodes import live_with_nodes
from toolkit.testing.power import live_with_power_cuts
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
        "silent": partial(run_one, second_lives.lives_world, schedule=silences.Silent),
        "moved": partial(run_one, silences.moving_world, schedule=silences.Moved),
        "hung": partial(run_one, silences.hanging_world, schedule=silences.InStep),
        "followed": partial(run_one, lives.calm_world, schedule=leaders.Followed),
        "told": partial(run_one, lives.calm_world, schedule=tellings.Listened),
        "crowded": partial(run_one, lives.calm_world, schedule=tellings.Crowded),
        "delegating": partial(
            run_one, delegations.delegating_world, schedule=delegations.Delegating
        ),
        "delegated": partial(run_one, delegations.gapped_world, schedule=delegations.Delegated),
        "refused": partial(run_one, refusals.still_world, schedule=refusals.Refused),
        "disk": live_on_a_disk,
        "file": live_on_a_file,
        "power": live_with_power_cuts,
        "rivals": live_among_rivals,
        "keys": live_with_keys,
        "nodes": live_with_nodes,
    }
)
"""Each takes a seed, lives it, and raises what broke."""
