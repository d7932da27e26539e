"""Joint fractional Kelly: how much of several bets at once makes wealth grow fastest, cautiously.

Maximises, over what each bet stakes (x, in wei) between its bounds,

    sum_i edge_i x_i - (y' S y + sum_i error_i x_i^2) / (2 fraction wealth)

with y = held + sum_i a_i x_i, where S is the covariance of the assets' returns over the horizon,
a_i which assets bet i buys and sells, and error_i how little is known of its edge (Kelly 1956; the
fraction as in MacLean, Thorp and Ziemba 2011; an uncertain edge adds its own variance to the
bet's). So two agents that bet on one thing share what one of them would get, and opposed ones
free each other's room. Integers only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from toolkit.model.chain import Address
from toolkit.model.units import PPM
from toolkit.orchestrator.deciding.covariance import PPB, Covariance

SWEEPS = 24
"""Rounds over groups of bets on other assets; one is enough where all bets are on one asset."""
HALVINGS = 256
"""At most, of the range of a group's marginal risk: to the wei, whatever the amounts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bet:
    """One wish that claims an edge, in wei of worth.

    `moves` are the base assets it buys (+1) and sells (-1). At least `least_wei` of it is granted
    in any case: its agent's way back. `edge_ppb` is what is expected of each unit staked,
    `error_ppb2` the variance of that expectation.
    """

    moves: tuple[tuple[Address, int], ...]
    least_wei: int
    most_wei: int
    edge_ppb: int
    error_ppb2: int


def stakes(
    bets: Sequence[Bet],
    *,
    held_wei: Mapping[Address, int],
    covariance: Covariance,
    horizon_blocks: int,
    budget_wei: int,
) -> tuple[int, ...]:
    """Return what each bet may stake, in wei, whatever order they come in.

    Args:
        bets: of one block.
        held_wei: signed exposures that are there already, by base asset.
        covariance: of the assets' returns over a block.
        horizon_blocks: over which the edges are expected.
        budget_wei: the fraction of Kelly times the wealth.
    """
    problem = _Problem(bets, held_wei, covariance, horizon_blocks, max(budget_wei, 0))
    full = [bet.most_wei for bet in bets]
    if problem.wants(full):
        return tuple(full)
    return tuple(problem.solved())


def budget(wealth_wei: int, kelly_ppm: int) -> int:
    """Return the fraction of Kelly times the wealth, rounded down."""
    return wealth_wei * kelly_ppm // PPM


class _Problem:
    """One block's bets; marginal gains and risks are in wei x ppb squared."""

    def __init__(
        self,
        bets: Sequence[Bet],
        held_wei: Mapping[Address, int],
        covariance: Covariance,
        horizon_blocks: int,
        budget_wei: int,
    ) -> None:
        self._bets = bets
        self._gains = [budget_wei * bet.edge_ppb * PPB for bet in bets]
        self._held = held_wei
        assets = sorted({*held_wei, *(token for bet in bets for token, _ in bet.moves)})
        self._assets = assets
        self._covariance = {
            (one, other): covariance.of(one, other) * horizon_blocks
            for one in assets
            for other in assets
        }
        self._groups: dict[tuple[tuple[Address, int], ...], list[int]] = {}
        for place, bet in enumerate(bets):
            self._groups.setdefault(_axis(bet.moves)[0], []).append(place)

    def wants(self, stakes_wei: Sequence[int]) -> bool:
        """Whether every bet would still gain by more than these stakes."""
        exposures = self._exposures(stakes_wei)
        risk = {token: self._risk(token, exposures) for token in self._assets}
        return all(
            gain - sum(sign * risk[token] for token, sign in bet.moves) >= bet.error_ppb2 * staked
            for bet, gain, staked in zip(self._bets, self._gains, stakes_wei, strict=True)
        )

    def solved(self) -> list[int]:
        """Go over the groups until nothing changes: each is solved to the wei, given the rest."""
        chosen = [bet.least_wei for bet in self._bets]
        for _ in range(SWEEPS if len(self._groups) > 1 else 1):
            before = list(chosen)
            for axis, places in sorted(self._groups.items()):
                self._solve(axis, places, chosen)
            if before == chosen:
                break
        return chosen

    def _solve(
        self, axis: tuple[tuple[Address, int], ...], places: Sequence[int], chosen: list[int]
    ) -> None:
        """Find the marginal risk at which a group's stakes cause just that risk."""
        for place in places:
            chosen[place] = 0
        others = self._exposures(chosen)
        base = sum(sign * self._risk(token, others) for token, sign in axis)
        slope = sum(
            sign * other_sign * self._covariance[token, other]
            for token, sign in axis
            for other, other_sign in axis
        )
        signs = [_axis(self._bets[place].moves)[1] for place in places]
        reach = [self._bets[place].most_wei for place in places]
        low = base - slope * sum(most for most, sign in zip(reach, signs, strict=True) if sign < 0)
        high = base + slope * sum(most for most, sign in zip(reach, signs, strict=True) if sign > 0)
        finest = min(max(self._bets[place].error_ppb2, 1) for place in places)  # moves a wei
        for _ in range(HALVINGS):
            if high - low <= finest:
                break
            middle = (low + high) // 2
            net = sum(
                sign * self._stake(place, sign * middle)
                for place, sign in zip(places, signs, strict=True)
            )
            if base + slope * net >= middle:
                low = middle
            else:
                high = middle
        for place, sign in zip(places, signs, strict=True):
            chosen[place] = self._stake(place, sign * (high if sign > 0 else low))

    def _stake(self, place: int, risk: int) -> int:
        """What one bet stakes where each unit of it adds `risk`."""
        bet = self._bets[place]
        wanted = (self._gains[place] - risk) // max(bet.error_ppb2, 1)
        return max(min(wanted, bet.most_wei), bet.least_wei, 0)

    def _exposures(self, stakes_wei: Sequence[int]) -> dict[Address, int]:
        exposures = dict.fromkeys(self._assets, 0) | dict(self._held)
        for bet, staked in zip(self._bets, stakes_wei, strict=True):
            for token, sign in bet.moves:
                exposures[token] += sign * staked
        return exposures

    def _risk(self, token: Address, exposures: Mapping[Address, int]) -> int:
        """How much risk one more unit of an asset adds."""
        return sum(self._covariance[token, other] * exposures[other] for other in self._assets)


def _axis(
    moves: tuple[tuple[Address, int], ...],
) -> tuple[tuple[tuple[Address, int], ...], int]:
    """Return the direction that a bet and its opposite share, and which of the two it is."""
    straight = tuple(sorted(moves))
    turned = tuple((token, -sign) for token, sign in straight)
    return (straight, 1) if straight >= turned else (turned, -1)
