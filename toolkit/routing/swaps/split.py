"""One order split over pools and paths, so that the most is left after gas, in exact integers.

Prices of the tokens (kernels/split.py) say how much each pool on a short way should take; edges
that add less than their gas are left out, round by round; then the amounts are settled in the
pools' own integers, token after token. Any prices also prove what no route can exceed.
"""

import math
from bisect import bisect_left
from collections.abc import Iterator
from functools import cached_property

import numpy as np

from toolkit.model.chain import Address
from toolkit.model.errors import NoRoute, PoolError
from toolkit.model.market import Route
from toolkit.pools.snapshot import hop_through
from toolkit.pools.words import Flags
from toolkit.routing.curves import Floats
from toolkit.routing.graph import Graph
from toolkit.routing.swaps.mesh import SOURCE, TARGET, Mesh, mesh_between
from toolkit.routing.swaps.settler import Plan, Settler, circle, groups_of
from toolkit.routing.swaps.shares import Filled, Spender
from toolkit.routing.swaps.single import SinglePaths
from toolkit.routing.swaps.swap_order import MOST, Order

_ROUNDS = 3  # of those with fewer and fewer pools, the best by estimate, are settled
_SWEEPS = 4  # over the prices, to lower the bound where gas counts
_TRIES = 96  # inputs tried for an exact output
_ROUNDED_OFF = 0.5  # of a unit, by each pool
_COARSE = 1 << 16  # units of output: of fewer, what is rounded off matters
_FAR = 1e-6  # of an amount: flows hardly differ within that
_SHIFT = 44  # 2^-44 of an input is where its last digits are looked for


class Splitter:
    """Answers swaps on a graph, and stays good when that moves."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.spender = Spender(graph)

    def swap(self, order: Order) -> Route:
        """Return the route that leaves the most after gas; for an exact output, costs the least.

        It is never worse than the best single path, nor than a split over the pools that trade
        the two tokens directly. Its bound holds for all ways that the order allows.

        Raises:
            NoRoute: tokens unknown or keeping a part of transfers, no way between them, more
                than the pools on the way can take, or a price beyond the limit.
        """
        return _Swap(self, order).route()


class _Swap:
    """One order being answered."""

    def __init__(self, splitter: Splitter, order: Order) -> None:
        graph = splitter.graph
        self._graph, self._spender, self._order = graph, splitter.spender, order
        ends = [_place(graph, token) for token in (order.token_in, order.token_out)]
        self._mesh = mesh_between(graph, ends[0], ends[1], order.max_hops)
        self._pools = [graph.pools[edge >> 1] for edge in self._mesh.edge.tolist()]
        if not self._pools:
            raise NoRoute(
                f"no path of up to {order.max_hops} hops from {order.token_in} to {order.token_out}"
            )
        self._paths = SinglePaths(graph, self._mesh, order.max_hops)
        self._prices: Floats | None = None

    def route(self) -> Route:
        order = self._order
        if order.amount_in is not None:
            plans = self._sold(order.amount_in)
        else:
            plans = self._bought(order.amount_out or 0)
        most = order.max_pools or len(self._pools)
        found = [plan for plan in plans if plan is not None and len(plan.fills) <= most]
        if not found:
            raise NoRoute(self._too_much())
        best = min(found, key=self._rank)
        if best.amount_out < order.least_out or best.amount_in > order.most_in:
            limit = (
                f"{order.least_out} of {order.token_out} are the least to be had"
                if order.amount_in is not None
                else f"{order.most_in} of {order.token_in} are the most to be paid"
            )
            raise NoRoute(
                f"{best.amount_in} of {order.token_in} for {best.amount_out} of "
                f"{order.token_out} is the best price, and {limit}"
            )
        return self._route(best)

    def _sold(self, amount: int) -> Iterator[Plan | None]:
        """Plans for an exact input."""
        if self._is_one_way:
            yield self._along(amount)
            return
        single = self._paths.best(amount)
        yield single
        coarse = single is not None and single.amount_out < _COARSE
        for live in self._choices(float(amount), coarse=coarse):
            flows = self.flows(live, float(amount), exact_in=True)
            if flows is not None:
                yield self.settler(flows).send(amount)

    def _bought(self, amount: int) -> Iterator[Plan | None]:
        """Plans for an exact output."""
        every = self.flows(self._every, float(amount), exact_in=False)
        if every is None:
            return
        about = float(every[0, self._mesh.tail == SOURCE].sum())
        yield self._paths.bought(amount, max(1, math.floor(about)), self._order.most_in)
        for live in self._choices(about, coarse=amount < _COARSE):
            flows = self.flows(live, float(amount), exact_in=False)
            if flows is not None:
                yield _least(_Sender(self, live, flows), amount)

    @cached_property
    def _is_one_way(self) -> bool:
        """Whether each token on the way has one edge in and one out: there is nothing to divide."""
        return len(self._pools) == len(self._mesh.token) - 1

    def _along(self, amount: int) -> Plan | None:
        """The only way there is; None where it does not take the amount."""
        graph, mesh = self._graph, self._mesh
        token, held, fills = SOURCE, amount, list[Filled]()
        while token != TARGET:
            place = int(mesh.start[token])
            edge, token = int(mesh.edge[place]), int(mesh.head[place])
            try:
                taken, given = graph.pools[edge >> 1].fill_in(
                    graph.tokens[graph.edge_in[edge]], held
                )
            except PoolError:  # safe because None says so
                return None
            if taken < held or not given:
                return None
            fills.append((edge, taken, given))
            held = given
        return Plan(tuple(fills), amount, held)

    @cached_property
    def _every(self) -> Flags:
        return np.ones(len(self._pools), np.bool_)

    def _choices(self, amount: float, *, coarse: bool) -> Iterator[Flags]:
        """Sets of edges that are worth settling: of all on the way, and of the direct ones.

        Where units are coarse, what each pool rounds off counts as gas does.
        """
        costs = np.maximum(self._costs, _ROUNDED_OFF if coarse else 0.0)
        direct = (self._mesh.tail == SOURCE) & (self._mesh.head == TARGET)
        yield from self._thinned(self._every, amount, costs)
        if direct.any() and not direct.all():
            yield from self._thinned(direct, amount, costs)

    def _thinned(self, live: Flags, amount: float, costs: Floats) -> Iterator[Flags]:
        """The edges themselves, or the best few of them where pools cost or have a limit."""
        count = len(self._pools)
        most = self._order.max_pools or count
        if not costs.any() and int(live.sum()) <= most:
            yield live
            return
        from toolkit.routing.kernels.split import thin  # noqa: PLC0415 - numba

        until, values = np.zeros(count, np.int64), np.zeros(count)
        flows, nu = np.zeros((3, count)), np.zeros(len(self._mesh.token))
        hops = self._order.max_hops
        rounds = thin(self._mesh, live, amount, hops, self._units, nu, flows, until, values)
        turns = [(turn, until > turn) for turn in range(rounds)]
        ranked = sorted(
            (float(costs[used].sum() - values[turn]), turn)
            for turn, used in turns
            if int(used.sum()) <= most
        )
        for _, turn in ranked[:_ROUNDS]:
            yield until > turn

    def flows(self, live: Flags, amount: float, *, exact_in: bool) -> Floats | None:
        """What edges take and give, in no circle; None where it is more than they can."""
        from toolkit.routing.kernels.split import solve  # noqa: PLC0415 - numba

        mesh, live = self._mesh, live.copy()
        flows, hops = np.zeros((3, len(live))), self._order.max_hops
        while True:
            nu = np.zeros(len(mesh.token))
            fits = solve(mesh, live, amount, exact_in, hops, nu, flows)
            if self._prices is None:
                self._prices = nu
            if not fits:
                return None
            around = circle(groups_of(mesh, flows)) if hops > 2 else []  # noqa: PLR2004
            if not around:
                return flows
            live[min(around, key=lambda edge: flows[0, edge] * nu[mesh.tail[edge]])] = False

    def settler(self, flows: Floats) -> Settler:
        """Return what sends amounts after flows."""
        return Settler(self._spender, self._mesh, flows)

    @cached_property
    def _units(self) -> Floats:
        """Gas units of each edge; ones where gas does not count."""
        gas = self._order.gas
        if gas is None:
            return np.ones(len(self._pools))
        return np.array([float(gas.of(pool)) for pool in self._pools])

    @cached_property
    def _costs(self) -> Floats:
        """What the gas of each edge costs at least, in units of the token wanted."""
        gas = self._order.gas
        return np.zeros(len(self._pools)) if gas is None else self._units * gas.least

    def _gas(self, plan: Plan) -> tuple[int, int]:
        """(units, cost) of a plan's gas."""
        gas = self._order.gas
        if gas is None:
            return 0, 0
        units = gas.base + sum(gas.of(self._graph.pools[edge >> 1]) for edge, *_ in plan.fills)
        return units, gas.cost(units)

    def _rank(self, plan: Plan) -> tuple[int, int, tuple[int, ...]]:
        _, cost = self._gas(plan)
        if self._order.amount_in is not None:
            worse = cost - plan.amount_out
        else:  # gas counts as the input that would buy it
            worse = plan.amount_in - (-cost * plan.amount_in // plan.amount_out)
        return worse, len(plan.fills), tuple(edge for edge, *_ in plan.fills)

    def _route(self, plan: Plan) -> Route:
        graph, snapshot, order = self._graph, self._graph.snapshot, self._order
        units, cost = self._gas(plan)
        return Route(
            token_in=order.token_in,
            token_out=order.token_out,
            amount_in=plan.amount_in,
            amount_out=plan.amount_out,
            hops=tuple(
                hop_through(graph.pools[edge >> 1], graph.tokens[graph.edge_in[edge]], *amounts)
                for edge, *amounts in plan.fills
            ),
            block_hash=snapshot.block.hash,
            block_number=snapshot.block.number,
            gas_units=units,
            gas_cost=cost,
            bound=plan.amount_out - cost if self._is_one_way else self._bound(plan.amount_in),
        )

    def _bound(self, amount: int) -> int:
        """What no route for this input leaves more than, after gas."""
        from toolkit.routing.kernels.split import ceiling, lower, solve  # noqa: PLC0415 - numba

        mesh, gas, count = self._mesh, self._order.gas, len(self._pools)
        free, flows, nu = np.zeros(count), np.zeros((3, count)), np.zeros(len(mesh.token))
        # Where it is more than they can take, some way may waste it all the same.
        solve(mesh, self._every, float(amount), True, self._order.max_hops, nu, flows)
        least: float = ceiling(mesh, free, float(amount), nu)
        if gas is None:
            return math.floor(least)
        least -= self._costs.min()  # gas or not, some pool has to be used
        nu = nu if self._prices is None else self._prices
        lower(mesh, self._costs, float(amount), _SWEEPS, nu)
        least = min(least, ceiling(mesh, self._costs, float(amount), nu))
        return math.floor(least - gas.base * gas.least)

    def _too_much(self) -> str:
        """Say how much could be swapped instead."""
        from toolkit.routing.kernels.split import solve  # noqa: PLC0415 - numba

        order, mesh = self._order, self._mesh
        flows, nu = np.zeros((3, len(self._pools))), np.zeros(len(mesh.token))
        if order.amount_in is not None:
            solve(mesh, self._every, float(order.amount_in), True, order.max_hops, nu, flows)
            most, token = flows[0, mesh.tail == SOURCE].sum(), order.token_in
        else:
            solve(mesh, self._every, float(order.amount_out or 0), False, order.max_hops, nu, flows)
            most, token = flows[1, mesh.head == TARGET].sum(), order.token_out
        asked = order.amount_in or order.amount_out or 0
        if order.amount_in is not None and asked < most:
            few = f"{asked} of {order.token_in} are too few"
            return f"{few}: not a unit of {order.token_out} comes out"
        return (
            f"no route of up to {order.max_hops} hops takes {order.token_in} for "
            f"{order.token_out} where {asked} of {token} are asked for: about {most:.6g} are the "
            "most"
        )


class _Sender:
    """Sends amounts through some edges, after the flows of about that amount."""

    def __init__(self, swap: _Swap, live: Flags, flows: Floats) -> None:
        self._swap = swap
        self._live = live
        self._settler = swap.settler(flows)
        self.about = max(1, math.ceil(self._settler.amount))

    def send(self, amount: int) -> Plan | None:
        if abs(amount - self._settler.amount) > _FAR * amount:
            flows = self._swap.flows(self._live, float(amount), exact_in=True)
            if flows is None:
                return None
            self._settler = self._swap.settler(flows)
        return self._settler.send(amount)


def _least(sender: _Sender, amount_out: int) -> Plan | None:
    """Find the least input that gives an output, from an estimate on."""
    amount, low, step = sender.about, 0, 1
    best = _enough(sender, amount, amount_out)
    tries = iter(range(_TRIES))
    for _ in tries:
        if best is not None:
            break
        low, amount, step = amount, amount + max(step, amount >> _SHIFT), 4 * step
        best = _enough(sender, amount, amount_out)
        if amount > MOST:
            break
    if best is None:
        return None
    step = max(1, amount >> _SHIFT)
    for _ in tries:
        if best.amount_in - low <= 1:
            break
        below = best.amount_in - step
        amount = below if below > low else (low + best.amount_in) // 2
        plan = _enough(sender, amount, amount_out)
        if plan is not None:
            best, step = plan, 4 * step
        else:
            low, step = amount, best.amount_in  # from here on by halves
    return best


def _enough(sender: _Sender, amount: int, amount_out: int) -> Plan | None:
    plan = sender.send(amount)
    return None if plan is None or plan.amount_out < amount_out else plan


def _place(graph: Graph, token: Address) -> int:
    """Find a token.

    Raises:
        NoRoute: no pool has it, or it keeps a part of transfers.
    """
    known = graph.snapshot.tokens.get(token)
    if known is not None and known.transfer_fee_ppm:
        raise NoRoute(
            f"{token} ({known.symbol}) keeps {known.transfer_fee_ppm} ppm of each transfer; "
            "no route goes through it, quote its pools one by one"
        )
    at = bisect_left(graph.tokens, token)
    if at == len(graph.tokens) or graph.tokens[at] != token:
        raise NoRoute(f"no pool of block {graph.snapshot.block.number} has token {token}")
    return at


def warm_up() -> None:
    """Compile the kernels of splits, or load them from numba's cache, by using each once."""
    from toolkit.routing.kernels.shares import share_pairs  # noqa: PLC0415 - numba
    from toolkit.routing.kernels.split import (  # noqa: PLC0415 - numba
        ceiling,
        lower,
        solve,
        thin,
        walk_paths,
    )

    ends, edges = np.array([0, 1, 1]), np.zeros(1, np.int64)
    mesh = Mesh(
        edge=edges,
        tail=edges,
        head=edges + 1,
        start=ends,
        into=edges,
        into_start=np.array([0, 0, 1]),
        first=edges,
        stop=edges + 1,
        keep=np.ones(1),
        room=np.array([np.inf]),
        pieces=np.array([[0.0, 0.0, 1e9, 1e9]]),
        token=ends[:2],
    )
    live, amount, one = np.ones(1, np.bool_), 1e6, np.ones(1)
    nu, flows, until = np.zeros(2), np.zeros((3, 1)), np.zeros(1, np.int64)
    assert solve(mesh, live, amount, True, 1, nu, flows)
    assert thin(mesh, live, amount, 1, one, nu, flows, until, np.zeros(1)) == 1
    lower(mesh, one, amount, 1, nu)
    ceiling(mesh, one, amount, nu)
    walk_paths(mesh, amount, np.zeros((2, 2)), np.zeros((1, 1)))
    pairs = np.array([[10**9, 0, 10**9, 0, 997, 1000]], np.uint64)
    given = np.zeros((2, 1, 2), np.uint64)
    total = np.array([10**6, 0], np.uint64)
    assert share_pairs(pairs, flows[0], total, given[0], given[1])
