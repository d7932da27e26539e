"""What is told by several sources, and which of them are not to be believed just now.

Everything here is a function of the readings on the blackboard. Values are compared as floats by
differences, quotients and square roots, which every machine rounds alike; no amount is made of
them.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType

import msgspec

from toolkit.model.chain import ZERO_HASH
from toolkit.model.checks import require_integer, require_text, shown
from toolkit.model.decision import Reading
from toolkit.model.errors import ConfigError
from toolkit.model.market import PoolId
from toolkit.model.units import BPS
from toolkit.orchestrator.board.blackboard import last
from toolkit.perception.prices import PriceSource
from toolkit.pools.snapshot import SetAside

SIGMAS = 3.0
"""Standard deviations of one step by which two others must have moved for a feed to be frozen."""

WITNESSES = 2
STEPS = 64
"""Steps before a standstill from which the usual step is taken; no standstill is longer."""

REACH = 3 * STEPS
"""Updates of one teller that are looked at where there are several."""

FEWEST_STEPS = 8
MOST_BPS = 10**9


class FactRule(msgspec.Struct, frozen=True, kw_only=True):
    """Reading `key` and those named in `sources` tell one fact, each in its own words.

    Two of them agree when they are at most `max_deviation_bps` apart. A source is believed while
    more than half of those that are not too old agree with it, itself counted. One alone is
    believed while it stays that close to the median of what it said in the last
    2 x `confirm_after` updates: a new level counts once it has stood for about `confirm_after`.
    A source that says the very same for `frozen_after` updates, while two others moved by more
    than three standard deviations of their steps, is frozen, however fresh its dates.
    """

    key: str
    sources: tuple[str, ...] = ()
    max_deviation_bps: int = 500
    frozen_after: int = 5
    confirm_after: int = 5

    def __post_init__(self) -> None:
        """Check the figures."""
        require_text("the key of a fact", self.key)
        if not isinstance(self.sources, tuple | list):
            raise ConfigError(
                f"fact {self.key}: sources is {shown(self.sources)}; give a tuple of readings' keys"
            )
        for source in self.sources:
            require_text(f"a source of fact {self.key}", source)
        if len(set(self.told_by)) != len(self.told_by):
            raise ConfigError(f"fact {self.key} names a source twice: {', '.join(self.told_by)}")
        for field, least, most in (
            ("max_deviation_bps", 1, BPS),
            ("frozen_after", 1, STEPS - 1),
            ("confirm_after", 1, STEPS - 1),
        ):
            require_integer(
                f"fact {self.key}: {field}", getattr(self, field), least=least, most=most
            )

    @property
    def told_by(self) -> tuple[str, ...]:
        """The keys of every reading that tells it."""
        return (self.key, *self.sources)


class Doubted(msgspec.Struct, frozen=True, kw_only=True):
    """Which readings no decision may rest on from this block on, and why."""

    doubts: dict[str, str]


class DoubtMemory(msgspec.Struct, frozen=True, kw_only=True):
    """What outlives a run: which keys were in doubt."""

    doubted: tuple[str, ...]


class DoubtWatch:
    """Judges every fact each block, and tells when what is in doubt has changed.

    Raises:
        ConfigError: a fact with two rules.
    """

    def __init__(self, rules: Sequence[FactRule], sources: Sequence[PriceSource] = ()) -> None:
        self._rules = tuple(sorted(rules, key=lambda rule: rule.key))
        keys = [rule.key for rule in self._rules]
        if len(set(keys)) != len(keys):
            raise ConfigError(f"a fact has two rules; the rules are for {', '.join(keys)}")
        self._sources = tuple(sources)
        self._doubted: tuple[str, ...] = ()
        self.doubts: Mapping[str, str] = {}

    def memory(self) -> DoubtMemory:
        """Return what the next run has to know."""
        return DoubtMemory(doubted=self._doubted)

    def resume(self, memory: DoubtMemory) -> None:
        """Go on from an earlier run."""
        self._doubted = memory.doubted

    def judge(
        self,
        readings: Mapping[str, Sequence[Reading]],
        block: int,
        *,
        aside: Mapping[PoolId, SetAside] = MappingProxyType({}),
    ) -> Doubted | None:
        """Look at all facts as of a block; None when the same keys are in doubt as before.

        Pools that are set `aside` are in doubt, as "pool/…", and whatever is read from them.
        """
        found = _of_pools(aside, self._sources) if aside else {}
        for rule in self._rules:
            for key, why in doubts(rule, readings, block).items():
                found.setdefault(key, why)
        self.doubts = found
        before, self._doubted = self._doubted, tuple(sorted(found))
        return None if self._doubted == before else Doubted(doubts=found)


def with_defaults(rules: Sequence[FactRule], keys: Sequence[str]) -> tuple[FactRule, ...]:
    """Return the rules, and one by default for every key of which none of them speaks."""
    spoken = {key for rule in rules for key in rule.told_by}
    return (*rules, *(FactRule(key=key) for key in sorted(set(keys) - spoken)))


def doubts(rule: FactRule, readings: Mapping[str, Sequence[Reading]], block: int) -> dict[str, str]:
    """Say which tellers of one fact are not to be believed at a block, and why.

    A teller that is too old is left out: whatever rests on it is stale anyway.
    """
    found: dict[str, str] = {}
    series: dict[str, Sequence[Reading]] = {}
    told_by = rule.told_by
    reach = 2 * rule.confirm_after + 1 if len(told_by) == 1 else REACH
    for key in told_by:
        own = last(readings, key, reach)
        if not own or not _is_of_a_block(newest := own[-1]):
            continue
        if block - newest.block_number > newest.max_age_blocks:
            continue
        if _value(newest) is None:
            found[key] = f"{key} of {newest.source} is no positive number"
        else:
            series[key] = own
    if len(series) == 1:
        found |= _alone(rule, series)
        return dict(sorted(found.items())) if len(found) > 1 else found
    found |= _disagreeing(rule, series)
    for key, why in _frozen(rule, series).items():
        found.setdefault(key, why)
    return dict(sorted(found.items()))


def _of_pools(aside: Mapping[PoolId, SetAside], sources: Sequence[PriceSource]) -> dict[str, str]:
    """Say of each pool that is set aside, and of each price that is read from one, why."""
    found = {f"pool/{name}": one.why for name, one in sorted(aside.items())}
    for source in sources:
        one = aside.get(source.pool)
        if one is not None:
            found[source.key] = f"{source.key} is read from {source.pool}, set aside: {one.why}"
    return found


def _is_of_a_block(reading: Reading) -> bool:
    """Recorded history was given to us: it is no update of a feed."""
    return reading.block_hash != ZERO_HASH


def _value(reading: Reading) -> float | None:
    try:
        value = float(reading.value)
    except ValueError:
        return None
    return value if 0 < value < math.inf else None  # NaN is neither


def _said(own: Sequence[Reading]) -> list[tuple[int, float]]:
    """Return the block and value of each update that is a number."""
    said: list[tuple[int, float]] = []
    for one in own:
        value = one.value if type(one.value) is float else _value(one)
        if value is not None and 0 < value < math.inf and one.block_hash != ZERO_HASH:
            said.append((one.block_number, value))
    return said


def _apart_bps(one: float, other: float) -> int:
    """Return how far apart two positive values are, in parts of the smaller one, rounded down."""
    low, high = (one, other) if one <= other else (other, one)
    return int(min((high / low - 1.0) * BPS, MOST_BPS))


def _alone(rule: FactRule, series: Mapping[str, Sequence[Reading]]) -> dict[str, str]:
    """Doubt the only teller when it left what it used to say."""
    ((key, own),) = series.items()
    before = [value for _, value in _said(own[-2 * rule.confirm_after - 1 :])]
    now = before.pop()
    if not before:
        return {}
    before.sort()
    moved = _apart_bps(now, before[(len(before) - 1) // 2])
    if moved <= rule.max_deviation_bps:
        return {}
    return {
        key: f"{key} moved by {moved} bps and nothing else confirms it; "
        f"{rule.max_deviation_bps} bps are believed"
    }


def _disagreeing(rule: FactRule, series: Mapping[str, Sequence[Reading]]) -> dict[str, str]:
    """Doubt every teller with which no majority agrees."""
    said = {key: float(own[-1].value) for key, own in series.items()}
    found: dict[str, str] = {}
    for key, value in said.items():
        apart = {other: _apart_bps(value, theirs) for other, theirs in said.items()}
        agreeing = sum(1 for bps in apart.values() if bps <= rule.max_deviation_bps)
        if agreeing * 2 <= len(said):
            farthest = max(sorted(apart), key=lambda other: apart[other])
            found[key] = (
                f"{key} is {apart[farthest]} bps from {farthest}, and {agreeing} of {len(said)} "
                f"sources agree with it within {rule.max_deviation_bps} bps"
            )
    return found


def _frozen(rule: FactRule, series: Mapping[str, Sequence[Reading]]) -> dict[str, str]:
    """Doubt a teller that stands still with fresh dates while others move."""
    if len(series) <= WITNESSES:
        return {}
    found: dict[str, str] = {}
    for key, own in series.items():
        since = _standstill(own, rule.frozen_after)
        if since is None:
            continue
        moved = sorted(name for name, one in series.items() if name != key and _moved(one, since))
        if len(moved) >= WITNESSES:
            found[key] = (
                f"{key} has said the same since block {since}, while {', '.join(moved)} "
                f"moved by more than {SIGMAS:g} standard deviations"
            )
    return found


def _standstill(own: Sequence[Reading], updates: int) -> int | None:
    """Return the block since when a series says the same, if it has for so many updates.

    Looks back over no more than `STEPS` updates.
    """
    recent = own[-updates - 1 :]
    if len(recent) <= updates or any(one.value != own[-1].value for one in recent):
        return None
    since: int | None = None
    for one in reversed(own[-STEPS:]):
        if one.value != own[-1].value or not _is_of_a_block(one):
            break
        since = one.block_number
    return since


def _moved(theirs: Sequence[Reading], since: int) -> bool:
    """Tell whether a series left, after a block, what it said then by more than its usual step."""
    said = _said(theirs[-REACH:])
    past = [value for block, value in said if block <= since][-STEPS - 1 :]
    steps = [after / before - 1.0 for before, after in pairwise(past)]
    if len(steps) < FEWEST_STEPS:
        return False
    usual = math.sqrt(sum(step * step for step in steps) / len(steps))
    return any(
        abs(value / past[-1] - 1.0) > SIGMAS * usual for block, value in said if block > since
    )
