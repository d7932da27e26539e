"""Short seeded markets, block by block, from which a view can be made as often as one likes."""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from hashlib import blake2b

import msgspec

from toolkit.model.chain import Address, Hash, Head
from toolkit.model.decision import Reading
from toolkit.model.market import PoolId, Token
from toolkit.model.tx import FeeQuote
from toolkit.orchestrator.hosting.asking import fresh_view
from toolkit.orchestrator.market import Market
from toolkit.perception.heads import fee_reading, head_reading
from toolkit.perception.pools import pools_reading
from toolkit.perception.prices import PriceSource, price_readings
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.snapshot import Pool, Snapshot
from toolkit.reasoning.agent import View

FIRST_BLOCK = 1000
PAST = 300
"""Prices known before a scene's first block."""
BLOCK_S = 12
DEPTH = 5000
"""Whole base tokens in a market's pool."""
LEVEL = 2000.0


class Mood(Enum):
    """How prices move, per block: the size of a step, and which way."""

    CALM = "calm"
    FLAT = "flat"  # not at all: whoever divides by a deviation divides by zero
    RISING = "rising"
    WILD = "wild"  # by tens of percent
    YOUNG = "young"  # a market that has no past yet


_STEPS: Mapping[Mood, tuple[float, float]] = {  # drift and deviation of the log price
    Mood.CALM: (0.0, 1e-3),
    Mood.FLAT: (0.0, 0.0),
    Mood.RISING: (2e-3, 1e-3),
    Mood.WILD: (0.0, 0.2),
    Mood.YOUNG: (0.0, 2e-3),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that is known at one block; `label` says where in which scene."""

    label: str
    head: Head
    snapshot: Snapshot
    readings: Mapping[str, tuple[Reading, ...]]
    balances: Mapping[Address, int]
    positions: Mapping[Address, int]
    fee: FeeQuote
    wrapped: Address

    def view(self) -> View:
        """Make a view of it that nobody else has."""
        return fresh_view(
            block=self.head,
            snapshot=self.snapshot,
            readings=self.readings,
            balances=self.balances,
            positions=self.positions,
            fee=self.fee,
            wrapped=self.wrapped,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Blocks in a row, and another end of them: what a reorg puts in the place of the last few."""

    mood: Mood
    seed: int
    blocks: tuple[Facts, ...]
    instead: tuple[Facts, ...]


def scene(mood: Mood, seed: int, market: Market, *, count: int = 8, forked: int = 3) -> Scene:
    """Make a scene; `forked` of its last blocks have another course as well."""
    stage = _Stage(mood, seed, market)
    common = [stage.block("") for _ in range(count - forked)]
    twin = stage.twin()
    return Scene(
        mood=mood,
        seed=seed,
        blocks=(*common, *(stage.block("") for _ in range(forked))),
        instead=tuple(twin.block("'") for _ in range(forked)),
    )


def scenes(market: Market, seeds: Sequence[int]) -> Iterator[Scene]:
    """Make a scene of every mood for each seed."""
    for seed in seeds:
        for mood in Mood:
            yield scene(mood, seed, market)


class _Stage:
    """A market that goes on from block to block."""

    def __init__(self, mood: Mood, seed: int, market: Market) -> None:
        self._mood, self._seed, self._market = mood, seed, market
        self._rng = random.Random(f"{mood.value}/{seed}")  # noqa: S311 - a seed is a market
        self._tokens = {token.address: token for token in market.tokens}
        self._logs = {source.key: math.log(LEVEL) for source in market.prices}
        self._number, self._parent = FIRST_BLOCK, _hash(mood, seed, FIRST_BLOCK - 1, "")
        self._series: dict[str, tuple[Reading, ...]] = {
            source.key: self._past(source) for source in market.prices
        }
        self._capital = {
            token.address: self._rng.randrange(20, 200) * _worth(token, market)
            for token in market.tokens
        }

    def twin(self) -> "_Stage":
        """Return another stage that has the same past and another future."""
        other = _Stage(self._mood, self._seed, self._market)
        other._rng = random.Random(f"{self._mood.value}/{self._seed}/twin")  # noqa: S311 - as above
        other._logs, other._series = dict(self._logs), dict(self._series)
        other._number, other._parent = self._number, self._parent
        return other

    def block(self, fork: str) -> Facts:
        """Move on by one block."""
        drift, deviation = _STEPS[self._mood]
        hash_ = _hash(self._mood, self._seed, self._number, fork)
        head = Head(
            number=self._number,
            hash=hash_,
            parent_hash=self._parent,
            timestamp=1_700_000_000 + BLOCK_S * self._number,
            base_fee_per_gas=10**9,
            gas_limit=30_000_000,
            gas_used=15_000_000,
        )
        for source in self._market.prices:
            self._logs[source.key] += drift + self._rng.gauss(0.0, deviation)
        fee = FeeQuote(
            max_fee_per_gas=2 * 10**9,
            max_priority_fee_per_gas=10**8,
            base_fee_per_gas=10**9,
            for_block=self._number + 1,
        )
        snapshot = Snapshot(block=head, tokens=dict(self._tokens), pools=self._pools())
        news = (
            head_reading(head),
            fee_reading(fee, head),
            pools_reading(snapshot),
            *price_readings(snapshot, self._market.prices),
        )
        for reading in news:
            self._series[reading.key] = (*self._series.get(reading.key, ()), reading)
        self._number, self._parent = self._number + 1, hash_
        return Facts(
            label=f"{self._mood.value} market {self._seed}, block {head.number}{fork}",
            head=head,
            snapshot=snapshot,
            readings=dict(sorted(self._series.items())),
            balances=dict(self._capital),
            positions={},
            fee=fee,
            wrapped=self._market.wrapped,
        )

    def _past(self, source: PriceSource) -> tuple[Reading, ...]:
        if self._mood is Mood.YOUNG:
            return ()
        _, deviation = _STEPS[self._mood]
        log, made = self._logs[source.key], []
        for number in range(FIRST_BLOCK - PAST, FIRST_BLOCK):
            log += self._rng.gauss(0.0, min(deviation, 2e-3))
            made.append(
                Reading(
                    key=source.key,
                    value=math.exp(log),
                    source=source.pool,
                    block_number=number,
                    block_hash=_hash(self._mood, self._seed, number, ""),
                    observed_at=1_700_000_000 + BLOCK_S * number,
                    max_age_blocks=source.max_age_blocks,
                )
            )
        self._logs[source.key] = log
        return tuple(made)

    def _pools(self) -> dict[PoolId, Pool]:
        """Each price's pool, and a smaller one beside it whose price strays."""
        made: dict[PoolId, Pool] = {}
        for n, source in enumerate(self._market.prices):
            price = math.exp(self._logs[source.key])
            stray = 0.0 if self._mood is Mood.FLAT else self._rng.gauss(0.0, 8e-3)
            beside = Address(f"0x{n + 1:02x}" + "be" * 19)
            made[source.pool] = self._pool(source, source.pool, price, DEPTH)
            made[beside] = self._pool(source, beside, price * math.exp(stray), DEPTH // 5)
        return made

    def _pool(
        self, source: PriceSource, pool: Address, price: float, depth: int
    ) -> ConstantProduct:
        base, quote = self._tokens[source.base], self._tokens[source.quote]
        held = {
            base.address: depth * 10**base.decimals,
            quote.address: round(price * depth * 10**6) * 10**quote.decimals // 10**6,
        }
        token0, token1 = sorted(held)
        return ConstantProduct(
            id=pool, token0=token0, token1=token1, reserve0=held[token0], reserve1=held[token1]
        )


def _worth(token: Token, market: Market) -> int:
    """Return about one whole native token's worth of a token, in its smallest units."""
    dear = token.address in market.stables
    return int(10**token.decimals) * (round(LEVEL) if dear else 1)


def _hash(mood: Mood, seed: int, number: int, fork: str) -> Hash:
    named = f"{mood.value}/{seed}/{number}/{fork}".encode()
    return Hash(f"0x{blake2b(named, digest_size=32).hexdigest()}")


def fingerprint(view: View) -> bytes:
    """Encode all that a view holds; looks every reading up."""
    held = (view.block, view.snapshot, view.fee, view.wrapped)
    known = (dict(view.balances), dict(view.positions), dict(view.readings))
    return msgspec.json.encode((held, known), order="deterministic")
