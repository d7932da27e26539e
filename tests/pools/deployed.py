"""A world of genuine contracts in revm: their own logs, and their own storage as the truth."""

import random
from collections.abc import Sequence
from typing import Any

from tests.pools.positions import Written
from tests.pools.venue import FOREVER, ME, SPACINGS, Refused, Revm, Venue, calldata
from tests.pools.venue_v4 import VenueV4
from toolkit.model.chain import Address, Hash
from toolkit.model.market import PoolId
from toolkit.pools.snapshot import Pool

FEES = (500, 3000, 10000)
POSITION = "uint96,address,address,address,uint24,int24,int24,uint128" + ",uint256" * 4
DECREASE = "decreaseLiquidity((uint256,uint128,uint256,uint256,uint256))"


class Recording(Revm):
    """Revm that keeps the logs of what was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.logs: list[Written] = []

    def send(self, to: str, data: bytes, *, sender: str = ME, value: int = 0) -> None:
        super().send(to, data, sender=sender, value=value)
        result = self.evm.result
        assert result is not None
        self.logs += [_written(log) for log in result.logs]


def _written(log: Any) -> Written:
    topics, data = log.data
    return Written(
        address=Address(log.address.lower()),
        topics=tuple(Hash("0x" + bytes(topic).hex()) for topic in topics),
        data="0x" + bytes(data).hex(),
    )


class Deployed:
    """A V2 pair, three V3 pools and a V4 pool behind the official routers and managers."""

    def __init__(self, rng: random.Random) -> None:
        self.machine = Recording()
        self.venue = Venue(self.machine)
        self.rng = rng
        self.pair = self.venue.make_pair(10**21, 3 * 10**20)
        self.pools = {fee: self.venue.make_pool(fee, 777) for fee in FEES}
        self.stops = {fee: set[int]() for fee in FEES}
        self.held: tuple[int, ...] = ()  # positions, by token id
        for fee in FEES:
            bound = 887272 // SPACINGS[fee] * SPACINGS[fee]
            self._mint(fee, -bound, bound)
        self.v4 = VenueV4(self.venue)
        self.pool4 = self.v4.make_pool(3000, 60, 777)
        self.stops4 = {-887220, 887220}
        self.held4: dict[tuple[int, int], int] = {}
        self.v4.modify(self.pool4, -887220, 887220, 10**20)

    def act(self) -> Sequence[Written]:
        """One random transaction; what it logged, or nothing where it reverts."""
        self.machine.logs.clear()
        try:
            self.rng.choice(
                (
                    *(self._swap2, self._give, self._charge4),
                    *(self._swap3, self._add, self._remove) * 2,
                    *(self._swap4, self._change4, self._change4, self._change4),
                )
            )()
        except Refused:
            return []
        return tuple(self.machine.logs)

    def mark(self) -> object:
        return self.machine.evm.snapshot(), self.held, self.held4

    def rewind(self, mark: object) -> None:
        assert isinstance(mark, tuple)
        self.machine.evm.revert(mark[0])
        _, self.held, self.held4 = mark

    def states(self) -> dict[PoolId, Pool]:
        """Read reserves, prices and every tick that was ever minted at, one by one."""
        read: dict[PoolId, Pool] = {self.pair: self.venue.read_pair(self.pair)}
        for fee, pool in self.pools.items():
            read[pool] = self.venue.read_pool(pool, fee, self.stops[fee])
        four = self.v4.read_pool(self.pool4, self.stops4)
        read[four.id] = four
        return read

    def _swap2(self) -> None:
        path = [self.venue.token0, self.venue.token1][:: self.rng.choice([1, -1])]
        signature = "swapExactTokensForTokens(uint256,uint256,address[],address,uint256)"
        amount = int(10 ** self.rng.uniform(3, 20))
        fields = (amount, 0, path, "0x" + "77" * 20, FOREVER)
        self.machine.send(self.venue.router2, calldata(signature, *fields))

    def _give(self) -> None:
        """Change a pair's balance without a swap, as a rebasing token does, and tell the pair."""
        coin = self.rng.choice([self.venue.token0, self.venue.token1])
        amount = self.rng.randrange(10**19)
        self.machine.send(coin, calldata("transfer(address,uint256)", self.pair, amount))
        self.machine.send(self.pair, calldata("sync()"))

    def _swap3(self) -> None:
        token = self.rng.choice([self.venue.token0, self.venue.token1])
        amount = int(10 ** self.rng.uniform(3, 22))
        exact_in = self.rng.random() < 0.7
        self.venue.swap3(self.rng.choice(FEES), token, amount, exact_in=exact_in)

    def _add(self) -> None:
        fee = self.rng.choice(FEES)
        middle = 777 // SPACINGS[fee]
        low, high = sorted(self.rng.sample(range(middle - 2, middle + 3), 2))
        self._mint(fee, low * SPACINGS[fee], high * SPACINGS[fee])

    def _mint(self, fee: int, low: int, high: int) -> None:
        self.venue.mint(fee, low, high, int(10 ** self.rng.uniform(14, 20)))
        count = self.venue.ask(self.venue.manager, "totalSupply()", out="uint256")
        self.held += (int(count),)
        self.stops[fee] |= {low, high}

    def _remove(self) -> None:
        """Remove all of a position, a part, or what it has more than one that begins at its end."""
        chosen = self.rng.choice(self.held)
        *_, fee, _, high, much = self._position(chosen)
        others = [self._position(other) for other in self.held]
        level = [much - p[7] for p in others if (p[4], p[5]) == (fee, high) and 0 < p[7] < much]
        amount = self.rng.choice([much, much, self.rng.randint(0, much), *level * 4])
        self.machine.send(self.venue.manager, calldata(DECREASE, (chosen, amount, 0, 0, FOREVER)))

    def _position(self, token_id: int) -> tuple[Any, ...]:
        asked = self.venue.ask(self.venue.manager, "positions(uint256)", token_id, out=POSITION)
        return tuple(asked[:8])

    def _swap4(self) -> None:
        amount = int(10 ** self.rng.uniform(3, 22)) * self.rng.choice([1, -1])
        self.v4.swap(self.pool4, amount, zero_for_one=self.rng.random() < 0.5)

    def _charge4(self) -> None:
        self.v4.charge(self.pool4, self.rng.randint(0, 1000), self.rng.choice([0, 1000]))

    def _change4(self) -> None:
        """Add or remove one of few amounts between few ticks, so that nets of 0 are common."""
        low, high = sorted(self.rng.sample(range(600, 961, 60), 2))
        much = self.rng.choice([10**12, 10**18])
        if self.held4 and self.rng.random() < 0.5:
            low, high = self.rng.choice(sorted(self.held4))
            much = -self.rng.choice([0, self.held4[low, high], self.held4[low, high]])
        self._modify4(low, high, much)

    def _modify4(self, low: int, high: int, delta: int) -> None:
        self.v4.modify(self.pool4, low, high, delta)
        held = self.held4 | {(low, high): self.held4.get((low, high), 0) + delta}
        self.held4 = {ends: much for ends, much in held.items() if much}
        self.stops4 |= {low, high}
