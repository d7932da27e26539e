"""Keeps two holdings in proportion."""

from collections.abc import Iterable

import msgspec

from toolkit.model.chain import Address
from toolkit.model.decision import Intent, Leg
from toolkit.model.errors import ConfigError
from toolkit.model.units import BPS
from toolkit.reasoning.agent import View


class Rebalancer(msgspec.Struct, frozen=True, kw_only=True):
    """Keeps `base` at `target_bps` of the accounts' base + quote value.

    Inside +-`band_bps` it does nothing; outside it trades `step_bps` of the way back to the
    target, so that a passing move is not chased at full size.
    """

    base: Address
    quote: Address
    name: str = "rebalancing"
    price_key: str = "price/WETH-USDC"
    target_bps: int = 5_000
    band_bps: int = 200
    step_bps: int = 5_000

    def __post_init__(self) -> None:
        """Check the shares."""
        for field in ("target_bps", "band_bps", "step_bps"):
            if not 0 < getattr(self, field) <= BPS:
                raise ConfigError(f"rebalancing {field} must be in 1..{BPS}")

    @property
    def reads(self) -> tuple[str, ...]:
        """One price; balances come with every view."""
        return (self.price_key,)

    def on_block(self, view: View) -> Iterable[Intent]:
        """Return one swap back towards the target, or nothing."""
        base, quote = view.balances.get(self.base, 0), view.balances.get(self.quote, 0)
        held = view.convert(base, self.price_key, base=self.base, quote=self.quote)
        total = held + quote
        if total == 0:
            return ()
        share_bps = held * BPS // total
        if abs(share_bps - self.target_bps) <= self.band_bps:
            return ()
        gap = (total * self.target_bps // BPS - held) * self.step_bps // BPS
        if gap > 0:
            leg = Leg(token_in=self.quote, token_out=self.base, amount_in=gap)
        else:
            leg = Leg(token_in=self.base, token_out=self.quote, amount_in=base * -gap // held)
        if leg.amount_in == 0:
            return ()
        return (
            Intent(
                agent=self.name,
                legs=(leg,),
                edge_wei=0,
                inputs=(self.price_key,),
                reason=f"share {share_bps} bps, target {self.target_bps} +- {self.band_bps}",
            ),
        )
