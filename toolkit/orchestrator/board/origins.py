"""What an intent rests on, whatever its agent says of it."""

from collections.abc import Collection, Mapping, Sequence

from toolkit.model.chain import Head
from toolkit.model.decision import Intent, Reading
from toolkit.model.provenance import Provenance, derived, of_reading
from toolkit.orchestrator.deciding.validation import Proposal
from toolkit.orchestrator.market import Market


def rests_on(proposals: Sequence[Proposal], readings: Mapping[str, Reading]) -> tuple[str, ...]:
    """Name all readings that an agent's well-formed intents of a block rest on, sorted.

    What any of them declares and what the agent was seen to look up: what it knew for one, it
    knew for all. Where one of them names nothing and nothing was looked up, everything.
    """
    declared = [p.intent.inputs for p in proposals if isinstance(p.intent, Intent)]
    touched = {key for proposal in proposals for key in proposal.touched}
    if not touched and not all(declared):
        touched = set(readings)
    return tuple(sorted(touched.union(*declared)))


def priced_by(
    intent: Intent, *, market: Market, readings: Mapping[str, Reading]
) -> tuple[str, ...]:
    """Name the prices by which an exchange is measured, netted and limited, whoever made it.

    A cycle needs none of them: its exact gain is enforced on chain.
    """
    keys: set[str | None] = set()
    for leg in intent.legs:
        if leg.token_in != leg.token_out:
            priced = {market.wrapped, leg.token_in, leg.token_out}.difference(market.stables)
            keys.update(market.price_key(token) for token in priced)
    return tuple(sorted(key for key in keys if key is not None and key in readings))


def inherited(
    proposal: Proposal,
    intent: Intent,
    *,
    inputs: Collection[str],
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
    parents = (of_reading(readings[key]) for key in sorted(inputs) if key in readings)
    return derived(own, *parents, source=proposal.agent)
