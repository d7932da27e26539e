"""Pauses on recorded on-chain minutes: the model beside what own trades really change."""

import functools
from collections.abc import Sequence

from scripts.bench import keepers
from scripts.bench.episodes import (
    TOLERANCES,
    Episodes,
    FlipTime,
    Ruled,
    Scored,
    flip_times,
    learned_density,
    recorded,
    ruled,
)
from scripts.bench.figures import Figure, Measured
from scripts.bench.twice import Answer, Asked, asked_twice, breakout, strength
from toolkit.devnet.crowd.scenario import RECORDED_MINUTES
from toolkit.devnet.data import data_file
from toolkit.orchestrator.mainnet import USDC, WETH
from toolkit.reasoning.mean_reversion import MeanReversion
from toolkit.reasoning.momentum import Momentum
from toolkit.testing.oscillators import Donchian, RelativeStrength

TIMEOUT_S = 240
MOST_MISSED = 2  # of 18: 85 % have to be met
STRIDE = 3
CONSTANTS = ("0", "10", "30", "60", "240")  # minutes: never, three guesses, always
AGENTS: dict[str, Scored] = {
    "EMA": Momentum(base=WETH.address, quote=USDC.address),
    "z-score": MeanReversion(base=WETH.address, quote=USDC.address),
}


async def measure(seed: int) -> Measured:
    """Plant own trades in the recorded minutes and compare.

    Raises:
        RuntimeError: the recorded minutes are not there.
    """
    path = data_file(RECORDED_MINUTES)
    if path is None:
        raise RuntimeError(f"no recorded minutes: set TOOLKIT_DATA to where {RECORDED_MINUTES} is")
    logs = recorded(path)
    figures: list[Figure] = []
    misses: list[str] = []
    for name, agent in AGENTS.items():
        known = learned_density(agent, logs)
        episodes = Episodes.of(agent, logs, stride=STRIDE)
        times = flip_times(episodes, known, logs, seed)
        rules = ruled(episodes, known, logs, seed, CONSTANTS)
        figures += _of_times(name, times) + _of_rules(name, rules)
        misses += [f"{name} flip time {_missed(one)}" for one in times if not one.is_near]
        misses += _of_released(name, rules["model"])
        estimated = keepers.flip_times(agent, known, logs, seed)
        figures += _of_times(f"{name}, kept by arbitrageurs, all estimated", estimated)
        misses += [
            f"{name}, kept by arbitrageurs, flip time {_missed(one)}"
            for one in estimated
            if not one.is_near
        ]
    for name, answer, span in _oscillators():
        asked = asked_twice(name, answer, span, logs, seed)
        figures += _of_asked(name, asked)
        misses += [
            f"{name}, asked twice, at {one.cell.bps} bp, lam {one.cell.reversion}: "
            f"{one.false_share:.1%} false decisions in release"
            for one in asked
            if one.is_false_too_often(min(TOLERANCES))
        ]
    gap = (
        "pauses are measured on one pool's minutes; planted impacts have their band and drift "
        "given and reversion learned from 300 own fills, those of kept markets have all estimated"
    )
    return Measured(figures=tuple(figures), not_covered=(gap, *misses))


def _oscillators() -> Sequence[tuple[str, Answer, int]]:
    rsi = RelativeStrength(base=WETH.address, quote=USDC.address)
    channel = Donchian(base=WETH.address, quote=USDC.address)
    return (
        ("RSI", functools.partial(strength, high=rsi.high), rsi.span),
        ("Donchian", breakout, channel.span),
    )


def _of_times(name: str, times: Sequence[FlipTime]) -> list[Figure]:
    missed = sum(not one.is_near for one in times)
    title = f"{name}: flip times further off than a tenth or 4 min, of {len(times)} cells"
    return [Figure(name=title, unit="", target=MOST_MISSED, ours=missed)]


def _of_rules(name: str, rules: dict[str, list[Ruled]]) -> list[Figure]:
    """Measure the model against hindsight and against rules that know nothing."""
    model, hindsight = rules["model"], rules["oracle"]
    often = sum(one.is_false_too_often for one in model)
    paused = sum(one.minutes for one in model) / sum(one.minutes for one in hindsight)
    others = {_told(rule): _cost(rules[rule]) for rule in CONSTANTS}
    best = min(others, key=lambda rule: others[rule])
    cured = sum(one.is_false_too_often for one in rules["subtract"])
    cells = len(model)
    return [
        Figure(
            name=f"{name}: cells of {cells} with more false decisions in release than tolerated",
            unit="",
            target=0,
            ours=often,
        ),
        Figure(name=f"{name}: time paused / the oracle's", unit="", target=1.25, ours=paused),
        Figure(
            name=f"{name}: minutes lost a trade, beside the best of {', '.join(others)}",
            unit="min",
            target=others[best],
            ours=_cost(model),
            peer=others[best],
            peer_name=best,
        ),
        Figure(name=f"{name}: the same with hindsight (oracle)", unit="min", ours=_cost(hindsight)),
        Figure(
            name=f"{name}: cells of {cells} with too many false decisions, subtracted instead",
            unit="",
            ours=cured,
        ),
    ]


def _of_released(name: str, model: Sequence[Ruled]) -> list[str]:
    """Tell where ten minutes of an episode have more false decisions than the whole may."""
    found = []
    for one in model:
        age, excess = one.worst_minutes
        if excess > 0:
            found.append(
                f"{name} {_cell(one)}: minutes {age}..{age + 9} have {excess:.1%} more false "
                "decisions in release than tolerance + 2 s.e."
            )
    return found


def _of_asked(name: str, asked: Sequence[Asked]) -> list[Figure]:
    often = sum(one.is_false_too_often(tolerance) for one in asked for tolerance in TOLERANCES)
    paused, truly = (sum(v) for v in zip(*((a.minutes, a.truly) for a in asked), strict=True))
    return [
        Figure(
            name=f"{name}, asked twice: cells of {len(asked) * len(TOLERANCES)} with more false "
            "decisions in release than tolerated",
            unit="",
            target=0,
            ours=often,
        ),
        Figure(
            name=f"{name}, asked twice: time paused / the oracle's",
            unit="",
            target=1.25,
            ours=paused / truly,
        ),
    ]


def _cost(found: Sequence[Ruled]) -> float:
    return sum(one.cost for one in found) / len(found)


def _told(rule: str) -> str:
    return {"0": "never", "240": "always"}.get(rule, f"{rule} min")


def _cell(one: FlipTime | Ruled) -> str:
    return f"at {one.cell.bps} bp, lam {one.cell.reversion}, tolerance {one.tolerance:.0%}"


def _missed(one: FlipTime) -> str:
    return f"{_cell(one)}: {one.measured} min measured, {one.predicted} predicted"
