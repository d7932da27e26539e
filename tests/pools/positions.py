"""Pools as the positions in them, from which everything is worked out anew: the slow, plain truth.

Nothing here shares code with what applies events: a state is counted from the positions by the
definitions of net, gross and liquidity, and logs are written by an ABI library.
"""

import dataclasses
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from toolkit.model.chain import ZERO_ADDRESS, Address, Hash
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.concentrated_v4 import ConcentratedV4, pool_id
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.snapshot import Pool
from toolkit.pools.ticks import sqrt_price_at_tick

TOKEN0, TOKEN1 = Address("0x" + "a" * 40), Address("0x" + "b" * 40)
OWNER = "0x" + "c" * 40
# Few amounts and few ticks, so that positions meet and nets of 0 are common.
AMOUNTS = (1, 10**6, 10**12, 10**18)
STOPS = range(-4, 5)


@dataclass(frozen=True, kw_only=True)
class Written:
    """A log without its place in a block."""

    address: Address
    topics: tuple[Hash, ...]
    data: str


def written(address: Address, event: str, indexed: Sequence[object], *data: object) -> Written:
    """Write a log as a contract does; indexed values come first in the signature `event`."""
    types = event[event.index("(") + 1 : -1].split(",")
    split = len(indexed)
    topics = [encode([kind], [value]) for kind, value in zip(types, indexed, strict=False)]
    return Written(
        address=address,
        topics=tuple(Hash("0x" + topic.hex()) for topic in (keccak(text=event), *topics)),
        data="0x" + encode(types[split:], data).hex(),
    )


def reordered(entry: Written, event: str) -> Written:
    """Give a log the topic of an event whose indexed values are not its first ones."""
    return dataclasses.replace(
        entry, topics=(Hash("0x" + keccak(text=event).hex()), *entry.topics[1:])
    )


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A V2 pair: any event may leave any reserves (fees on transfer, rebasing tokens, skim)."""

    id: Address
    reserves: tuple[int, int] = (0, 0)

    def act(self, rng: random.Random) -> tuple["Pair", Written]:
        """Return the pair after one random event, and its log."""
        reserves = (rng.randrange(2**112), rng.choice([0, 1, 2**112 - 1, rng.randrange(2**60)]))
        log = written(self.id, "Sync(uint112,uint112)", (), *reserves)
        return dataclasses.replace(self, reserves=reserves), log

    def state(self) -> Pool:
        """What a node would say."""
        return ConstantProduct(
            id=self.id,
            token0=TOKEN0,
            token1=TOKEN1,
            reserve0=self.reserves[0],
            reserve1=self.reserves[1],
        )


@dataclass(frozen=True, kw_only=True)
class Ranged:
    """A V3 pool: {(lower, upper): liquidity}, and a price once it is initialised."""

    id: Address
    spacing: int
    known: tuple[int, int]
    price: int = 0
    tick: int = 0
    positions: dict[tuple[int, int], int] = field(default_factory=dict)

    @property
    def liquidity(self) -> int:
        """Of all positions around the price."""
        return sum(held for (low, high), held in self.positions.items() if low <= self.tick < high)

    def act(self, rng: random.Random) -> tuple["Ranged", Written]:
        """Return the pool after one random event that its contract allows, and its log."""
        if not self.price:
            return self._initialized(rng)
        kind = rng.randrange(8)
        if kind < 3:
            return self._swapped(rng)
        if kind < 6 or not self.positions:
            return self._minted(rng)
        return self._burned(rng)

    def state(self) -> Pool:
        """What a node would say of the ticks between `known`."""
        ends = sorted({tick for ends in self.positions for tick in ends})
        inside = [tick for tick in ends if self.known[0] <= tick <= self.known[1]]
        held = self.positions.items()
        begin = {tick: sum(much for (low, _), much in held if low == tick) for tick in inside}
        end = {tick: sum(much for (_, high), much in held if high == tick) for tick in inside}
        return Concentrated(
            id=self.id,
            token0=TOKEN0,
            token1=TOKEN1,
            fee_ppm=3000,
            tick_spacing=self.spacing,
            sqrt_price_x96=self.price,
            tick=self.tick,
            liquidity=self.liquidity,
            ticks=tuple((tick, begin[tick] - end[tick]) for tick in inside),
            known=self.known,
            gross=tuple(begin[tick] + end[tick] for tick in inside),
        )

    def _priced(self, rng: random.Random) -> "Ranged":
        """Move to a random price: within a tick, at one, or just having crossed one downwards."""
        tick = rng.choice([stop * self.spacing for stop in STOPS]) + rng.randrange(-1, 2)
        low, high = sqrt_price_at_tick(tick), sqrt_price_at_tick(tick + 1)
        kind = rng.randrange(3)
        price = low if kind < 2 else rng.randrange(low, high)
        return dataclasses.replace(self, price=price, tick=tick - (kind == 1))

    def _initialized(self, rng: random.Random) -> tuple["Ranged", Written]:
        price = rng.randrange(sqrt_price_at_tick(-100), sqrt_price_at_tick(100))
        tick = next(t for t in range(100, -102, -1) if sqrt_price_at_tick(t) <= price)
        after = dataclasses.replace(self, price=price, tick=tick)
        return after, after.says_initialize()

    def _swapped(self, rng: random.Random) -> tuple["Ranged", Written]:
        after = self._priced(rng)
        return after, after.says_swap(rng)

    def _minted(self, rng: random.Random) -> tuple["Ranged", Written]:
        low, high = sorted(rng.sample([stop * self.spacing for stop in STOPS], 2))
        much = rng.choice(AMOUNTS)
        above = [(end, held) for (_, end), held in sorted(self.positions.items()) if end < high]
        if above and rng.random() < 0.5:  # as much from where another one ends: a net of 0
            low, much = rng.choice(above)
        held = self.positions | {(low, high): self.positions.get((low, high), 0) + much}
        return dataclasses.replace(self, positions=held), self.says_position(low, high, much)

    def _burned(self, rng: random.Random) -> tuple["Ranged", Written]:
        low, high = rng.choice(sorted(self.positions))
        held = dict(self.positions)
        much = rng.choice([0, held[low, high], held[low, high], rng.randint(0, held[low, high])])
        held[low, high] -= much
        if not held[low, high]:
            del held[low, high]
        return dataclasses.replace(self, positions=held), self.says_position(low, high, -much)

    def says_initialize(self) -> Written:
        """The log of getting this price."""
        return written(self.id, "Initialize(uint160,int24)", (), self.price, self.tick)

    def says_swap(self, rng: random.Random) -> Written:
        """The log of a swap that led here."""
        event = "Swap(address,address,int256,int256,uint160,uint128,int24)"
        fields = [1, -1, self.price, self.liquidity, self.tick]
        if rng.random() < 0.2:  # as PancakeSwap writes it
            event = event[:-1] + ",uint128,uint128)"
            fields += [rng.randrange(9), 0]
        return written(self.id, event, (OWNER, OWNER), *fields)

    def says_position(self, low: int, high: int, delta: int) -> Written:
        """The log of a position's change."""
        if delta <= 0:
            event = "Burn(address,int24,int24,uint128,uint256,uint256)"
            return written(self.id, event, (OWNER, low, high), -delta, 7, 9)
        log = written(
            self.id,
            "Mint(address,int24,int24,address,uint128,uint256,uint256)",
            (OWNER, low, high),
            *(OWNER, delta, 3, 5),
        )
        return reordered(log, "Mint(address,address,int24,int24,uint128,uint256,uint256)")


@dataclass(frozen=True, kw_only=True)
class Managed(Ranged):
    """A V4 pool: the same positions, told by the manager, and the protocol's fees."""

    fees: tuple[int, int] = (0, 0)

    @property
    def number(self) -> Hash:
        """Its id, which its key gives."""
        return pool_id(TOKEN0, TOKEN1, 3000, self.spacing)

    def act(self, rng: random.Random) -> tuple["Ranged", Written]:
        if not self.price or rng.random() < 0.9:
            return super().act(rng)
        fees = rng.randint(0, 1000), rng.choice([0, 1000])
        event = "ProtocolFeeUpdated(bytes32,uint24)"
        log = written(self.id, event, (self._raw,), fees[0] | fees[1] << 12)
        return dataclasses.replace(self, fees=fees), log

    def state(self) -> Pool:
        pool = super().state()
        assert isinstance(pool, Concentrated)
        return ConcentratedV4(
            id=self.number,
            token0=TOKEN0,
            token1=TOKEN1,
            fee_ppm=3000,
            tick_spacing=self.spacing,
            sqrt_price_x96=pool.sqrt_price_x96,
            tick=pool.tick,
            liquidity=pool.liquidity,
            ticks=pool.ticks,
            known=pool.known,
            gross=pool.gross,
            protocol_fee_ppm=self.fees,
            manager=self.id,
        )

    @property
    def _raw(self) -> bytes:
        return bytes.fromhex(self.number[2:])

    def says_initialize(self) -> Written:
        event = "Initialize(bytes32,address,address,uint24,int24,address,uint160,int24)"
        indexed = (self._raw, TOKEN0, TOKEN1)
        terms = (3000, self.spacing, ZERO_ADDRESS, self.price, self.tick)
        return written(self.id, event, indexed, *terms)

    def says_swap(self, rng: random.Random) -> Written:
        event = "Swap(bytes32,address,int128,int128,uint160,uint128,int24,uint24)"
        fields = (-1, rng.randrange(9), self.price, self.liquidity, self.tick, 3000)
        return written(self.id, event, (self._raw, OWNER), *fields)

    def says_position(self, low: int, high: int, delta: int) -> Written:
        event = "ModifyLiquidity(bytes32,address,int24,int24,int256,bytes32)"
        return written(self.id, event, (self._raw, OWNER), low, high, delta, bytes(32))
