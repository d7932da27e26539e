"""What the market's price does: recorded on-chain minutes, or a seeded process in their place."""

import csv
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import msgspec

from toolkit.devnet.data import data_file, read_gzip
from toolkit.model.errors import DataError

RECORDED_MINUTES = "prices/onchain-polygon-univ3-USDC-WETH-005-1m-202207.csv.gz"
HISTORY_MINUTES = 240
_START_PRICE = 1_800.0
_SECONDS_PER_MINUTE = 60
_WINDOW_TRIES = 1_000


class PricePoint(msgspec.Struct, frozen=True, kw_only=True):
    """US dollars (USDC) for one WETH at a time of the chain, in seconds."""

    timestamp: int
    price: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioConfig:
    """How the price moves where no recording is at hand, and which part of a recording is used.

    Per minute: `volatility_bps` of noise; a regime lasts `regime_minutes` on average and trends by
    up to `trend_bps`; with `jump_chance` there is a jump of about `jump_bps`.
    """

    volatility_bps: float = 6.0
    trend_bps: float = 5.0
    regime_minutes: float = 15.0
    jump_chance: float = 0.03
    jump_bps: float = 45.0
    window_minutes: int = 60
    minimum_range_bps: float = 80.0  # high to low within the window, or another one is drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A price series: what was before the first block, one value a minute, and what comes."""

    history: tuple[float, ...]
    future: Iterator[float]
    source: str


def load_scenario(seed: int, config: ScenarioConfig | None = None) -> Scenario:
    """A seeded window of the recorded minutes, or the seeded process without a recording.

    The recording may end; the process then goes on from its last price.

    Raises:
        DataError: the recording is there but damaged; names file and line.
    """
    settings = config or ScenarioConfig()
    random = Random(f"prices/{seed}")  # noqa: S311 - a scenario, not a secret
    path = data_file(RECORDED_MINUTES)
    if path is None:
        series = moving_prices(random, _START_PRICE, settings)
        history = tuple(itertools.islice(series, HISTORY_MINUTES))
        return Scenario(history=history, future=series, source="seeded jump process")
    prices = read_minutes(path)
    start = _window(prices, seed, settings)
    after = moving_prices(random, prices[-1], settings)
    return Scenario(
        history=tuple(prices[start - HISTORY_MINUTES : start]),
        future=itertools.chain(prices[start:], after),
        source=f"recorded on-chain minutes ({path.name})",
    )


def read_minutes(path: Path) -> list[float]:
    """Closing prices of the recorded minutes: 10**12 / 1.0001**closeTick, USDC for one WETH.

    The pool's token0 is USDC (6 decimals), its token1 WETH (18), hence the factor.

    Raises:
        DataError: names file and line.
    """
    rows = csv.DictReader(read_gzip(path).splitlines())
    prices, last = [], 0
    for line, row in enumerate(rows, start=2):
        try:
            timestamp, tick = int(row["ts"]), int(row["closeTick"])
        except (KeyError, TypeError, ValueError):
            raise DataError(f"{path} line {line}: no ts and closeTick; fetch it again") from None
        if timestamp < last + _SECONDS_PER_MINUTE:
            raise DataError(f"{path} line {line}: time goes from {last} to {timestamp}")
        last = timestamp
        prices.append(10**12 / 1.0001**tick)
    if len(prices) < 2 * HISTORY_MINUTES:
        raise DataError(f"{path} has {len(prices)} minutes, fewer than {2 * HISTORY_MINUTES}")
    return prices


def moving_prices(random: Random, start: float, config: ScenarioConfig) -> Iterator[float]:
    """Prices without end: geometric noise, regimes that trend or do not, and jumps."""
    price, trend = start, 0.0
    while True:
        if random.random() < 1 / config.regime_minutes:
            trend = random.choice((-1, 0, 1)) * config.trend_bps * random.uniform(0.4, 1)
        move = random.gauss(trend, config.volatility_bps)
        if random.random() < config.jump_chance:
            move += random.choice((-1, 1)) * config.jump_bps * random.lognormvariate(0, 0.4)
        price *= math.exp(move / 10_000)
        yield price


def _window(prices: Sequence[float], seed: int, config: ScenarioConfig) -> int:
    """First minute of a seeded window in which something happens."""
    random = Random(f"window/{seed}")  # noqa: S311 - a scenario, not a secret
    latest = max(HISTORY_MINUTES + 1, len(prices) - config.window_minutes)
    start = HISTORY_MINUTES
    for _ in range(_WINDOW_TRIES):
        start = random.randrange(HISTORY_MINUTES, latest)
        window = prices[start : start + config.window_minutes]
        if math.log(max(window) / min(window)) * 10_000 >= config.minimum_range_bps:
            break
    return start
