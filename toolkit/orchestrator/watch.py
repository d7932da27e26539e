"""Own impacts on the prices that agents read, followed until they no longer matter."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from toolkit.model.decision import Fill, Reading
from toolkit.model.errors import ConfigError
from toolkit.model.units import BPS, PPM
from toolkit.orchestrator.market import Market
from toolkit.orchestrator.pauses import (
    HORIZON,
    Assessment,
    Decay,
    Impact,
    Pause,
    Reversion,
    assess,
    drift_time,
    residues,
    threshold_density,
)
from toolkit.pools.snapshot import Snapshot
from toolkit.reasoning.agent import Agent, LinearSignal, filtered

MAX_IMPACTS = 256
MEMORY = 240
"""Samples of a price from which the distribution of a signal is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchMemory:
    """What outlives a run: impacts that still matter, and what was learned of reversion."""

    impacts: tuple[Impact, ...]
    reversion: Mapping[str, Reversion]
    learned: frozenset[tuple[str, str]]


class ImpactWatch:
    """Assesses every dependent each block.

    Raises:
        ConfigError: a dependent that declares no linear signal, whose pause could never be
            known to have ended.
    """

    def __init__(self, pauses: Mapping[str, tuple[Pause, ...]], agents: Sequence[Agent]) -> None:
        by_name = {agent.name: agent for agent in agents}
        self._pauses = dict(pauses)
        self._signals: dict[str, LinearSignal] = {}
        for name in self._pauses:
            agent = by_name[name]
            if not isinstance(agent, LinearSignal):
                raise ConfigError(
                    f"a pause names {name}, which declares no signal_key, threshold_sds and "
                    "kernel(): when its pause ends could not be computed"
                )
            self._signals[name] = agent
        self._impacts: tuple[Impact, ...] = ()
        self._reversion: dict[str, Reversion] = {}
        self._learned: set[tuple[str, str]] = set()

    def memory(self) -> WatchMemory:
        """Return what the next run has to know."""
        return WatchMemory(
            impacts=self._impacts,
            reversion=dict(self._reversion),
            learned=frozenset(self._learned),
        )

    def resume(self, memory: WatchMemory) -> None:
        """Go on from an earlier run, with the impacts that these pauses wait for."""
        self._impacts = tuple(
            i for i in memory.impacts if self._matters(i.agent, i.key, i.log_move)
        )
        self._reversion = dict(memory.reversion)
        self._learned = set(memory.learned)

    def landed(self, fill: Fill, log_moves: Mapping[str, float]) -> tuple[Impact, ...]:
        """Note the moves of a landed plan that some pause waits for, and return them."""
        news = tuple(
            Impact(
                agent=agent,
                key=key,
                verdict_id=fill.verdict_id,
                block_number=fill.block_number,
                log_move=move,
            )
            for agent in fill.agents
            for key, move in sorted(log_moves.items())
            if self._matters(agent, key, move)
        )
        self._impacts = (*self._impacts, *news)[-MAX_IMPACTS:]
        return news

    def forget(self, verdicts: Collection[str]) -> None:
        """Drop the impacts of fills whose blocks were reverted."""
        self._impacts = tuple(i for i in self._impacts if i.verdict_id not in verdicts)

    def assess(
        self,
        readings: Mapping[str, Sequence[Reading]],
        snapshot: Snapshot,
        block: int,
        market: Market,
    ) -> tuple[Assessment, ...]:
        """Assess every dependent that some impact concerns, and drop what no longer does."""
        decays: dict[str, Decay] = {}
        for key in self._keys():
            band = _band(key, snapshot, market)
            self._learn(key, readings.get(key, ()), band)
            decays[key] = self._decay(key, readings.get(key, ()), band)
        found: list[Assessment] = []
        matter: set[Impact] = set()
        for name, pauses in self._pauses.items():
            signal = self._signals[name]
            mine = tuple(i for i in self._impacts if i.key == signal.signal_key)
            if not mine:
                continue
            decay = decays[signal.signal_key]
            kernel = signal.kernel()
            assessment = assess(
                pauses,
                mine,
                kernel=kernel,
                density=_density(signal, kernel, readings, mine, decay),
                block=block,
                decay=decay,
            )
            found.append(assessment)
            if assessment.until_block > block:
                matter.update(mine)
        self._impacts = tuple(i for i in self._impacts if i in matter)
        return tuple(found)

    def _keys(self) -> list[str]:
        return sorted({impact.key for impact in self._impacts})

    def _matters(self, agent: str, key: str, move: float) -> bool:
        return any(
            pause.on == agent
            and self._signals[name].signal_key == key
            and abs(move) * BPS >= pause.impact_bps
            for name, pauses in self._pauses.items()
            for pause in pauses
        )

    def _decay(self, key: str, series: Sequence[Reading], band: float) -> Decay:
        """What own fills and the price's own past have shown so far."""
        past = [math.log(float(r.value)) for r in series[-MEMORY:] if float(r.value) > 0]
        learned = self._reversion.get(key, Reversion.prior(band=band))
        return learned.decay(most_band=band, drift=drift_time(band, past))

    def _learn(self, key: str, series: Sequence[Reading], band: float) -> None:
        """Take the first step after each impact once, when both of its readings exist."""
        value_at = {reading.block_number: float(reading.value) for reading in series[-HORIZON:]}
        for impact in self._impacts:
            name = (impact.verdict_id, impact.agent)
            here, after = value_at.get(impact.block_number), value_at.get(impact.block_number + 1)
            if impact.key != key or name in self._learned or not here or not after:
                continue
            own = sum(
                other.log_move
                for other in self._impacts
                if other.key == key and other.block_number == impact.block_number + 1
            )
            before = self._reversion.get(key, Reversion.prior(band=band))
            step = math.log(after / here) - own
            self._reversion[key] = before.observed(impact.log_move, step)
            self._learned.add(name)


def _band(key: str, snapshot: Snapshot, market: Market) -> float:
    """Return the fee of the pool a price is read from: within it nobody need correct."""
    source = next((source for source in market.prices if source.key == key), None)
    pool = snapshot.pools.get(source.pool) if source is not None else None
    return Decay().band if pool is None else pool.fee_ppm * (1 / PPM)


def _density(
    signal: LinearSignal,
    kernel: tuple[float, ...],
    readings: Mapping[str, Sequence[Reading]],
    impacts: Iterable[Impact],
    decay: Decay,
) -> float:
    """Return the density at the threshold of the signal as it would be without own impact."""
    series = [r for r in readings.get(signal.signal_key, ())[-MEMORY:] if float(r.value) > 0]
    if not series:
        return 0.0
    first, last = series[0].block_number, series[-1].block_number
    own = residues(tuple(impacts), range(first, last + 1), decay)
    clean = tuple(math.log(float(r.value)) - own[r.block_number - first] for r in series)
    return threshold_density(filtered(kernel, clean), signal.threshold_sds)
