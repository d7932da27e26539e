"""Breakers on recorded hours: they open early on the days of the crashes, and not on calm ones."""

import csv
import gzip
import math
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest

from tests.orchestrator.worlds import fresh_seeds
from toolkit.model.chain import ZERO_ADDRESS
from toolkit.orchestrator.board.doubts import FactRule
from toolkit.orchestrator.breaking.hazards import BreakerLimits, Hazard
from toolkit.orchestrator.deciding.limits import Limits
from toolkit.orchestrator.mainnet import USDC, WETH
from toolkit.reasoning.mean_reversion import MeanReversion
from toolkit.testing.decide import PRICE_KEY, Decided, decide, given, main_pool, price_series

pytestmark = pytest.mark.realdata

FILE = "ETHUSDT-1h.csv.gz"
DAY_S, PAST_HOURS, FIRST = 86_400, 240, 10**6
CRASHES = ("2020-03-12", "2021-05-19", "2022-06-13")
MOST_LOST_PPM = 150_000
"""Of the capital, when a breaker opens: hours are long, and one may lose more than the bound."""
CALM_DAYS = 100
OFF = BreakerLimits(off=tuple(hazard for hazard in Hazard if hazard is not Hazard.HALT))


@dataclass(frozen=True)
class Hours:
    """Seconds and closing prices, an hour each; and where each whole day begins."""

    ts: tuple[int, ...]
    price: tuple[float, ...]
    days: tuple[int, ...]

    def calm(self) -> list[int]:
        """The quieter half of all days, by the squares of their hours' moves."""
        return sorted(self.days, key=self._stir)[: len(self.days) // 2]

    def _stir(self, start: int) -> float:
        moves = [math.log(self.price[k + 1] / self.price[k]) for k in range(start, start + 24)]
        return sum(move * move for move in moves)


@cache
def hours(folder: Path) -> Hours:
    """Read the file."""
    with gzip.open(folder / "prices" / FILE, "rt") as file:
        rows = [(int(row["ts"]), float(row["close"])) for row in csv.DictReader(file)]
    ts, price = zip(*rows, strict=True)
    days = [
        n
        for n in range(PAST_HOURS, len(ts) - 48)
        if ts[n] % DAY_S == 0 and ts[n + 24] - ts[n] == DAY_S
    ]
    return Hours(ts=ts, price=price, days=tuple(days))


def lived(recorded: Hours, start: int, *, count: int, breakers: BreakerLimits | None) -> Decided:
    """Let one agent trade against the moves of so many hours, with all it has."""
    past = price_series(recorded.price[start - PAST_HOURS : start], before=FIRST)
    blocks = [
        given(
            FIRST + n,
            pools=[main_pool(f"{recorded.price[start + n]:.2f}", depth="500000")],
            readings=past if n == 0 else (),
        )
        for n in range(count)
    ]
    agent = MeanReversion(
        base=WETH.address,
        quote=USDC.address,
        window=24,
        memory=168,
        max_position_wei=18 * 10**18,
        clip_wei=6 * 10**18,
    )
    capital = {
        WETH.address: 20 * 10**18,
        USDC.address: int(20 * recorded.price[start]) * 10**6,
        ZERO_ADDRESS: 10**18,
    }
    wide = 10**24
    return decide(
        [agent],
        blocks,
        capital=capital,
        limits=Limits(max_trade_wei=10**19, agent_risk_wei=wide, class_risk_wei=wide),
        breakers=breakers,
        # What is incredible for a block of seconds is not for one of an hour.
        facts=[FactRule(key=PRICE_KEY, max_deviation_bps=1000)],
    )


def drawdown_wei(decided: Decided) -> int:
    """The deepest fall of the gain from its best."""
    best = worst = 0
    for report in decided.reports:
        gain = sum(report.pnl_wei.values())
        best = max(best, gain)
        worst = max(worst, best - gain)
    return worst


@pytest.mark.parametrize("day", CRASHES)
def test_a_crash_opens_breakers_before_much_is_lost(day: str, data_dir: Path) -> None:
    """On each crash day one opens below 15 % lost; then nothing is bought, and no more is lost."""
    recorded = hours(data_dir)
    start = recorded.ts.index(int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()))

    kept = lived(recorded, start, count=36, breakers=None)
    unkept = lived(recorded, start, count=36, breakers=OFF)

    opened = next(n for n, report in enumerate(kept.reports) if report.breakers)
    lost = [
        one.evidence.measured
        for one in kept.reports[opened].breakers
        if one.hazard is Hazard.DRAWDOWN
    ]
    held = [report.books["mean_reversion"].get(WETH.address, 0) for report in kept.reports]
    later = held[opened + 1 :]  # what was sent the hour before may still land
    print(f"{day}: hour {opened}, {lost} ppm; {drawdown_wei(kept)} of {drawdown_wei(unkept)} wei")
    assert max(lost, default=0) < MOST_LOST_PPM
    assert sorted(later, reverse=True) == later
    assert drawdown_wei(kept) <= drawdown_wei(unkept)


def test_calm_days_open_none(data_dir: Path) -> None:
    """Of the quieter half of all days at most one in a hundred opens any breaker."""
    recorded = hours(data_dir)
    (seed,) = fresh_seeds(1)
    days = random.Random(seed).sample(recorded.calm(), CALM_DAYS)

    opened = [
        datetime.fromtimestamp(recorded.ts[start], UTC).date()
        for start in days
        if any(r.breakers for r in lived(recorded, start, count=24, breakers=None).reports)
    ]

    assert len(opened) <= CALM_DAYS // 100, f"{opened}"
