"""What a list of hops costs in gas: parts that were measured, counted on the route's own states.

The parts are fitted to receipts of the executor (`scripts/gas`); what they multiply is counted
here: which slot is written for the first time, which tokens move how often, which ticks a swap
crosses. What is given back for cleared slots is the protocol's own (EIP-2200, EIP-3529).
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import msgspec

from toolkit.model.chain import Address
from toolkit.model.errors import PoolError
from toolkit.model.market import FLASH, FundingKind, Hop, PoolId, PoolKind, Route
from toolkit.pools.snapshot import Pool, Snapshot, WithTicks
from toolkit.routing.loans import shortages

# Gas units of one hop of each kind with its token transfers, and what every route pays once (the
# transaction itself, the executor's checks, a flash loan and its repayment): for searches, which
# weigh hops before there is a route.
GAS_PER_HOP = {PoolKind.CONSTANT_PRODUCT: 75_000, PoolKind.CONCENTRATED: 110_000}
GAS_BASE = 90_000

# EIP-3529: at most a fifth of what was used is given back; EIP-2200 with EIP-2929: for a slot of
# the executor's that was filled and emptied, for one put back as it was, for one emptied for good.
REFUND_QUOTIENT = 5
_EMPTIED, _RESTORED, _CLEARED = 19_900, 2_800, 4_800
_WORD = 256
_ASKS = {FundingKind.V2_FLASH: 1, FundingKind.V3_FLASH: 2}  # of a lending pool, by token


class GasTable(msgspec.Struct, frozen=True, kw_only=True):
    """Measured gas by part, and by token where it differs from a plain one's."""

    source: str
    parts: dict[str, float]
    tokens: dict[Address, dict[str, float]]


@cache
def gas_table() -> GasTable:
    """Read the measured parts, once."""
    data = (files("toolkit.routing") / "gas.json").read_bytes()
    return msgspec.json.decode(data, type=GasTable)


class Uses(msgspec.Struct, kw_only=True):
    """What a transaction does, counted; `tokens` by part and token; `refund` in gas units."""

    parts: Counter[str]
    tokens: Counter[tuple[str, Address]]
    refund: int = 0


def gas_units(
    route: Route,
    snapshot: Snapshot | None = None,
    *,
    funding: FundingKind = FundingKind.BALANCER,
    lender: Address | None = None,
    tipped: bool = False,
    table: GasTable | None = None,
) -> int:
    """Return the gas that a transaction with this route uses, in gas units.

    It is of a chain in use: what pools count, and what the owner has of the tokens, is not zero.

    Args:
        route: in the order in which its hops run.
        snapshot: that its amounts were computed on, which tells how many ticks are crossed;
            without one, none.
        funding: where the input comes from.
        lender: of a flash loan; a pool asks both its tokens, some of which are dear.
        tipped: whether a builder is paid, one whose account exists.
        table: the measured parts; what ships unless given.
    """
    table = table or gas_table()
    pools = {} if snapshot is None else snapshot.pools
    uses = uses_of(route, pools, funding, lender=lender, tipped=tipped)
    gas = sum(table.parts.get(part, 0.0) * count for part, count in uses.parts.items())
    for (part, token), count in uses.tokens.items():
        own = table.tokens.get(token, table.parts)
        gas += count * own.get(part, 0.0)
    return round(gas - min(uses.refund, gas / REFUND_QUOTIENT))


def uses_of(
    route: Route,
    pools: Mapping[PoolId, Pool],
    funding: FundingKind,
    *,
    lender: Address | None = None,
    tipped: bool = False,
) -> Uses:
    """Count what a route does, hop after hop."""
    count = _Count(route, pools, funding)
    count.fund()
    if lender is not None and lender in pools and funding in _ASKS:
        count.ask(pools[lender])
    for hop in route.hops:
        count.hop(hop)
    count.settle()
    if tipped:
        unwraps = funding is not FundingKind.OWN
        count.uses.parts["tip_unwrapped" if unwraps else "tip"] += 1
    return count.uses


class _Count:
    """A route on its way: what is held, what was touched before, and how the pools are now."""

    def __init__(self, route: Route, pools: Mapping[PoolId, Pool], funding: FundingKind) -> None:
        self.uses = Uses(parts=Counter(), tokens=Counter())
        self._route, self._own = route, funding is FundingKind.OWN
        self._funding = funding
        self._lent = shortages(route) if FLASH in route.flags else {}
        self._held: dict[Address, int] = {}
        self._states = dict(pools)
        self._seen: set[object] = set()

    def fund(self) -> None:
        """Pull or borrow."""
        uses, token = self.uses, self._route.token_in
        uses.parts[self._funding.value] += 1
        self._receive(token, self._route.amount_in)
        if self._own:
            uses.refund += _CLEARED  # the allowance
            uses.tokens["asks", token] += 2
            self._first("owner", token)
        elif self._funding is FundingKind.BALANCER:
            uses.refund += 2 * _RESTORED  # the vault's lock, and its balance
        elif self._funding is FundingKind.V2_FLASH:
            uses.refund += _RESTORED  # the pair's lock
        if self._lent and self._own:
            uses.parts["lock"] += 1
            uses.refund += _RESTORED
        for lent, amount in self._lent.items():
            uses.parts["loans"] += 1
            uses.refund += _RESTORED
            self._receive(lent, amount)

    def ask(self, lender: Pool) -> None:
        """A pool that lends asks for its balances of both tokens, also of one that nobody moves."""
        for token in (lender.token0, lender.token1):
            self.uses.tokens["asks", token] += _ASKS[self._funding]
            self._touch(token)

    def hop(self, hop: Hop) -> None:
        """Move the tokens, and what the pool itself does with them."""
        asks = self.uses.tokens
        asks["asks", hop.token_in] += 2 if hop.kind is PoolKind.CONCENTRATED else 1
        if hop.kind is PoolKind.CONSTANT_PRODUCT:
            asks["asks", hop.token_out] += 1
        self._send(hop.token_in, hop.amount_in)
        self._receive(hop.token_out, hop.amount_out)
        for token in (hop.token_in, hop.token_out):
            self._first("slots", (hop.contract, token))
        self._pool(hop)

    def settle(self) -> None:
        """Repay, look at every token, and send what is there to the owner."""
        uses, route = self.uses, self._route
        if not self._own:
            self._send(route.token_in, route.amount_in)
        for token, amount in self._lent.items():
            self._send(token, amount)
        for token in {route.token_in, route.token_out, *self._held}:
            self._touch(token)
            uses.tokens["asks", token] += 1
        uses.tokens["asks", route.token_out] += 1
        for token, amount in list(self._held.items()):
            if amount > 0:
                uses.parts["swept"] += 1
                self._first("owner", token)
                self._send(token, amount)

    def _receive(self, token: Address, amount: int) -> None:
        self.uses.tokens["moves", token] += 1
        if self._held.get(token, 0) == 0:
            self.uses.parts["fills"] += 1
        self._held[token] = self._held.get(token, 0) + amount

    def _send(self, token: Address, amount: int) -> None:
        self.uses.tokens["moves", token] += 1
        self._held[token] = self._held.get(token, 0) - amount
        if self._held[token] == 0:
            self.uses.refund += _EMPTIED

    def _pool(self, hop: Hop) -> None:
        """Slots cost more where they are touched for the first time; ticks that are crossed."""
        parts = self.uses.parts
        constant = hop.kind is PoolKind.CONSTANT_PRODUCT
        name = "v2" if constant else "v3" if hop.key is None else "v4"
        parts[name] += 1
        self._first(f"{name}_pool", hop.pool)
        if not constant:
            self._first(f"{name}_side", (hop.pool, hop.zero_for_one))
        else:
            self.uses.refund += _RESTORED  # the pair's lock
        if name == "v4":
            self._first("v4_manager", hop.contract)
        state = self._states.get(hop.pool)
        if state is None:
            return
        try:
            _, after = state.swap_in(hop.token_in, hop.amount_in)
        except PoolError:  # safe because what cannot run costs nobody anything
            return
        self._states[hop.pool] = after
        if isinstance(state, WithTicks) and isinstance(after, WithTicks):
            crossed, words = walked(state, after)
            parts[f"{name}_words"] += words
            if crossed:  # V3 looks at its oracle once a swap
                parts[f"{name}_crosses"] += 1
            for tick in crossed:
                self._first(f"{name}_tick", (hop.pool, tick), again=f"{name}_tick_again")
            if name == "v3" and state.tick != after.tick:
                self._first("v3_observed", hop.pool)

    def _touch(self, token: Address) -> None:
        if ("touched", token) not in self._seen:
            self._seen.add(("touched", token))
            self.uses.tokens["touched", token] += 1

    def _first(self, part: str, what: object, *, again: str = "") -> None:
        if (part, what) not in self._seen:
            self._seen.add((part, what))
            self.uses.parts[part] += 1
        elif again:
            self.uses.parts[again] += 1


def walked(before: WithTicks, after: WithTicks) -> tuple[list[int], int]:
    """Return the initialised ticks, and how many words of the bitmap, lie between two states."""
    low, high = sorted((before.tick, after.tick))
    marks = [mark[0] for mark in before.ticks]
    crossed = marks[bisect_right(marks, low) : bisect_right(marks, high)]
    spacing = before.tick_spacing
    return crossed, high // spacing // _WORD - low // spacing // _WORD
