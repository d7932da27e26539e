"""One gauge a hazard: from what a block showed to the evidence that something is wrong. Pure."""

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from toolkit.model.units import BPS, PPM, WEI_PER_ETHER
from toolkit.orchestrator.breaking.hazards import BreakerLimits, Evidence, Hazard

MIN_FEES = 8
"""Base fees from which a usual one can be told."""
NEVER_DROPPED = ("command", "money")
"""Classes of messages of which none may be lost."""
MIN_DEAD = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What is left of a fill when it is held against its plan."""

    verdict_id: str
    landed: bool
    mined: bool
    shortfall_bps: int
    gas_over_wei: int = 0  # beyond the worst case that was reserved


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What one block shows. `gain_wei` is None where something held has no price.

    `deviation` is the largest between two sources of one price, in bps, with its name;
    `elsewhere` gain and capital on each other chain, in wei of this one's native token.
    """

    block_number: int
    base_fee_wei: int
    gain_wei: int | None = 0
    capital_wei: int = 0
    elsewhere: Mapping[str, tuple[int, int]] = msgspec.field(default_factory=dict)
    deviation: tuple[int, str] = (0, "")
    doubts: Mapping[str, str] = msgspec.field(default_factory=dict)
    reverted: int = 0
    settled: Sequence[Settled] = ()
    messages: int = 0
    dropped: Mapping[str, int] = msgspec.field(default_factory=dict)
    clock_skew_s: int = 0


class GaugeMemory(msgspec.Struct, frozen=True, kw_only=True):
    """What the gauges remember from block to block."""

    peak_wei: int | None = None  # None: the next gain is the first
    total_peak_wei: int | None = None  # on all chains together
    chains: tuple[str, ...] = ()  # the others that it counts
    fees: tuple[int, ...] = ()
    reorgs: tuple[tuple[int, int], ...] = ()  # (block, blocks taken back)
    mined: tuple[bool, ...] = ()  # of the last mined plans, which were reverted
    lost: dict[str, int] = {}  # answers in a row that did not come
    dead: tuple[str, ...] = ()
    known_dead: tuple[str, ...] = ()  # a person has taken note of these


class _Fees:
    """The last base fees, and the least of them without looking at each."""

    def __init__(self, fees: Iterable[int] = ()) -> None:
        self.all: deque[int] = deque()
        self._lows: deque[int] = deque()  # what no newer one is below: the least is the first
        for fee in fees:
            self._add(fee)

    @property
    def least(self) -> int:
        return self._lows[0]

    def add(self, fee: int, *, most: int) -> None:
        self._add(fee)
        while len(self.all) > most:
            if self.all.popleft() == self._lows[0]:
                self._lows.popleft()

    def _add(self, fee: int) -> None:
        self.all.append(fee)
        while self._lows and self._lows[-1] > fee:
            self._lows.pop()
        self._lows.append(fee)


class Gauges:
    """Reads one block after the other; the same facts give the same evidence."""

    def __init__(self, limits: BreakerLimits, agents: Collection[str]) -> None:
        self._limits = limits
        self._agents = tuple(sorted(agents))
        self._memory = GaugeMemory()  # but for the fees
        self._fees = _Fees()

    @property
    def memory(self) -> GaugeMemory:
        """What the next run has to know."""
        return msgspec.structs.replace(self._memory, fees=tuple(self._fees.all))

    def resume(self, memory: GaugeMemory) -> None:
        """Go on from an earlier run."""
        self._memory, self._fees = memory, _Fees(memory.fees)

    def read(self, facts: Facts) -> dict[Hazard, Evidence]:
        """Return the evidence of one block."""
        found = (
            (Hazard.DRAWDOWN, self._drawdown(facts)),
            (Hazard.ORACLE, self._oracle(facts)),
            (Hazard.GAS, self._gas(facts)),
            (Hazard.REORG, self._reorg(facts)),
            (Hazard.SIMULATION, self._simulation(facts.settled)),
            (Hazard.MESSAGES, self._messages(facts)),
            (Hazard.CLOCK, self._clock(facts)),
        )
        return {hazard: evidence for hazard, evidence in found if evidence is not None}

    def bury(self, dead: Collection[str], lost: Collection[str]) -> Evidence | None:
        """Count the dead after the agents were asked; `lost` are whose answers did not come."""
        limits, memory = self._limits, self._memory
        if not (dead or lost or memory.dead or memory.lost):
            return None  # the usual case costs nothing
        in_a_row = {name: memory.lost.get(name, 0) + 1 for name in sorted(lost)}
        gone = {name for name, times in in_a_row.items() if times >= limits.lost_blocks}
        gone = gone.union(dead).intersection(self._agents)
        self._keep(lost=in_a_row, dead=tuple(sorted(gone)))
        news = sorted(gone.difference(memory.known_dead))
        rest = len(self._agents) - len(set(memory.known_dead).intersection(self._agents))
        names = ", ".join(news)
        if essential := sorted(set(news).intersection(limits.essential)):
            why = f"{', '.join(essential)} is dead, and essential"
            return Evidence(why=why, measured=len(essential), bound=1)
        if len(news) >= MIN_DEAD and len(news) * PPM > limits.dead_ppm * rest:
            why = f"{len(news)} of {rest} agents are dead: {names}"
            return Evidence(why=why, measured=len(news) * PPM // rest, bound=limits.dead_ppm)
        return None

    def forget(self, hazard: Hazard) -> None:
        """Measure from here on: a person has seen what there was."""
        if hazard is Hazard.DRAWDOWN:
            self._keep(peak_wei=None, total_peak_wei=None)
        elif hazard is Hazard.GAS:
            self._fees = _Fees()
        elif hazard is Hazard.REORG:
            self._keep(reorgs=())
        elif hazard is Hazard.SIMULATION:
            self._keep(mined=())
        elif hazard is Hazard.AGENTS:
            self._keep(known_dead=self._memory.dead)

    def _keep(self, **changes: object) -> None:
        self._memory = msgspec.structs.replace(self._memory, **changes)

    def _drawdown(self, facts: Facts) -> Evidence | None:
        if facts.gain_wei is None:
            return None
        gain, peak = facts.gain_wei, self._memory.peak_wei
        if peak is None or gain > peak:
            self._keep(peak_wei=gain)
        return self._fallen(peak, gain, facts.capital_wei, "") or self._total(facts, gain)

    def _total(self, facts: Facts, gain: int) -> Evidence | None:
        """The same over all chains, once each that is counted has been heard of in this run."""
        others, known = facts.elsewhere, self._memory.chains
        if not others or not set(known).issubset(others):
            return None
        gain += sum(there for there, _ in others.values())
        peak = self._memory.total_peak_wei
        if peak is not None:  # who comes in brings its gain along, and is no loss or gain by that
            peak += sum(there for name, (there, _) in others.items() if name not in known)
        self._keep(
            total_peak_wei=gain if peak is None else max(peak, gain), chains=tuple(sorted(others))
        )
        capital = facts.capital_wei + sum(there for _, there in others.values())
        return self._fallen(peak, gain, capital, " on all chains together")

    def _fallen(self, peak: int | None, gain: int, capital: int, where: str) -> Evidence | None:
        bound, whole = self._limits.drawdown_ppm, max(capital, 1)
        if peak is None or gain >= peak or (peak - gain) * PPM < bound * whole:
            return None
        why = f"{_ether(peak - gain)} ETH below its best{where}, of {_ether(whole)} ETH (ppm)"
        return Evidence(why=why, measured=(peak - gain) * PPM // whole, bound=bound)

    def _oracle(self, facts: Facts) -> Evidence | None:
        bound = self._limits.deviation_bps
        if facts.gain_wei is None:
            return Evidence(why="something that is held has no price", measured=1, bound=1)
        if facts.doubts:
            told = "; ".join(f"{key}: {why}" for key, why in sorted(facts.doubts.items()))
            return Evidence(why=f"in doubt: {told}", measured=len(facts.doubts), bound=1)
        measured, what = facts.deviation
        if measured < bound:
            return None
        return Evidence(why=f"sources of {what} differ (bps)", measured=measured, bound=bound)

    def _gas(self, facts: Facts) -> Evidence | None:
        fees, factor = self._fees, self._limits.gas_factor
        # What is not even that many times the least cannot be that of the median: no sorting.
        usual = None
        if len(fees.all) >= MIN_FEES and facts.base_fee_wei >= factor * fees.least:
            usual = sorted(fees.all)[len(fees.all) // 2]
        fees.add(facts.base_fee_wei, most=self._limits.gas_window)
        if usual is None:
            return None
        median = max(usual, 1)
        if facts.base_fee_wei < factor * median:
            return None
        why = f"base fee {facts.base_fee_wei} wei, usual is {median} wei (times)"
        return Evidence(why=why, measured=facts.base_fee_wei // median, bound=factor)

    def _reorg(self, facts: Facts) -> Evidence | None:
        limits, block = self._limits, facts.block_number
        if not facts.reverted and not self._memory.reorgs:
            return None
        recent = [one for one in self._memory.reorgs if block - one[0] < limits.reorg_window]
        if facts.reverted:
            recent.append((block, facts.reverted))
        self._keep(reorgs=tuple(recent[-limits.reorg_window :]))
        if facts.reverted >= limits.reorg_depth:
            why = "blocks were taken back at once"
            return Evidence(why=why, measured=facts.reverted, bound=limits.reorg_depth)
        taken = sum(depth for _, depth in recent)
        if taken >= limits.reorg_blocks:
            why = f"blocks were taken back within {limits.reorg_window}"
            return Evidence(why=why, measured=taken, bound=limits.reorg_blocks)
        return None

    def _simulation(self, settled: Sequence[Settled]) -> Evidence | None:
        limits = self._limits
        if not settled:
            return None
        mined = (*self._memory.mined, *(not one.landed for one in settled if one.mined))
        self._keep(mined=mined[-limits.revert_window :])
        reverts = sum(self._memory.mined)
        found = list(_surprises(settled, limits))
        if any(one.mined and not one.landed for one in settled) and reverts >= limits.reverts:
            why = f"of the last {len(self._memory.mined)} mined plans were reverted"
            found.append(Evidence(why=why, measured=reverts, bound=limits.reverts))
        return found[0] if found else None

    def _messages(self, facts: Facts) -> Evidence | None:
        for kind in NEVER_DROPPED if facts.dropped else ():
            if facts.dropped.get(kind, 0) > 0:
                why = f"messages of class {kind} were dropped, of which none may be lost"
                return Evidence(why=why, measured=facts.dropped[kind], bound=1)
        if facts.messages < self._limits.messages:
            return None
        why = "messages from one head to the next"
        return Evidence(why=why, measured=facts.messages, bound=self._limits.messages)

    def _clock(self, facts: Facts) -> Evidence | None:
        bound = self._limits.clock_skew_s
        if abs(facts.clock_skew_s) < bound:
            return None
        side = "ahead of" if facts.clock_skew_s > 0 else "behind"
        why = f"the head's timestamp is {side} our clock (seconds)"
        return Evidence(why=why, measured=abs(facts.clock_skew_s), bound=bound)


def _surprises(settled: Sequence[Settled], limits: BreakerLimits) -> Iterator[Evidence]:
    """One fill that gave much less than predicted, or cost more than the worst case."""
    for one in settled:
        if one.landed and one.shortfall_bps >= limits.shortfall_bps:
            why = f"fill of {one.verdict_id} gave less than predicted (bps)"
            yield Evidence(why=why, measured=one.shortfall_bps, bound=limits.shortfall_bps)
        if one.gas_over_wei > 0:
            why = f"fill of {one.verdict_id} cost more gas than its worst case (wei above)"
            yield Evidence(why=why, measured=one.gas_over_wei, bound=1)


def shortfall_bps(*, predicted: int, realised: int) -> int:
    """Return by how much less came than predicted, in bps of that, rounded down; 0 if not less."""
    missing = predicted - realised
    return missing * BPS // predicted if predicted > 0 and missing > 0 else 0


def _ether(wei: int) -> str:
    """Write wei as ether with four decimals, cut off; in a report, never in a computation."""
    sign, size = "-" if wei < 0 else "", abs(wei)
    return f"{sign}{size // WEI_PER_ETHER}.{size % WEI_PER_ETHER // 10**14:04d}"
