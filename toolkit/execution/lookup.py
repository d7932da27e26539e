"""What became of plans whose process ended: their transactions are looked for in their block."""

import asyncio
from collections.abc import Mapping, Sequence

from toolkit.chain.node import Node
from toolkit.execution.calldata import (
    APPROVE,
    EXECUTE_BATCH,
    encode_batch,
    encode_plan,
    hop_words,
)
from toolkit.execution.merging import swaps_own_capital
from toolkit.model.chain import Address, Hash, Receipt
from toolkit.model.decision import Plan
from toolkit.model.errors import ConfigError, NodeError


async def mined_plans(
    node: Node, plans: Sequence[Plan], executors: Mapping[Address, Address]
) -> tuple[tuple[tuple[Plan, ...], tuple[Receipt, ...]], ...]:
    """Return what of `plans` is mined: those of one transaction together, with their receipts.

    A plan's calldata is a function of the plan, so no record of its sending is needed: the call
    at our executor is found by it, and its approvals by coming right before, from the same sender.

    Args:
        node: where the target block is read.
        plans: of one target block.
        executors: by signer.

    Raises:
        NodeError: the block or a receipt could not be read.
    """
    head = await node.head(plans[0].target_block)
    block = await node.block(head.hash, full=True)
    found: list[tuple[tuple[Plan, ...], tuple[Receipt, ...]]] = []
    for sender, executor in executors.items():
        own = [tx for tx in block["transactions"] if str(tx["from"]).lower() == sender]
        own.sort(key=lambda tx: int(str(tx["nonce"]), 16))
        for place, tx in enumerate(own):
            if str(tx["to"]).lower() != executor:
                continue
            carried = _carried(str(tx["input"]).lower(), plans, executor)
            if not carried:
                continue
            first = place
            while first and str(own[first - 1]["input"]).lower().startswith(APPROVE):
                first -= 1
            hashes = [Hash(str(one["hash"]).lower()) for one in own[first : place + 1]]
            receipts = await asyncio.gather(*(node.receipt(one) for one in hashes))
            mined = tuple(one for one in receipts if one and one.block_hash == head.hash)
            if len(mined) != len(hashes):
                raise NodeError(f"the node has no receipts of {', '.join(hashes)} yet: ask again")
            found.append((carried, mined))
    return tuple(found)


def _carried(data: str, plans: Sequence[Plan], executor: Address) -> tuple[Plan, ...]:
    """Return the plans that a call at the executor carries out, in their order; none of others.

    A block that was decided again after a reorg has plans on several parents and through the same
    pools: only those whose parent and swaps the calldata names are held against it.
    """
    for plan in plans:
        if data == encode_plan(plan, executor):
            return (plan,)
    if not data.startswith(EXECUTE_BATCH):
        return ()
    for parent in sorted({plan.parent_hash for plan in plans}):
        swaps: dict[str, Plan] = {}  # one of those that would do the same
        for plan in plans:
            words = hop_words(plan)
            if swaps_own_capital(plan) and plan.parent_hash == parent and words in data:
                swaps.setdefault(words, plan)
        together = tuple(swaps.values())
        try:
            if data == encode_batch(together, executor):
                return together
        except ConfigError:
            continue  # safe because what must not share a transaction never did
    return ()
