"""What an intent rests on, whatever its agent says of it."""

from collections.abc import Mapping, Sequence

from toolkit.model.chain import Head
from toolkit.model.decision import Intent, Reading
from toolkit.model.provenance import Provenance, derived, of_reading
from toolkit.orchestrator.market import Market
from toolkit.orchestrator.validation import Proposal


def rests_on(
    intent: Intent,
    *,
    touched: Sequence[str],
    market: Market,
    readings: Mapping[str, Reading],
) -> tuple[str, ...]:
    """Name all readings that an intent rests on, sorted.

    What its agent declared and what it was seen to look up, or everything when that is nothing;
    and the prices by which an exchange is measured, netted and limited, looked up or not. A cycle
    needs none of them: its exact gain is enforced on chain.
    """
    named = {*intent.inputs, *touched} or set(readings)
    for leg in intent.legs:
        if leg.token_in != leg.token_out:
            priced = {market.wrapped, leg.token_in, leg.token_out}.difference(market.stables)
            keys = {market.price_key(token) for token in priced}
            named.update(key for key in keys if key is not None and key in readings)
    return tuple(sorted(named))


def inherited(
    proposal: Proposal,
    intent: Intent,
    *,
    inputs: Sequence[str],
    head: Head,
    readings: Mapping[str, Reading],
) -> Provenance:
    """Return an intent's provenance: of its block and of every reading it rests on.

    What there is no reading of adds nothing here: such an intent is refused as stale.
    """
    own = Provenance(
        source=proposal.agent,
        block_number=proposal.block_number,
        block_hash=proposal.block_hash,
        observed_at=head.timestamp,
        deadline_block=proposal.block_number + intent.valid_for_blocks,
        quality=1.0,
        origins=(),
    )
    parents = (of_reading(readings[key]) for key in inputs if key in readings)
    return derived(own, *parents, source=proposal.agent)
