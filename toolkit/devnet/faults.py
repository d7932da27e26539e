"""What goes wrong between a client and a node, as a seeded script.

The same seed and the same sequence of calls give the same faults: each call of a method draws from
a generator of its own, made from the seed, the method and how often it was called.
"""

from collections import Counter, deque
from enum import Enum
from random import Random
from typing import Any

import msgspec

from toolkit.model.errors import ConfigError

SENDS = frozenset({"eth_sendRawTransaction", "eth_sendTransaction"})
STALE = frozenset(
    {
        *("eth_blockNumber", "eth_getBlockByNumber", "eth_getTransactionCount", "eth_getBalance"),
        *("eth_call", "eth_getCode", "eth_getTransactionReceipt", "eth_getTransactionByHash"),
    }
)
"""Reads that a node behind the others answers otherwise than they do."""
# What moves a test along is not what it tests.
_TOOLS = ("anvil_", "evm_", "hardhat_", "tenderly_", "toolkit_")
# What different clients and providers put in front of one and the same text.
_CODES = (-32603, -32000, -32003, -32010, -32602, 3)


class FaultKind(Enum):
    """One way to go wrong."""

    TIMEOUT_AFTER_ACCEPT = "timeout_after_accept"  # carried out, and never answered
    DROP_AFTER_ACCEPT = "drop_after_accept"  # taken, and lost by the node afterwards
    STALE_READ = "stale_read"  # answered by a node some blocks behind
    WRONG_CODE = "wrong_code"  # the right refusal under another error code
    DUPLICATE = "duplicate"  # carried out twice, answered for the second (WebSocket: for both)
    TOO_MANY_REQUESTS = "too_many_requests"  # HTTP 429, over WebSocket error -32005
    REORDER = "reorder"  # carried out after the next one, or after a moment
    REFUSE_BEFORE = "refuse_before"  # the connection is closed, and nothing carried out
    LAG = "lag"  # answered late
    ERROR = "error"  # refused with a given code and message, and not carried out
    ANSWER = "answer"  # answered with a given result, and not carried out


_ON_SENDS = frozenset(
    {
        FaultKind.TIMEOUT_AFTER_ACCEPT,
        FaultKind.DROP_AFTER_ACCEPT,
        FaultKind.WRONG_CODE,
        FaultKind.DUPLICATE,
        FaultKind.REORDER,
    }
)
_RATED = (
    FaultKind.TIMEOUT_AFTER_ACCEPT,
    FaultKind.DROP_AFTER_ACCEPT,
    FaultKind.STALE_READ,
    FaultKind.WRONG_CODE,
    FaultKind.DUPLICATE,
    FaultKind.TOO_MANY_REQUESTS,
    FaultKind.REORDER,
    FaultKind.REFUSE_BEFORE,
)


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """A fault with what it needs to know; a field is for the kinds that its comment names."""

    kind: FaultKind
    blocks: int = 1  # stale read: how many blocks behind
    seconds: float = 0.0  # lag
    code: int = -32603  # wrong code, error
    message: str = "internal error"  # error
    result: Any = None  # answer


class FaultRates(msgspec.Struct, frozen=True, kw_only=True):
    """How often each fault strikes a call that it can strike, from 0 to 1.

    `lag_s`: every answer comes up to this many seconds late.
    """

    timeout_after_accept: float = 0.0
    drop_after_accept: float = 0.0
    stale_read: float = 0.0
    wrong_code: float = 0.0
    duplicate: float = 0.0
    too_many_requests: float = 0.0
    reorder: float = 0.0
    refuse_before: float = 0.0
    lag_s: float = 0.0

    def __post_init__(self) -> None:
        """Check that they are rates.

        Raises:
            ConfigError: one is negative, or they add up to more than 1.
        """
        rates = [float(getattr(self, kind.value)) for kind in _RATED]
        if min(*rates, self.lag_s) < 0 or not sum(rates) <= 1:
            raise ConfigError(
                f"fault rates {rates} and lag {self.lag_s:g} s must not be negative, and the rates"
                f" must add up to at most 1"
            )


class FaultScript:
    """The faults of a run; `rates` may be changed while it runs, `struck` counts them.

    Args:
        seed: of everything that is drawn.
        rates: how often.
        stale_blocks: how many blocks a stale node is behind at most.
        reorg_every: blocks between reorgs that come by themselves; 0: none.
        reorg_depth: of these, at most.
        hold_s: how long a call without an answer is held open, if its client does not give up.
    """

    def __init__(
        self,
        *,
        seed: int = 1,
        rates: FaultRates | None = None,
        stale_blocks: int = 3,
        reorg_every: int = 0,
        reorg_depth: int = 3,
        hold_s: float = 60.0,
    ) -> None:
        if min(stale_blocks, reorg_depth) < 1 or min(reorg_every, hold_s) < 0:
            raise ConfigError(
                f"stale_blocks {stale_blocks} and reorg_depth {reorg_depth} must be at least 1,"
                f" reorg_every {reorg_every} and hold_s {hold_s:g} not negative"
            )
        self.seed = seed
        self.rates = rates or FaultRates()
        self.stale_blocks = stale_blocks
        self.reorg_every = reorg_every
        self.reorg_depth = reorg_depth
        self.hold_s = hold_s
        self.struck: Counter[tuple[str, FaultKind]] = Counter()
        self._forced: dict[str, deque[Fault]] = {}
        self._calls: Counter[str] = Counter()

    def next(self, method: str, kind: str | FaultKind, count: int = 1, **fields: Any) -> None:
        """Make the next `count` calls of a method go wrong in one way, after those set before.

        Args:
            method: for example `eth_sendRawTransaction`.
            kind: of the fault, or its value's name.
            count: how many calls.
            fields: of `Fault`, e.g. `blocks=2` or `code=-32000, message="nonce too low"`.

        Raises:
            ConfigError: no such kind or field, or one that cannot strike this method.
        """
        try:
            fault = Fault(kind=FaultKind(kind), **fields)
        except (ValueError, TypeError) as error:
            names = ", ".join(each.value for each in FaultKind)
            raise ConfigError(
                f"no fault {kind!r} with {fields}: {error}; there are {names}"
            ) from None
        if not _strikes(fault.kind, method) or count < 1:
            raise ConfigError(f"{fault.kind.value} cannot strike {count} calls of {method}")
        self._forced.setdefault(method, deque()).extend([fault] * count)

    def clear(self) -> None:
        """Let everything go well from here on."""
        self.rates = FaultRates()
        self.reorg_every = 0
        self._forced.clear()

    @property
    def active(self) -> bool:
        """Whether anything may go wrong."""
        return bool(self._forced) or self.rates != FaultRates()

    def draw(self, method: str) -> tuple[Fault, ...]:
        """What strikes this call: at most one fault, and perhaps a lag beside it."""
        found = list(self._drawn(method))
        if forced := self._forced.get(method):
            found = [forced.popleft()]
            if not forced:
                del self._forced[method]
        self.struck.update((method, each.kind) for each in found)
        return tuple(found)

    def reorg_due(self, number: int) -> int:
        """How deep a reorg follows the sealing of this block; 0: none."""
        if not self.reorg_every or number % self.reorg_every:
            return 0
        return self._random(f"reorg/{number}").randint(1, self.reorg_depth)

    def _drawn(self, method: str) -> tuple[Fault, ...]:
        if self.rates == FaultRates() or method.startswith(_TOOLS):
            return ()
        self._calls[method] += 1
        chance = self._random(f"{method}/{self._calls[method]}")
        point, found = chance.random(), []
        for kind in _RATED:
            if _strikes(kind, method):
                point -= getattr(self.rates, kind.value)
                if point < 0:
                    found.append(self._made(kind, chance))
                    break
        if self.rates.lag_s:
            seconds = chance.uniform(0, self.rates.lag_s)
            found.append(Fault(kind=FaultKind.LAG, seconds=seconds))
        return tuple(found)

    def _made(self, kind: FaultKind, chance: Random) -> Fault:
        return Fault(
            kind=kind, blocks=chance.randint(1, self.stale_blocks), code=chance.choice(_CODES)
        )

    def _random(self, what: str) -> Random:
        return Random(f"fault/{self.seed}/{what}")  # noqa: S311 - a scenario, not a secret


def _strikes(kind: FaultKind, method: str) -> bool:
    if kind in _ON_SENDS:
        return method in SENDS
    return method in STALE if kind is FaultKind.STALE_READ else not method.startswith(_TOOLS)
