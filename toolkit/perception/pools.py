"""Pool states at each head, as a reading that names them by a digest."""

from collections.abc import Iterable
from hashlib import blake2b

import msgspec

from toolkit.model.decision import Reading
from toolkit.pools.snapshot import Pool, Snapshot

POOLS_KEY = "pools"


def pools_reading(snapshot: Snapshot) -> Reading:
    """State what all pools are at this block; exact amounts hold for this block only."""
    head = snapshot.block
    return Reading(
        key=POOLS_KEY,
        value=digest(pool for _, pool in sorted(snapshot.pools.items())),
        source="node",
        block_number=head.number,
        block_hash=head.hash,
        observed_at=head.timestamp,
        max_age_blocks=0,
    )


def digest(pools: Iterable[Pool]) -> str:
    """Hash pool states in the order given (blake2b-128 of their canonical JSON)."""
    hasher = blake2b(digest_size=16)
    for pool in pools:
        hasher.update(msgspec.json.encode(pool, order="sorted"))
    return f"0x{hasher.hexdigest()}"
