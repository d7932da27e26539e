"""Many contract reads at one block, in few requests and without a contract's help."""

from collections.abc import Sequence

from toolkit.chain.node import Node, block_id, call_object
from toolkit.chain.node_errors import classify
from toolkit.model.chain import Address, Hash
from toolkit.model.errors import CallReverted, RpcError


async def aggregate(
    node: Node, calls: Sequence[tuple[Address, str]], *, block: Hash
) -> list[str | None]:
    """Read `(contract, calldata)` pairs, all on the state after `block`.

    Pinning to a hash instead of a number means that a reorg between two requests gives an error,
    never a mixture of two histories.

    Returns:
        Outputs as 0x hex in the order asked; None where the call reverted.

    Raises:
        RpcError: an item failed for another reason (the node does not have the block, say).
    """
    where = block_id(block)
    items = await node.rpc.batch(
        [("eth_call", (call_object(to=to, data=data), where)) for to, data in calls]
    )
    return [_output(item) for item in items]


def _output(item: object) -> str | None:
    if not isinstance(item, RpcError):
        return str(item)
    error = classify(item.code, item.message, item.data)
    if isinstance(error, CallReverted):
        return None
    raise error
