"""What is checked before a scheduler takes up a journal: that it is of this chain and complete."""

from collections.abc import Collection

from toolkit.model.chain import Address, Head
from toolkit.model.errors import ConfigError, NodeError, NodeTimeout, NodeUnavailable
from toolkit.tx.config import KEEP_BLOCKS
from toolkit.tx.events import LaneOpened
from toolkit.tx.observer import ChainQueries
from toolkit.tx.recovery import Recovered


async def anchor_of(node: ChainQueries, head: Head) -> Head:
    """A block that names this chain: old enough to stay, or the newest of a young chain.

    Raises:
        NodeTimeout, NodeUnavailable: the node cannot be asked.
    """
    try:
        return await node.head(max(0, head.number - KEEP_BLOCKS))
    except (NodeTimeout, NodeUnavailable):
        raise
    except NodeError:
        return head  # a development chain may begin at any number


async def require_same_chain(node: ChainQueries, opening: LaneOpened, *, chain_id: int) -> None:
    """Check that a journal was written on this chain, by id and by a deep block's hash.

    Raises:
        ConfigError: it was not.
        NodeTimeout, NodeUnavailable: the node cannot be asked.
    """
    try:
        found = await node.head(opening.anchor_block)
        same = opening.chain_id == chain_id and found.hash == opening.anchor_hash
    except (NodeTimeout, NodeUnavailable):
        raise
    except NodeError:
        same = False  # this chain is not even that long
    if not same:
        raise ConfigError(
            f"the journal was written on another chain (id {opening.chain_id}, block "
            f"{opening.anchor_block} {opening.anchor_hash}); use another journal for this one"
        )


def require_configured(
    recovered: Recovered, *, signers: Collection[Address], destinations: Collection[str]
) -> None:
    """Check that every open request can go on: its account can sign, its destinations are known.

    Raises:
        ConfigError: names what is missing.
    """
    for lane, state in recovered.lanes.items():
        # What is mined and not told yet has an end to come, which others may wait for.
        unfinished = [
            job for job in state.jobs.values() if job.mined is None or job.request_id in state.due
        ]
        if unfinished and lane not in signers:
            raise ConfigError(
                f"the journal has {len(unfinished)} open requests of {lane}; "
                "configure its signer or use another journal"
            )
        for name in sorted({name for job in unfinished for name in job.destinations}):
            if name not in destinations:
                raise ConfigError(
                    f"the journal has open requests of {lane} for {name!r}; "
                    "configure that destination or use another journal"
                )
