"""All that the deciding fold knows after a block, as a value: what runs and checkpoints hand on."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec

from toolkit.model.chain import Hash, Head
from toolkit.model.decision import Plan
from toolkit.model.market import Token
from toolkit.orchestrator.board.blackboard import BoardMemory
from toolkit.orchestrator.board.doubts import DoubtMemory
from toolkit.orchestrator.breaking.breakers import BreakerMemory
from toolkit.orchestrator.capital.elsewhere import Elsewhere
from toolkit.orchestrator.capital.ledger import LedgerMemory, Share
from toolkit.orchestrator.deciding.claims import ClaimsMemory
from toolkit.orchestrator.hosting.containment import ContainmentMemory
from toolkit.orchestrator.pausing.watch import WatchMemory
from toolkit.orchestrator.records import Command, Planned, Setup
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.concentrated_v4 import ConcentratedV4
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.snapshot import Pool, SetAside, Snapshot

K = TypeVar("K")
T = TypeVar("T")


class Underway(msgspec.Struct, frozen=True, kw_only=True):
    """A plan whose outcome is not known, and whose it is."""

    planned: Planned
    shares: tuple[Share, ...]


UNSURE_BLOCKS = 16
"""Before a restart, that may have been reverted while nobody watched."""


def unsure(ended: Iterable[Underway], newest: int, *, agreed: int) -> tuple[Plan, ...]:
    """Return those plans whose outcome, known as it is, a restart after `newest` asks for again.

    Beyond `agreed` the chain is another one by now.
    """
    sure = min(newest - UNSURE_BLOCKS, agreed)
    plans = (one.planned.plan for one in ended)
    return tuple(plan for plan in plans if plan.target_block > sure)


def forget_oldest(noted: dict[K, T], most: int) -> None:
    """Keep as many as were noted last."""
    while len(noted) > most:
        del noted[next(iter(noted))]


class Market(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot in a form that survives JSON: what the next block is told as a difference to."""

    block: Head
    tokens: tuple[Token, ...]
    constant_product: tuple[ConstantProduct, ...]
    concentrated: tuple[Concentrated, ...]
    concentrated_v4: tuple[ConcentratedV4, ...] = ()
    aside: tuple[SetAside, ...] = ()

    @classmethod
    def of(cls, snapshot: Snapshot) -> "Market":
        """Write a snapshot down, in the order of addresses."""
        pools = [pool for _, pool in sorted(snapshot.pools.items())]
        return cls(
            block=snapshot.block,
            tokens=tuple(token for _, token in sorted(snapshot.tokens.items())),
            constant_product=tuple(one for one in pools if isinstance(one, ConstantProduct)),
            concentrated=tuple(one for one in pools if isinstance(one, Concentrated)),
            concentrated_v4=tuple(one for one in pools if isinstance(one, ConcentratedV4)),
            aside=tuple(one for _, one in sorted(snapshot.aside.items())),
        )

    @property
    def pools(self) -> tuple[Pool, ...]:
        """Every pool there is."""
        return (
            *self.constant_product,
            *self.concentrated,
            *self.concentrated_v4,
        )

    def snapshot(self) -> Snapshot:
        """Return the snapshot again."""
        return Snapshot(
            block=self.block,
            tokens={token.address: token for token in self.tokens},
            pools={pool.id: pool for pool in self.pools},
            aside={one.spec.id: one for one in self.aside},
        )


def gone(canonical: Mapping[int, Hash], head: Head) -> tuple[Hash, ...]:
    """Name an earlier run's blocks, by number, that a new run's first head shows to be reverted."""
    same = {head.number: head.hash, head.number - 1: head.parent_hash}
    return tuple(
        hash_
        for number, hash_ in sorted(canonical.items())
        if number > head.number or same.get(number, hash_) != hash_
    )


CHECKPOINT = "orchestrator"
"""What the journal calls a memory that stands for every orchestrator's entry before it."""
CHECKPOINT_BLOCKS = 1_000
"""Blocks between two checkpoints."""
MILESTONE_BLOCKS = 8
"""Blocks between two milestones: what a restart has to fold again at most."""


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of this and that after a block."""

    ledger: LedgerMemory
    board: BoardMemory
    watch: WatchMemory
    claims: ClaimsMemory
    underway: tuple[tuple[str, Underway], ...]  # by verdict, oldest first
    quarantined: Mapping[str, str]
    stopped: Mapping[str, str]
    breakers: BreakerMemory
    doubts: DoubtMemory
    contained: ContainmentMemory
    elsewhere: Mapping[str, Elsewhere]
    unwatched_until: int  # the last block in which an earlier run's plan may land
    ordered: tuple[Command, ...] = ()  # journalled, but no block was decided with them


class Memory(Parts, frozen=True, kw_only=True):
    """What outlives a block. A new run begins from it; a checkpoint is it, journalled."""

    setup: Setup
    market: Market | None
    canonical: tuple[tuple[int, Hash], ...]
    decided: tuple[tuple[int, int], ...]  # how often each recent block was
    ended: tuple[tuple[str, Underway], ...]  # as long as a reorg may change what became of them
