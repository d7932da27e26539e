"""Random chains with reorgs, in step with which states are followed and compared with a rebuild."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tests.pools.positions import Managed, Pair, Ranged, Written
from toolkit.model.chain import Address, Hash, Head, LogEntry
from toolkit.model.market import PoolId
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.history import Followed
from toolkit.pools.snapshot import Pool, Snapshot

STEPS = 24
FOREIGN = Address("0x" + "f" * 40)


class World(Protocol):
    """What blocks are made of; `mark` and `rewind` are the world's own reorg."""

    def act(self) -> Sequence[Written]:
        """One random transaction; its logs."""
        ...

    def mark(self) -> object:
        """Name this state."""
        ...

    def rewind(self, mark: object) -> None:
        """Return to a named state; those named after it are gone."""
        ...

    def states(self) -> dict[PoolId, Pool]:
        """Every pool, worked out anew."""
        ...


class Positions:
    """A world of a V2 pair, two V3 pools and two V4 pools of one manager, two known in part."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        ids = [Address(f"0x{number:040x}") for number in range(1, 5)]
        whole = (-887272, 887272)
        self.pools: tuple[Pair | Ranged, ...] = (
            Pair(id=ids[0], reserves=(10**18, 10**20)),
            Ranged(id=ids[1], spacing=60, known=whole),
            Ranged(id=ids[2], spacing=1, known=(-2, 3)),
            Managed(id=ids[3], spacing=10, known=whole),
            Managed(id=ids[3], spacing=1, known=(-3, 1)),
        )

    def act(self) -> Sequence[Written]:
        """One event of a random pool, and now and then one that is no pool's."""
        at = self.rng.randrange(len(self.pools))
        after, log = self.pools[at].act(self.rng)
        self.pools = (*self.pools[:at], after, *self.pools[at + 1 :])
        noise = [Written(address=FOREIGN, topics=log.topics, data=log.data)]
        return [*(noise if self.rng.random() < 0.2 else ()), log]

    def mark(self) -> object:
        return self.pools

    def rewind(self, mark: object) -> None:
        assert isinstance(mark, tuple)
        self.pools = mark

    def states(self) -> dict[PoolId, Pool]:
        return {state.id: state for state in (pool.state() for pool in self.pools)}


@dataclass(frozen=True)
class Block:
    """A block of the chain, and the world after it."""

    head: Head
    mark: object


class Chain:
    """A chain over a world, and the follower of its pools."""

    def __init__(self, world: World, rng: random.Random, *, depth: int) -> None:
        self.world, self.rng = world, rng
        self.counts: Counter[str] = Counter()
        first = head_of(1000, Hash("0x" + "00" * 32), rng)
        self.blocks = [Block(first, world.mark())]
        self.followed = Followed(snapshot=self.rebuilt(), depth=depth)

    def rebuilt(self) -> Snapshot:
        """The snapshot of the newest block from nothing but the world."""
        return Snapshot(block=self.blocks[-1].head, tokens={}, pools=self.world.states())

    def grow(self) -> None:
        """Add a block of up to four transactions, and follow it."""
        parent = self.blocks[-1].head
        head = head_of(parent.number + 1, parent.hash, self.rng)
        found = [log for _ in range(self.rng.randrange(5)) for log in self.world.act()]
        logs = [entry(log, head, index) for index, log in enumerate(found)]
        self.rng.shuffle(logs)
        self.blocks.append(Block(head, self.world.mark()))
        self.followed = self.followed.forward(head, logs)
        self.counts["logs"] += len(logs)

    def reorganise(self) -> None:
        """Take up to six blocks back; what is deeper than kept is rebuilt."""
        depth = min(self.rng.randint(1, 6), len(self.blocks) - 1)
        if not depth:
            return
        del self.blocks[-depth:]
        top = self.blocks.pop()
        self.world.rewind(top.mark)
        self.blocks.append(Block(top.head, self.world.mark()))  # a mark may serve only once
        kept = min(self.followed.depth, len(self.followed.undos))
        back = self.followed.back(self.blocks[-1].head.hash)
        assert (back is None) is (depth > kept), (depth, kept)
        self.counts["reorgs" if back else "rebuilds"] += 1
        self.followed = back or Followed(snapshot=self.rebuilt(), depth=self.followed.depth)

    def compare(self) -> None:
        """Compare what is followed with a rebuild."""
        expected, found = self.rebuilt(), self.followed.snapshot
        assert expected.block == found.block
        for pool, state in expected.pools.items():
            assert state == found.pools[pool]
        held = (pool for pool in found.pools.values() if not isinstance(pool, ConstantProduct))
        self.counts["nets of 0"] += sum(net == 0 for pool in held for _, net in pool.ticks)


def check(seed: int) -> Counter[str]:
    """Follow one random chain over positions; return what came up in it."""
    rng = random.Random(seed)
    return follow(Chain(Positions(rng), rng, depth=rng.choice([1, 3, 5, 64])))


def follow(chain: Chain, steps: int = STEPS) -> Counter[str]:
    """Let a chain grow and reorganise, comparing after each step."""
    for _ in range(steps):
        chain.reorganise() if chain.rng.random() < 0.25 else chain.grow()
        chain.compare()
    return chain.counts


def head_of(number: int, parent: Hash, rng: random.Random) -> Head:
    """A block of which only the name matters; its hash is drawn, so that forks differ."""
    return Head(
        number=number,
        hash=Hash(f"0x{rng.getrandbits(256):064x}"),
        parent_hash=parent,
        timestamp=number * 12,
        base_fee_per_gas=1,
        gas_limit=30_000_000,
        gas_used=0,
    )


def entry(log: Written, head: Head, index: int) -> LogEntry:
    """Put a log into a block."""
    return LogEntry(
        address=log.address,
        topics=log.topics,
        data=log.data,
        block_number=head.number,
        block_hash=head.hash,
        transaction_hash=Hash("0x" + "77" * 32),
        log_index=index,
    )
