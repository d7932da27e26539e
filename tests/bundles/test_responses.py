"""What scripts hold after sending a private transaction, beside a node that is late."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from toolkit.bundles import responses
from toolkit.bundles.responses import FlashbotsPrivateTransactionResponse
from toolkit.chain.signer import LocalSigner
from toolkit.model.chain import Address, Hash, Mode
from toolkit.model.tx import SignedTransaction

LAST = 10
NONCE = 4
KEY = "0x" + "11" * 32


class LateNode:
    """A chain that grows by a block whenever it is asked for its head."""

    def __init__(self, *, receipt_from: int | None, spent_from: int | None) -> None:
        self.number = LAST - 2
        self._receipt_from, self._spent_from = receipt_from, spent_from

    async def head(self) -> Any:
        self.number += 1
        return SimpleNamespace(number=self.number, hash=Hash("0x" + "00" * 32))

    async def receipt(self, _: Hash) -> object:
        told = self._receipt_from is not None and self.number >= self._receipt_from
        return "a receipt" if told else None

    async def nonce(self, _: Address, __: Hash) -> int:
        spent = self._spent_from is not None and self.number >= self._spent_from
        return NONCE + 1 if spent else NONCE


@pytest.mark.parametrize(
    ("receipt_from", "spent_from", "ended_at", "mined"),
    [
        (LAST, LAST, LAST, True),
        (LAST + 2, LAST, LAST + 2, True),  # receipts of the last block come two blocks late
        (None, None, LAST + 1, False),
        (None, LAST, LAST + 3, False),  # the nonce went to something else
    ],
    ids=["in time", "told late", "not mined", "spent elsewhere"],
)
async def test_a_wait_ends_when_the_end_is_sure(
    monkeypatch: pytest.MonkeyPatch,
    transfer: Callable[..., SignedTransaction],
    receipt_from: int | None,
    spent_from: int | None,
    ended_at: int,
    mined: bool,  # noqa: FBT001 - a row of the table
) -> None:
    """A late receipt is waited for where the nonce is spent, and not longer than two blocks; an
    unspent nonce after the last block needs no more waiting."""
    monkeypatch.setattr(responses, "_POLL_S", 0)
    node = LateNode(receipt_from=receipt_from, spent_from=spent_from)
    session: Any = SimpleNamespace(node=node, mode=Mode.DEV)
    signed = transfer(LocalSigner(KEY), nonce=NONCE)

    sent = FlashbotsPrivateTransactionResponse(session, signed, max_block_number=LAST)

    assert mined == await sent.wait()
    assert ended_at == node.number


def test_no_repr_shows_bytes(transfer: Callable[..., SignedTransaction]) -> None:
    """A response names its transaction and not what is in it."""
    signed = transfer(LocalSigner(KEY))
    session: Any = SimpleNamespace()

    sent = FlashbotsPrivateTransactionResponse(session, signed, max_block_number=LAST)

    assert f"FlashbotsPrivateTransactionResponse({signed.hash}, 10)" == repr(sent)
