"""Turns a verdict into what can be executed in the next block, or says why it cannot; pure.

An arbitrage keeps the route it was found with and borrows its input where that is cheapest; its
tip and its gas come out of its profit. Any other leg is routed here, over as many pools as leave
the most after gas, and uses own capital. Every amount is checked again on the snapshot, so that on
the same state the chain gives the predicted amounts to the wei, and on another state the executor
reverts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

import msgspec

from toolkit.gas.rules import MAX_TX_GAS
from toolkit.model.chain import Address
from toolkit.model.checks import require_integer
from toolkit.model.decision import Leg, Plan, Verdict, VetoCause
from toolkit.model.errors import NoRoute, PoolError
from toolkit.model.market import FLASH, Funding, FundingKind, Hop, PoolId, Route, has_contract
from toolkit.model.tx import FeeQuote
from toolkit.model.units import PPM, div_ceil
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.snapshot import Pool, Snapshot
from toolkit.routing.gas import GAS_PER_HOP
from toolkit.routing.loans import loans_for, shortages

# Expected gas by part of a plan beside its hops, rounded up from receipts of the executor on the
# twin (cold storage, a builder's account that does not exist yet).
BASE_GAS = 40_000  # intrinsic, calldata, guards, settlement, and the sweep of one token
TIP_GAS = 35_000
APPROVE_GAS = 80_000  # of the dearest token in use, a proxy with cold storage, with a margin
MOST_APPROVALS = 2  # a left-over allowance goes by way of zero
FUNDING_GAS: Mapping[FundingKind, int] = {
    FundingKind.OWN: 30_000,
    FundingKind.BALANCER: 30_000,
    FundingKind.V2_FLASH: 75_000,
    FundingKind.V3_FLASH: 55_000,
}


class Declined(NamedTuple):
    """No plan: the first cause, and one line with the values."""

    cause: VetoCause
    why: str


MAX_HOPS = 8
MAX_MERGED = 64
MAX_MARGIN = 1_000  # percent
MOST_WEI = 2**128 - 1


class TipPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What a builder is offered, in wei.

    For arbitrage `share_ppm` of the profit after flash fee and gas, at least `floor_wei`; for
    swaps with own capital, which have no profit to share, `swap_wei`.
    """

    share_ppm: int = 600_000
    floor_wei: int = 0
    swap_wei: int = 0

    def __post_init__(self) -> None:
        require_integer("tip.share_ppm", self.share_ppm, most=PPM)
        for field in ("floor_wei", "swap_wei"):
            require_integer(f"tip.{field}", getattr(self, field), most=MOST_WEI)

    def tip(self, net_profit: int) -> int:
        """The tip for an arbitrage that nets `net_profit` wei before it, share rounded down."""
        return max(self.floor_wei, net_profit * self.share_ppm // PPM)


class PlanLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one plan may be: hops, gas limit, and the margin of the limit over expected gas.

    `max_hops` counts all swaps of a plan; `swap_hops` those that own capital goes through one
    after the other, beside which it may be split. Up to two are divided by sums, quotients and
    square roots alone, which are the same on every machine; beyond, by exponentials too, whose last
    digit is the C library's. `max_merged` swaps with own capital share a transaction at most; with
    1 each goes alone.
    """

    max_hops: int = 4
    swap_hops: int = 2
    max_gas: int = MAX_TX_GAS
    gas_margin_percent: int = 50
    max_merged: int = 8

    def __post_init__(self) -> None:
        require_integer("plan_limits.max_gas", self.max_gas, least=1, most=MAX_TX_GAS)
        for field in ("max_hops", "swap_hops"):
            require_integer(f"plan_limits.{field}", getattr(self, field), least=1, most=MAX_HOPS)
        require_integer("plan_limits.gas_margin_percent", self.gas_margin_percent, most=MAX_MARGIN)
        require_integer("plan_limits.max_merged", self.max_merged, least=1, most=MAX_MERGED)


DEFAULT_TIPS = TipPolicy()
DEFAULT_LIMITS = PlanLimits()


class FlashSource(msgspec.Struct, frozen=True, kw_only=True):
    """Who lends a token within a transaction; `available` in the token's smallest unit."""

    kind: FundingKind
    lender: Address
    token: Address
    available: int
    fee_ppm: int = 0  # of V3 pools; a V2 pair takes its swap fee, Balancer nothing

    def fee(self, amount: int) -> int:
        """What is due beyond `amount`.

        V2: ceil(1000 * amount / 997) - amount (UniswapV2Pair.sol `swap`, fee on the input);
        V3: ceil(amount * fee / 1e6) (UniswapV3Pool.sol `flash`).
        """
        if self.kind is FundingKind.V2_FLASH:
            return div_ceil(amount * 1000, 997) - amount
        return div_ceil(amount * self.fee_ppm, PPM)

    def lends(self, amount: int) -> bool:
        """Whether it has that much; a V2 pair must keep at least one unit."""
        spare = 1 if self.kind is FundingKind.V2_FLASH else 0
        return self.available >= amount + spare


class Swaps(Protocol):
    """The part of a router that swaps own capital."""

    def swap(
        self,
        token_in: Address,
        token_out: Address,
        amount_in: int,
        *,
        max_hops: int = 2,
        max_pools: int | None = None,
        gas_price_wei: int = 0,
    ) -> Route:
        """Split an order so that the most is left after gas; NoRoute if nothing takes it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """How own capital is swapped at one block: over which pools, how finely, at what gas price."""

    router: Swaps
    gas_price_wei: int
    limits: PlanLimits = DEFAULT_LIMITS

    def route(self, token_in: Address, token_out: Address, amount_in: int) -> Route:
        """Return the split that leaves the most after gas, within the limits of a plan.

        Where nothing tells what gas is worth in the token bought, gas does not count.

        Raises:
            NoRoute: no pools within these limits take all of it.
        """
        swap = partial(
            self.router.swap,
            token_in,
            token_out,
            amount_in,
            max_hops=min(self.limits.swap_hops, self.limits.max_hops),
            max_pools=self.limits.max_hops,
        )
        try:
            return swap(gas_price_wei=self.gas_price_wei)
        except NoRoute:  # safe because the second question says what is wrong, if anything is
            return swap(gas_price_wei=0)


def plan(
    verdict: Verdict,
    *,
    snapshot: Snapshot,
    router: Swaps,
    fee: FeeQuote,
    wrapped: Address,
    sources: Sequence[FlashSource] = (),
    tip: TipPolicy = DEFAULT_TIPS,
    limits: PlanLimits = DEFAULT_LIMITS,
    leg: Leg | None = None,
) -> Plan | Declined:
    """Make a verdict's leg executable in the block after the snapshot's.

    Args:
        verdict: approved, on the snapshot's block.
        snapshot: pool states that routes were computed on.
        router: over the same snapshot, for legs without a route.
        fee: for the block after the snapshot's; what gas it makes expected, routes weigh.
        wrapped: the wrapped native token, in which arbitrage must start and end.
        sources: of flash loans. Without one that suffices an arbitrage is declined.
        tip: the builder's share.
        limits: of hops and gas.
        leg: which of the verdict's legs; needed only if it has several.
    """
    chosen = leg or (verdict.legs[0] if len(verdict.legs) == 1 else None)
    refused = _refused(verdict, chosen, snapshot, fee)
    if refused or chosen is None:
        return refused or Declined(
            VetoCause.INVALID, f"verdict has {len(verdict.legs)} legs: name the one to plan"
        )
    ways = Ways(router=router, gas_price_wei=expected_gas_price(fee), limits=limits)
    route = _route(chosen, snapshot, ways)
    if isinstance(route, Declined):
        return route
    if len(route.hops) > limits.max_hops:
        return Declined(VetoCause.LIMIT, f"{len(route.hops)} hops, at most {limits.max_hops}")
    missing = shortages(route) if FLASH in route.flags else {}
    terms = (
        _arbitrage(route, fee, wrapped, sources, tip, missing)
        if route.is_cycle
        else _own(route, sources, tip, missing)
    )
    if isinstance(terms, Declined):
        return terms
    gas = expected_gas(route, terms.funding.kind, tip_wei=terms.tip_wei)
    gas_limit = gas * (100 + limits.gas_margin_percent) // 100
    if gas_limit > limits.max_gas:
        return Declined(VetoCause.LIMIT, f"gas limit {gas_limit}, at most {limits.max_gas}")
    return Plan(
        verdict_id=verdict.verdict_id,
        agents=verdict.agents,
        route=route,
        funding=terms.funding,
        minimum_profit=terms.minimum_profit,
        tip_wei=terms.tip_wei,
        gas_limit=gas_limit,
        target_block=snapshot.block.number + 1,
        parent_hash=snapshot.block.hash,
        loans=loans_for(route, missing, terms.funding.kind),
    )


def expected_gas(route: Route, funding: FundingKind, *, tip_wei: int) -> int:
    """Gas units that a plan is expected to use; a sum over its parts, on the high side.

    The parts are those of a chain on which every slot is written for the first time; a route that
    was reckoned on its states (`toolkit.routing.gas`) tells of the ticks that it crosses.
    """
    hops = sum([GAS_PER_HOP[hop.kind] for hop in route.hops])
    parts = BASE_GAS + hops + FUNDING_GAS[funding] + (TIP_GAS if tip_wei else 0)
    return max(parts, route.gas_units)


def expected_gas_price(fee: FeeQuote) -> int:
    """Return what a unit of gas is expected to cost at a quote, in wei."""
    return min(fee.max_fee_per_gas, fee.base_fee_per_gas + fee.max_priority_fee_per_gas)


def paid_tip_wei(plan: Plan) -> int:
    """The tip that own capital brings as the transaction's value, in wei.

    A flash-funded cycle pays its tip out of its profit.
    """
    return plan.tip_wei if plan.funding.kind is FundingKind.OWN else 0


def worst_gas_wei(plan: Plan, fee: FeeQuote) -> int:
    """Native token that a plan may need at worst: every gas limit x fee cap, and the tip beside.

    How many approvals own capital needs is only known once its allowance is read, so all count.
    """
    own = plan.funding.kind is FundingKind.OWN
    gas = plan.gas_limit + (MOST_APPROVALS * APPROVE_GAS if own else 0)
    return gas * fee.max_fee_per_gas + paid_tip_wei(plan)


def pair_sources(snapshot: Snapshot, token: Address) -> tuple[FlashSource, ...]:
    """Flash sources that a snapshot alone can tell: V2 pairs, whose reserves it holds."""
    lending = [
        (key, pool)
        for key, pool in snapshot.pools.items()
        if isinstance(pool, ConstantProduct) and token in (pool.token0, pool.token1)
    ]
    lending.sort()  # by key, of which there are no two alike
    found = [
        FlashSource(
            kind=FundingKind.V2_FLASH,
            lender=pool.id,
            token=token,
            available=pool.reserve0 if token == pool.token0 else pool.reserve1,
        )
        for _, pool in lending
    ]
    return tuple(found)


class _Terms(NamedTuple):
    funding: Funding
    minimum_profit: int
    tip_wei: int


def _refused(
    verdict: Verdict, leg: Leg | None, snapshot: Snapshot, fee: FeeQuote
) -> Declined | None:
    block = snapshot.block
    if not verdict.approved:
        return Declined(verdict.cause or VetoCause.INVALID, verdict.why or "not approved")
    if verdict.block_hash != block.hash:
        return Declined(
            VetoCause.STALE,
            f"decided on block {verdict.block_number} {verdict.block_hash}, the snapshot is of"
            f" {block.number} {block.hash}",
        )
    if fee.for_block != block.number + 1:
        return Declined(
            VetoCause.STALE, f"fees are for block {fee.for_block}, not {block.number + 1}"
        )
    if leg is not None and leg.amount_in <= 0:
        return Declined(VetoCause.INVALID, f"leg sells {leg.amount_in} of {leg.token_in}")
    return None


def _route(leg: Leg, snapshot: Snapshot, ways: Ways) -> Route | Declined:
    route = leg.route
    if route is None:
        if leg.token_in == leg.token_out:
            return Declined(VetoCause.INVALID, "an arbitrage leg must bring its route")
        try:
            route = ways.route(leg.token_in, leg.token_out, leg.amount_in)
        except NoRoute as error:
            return Declined(VetoCause.NO_ROUTE, str(error))
    asked = (leg.token_in, leg.token_out, leg.amount_in)
    if asked != (route.token_in, route.token_out, route.amount_in):
        return Declined(
            VetoCause.INVALID,
            f"leg sells {leg.amount_in} of {leg.token_in}, its route {route.amount_in} of"
            f" {route.token_in}",
        )
    hidden = {hop.pool for hop in route.hops if hop.key is None and not has_contract(hop.pool)}
    if hidden:
        why = f"pool {min(hidden)} has no address, so the executor needs its key to call it"
        return Declined(VetoCause.INVALID, why)
    return _recomputed(route, snapshot)


def _recomputed(route: Route, snapshot: Snapshot) -> Route | Declined:
    """The route if every amount is what the snapshot's pools give, hop after hop."""
    held = {route.token_in: route.amount_in}
    after: dict[PoolId, Pool] | None = None if snapshot.gives(route.hops) else {}
    for index, hop in enumerate(route.hops):
        stale = "" if after is None else _stale(hop, snapshot, after)
        if stale:
            return Declined(VetoCause.STALE, f"hop {index}{stale}")
        held[hop.token_in] = held.get(hop.token_in, 0) - hop.amount_in
        # What is short for a while can be borrowed, but never the input: the route says how much.
        if held[hop.token_in] < 0 and (hop.token_in == route.token_in or FLASH not in route.flags):
            return Declined(VetoCause.INVALID, f"hop {index} spends more than the route has")
        held[hop.token_out] = held.get(hop.token_out, 0) + hop.amount_out
    if held[route.token_out] != route.amount_out:
        return Declined(
            VetoCause.INVALID,
            f"hops end with {held[route.token_out]}, the route says {route.amount_out}",
        )
    short = sorted(token for token, amount in held.items() if amount < 0)
    if short:
        return Declined(VetoCause.INVALID, f"hops end {-held[short[0]]} short of {short[0]}")
    return route


def _stale(hop: Hop, snapshot: Snapshot, after: dict[PoolId, Pool]) -> str:
    """Swap in a pool as the hops before left it, and say how that is not what the hop says."""
    try:
        pool = after.get(hop.pool) or snapshot.pool(hop.pool)
        amount, after[hop.pool] = pool.swap_in(hop.token_in, hop.amount_in)
    except PoolError as error:
        return f": {error}"
    if amount == hop.amount_out:
        return ""
    return f" gives {amount} on this snapshot, the route says {hop.amount_out}"


def _arbitrage(
    route: Route,
    fee: FeeQuote,
    wrapped: Address,
    sources: Sequence[FlashSource],
    policy: TipPolicy,
    missing: Mapping[Address, int],
) -> _Terms | Declined:
    if route.token_in != wrapped:
        return Declined(
            VetoCause.INVALID,
            f"arbitrage in {route.token_in}: it must start and end in {wrapped}, which pays gas"
            f" and tip",
        )
    pools = {hop.pool for hop in route.hops}
    lenders = [
        one
        for one in sources
        if one.token == route.token_in and one.lender not in pools and one.lends(route.amount_in)
    ]
    if missing:
        vaults = _vaults(missing, sources)
        lenders = [one for one in lenders if one.lender in vaults]
    source = (
        lenders[0]
        if len(lenders) == 1
        else min(
            lenders,
            key=lambda one: (
                one.fee(route.amount_in),
                FUNDING_GAS[one.kind],
                -one.available,
                one.lender,
            ),
            default=None,
        )
    )
    if source is None:
        return Declined(
            VetoCause.NO_CAPITAL,
            f"none of {len(sources)} flash sources outside the route lends {route.amount_in} wei"
            + _together(missing),
        )
    flash_fee = source.fee(route.amount_in)
    gas_wei = expected_gas(route, source.kind, tip_wei=1) * expected_gas_price(fee)
    net = route.profit - flash_fee - gas_wei
    tip_wei = policy.tip(net)
    if net <= tip_wei:
        return Declined(
            VetoCause.NO_EDGE,
            f"profit {route.profit} wei - flash fee {flash_fee} - gas {gas_wei} = {net} does not"
            f" exceed the tip {tip_wei}",
        )
    funding = Funding(
        kind=source.kind,
        token=route.token_in,
        amount=route.amount_in,
        lender=source.lender,
        fee=flash_fee,
    )
    return _Terms(
        funding=funding, minimum_profit=route.profit - flash_fee - tip_wei, tip_wei=tip_wei
    )


def _own(
    route: Route, sources: Sequence[FlashSource], policy: TipPolicy, missing: Mapping[Address, int]
) -> _Terms | Declined:
    """Own capital; a vault bridges what the route spends before it has it."""
    vaults = _vaults(missing, sources) if missing else ()
    if missing and not vaults:
        why = (
            f"none of {len(sources)} flash sources lends what the route misses{_together(missing)}"
        )
        return Declined(VetoCause.NO_CAPITAL, why)
    funding = Funding(
        kind=FundingKind.OWN,
        token=route.token_in,
        amount=route.amount_in,
        lender=_deepest(vaults, missing, sources) if vaults else None,
    )
    return _Terms(funding=funding, minimum_profit=route.amount_out, tip_wei=policy.swap_wei)


def _vaults(missing: Mapping[Address, int], sources: Sequence[FlashSource]) -> set[Address]:
    """Return the Balancer vaults that lend all of these at once, for no fee.

    A fee in a token that the route ends without could not be paid.
    """
    lending = [
        {
            one.lender
            for one in sources
            if (one.kind, one.token) == (FundingKind.BALANCER, token)
            and one.lends(amount)
            and one.fee(amount) == 0
        }
        for token, amount in missing.items()
    ]
    return set.intersection(*lending)


def _deepest(
    vaults: Iterable[Address], missing: Mapping[Address, int], sources: Sequence[FlashSource]
) -> Address:
    """Return the vault that could lend the most times what is missing."""
    depth = dict.fromkeys(vaults, MOST_WEI)
    for one in sources:
        if one.lender in depth and one.token in missing:
            times = one.available // missing[one.token]
            depth[one.lender] = min(depth[one.lender], times)
    return min(depth, key=lambda vault: (-depth[vault], vault))


def _together(missing: Mapping[Address, int]) -> str:
    more = ", ".join(f"{amount} of {token}" for token, amount in sorted(missing.items()))
    return f", and {more} at once" if more else ""
