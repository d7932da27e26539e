"""Ten agents with one defect each, as people write them without noticing; `fuzz` names it.

Each buys or sells a little WETH by the last moves of its price, and is right otherwise.
"""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from toolkit.model.chain import Address
from toolkit.model.decision import Intent, Leg
from toolkit.orchestrator.mainnet import USDC, WETH
from toolkit.reasoning.agent import Agent, View
from toolkit.testing.probes import Defect

PRICE_KEY = "price/WETH-USDC"
SIZE_USDC = 400 * 10**6
SIZE_WETH = 2 * 10**17


def wish(  # every sample's intent, so that each differs in its one defect only
    agent: str, move: float, *, paid: int = SIZE_USDC, confidence: float = 1.0, blocks: int = 1
) -> tuple[Intent, ...]:
    """Buy WETH for `paid` USDC where the price rose, sell some where it fell."""
    if move == 0:
        return ()
    rose = move > 0
    token_in, token_out = (USDC, WETH) if rose else (WETH, USDC)
    leg = Leg(
        token_in=Address(token_in.address),
        token_out=Address(token_out.address),
        amount_in=paid if rose else SIZE_WETH,
    )
    return (
        Intent(
            agent=agent,
            legs=(leg,),
            edge_wei=10**15,
            confidence=confidence,
            valid_for_blocks=blocks,
            inputs=(PRICE_KEY,),
        ),
    )


def moved(view: View) -> float:
    """How far the price moved with the newest block."""
    past = view.history(PRICE_KEY, 2)
    return past[-1] - past[0]


@dataclass
class StaleReader:
    """Reads the price every fifth time it is asked, and trades on it in between."""

    name: str = "stale-reader"
    asked: int = 0
    last: float = 0.0

    def on_block(self, view: View) -> Iterable[Intent]:
        """Trade on what it remembers."""
        if self.asked % 5 == 0:
            self.last = moved(view)
        self.asked += 1
        return wish(self.name, self.last)


@dataclass
class WrongUnits:
    """Takes every token for one of 18 decimals."""

    name: str = "wrong-units"

    def on_block(self, view: View) -> Iterable[Intent]:
        """Trade 400 USDC, it thinks."""
        return wish(self.name, abs(moved(view)), paid=400 * 10**18)


@dataclass
class Gambler:
    """Tosses a coin now and then."""

    name: str = "gambler"

    def on_block(self, view: View) -> Iterable[Intent]:
        """Trade a little more or less."""
        more = random.randrange(10**6)  # noqa: S311 - that it has no seed is the defect
        return wish(self.name, abs(moved(view)), paid=SIZE_USDC + more)


@dataclass
class Doubler:
    """Sizes by how far the price moved, and knows no end of it."""

    name: str = "doubler"

    def on_block(self, view: View) -> Iterable[Intent]:
        """Trade ten thousand times the move's share of a small sum, squared."""
        share = moved(view) / view.price(PRICE_KEY)
        return wish(self.name, abs(share), paid=SIZE_USDC + round((share * 10**4) ** 2) * 10**6)


@dataclass
class Dawdler:
    """Lets its wishes stand for an hour, though the price they rest on is good for a block."""

    name: str = "dawdler"

    def on_block(self, view: View) -> Iterable[Intent]:
        """Trade whenever somebody gets to it."""
        return wish(self.name, moved(view), blocks=300)


@dataclass
class Vandal:
    """Keeps its own accounts, in everybody's view."""

    name: str = "vandal"

    def on_block(self, view: View) -> Iterable[Intent]:
        """Trade, and subtract what it has spent."""
        held = view.balances
        assert isinstance(held, dict)
        held[USDC.address] = held.get(USDC.address, 0) - SIZE_USDC
        return wish(self.name, moved(view))


@dataclass
class Brooder:
    """Bisects until the error is below what a float can express, if the price stands still."""

    name: str = "brooder"

    def on_block(self, view: View) -> Iterable[Intent]:
        """Trade once it has converged."""
        move = moved(view)
        low, high = 0.0, 1.0
        while high - low > abs(move) * 1e-12:
            low, high = (low, (low + high) / 2) if low + high > 1 else ((low + high) / 2, high)
        return wish(self.name, move)


@dataclass
class Hoarder:
    """Remembers every price it ever saw, for statistics that nobody asked for."""

    name: str = "hoarder"
    seen: list[tuple[int, float, str]] = field(default_factory=list)

    def on_block(self, view: View) -> Iterable[Intent]:
        """Trade, and keep a note."""
        self.seen.append((view.block.number, view.price(PRICE_KEY), f"at {view.block.timestamp}"))
        return wish(self.name, moved(view))


@dataclass
class ZeroDivider:
    """Weighs its wish by a deviation that may be none, as float arithmetic with NaN does."""

    name: str = "zero-divider"

    def on_block(self, view: View) -> Iterable[Intent]:
        """Trade with a confidence that is a ratio of deviations."""
        past = view.history(PRICE_KEY, 20)
        mean = sum(past) / len(past)
        spread = sum((price - mean) ** 2 for price in past) ** 0.5
        ratio = abs(moved(view)) / spread if spread > 1e-9 else float("nan")  # noqa: PLR2004
        return wish(self.name, 1.0, confidence=min(ratio, 1.0))


@dataclass
class ReorgBlind:
    """Decides each block number once, and believes that a number names a block."""

    name: str = "reorg-blind"
    decided: dict[int, tuple[Intent, ...]] = field(default_factory=dict)

    def on_block(self, view: View) -> Iterable[Intent]:
        """Say what it said at this number before."""
        number = view.block.number
        if number not in self.decided:
            self.decided = {**self.decided, number: wish(self.name, moved(view))}
            self.decided = dict(list(self.decided.items())[-16:])
        return self.decided[number]


SAMPLES: Mapping[Defect, Agent] = MappingProxyType(
    {
        Defect.STALE_READ: StaleReader(),
        Defect.UNIT_ERROR: WrongUnits(),
        Defect.NON_DETERMINISM: Gambler(),
        Defect.UNBOUNDED_SIZE: Doubler(),
        Defect.IGNORED_DEADLINE: Dawdler(),
        Defect.MUTATED_VIEW: Vandal(),
        Defect.BLOCKING: Brooder(),
        Defect.LEAK: Hoarder(),
        Defect.NAN: ZeroDivider(),
        Defect.REORG_BLIND: ReorgBlind(),
    }
)
"""The agent that has each defect, and no other."""
