"""Agents that nobody would want, written as anybody could write them: by the public names only."""
# ruff: noqa: ARG002, ARG005 - every agent has the same seam, used or not

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import cast

import toolkit as tk

WETH = tk.address("0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2")
USDC = tk.address("0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48")
PRICE = "price/WETH-USDC"


def wish(
    agent: str, amount_in: object = 200 * 10**6, *, token: str = USDC, **changes: object
) -> tk.Intent:
    """A small purchase of WETH, changed as told."""
    leg = tk.Leg(token_in=token, token_out=WETH, amount_in=amount_in)  # type: ignore[arg-type]
    fields: dict[str, object] = {
        "agent": agent,
        "legs": (leg,),
        "edge_wei": 10**15,
        "inputs": (PRICE,),
    }
    return tk.Intent(**(fields | changes))  # type: ignore[arg-type]


@dataclass
class Follower:
    """An honest agent: buys what rose over a few blocks, and says so."""

    name: str = "follower"
    span: int = 4
    amount: int = 300 * 10**6

    def on_block(self, view: tk.View) -> Iterable[tk.Intent]:
        """Buy, sell or wait."""
        past = view.history(PRICE, self.span)
        if past[-1] > past[0]:
            yield wish(self.name, self.amount, reason=f"rose to {past[-1]:.6f}")
        elif past[-1] < past[0]:
            leg = tk.Leg(token_in=WETH, token_out=USDC, amount_in=10**17)
            yield wish(self.name, legs=(leg,), reason=f"fell to {past[-1]:.6f}")


@dataclass
class Teller:
    """Says all that it sees, so that two of them can be compared."""

    name: str = "teller"

    def on_block(self, view: tk.View) -> Iterable[tk.Intent]:
        """Put a digest of everything, in the order it comes, into the reason."""
        seen = [
            view.block,
            view.fee,
            view.wrapped,
            list(view.balances.items()),
            list(view.positions.items()),
            list(view.snapshot.tokens.items()),
            list(view.snapshot.pools.items()),
            [(key, view.readings[key]) for key in view.readings],
            view.snapshot.block,
        ]
        digest = 0
        for character in repr(seen):
            digest = (digest * 31 + ord(character)) % 2**61
        yield wish(self.name, reason=f"{digest:x}")


@dataclass
class Misfit:
    """From block `since` on hands over one odd thing after the other, chosen by `what`."""

    what: str
    name: str = "misfit"
    since: int = 0
    kept: list[bytes] = field(default_factory=list)

    def on_block(self, view: tk.View) -> Iterable[tk.Intent]:
        """Misbehave, once it is time."""
        if view.block.number < self.since:
            return (wish(self.name),)
        return cast("Iterable[tk.Intent]", ODDITIES[self.what](self, view))


def _raises(agent: Misfit, view: tk.View) -> Iterable[tk.Intent]:
    raise ZeroDivisionError(f"at {view.block.number}")


def _exits(agent: Misfit, view: tk.View) -> Iterable[tk.Intent]:
    raise SystemExit(3)


def _flood(agent: Misfit, view: tk.View) -> Iterator[tk.Intent]:
    while True:
        yield wish(agent.name)


def _half_way(agent: Misfit, view: tk.View) -> Iterator[tk.Intent]:
    yield wish(agent.name)
    raise ValueError("after one intent")


def _mutates(agent: Misfit, view: tk.View) -> Iterable[tk.Intent]:
    view.balances.clear()  # type: ignore[attr-defined]
    view.positions.clear()  # type: ignore[attr-defined]
    view.snapshot.pools.clear()
    view.snapshot.tokens.clear()
    view.readings.clear()  # type: ignore[attr-defined]
    return ()


ODDITIES: dict[str, Callable[[Misfit, tk.View], object]] = {
    "raises": _raises,
    "exits": _exits,
    "flood": _flood,
    "half way": _half_way,
    "mutates": _mutates,
    "nothing": lambda agent, view: None,
    "a number": lambda agent, view: 7,
    "text": lambda agent, view: "buy",
    "an object": lambda agent, view: [object()],
    "nan confidence": lambda agent, view: [wish(agent.name, confidence=float("nan"))],
    "infinite confidence": lambda agent, view: [wish(agent.name, confidence=float("inf"))],
    "nan edge": lambda agent, view: [wish(agent.name, edge_wei=float("nan"))],
    "infinite edge": lambda agent, view: [wish(agent.name, edge_wei=float("inf"))],
    "huge edge": lambda agent, view: [wish(agent.name, edge_wei=10**5000)],
    "float amount": lambda agent, view: [wish(agent.name, 2e8)],
    "decimal amount": lambda agent, view: [wish(agent.name, Decimal(200))],
    "boolean amount": lambda agent, view: [wish(agent.name, amount_in=True)],
    "negative amount": lambda agent, view: [wish(agent.name, -200)],
    "wrong decimals": lambda agent, view: [wish(agent.name, 200 * 10**18)],
    "a million times": lambda agent, view: [wish(agent.name, 200 * 10**12)],
    "unknown token": lambda agent, view: [wish(agent.name, token="0x00")],
    "past block": lambda agent, view: [wish(agent.name, valid_for_blocks=-1)],
    "for ever": lambda agent, view: [wish(agent.name, valid_for_blocks=10**9)],
    "another's name": lambda agent, view: [wish("follower")],
    "no legs": lambda agent, view: [wish(agent.name, legs=())],
    "many legs": lambda agent, view: [
        wish(agent.name, legs=(tk.Leg(token_in=USDC, token_out=WETH, amount_in=1),) * 100)
    ],
    "endless text": lambda agent, view: [wish(agent.name, reason="x" * 10**6)],
    "half a character": lambda agent, view: [wish(agent.name, reason="\ud800")],
    "endless keys": lambda agent, view: [wish(agent.name, inputs=("y" * 10**6,))],
    "looks everything up": lambda agent, view: [
        wish(agent.name, reason=str({view.reading(f"no/{n}") for n in range(2000)}))
    ],
    "odd list": lambda agent, view: [wish(agent.name, inputs=[PRICE])],
}
"""What comes back at once. Each breaks one rule, and is the same every time."""


@dataclass
class Loop:
    """Thinks for ever, from block `since` on."""

    name: str = "loop"
    since: int = 0

    def on_block(self, view: tk.View) -> Iterable[tk.Intent]:
        """Never return."""
        while view.block.number >= self.since:
            pass
        return ()


@dataclass
class Stuck:
    """Disappears into machine code that holds the interpreter."""

    name: str = "stuck"

    def on_block(self, view: tk.View) -> Iterable[tk.Intent]:
        """Compute for hours."""
        print("stuck now", os.getpid(), flush=True)
        return (wish(self.name, pow(3, 2 ** (10**6), 2**100_000 + 1)),)


@dataclass
class Sleeper:
    """Answers too late, for as long as told."""

    name: str = "sleeper"
    seconds: float = 0.3

    def on_block(self, view: tk.View) -> Iterable[tk.Intent]:
        """Sleep first."""
        time.sleep(self.seconds)
        return (wish(self.name),)


@dataclass
class SlowOnce:
    """Is late at block 1000, and says of which block it speaks."""

    name: str = "slow-once"
    seconds: float = 0.8

    def on_block(self, view: tk.View) -> Iterable[tk.Intent]:
        """Sleep first, once."""
        if view.block.number == 1000:
            time.sleep(self.seconds)
        return (wish(self.name, reason=f"of block {view.block.number}"),)


@dataclass
class Glutton:
    """Keeps a hundred megabytes more each block."""

    name: str = "glutton"
    kept: list[bytearray] = field(default_factory=list)

    def on_block(self, view: tk.View) -> Iterable[tk.Intent]:
        """Take some more."""
        self.kept.append(bytearray(100 * 2**20))
        return (wish(self.name),)


@dataclass
class Dies:
    """Takes its process with it at block `since`, and only there."""

    name: str = "dies"
    since: int = 0
    how: int = signal.SIGKILL

    def on_block(self, view: tk.View) -> Iterable[tk.Intent]:
        """End everything that is here."""
        if view.block.number == self.since:
            os.kill(os.getpid(), self.how)
        return (wish(self.name),)


@dataclass
class Chatterbox:
    """Prints where a program's output belongs."""

    name: str = "chatterbox"

    def on_block(self, view: tk.View) -> Iterable[tk.Intent]:
        """Print."""
        print("not your output")
        return (wish(self.name),)


@dataclass
class Unready:
    """Cannot be made anywhere but here."""

    name: str = "unready"
    home: int = field(default_factory=os.getpid)

    def __setstate__(self, state: dict[str, object]) -> None:
        raise RuntimeError("only at home")

    def on_block(self, view: tk.View) -> Iterable[tk.Intent]:
        """Wait."""
        return ()
