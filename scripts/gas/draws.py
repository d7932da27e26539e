"""Random plans with exact amounts: chains, splits and networks, on own and on borrowed input."""

import math
from collections.abc import Iterator
from random import Random

import msgspec

from toolkit.devnet.protocols import BALANCER_VAULT, WETH
from toolkit.devnet.tokens import TOKENS
from toolkit.execution.planner import FlashSource
from toolkit.model.chain import Address
from toolkit.model.decision import Plan
from toolkit.model.errors import PoolError
from toolkit.model.market import FLASH, Funding, FundingKind, Hop, PoolId, Route, has_contract
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.snapshot import Pool, Snapshot, hop_through
from toolkit.routing.loans import loans_for, shortages

DOLLARS = {"WETH": 1500, "WBTC": 22_500}
ALL = [token.address for token in TOKENS.values()]
MOST_HOPS = 10
# How often a draw is so; the rest of its kind is otherwise.
_OFTEN_FRESH, _OFTEN_STRAIGHT, _OFTEN_DUST = 0.75, 0.5, 0.2
_OFTEN_CYCLES, _OFTEN_ON_LOANS, _OFTEN_TIPPED = 0.6, 0.25, 0.3
_GAS_LIMIT = 10_000_000


def unit(token: Address) -> int:
    """About a dollar of a token."""
    known = next(one for one in TOKENS.values() if one.address == token)
    return max(int(10**known.decimals // DOLLARS.get(known.symbol, 1)), 1)


class Walk:
    """Hops one after the other on states that move with them."""

    def __init__(self, rng: Random, snapshot: Snapshot, start: Address, amount: int) -> None:
        self.rng, self.start, self.amount = rng, start, amount
        self.states: dict[PoolId, Pool] = dict(snapshot.pools)
        self.held = {start: amount}
        self.hops: list[Hop] = []

    def swap(self, token: Address, amount: int, wanted: Address | None = None) -> Address:
        """Swap in a random pool of the token (and of another); return what came out.

        Raises:
            PoolError: none takes that much.
        """
        pools = [
            pool
            for pool in self.states.values()
            if token in (pool.token0, pool.token1)
            and (wanted is None or wanted in (pool.token0, pool.token1))
        ]
        if not pools or amount < 1:
            raise PoolError(f"no pool takes {amount} of {token}")
        # A pool is used again now and then only.
        used = {hop.pool for hop in self.hops}
        fresh = [pool for pool in pools if pool.id not in used]
        pool = self.rng.choice(fresh if fresh and self.rng.random() < _OFTEN_FRESH else pools)
        out, after = pool.swap_in(token, amount)
        if out == 0:
            raise PoolError(f"{amount} of {token} buy nothing")
        self.states[pool.id] = after
        other = pool.token1 if token == pool.token0 else pool.token0
        self.hops.append(hop_through(pool, token, amount, out))
        self.held[token] -= amount
        self.held[other] = self.held.get(other, 0) + out
        return other

    def chain(self, length: int, end: Address) -> None:
        """As many hops, each with all that came of the one before."""
        token = self.start
        for left in range(length, 0, -1):
            token = self.swap(token, self.held[token], end if left == 1 else None)

    def split(self, parts: int, end: Address) -> None:
        """Parts of the input to one other token, and that to the end, or there at once."""
        middle = end if end != self.start and self.rng.random() < _OFTEN_STRAIGHT else self._other()
        for left in range(parts, 0, -1):
            amount = self.held[self.start]
            if left > 1:
                amount = amount * self.rng.randint(20, 80) // 100 // (left - 1)
            self.swap(self.start, amount, middle)
        if middle != end:
            self._gather(middle, end)

    def network(self, most: int, end: Address) -> None:
        """Hops of whatever is held, then all that is left to the end, some dust aside."""
        for _ in range(most):
            token = self.rng.choice([t for t, amount in self.held.items() if amount])
            share = self.rng.choice([3, 2, 1, 1])
            self.swap(token, self.held[token] // share)
        for token in sorted(self.held):
            if token != end and self.held[token]:
                self._gather(token, end)

    def route(self, snapshot: Snapshot, end: Address) -> Route:
        """What was walked."""
        return Route(
            token_in=self.start,
            token_out=end,
            amount_in=self.amount,
            amount_out=self.held.get(end, 0),
            hops=tuple(self.hops),
            block_hash=snapshot.block.hash,
            block_number=snapshot.block.number,
        )

    def _other(self) -> Address:
        return self.rng.choice([token for token in ALL if token != self.start])

    def _gather(self, token: Address, end: Address) -> None:
        amount = self.held[token]
        if self.rng.random() < _OFTEN_DUST:
            amount -= amount // 1000  # what is left is the owner's
        direct = any({token, end} == {p.token0, p.token1} for p in self.states.values())
        if direct:
            self.swap(token, amount, end)
        else:
            bought = self.swap(token, amount, WETH)
            self.swap(bought, self.held[bought], end)


def routes(rng: Random, snapshot: Snapshot) -> Iterator[Route]:
    """Yield random routes with exact amounts, without end; cycles only with a gain."""
    while True:
        start = rng.choice([WETH, WETH, *ALL])
        end = start if rng.random() < _OFTEN_CYCLES else rng.choice(ALL)
        dollars = math.exp(rng.uniform(math.log(20), math.log(1_500_000)))
        if start == end:
            dollars = min(dollars, 60_000.0)
        walk = Walk(rng, snapshot, start, math.ceil(dollars * unit(start)))
        try:
            kind = rng.randrange(3)
            if kind == 0:
                walk.chain(rng.randint(1 if start != end else 2, 6), end)
            elif kind == 1:
                walk.split(rng.randint(2, 4), end)
            else:
                walk.network(rng.randint(2, 6), end)
        except PoolError:
            continue
        route = walk.route(snapshot, end)
        pays = route.profit > 0 if route.is_cycle else route.amount_out > 0
        if len(route.hops) <= MOST_HOPS and pays:
            yield route


def plan_of(rng: Random, route: Route, snapshot: Snapshot, number: int) -> Plan | None:
    """Fund a route somehow and guard it; None where that funding does not do."""
    kind = rng.choice(list(FundingKind)) if route.is_cycle else FundingKind.OWN
    missing: dict[Address, int] = {}
    if rng.random() < _OFTEN_ON_LOANS:
        route, missing = shuffled(rng, route)
    lent = kind is not FundingKind.OWN
    if missing and kind not in (FundingKind.OWN, FundingKind.BALANCER):
        return None
    source = lender(rng, kind, route, snapshot) if lent else None
    if lent and source is None:
        return None
    fee = source.fee(route.amount_in) if source else 0
    gain = (route.profit if route.is_cycle else route.amount_out) - fee
    if gain <= 0:
        return None
    tip = rng.randint(1, 10**15) if rng.random() < _OFTEN_TIPPED else 0
    unwrapped = tip if lent else 0  # nothing is sent along with borrowed input
    if unwrapped and (route.token_out != WETH or unwrapped > gain):
        return None
    vault = BALANCER_VAULT if missing else None
    return Plan(
        verdict_id=f"draw-{number}",
        agents=("draw",),
        route=route,
        funding=Funding(
            kind=kind,
            token=route.token_in,
            amount=route.amount_in,
            lender=source.lender if source else vault,
            fee=fee,
        ),
        minimum_profit=gain - unwrapped,
        tip_wei=tip,
        gas_limit=_GAS_LIMIT,
        target_block=snapshot.block.number + 1,
        parent_hash=snapshot.block.hash,
        loans=loans_for(route, missing, kind),
    )


def own(route: Route, snapshot: Snapshot) -> Plan:
    """A plan on own input, for nothing but its output."""
    return Plan(
        verdict_id="own",
        agents=("draw",),
        route=route,
        funding=Funding(kind=FundingKind.OWN, token=route.token_in, amount=route.amount_in),
        minimum_profit=route.amount_out,
        tip_wei=0,
        gas_limit=_GAS_LIMIT,
        target_block=snapshot.block.number + 1,
        parent_hash=snapshot.block.hash,
    )


def shuffled(rng: Random, route: Route) -> tuple[Route, dict[Address, int]]:
    """Return the route in an order that needs loans, if there is one that does not move amounts."""
    if len({hop.pool for hop in route.hops}) < len(route.hops):
        return route, {}
    hops = list(route.hops)
    rng.shuffle(hops)
    other = msgspec.structs.replace(route, hops=tuple(hops), flags=(FLASH,))
    missing = shortages(other)
    if not missing or route.token_in in missing:
        return route, {}
    return other, missing


def lender(rng: Random, kind: FundingKind, route: Route, snapshot: Snapshot) -> FlashSource | None:
    """Return one that lends the input and is not traded with."""
    used = {hop.pool for hop in route.hops}
    token, amount = route.token_in, route.amount_in
    if kind is FundingKind.BALANCER:
        return FlashSource(kind=kind, lender=BALANCER_VAULT, token=token, available=amount)
    family = ConstantProduct if kind is FundingKind.V2_FLASH else Concentrated
    free = [
        pool
        for key, pool in sorted(snapshot.pools.items())
        if isinstance(pool, family) and key not in used and token in (pool.token0, pool.token1)
    ]
    if not free:
        return None
    pool = rng.choice(free)
    assert has_contract(pool.id)
    return FlashSource(
        kind=kind, lender=pool.id, token=token, available=amount + 1, fee_ppm=pool.fee_ppm
    )
