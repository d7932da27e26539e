"""Breakers: opened by evidence, closed by probes after calm, or by a person. A pure fold."""

from collections.abc import Collection, Mapping, Sequence
from enum import Enum

import msgspec

from toolkit.model.decision import TradingState
from toolkit.model.errors import ConfigError
from toolkit.orchestrator.breaking.gauges import Facts, GaugeMemory, Gauges, Settled
from toolkit.orchestrator.breaking.hazards import BreakerLimits, Evidence, Hazard

PROBE_PATIENCE = 8
"""Blocks after its target after which a probe of unknown outcome is given up."""


class Phase(Enum):
    """Where a breaker stands; one that is not mentioned is closed."""

    OPEN = "open"
    HALF_OPEN = "half_open"
    CLOSED = "closed"


class Tripped(msgspec.Struct, frozen=True, kw_only=True):
    """A breaker that is not closed. `evidence` is the last there was."""

    hazard: Hazard
    phase: Phase
    since_block: int
    seen_block: int  # of the last evidence
    evidence: Evidence
    landed: int = 0  # probes that came out as predicted


class BreakerChange(msgspec.Struct, frozen=True, kw_only=True):
    """A breaker that opened, became half-open or closed, and what may be done from then on."""

    hazard: Hazard
    phase: Phase
    block_number: int
    state: TradingState  # of all breakers together
    evidence: Evidence  # what opened it
    by: str  # "evidence", "calm", "probes" or "command"


class BreakerMemory(msgspec.Struct, frozen=True, kw_only=True):
    """What outlives a run."""

    tripped: tuple[Tripped, ...] = ()
    probing: dict[str, int] = {}  # verdict id: target block
    gauges: GaugeMemory = GaugeMemory()


class Breakers:
    """All breakers of one chain.

    A block is `observe`d before anything of it is decided, so what it shows already binds it; the
    agents' deaths are `bury`-ed as soon as they are known.

    Raises:
        ConfigError: an essential agent that there is not, or probes too small to be a trade.
    """

    def __init__(
        self, limits: BreakerLimits, agents: Collection[str], *, min_trade_wei: int = 1
    ) -> None:
        if unknown := sorted(set(limits.essential).difference(agents)):
            raise ConfigError(f"breakers.essential names {unknown[0]!r}, which is no agent")
        if limits.probe_wei < min_trade_wei:
            raise ConfigError(
                f"breakers.probe_wei {limits.probe_wei} is below limits.min_trade_wei "
                f"{min_trade_wei}: no probe could ever be made"
            )
        self._limits = limits
        self._gauges = Gauges(limits, agents)
        self._tripped: dict[Hazard, Tripped] = {}
        self._probing: dict[str, int] = {}
        self._block = 0

    @property
    def state(self) -> TradingState:
        """What may be done. Half-open breakers let exposure be lowered, and raised by a probe."""
        if not self._tripped:
            return TradingState.ACTIVE
        opened = {one.hazard for one in self._tripped.values() if one.phase is Phase.OPEN}
        if opened.intersection(self._limits.halting):
            return TradingState.HALTED
        return TradingState.REDUCING

    @property
    def probe_wei(self) -> int | None:
        """How much exposure may be added now to try whether all is well again; None if none."""
        if not self._tripped or self._probing:
            return None
        if any(one.phase is not Phase.HALF_OPEN for one in self._tripped.values()):
            return None
        return self._limits.probe_wei

    @property
    def why(self) -> str:
        """Name every breaker that is not closed, with its evidence; "" if all are."""
        return "; ".join([told(one) for one in self.tripped]) if self._tripped else ""

    @property
    def tripped(self) -> tuple[Tripped, ...]:
        """Every breaker that is not closed, by name."""
        if not self._tripped:
            return ()
        return tuple(self._tripped[one] for one in sorted(self._tripped, key=_name))

    def observe(self, facts: Facts) -> tuple[BreakerChange, ...]:
        """Fold one block in; its evidence binds already what is decided in it."""
        self._block = facts.block_number
        read = self._gauges.read(facts)
        if not (read or self._tripped or self._probing):
            return ()  # the usual case
        found = {hazard: one for hazard, one in read.items() if hazard not in self._limits.off}
        changes = [*self._probed(facts.settled, found)]
        for hazard, evidence in found.items():
            changes += self._opened(hazard, evidence)
        changes += self._calmed()
        return tuple(changes)

    def bury(self, dead: Collection[str], lost: Collection[str]) -> tuple[BreakerChange, ...]:
        """Take note of which agents are dead, and of whose answers did not come."""
        evidence = self._gauges.bury(dead, lost)
        if evidence is None or Hazard.AGENTS in self._limits.off:
            return ()
        return tuple(self._opened(Hazard.AGENTS, evidence))

    def probe(self, targets: Mapping[str, int]) -> None:
        """Take plans for probes if they were made under a half-open breaker."""
        if self.probe_wei is not None:
            self._probing = dict(targets)

    def halt(self, why: str, *, block: int) -> tuple[BreakerChange, ...]:
        """Open the breaker that only people open."""
        self._block = block
        return tuple(self._opened(Hazard.HALT, Evidence(why=why, measured=1, bound=1)))

    def reset(self, name: str, *, block: int) -> tuple[BreakerChange, ...]:
        """Close one breaker by a person's order, or "all"; what it measures begins anew."""
        self._block = block
        hazards = [one for one in self._tripped if name in {one.value, "all"}]
        changes: list[BreakerChange] = []
        for hazard in sorted(hazards, key=_name):
            self._gauges.forget(hazard)
            changes.append(self._closed(hazard, "command"))
        return tuple(changes)

    def memory(self) -> BreakerMemory:
        """Return what the next run has to know."""
        return BreakerMemory(
            tripped=self.tripped,
            probing=dict(sorted(self._probing.items())),
            gauges=self._gauges.memory,
        )

    def resume(self, memory: BreakerMemory) -> None:
        """Go on where an earlier run ended: what was open stays open."""
        self._tripped = {one.hazard: one for one in memory.tripped}
        self._probing = dict(memory.probing)
        self._gauges.resume(memory.gauges)

    def _opened(self, hazard: Hazard, evidence: Evidence) -> list[BreakerChange]:
        before = self._tripped.get(hazard)
        is_news = before is None or before.phase is not Phase.OPEN
        self._tripped[hazard] = Tripped(
            hazard=hazard,
            phase=Phase.OPEN,
            since_block=self._block if before is None or is_news else before.since_block,
            seen_block=self._block,
            evidence=evidence,
        )
        by = "command" if hazard is Hazard.HALT else "evidence"
        return [self._change(self._tripped[hazard], by)] if is_news else []

    def _calmed(self) -> list[BreakerChange]:
        """Make half-open what has shown no evidence for long enough."""
        changes: list[BreakerChange] = []
        for one in self.tripped:
            calm = self._block - one.seen_block >= self._limits.cooldown_blocks
            if one.phase is Phase.OPEN and calm and one.hazard not in self._limits.manual:
                after = msgspec.structs.replace(one, phase=Phase.HALF_OPEN, since_block=self._block)
                self._tripped[one.hazard] = after
                changes.append(self._change(after, "calm"))
        return changes

    def _probed(
        self, settled: Sequence[Settled], found: Mapping[Hazard, Evidence]
    ) -> list[BreakerChange]:
        """Count probes that landed in a block without evidence against anything."""
        if not self._probing:
            return []
        ended = [one for one in settled if one.verdict_id in self._probing]
        gone = {one.verdict_id for one in ended}
        self._probing = {
            name: target
            for name, target in self._probing.items()
            if name not in gone and self._block <= target + PROBE_PATIENCE
        }
        landed = sum(one.landed for one in ended)
        if not landed or found:
            return []
        changes: list[BreakerChange] = []
        for one in self.tripped:
            if one.phase is not Phase.HALF_OPEN:
                continue
            self._tripped[one.hazard] = msgspec.structs.replace(one, landed=one.landed + landed)
            if one.landed + landed >= self._limits.probes:
                changes.append(self._closed(one.hazard, "probes"))
        return changes

    def _closed(self, hazard: Hazard, by: str) -> BreakerChange:
        gone = msgspec.structs.replace(self._tripped.pop(hazard), phase=Phase.CLOSED)
        if not self._tripped:
            self._probing = {}
        return self._change(gone, by)

    def _change(self, one: Tripped, by: str) -> BreakerChange:
        return BreakerChange(
            hazard=one.hazard,
            phase=one.phase,
            block_number=self._block,
            state=self.state,
            evidence=one.evidence,
            by=by,
        )


def told(one: Tripped) -> str:
    """Say in one line what opened a breaker, and since when."""
    if one.hazard is Hazard.HALT:
        return one.evidence.why
    evidence = one.evidence
    return (
        f"breaker {one.hazard.value} {one.phase.value} since block {one.since_block}: "
        f"{evidence.why}: {evidence.measured}, from {evidence.bound} on"
    )


def _name(hazard: Hazard) -> str:
    return hazard.value
