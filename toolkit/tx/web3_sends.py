"""What web3's own send calls turn into: requests in a lane (`chain.web3_bridge.Lanes`)."""

from collections.abc import Callable
from typing import Any, Protocol

from toolkit.chain.hashing import checksum
from toolkit.chain.node import Node
from toolkit.chain.signer import decode_transaction
from toolkit.model.errors import LaneHalted
from toolkit.model.tx import DryRun, TransactionRequest
from toolkit.tx.handle import Sent
from toolkit.tx.intake import Intake

_REMEMBERED = 4096


class Sending(Protocol):
    """How a session sends for web3."""

    async def __call__(
        self, request: TransactionRequest, *, idempotency_key: str | None = None
    ) -> Sent:
        """Send in the lane; the same key is the same transaction, ever."""
        ...


class Web3Sends:
    """Sends for web3, and finds receipts of what a lane has replaced meanwhile."""

    def __init__(
        self, node: Node, intake: Intake, send: Sending, find: Callable[[str], Sent | None]
    ) -> None:
        self._node = node
        self._intake = intake
        self._send = send
        self._find = find
        self._sent: dict[str, Sent] = {}
        self._signed: dict[str, Sent] = {}  # by the hash of what a script had signed

    async def send_params(self, params: dict[str, Any]) -> str:
        """Send `TxParams`; the hash of the first attempt."""
        async with self._intake.turn(params):
            sent = await self._send(await self._intake.request(params))
        return await self._hash(sent)

    async def send_signed(self, raw: Any) -> str:
        """Send what a signed transaction asks for; its hash in the lane may be another.

        The same bytes are the same transaction, however often they are sent.
        """
        text = raw if isinstance(raw, str) else "0x" + bytes(raw).hex()
        signed_hash = decode_transaction(text).hash
        async with self._intake.turn(text):
            key = f"signed-{signed_hash}"
            # An earlier process may have sent it: then its nonce is not the next one any more.
            sent = self._signed.get(signed_hash) or self._find(key)
            if sent is None:
                request = await self._intake.signed(text)
                sent = await self._send(request, idempotency_key=key)
            self._signed[signed_hash] = sent
        if len(self._signed) > _REMEMBERED:
            del self._signed[next(iter(self._signed))]
        return await self._hash(sent)

    async def receipt_of(self, tx_hash: Any) -> Any:
        """The receipt of a transaction, or of the attempt that replaced it in our lane."""
        asked = str(tx_hash).lower()
        sent = self._sent.get(asked)
        latest = sent.tx_hash if sent is not None else None
        for candidate in dict.fromkeys([asked, latest or asked]):
            found = await self._node.rpc.call("eth_getTransactionReceipt", [candidate])
            if found is not None:
                return found
        return None

    def accounts(self) -> list[str]:
        """The accounts that can send, with checksums."""
        return [checksum(account) for account in self._intake.accounts]

    async def _hash(self, sent: Sent) -> str:
        """The hash of the first attempt; of a queued request, of the attempt that ended it."""
        found = sent.tx_hash
        if found is None:
            outcome = await sent.wait()
            found = outcome.would_be_hash if isinstance(outcome, DryRun) else outcome.tx_hash
        if found is None:
            raise LaneHalted(f"request {sent.request_id} ended before it was sent")
        self._sent[found] = sent
        if len(self._sent) > _REMEMBERED:
            del self._sent[next(iter(self._sent))]
        return found
