"""Blocks that were perceived once, each as by somebody who has just begun to look."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from tests.orchestrator.worlds import DAI_CAPITAL, DAI_MARKET, random_market, shipped
from toolkit.journal.log import Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.model.chain import Hash, Head, HeadChange, Mode
from toolkit.orchestrator import records
from toolkit.orchestrator.audit.replay import decoded
from toolkit.perception.perceived import Perceived, perceived, rebuilt
from toolkit.pools.snapshot import Snapshot
from toolkit.testing.decide import decide


@dataclass
class Recorded:
    """Session and perception in one: blocks that were perceived once are perceived again."""

    blocks: list[Perceived]
    journal: Journal = field(default_factory=lambda: Journal(MemoryBackend()))
    mode: Mode = Mode.DEV

    async def advance(self) -> HeadChange | None:
        """Give the next block's head."""
        return HeadChange(added=(self.blocks[0].head,)) if self.blocks else None

    async def agreed(self, blocks: Mapping[int, Hash], head: Head) -> int:  # noqa: ARG002 - seam
        """Return the newest: nothing that was known is gone."""
        return max(blocks)

    async def observe(self, change: HeadChange) -> Perceived:
        """Look at the block of the change."""
        return next(one for one in self.blocks if one.head == change.added[-1])


@cache
def seen_blocks() -> tuple[Perceived, ...]:
    """Thirty blocks in which the shipped agents want something."""
    blocks = random_market(3, blocks=30, gap=8e-3)
    first = decide(shipped(), blocks, capital=DAI_CAPITAL, market=DAI_MARKET)
    found: list[Perceived] = []
    snapshot: Snapshot | None = None
    for entry in first.journal:
        if entry.kind == records.PERCEIVED:
            seen = decoded(entry, Perceived)
            snapshot = rebuilt(seen, since=snapshot)
            found.append(_whole(seen, snapshot))
    return tuple(found)


def _whole(seen: Perceived, snapshot: Snapshot) -> Perceived:
    """The block as an observer sees it that has just begun."""
    return perceived(
        snapshot, since=None, fee=seen.fee, balances=seen.balances, readings=seen.readings
    )
