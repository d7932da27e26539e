import random
from typing import Any

import pytest

from tests.routing.graphs import TOKENS, concentrated, outcome, pair, profit
from toolkit.model.chain import Address
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.packed import Packed, Quotes
from toolkit.routing.curves import Routable
from toolkit.routing.cycles.sizing import path_of, size

A, B, C, *_ = TOKENS
MOST = 10**24


def constant(ends: tuple[Address, Address], reserve0: int, reserve1: int) -> ConstantProduct:
    return ConstantProduct(
        id=Address(f"0x{reserve0 << 80 | reserve1:040x}"),
        token0=ends[0],
        token1=ends[1],
        reserve0=reserve0,
        reserve1=reserve1,
    )


def test_small_cycles_are_sized_as_by_trying_every_input(seed: int) -> None:
    """With reserves of a few thousand, where roundings rule, no input at all pays more."""
    rng = random.Random(seed)
    paying = 0
    for _ in range(300):
        pools = [pair(rng, ends, 10 ** rng.uniform(1.5, 3.3), 0.4) for ends in ((A, B), (A, B))]
        path = path_of(pools, A)
        best = max(profit(path.pools, A, amount) for amount in range(1, 2500))
        found = size(path, rng.randrange(1, 100), max_input=MOST)
        paying += best > 0

        assert best <= 0 or (found is not None and profit(path.pools, A, found) == best), seed
    assert paying > 30


def test_a_bad_start_finds_the_same_optimum(seed: int) -> None:
    """The float proposal only saves time: from far off the integers end at the same profit."""
    rng = random.Random(seed)
    paying = 0
    for _ in range(12):
        pools: list[Routable] = [pair(rng, (A, B), 1e21, 0.1), concentrated(rng, (A, B), 1e21, 0.1)]
        path = path_of(pools[:: rng.choice([1, -1])], A)
        ends = [size(path, start, max_input=MOST) for start in (10**10, 10**14, 10**19)]
        profits = [-1 if end is None else profit(path.pools, A, end) for end in ends]
        paying += max(profits) > 0

        assert max(profits) <= 0 or max(profits) - min(profits) <= 2, (seed, profits)
    assert paying > 0


def test_a_start_that_no_pool_can_take_is_halved() -> None:
    """From an amount beyond all liquidity the same optimum is found as from a small one."""
    test_a_bad_start_finds_the_same_optimum(3039975615)


def test_nothing_is_spent_that_a_rounding_swallows() -> None:
    """Into a token of few decimals, many inputs buy the same: the least of them is taken."""
    path = path_of(
        [constant((A, B), 10**21, 2 * 10**9), constant((A, B), 11 * 10**20, 2 * 10**9)], B
    )
    reverse = path_of([path.pools[0], path.pools[1]][::-1], A)
    found = size(reverse, 10**18, max_input=MOST)
    assert found is not None
    amounts = reverse.amounts(found)
    less = reverse.amounts(found - 1)

    assert amounts is not None
    assert less is None or less[-1] < amounts[-1]


def test_the_largest_input_is_respected() -> None:
    """A start beyond the bound and a pull beyond it both end at it."""
    path = path_of([constant((A, B), 10**20, 2 * 10**20), constant((A, B), 10**20, 10**20)], A)

    assert size(path, 10**19, max_input=1000) == 1000


def test_an_impossible_cycle_has_no_size() -> None:
    """Where no amount passes through all pools there is no answer."""
    drained = path_of([constant((A, B), 10**20, 1), constant((A, B), 10**20, 10**20)], A)

    assert size(drained, 5, max_input=MOST) is None
    assert drained.amounts(10**30) is None
    assert drained.least_input(10**20) is None


def test_sizing_ends_soon_however_coarse_the_tokens(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one unit of a token is worth 10^12 of another, no slope of roundings is climbed."""
    asked: list[int] = []
    quote_in = Packed.quote_in

    def counted(packed: Packed, *query: Any) -> Quotes:
        asked.append(len(query[0]))
        return quote_in(packed, *query)

    monkeypatch.setattr(Packed, "quote_in", counted)
    rng = random.Random(seed)
    for _ in range(60):
        units = {token: 10 ** rng.choice([6, 8, 18]) for token in (A, B, C)}
        pools = []
        for ends in ((A, B), (B, C), (A, C)):
            depth, noise = 10 ** rng.uniform(2, 6), rng.gauss(1, 0.02)
            reserves = [int(depth * units[ends[0]]), int(depth * noise * units[ends[1]])]
            pools.append(constant(ends, *reserves))
        asked.clear()
        size(path_of(pools, A), units[A], max_input=MOST)

        assert sum(asked) < 20_000, (seed, units)
        assert len(asked) < 120, (seed, units)


def test_no_input_a_power_of_two_away_pays_more(seed: int) -> None:
    """From the float optimum: over V2 and V3, coarse tokens and fine ones."""
    rng = random.Random(seed)
    proven = 0
    for _ in range(30):
        units = {token: 10 ** rng.choice([6, 18]) for token in (A, B, C)}
        pools: list[Routable] = []
        for ends in ((A, B), (B, C), (A, C)):
            depth, noise = 10 ** rng.uniform(2, 6), rng.gauss(1, 0.02)
            reserves = [int(depth * units[ends[0]]), int(depth * noise * units[ends[1]])]
            pools.append(constant(ends, *reserves))
        if units[A] == units[B]:
            pools[0] = concentrated(rng, (A, B), 10 ** rng.uniform(2, 6) * units[A], 0.02)
        path = path_of(pools, A)
        best = size(path, units[A], max_input=MOST)
        if best is None:
            continue
        gain = profit(path.pools, A, best)
        proven += gain > 0
        for step in (1 << power for power in range(best.bit_length() + 2)):
            for other in (best - step, best + step):
                out = outcome(path.pools, A, other) if other > 0 else None
                assert out is None or out - other <= gain, (seed, best, other)
    assert proven > 3
