"""What the official `flashbots` client gives back for what is sent, on a session."""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol, TypedDict

from toolkit.bundles.draft import DryBundle
from toolkit.bundles.relay import Relay
from toolkit.bundles.submitter import BundleHandle, Submitter
from toolkit.chain.node import Node
from toolkit.chain.signer import Signer
from toolkit.model.bundle import BundleResult, Landed
from toolkit.model.chain import Mode
from toolkit.model.tx import SignedTransaction

_POLL_S = 0.2
_RECEIPT_PATIENCE_S = 24.0  # some nodes tell receipts up to two slots after their block
_LATE_BLOCKS = 2


class Connection(Protocol):
    """What this needs of a session."""

    node: Node
    chain_id: int
    mode: Mode
    submitter: Submitter

    @property
    def relays(self) -> Sequence[Relay]:
        """Who gets bundles; none in a dry run."""
        ...

    @property
    def signers(self) -> Sequence[Signer]:
        """Whose nonces belong to lanes."""
        ...

    @property
    def w3(self) -> Any:
        """An AsyncWeb3."""
        ...

    def follow(self) -> None:
        """Follow the chain from now on."""
        ...


class SignedTxAndHash(TypedDict):
    """A transaction of a bundle, in bytes."""

    signed_transaction: bytes
    hash: bytes


class FlashbotsBundleResponse:
    """A bundle that was sent. `handle` is ours: what relays answered, cancelling, the end."""

    def __init__(
        self,
        session: Connection,
        signed: Sequence[SignedTransaction],
        handle: BundleHandle | DryBundle,
    ) -> None:
        self.bundle = [_told(one) for one in signed]
        self.handle = handle
        self.target_block_number = handle.target_block
        self._session = session

    def __repr__(self) -> str:
        """Name the bundle by its hash and target."""
        return f"FlashbotsBundleResponse({self.handle.bundle_hash}, {self.target_block_number})"

    async def wait(self) -> BundleResult:
        """Wait until the end is known; what became of it, and why."""
        return await self.handle.wait()

    async def receipts(self) -> list[Any]:
        """The receipts of all its transactions in order, as web3 gives them.

        Raises:
            TransactionNotFound: web3's own; it missed, and the text says why.
        """
        from web3.exceptions import TransactionNotFound  # noqa: PLC0415 - on first use

        result = await self.wait()
        if not isinstance(result, Landed):
            raise TransactionNotFound(
                f"bundle {result.bundle_hash} is not in block {result.target_block}:"
                f" {result.cause.value}, {result.evidence}"
            )
        wait_for = self._session.w3.eth.wait_for_transaction_receipt
        return [
            await wait_for(one["hash"], timeout=_RECEIPT_PATIENCE_S, poll_latency=_POLL_S)
            for one in self.bundle
        ]

    def bundle_hash(self) -> bytes:
        """The name relays know it by."""
        return bytes.fromhex(self.handle.bundle_hash[2:])


class FlashbotsPrivateTransactionResponse:
    """A private transaction that was sent."""

    def __init__(
        self, session: Connection, signed: SignedTransaction, *, max_block_number: int
    ) -> None:
        self.tx = _told(signed)
        self.max_block_number = max_block_number
        self._signed = signed
        self._session = session

    def __repr__(self) -> str:
        """Name the transaction by its hash and last block."""
        return f"FlashbotsPrivateTransactionResponse({self._signed.hash}, {self.max_block_number})"

    async def wait(self) -> bool:
        """Wait until it is mined, or can no longer be; whether it was."""
        node, signed = self._session.node, self._signed
        while self._session.mode is not Mode.DRY:
            if await node.receipt(signed.hash) is not None:
                return True
            head = await node.head()
            if head.number > self.max_block_number:
                count = await node.nonce(signed.sender, head.hash)
                # Where the nonce is spent a late receipt may still tell that it was by this one.
                late = head.number > self.max_block_number + _LATE_BLOCKS
                if late or count <= signed.unsigned.nonce:
                    return False
            await asyncio.sleep(_POLL_S)
        return False

    async def receipt(self) -> Any:
        """Its receipt as web3 gives it, None if it was not mined in time."""
        if not await self.wait():
            return None
        return await self._session.w3.eth.get_transaction_receipt(self._signed.hash)


def _told(signed: SignedTransaction) -> SignedTxAndHash:
    return SignedTxAndHash(
        signed_transaction=bytes.fromhex(signed.raw[2:]), hash=bytes.fromhex(signed.hash[2:])
    )
