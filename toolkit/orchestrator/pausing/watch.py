"""Own impacts on the prices that agents read, followed until they no longer matter."""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import msgspec

from toolkit.model.decision import Fill, Reading
from toolkit.model.errors import ConfigError
from toolkit.model.units import BPS, PPM
from toolkit.orchestrator.hosting.asking import told
from toolkit.orchestrator.market import Market
from toolkit.orchestrator.pausing.decay import (
    HORIZON,
    Decay,
    Impact,
    Table,
    response,
)
from toolkit.orchestrator.pausing.lessons import Lesson
from toolkit.orchestrator.pausing.pauses import Assessment, Breaker, Effect, Feed, Pause
from toolkit.orchestrator.pausing.reasons import Part, composed, disagreement
from toolkit.orchestrator.pausing.signals import (
    Shape,
    State,
    Track,
    ahead,
    followed,
    shape_of,
    state,
)
from toolkit.orchestrator.pausing.subtraction import Subtraction
from toolkit.pools.snapshot import Snapshot
from toolkit.reasoning.agent import Agent, LinearSignal

MAX_IMPACTS = 256
DELAYING: tuple[Effect, ...] = ("pause", "discount")
EFFECTS: tuple[Effect, ...] = (*DELAYING, "subtract")
FORECAST_BLOCKS = 16
"""After so many blocks an end is predicted anew, even if no trade came in between."""


class World(msgspec.Struct, frozen=True, kw_only=True):
    """What a block shows of the things that pauses are triggered by."""

    block: int
    readings: Mapping[str, Sequence[Reading]]
    snapshot: Snapshot
    market: Market
    doubts: Mapping[str, str]  # feeds that are not to be trusted, and why
    tripped: Mapping[str, str]  # breakers that are not closed, and why


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """When a dependent was predicted to be free, because of which trades, and when."""

    verdicts: tuple[str, ...]
    made_at: int
    until_block: int


class Followed(msgspec.Struct, frozen=True, kw_only=True):
    """A dependent's signal; `mark` tells whether it is still the same signal's."""

    mark: str
    track: Track = Track()
    forecasts: dict[str, Forecast] = {}  # by trigger; all of them together without a name


class WatchMemory(msgspec.Struct, frozen=True, kw_only=True):
    """What outlives a run: impacts that still matter, what was learned, signals as they stood."""

    impacts: tuple[Impact, ...] = ()
    lessons: dict[str, Lesson] = {}
    signals: dict[str, Followed] = {}


@dataclass(frozen=True, slots=True)
class Weighed:
    """What own trades do to a linear signal by one pause, before it is put in words."""

    because: tuple[str, ...]
    effect: Effect
    tolerance: float
    now: State
    until_block: int

    def matters(self, block: int) -> bool:
        """Whether it is to be told at a block."""
        return self.until_block > block or self.now.flip_probability > self.tolerance

    def part(self) -> Part:
        """Put it in words."""
        differs = self.now.flip_probability
        return Part(
            because=self.because,
            effect=self.effect,
            differs=differs,
            tolerance=self.tolerance,
            until_block=self.until_block,
            contamination=self.now.shift,
            why=(
                f"own impact of {', '.join(self.because)} still shifts the signal by "
                f"{self.now.shift:+.3e}: decides otherwise with probability {differs:.3f}, "
                f"tolerated {self.tolerance}; free from block {self.until_block}"
            ),
        )


class ImpactWatch:
    """Assesses every dependent each block.

    Dependents with a linear signal are assessed by it. Others are asked twice while an own trade
    that counts is younger than the horizon: see `asked_twice`.

    Raises:
        ConfigError: a dependent that declares a linear signal which is none.
    """

    def __init__(self, pauses: Mapping[str, tuple[Pause, ...]], agents: Sequence[Agent]) -> None:
        by_name = {agent.name: agent for agent in agents}
        self._pauses = dict(pauses)
        self._signals: dict[str, Shape] = {}
        for name in self._pauses:
            agent = by_name[name]
            if isinstance(agent, LinearSignal):
                self._signals[name] = _shape(name, agent)
        self._impacts: tuple[Impact, ...] = ()
        self._oldest = math.inf  # of their blocks
        self._counted: dict[tuple[str, tuple[Effect, ...]], tuple[Impact, ...]] = {}  # of these
        self._lessons: dict[str, Lesson] = {}
        self._followed = {
            name: Followed(mark=_mark(shape)) for name, shape in self._signals.items()
        }
        # By the very object, which is kept with its table: there are hundreds to look up.
        self._tables: dict[tuple[str, int], tuple[Impact, Table]] = {}
        self._subtraction = Subtraction()

    def memory(self) -> WatchMemory:
        """Return what the next run has to know."""
        return WatchMemory(
            impacts=self._impacts, lessons=dict(self._lessons), signals=dict(self._followed)
        )

    def resume(self, memory: WatchMemory) -> None:
        """Go on from an earlier run, with the impacts that these pauses wait for."""
        self._keep(i for i in memory.impacts if self._matters(i.agent, i.key, i.log_move))
        self._lessons = dict(memory.lessons)
        for name, mine in self._followed.items():
            theirs = memory.signals.get(name)
            if theirs is not None and theirs.mark == mine.mark:
                same = self._impacts == memory.impacts
                track = theirs.track if same else _emptied(theirs.track)
                self._followed[name] = msgspec.structs.replace(theirs, track=track)

    def landed(
        self, fill: Fill, log_moves: Mapping[str, float], world: World
    ) -> tuple[Impact, ...]:
        """Note the moves of a landed plan that some pause waits for, and return them."""
        news = tuple(
            Impact(
                agent=agent,
                key=key,
                verdict_id=fill.verdict_id,
                block_number=fill.block_number,
                log_move=move,
                decay=self._lesson(key, world).decay(
                    world.readings.get(key, ()), _band(key, world)
                ),
            )
            for agent in fill.agents
            for key, move in sorted(log_moves.items())
            if self._matters(agent, key, move)
        )
        if news:
            self._keep((*self._impacts, *news)[-MAX_IMPACTS:])
            self._look_again(fill.block_number)
        return news

    def forget(self, verdicts: Collection[str]) -> None:
        """Drop the impacts of fills whose blocks were reverted."""
        gone = [impact for impact in self._impacts if impact.verdict_id in verdicts]
        if gone:
            self._keep(i for i in self._impacts if i.verdict_id not in verdicts)
            self._look_again(min(impact.block_number for impact in gone))

    def assess(self, world: World) -> tuple[Assessment, ...]:
        """Assess every dependent that some trade, feed or breaker concerns."""
        if not (self._pauses or self._impacts):
            return ()
        weighed, twice = self.follow(world), self.asked_twice()
        made = {
            name: (
                *self._outside(name, world),
                *self._taken_out(name, world),
                *[one.part() for one in weighed.get(name, ())],
            )
            for name in sorted(self._pauses)
            if name not in twice
        }
        return tuple(composed(name, parts) for name, parts in made.items() if parts)

    def follow(self, world: World) -> dict[str, tuple[Weighed, ...]]:
        """Take in a block: what is remembered afterwards is all that `assess` leaves behind.

        Returns what own trades do to each dependent with a linear signal, where that matters.
        """
        block = world.block
        if block - self._oldest >= HORIZON:
            self._keep(i for i in self._impacts if block - i.block_number < HORIZON)
        for key in sorted({impact.key for impact in self._impacts}):
            mine = [impact for impact in self._impacts if impact.key == key]
            series, band = world.readings.get(key, ()), _band(key, world)
            self._lessons[key] = self._lesson(key, world).learned(mine, series, band)
        return {
            name: self._weighed(name, shape, world) for name, shape in sorted(self._signals.items())
        }

    def asked_twice(self) -> tuple[str, ...]:
        """Name those that own trades concern and that have no linear signal."""
        if not self._impacts:
            return ()
        return tuple(
            name
            for name in sorted(self._pauses)
            if name not in self._signals and self._counting(name, DELAYING)
        )

    def compared(
        self, name: str, given: Sequence[object], without: Sequence[object] | None, world: World
    ) -> tuple[Assessment, ...]:
        """Assess one that was asked twice, by its answers; None is an answer that did not come.

        Nothing is said of one that would do the same.
        """
        counting = self._counting(name, DELAYING)
        verdicts = tuple(sorted({one.verdict_id for one in counting}))
        if without is None:
            differs, said = 1.0, "its answer without it did not come"
        else:
            differs = disagreement(given, without)
            said = f"asked again without it, {differs:.1%} comes out otherwise"
        parts = [*self._outside(name, world), *self._taken_out(name, world)]
        parts += [
            Part(
                because=verdicts,
                effect=pause.effect,
                differs=differs,
                tolerance=pause.tolerance,
                until_block=world.block + 1,
                why=f"own impact of {', '.join(verdicts)}: {said}, tolerated {pause.tolerance}",
            )
            for pause in self._pauses[name]
            if differs and pause.effect in DELAYING and any(i.agent == pause.on for i in counting)
        ]
        return (composed(name, parts),) if parts else ()

    def as_given(
        self, name: str, readings: Mapping[str, tuple[Reading, ...]]
    ) -> Mapping[str, tuple[Reading, ...]]:
        """Return what an agent reads: own trades are taken out where it declared that."""
        return self._subtraction.of(name, readings, self._subtracted(name))

    def without(
        self, name: str, readings: Mapping[str, tuple[Reading, ...]]
    ) -> Mapping[str, tuple[Reading, ...]]:
        """Return what an agent would read if no own trade that counts had happened."""
        counting = self._counting(name, EFFECTS)
        return self._subtraction.of(f"{name} without", readings, counting)

    def _outside(self, name: str, world: World) -> Iterator[Part]:
        """Tell which of its feeds and breakers stop a dependent."""
        for pause in self._pauses[name]:
            why = _trouble(pause, world)
            if why:
                yield Part(
                    because=(pause.trigger,),
                    effect=pause.effect,
                    differs=1.0,
                    tolerance=pause.tolerance,
                    until_block=world.block + 1,
                    why=why,
                )

    def _taken_out(self, name: str, world: World) -> Iterator[Part]:
        """Tell which own trades are taken out of what a dependent reads."""
        shape = self._signals.get(name)
        reach = HORIZON if shape is None else shape.memory
        recent = [i for i in self._subtracted(name) if world.block - i.block_number < reach]
        if not recent:
            return
        verdicts = tuple(sorted({impact.verdict_id for impact in recent}))
        yield Part(
            because=verdicts,
            effect="subtract",
            differs=0.0,
            tolerance=min(p.tolerance for p in self._pauses[name] if p.effect == "subtract"),
            until_block=max(impact.block_number for impact in recent) + reach,
            why=f"own impact of {', '.join(verdicts)} is taken out of what it reads",
        )

    def _weighed(self, name: str, shape: Shape, world: World) -> tuple[Weighed, ...]:
        """Tell what own trades do to a linear signal: those of each pause, and all of them."""
        track = self._follow(name, shape, world)
        counting = self._counting(name, DELAYING)
        now = state(track, shape) if counting else None
        if now is None:
            return ()
        waiting = [p for p in self._pauses[name] if any(i.agent == p.on for i in counting)]
        least = min(waiting, key=lambda pause: (pause.effect != "pause", pause.tolerance))
        tolerance = min(pause.tolerance for pause in waiting)
        found = [self._weigh(name, "", least.effect, tolerance, counting, now, world.block)]
        if len(waiting) > 1:
            for pause in waiting:
                mine = [impact for impact in counting if impact.agent == pause.on]
                shift = math.fsum(self._table(name, i)[world.block - i.block_number] for i in mine)
                alone = msgspec.structs.replace(now, shift=float(shift), spread_seen=now.spread)
                how = pause.effect, pause.tolerance
                found.append(self._weigh(name, pause.trigger, *how, mine, alone, world.block))
        return tuple(found) if any(one.matters(world.block) for one in found) else ()

    def _weigh(
        self,
        name: str,
        label: str,
        effect: Effect,
        tolerance: float,
        impacts: Sequence[Impact],
        now: State,
        block: int,
    ) -> Weighed:
        verdicts = tuple(sorted({impact.verdict_id for impact in impacts}))
        until = self._until(name, label, tolerance, verdicts, impacts, now, block)
        return Weighed(verdicts, effect, tolerance, now, until)

    def _follow(self, name: str, shape: Shape, world: World) -> Track:
        mine = self._followed[name]
        track = followed(
            mine.track,
            shape,
            world.readings.get(shape.key, ()),
            impacts=self._counting(name, DELAYING),
            subtracted=[i for i in self._subtracted(name) if i.key == shape.key],
        )
        self._followed[name] = msgspec.structs.replace(mine, track=track)
        return track

    def _until(
        self,
        name: str,
        label: str,
        tolerance: float,
        verdicts: tuple[str, ...],
        impacts: Sequence[Impact],
        now: State,
        block: int,
    ) -> int:
        """Predict the first block from which the tolerance is not exceeded any more."""
        mine = self._followed[name]
        known, paused = mine.forecasts.get(label), now.flip_probability > tolerance
        if (
            known is not None
            and known.verdicts == verdicts
            and block < known.made_at + FORECAST_BLOCKS
            and (block < known.until_block or not paused)
        ):
            return max(known.until_block, block)
        tables = [(block - one.block_number, self._table(name, one)) for one in impacts]
        exceeding = (ahead(mine.track, now, tables) > tolerance).nonzero()[0]
        until = block + (int(exceeding[-1]) + 2 if exceeding.size else int(paused))
        forecast = Forecast(verdicts=verdicts, made_at=block, until_block=until)
        forecasts = {**mine.forecasts, label: forecast}
        self._followed[name] = msgspec.structs.replace(mine, forecasts=forecasts)
        return until

    def _table(self, name: str, impact: Impact) -> Table:
        known = self._tables.get((name, id(impact)))
        if known is None:
            known = impact, response(self._signals[name].kernel, impact)
            self._tables[name, id(impact)] = known
        return known[1]

    def _keep(self, impacts: Iterable[Impact]) -> None:
        """Follow these impacts from now on, and forget what was worked out of others."""
        self._impacts = tuple(impacts)
        self._counted = {}
        self._oldest = min([one.block_number for one in self._impacts], default=math.inf)
        kept = {id(one) for one in self._impacts}
        for gone in [key for key in self._tables if key[1] not in kept]:
            del self._tables[gone]

    def _counting(self, name: str, effects: tuple[Effect, ...]) -> tuple[Impact, ...]:
        """Return the impacts that reach the threshold of one of a dependent's pauses."""
        found = self._counted.get((name, effects))
        if found is None:
            found = self._counted[name, effects] = self._reaching(name, effects)
        return found

    def _reaching(self, name: str, effects: tuple[Effect, ...]) -> tuple[Impact, ...]:
        least = {
            pause.on: pause.impact_bps for pause in self._pauses[name] if pause.effect in effects
        }
        shape = self._signals.get(name)
        return tuple(
            impact
            for impact in self._impacts
            if impact.agent in least
            and abs(impact.log_move) * BPS >= least[impact.agent]
            and (shape is None or impact.key == shape.key)
        )

    def _subtracted(self, name: str) -> tuple[Impact, ...]:
        if name not in self._pauses:
            return ()
        return self._counting(name, ("subtract",))

    def _matters(self, agent: str, key: str, move: float) -> bool:
        return any(
            pause.on == agent
            and abs(move) * BPS >= pause.impact_bps
            and (name not in self._signals or self._signals[name].key == key)
            for name, pauses in self._pauses.items()
            for pause in pauses
        )

    def _decay(self, key: str, world: World) -> Decay:
        series, band = world.readings.get(key, ()), _band(key, world)
        return self._lesson(key, world).decay(series, band)

    def _lesson(self, key: str, world: World) -> Lesson:
        return self._lessons.get(key) or Lesson.before(_band(key, world))

    def _look_again(self, since_block: int) -> None:
        """Take in anew what was taken in without knowing of a trade, or knowing too much."""
        for name, mine in self._followed.items():
            samples = mine.track.samples
            if samples and samples[-1].block >= since_block:
                track = _emptied(mine.track)
                self._followed[name] = msgspec.structs.replace(mine, track=track)


def _trouble(pause: Pause, world: World) -> str:
    """Say why a pause's feed or breaker stops its agent; "" if it does not."""
    if isinstance(pause.on, Breaker):
        why = world.tripped.get(pause.on.name)
        return "" if why is None else f"breaker {pause.on.name} is not closed: {why}"
    if not isinstance(pause.on, Feed):
        return ""
    key = pause.on.key
    series = world.readings.get(key, ())
    if not series:
        return f"feed {key} has given nothing"
    newest = series[-1]
    age = world.block - newest.block_number
    if age > newest.max_age_blocks:
        return f"feed {key} is {age} blocks old; at most {newest.max_age_blocks} allowed"
    doubt = world.doubts.get(key)
    return "" if doubt is None else f"feed {key} is in doubt: {doubt}"


def _band(key: str, world: World) -> float:
    """Return the fee of the pool a price is read from: within it nobody need correct."""
    source = next((source for source in world.market.prices if source.key == key), None)
    pool = world.snapshot.pools.get(source.pool) if source is not None else None
    return Decay().band if pool is None else pool.fee_ppm * (1 / PPM)


def _shape(name: str, agent: LinearSignal) -> Shape:
    try:
        return shape_of(agent)
    except ConfigError as error:
        raise ConfigError(f"pause of {name}: {error}") from None
    except Exception as error:  # noqa: BLE001 - kernel() is anybody's code
        raise ConfigError(f"pause of {name}: its signal cannot be had: it {told(error)}") from None


def _mark(shape: Shape) -> str:
    return blake2b(msgspec.json.encode(shape), digest_size=8).hexdigest()


def _emptied(track: Track) -> Track:
    """Return a track that is begun anew at its next sample, with what it has learned."""
    return msgspec.structs.replace(track, samples=(), seen=(), shifts=())
