"""Steps run one after the other in the pools' own integers, sharing out what is there."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from toolkit.model.chain import Address
from toolkit.model.errors import PoolError
from toolkit.pools.constant_product import MAX_RESERVE, ConstantProduct
from toolkit.routing.curves import Routable
from toolkit.routing.graph import Graph
from toolkit.routing.settling.flow import Ends, Flow
from toolkit.routing.settling.order import Step

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
    exits: float = 0.0  # that part of it which goes on nearer to where it may stay
    due: float = 0.0  # what steps ahead are to bring
    takers: int = 0
    leavers: int = 0
    bringers: int = 0

    def share(self, goal: float, *, leaves: bool) -> int:
        """Return what a step gets that was to take `goal`.

        Where it comes to more or less than planned, those that leave the flow share the
        difference, so that it does not run in circles; where there are none, all do.
        """
        if self.lends:
            return round(goal)
        if not self.spends or (self.leavers and not leaves):
            return min(round(goal), self.there)
        rest = self.there - self.owed
        if not self.bringers and self.takers == 1:
            return max(rest, 0)
        if self.bringers:
            coming = self.due * (1 - _MARGIN if self.owed else 1) - self.spare
            ahead, most = rest + coming, self.there
        else:
            ahead, most = float(rest), rest
        sharing = self.exits if self.leavers else self.goal
        ahead -= self.goal - sharing
        return max(min(round(goal * (ahead / sharing)), most), 0) if sharing > 0 else 0


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
    edges, outward = flow.edges.tolist(), _outward(course, source, target)
    purses = _purses(course, source, target, outward)
    began = {token: purse.there for token, purse in purses.items()}
    times = Counter(hop for hop, _ in course.steps)
    states: dict[int, Routable] = {}
    amounts = []
    for (hop, _), goal, out in zip(course.steps, course.goals, course.outs, strict=True):
        payer, taker = purses[source[hop]], purses[target[hop]]
        taker.due -= out
        taker.bringers -= 1
        leaves = outward[hop]
        wanted = payer.share(goal, leaves=leaves)
        payer.goal -= goal
        payer.takers -= 1
        if leaves:
            payer.exits -= goal
            payer.leavers -= 1
        pool = states.get(hop) or pools[edges[hop] >> 1]
        taken, given = _swap(pool, wanted, forward=edges[hop] % 2 == 0)
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


def tightened(course: Course, ran: Ran) -> Ran:
    """Return the same steps with less going in, wherever what it brings is of no use.

    From the last step to the first: what nobody takes of a token need not have been bought, and
    where one unit of the output is worth many of the input, the least input that buys as many will
    do. What is saved ends in the start token, or is not sold.
    """
    flow, pools = course.flow, course.graph.pools
    source, target = flow.source.tolist(), flow.target.tolist()
    edges, kept = flow.edges.tolist(), course.ends.sinks
    times = Counter(hop for hop, _ in course.steps)
    amounts = list(ran.amounts)
    there = dict(ran.ended)
    # The least there is of each token from a step on, less what is owed in the end.
    spare = {token: amount - course.lent.get(token, 0) for token, amount in there.items()}
    for at in range(len(amounts) - 1, -1, -1):
        (hop, _), (taken, given) = course.steps[at], amounts[at]
        if not given:
            continue
        payer, taker = source[hop], target[hop]
        cut = 0 if taker in kept else max(0, min(given, spare[taker]))
        if times[hop] == 1 and (cut or given < _COARSE):
            pool = pools[edges[hop] >> 1]
            amounts[at] = _cheaper(pool, taken, given, given - cut, forward=edges[hop] % 2 == 0)
            spare[payer] += taken - amounts[at][0]
            spare[taker] -= given - amounts[at][1]
        there[payer] += taken
        there[taker] -= given
        spare[payer] = min(spare[payer], there[payer])
        spare[taker] = min(spare[taker], there[taker])
    return _replayed(course, ran.began, amounts)


def _replayed(course: Course, began: Mapping[int, int], amounts: Sequence[tuple[int, int]]) -> Ran:
    source, target = course.flow.source.tolist(), course.flow.target.tolist()
    there, lowest = dict(began), dict(began)
    for (hop, _), (taken, given) in zip(course.steps, amounts, strict=True):
        payer, taker = source[hop], target[hop]
        there[payer] -= taken
        lowest[payer] = min(lowest[payer], there[payer])
        there[taker] += given
    return Ran(amounts=tuple(amounts), began=began, lowest=lowest, ended=there)


def _cheaper(
    pool: Routable, taken: int, given: int, enough: int, *, forward: bool
) -> tuple[int, int]:
    """What goes in and comes out where `enough` of the output will do."""
    if not enough:
        return 0, 0
    token, other = (pool.token0, pool.token1) if forward else (pool.token1, pool.token0)
    try:
        amount = min(_least(pool, token, other, taken, enough), taken)
        filled, got = pool.fill_in(token, amount)
    except PoolError:  # safe because what was planned does run
        return taken, given
    return (amount, got) if filled == amount and enough <= got <= given else (taken, given)


def _outward(course: Course, source: Sequence[int], target: Sequence[int]) -> list[bool]:
    """Say of each hop whether it goes on to where things may stay.

    Of a lent token, which is bought back in a circle, also what goes nearer to there, counted in
    hops, leaves the circle: only there less may be spent without less coming back.
    """
    sinks = course.ends.sinks
    away, ring = dict.fromkeys(sinks, 0), set(sinks)
    while ring:
        starts = {start for start, end in zip(source, target, strict=True) if end in ring}
        ring = starts - away.keys()
        away |= dict.fromkeys(ring, max(away.values()) + 1)
    far = len(source) + len(away)
    return [
        end in sinks or (start in course.lent and away.get(end, far) < away.get(start, far))
        for start, end in zip(source, target, strict=True)
    ]


def _purses(
    course: Course, source: Sequence[int], target: Sequence[int], outward: Sequence[bool]
) -> dict[int, _Purse]:
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
        if outward[hop]:
            payer.exits += goal
            payer.leavers += 1
        taker.due += out
        taker.bringers += 1
    for token in ends.sell:
        if (purse := purses.get(token)) is not None:
            purse.spends &= purse.goal >= (purse.there + purse.due) * (1 - _ALL)
    return purses


def _swap(pool: Routable, amount: int, *, forward: bool) -> tuple[int, int]:
    """What a pool takes of an amount, and gives; (0, 0) where it gives nothing."""
    token = pool.token0 if forward else pool.token1
    if isinstance(pool, ConstantProduct):
        amount = min(amount, MAX_RESERVE - (pool.reserve0 if forward else pool.reserve1))
    if amount <= 0:
        return 0, 0
    try:
        taken, given = pool.fill_in(token, amount)
        if taken < amount and given:  # the liquidity ends: what it has taken is asked for itself
            taken, given = pool.fill_in(token, amount := taken)
    except PoolError:  # safe because nothing then goes in, and all of it is there for other hops
        return 0, 0
    return (taken, given) if taken == amount and given else (0, 0)


def _least(pool: Routable, token: Address, other: Address, taken: int, enough: int) -> int:
    """The least input that gives as much, by the exact-output quote or one less."""
    try:
        asked = pool.quote_out(other, enough)
    except PoolError:  # safe because the input at hand does give that much
        return taken
    for amount in (asked - 1, asked):
        if 0 < amount < taken:
            filled, given = pool.fill_in(token, amount)
            if filled == amount and given >= enough:
                return amount
    return taken
