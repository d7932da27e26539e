"""Bets sized together."""

import random

import pytest

from tests.orchestrator.worlds import fresh_seeds
from toolkit.model.chain import Address
from toolkit.orchestrator.deciding.covariance import PPB, Covariance
from toolkit.orchestrator.deciding.kelly import Bet, budget, stakes
from toolkit.orchestrator.mainnet import WBTC, WETH

ETHER = 10**18
HORIZON = 100
SIGMA = 500_000  # ppb a block


def bet(
    *,
    edge: float,
    error: float = 1.0,
    most: int = 10**6 * ETHER,
    least: int = 0,
    moves: tuple[tuple[Address, int], ...] = ((WETH.address, 1),),
) -> Bet:
    """A bet with an edge and, relative to it, an error."""
    edge_ppb = round(edge * PPB)
    error_ppb2 = round((edge * error * PPB) ** 2)
    return Bet(
        moves=moves, least_wei=least, most_wei=most, edge_ppb=edge_ppb, error_ppb2=error_ppb2
    )


def sized(
    *bets: Bet, held: dict[Address, int] | None = None, wealth: int = 100 * ETHER
) -> tuple[int, ...]:
    """What the bets may stake at a quarter of Kelly."""
    return stakes(
        bets,
        held_wei=held or {},
        covariance=Covariance(),
        horizon_blocks=HORIZON,
        budget_wei=budget(wealth, 250_000),
    )


def growth(bets: list[Bet], staked: list[int], held: dict[Address, int], wealth: int) -> float:
    """Expected growth, up to a constant, in floats: the other way to the same optimum."""
    covariance = Covariance()
    exposure = dict(held)
    for one, stake in zip(bets, staked, strict=True):
        for token, sign in one.moves:
            exposure[token] = exposure.get(token, 0) + sign * stake
    risk = sum(
        covariance.of(a, b) / PPB**2 * HORIZON * exposure[a] / ETHER * exposure[b] / ETHER
        for a in exposure
        for b in exposure
    )
    risk += sum(
        one.error_ppb2 / PPB**2 * (stake / ETHER) ** 2
        for one, stake in zip(bets, staked, strict=True)
    )
    gain = sum(one.edge_ppb / PPB * stake / ETHER for one, stake in zip(bets, staked, strict=True))
    return gain - risk / (2 * 0.25 * wealth / ETHER)


def test_one_bet_is_the_textbook_fraction() -> None:
    """A lone bet stakes fraction x wealth x edge / (variance + error of the edge)."""
    (staked,) = sized(bet(edge=1e-4))

    expected = 0.25 * 100 * 1e-4 / ((SIGMA / PPB) ** 2 * HORIZON + 1e-8)
    assert expected == pytest.approx(staked / ETHER, rel=1e-6)


def test_two_equal_bets_share_and_get_more_together_only_by_what_errors_average_out() -> None:
    """Two agents with one idea get the same, and little more than one of them alone."""
    alone = sized(bet(edge=1e-4))[0]
    one, other = sized(bet(edge=1e-4), bet(edge=1e-4))

    assert one == pytest.approx(other, rel=1e-9)
    assert alone <= one + other < alone * 1.001


def test_opposed_bets_free_each_others_room() -> None:
    """A bet against another's direction lets both stake more than either alone."""
    alone = sized(bet(edge=1e-4))[0]
    up, down = sized(bet(edge=1e-4), bet(edge=1e-4, moves=((WETH.address, -1),)))

    assert min(up, down) > alone


def test_the_optimum_cannot_be_bettered() -> None:
    """No change of any one stake within its bounds makes wealth grow faster."""
    for seed in fresh_seeds(200):
        rng = random.Random(seed)
        bets = [
            bet(
                edge=10 ** rng.uniform(-6, -2),
                error=rng.uniform(0.3, 2),
                most=rng.randrange(1, 200) * ETHER // 10,
                moves=rng.choice(
                    [
                        ((WETH.address, 1),),
                        ((WETH.address, -1),),
                        ((WBTC.address, 1),),
                        ((WBTC.address, -1),),
                        ((WETH.address, -1), (WBTC.address, 1)),
                    ]
                ),
            )
            for _ in range(rng.randrange(1, 6))
        ]
        held = {WETH.address: rng.randrange(-9, 9) * ETHER, WBTC.address: 0}
        wealth = rng.randrange(1, 200) * ETHER
        found = list(sized(*bets, held=held, wealth=wealth))
        best = growth(bets, found, held, wealth)
        for place, one in enumerate(bets):
            for step in (-ETHER // 100, ETHER // 100):
                other = list(found)
                other[place] = min(max(found[place] + step, 0), one.most_wei)

                assert growth(bets, other, held, wealth) <= best + 1e-9, f"seed {seed}"


def test_the_order_of_bets_changes_nothing() -> None:
    """Each bet's stake is the same to the wei, whatever order they come in."""
    for seed in fresh_seeds(200):
        rng = random.Random(seed)
        bets = [
            bet(edge=10 ** rng.uniform(-6, -3), moves=((rng.choice([WETH, WBTC]).address, 1),))
            for _ in range(4)
        ]
        order = rng.sample(range(4), 4)
        found, shuffled = sized(*bets), sized(*(bets[place] for place in order))

        assert [found[place] for place in order] == list(shuffled), f"seed {seed}"


def test_no_edge_stakes_only_the_way_back() -> None:
    """Without an edge nothing is staked, but who holds a position may always leave it."""
    assert (0, 3 * ETHER) == sized(bet(edge=0.0), bet(edge=0.0, least=3 * ETHER))


def test_what_is_held_already_counts() -> None:
    """Exposure that is there takes the room of new exposure, and gives it to the way out."""
    free = sized(bet(edge=1e-4))[0]

    assert sized(bet(edge=1e-4), held={WETH.address: free // 2})[0] == pytest.approx(
        free - free // 2 * 2.5e-5 / (2.5e-5 + 1e-8), rel=1e-6
    )


def test_a_boast_gets_at_most_the_fraction_of_wealth() -> None:
    """A claimed edge of 100 %, unproven, stakes less than the fraction of all there is."""
    assert 24 * ETHER < sized(bet(edge=1.0))[0] <= 25 * ETHER


def test_less_certainty_never_stakes_more() -> None:
    """The worse an edge is known, the less it stakes."""
    found = [sized(bet(edge=1e-3, error=error))[0] for error in (0.5, 1, 2, 5, 20)]

    assert sorted(found, reverse=True) == found
