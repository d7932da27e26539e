"""V4 pools on a real node, filled and taxed as on mainnet: swaps leave what we predict."""

import random

from tests.pools.venue import ME, AnvilMachine, Refused, Venue
from tests.pools.venue4 import Key, Venue4
from toolkit.model.chain import ZERO_ADDRESS
from toolkit.model.errors import PoolError
from toolkit.pools.concentrated_v4 import ConcentratedV4, SwappedV4
from toolkit.pools.ticks import MAX_SQRT_PRICE, MIN_SQRT_PRICE, sqrt_price_at_tick

HOOK = "0x" + "7d" * 18 + "4000"  # no bit that the manager calls it for; it only sets the fee
SWAPS = 8


def filled(venue4: Venue4, key: Key, rng: random.Random) -> set[int]:
    """Initialise a pool and add nested positions; return the ticks that they use."""
    spacing, tick = key[3], rng.randrange(-2000, 2000)
    venue4.initialise(key, sqrt_price_at_tick(tick) + rng.randrange(1000))
    used = set()
    for _ in range(5):
        lower = (tick - rng.randrange(1, 1500)) // spacing * spacing
        upper = (tick + rng.randrange(1, 1500)) // spacing * spacing + spacing
        venue4.fill(key, lower, upper, int(10 ** rng.uniform(14, 18)))
        used |= {lower, upper}
    return used


def predicted(
    state: ConcentratedV4, *, zero_for_one: bool, specified: int, limit: int
) -> SwappedV4 | None:
    """What the reference says of PoolSwapTest's question; None where it is refused."""
    into, out = (state.token0, state.token1)[:: 1 if zero_for_one else -1]
    try:
        if specified < 0:
            return state.swap(into, -specified, sqrt_price_limit_x96=limit)
        return state.swap_out(out, specified, sqrt_price_limit_x96=limit)
    except PoolError:
        return None


def test_swaps_through_the_manager_leave_the_predicted_state(
    twin: tuple[str, Venue], seed: int
) -> None:
    """Static, taxed and native, and dynamic fees; ids, fees and ticks are read from storage."""
    rng = random.Random(seed)
    _, venue = twin
    assert isinstance(venue.machine, AnvilMachine)
    venue4 = Venue4(venue.machine, venue.token0, venue.token1)
    keys = (
        venue4.key(3000, 60),
        venue4.key(500, 10, native=True),
        venue4.key(0, 32, hooks=HOOK),
    )
    for key in keys:
        used = filled(venue4, key, rng)
        if key[0] == ZERO_ADDRESS:
            venue4.tax(key, 1000, 1)
        if key[4] == HOOK:
            venue4.set_fee(key, 123_456)
        for _ in range(SWAPS):
            state = venue4.read(key, used)
            state.check_id()
            down, sign = rng.random() < 0.5, rng.choice((-1, 1))
            specified = sign * int(10 ** rng.uniform(3, 17))
            limit = MIN_SQRT_PRICE + 1 if down else MAX_SQRT_PRICE - 1
            expected = predicted(state, zero_for_one=down, specified=specified, limit=limit)
            data = venue4.swap_data(key, zero_for_one=down, specified=specified, limit=limit)
            try:
                venue4.send_from(ME, venue4.swapper, data, 10**19 if key[0] == ZERO_ADDRESS else 0)
            except Refused:
                assert expected is None, (seed, state, specified)
                continue

            assert expected is not None, (seed, state, specified)
            assert expected.pool == venue4.read(key, used), (seed, state, specified)
