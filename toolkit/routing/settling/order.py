"""The order in which the hops of a flow run: every hop paid by what is at hand, where that can be.

Floats in worth, so that tokens compare; the integers are the business of `repair`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.pools.words import Flags
from toolkit.routing.curves import Floats, Ints
from toolkit.routing.settling.flow import Ends, Flow

Step = tuple[int, float]
"""A hop of a flow by its place, and which share of it is run."""

_TRIES = 32
_LENDING_TRIES = 8
_WORK = 10**7  # hops looked at in all tries together, about
_SCATTER = 4.0
# Multiples of them, without their whole parts, lie scattered between 0 and 1.
_GOLDEN = 0.6180339887498949
_SILVER = 0.41421356237309503
_NEAR = 1e-9
_NOISE = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Steps that run one after the other.

    Attributes:
        steps: as they run; more than one share of a hop where one alone would not be paid.
        lent: what must be there of a token at the start, in worth, although none is sold.
        idle: places of the hops that nothing at hand ever pays.
    """

    steps: tuple[Step, ...]
    lent: dict[int, float]
    idle: frozenset[int]

    @classmethod
    def none(cls) -> "Order":
        """Nothing to run."""
        return cls(steps=(), lent={}, idle=frozenset())

    @property
    def cost(self) -> tuple[int, int, float]:
        """What makes it worse than another one: idle hops, steps, loans."""
        return len(self.idle), len(self.steps), math.fsum(self.lent.values())


@dataclass(frozen=True, slots=True)
class _Hops:
    """A flow in worth, balanced: what hops take of a token is what others bring of it."""

    source: Ints
    target: Ints
    taken: Floats
    given: Floats
    held: Floats


def order(flow: Flow, ends: Ends, *, lends: bool, most_steps: int) -> Order:
    """Line the hops of a flow up.

    Hops between other tokens than the start come first to last as they can be paid; what buys
    from the start comes as late, and what sells to it as early as that allows, so that little of
    the start token is out at a time. Where hops wait for each other, with `lends` a token is
    lent, otherwise one of them is run in parts, as long as there is room for `most_steps`.
    """
    hops = _balanced(flow, ends)
    exits = (hops.target == (-1 if ends.start is None else ends.start)) | (
        np.isin(hops.target, list(ends.want)) & ~np.isin(hops.target, hops.source)
    )
    buys = ~exits & (hops.source == (-1 if ends.start is None else ends.start))
    best: Order | None = None
    inner = np.flatnonzero(~exits)
    tries = max(1, min(_LENDING_TRIES if lends else _TRIES, _WORK // max(1, len(inner) ** 2)))
    for scatter in _scatters(hops.taken[inner], tries):
        rank: Floats = np.where(buys[inner], scatter, scatter + 1.0)
        found = _arranged(hops, inner, rank, lends=lends, room=most_steps - int(exits.sum()))
        if best is None or found.cost < best.cost:
            best = found
        if not best.idle and len(best.steps) == len(inner) and not best.lent:
            break
    assert best is not None
    return Order(
        steps=_placed(hops, best, buys=buys, exits=np.flatnonzero(exits)),
        lent=best.lent,
        idle=best.idle,
    )


def _balanced(flow: Flow, ends: Ends) -> _Hops:
    taken, given = flow.spent, flow.brought
    held = np.zeros(len(flow.worth))
    for token, amount in ends.sell.items():
        held[token] = amount * flow.worth[token]
    if ends.start is not None:
        held[ends.start] = math.inf
    count = len(held)
    out = np.bincount(flow.source, weights=taken, minlength=count)
    come = np.bincount(flow.target, weights=given, minlength=count) + held
    factor = np.ones(count)
    used = (out > 0) & np.isfinite(come)
    factor[used] = come[used] / out[used]
    keeps = list(ends.sinks | set(ends.sell))
    factor[keeps] = np.minimum(factor[keeps], 1.0)
    return _Hops(flow.source, flow.target, taken * factor[flow.source], given, held)


def _scatters(taken: Floats, tries: int) -> list[Floats]:
    """Ranks between 0 and 1: the largest first, and then scattered, always in the same way.

    What scatters them goes by size, so that it does not depend on names.
    """
    by_size = np.argsort(-taken, kind="stable")
    places = np.arange(1, len(taken) + 1)
    found = []
    for number in range(tries):
        size = taken[by_size]
        if number:
            even = np.modf(places * (number * _GOLDEN) + places * places * _SILVER)[0]
            size = size * np.exp(_SCATTER * (2 * even - 1))
        rank = np.empty(len(size))
        rank[by_size] = size / max(float(size.max(initial=0.0)), 1e-300) * 0.999
        found.append(rank)
    return found


def _arranged(hops: _Hops, inner: Ints, rank: Floats, *, lends: bool, room: int) -> Order:
    from toolkit.routing.kernels.order import arrange  # noqa: PLC0415 - numba loads at first use

    inner = inner[np.argsort(-rank, kind="stable")]
    weight: Floats = np.bincount(hops.source, weights=hops.taken, minlength=len(hops.held)).astype(
        np.float64
    )
    lent = np.zeros(len(hops.held))
    steps = np.zeros(max(room, len(inner)), dtype=np.int64)
    shares = np.zeros(len(steps))
    written, _ = arrange(
        hops.source[inner],
        hops.target[inner],
        hops.taken[inner],
        hops.given[inner],
        weight,
        lends,
        hops.held.copy(),
        lent,
        steps,
        shares,
    )
    places = inner[steps[:written]].tolist()
    run = np.bincount(steps[:written], weights=shares[:written], minlength=len(inner))
    return Order(
        steps=tuple(zip(places, shares[:written].tolist(), strict=True)),
        lent={int(token): float(lent[token]) for token in np.flatnonzero(lent)},
        idle=frozenset(inner[run < 1 - _NEAR].tolist()),
    )


def _placed(hops: _Hops, found: Order, *, buys: Flags, exits: Ints) -> tuple[Step, ...]:
    """Put buys as late and exits as early as the balances of their tokens allow."""
    inner = [step for step in found.steps if not buys[step[0]]]
    events: dict[int, list[tuple[int, float]]] = {}
    for at, (hop, share) in enumerate(inner):
        events.setdefault(int(hops.source[hop]), []).append((at, -hops.taken[hop] * share))
        events.setdefault(int(hops.target[hop]), []).append((at, hops.given[hop] * share))
    bought: dict[int, list[int]] = {}
    for hop, _ in found.steps:
        if buys[hop]:
            bought.setdefault(int(hops.target[hop]), []).append(hop)
    sold: dict[int, list[int]] = {}
    for hop in exits.tolist():
        sold.setdefault(int(hops.source[hop]), []).append(hop)
    last = len(inner)
    placed = [((at, 0.0, 1), step) for at, step in enumerate(inner)]
    for token in {*bought, *sold}:
        begin = found.lent.get(token, 0.0) + float(hops.held[token])
        mine = _of_token(hops, begin, events.get(token, []), bought.get(token, []), last)
        end = math.fsum(hops.given[hop] for hop in bought.get(token, []))
        left = _sold(hops, mine[1], sold.get(token, []))
        placed += [((at, end * (at == last), 0), (hop, 1.0)) for at, hop in mine[0]]
        placed += [((at, end * (at == last), 2), (hop, 1.0)) for at, hop in left]
    placed.sort(key=lambda each: each[0])
    return tuple(step for _, step in placed)


def _of_token(
    hops: _Hops,
    begin: float,
    events: Sequence[tuple[int, float]],
    bought: Sequence[int],
    end: int,
) -> tuple[list[tuple[int, int]], list[tuple[int, float]]]:
    """(when each buy runs, what is there after each event) with buys as late as may be."""
    waiting = sorted(bought, key=lambda hop: float(hops.given[hop]))
    when: list[tuple[int, int]] = []
    path: list[tuple[int, float]] = [(-1, begin)]
    balance = begin
    noise = _NOISE * math.fsum(abs(change) for _, change in events)
    for at, change in events:
        while waiting and balance + change < _NEAR * change - noise:
            lacking = -(balance + change)
            enough = (hop for hop in waiting if hops.given[hop] >= lacking)
            hop = next(enough, waiting[-1])
            waiting.remove(hop)
            when.append((at, hop))
            balance += float(hops.given[hop])
        balance += change
        path.append((at, balance))
    for hop in waiting:
        when.append((end, hop))
        balance += float(hops.given[hop])
    path.append((end, balance))
    return when, path


def _sold(
    hops: _Hops, path: Sequence[tuple[int, float]], sold: Sequence[int]
) -> list[tuple[int, int]]:
    """When each exit runs: as soon as nothing after it needs what it takes."""
    balances = [balance for _, balance in path]
    when: list[tuple[int, int]] = []
    for hop in sorted(sold, key=lambda hop: -float(hops.taken[hop])):
        needed = float(hops.taken[hop])
        first = len(balances)
        while first > 0 and balances[first - 1] >= needed * (1 - _NEAR):
            first -= 1
        first = min(first, len(balances) - 1)
        when.append((path[first][0], hop))
        for later in range(first, len(balances)):
            balances[later] -= needed
    return when
