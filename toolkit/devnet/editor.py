from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from toolkit.chain.rpc import Rpc
from toolkit.chain.wire import Call
from toolkit.model.chain import Address
from toolkit.model.errors import DevnetError, RpcError

_MAX_BLOCKS_PER_STEP = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """A transaction from an impersonated account while a chain is being built."""

    sender: Address
    to: Address
    data: str = "0x"
    value: int = 0
    gas: int = 1_000_000
    tip_wei: int = 0
    what: str = ""  # for the error message


class ChainEditor:
    """Writes state and sends impersonated transactions on an Anvil that mines on demand only."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    async def apply(self, calls: Iterable[Call]) -> list[Any]:
        """Make Anvil calls in order, in one batch.

        Raises:
            DevnetError: one of them failed; names it.
        """
        ordered = list(calls)
        if not ordered:
            return []
        results = await self._rpc.batch(ordered)
        for (method, params), result in zip(ordered, results, strict=True):
            if isinstance(result, RpcError):
                subject = str(params[0])[:120] if params else ""
                raise DevnetError(f"building the devnet: {method} {subject} failed: {result}")
        return results

    async def transact(self, sendings: Sequence[Sending], *, max_fee_wei: int = 10**12) -> None:
        """Send transactions and mine until all are in blocks.

        Raises:
            DevnetError: one was refused or reverted; names it with Anvil's reason.
        """
        nonces: dict[Address, int] = {}
        for sender in dict.fromkeys(sending.sender for sending in sendings):
            count = await self._rpc.call("eth_getTransactionCount", (sender, "latest"))
            nonces[sender] = int(count, 16)
        calls: list[Call] = []
        for sending in sendings:
            calls.append(
                ("eth_sendTransaction", (_fields(sending, nonces[sending.sender], max_fee_wei),))
            )
            nonces[sending.sender] += 1
        hashes = await self.apply(calls)
        for sending, receipt in zip(sendings, await self._mined(hashes), strict=True):
            if receipt["status"] != "0x1":
                raise await self._reverted(sending)

    async def _mined(self, hashes: Sequence[str]) -> list[dict[str, Any]]:
        for _ in range(_MAX_BLOCKS_PER_STEP):
            await self.apply([("evm_mine", ())])
            receipts = await self.apply(("eth_getTransactionReceipt", (each,)) for each in hashes)
            if all(receipts):
                return receipts
        raise DevnetError(
            f"building the devnet: {len(hashes)} transactions did not fit into"
            f" {_MAX_BLOCKS_PER_STEP} blocks"
        )

    async def _reverted(self, sending: Sending) -> DevnetError:
        request = {"from": sending.sender, "to": sending.to, "data": sending.data}
        reason = "no reason given"
        try:
            await self._rpc.call("eth_call", (request, "latest"))
        except RpcError as error:
            reason = error.message
        return DevnetError(f"building the devnet: {sending.what} reverted: {reason}")


def _fields(sending: Sending, nonce: int, max_fee_wei: int) -> dict[str, str]:
    return {
        "from": sending.sender,
        "to": sending.to,
        "data": sending.data,
        "value": hex(sending.value),
        "gas": hex(sending.gas),
        "nonce": hex(nonce),
        "maxFeePerGas": hex(max_fee_wei),
        "maxPriorityFeePerGas": hex(sending.tip_wei),
    }
