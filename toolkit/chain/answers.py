"""Reading of JSON-RPC answers into values; whatever does not fit is a NodeError, never a guess."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from toolkit.model.chain import Address, Hash, Head, LogEntry, Receipt, address
from toolkit.model.errors import NodeError
from toolkit.model.tx import Authorization

HASH_CHARS = 66
_SHOWN = 80
_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}")
_DATA = re.compile(r"0x(?:[0-9a-fA-F]{2})*")
_HASH = re.compile(r"0x[0-9a-fA-F]{64}")
_WORD_BITS, _HALF_BITS = 256, 64


@contextmanager
def expecting(what: str) -> Iterator[None]:
    """Turn a missing or misshapen field of an answer into a NodeError that names `what`."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NodeError(
            f"the node's answer to {what} lacks or garbles a field: {type(error).__name__} {error}"
        ) from None


def quantity(answer: object, *, bits: int = _WORD_BITS) -> int:
    """A JSON-RPC quantity such as `0x1f`, of at most so many bits."""
    if isinstance(answer, str) and _QUANTITY.fullmatch(answer):
        value = int(answer, 16)
        if value.bit_length() <= bits:
            return value
    raise NodeError(f"the node answered {_shown(answer)} where a hex quantity belongs")


def count(answer: object) -> int:
    """A quantity that a nonce, a block number, gas or a time may be: below 2**64."""
    return quantity(answer, bits=_HALF_BITS)


def word(answer: object) -> int:
    """A 32-byte word, or a shorter hex string, as an unsigned integer."""
    return quantity("0x0" if answer == "0x" else answer)


def text(answer: object) -> str:
    """A string."""
    if not isinstance(answer, str):
        raise NodeError(f"the node answered {_shown(answer)} where a string belongs")
    return answer


def data(answer: object) -> str:
    """Bytes as 0x hex."""
    if not isinstance(answer, str) or not _DATA.fullmatch(answer):
        raise NodeError(f"the node answered {_shown(answer)} where 0x hex belongs")
    return answer


def head(block: dict[str, Any]) -> Head:
    """The header of `eth_getBlockBy*` or of a `newHeads` event; before London the base fee is 0."""
    with expecting("a block header"):
        return Head(
            number=count(block["number"]),
            hash=_hash(block["hash"]),
            parent_hash=_hash(block["parentHash"]),
            timestamp=count(block["timestamp"]),
            base_fee_per_gas=quantity(block.get("baseFeePerGas") or "0x0"),
            gas_limit=count(block["gasLimit"]),
            gas_used=count(block["gasUsed"]),
        )


def receipt(found: dict[str, Any]) -> Receipt:
    """A receipt of a post-Byzantium block (it carries a status, not a state root)."""
    with expecting("a receipt"):
        return Receipt(
            transaction_hash=_hash(found["transactionHash"]),
            block_number=count(found["blockNumber"]),
            block_hash=_hash(found["blockHash"]),
            transaction_index=count(found["transactionIndex"]),
            sender=address(found["from"]),
            to=_account(found.get("to")),
            succeeded=_status(found["status"]),
            gas_used=count(found["gasUsed"]),
            effective_gas_price=quantity(found["effectiveGasPrice"]),
            contract_address=_account(found.get("contractAddress")),
            logs=tuple(log(entry) for entry in found["logs"]),
        )


def log(entry: dict[str, Any]) -> LogEntry:
    """One mined log."""
    return LogEntry(
        address=address(entry["address"]),
        topics=tuple(_hash(topic) for topic in entry["topics"]),
        data=data(entry["data"]).lower(),
        block_number=count(entry["blockNumber"]),
        block_hash=_hash(entry["blockHash"]),
        transaction_hash=_hash(entry["transactionHash"]),
        log_index=count(entry["logIndex"]),
    )


def authorization(item: dict[str, Any]) -> Authorization:
    """One entry of a type 4 transaction's `authorizationList`."""
    with expecting("an authorization"):
        return Authorization(
            chain_id=quantity(item["chainId"]),
            address=address(item["address"]),
            nonce=count(item["nonce"]),
            y_parity=quantity(item["yParity"], bits=8),
            r=quantity(item["r"]),
            s=quantity(item["s"]),
        )


def _hash(answer: object) -> Hash:
    if not isinstance(answer, str) or not _HASH.fullmatch(answer):
        raise NodeError(f"the node answered {_shown(answer)} where a 32-byte hash belongs")
    return Hash(answer.lower())


def _status(answer: object) -> bool:
    status = quantity(answer)
    if status > 1:
        raise NodeError(f"the node answered {_shown(answer)} where a receipt's status belongs")
    return status == 1


def _account(answer: str | None) -> Address | None:
    return address(answer) if answer else None


def _shown(answer: object) -> str:
    return repr(" ".join(str(answer)[:_SHOWN].split()))
