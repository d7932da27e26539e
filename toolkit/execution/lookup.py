"""What became of plans whose process ended: their transactions are looked for in their block."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from toolkit.chain.node import Node
from toolkit.execution.calldata import APPROVE, encode_batch, encode_plan
from toolkit.model.chain import Address, Hash, Receipt
from toolkit.model.decision import Plan
from toolkit.model.errors import NodeError
from toolkit.model.market import FundingKind

MOST_TOGETHER = 8
"""Plans of one block among which those that went together are looked for."""


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
        wanted = dict(_calldata(plans, executor))
        own = [tx for tx in block["transactions"] if str(tx["from"]).lower() == sender]
        own.sort(key=lambda tx: int(str(tx["nonce"]), 16))
        for place, tx in enumerate(own):
            carried = wanted.get(str(tx["input"]).lower())
            if carried is None or str(tx["to"]).lower() != executor:
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


def _calldata(plans: Sequence[Plan], executor: Address) -> Iterator[tuple[str, tuple[Plan, ...]]]:
    """Give the calldata of each plan, and of all that may have gone together."""
    for plan in plans:
        yield encode_plan(plan, executor), (plan,)
    own = [plan for plan in plans if plan.funding.kind is FundingKind.OWN][:MOST_TOGETHER]
    for count in range(2, len(own) + 1):
        for together in combinations(own, count):
            yield encode_batch(together, executor), together
