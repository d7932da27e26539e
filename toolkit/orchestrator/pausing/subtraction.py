"""Prices as they would be had an own trade not happened."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from toolkit.model.decision import Reading
from toolkit.orchestrator.board.blackboard import last
from toolkit.orchestrator.pausing.decay import Impact, left_over
from toolkit.reasoning.agent import Series

DIGITS = 6
"""Of a price from which an own trade was taken out: about 0.05 bp, finer than what is known of it.

A price that stood still would otherwise creep by what is wrong in the model, and whoever compares
prices for being higher or lower would see moves where there were none.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    """A series that was cleaned, and for which impacts."""

    impacts: tuple[Impact, ...]
    given: tuple[Reading, ...]
    cleaned: tuple[Reading, ...]


class _Overlaid(Series):
    """Readings of which some stand in place of others: nothing else of them is put together."""

    __slots__ = ("_below", "_own")

    def __init__(
        self,
        below: Mapping[str, tuple[Reading, ...]],
        own: Mapping[str, tuple[Reading, ...]],
    ) -> None:
        self._below, self._own = below, own

    def __getitem__(self, key: str) -> tuple[Reading, ...]:
        own = self._own.get(key)
        return self._below[key] if own is None else own

    def last(self, key: str, most: int) -> Sequence[Reading]:
        return last(self._own if key in self._own else self._below, key, most)

    def __iter__(self) -> Iterator[str]:
        return iter(self._below)

    def __len__(self) -> int:
        return len(self._below)


class Subtraction:
    """Takes what own trades left out of readings; remembers its work from block to block."""

    def __init__(self) -> None:
        self._done: dict[tuple[str, str], _Done] = {}

    def of(
        self, who: str, readings: Mapping[str, tuple[Reading, ...]], impacts: Sequence[Impact]
    ) -> Mapping[str, tuple[Reading, ...]]:
        """Return readings without these impacts; the same ones where there is nothing to take."""
        if not impacts:
            return readings
        keys = sorted({impact.key for impact in impacts} & set(readings))
        if not keys:
            return readings
        cleaned = {
            key: self._clean((who, key), readings[key], tuple(i for i in impacts if i.key == key))
            for key in keys
        }
        return _Overlaid(readings, cleaned)

    def _clean(
        self, name: tuple[str, str], series: tuple[Reading, ...], impacts: tuple[Impact, ...]
    ) -> tuple[Reading, ...]:
        done = self._done.get(name)
        if done is not None and done.given is series and done.impacts == impacts:
            return done.cleaned
        fits = done is not None and done.impacts == impacts and len(series) > 1
        if done is not None and fits and series[-2] is done.given[-1]:
            cleaned = (*done.cleaned, _without(series[-1], impacts))[-len(series) :]
        else:
            cleaned = tuple(_without(reading, impacts) for reading in series)
        self._done[name] = _Done(impacts=impacts, given=series, cleaned=cleaned)
        return cleaned


def _without(reading: Reading, impacts: Sequence[Impact]) -> Reading:
    own = left_over(impacts, reading.block_number)
    if own == 0.0:
        return reading
    value = float(f"{float(reading.value) * math.exp(-own):.{DIGITS}g}")
    is_text = isinstance(reading.value, str)
    return msgspec.structs.replace(reading, value=repr(value) if is_text else value)
