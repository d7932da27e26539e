"""Routes over a snapshot: the best path for a swap, the best cycles for an arbitrage.

Floats propose, integers dispose: every amount that leaves here is the pools' own integer.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np

from toolkit.model.chain import MAINNET_WETH, Address
from toolkit.model.errors import NoRoute
from toolkit.model.market import PoolId, Route
from toolkit.pools.snapshot import Snapshot, hop_through
from toolkit.routing.curves import Routable, obstacle
from toolkit.routing.cycles import MAX_AMOUNT, MAX_HOPS, Costs, CycleSearch
from toolkit.routing.gas import GAS_BASE, GAS_PER_HOP
from toolkit.routing.graph import Graph, routable, unroutable
from toolkit.routing.sizing import Path

# Of what gas costs by exact quotes: no more than any route's gas may cost by them.
_AT_LEAST = 0.99


class Router:
    """Answers routing questions on one snapshot. Cheap to make; arrays are built at first use.

    No route goes through a token that keeps a part of its transfers: what one pool gave would not
    be what the next one gets.

    Args:
        snapshot: the pools. Routes carry its block.
        native: the token that gas is paid in, wrapped.
    """

    def __init__(self, snapshot: Snapshot, *, native: Address = MAINNET_WETH) -> None:
        self.snapshot = snapshot
        self._native = native

    @cached_property
    def _routed(self) -> Snapshot:
        """The pools that routes may go through."""
        return self.snapshot.without_transfer_fees()

    def arbitrage(
        self,
        token: Address,
        *,
        max_hops: int = MAX_HOPS,
        gas_price_wei: int = 0,
        max_input: int | None = None,
    ) -> Route | None:
        """Return the cycle from `token` with the highest profit after gas, or None if none pays.

        Args:
            token: start and end of the cycle; profit and input are in its smallest units.
            max_hops: at least 2.
            gas_price_wei: per gas unit; 0 ignores gas.
            max_input: the most that may go in, e.g. what a flash loan can lend.

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
        return found[0] if found else None

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
        most = MAX_AMOUNT if max_input is None else max_input
        if most < 1:
            raise NoRoute(f"max_input is {most}; nothing can go in")
        search = CycleSearch(
            self._graph,
            token,
            max_hops=max_hops,
            max_input=most,
            costs=self._costs(token, gas_price_wei),
        )
        return tuple(self._route(cycle.path, cycle.amounts) for cycle in search.best(limit))

    def swap(
        self, token_in: Address, token_out: Address, amount_in: int, *, max_hops: int = 2
    ) -> Route:
        """Return the single path that gives the most for an exact input.

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
        return self._route(*chosen)

    def gas_units(self, route: Route) -> int:
        """Return the gas a route is reckoned to use, in gas units."""
        return GAS_BASE + sum(GAS_PER_HOP[hop.kind] for hop in route.hops)

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

    @cached_property
    def _pools_of(self) -> dict[Address, list[Routable]]:
        """The pools of each token, by address; many a router is never asked anything."""
        found: dict[Address, list[Routable]] = {}
        for pool in routable(self._routed):
            for token in (pool.token0, pool.token1) if not obstacle(pool) else ():
                found.setdefault(token, []).append(pool)
        return found

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

    @cached_property
    def _graph(self) -> Graph:
        return Graph(self._routed)

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

    def _costs(self, token: Address, gas_price_wei: int) -> Costs:
        """What cycles cost in gas, in the token's smallest units."""

        def exact(pools: Sequence[Routable]) -> int:
            gas = GAS_BASE + sum(GAS_PER_HOP[pool.kind] for pool in pools)
            return self.gas_cost(token, gas * gas_price_wei)

        # More gas costs more than in proportion, so this rate, at less than any cycle needs, is
        # one that none falls below.
        least = GAS_BASE * gas_price_wei
        rate = gas_price_wei * _AT_LEAST * self.gas_cost(token, least) / least if least else 0.0
        kinds = [GAS_PER_HOP[pool.kind] for pool in self._graph.pools]
        each = np.repeat(np.array(kinds, dtype=np.float64), 2) * rate
        return Costs(each=each, once=GAS_BASE * rate, exact=exact)

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

    def _route(self, path: Path, amounts: tuple[int, ...]) -> Route:
        tokens = path.tokens
        hops = tuple(
            hop_through(pool, tokens[place], amounts[place], amounts[place + 1])
            for place, pool in enumerate(path.pools)
        )
        return Route(
            token_in=tokens[0],
            token_out=tokens[-1],
            amount_in=amounts[0],
            amount_out=amounts[-1],
            hops=hops,
            block_hash=self.snapshot.block.hash,
            block_number=self.snapshot.block.number,
        )
