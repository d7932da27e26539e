"""Whether a route still gives what it says: hop after hop, in the pools' own integers."""

import msgspec

from toolkit.model.errors import PoolError, StaleSnapshot
from toolkit.model.market import PoolId, Route
from toolkit.pools.snapshot import Pool, Snapshot


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """A hop that does not give what its route says, in smallest units of its token out.

    Attributes:
        hop: its place in the route.
        said: what the route says comes out.
        now: what comes out of the pool as it is; 0 where it takes not all that goes in or reverts.
        difference: `now` less `said`, in wei of the token that comes out.
        why: in words of the pool, where it does not take the whole input.
    """

    hop: int
    pool: PoolId
    said: int
    now: int
    difference: int
    why: str = ""


def verify(route: Route, snapshot: Snapshot, *, same_block: bool = False) -> tuple[Moved, ...]:
    """Say which hops of a route moved, and by how much; () while it gives exactly what it says.

    Every hop is asked with the input that the route says, on the state that the hops before it
    leave of its pool: one that moved does not make those after it look moved, unless they go
    through the same pool. Hops are as the pools see them, before what tokens keep of transfers.

    Args:
        route: of an earlier snapshot, or of this one.
        snapshot: what the pools are now.
        same_block: insist on the very block that the route was made on.

    Raises:
        StaleSnapshot: the snapshot is of another block, where `same_block` insists on the route's.
        PoolError: a pool of the route that is not in the snapshot, or set aside.
    """
    block = snapshot.block
    if same_block and block.hash != route.block_hash:
        raise StaleSnapshot(
            f"the route is of block {route.block_number} ({route.block_hash}), the snapshot of "
            f"{block.number} ({block.hash}): ask for a new route, or verify without the same block"
        )
    states: dict[PoolId, Pool] = {hop.pool: snapshot.pool(hop.pool) for hop in route.hops}
    if snapshot.gives(route.hops):
        return ()
    moved = []
    for place, hop in enumerate(route.hops):
        now, why = 0, ""
        try:
            now, states[hop.pool] = states[hop.pool].swap_in(hop.token_in, hop.amount_in)
        except PoolError as error:
            # Safe because a pool that no longer takes the hop is what the caller asks about.
            why = str(error)
        if why or now != hop.amount_out:
            moved.append(
                Moved(
                    hop=place,
                    pool=hop.pool,
                    said=hop.amount_out,
                    now=now,
                    difference=now - hop.amount_out,
                    why=why,
                )
            )
    return tuple(moved)
