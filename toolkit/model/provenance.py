"""Where a value comes from and how long it may be acted on, inherited by all that follows from it.

Nobody who makes a value states these: they follow from what it was made of. The earliest deadline,
the oldest observation and the lowest quality hold for the whole, and no origin is left out.
"""

import msgspec

from toolkit.model.chain import Hash
from toolkit.model.decision import Reading
from toolkit.model.errors import ConfigError

VERSION = 1


class Origin(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """One reading of one block: what a causal chain ends at."""

    key: str
    source: str
    block_number: int
    block_hash: Hash


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """What a value rests on.

    `block_number`, `block_hash` and `observed_at` (chain time in seconds) are those of the oldest
    thing in it. `deadline_block` is the last block in which something decided on it may land.
    `origins` are sorted, each named once.
    """

    source: str
    block_number: int
    block_hash: Hash
    observed_at: int
    deadline_block: int
    quality: float
    origins: tuple[Origin, ...]
    version: int = VERSION

    def age(self, block: int) -> int:
        """Return how many blocks ago the oldest of it was observed."""
        return block - self.block_number

    def rests_on(self, block_hash: Hash) -> bool:
        """Tell whether anything in it was read from this block."""
        return any(origin.block_hash == block_hash for origin in self.origins)


def of_reading(reading: Reading) -> Provenance:
    """Return a reading's own: what is decided within its age may land one block later."""
    return Provenance(
        source=reading.source,
        block_number=reading.block_number,
        block_hash=reading.block_hash,
        observed_at=reading.observed_at,
        deadline_block=reading.block_number + reading.max_age_blocks + 1,
        quality=reading.quality,
        origins=(
            Origin(
                key=reading.key,
                source=reading.source,
                block_number=reading.block_number,
                block_hash=reading.block_hash,
            ),
        ),
    )


def derived(*parents: Provenance, source: str, deadline_block: int | None = None) -> Provenance:
    """Return what a value made by `source` inherits: nothing gets younger, later or better.

    Args:
        parents: of all that it was made from, in any order.
        source: who made it.
        deadline_block: its maker's own, which may only be earlier than what it inherits.

    Raises:
        ConfigError: it was made from nothing.
    """
    if not parents:
        raise ConfigError(f"a value of {source} rests on nothing: name what it was made from")
    oldest = min([(one.block_number, one.block_hash) for one in parents])
    told = [one.origins for one in parents if one.origins]
    deadlines = [one.deadline_block for one in parents]
    if deadline_block is not None:
        deadlines.append(deadline_block)
    return Provenance(
        source=source,
        block_number=oldest[0],
        block_hash=oldest[1],
        observed_at=min([one.observed_at for one in parents]),
        deadline_block=min(deadlines),
        quality=min([one.quality for one in parents]),
        origins=told[0] if len(told) == 1 else tuple(sorted(set().union(*told))),
    )
