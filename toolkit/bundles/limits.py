"""How often a relay may be asked: budgets that never exceed its own limit; pure."""

from enum import Enum

import msgspec

from toolkit.model.checks import require_integer, require_seconds


class Purpose(Enum):
    """What a request is for; each purpose has a budget of its own."""

    BUNDLE = "bundles"
    CANCEL = "cancels"
    SIMULATION = "simulations"
    OTHER = "others"


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """At most so many requests in any stretch of so many seconds.

    Raises:
        ConfigError: fewer than two requests, or no time.
    """

    requests: int
    seconds: float

    def __post_init__(self) -> None:
        """Check what would never let anything through."""
        require_integer("requests of a rate", self.requests, least=2)
        require_seconds("seconds of a rate", self.seconds)


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """A relay's limits by purpose; None where it names none."""

    bundles: Rate | None = None
    cancels: Rate | None = None
    simulations: Rate | None = None
    others: Rate | None = None

    def of(self, purpose: Purpose) -> Rate | None:
        """The limit for one purpose."""
        found: Rate | None = getattr(self, purpose.value)
        return found


class TokenBucket:
    """A budget that is right whether the relay counts in fixed windows or in sliding ones.

    Half of the rate may go out at once, the other half is spread evenly, so that no stretch of
    `rate.seconds` sees more than `rate.requests`. Times are seconds of any one clock.
    """

    __slots__ = ("_burst_s", "_held_until_s", "_interval_s", "_next_s", "rate")

    def __init__(self, rate: Rate) -> None:
        burst = rate.requests // 2
        self.rate = rate
        self._interval_s = rate.seconds / (rate.requests - burst)
        self._burst_s = self._interval_s * (burst - 1)
        self._next_s = float("-inf")  # when the request after all that were let through is due
        self._held_until_s = float("-inf")

    def reserve(self, now_s: float, *, patience_s: float) -> float:
        """Take a token, also one that comes later; the seconds to wait before sending.

        A wait beyond `patience_s` is told too, and then nothing was taken.
        """
        due_s = max(self._next_s, now_s)
        wait_s = max(due_s - self._burst_s, self._held_until_s, now_s) - now_s
        if wait_s <= patience_s:
            self._next_s = due_s + self._interval_s
        return wait_s

    def hold(self, now_s: float, *, seconds: float) -> None:
        """Let nothing through for so long: the relay asked for it."""
        self._held_until_s = max(self._held_until_s, now_s + seconds)


class Budgets:
    """One relay's buckets; a purpose without a limit is held only when the relay asks."""

    __slots__ = ("_buckets", "_held_until_s")

    def __init__(self, rates: Rates) -> None:
        limits = {purpose: rates.of(purpose) for purpose in Purpose}
        self._buckets = {
            purpose: TokenBucket(rate) for purpose, rate in limits.items() if rate is not None
        }
        self._held_until_s: dict[Purpose, float] = {}

    def reserve(self, purpose: Purpose, now_s: float, *, patience_s: float) -> float:
        """As `TokenBucket.reserve`, for one purpose."""
        bucket = self._buckets.get(purpose)
        if bucket is not None:
            return bucket.reserve(now_s, patience_s=patience_s)
        return max(0.0, self._held_until_s.get(purpose, now_s) - now_s)

    def hold(self, purpose: Purpose, now_s: float, *, seconds: float) -> None:
        """As `TokenBucket.hold`: other purposes, cancellations above all, go on."""
        bucket = self._buckets.get(purpose)
        if bucket is not None:
            bucket.hold(now_s, seconds=seconds)
        else:
            self._held_until_s[purpose] = now_s + seconds
