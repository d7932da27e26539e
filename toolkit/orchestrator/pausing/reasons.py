"""How several reasons to wait become one assessment, and how far two answers differ."""

from collections.abc import Sequence
from fractions import Fraction

import msgspec

from toolkit.model.decision import Intent, Leg
from toolkit.model.units import PPM
from toolkit.orchestrator.pausing.pauses import Assessment, Effect


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One reason to wait: what it rests on, and the share that is decided otherwise by it."""

    because: tuple[str, ...]
    effect: Effect
    differs: float
    tolerance: float
    until_block: int
    contamination: float = 0.0
    why: str = ""

    @property
    def exceeds(self) -> bool:
        """Whether more is decided otherwise than is tolerated."""
        return self.differs > self.tolerance

    @property
    def scale(self) -> float:
        """The weight with which the share decided otherwise is just tolerated."""
        return min(self.tolerance / self.differs, 1.0) if self.differs else 1.0


def composed(agent: str, parts: Sequence[Part]) -> Assessment:
    """Put reasons together: any of them pauses, the strongest discounts, the last one ends."""
    parts = sorted(parts, key=lambda part: (-part.differs, part.why))
    exceeding = [part for part in parts if part.exceeds]
    worst = max(parts, key=lambda part: (part.differs - part.tolerance, part.why))
    stopping = [part for part in exceeding if part.effect == "pause"]
    told = stopping or exceeding or [part for part in parts if part.effect == "subtract"]
    return Assessment(
        agent=agent,
        paused=bool(stopping),
        because=tuple(sorted({name for part in parts for name in part.because})),
        contamination=worst.contamination,
        flip_probability=worst.differs,
        tolerance=worst.tolerance,
        until_block=max(part.until_block for part in parts),
        scale=min((part.scale for part in exceeding if part.effect == "discount"), default=1.0),
        subtracted=any(part.effect == "subtract" for part in parts),
        why="; ".join(dict.fromkeys(part.why for part in told)),
    )


def disagreement(given: Sequence[object], other: Sequence[object]) -> float:
    """Return how far two answers differ, 0..1: the largest share of a trade that one lacks.

    Amounts are added up per token paid and token got, each by its confidence. Answers that are
    not made of intents have nothing in common.
    """
    mine, theirs = _wanted(given), _wanted(other)
    if mine is None or theirs is None:
        return 1.0
    pairs = sorted({*mine, *theirs})
    if not pairs:
        return 0.0
    shares = []
    for pair in pairs:
        low, high = sorted((mine.get(pair, 0), theirs.get(pair, 0)))
        shares.append(Fraction(high - low, high) if high else Fraction(0))
    return float(max(shares))


def without(agent: str) -> str:
    """Return the key of the second question to an agent: what it would do without own trades."""
    return f"{agent}/without"


def asked_agent(name: str) -> str:
    """Return the agent that a question of that name is put to; no agent's name holds a slash."""
    return name.partition("/")[0]


def _wanted(intents: Sequence[object]) -> dict[tuple[str, str], int] | None:
    """Return what is wanted per (token_in, token_out), in ppm of smallest units."""
    found: dict[tuple[str, str], int] = {}
    for intent in intents:
        if type(intent) is not Intent or type(intent.legs) is not tuple:
            return None
        if type(intent.confidence) not in {int, float} or not 0 <= intent.confidence <= 1:
            return None
        for leg in intent.legs:
            if type(leg) is not Leg or type(leg.amount_in) is not int:
                return None
            pair = str(leg.token_in), str(leg.token_out)
            found[pair] = found.get(pair, 0) + leg.amount_in * round(intent.confidence * PPM)
    return found
