"""What an orchestrator is told of the chains it is run together with, and how it counts here."""

from collections.abc import Sequence
from math import isqrt

import msgspec

from toolkit.model.chain import Address
from toolkit.model.checks import require_integer
from toolkit.model.decision import TradingState
from toolkit.model.units import PPM
from toolkit.orchestrator.market import Side

SIGMA_PPM = 500
"""One standard deviation of a block's price move: 80 % a year in blocks of 12 s."""
MAX_AGE_S = 120


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """How holdings come from another chain to this one, as its author declares it.

    Whoever sets a holding there against one here has to bring it: that costs `haircut_ppm`, takes
    `transfer_blocks` of this chain, and for as long bears the price's risk, of `sigma_ppm` a
    block. What is told of the other chain may be `max_age_s` old, in chain time.
    """

    transfer_blocks: int
    haircut_ppm: int
    sigma_ppm: int = SIGMA_PPM
    max_age_s: int = MAX_AGE_S

    def __post_init__(self) -> None:
        """Check each bound."""
        for field in ("transfer_blocks", "sigma_ppm", "max_age_s"):
            require_integer(f"link.{field}", getattr(self, field))
        require_integer("link.haircut_ppm", self.haircut_ppm, most=PPM)

    @property
    def cost_ppm(self) -> int:
        """The haircut and, growing with the root of the time, the risk under way; at most all."""
        return min(PPM, self.haircut_ppm + isqrt(self.transfer_blocks * self.sigma_ppm**2))


class Elsewhere(msgspec.Struct, frozen=True, kw_only=True):
    """Another chain as this one must count it: its tokens by the names they have here.

    Amounts are in smallest units of this chain's tokens, the native one as the wrapped; `pnl_wei`
    is all agents' gain there and `capital_wei` what the accounts began with, in wei of this
    chain's native token at the prices there.
    """

    chain: str
    block_number: int
    observed_at: int  # its chain's time, seconds
    state: TradingState
    pnl_wei: int
    capital_wei: int = 0
    books: dict[str, dict[Address, int]]  # by agent: signed, what it gained there
    rising: dict[str, dict[Address, int]] = {}  # by agent: what plans underway may add to them
    falling: dict[str, dict[Address, int]] = {}  # and what they may take away, below 0
    balances: dict[Address, int]  # what the accounts hold there
    link: Link

    def usable_ppm(self, now_s: int) -> int:
        """Return how much of a holding there can be relied on here: none where it is not known.

        Nor where its chain is halted: nothing can be fetched from there.
        """
        late = now_s - self.observed_at > self.link.max_age_s
        return 0 if late or self.state is TradingState.HALTED else PPM - self.link.cost_ppm


def held_elsewhere(
    others: Sequence[Elsewhere], token: Address, side: Side, *, now_s: int, agent: str | None = None
) -> int:
    """Return what is held of a base asset elsewhere, as it counts for a trade on `side` here.

    What adds to the exposure that the trade raises counts in full; what offsets it counts less
    haircut and transfer risk, or not at all where nothing is known of it. Plans underway there
    count where they would add to it. In smallest units of this chain's token, signed; of one
    agent, or of all together.
    """
    counted = 0
    for other in others:
        underway = other.rising if side is Side.BUY else other.falling
        held = sum(
            book.get(token, 0)
            for books in (other.books, underway)
            for name, book in books.items()
            if agent in {None, name}
        )
        if (held > 0) is (side is Side.BUY):
            counted += held
        else:
            offset = abs(held) * other.usable_ppm(now_s) // PPM
            counted += offset if held > 0 else -offset
    return counted


def capital_elsewhere(others: Sequence[Elsewhere], token: Address, *, now_s: int) -> int:
    """Return the accounts' balance of a token elsewhere, less what it takes to bring it here.

    Wealth, for budgets: it cannot be spent in this chain's next block.
    """
    return sum(
        max(other.balances.get(token, 0), 0) * other.usable_ppm(now_s) // PPM for other in others
    )


def pnl_elsewhere_wei(others: Sequence[Elsewhere]) -> int:
    """Return all agents' gain on the other chains, in wei of this chain's native token."""
    return sum(other.pnl_wei for other in others)
