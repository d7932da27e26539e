"""Routes over a snapshot: what an order gives, which cycle pays most, what all pools together pay.

Floats propose, integers dispose: every amount that leaves here is the pools' own integer.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import msgspec
import numpy as np

from toolkit.model.chain import MAINNET_WETH, Address
from toolkit.model.errors import ConfigError, NoRoute
from toolkit.model.market import Basket, Hop, PoolId, Route
from toolkit.pools.snapshot import Snapshot, hop_through
from toolkit.routing.curves import Floats, Routable, obstacle
from toolkit.routing.cycles.search import MAX_AMOUNT, MAX_HOPS, Costs, CycleSearch
from toolkit.routing.cycles.sizing import Path
from toolkit.routing.filters import PoolFilter
from toolkit.routing.gas import GAS_BASE, GAS_PER_HOP
from toolkit.routing.graph import Graph, routable, unroutable
from toolkit.routing.networks.network import Network
from toolkit.routing.rates import best_rate, least_per_wei
from toolkit.routing.settling.repair import settle
from toolkit.routing.swaps import lone
from toolkit.routing.swaps.split import Splitter
from toolkit.routing.swaps.swap_order import MOST, Gas, Order

# Hops of a plan below which a single cycle may be worth more: rounding pools to used and unused
# costs least where there are many.
_FEW = 60
_MOST_KEPT = 256  # answers on one snapshot
_FEW_POOLS = 32  # whose paths are quickly gone through one by one


def _no_clock() -> float:
    return 0.0


class Router:
    """Answers routing questions on one snapshot. Cheap to make; curves are built at first use.

    No route goes through a token that keeps a part of its transfers: what one pool gave would not
    be what the next one gets. Gas is reckoned by parts (`routing.gas`): so much for a hop of each
    kind, and so much for any route.

    Args:
        snapshot: the pools. Routes carry its block.
        native: the token that gas is paid in, wrapped.
        filters: which pools routes may go through; all of them unless told.
        clock: seconds since any moment, for time budgets.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        native: Address = MAINNET_WETH,
        filters: PoolFilter | None = None,
        clock: Callable[[], float] = _no_clock,
    ) -> None:
        self.snapshot = snapshot
        self._native = native
        self._filters = filters
        self._clock = clock
        self._pools: Snapshot | None = None
        self._by_token: dict[Address, list[Routable]] | None = None
        self._curves: Graph | None = None
        self._splits: Splitter | None = None
        self._networks: dict[Address, Network] = {}
        self._swaps: dict[tuple[Order, int], Route] = {}

    def move(self, snapshot: Snapshot) -> None:
        """Go on to another snapshot: answers are a new router's, sooner if few pools changed."""
        self.snapshot = snapshot
        self._pools = self._by_token = None
        self._swaps = {}
        if self._curves is not None and self._curves.move(self._routed) is None:
            self._curves = self._splits = None
            self._networks = {}

    def arbitrage(
        self,
        token: Address,
        *,
        max_hops: int = MAX_HOPS,
        gas_price_wei: int = 0,
        max_input: int | None = None,
        certify: bool = True,
    ) -> Route | None:
        """Return the cycle from `token` with the highest profit after gas, or None if none pays.

        Args:
            token: start and end of the cycle; profit and input are in its smallest units.
            max_hops: at least 2.
            gas_price_wei: per gas unit; 0 ignores gas.
            max_input: the most that may go in, e.g. what a flash loan can lend.
            certify: also prove a bound on what all pools together can pay (`Route.bound`).

        Raises:
            NoRoute: no pool has the token, or gas cannot be priced in it.
        """
        found = self.arbitrages(
            token,
            max_hops=max_hops,
            limit=1,
            gas_price_wei=gas_price_wei,
            max_input=max_input,
        )
        if not found or not certify:
            return found[0] if found else None
        return msgspec.structs.replace(found[0], bound=self.bound(token, gas_price_wei))

    def arbitrages(
        self,
        token: Address,
        *,
        max_hops: int = MAX_HOPS,
        limit: int = 8,
        gas_price_wei: int = 0,
        max_input: int | None = None,
    ) -> tuple[Route, ...]:
        """Return up to `limit` cycles that pay after gas, the most profitable first.

        Each is sized as if it were alone: two that share a pool do not both earn their profit.
        Arguments and errors are those of `arbitrage`.
        """
        self._check_token(token)
        if max_hops < 2 or limit < 1:  # noqa: PLR2004 - a cycle needs two pools
            raise NoRoute(f"a cycle needs max_hops >= 2 and limit >= 1, not {max_hops}, {limit}")
        search = CycleSearch(
            self._graph,
            token,
            max_hops=max_hops,
            max_input=self._most(max_input),
            costs=self._cycle_costs(token, gas_price_wei),
        )
        return tuple(
            self._path_route(cycle.path, cycle.amounts, gas_price_wei)
            for cycle in search.best(limit)
        )

    def network(
        self,
        token: Address,
        *,
        gas_price_wei: int = 0,
        max_input: int | None = None,
        max_pools: int | None = None,
        time_budget_s: float | None = None,
    ) -> Route:
        """Return what pays most from a token back to it over all pools at once, after gas.

        Where nothing pays the route has no hops. Its `bound` holds for every route over these
        pools, cycles too; where `FLASH` is among its flags, it needs loans of further tokens.

        Args:
            token: start and end; amounts are in its smallest units.
            gas_price_wei: per gas unit; 0 ignores gas.
            max_input: the most of the token that may be out at a time.
            max_pools: the most pools that the route may use.
            time_budget_s: then the best so far is answered, flagged `BEST_SO_FAR`.

        Raises:
            NoRoute: no pool has the token, or gas cannot be priced in it.
            ConfigError: a time budget, but the router was given no clock.
        """
        self._check_token(token)
        if time_budget_s is not None and self._clock is _no_clock:
            raise ConfigError(
                "time_budget_s: give the router a clock, Router(…, clock=…) in seconds"
            )
        budget_s = math.inf if time_budget_s is None else time_budget_s
        each, once = self._rates(token, gas_price_wei)
        plan = self._network_of(token).plan(each[::2], base_cost=once, budget_s=budget_s)
        settled = settle(
            self._graph,
            plan.inputs,
            start=token,
            max_input=None if max_input is None else self._most(max_input),
            max_pools=max_pools,
            hop_cost=float(each.max(initial=0.0)),
            flash_cost=once,
        )
        units = self._gas_of(settled.hops)
        route = Route(
            token_in=token,
            token_out=token,
            amount_in=settled.spent.get(token, 0),
            amount_out=settled.left.get(token, 0),
            hops=settled.hops,
            block_hash=self.snapshot.block.hash,
            block_number=self.snapshot.block.number,
            gas_units=units,
            gas_cost=self.gas_cost(token, units * gas_price_wei),
            flags=(*settled.flags, *plan.flags),
        )
        if not route.hops or route.net <= 0:
            route = msgspec.structs.replace(
                route, amount_in=0, amount_out=0, hops=(), gas_units=0, gas_cost=0, flags=plan.flags
            )
        if len(route.hops) < _FEW and max_pools != 1:
            cycle = self.arbitrage(
                token,
                max_hops=max(2, min(MAX_HOPS, max_pools or MAX_HOPS)),
                gas_price_wei=gas_price_wei,
                max_input=max_input,
                certify=False,
            )
            if cycle is not None and cycle.net > route.net:
                route = msgspec.structs.replace(cycle, flags=plan.flags)
        return msgspec.structs.replace(route, bound=max(0, route.net, math.floor(plan.bound)))

    def rebalance(
        self,
        sell: Mapping[Address, int],
        want: Mapping[Address, int],
        *,
        gas_price_wei: int = 0,
        max_pools: int | None = None,
    ) -> Basket:
        """Return how to turn holdings into as much as possible of a mixture.

        A token may be on both sides: then only what is too much, or too little, of it is traded.

        Args:
            sell: what is at hand, in smallest units; all of it may go.
            want: the mixture, in smallest units of each token: one ether and 3,000 USDC, say.
            gas_price_wei: per gas unit; 0 ignores gas.
            max_pools: the most pools that may be used.

        Raises:
            NoRoute: an amount that is not positive, nothing to sell or wanted, a token that no
                pool has, or gas that cannot be priced.
        """
        amounts = [("sell", *one) for one in sell.items()] + [
            ("want", *one) for one in want.items()
        ]
        if not sell or not want or any(amount < 1 for *_, amount in amounts):
            told = ", ".join(f"{side} {amount} of {token}" for side, token, amount in amounts)
            raise NoRoute(f"a rebalancing sells and wants positive amounts, not {told or 'none'}")
        for token in {*sell, *want}:
            self._check_token(token)
        weights = {token: float(amount) for token, amount in want.items()}
        held = {token: float(amount) for token, amount in sell.items()}
        network = Network(self._graph, want=weights, sell=held, clock=self._clock)
        units = np.array([float(GAS_PER_HOP[pool.kind]) for pool in self._graph.pools])
        rate = self._mixtures_per_gas(network, gas_price_wei)
        plan = network.plan(units * rate, base_cost=GAS_BASE * rate)
        index = {token: at for at, token in enumerate(self._graph.tokens)}
        worth = {token: float(plan.prices[index[token]]) for token in want}
        settled = settle(
            self._graph,
            plan.inputs,
            sell=sell,
            want=worth,
            max_pools=max_pools,
            hop_cost=float(units.max(initial=0.0)) * rate,
            flash_cost=GAS_BASE * rate,
        )
        got = {
            token: sell.get(token, 0) - settled.spent.get(token, 0) + settled.left.get(token, 0)
            for token in want
        }
        gas = self._gas_of(settled.hops) if settled.hops else 0
        count = min(amount / want[token] for token, amount in got.items())
        return Basket(
            sold=settled.spent,
            got=got,
            hops=settled.hops,
            block_hash=self.snapshot.block.hash,
            block_number=self.snapshot.block.number,
            count=count,
            bound=max(plan.bound, count - gas * rate),
            gas_units=gas,
            gas_cost=gas * rate,
            flags=(*settled.flags, *plan.flags),
        )

    def _mixtures_per_gas(self, network: Network, gas_price_wei: int) -> float:
        """What a unit of gas costs, by the prices at which nothing but gas is left to gain."""
        if not gas_price_wei:
            return 0.0
        self._check_token(self._native)
        free = network.plan(np.zeros(len(self._graph.pools)))
        return gas_price_wei * float(free.prices[self._graph.tokens.index(self._native)])

    def bound(self, token: Address, gas_price_wei: int = 0) -> int:
        """Return what no route from a token back to it can pay more than, after gas.

        In its smallest units; errors as `network`.
        """
        self._check_token(token)
        each, once = self._rates(token, gas_price_wei)
        return max(0, math.floor(self._network_of(token).bound(each[::2], base_cost=once)))

    def swap(
        self,
        token_in: Address,
        token_out: Address,
        amount_in: int,
        *,
        max_hops: int = 2,
        max_pools: int | None = None,
        gas_price_wei: int = 0,
        least_out: int = 0,
    ) -> Route:
        """Return the route that leaves the most after gas, split over pools and paths.

        Args:
            token_in: what is sold, all of it.
            token_out: what is wanted.
            amount_in: in smallest units.
            max_hops: pools one after the other.
            max_pools: the most hops in all.
            gas_price_wei: per gas unit; 0 ignores gas.
            least_out: less is no route: a limit on the average price.

        Raises:
            NoRoute: unknown or equal tokens, an amount that is not positive, no way that takes
                all of it, or a price beyond the limit.
        """
        return self._split(
            Order(
                token_in=token_in,
                token_out=token_out,
                amount_in=amount_in,
                max_hops=max_hops,
                max_pools=max_pools,
                least_out=least_out,
            ),
            gas_price_wei,
        )

    def swap_exact_out(
        self,
        token_in: Address,
        token_out: Address,
        amount_out: int,
        *,
        max_hops: int = 2,
        max_pools: int | None = None,
        gas_price_wei: int = 0,
        most_in: int = MOST,
    ) -> Route:
        """Return the route that buys an output for the least input, gas counted.

        Where a unit of input buys several of output, a few more may come out. Arguments and errors
        are those of `swap`; more than `most_in` is no route.
        """
        return self._split(
            Order(
                token_in=token_in,
                token_out=token_out,
                amount_out=amount_out,
                max_hops=max_hops,
                max_pools=max_pools,
                most_in=most_in,
            ),
            gas_price_wei,
        )

    def path(
        self, token_in: Address, token_out: Address, amount_in: int, *, max_hops: int = 2
    ) -> Route:
        """Return the single path that gives the most for an exact input, gas not counted.

        Raises:
            NoRoute: unknown or equal tokens, an amount that is not positive, or no path that
                takes all of it.
        """
        self._check_token(token_in)
        self._check_token(token_out)
        if token_in == token_out:
            raise NoRoute(f"{token_in} to itself is no swap; ask for an arbitrage")
        if amount_in < 1 or max_hops < 1:
            raise NoRoute(f"amount_in {amount_in} and max_hops {max_hops} must be positive")
        best: tuple[int, int, tuple[PoolId, ...]] | None = None
        chosen: tuple[Path, tuple[int, ...]] | None = None
        for path in self._paths(token_in, token_out, max_hops):
            amounts = path.amounts(amount_in)
            if amounts is None:
                continue
            rank = -amounts[-1], len(path.pools), tuple(pool.id for pool in path.pools)
            if best is None or rank < best:
                best, chosen = rank, (path, amounts)
        if chosen is None:
            raise NoRoute(
                f"no path of up to {max_hops} hops takes {amount_in} of {token_in} to {token_out}"
                f"{self._left_out(token_in, token_out)}"
            )
        return self._path_route(*chosen, 0)

    def gas_units(self, route: Route) -> int:
        """Return the gas a route is reckoned to use, in gas units."""
        return self._gas_of(route.hops)

    def _gas_of(self, hops: Sequence[Hop]) -> int:
        return GAS_BASE + sum(GAS_PER_HOP[hop.kind] for hop in hops)

    def gas_cost(self, token: Address, gas_wei: int) -> int:
        """Return what `gas_wei` costs in `token`: the least of it that buys as much, rounded up.

        Raises:
            NoRoute: no path of up to 2 hops from `token` to the wrapped native token.
        """
        if gas_wei == 0 or token == self._native:
            return gas_wei
        self._check_token(token)
        costs = [
            cost
            for path in self._paths(token, self._native, 2)
            if (cost := path.least_input(gas_wei)) is not None
        ]
        if not costs:
            raise NoRoute(
                f"gas cannot be priced in {token}: no path to the wrapped native token "
                f"{self._native}; set the gas price to 0 or add such a pool"
            )
        return min(costs)

    def net_profit(self, route: Route, gas_price_wei: int) -> int:
        """Return a cycle's profit after gas, in its token's smallest units; errors as gas_cost."""
        return route.profit - self.gas_cost(route.token_in, self.gas_units(route) * gas_price_wei)

    @property
    def _routed(self) -> Snapshot:
        """The pools that routes may go through."""
        if self._pools is None:
            kept = self.snapshot.without_transfer_fees()
            self._pools = kept if self._filters is None else self._filters.apply(kept, self._native)
        return self._pools

    @property
    def _pools_of(self) -> dict[Address, list[Routable]]:
        """The pools of each token, by id; many a router is never asked anything."""
        if self._by_token is None:
            self._by_token = {}
            for pool in routable(self._routed):
                for token in (pool.token0, pool.token1) if not obstacle(pool) else ():
                    self._by_token.setdefault(token, []).append(pool)
        return self._by_token

    @property
    def _graph(self) -> Graph:
        if self._curves is None:
            self._curves = Graph(self._routed)
        return self._curves

    def _network_of(self, token: Address) -> Network:
        """The network that earns a token; it keeps its prices from one block to the next."""
        if token not in self._networks:
            self._networks[token] = Network(self._graph, want={token: 1.0}, clock=self._clock)
        return self._networks[token]

    def _split(self, order: Order, gas_price_wei: int) -> Route:
        """Answer an order; of one that is asked for again, as deciding does, what was found."""
        asked = order, gas_price_wei
        if asked not in self._swaps:
            if len(self._swaps) >= _MOST_KEPT:
                self._swaps.clear()
            self._swaps[asked] = self._divided(order, gas_price_wei)
        return self._swaps[asked]

    def _divided(self, order: Order, gas_price_wei: int) -> Route:
        for token in (order.token_in, order.token_out):
            self._check_token(token)
        if gas_price_wei:
            if (alone := self._alone(order, gas_price_wei)) is not None:
                return alone
            least = least_per_wei(self._graph, order.token_out, self._native)
            order = replace(order, gas=self._gas(order.token_out, gas_price_wei, least))
        if self._splits is None:
            self._splits = Splitter(self._graph)
        try:
            route = self._splits.swap(order)
        except NoRoute as error:
            raise NoRoute(f"{error}{self._left_out(order.token_in, order.token_out)}") from None
        if route.gas_units:
            return route
        return msgspec.structs.replace(route, gas_units=self.gas_units(route))

    def _gas(self, token: Address, gas_price_wei: int, least: float) -> Gas:
        """What gas costs in a token, `least` by the wei."""
        return Gas(
            base=GAS_BASE,
            of=lambda pool: GAS_PER_HOP[pool.kind],
            cost=lambda units: self.gas_cost(token, units * gas_price_wei),
            least=gas_price_wei * least,
        )

    def _alone(self, order: Order, gas_price_wei: int) -> Route | None:
        """The answer to an order for which no split can be worth its gas; None where one may."""
        few = len(self._routed.pools) <= _FEW_POOLS and order.max_hops <= lone.MAX_HOPS
        if order.amount_in is None or not few:
            return None
        source, token = order.token_in, order.token_out
        rate = 1.0 if token == self._native else best_rate(self._paths(token, self._native, 2))
        if not rate:
            return None
        gas = self._gas(token, gas_price_wei, 1 / rate)
        paths = [
            *self._paths(source, token, min(order.max_hops, order.max_pools or order.max_hops))
        ]
        found = lone.lone_path(paths, order.amount_in, gas) if paths else None
        if found is None or found[1][-1] < order.least_out:
            return None
        route = self._path_route(*found, gas_price_wei)
        return msgspec.structs.replace(route, bound=route.net)

    def _most(self, max_input: int | None) -> int:
        most = MAX_AMOUNT if max_input is None else max_input
        if most < 1:
            raise NoRoute(f"max_input is {most}; nothing can go in")
        return most

    def _rates(self, token: Address, gas_price_wei: int) -> tuple[Floats, float]:
        """What the gas of each edge, and of any route, costs at least, in the token's units."""
        self.gas_cost(token, GAS_BASE * gas_price_wei)  # says so where it cannot be priced
        rate = (
            gas_price_wei * least_per_wei(self._graph, token, self._native)
            if gas_price_wei
            else 0.0
        )
        kinds = [GAS_PER_HOP[pool.kind] for pool in self._graph.pools]
        return np.repeat(np.array(kinds, dtype=np.float64), 2) * rate, GAS_BASE * rate

    def _cycle_costs(self, token: Address, gas_price_wei: int) -> Costs:
        """What cycles cost in gas, in the token's smallest units."""

        def exact(pools: Sequence[Routable]) -> int:
            gas = GAS_BASE + sum(GAS_PER_HOP[pool.kind] for pool in pools)
            return self.gas_cost(token, gas * gas_price_wei)

        each, once = self._rates(token, gas_price_wei)
        return Costs(each=each, once=once, exact=exact)

    def _left_out(self, *tokens: Address) -> str:
        """Name the pools of tokens that routes leave out, and why; the first of many."""
        snapshot = self._routed
        found = [
            why
            for name, why in unroutable(snapshot).items()
            if {snapshot.pools[name].token0, snapshot.pools[name].token1}.intersection(tokens)
        ] + [
            one.why
            for one in snapshot.aside.values()
            if {one.spec.token0, one.spec.token1}.intersection(tokens)
        ]
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        return f"; left out: {found[0]}{more}" if found else ""

    def _check_token(self, token: Address) -> None:
        known = self.snapshot.tokens.get(token)
        if known is not None and known.transfer_fee_ppm:
            raise NoRoute(
                f"{token} ({known.symbol}) keeps {known.transfer_fee_ppm} ppm of each transfer; "
                "no route goes through it, quote its pools one by one"
            )
        if token not in self._pools_of:
            raise NoRoute(
                f"no pool of block {self.snapshot.block.number} has token {token}"
                f"{self._left_out(token)}"
            )

    def _paths(self, token_in: Address, token_out: Address, max_hops: int) -> Iterator[Path]:
        """Every path of distinct tokens, shorter prefixes first."""
        stack: list[tuple[tuple[Routable, ...], tuple[Address, ...]]] = [((), (token_in,))]
        while stack:
            pools, tokens = stack.pop()
            for pool in self._pools_of.get(tokens[-1], ()):
                target = pool.token1 if tokens[-1] == pool.token0 else pool.token0
                if target == token_out:
                    yield Path(pools=(*pools, pool), tokens=(*tokens, target))
                elif target not in tokens and len(pools) + 1 < max_hops:
                    stack.append(((*pools, pool), (*tokens, target)))

    def _path_route(self, path: Path, amounts: tuple[int, ...], gas_price_wei: int) -> Route:
        tokens = path.tokens
        hops = tuple(
            hop_through(pool, tokens[place], amounts[place], amounts[place + 1])
            for place, pool in enumerate(path.pools)
        )
        units = self._gas_of(hops)
        return Route(
            token_in=tokens[0],
            token_out=tokens[-1],
            amount_in=amounts[0],
            amount_out=amounts[-1],
            hops=hops,
            block_hash=self.snapshot.block.hash,
            block_number=self.snapshot.block.number,
            gas_units=units,
            gas_cost=self.gas_cost(tokens[-1], units * gas_price_wei),
        )
