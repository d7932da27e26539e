"""From a flow of floats to hops in exact integers that run one after the other.

Floats say how much is to be traded where. Here the hops are put in an order in which each is paid
by what is at hand, and run in it with the pools' own integers: what a hop gives to the unit is
what those after it share out, so that nothing stays behind on the way.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import msgspec

from toolkit.model.chain import Address
from toolkit.model.errors import ConfigError
from toolkit.model.market import FLASH, Hop
from toolkit.pools.concentrated_v4 import ConcentratedV4
from toolkit.routing.curves import Floats, Routable
from toolkit.routing.graph import Graph
from toolkit.routing.settling.fewer import fewer
from toolkit.routing.settling.flow import Ends, Flow, ends_of, flow_of, living, parts_of
from toolkit.routing.settling.order import Order, Step, order
from toolkit.routing.settling.running import Course, Ran, run, tightened

_PASSES = 6
_SHRINKS = 8
_EXTRA_STEPS = 64
_LOSS = 1e-6
_DUST = 1e-9
_NEAR = 1e-9


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """Hops as they run one after the other, every amount the pools' own integer.

    Attributes:
        hops: in an order in which no token is ever short, given what is `spent`.
        spent: what must be at hand at the start, of each token, in smallest units: no less would
            do in this order. With the flag FLASH that is also of tokens that only a loan brings.
        left: what is there of each token at the end, of what was spent and brought.
        flags: FLASH, or none.
    """

    hops: tuple[Hop, ...] = ()
    spent: dict[Address, int] = {}
    left: dict[Address, int] = {}
    flags: tuple[str, ...] = ()

    def gain(self, token: Address) -> int:
        """Return how much more of a token there is at the end than at the start; below 0: less."""
        return self.left.get(token, 0) - self.spent.get(token, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Terms:
    """What is asked of a settlement."""

    graph: Graph
    ends: Ends
    max_input: int | None
    hop_cost: float
    flash_cost: float


def settle(
    graph: Graph,
    trades: Floats,
    *,
    start: Address | None = None,
    sell: Mapping[Address, int] | None = None,
    want: Mapping[Address, float] | None = None,
    max_input: int | None = None,
    max_pools: int | None = None,
    hop_cost: float = 0.0,
    flash_cost: float = 0.0,
) -> Settled:
    """Turn a flow into hops that run, in exact integers.

    An arbitrage has a `start`, of which as much is taken at the start as the order needs, and
    given back. A swap or a basket has `sell`, of which no more is ever spent. Tokens that are
    neither sold, wanted nor the start end with nothing but the last units.

    Where hops wait for each other in a circle that no token at hand opens, some run in parts, or
    tokens are lent (FLASH), whichever leaves more after `hop_cost` and `flash_cost`. What does
    not pay for its own hops is left out; nothing at all is an answer too.

    Args:
        graph: the pools.
        trades: (n_edges) what goes into each edge, in smallest units; 0 where nothing does.
        start: the token of an arbitrage.
        sell: what is at hand.
        want: tokens to end with, and what a unit of each counts; the start by default.
        max_input: the most of the start token that may be out at a time.
        max_pools: more pools than that are not gone through: the least valuable ways are dropped.
        hop_cost: of each hop, in units of what is wanted.
        flash_cost: of lending further tokens, in the same; `math.inf`: nothing is lent.

    Raises:
        ConfigError: amounts, weights or limits that are none.
        NoRoute: no pool has the start token.
    """
    for name, limit in (("max_input", max_input), ("max_pools", max_pools)):
        if limit is not None and limit < 1:
            raise ConfigError(f"{name}: {limit} leaves nothing to trade; give at least 1")
    weights = want or ({} if start is None else {start: 1.0})
    ends = ends_of(graph, start=start, sell=sell or {}, want=weights)
    terms = _Terms(
        graph=graph, ends=ends, max_input=max_input, hop_cost=hop_cost, flash_cost=flash_cost
    )
    flow = flow_of(graph, trades, ends)
    if max_pools is not None and len(flow.edges) > max_pools:
        flow = fewer(graph, flow, ends, most=max_pools)
    return _settled(terms, flow)


def _settled(terms: _Terms, flow: Flow) -> Settled:
    while len(flow.edges):
        found = _best(terms, flow)
        losers = _losers(terms, found)
        if not losers:
            return _told(terms, found)
        flow = living(found.flow.without(losers), terms.ends)
    return Settled()


def _best(terms: _Terms, flow: Flow) -> "_Found":
    """The order without loans, unless one with loans leaves more."""
    most = 2 * len(flow.edges) + _EXTRA_STEPS
    plain = order(flow, terms.ends, lends=False, most_steps=most)
    if not plain.idle and len(plain.steps) == len(flow.edges):
        return _sized(terms, flow, plain)
    lending = None
    if terms.flash_cost < math.inf:
        loans = order(flow, terms.ends, lends=True, most_steps=most)
        lending = _sized(terms, flow, loans)
        if lending.is_repaid and not plain.idle:
            extra = len(plain.steps) - len(loans.steps)
            if terms.hop_cost * extra > terms.flash_cost:  # parts of a hop bring no more than it
                return lending
    straight = _sized(terms, flow, plain)
    while plain.idle:  # what runs only in part may be worth less than what runs without it
        flow = living(flow.without(plain.idle), terms.ends)
        plain = order(flow, terms.ends, lends=False, most_steps=most)
        straight = max(straight, _sized(terms, flow, plain), key=lambda found: found.value)
    if lending is None or not lending.is_repaid:
        return straight
    margin = _LOSS * abs(straight.value)
    return lending if lending.value > straight.value + margin else straight


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A flow in an order, run; `value` is what it leaves after costs."""

    flow: Flow
    steps: tuple[Step, ...]
    ran: Ran
    lent: Mapping[int, int]
    value: float

    @property
    def is_repaid(self) -> bool:
        """Whether what was lent is all there in the end."""
        return all(self.ran.gain(token) >= 0 for token in self.lent)


def _sized(terms: _Terms, flow: Flow, found: Order) -> _Found:
    """Run an order, with less of the flow where more than may go in would."""
    result = _passes(terms, flow, found)
    start, most = terms.ends.start, terms.max_input
    for _ in range(_SHRINKS):
        if start is None or most is None or result.ran.spent(start) <= most:
            return result
        flow = flow.scaled(terms.graph, most / result.ran.spent(start) * (1 - _NEAR))
        result = _passes(terms, flow, found)
    return _passes(terms, flow.without(range(len(flow.edges))), Order.none())


def _passes(terms: _Terms, flow: Flow, found: Order) -> _Found:
    """Run an order until what comes is what was expected, and nothing is left on the way."""
    goals = [float(flow.taken[hop]) * share for hop, share in found.steps]
    outs = [float(flow.given[hop]) * share for hop, share in found.steps]
    lent = {
        token: math.ceil(amount / flow.worth[token]) + 1 for token, amount in found.lent.items()
    }
    spare: dict[int, int] = dict.fromkeys(lent, 0)
    best: tuple[_Found, Course] | None = None
    behind = math.inf
    for _ in range(_PASSES):
        course = Course(
            graph=terms.graph,
            flow=flow,
            ends=terms.ends,
            steps=found.steps,
            goals=goals,
            outs=outs,
            lent=lent,
            spare=dict(spare),
        )
        ran = run(course)
        now = _Found(
            flow=flow, steps=found.steps, ran=ran, lent=lent, value=_value(terms, ran, lent)
        )
        if best is None or (now.is_repaid, now.value) > (best[0].is_repaid, best[0].value):
            best = now, course
        behind, before = _dust(terms, now), behind
        if now.is_repaid and (behind <= _DUST * abs(now.value) or behind > before / 2):
            break
        outs = [float(given) for _, given in ran.amounts]
        for token in lent:
            spare[token] += max(0, -ran.gain(token))
    assert best is not None
    ran = tightened(best[1], best[0].ran)
    return replace(best[0], ran=ran, value=_value(terms, ran, lent))


def _value(terms: _Terms, ran: Ran, lent: Mapping[int, int]) -> float:
    """What is left of the wanted, in their units, after what hops and loans cost."""
    gain = min(ran.gain(token) / weight for token, weight in terms.ends.want.items())
    hops = sum(given > 0 for _, given in ran.amounts)
    value = gain - terms.hop_cost * hops - (terms.flash_cost if lent else 0.0)
    assert not math.isnan(value)  # nothing could be compared with it
    return value


def _dust(terms: _Terms, found: _Found) -> float:
    """What is left of tokens that nobody wants, in worth."""
    kept = terms.ends.sinks | set(terms.ends.sell)
    return math.fsum(
        found.ran.gain(token) * float(found.flow.worth[token])
        for token in found.ran.ended
        if token not in kept
    )


def _losers(terms: _Terms, found: _Found) -> set[int]:
    """Hops of an arbitrage's parts, joined by nothing but the start, that do not pay."""
    start = terms.ends.start
    if start is None:
        return set()
    flow = found.flow
    parts = parts_of(flow, start)
    source, target = flow.source.tolist(), flow.target.tolist()
    gains, counts = Counter[int](), Counter[int]()
    for (hop, _), (taken, given) in zip(found.steps, found.ran.amounts, strict=True):
        counts[parts[hop]] += given > 0
        gains[parts[hop]] += given if target[hop] == start else 0
        gains[parts[hop]] -= taken if source[hop] == start else 0
    return {hop for hop, part in enumerate(parts) if gains[part] <= terms.hop_cost * counts[part]}


def _told(terms: _Terms, found: _Found) -> Settled:
    graph, ran = terms.graph, found.ran
    hops = []
    for (place, _), (taken, given) in zip(found.steps, ran.amounts, strict=True):
        if given:
            hops.append(_hop(graph, int(found.flow.edges[place]), taken, given))
    tokens = graph.tokens
    spent = {tokens[at]: amount for at in sorted(ran.began) if (amount := ran.spent(at))}
    left = {
        tokens[at]: amount for at in sorted(ran.ended) if (amount := ran.ended[at] - ran.lowest[at])
    }
    lends = any(ran.spent(token) for token in found.lent)
    return Settled(hops=tuple(hops), spent=spent, left=left, flags=(FLASH,) if lends else ())


def _hop(graph: Graph, edge: int, taken: int, given: int) -> Hop:
    pool: Routable = graph.pools[edge >> 1]
    forward = edge % 2 == 0
    token_in, token_out = (pool.token0, pool.token1)[:: 1 if forward else -1]
    fee_ppm, key = pool.fee_ppm, None
    if isinstance(pool, ConcentratedV4):
        fee_ppm, key = pool.swap_fee_ppm(zero_for_one=forward), pool.key
    return Hop(
        pool=pool.id,
        kind=pool.kind,
        token_in=token_in,
        token_out=token_out,
        amount_in=taken,
        amount_out=given,
        fee_ppm=fee_ppm,
        key=key,
    )
