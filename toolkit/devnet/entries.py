"""Transactions on their way into the public pool, from what a client sent or a node describes."""

from collections.abc import Mapping
from typing import Any

import rlp

from toolkit.chain import encoding
from toolkit.chain.hashing import keccak
from toolkit.devnet.pooled import PooledTransaction, pooled
from toolkit.model.chain import Address, Hash
from toolkit.model.errors import ConfigError, SignerError

INVALID_PARAMS = -32602
_UNSIGNED = frozenset({None, "0x0", "0x"})
_CALL_FIELDS = ("from", "to", "value", "gas", "nonce", "input", "accessList", "authorizationList")
_FEE_FIELDS = ("maxFeePerGas", "maxPriorityFeePerGas")


class EntryError(Exception):
    """What is no transaction at all, with its JSON-RPC error code; holds none of its bytes."""

    def __init__(self, message: str, *, code: int = INVALID_PARAMS) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def from_raw(raw: object) -> PooledTransaction:
    """Read what `eth_sendRawTransaction` was given.

    Raises:
        EntryError: no signed transaction.
    """
    if not isinstance(raw, str) or not raw.startswith("0x"):
        raise EntryError("invalid argument 0: hex string without 0x prefix")
    try:
        return pooled(raw.lower())
    except (ConfigError, SignerError) as error:
        raise EntryError(f"failed to decode signed transaction: {error}") from None


def from_node(transaction: Mapping[str, Any], raw: object) -> PooledTransaction:
    """A transaction as a node describes it (`eth_getTransactionByHash`), with its raw bytes.

    What an impersonated account sent carries an empty signature, so its bytes name no sender: it
    is held as the call that gives the same hash again.

    Raises:
        EntryError: as `from_raw`.
    """
    if transaction.get("r") not in _UNSIGNED:
        return from_raw(raw)
    blob = bytes.fromhex(str(raw)[2:])
    sender = Address(transaction["from"].lower())
    price = transaction.get("gasPrice") or "0x0"
    cap, tip = (int(transaction.get(name) or price, 16) for name in _FEE_FIELDS)
    to = transaction.get("to")
    return PooledTransaction(
        hash=_impersonated_hash(blob, sender),
        sender=sender,
        nonce=int(transaction["nonce"], 16),
        type=int(transaction.get("type") or "0x0", 16),
        gas=int(transaction["gas"], 16),
        fee_cap=cap,
        tip_cap=tip,
        to=None if to is None else Address(to.lower()),
        value=int(transaction["value"], 16),
        size=len(blob),
        data=transaction["input"],
        call=as_call(transaction),
    )


def _impersonated_hash(blob: bytes, sender: Address) -> Hash:
    """Anvil's own: of the bytes in their network form (EIP-2718 within RLP), then the sender."""
    framed = blob if encoding.kind_of(blob) == encoding.LEGACY else bytes(rlp.encode(blob))
    return Hash("0x" + keccak(framed + bytes.fromhex(sender[2:])).hex())


def as_call(transaction: Mapping[str, Any]) -> dict[str, Any]:
    """A transaction as a node describes it, as the call that would send it."""
    call = {name: transaction[name] for name in _CALL_FIELDS if transaction.get(name) is not None}
    # A price beside the caps would make it a transaction of another type.
    names = _FEE_FIELDS if _FEE_FIELDS[0] in transaction else ("gasPrice",)
    return call | {name: transaction[name] for name in names}
