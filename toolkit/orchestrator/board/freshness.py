"""Whether what an intent rests on is still good enough to act on."""

from toolkit.model.chain import ZERO_HASH
from toolkit.model.decision import VetoCause
from toolkit.orchestrator.deciding.context import Candidate, Context


def unfit(candidate: Candidate, context: Context) -> tuple[VetoCause, str] | None:
    """Name the first thing an intent rests on that is stale, in doubt or past its deadline."""
    if stale := _staleness(candidate, context):
        return VetoCause.STALE, stale
    if doubtful := _doubt(candidate, context):
        return VetoCause.DOUBTFUL, doubtful
    last = candidate.provenance.deadline_block
    if last < context.head.number + 1:
        return VetoCause.DEADLINE, f"was valid up to block {last}"
    return None


def _staleness(candidate: Candidate, context: Context) -> str:
    """Say which of its inputs is not good enough any more; "" if all are."""
    if context.canonical.get(candidate.block_number) != candidate.block_hash:
        return f"made on block {candidate.block_number}, no longer canonical"
    for key in (*candidate.inputs, *candidate.priced_by):
        reading = context.readings.get(key)
        if reading is None:
            return f"rests on {key!r}, of which there is no reading"
        age = context.head.number - reading.block_number
        if age > reading.max_age_blocks:
            return f"rests on {key!r}, {age} blocks old; at most {reading.max_age_blocks} allowed"
        known = context.canonical.get(reading.block_number, reading.block_hash)
        if reading.block_hash not in {known, ZERO_HASH}:
            return f"rests on {key!r} of a block {reading.block_number} that was reverted"
    return ""


def _doubt(candidate: Candidate, context: Context) -> str:
    """Say which of its inputs its sources dispute; "" if none."""
    keys = (*candidate.inputs, *candidate.priced_by)
    return next((context.doubtful[key] for key in keys if key in context.doubtful), "")
