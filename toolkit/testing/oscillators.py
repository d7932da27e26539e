"""Two agents whose decisions no linear filter describes: they are paused by being asked twice."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from toolkit.model.chain import Address
from toolkit.model.decision import Intent, Leg
from toolkit.reasoning.agent import View


class RelativeStrength(msgspec.Struct, frozen=True, kw_only=True):
    """Sells `clip_wei` of `base` where the price rose too one-sidedly, buys where it fell so.

    Strength is the rises' share of all moves over the last `span` steps (Cutler's RSI / 100);
    beyond `high` it sells, below 1 - `high` it buys.
    """

    base: Address
    quote: Address
    name: str = "rsi"
    price_key: str = "price/WETH-USDC"
    span: int = 14
    high: float = 0.7
    clip_wei: int = 10**18

    @property
    def reads(self) -> tuple[str, ...]:
        """One price."""
        return (self.price_key,)

    def side(self, prices: Sequence[float]) -> int:
        """Return 1 to buy, -1 to sell, 0 to do nothing, from the last span + 1 prices."""
        steps = [after - before for before, after in pairwise(prices[-self.span - 1 :])]
        if len(steps) < self.span:
            return 0
        up = sum(step for step in steps if step > 0)
        way = up - sum(step for step in steps if step < 0)
        if way == 0.0:
            return 0
        return (up / way < 1 - self.high) - (up / way > self.high)

    def on_block(self, view: View) -> Iterable[Intent]:
        """Return the one trade there may be."""
        side = self.side(view.history(self.price_key, self.span + 1))
        return _clip(self, view, side)


class Donchian(msgspec.Struct, frozen=True, kw_only=True):
    """Buys `clip_wei` of `base` where the price leaves its last `span` prices upwards.

    Sells where it leaves them downwards.
    """

    base: Address
    quote: Address
    name: str = "donchian"
    price_key: str = "price/WETH-USDC"
    span: int = 20
    clip_wei: int = 10**18

    @property
    def reads(self) -> tuple[str, ...]:
        """One price."""
        return (self.price_key,)

    def side(self, prices: Sequence[float]) -> int:
        """Return 1 to buy, -1 to sell, 0 to do nothing, from the last span + 1 prices."""
        channel = prices[-self.span - 1 : -1]
        if len(channel) < self.span:
            return 0
        return (prices[-1] > max(channel)) - (prices[-1] < min(channel))

    def on_block(self, view: View) -> Iterable[Intent]:
        """Return the one trade there may be."""
        side = self.side(view.history(self.price_key, self.span + 1))
        return _clip(self, view, side)


def _clip(agent: RelativeStrength | Donchian, view: View, side: int) -> tuple[Intent, ...]:
    if side == 0:
        return ()
    leg = Leg(token_in=agent.base, token_out=agent.quote, amount_in=agent.clip_wei)
    if side > 0:
        paid = view.convert(agent.clip_wei, agent.price_key, base=agent.base, quote=agent.quote)
        leg = Leg(token_in=agent.quote, token_out=agent.base, amount_in=paid)
    return (
        Intent(
            agent=agent.name,
            legs=(leg,),
            edge_wei=agent.clip_wei // 10_000,
            inputs=(agent.price_key,),
            reason="buys a clip" if side > 0 else "sells a clip",
        ),
    )
