"""What a node's JSON-RPC says about its public pool, in geth's forms.

Sources: geth `internal/ethapi/api.go` (TxPoolAPI, TransactionAPI, newRPCTransaction),
`eth/filters/api.go`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import rlp

from toolkit.chain import encoding
from toolkit.chain.hashing import checksum
from toolkit.chain.rpc import Rpc
from toolkit.devnet.entries import EntryError
from toolkit.devnet.mempool import PooledTransaction
from toolkit.devnet.public_pool import PublicPool, pack
from toolkit.model.chain import Address, Hash

_BLOCK_FIELDS = ("blockHash", "blockNumber", "transactionIndex")
_DYNAMIC = frozenset({2, 3, 4})
_ADDRESS_CHARS, _HASH_CHARS = 42, 66
_DROP = ("anvil_dropTransaction", "hardhat_dropTransaction")
_DROP_ALL = ("anvil_dropAllTransactions", "hardhat_dropAllTransactions")
Answer = Callable[[Sequence[Any]], Awaitable[object]]


class PoolAnswers:
    """Answers from a `PublicPool`; what is not the pool's to know is asked of its node."""

    def __init__(self, rpc: Rpc, pool: PublicPool) -> None:
        self._rpc = rpc
        self._pool = pool
        self.methods: Mapping[str, Answer] = {
            "eth_sendRawTransaction": self._send_raw,
            "eth_sendTransaction": self._send_call,
            "eth_sendUnsignedTransaction": self._send_call,
            "eth_fillTransaction": self._fill,
            "eth_getTransactionByHash": self._by_hash,
            "eth_getRawTransactionByHash": self._raw_by_hash,
            "eth_getTransactionBySenderAndNonce": self._by_sender_and_nonce,
            "eth_pendingTransactions": self._pending_transactions,
            "txpool_status": self._status,
            "txpool_content": self._content,
            "txpool_contentFrom": self._content_from,
            "txpool_inspect": self._inspect,
            **dict.fromkeys(_DROP, self._drop),
            **dict.fromkeys(_DROP_ALL, self._drop_all),
            "anvil_removePoolTransactions": self._drop_from,
        }
        # Only where the block asked for is the pending one.
        self.pending_methods: Mapping[str, tuple[int, Answer]] = {
            "eth_getTransactionCount": (1, self._count),
            "eth_getBlockByNumber": (0, self._pending_block),
            "eth_getBlockTransactionCountByNumber": (0, self._pending_block_count),
            "eth_getTransactionByBlockNumberAndIndex": (0, self._pending_block_item),
        }

    def answer_to(self, method: str, params: object) -> Answer | None:
        """What answers a request; None where it is the node's own business."""
        found = self.methods.get(method)
        if found is None and method in self.pending_methods and isinstance(params, list):
            place, answer = self.pending_methods[method]
            if len(params) > place and params[place] == "pending":
                return answer
        return found

    async def _send_raw(self, params: Sequence[Any]) -> str:
        return (await self._pool.send_raw(_first(params))).hash

    async def _send_call(self, params: Sequence[Any]) -> str:
        return (await self._pool.send_call(_object(params))).hash

    async def _fill(self, params: Sequence[Any]) -> object:
        return await self._pool.fill(_object(params))

    async def _count(self, params: Sequence[Any]) -> str:
        return hex(await self._pool.next_nonce(_account(params)))

    async def _by_hash(self, params: Sequence[Any]) -> object:
        found = self._pool.mempool.get(_hash(params))
        if found is not None:
            return described(found)
        return await self._rpc.call("eth_getTransactionByHash", params)

    async def _raw_by_hash(self, params: Sequence[Any]) -> object:
        found = self._pool.mempool.get(_hash(params))
        if found is not None and found.raw is not None:
            return found.raw
        return await self._rpc.call("eth_getRawTransactionByHash", params)

    async def _by_sender_and_nonce(self, params: Sequence[Any]) -> object:
        sender, nonce = _account(params), _index(params)
        for each in self._all(sender):
            if each.nonce == nonce:
                return described(each)
        return await self._rpc.call("eth_getTransactionBySenderAndNonce", params)

    async def _pending_transactions(self, _params: Sequence[Any]) -> object:
        return [described(each) for each in self._pool.mempool.pending()]

    async def _status(self, _params: Sequence[Any]) -> object:
        status = self._pool.mempool.status()
        return {"pending": hex(status.pending), "queued": hex(status.queued)}

    async def _content(self, _params: Sequence[Any]) -> object:
        return self._by_account(described)

    async def _content_from(self, params: Sequence[Any]) -> object:
        sender, mempool = _account(params), self._pool.mempool
        return {
            "pending": {str(each.nonce): described(each) for each in mempool.pending(sender)},
            "queued": {str(each.nonce): described(each) for each in mempool.queued(sender)},
        }

    async def _inspect(self, _params: Sequence[Any]) -> object:
        return self._by_account(_summary)

    async def _drop(self, params: Sequence[Any]) -> object:
        wanted = _hash(params)
        return wanted if self._pool.remove(wanted) else None

    async def _drop_all(self, _params: Sequence[Any]) -> None:
        self._pool.clear()

    async def _drop_from(self, params: Sequence[Any]) -> None:
        for each in self._all(_account(params)):
            self._pool.remove(each.hash)

    async def _pending_block(self, params: Sequence[Any]) -> object:
        block = await self._rpc.call("eth_getBlockByNumber", ("pending", False))
        chosen = self._block_content(block)
        full = len(params) > 1 and bool(params[1])
        if not full:
            return {**block, "transactions": [each.hash for each in chosen]}
        return {**block, "transactions": [_placed(block, i, t) for i, t in enumerate(chosen)]}

    async def _pending_block_count(self, _params: Sequence[Any]) -> str:
        block = await self._rpc.call("eth_getBlockByNumber", ("pending", False))
        return hex(len(self._block_content(block)))

    async def _pending_block_item(self, params: Sequence[Any]) -> object:
        block = await self._rpc.call("eth_getBlockByNumber", ("pending", False))
        chosen, index = self._block_content(block), _index(params)
        return _placed(block, index, chosen[index]) if index < len(chosen) else None

    def _block_content(self, block: Mapping[str, Any]) -> Sequence[PooledTransaction]:
        """What a miner without bundles would take next."""
        base_fee = int(block["baseFeePerGas"], 16)
        candidates = self._pool.mempool.candidates(base_fee)
        nonces: dict[Address, int] = {}
        for each in candidates:
            nonces.setdefault(each.sender, each.nonce)
        gas = int(block["gasLimit"], 16)
        return pack(candidates, nonces=nonces, base_fee_wei=base_fee, gas=gas, taken=frozenset())

    def _all(self, sender: Address) -> tuple[PooledTransaction, ...]:
        return (*self._pool.mempool.pending(sender), *self._pool.mempool.queued(sender))

    def _by_account(self, form: Callable[[PooledTransaction], object]) -> object:
        parts: dict[str, dict[str, dict[str, object]]] = {"pending": {}, "queued": {}}
        mempool = self._pool.mempool
        for name, found in (("pending", mempool.pending()), ("queued", mempool.queued())):
            for each in found:
                parts[name].setdefault(checksum(each.sender), {})[str(each.nonce)] = form(each)
        return parts


def described(tx: PooledTransaction) -> dict[str, object]:
    """A pooled transaction as `eth_getTransactionByHash` gives it: without a block."""
    fields: dict[str, object] = dict.fromkeys(_BLOCK_FIELDS)
    fields |= {
        "from": tx.sender,
        "gas": hex(tx.gas),
        "gasPrice": hex(tx.fee_cap),
        "hash": tx.hash,
        "input": tx.data,
        "nonce": hex(tx.nonce),
        "to": tx.to,
        "value": hex(tx.value),
        "type": hex(tx.type),
    }
    if tx.type in _DYNAMIC:
        fields |= {"maxFeePerGas": hex(tx.fee_cap), "maxPriorityFeePerGas": hex(tx.tip_cap)}
    if tx.type == encoding.BLOB:
        fields["maxFeePerBlobGas"] = hex(tx.blob_fee_cap)
    if tx.type != encoding.LEGACY:
        fields["accessList"] = [
            {"address": item.address, "storageKeys": list(item.storage_keys)}
            for item in tx.access_list
        ]
    if tx.chain_id:
        fields["chainId"] = hex(tx.chain_id)
    return fields | _signature(tx)


def _signature(tx: PooledTransaction) -> dict[str, object]:
    found: dict[str, object] = {}
    parts = [0, 0, 0]  # an impersonated account signs nothing
    if tx.raw is not None:
        blob = bytes.fromhex(tx.raw[2:])
        fields = rlp.decode(blob if tx.type == encoding.LEGACY else blob[1:])
        if isinstance(fields[0], list):  # a blob transaction with its sidecar
            fields = fields[0]
        parts = [int.from_bytes(field, "big") for field in fields[-3:]]
        if tx.type == encoding.BLOB:
            found["blobVersionedHashes"] = [encoding.read_hex(each) for each in fields[10]]
        if tx.type == encoding.SET_CODE:
            found["authorizationList"] = [_authorization(grant) for grant in fields[9]]
    found |= dict(zip(("v", "r", "s"), map(hex, parts), strict=True))
    return found if tx.type == encoding.LEGACY else found | {"yParity": hex(parts[0])}


def _authorization(fields: Sequence[bytes]) -> dict[str, str]:
    chain_id, nonce, parity, r, s = (
        hex(int.from_bytes(each, "big")) for each in (fields[0], *fields[2:])
    )
    delegate = "0x" + fields[1].hex()
    return {"chainId": chain_id, "address": delegate, "nonce": nonce, "yParity": parity} | {
        "r": r,
        "s": s,
    }


def _summary(tx: PooledTransaction) -> str:
    start = "contract creation" if tx.to is None else checksum(tx.to)
    return f"{start}: {tx.value} wei + {tx.gas} gas \u00d7 {tx.fee_cap} wei"


def _placed(block: Mapping[str, Any], index: int, tx: PooledTransaction) -> dict[str, object]:
    place = {"blockNumber": block["number"], "transactionIndex": hex(index)}
    return {**described(tx), **place}


def _first(params: Sequence[Any]) -> Any:
    if not params:
        raise EntryError("missing value for required argument 0")
    return params[0]


def _object(params: Sequence[Any]) -> Mapping[str, Any]:
    found = _first(params)
    if not isinstance(found, dict):
        raise EntryError("invalid argument 0: not an object")
    return found


def _account(params: Sequence[Any]) -> Address:
    return Address(_hex(params, _ADDRESS_CHARS))


def _hash(params: Sequence[Any]) -> Hash:
    return Hash(_hex(params, _HASH_CHARS))


def _hex(params: Sequence[Any], size: int) -> str:
    found = _first(params)
    if not isinstance(found, str) or not found.startswith("0x") or len(found) != size:
        raise EntryError(f"invalid argument 0: not 0x and {size - 2} digits of hex")
    return found.lower()


def _index(params: Sequence[Any]) -> int:
    try:
        return int(params[1], 16)
    except (IndexError, TypeError, ValueError):
        raise EntryError("invalid argument 1: not 0x and a number") from None
