from collections.abc import Sequence
from typing import Any, cast

import pytest

from toolkit.chain.node import Node
from toolkit.chain.rpc import Rpc
from toolkit.model.chain import ZERO_HASH, Address, Hash
from toolkit.model.errors import NodeError, RpcError

ACCOUNT = Address("0x" + "11" * 20)
OTHER = Hash("0x" + "0a" * 32)
RECEIPT = {
    "transactionHash": ZERO_HASH,
    "blockNumber": "0x5",
    "blockHash": ZERO_HASH,
    "transactionIndex": "0x0",
    "from": ACCOUNT,
    "to": ACCOUNT,
    "status": "0x1",
    "gasUsed": "0x5208",
    "effectiveGasPrice": "0x1",
    "logs": [],
}


class Batches:
    """Answers batches from a list, and keeps what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, Sequence[object]]] = []

    async def batch(self, calls: Sequence[tuple[str, Sequence[object]]]) -> list[Any]:
        self.asked += calls
        return self.answers


async def test_an_account_and_its_receipts_are_one_request() -> None:
    """Nonce and balance as of the block, and a place for each hash."""
    rpc = Batches("0x7", "0x64", None, RECEIPT)
    look = await Node(cast("Rpc", rpc)).look(ACCOUNT, 9, [OTHER, ZERO_HASH])

    assert (7, 100, None) == (look.nonce, look.balance_wei, look.receipts[0])
    found = look.receipts[1]
    assert found is not None
    assert (5, True) == (found.block_number, found.succeeded)
    assert ("eth_getTransactionCount", (ACCOUNT, "0x9")) == rpc.asked[0]
    assert ["eth_getTransactionReceipt"] * 2 == [method for method, _ in rpc.asked[2:]]


@pytest.mark.parametrize(
    "answers", [(RpcError(-32000, "header not found"), "0x1"), ("0x1", RpcError(1, "no")), (1, 2)]
)
async def test_one_answer_that_is_none_spoils_the_look(answers: tuple[Any, ...]) -> None:
    """A part of the truth about an account is not handed out as all of it."""
    with pytest.raises(NodeError):
        await Node(cast("Rpc", Batches(*answers))).look(ACCOUNT, 9)
