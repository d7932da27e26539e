"""Steps run one after the other in the pools' own integers, sharing out what is there."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from toolkit.model.chain import Address
from toolkit.model.errors import PoolError
from toolkit.pools.constant_product import MAX_RESERVE, ConstantProduct
from toolkit.routing.curves import Routable
from toolkit.routing.flow import Ends, Flow
from toolkit.routing.graph import Graph
from toolkit.routing.order import Step

# Outputs below that are counted in units coarse enough for one of them to be worth a look.
_COARSE = 1 << 40
# A token of which that much less is planned to be sold than there is keeps the rest on purpose.
_ALL = 1e-4
_MARGIN = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What became of steps.

    Attributes:
        amounts: of each step, what went in and came out; (0, 0) where it could not be run.
        began: what was there of each token, by index; tokens not named: nothing.
        lowest: the least there was of each at any time.
        ended: what there was after the last step.
    """

    amounts: tuple[tuple[int, int], ...]
    began: Mapping[int, int]
    lowest: Mapping[int, int]
    ended: Mapping[int, int]

    def spent(self, token: int) -> int:
        """Return what must be at hand of a token at the start."""
        return self.began.get(token, 0) - self.lowest.get(token, 0)

    def gain(self, token: int) -> int:
        """Return how much more of a token there is in the end; below 0: less."""
        return self.ended.get(token, 0) - self.began.get(token, 0)


@dataclass(slots=True, kw_only=True)
class _Purse:
    """One token while steps run."""

    there: int
    lowest: int
    owed: int  # to be left at the end
    spare: int  # of what is still to come, not counted on
    spends: bool  # all of it, and not only what was planned
    lends: bool  # may be short: the start token
    goal: float = 0.0  # what steps ahead are to take
    due: float = 0.0  # what steps ahead are to bring
    takers: int = 0
    bringers: int = 0

    def share(self, goal: float) -> int:
        """Return what a step gets that was to take `goal`."""
        if self.lends:
            return round(goal)
        if not self.spends:
            return min(round(goal), self.there)
        rest = self.there - self.owed
        if not self.bringers:
            if self.takers == 1:
                return max(rest, 0)
            # One way of rounding: what is not taken now is there for the others.
            return max(min(int(goal * (rest / self.goal)), rest), 0) if self.goal > 0 else 0
        ahead = rest - self.spare + self.due * (1 - _MARGIN if self.owed else 1)
        return max(min(int(goal * (ahead / self.goal)), self.there), 0) if self.goal > 0 else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What is to be run.

    Attributes:
        goals, outs: of each step, what it is planned to take and expected to give, raw units.
        lent: raw units of each token that are there at the start and must be left at the end.
        spare: raw units not to be counted on of what is still to come of lent tokens.
    """

    graph: Graph
    flow: Flow
    ends: Ends
    steps: Sequence[Step]
    goals: Sequence[float]
    outs: Sequence[float]
    lent: Mapping[int, int] = field(default_factory=dict)
    spare: Mapping[int, int] = field(default_factory=dict)


def run(course: Course) -> Ran:
    """Run steps in their order; each takes its share of what is there and still to come."""
    flow, pools = course.flow, course.graph.pools
    source, target = flow.source.tolist(), flow.target.tolist()
    edges = flow.edges.tolist()
    purses = _purses(course, source, target)
    began = {token: purse.there for token, purse in purses.items()}
    times = Counter(hop for hop, _ in course.steps)
    states: dict[int, Routable] = {}
    amounts = []
    for (hop, _), goal, out in zip(course.steps, course.goals, course.outs, strict=True):
        payer, taker = purses[source[hop]], purses[target[hop]]
        taker.due -= out
        taker.bringers -= 1
        wanted = payer.share(goal)
        payer.goal -= goal
        payer.takers -= 1
        pool = states.get(hop) or pools[edges[hop] >> 1]
        trims = payer.lends or not payer.spends or payer.takers > 0
        taken, given = _swap(pool, wanted, forward=edges[hop] % 2 == 0, trims=trims)
        amounts.append((taken, given))
        if not given:
            continue
        if times[hop] > 1:
            token = pool.token0 if edges[hop] % 2 == 0 else pool.token1
            states[hop] = pool.swap_in(token, taken)[1]
        payer.there -= taken
        payer.lowest = min(payer.lowest, payer.there)
        taker.there += given
    return Ran(
        amounts=tuple(amounts),
        began=began,
        lowest={token: purse.lowest for token, purse in purses.items()},
        ended={token: purse.there for token, purse in purses.items()},
    )


def _purses(course: Course, source: Sequence[int], target: Sequence[int]) -> dict[int, _Purse]:
    ends, purses = course.ends, dict[int, _Purse]()
    for token in {*source, *target}:
        there = ends.sell.get(token, 0) + course.lent.get(token, 0)
        purses[token] = _Purse(
            there=there,
            lowest=there,
            owed=course.lent.get(token, 0),
            spare=course.spare.get(token, 0),
            spends=token not in ends.sinks,
            lends=token == ends.start,
        )
    for (hop, _), goal, out in zip(course.steps, course.goals, course.outs, strict=True):
        payer, taker = purses[source[hop]], purses[target[hop]]
        payer.goal += goal
        payer.takers += 1
        taker.due += out
        taker.bringers += 1
    for token in ends.sell:
        if (purse := purses.get(token)) is not None:
            purse.spends &= purse.goal >= (purse.there + purse.due) * (1 - _ALL)
    return purses


def _swap(pool: Routable, amount: int, *, forward: bool, trims: bool) -> tuple[int, int]:
    """What a pool takes of an amount, and gives; (0, 0) where it gives nothing."""
    token, other = (pool.token0, pool.token1) if forward else (pool.token1, pool.token0)
    if isinstance(pool, ConstantProduct):
        amount = min(amount, MAX_RESERVE - (pool.reserve0 if forward else pool.reserve1))
    if amount <= 0:
        return 0, 0
    try:
        taken, given = pool.fill_in(token, amount)
        if taken < amount and given:  # the liquidity ends: what it has taken is asked for itself
            taken, given = pool.fill_in(token, amount := taken)
        if taken != amount or not given:
            return 0, 0
        if trims and given < _COARSE:
            taken = _least(pool, token, other, taken, given)
    except PoolError:  # safe because nothing then goes in, and all of it is there for other hops
        return 0, 0
    return taken, given


def _least(pool: Routable, token: Address, other: Address, taken: int, given: int) -> int:
    """The least input that gives as much, by the exact-output quote or one less."""
    try:
        asked = pool.quote_out(other, given)
    except PoolError:  # safe because the input at hand does give that much
        return taken
    for amount in (asked - 1, asked):
        if 0 < amount < taken and pool.fill_in(token, amount) == (amount, given):
            return amount
    return taken
