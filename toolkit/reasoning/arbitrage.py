"""Cycles of swaps that end with more than they began with."""

from collections.abc import Iterable

import msgspec

from toolkit.model.decision import Intent, Leg
from toolkit.reasoning.agent import POOLS_KEY, View


class CyclicArbitrage(msgspec.Struct, frozen=True, kw_only=True):
    """Wants the best cycle from the wrapped native token, when it pays for its gas.

    `gas_per_hop` and `base_gas` (gas units) decide only whether to ask; the planner knows the
    exact figure. `max_input` bounds the cycle's input in wei; None leaves it to the limits.
    """

    name: str = "arbitrage"
    max_hops: int = 3
    max_input: int | None = None
    base_gas: int = 120_000
    gas_per_hop: int = 110_000

    @property
    def reads(self) -> tuple[str, ...]:
        """Pools and nothing else."""
        return (POOLS_KEY,)

    def on_block(self, view: View) -> Iterable[Intent]:
        """Return at most one intent, whose edge is the cycle's exact gain before gas."""
        gas_price = view.fee.base_fee_per_gas + view.fee.max_priority_fee_per_gas
        route = view.router.arbitrage(
            view.wrapped,
            max_hops=self.max_hops,
            gas_price_wei=gas_price,
            max_input=self.max_input,
            certify=False,
        )
        if route is None:
            return ()
        cost_wei = gas_price * (self.base_gas + self.gas_per_hop * len(route.hops))
        if route.profit <= cost_wei:
            return ()
        leg = Leg(
            token_in=view.wrapped, token_out=view.wrapped, amount_in=route.amount_in, route=route
        )
        return (
            Intent(
                agent=self.name,
                legs=(leg,),
                edge_wei=route.profit,
                inputs=(POOLS_KEY,),
                reason=f"{len(route.hops)} hops gain {route.profit} wei for about {cost_wei} gas",
            ),
        )
