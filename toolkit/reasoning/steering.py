"""What agents that hold a position by a score have in common."""

import math
from collections.abc import Iterable

import msgspec

from toolkit.model.chain import Address
from toolkit.model.decision import Intent, Leg
from toolkit.reasoning.agent import View, filtered


class Steered(msgspec.Struct, frozen=True, kw_only=True):
    """Holds `base` by the score of one price's linear signal, step by step.

    The score is the signal in standard deviations of its values over the last `memory` samples.
    Below `threshold_sds` nothing is wanted; at `full_sds` it is `max_position_wei`, long or short
    against the agent's own zero. A block trades at most `clip_wei` of the gap, and no gap below a
    quarter of that.
    """

    base: Address
    quote: Address
    name: str
    signal_key: str = "price/WETH-USDC"
    memory: int = 240
    threshold_sds: float
    full_sds: float
    max_position_wei: int = 4 * 10**18
    clip_wei: int = 10**18

    @property
    def reads(self) -> tuple[str, ...]:
        """One price."""
        return (self.signal_key,)

    def clip(
        self, view: View, kernel: tuple[float, ...], *, against: bool = False
    ) -> tuple[Intent, ...]:
        """Return the next clip towards what the signal asks for, or the opposite; if any."""
        found = scored(kernel, view.history(self.signal_key, self.memory))
        if found is None:
            return ()
        signal, score = found
        target = share_wei(
            -score if against else score,
            threshold=self.threshold_sds,
            full=self.full_sds,
            most_wei=self.max_position_wei,
        )
        trade = clip_towards(
            target,
            view,
            key=self.signal_key,
            base=self.base,
            quote=self.quote,
            clip_wei=self.clip_wei,
        )
        return (steered(self.name, self.signal_key, signal, score, trade),) if trade else ()


def scored(kernel: tuple[float, ...], prices: Iterable[float]) -> tuple[float, float] | None:
    """Return a linear signal of the log price now, and in standard deviations of its values.

    None where it does not vary. The kernel's weights have to sum to 0: the level then does not
    matter, and a price that stands still gives exactly 0 instead of rounding noise.
    """
    usable = [price for price in prices if price > 0]
    if not usable:
        return None
    now = usable[-1]
    signal = filtered(kernel, tuple([math.log(price / now) for price in usable]))
    spread = math.sqrt(math.fsum([value * value for value in signal]) / max(len(signal), 1))
    return (signal[-1], signal[-1] / spread) if spread else None


def share_wei(score: float, *, threshold: float, full: float, most_wei: int) -> int:
    """Return the position a score asks for: none below the threshold, all of it from `full` on."""
    if abs(score) < threshold:
        return 0
    share_ppm = round(max(-1.0, min(1.0, score / full)) * 10**6)
    return most_wei * share_ppm // 10**6


def clip_towards(
    target_wei: int, view: View, *, key: str, base: Address, quote: Address, clip_wei: int
) -> tuple[Leg, int, int] | None:
    """Return the next trade towards a position, its size in base units, and the whole gap.

    None where less than a quarter of a clip is missing.
    """
    gap = target_wei - view.positions.get(base, 0)
    if abs(gap) * 4 < clip_wei:
        return None
    size = min(abs(gap), clip_wei)
    if gap > 0:
        paid = view.convert(size, key, base=base, quote=quote)
        return Leg(token_in=quote, token_out=base, amount_in=paid), size, gap
    return Leg(token_in=base, token_out=quote, amount_in=size), size, gap


def steered(
    agent: str, key: str, signal: float, score: float, trade: tuple[Leg, int, int]
) -> Intent:
    """Return the intent of one clip; it expects to gain what the signal says of the price."""
    leg, size, gap = trade
    edge_ppm = round(abs(signal) * 10**6)
    return Intent(
        agent=agent,
        legs=(leg,),
        edge_wei=size * edge_ppm // 10**6,
        inputs=(key,),
        reason=f"signal at {score:+.3f} sd, {gap:+d} wei from its target",
    )
