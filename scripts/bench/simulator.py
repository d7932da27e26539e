"""Runs swaps one after the other on plain pools: the judge of every route, and of none's making.

It knows no routing. Each hop is the pool's own `swap_in` on the state that the hops before it left,
paid from what is at hand.
"""

from collections.abc import Iterable, Mapping

from toolkit.model.chain import Address
from toolkit.model.errors import ToolkitError
from toolkit.model.market import Hop, PoolId
from toolkit.pools.snapshot import Pool, Snapshot


class Refused(ToolkitError):
    """A hop that cannot be run, or that does not give what it says."""


def simulate(
    snapshot: Snapshot, hops: Iterable[Hop], at_hand: Mapping[Address, int]
) -> dict[Address, int]:
    """Return what there is of each token after the hops, by token, in smallest units.

    Whoever was lent something at the start owes it still: it is part of `at_hand`.

    Raises:
        Refused: a token is short, or a pool gives another amount than its hop says.
        PoolError: a pool that is gone, or reverts.
    """
    balances = dict(at_hand)
    states: dict[PoolId, Pool] = {}
    for place, hop in enumerate(hops):
        held = balances.get(hop.token_in, 0)
        if hop.amount_in > held:
            raise Refused(
                f"hop {place}: {hop.amount_in} of {hop.token_in} are needed, {held} are there"
            )
        before = states.get(hop.pool) or snapshot.pool(hop.pool)
        if {hop.token_in, hop.token_out} != {before.token0, before.token1}:
            raise Refused(f"hop {place}: pool {hop.pool} has other tokens")
        given, states[hop.pool] = before.swap_in(hop.token_in, hop.amount_in)
        if given != hop.amount_out:
            raise Refused(
                f"hop {place}: pool {hop.pool} gives {given}, the hop says {hop.amount_out}"
            )
        balances[hop.token_in] = held - hop.amount_in
        balances[hop.token_out] = balances.get(hop.token_out, 0) + given
    return balances
