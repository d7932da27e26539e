"""How long an own trade spoils another agent's signal, and who has to wait for whom.

An own trade moves the pool's log price by I0. While others correct it, the residue n samples
later is

    I(n) = (I0 - b) (1 - lam)^n + b exp(-n / rho)      for I0 > b, else I0 exp(-n / rho)

(signs follow I0): what exceeds the no-arbitrage band b is corrected at rate lam per sample; what
lies within it is forgotten with time constant rho, as the fair price wanders from edge to edge.
A signal that is a linear filter k of the log price is off by C(n) = sum_j k_j I(n - j), and
decides otherwise than without the trade with probability about f |C(n)|, f being the density of
the clean |signal| at its threshold. The dependent is paused exactly while that exceeds the
declared tolerance, so a pause has no length of its own.

b starts at the pool's fee (below it nobody need correct) and lam at one half; both are estimated
from the first step after each own fill, b never above that fee. rho comes from the price's own
history: see `drift_time`. None of the three is exact; each is an argument, and the tolerance says
what an error costs.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import msgspec

from toolkit.model.errors import ConfigError
from toolkit.model.units import BPS

MOST_DRIFT = 240.0
"""Samples; a price that hardly moves is not trusted to remember for longer."""

HORIZON = 512
"""Samples after which an impact is forgotten and beyond which no end is predicted."""


class Pause(msgspec.Struct, frozen=True):
    """Agent `agent` waits after a landed trade of agent `on` that moved the price it reads.

    The trade must have moved it by `impact_bps` or more; the pause ends when at most a share
    `tolerance` of the agent's decisions would still come out differently because of it.
    """

    agent: str
    on: str
    impact_bps: float = 10.0
    tolerance: float = 0.05

    def __post_init__(self) -> None:
        """Check the figures."""
        if not (math.isfinite(self.impact_bps) and self.impact_bps >= 0):
            raise ConfigError(f"pause of {self.agent}: impact_bps {self.impact_bps} is no size")
        if not 0 < self.tolerance < 1:
            raise ConfigError(f"pause of {self.agent}: tolerance {self.tolerance} is not in 0..1")


class Decay(msgspec.Struct, frozen=True, kw_only=True):
    """How an impact fades: lam per sample, b as a fraction of the price, rho in samples."""

    reversion: float = 0.5
    band: float = 5e-4
    drift: float = 60.0


class Impact(msgspec.Struct, frozen=True, kw_only=True):
    """A landed own trade's signed move of the log of one price, in the block it landed in."""

    agent: str
    key: str
    verdict_id: str
    block_number: int
    log_move: float


class Reversion(msgspec.Struct, frozen=True, kw_only=True):
    """Running regression of how much of an own move the next sample takes back.

    taken_back = lam (size - b), a line through (size, taken_back) of each own fill; its slope is
    lam and its foot b. It starts from four moves of 5 to 60 bp that behaved as by default, so
    few fills shift it little and many decide.
    """

    count: int
    sizes: float
    squares: float
    taken_back: float
    products: float

    @classmethod
    def prior(cls, *, band: float) -> "Reversion":
        """Return the belief before any fill: half of what exceeds the band, per sample."""
        start = cls(count=0, sizes=0.0, squares=0.0, taken_back=0.0, products=0.0)
        for size in (5 / BPS, 15 / BPS, 30 / BPS, 60 / BPS):
            start = start.observed(size, -Decay().reversion * (size - band))
        return start

    def observed(self, log_move: float, next_step: float) -> "Reversion":
        """Add the log price change of the sample after a move, other own moves taken out."""
        size, back = abs(log_move), -math.copysign(1.0, log_move) * next_step
        return Reversion(
            count=self.count + 1,
            sizes=self.sizes + size,
            squares=self.squares + size * size,
            taken_back=self.taken_back + back,
            products=self.products + size * back,
        )

    def decay(self, *, most_band: float, drift: float = Decay().drift) -> Decay:
        """Return the estimates, kept where the model has a meaning."""
        spread = self.count * self.squares - self.sizes * self.sizes
        slope = (self.count * self.products - self.sizes * self.taken_back) / spread
        rate = min(max(slope, 0.02), 0.98)
        foot = (self.sizes - self.taken_back / rate) / self.count
        band = min(max(foot, 0.0), most_band)
        return Decay(reversion=rate, band=band, drift=drift)


class Assessment(msgspec.Struct, frozen=True, kw_only=True):
    """One dependent at one block: how far off its signal is, and until when that matters."""

    agent: str
    paused: bool
    because: tuple[str, ...]  # verdicts whose trades it waits for
    contamination: float
    flip_probability: float
    tolerance: float
    until_block: int  # first block from which it is predicted to decide freely


def compile_pauses(pauses: Sequence[Pause], agents: Sequence[str]) -> dict[str, tuple[Pause, ...]]:
    """Return each dependent's pauses.

    Raises:
        ConfigError: an unknown agent, a double declaration, or a cycle, with its path.
    """
    for pause in pauses:
        for name in (pause.agent, pause.on):
            if name not in agents:
                raise ConfigError(f"a pause names {name!r}; the agents are {', '.join(agents)}")
    if len({(pause.agent, pause.on) for pause in pauses}) != len(pauses):
        raise ConfigError("a pause of one agent on another is declared twice")
    waits_for = {name: sorted(p.on for p in pauses if p.agent == name) for name in sorted(agents)}
    for name in waits_for:
        if path := _cycle(name, waits_for):
            raise ConfigError(f"pauses form a cycle: {' -> '.join(path)}; remove one of them")
    return {
        name: tuple(sorted((p for p in pauses if p.agent == name), key=lambda p: p.on))
        for name, others in waits_for.items()
        if others
    }


def _cycle(start: str, waits_for: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the path of a cycle through `start`, or nothing."""
    paths = [[start]]
    seen: set[str] = set()
    while paths:
        path = paths.pop()
        for other in waits_for[path[-1]]:
            if other == start:
                return [*path, start]
            if other not in seen:
                seen.add(other)
                paths.append([*path, other])
    return []


def drift_time(band: float, log_prices: Sequence[float]) -> float:
    """Return rho in samples: how long a place within the band +-b is remembered.

    A price that is only kept within b of a fair one forgets where it stood when the fair price
    has wandered across the band. For a random walk with step variance s^2 that takes about
    (b / s)^2 + 1 samples (simulated: within 25 % for s from b/5 to 3 b); s^2 is taken from the
    price's own steps. At most `MOST_DRIFT`.
    """
    steps = [after - before for before, after in pairwise(log_prices)]
    variance = sum(step * step for step in steps) / max(len(steps), 1)
    if variance == 0.0:
        return MOST_DRIFT
    return min(band * band / variance + 1.0, MOST_DRIFT)


def residue(log_move: float, n: int, decay: Decay) -> float:
    """Return I(n), what is left of a move n samples later; 0 before it happened."""
    if n < 0:
        return 0.0
    within = min(abs(log_move), decay.band) * math.exp(-n / decay.drift)
    beyond = max(abs(log_move) - decay.band, 0.0) * math.pow(1 - decay.reversion, n)
    return math.copysign(within + beyond, log_move)


def residues(impacts: Sequence[Impact], blocks: range, decay: Decay) -> tuple[float, ...]:
    """Return what all impacts together leave in the log price at each block."""
    return tuple(
        sum(residue(impact.log_move, block - impact.block_number, decay) for impact in impacts)
        for block in blocks
    )


def contaminations(
    kernel: Sequence[float], impacts: Sequence[Impact], *, start: int, count: int, decay: Decay
) -> tuple[float, ...]:
    """Return C at blocks start, start + 1, ..., `count` of them."""
    width = len(kernel)
    left = residues(impacts, range(start - width + 1, start + count), decay)
    return tuple(
        sum(weight * left[index + width - 1 - lag] for lag, weight in enumerate(kernel))
        for index in range(count)
    )


def threshold_density(signal: Sequence[float], threshold_sds: float) -> float:
    """Return the density of |signal| at its threshold, per unit of the signal.

    A Gaussian kernel estimate of both sides, with Silverman's width 1.06 sd n^(-1/5): a count in
    a narrow window would be 0 or huge on the few hundred values there are.
    """
    count = len(signal)
    spread = math.sqrt(sum(value * value for value in signal) / max(count, 1))
    if spread == 0.0:
        return 0.0
    width = 1.06 * spread * math.pow(count, -0.2)
    level = threshold_sds * spread
    mass = sum(
        math.exp(-(((value - side) / width) ** 2) / 2)
        for value in signal
        for side in (level, -level)
    )
    return mass / (count * width * math.sqrt(2 * math.pi))


def assess(
    pauses: Sequence[Pause],
    impacts: Sequence[Impact],
    *,
    kernel: Sequence[float],
    density: float,
    block: int,
    decay: Decay,
) -> Assessment:
    """Decide whether a dependent is paused at `block`, and predict the end.

    Only impacts that reach their pause's threshold count. Where several pauses apply, the
    smallest tolerance rules. C may change sign on its way (a fast and a slow average cross), so
    the predicted end is after the last sample that exceeds the tolerance, not the first below.
    """
    agent = pauses[0].agent
    least = {pause.on: pause for pause in pauses}
    counted = tuple(
        impact
        for impact in impacts
        if impact.agent in least
        and abs(impact.log_move) * BPS >= least[impact.agent].impact_bps
        and 0 <= block - impact.block_number < HORIZON
    )
    tolerance = min(pause.tolerance for pause in pauses)
    if not counted:
        return Assessment(
            agent=agent,
            paused=False,
            because=(),
            contamination=0.0,
            flip_probability=0.0,
            tolerance=tolerance,
            until_block=block,
        )
    ahead = contaminations(kernel, counted, start=block, count=HORIZON, decay=decay)
    exceeding = [n for n, value in enumerate(ahead) if density * abs(value) > tolerance]
    return Assessment(
        agent=agent,
        paused=density * abs(ahead[0]) > tolerance,
        because=tuple(sorted(impact.verdict_id for impact in counted)),
        contamination=ahead[0],
        flip_probability=density * abs(ahead[0]),
        tolerance=tolerance,
        until_block=block + (exceeding[-1] + 1 if exceeding else 0),
    )
