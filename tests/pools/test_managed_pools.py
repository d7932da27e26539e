"""V4 pools on a real node, filled and taxed as on mainnet: swaps leave what we predict."""

import random

from tests.pools.venue import AnvilMachine, Refused, Venue
from tests.pools.venue_v4 import FEE_SETTER, VenueV4
from toolkit.model.errors import PoolError
from toolkit.pools.concentrated_v4 import DYNAMIC_FEE, ConcentratedV4
from toolkit.pools.snapshot import PoolSpec
from toolkit.pools.swaps import Swapped

SWAPS = 8


def filled(
    venue: VenueV4, fee: int, spacing: int, rng: random.Random, *, native: bool = False
) -> tuple[PoolSpec, set[int]]:
    """Initialise a pool and add nested positions; return also the ticks that they use."""
    tick = rng.randrange(-2000, 2000)
    spec = venue.make_pool(fee, spacing, tick, rng.randrange(1000), native=native)
    used = set()
    for _ in range(5):
        lower = (tick - rng.randrange(1, 1500)) // spacing * spacing
        upper = (tick + rng.randrange(1, 1500)) // spacing * spacing + spacing
        venue.modify(spec, lower, upper, int(10 ** rng.uniform(14, 18)))
        used |= {lower, upper}
    return spec, used


def predicted(
    state: ConcentratedV4, specified: int, *, zero_for_one: bool
) -> Swapped[ConcentratedV4] | None:
    """What the reference says of a swapper's question; None where it is refused."""
    into, out = (state.token0, state.token1)[:: 1 if zero_for_one else -1]
    try:
        return state.swap(into, -specified) if specified < 0 else state.swap_out(out, specified)
    except PoolError:
        return None


def test_swaps_through_the_manager_leave_the_predicted_state(
    twin: tuple[str, Venue], seed: int
) -> None:
    """Static, taxed and native, and dynamic fees; ids, fees and ticks are read from storage."""
    rng = random.Random(seed)
    machine = twin[1].machine
    assert isinstance(machine, AnvilMachine)
    machine.rpc("anvil_setBalance", FEE_SETTER, hex(10**20))
    venue = VenueV4(twin[1])
    pools = (
        filled(venue, 3000, 60, rng),
        filled(venue, 500, 10, rng, native=True),
        filled(venue, DYNAMIC_FEE, 32, rng),
    )
    venue.charge(pools[1][0], 1000, 1)
    venue.set_fee(pools[2][0], 123_456)
    for spec, used in pools:
        for _ in range(SWAPS):
            state = venue.read_pool(spec, used)
            state.check_id()
            down, specified = rng.random() < 0.5, int(10 ** rng.uniform(3, 14))
            specified *= rng.choice((-1, 1))
            expected = predicted(state, specified, zero_for_one=down)
            try:
                venue.swap(spec, specified, zero_for_one=down)
            except Refused:
                assert expected is None, (seed, state, specified)
                continue

            assert expected is not None, (seed, state, specified)
            assert expected.pool == venue.read_pool(spec, used), (seed, state, specified)
