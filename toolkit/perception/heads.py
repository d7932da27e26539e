"""Readings of the chain's own state: the block and its fees."""

from toolkit.model.chain import Head
from toolkit.model.decision import Reading
from toolkit.model.tx import FeeQuote

HEAD_KEY = "head"
FEE_KEY = "fee"


def head_reading(head: Head) -> Reading:
    """State which block this is; old as soon as there is another."""
    return Reading(
        key=HEAD_KEY,
        value=head.hash,
        source="node",
        block_number=head.number,
        block_hash=head.hash,
        observed_at=head.timestamp,
        max_age_blocks=0,
    )


def fee_reading(fee: FeeQuote, head: Head) -> Reading:
    """State the fee cap quoted for the next block, in wei per gas; good for two blocks."""
    return Reading(
        key=FEE_KEY,
        value=str(fee.max_fee_per_gas),
        source="oracle",
        block_number=head.number,
        block_hash=head.hash,
        observed_at=head.timestamp,
        max_age_blocks=1,
        quality=fee.confidence,
    )
