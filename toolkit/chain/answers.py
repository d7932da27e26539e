"""Reading of JSON-RPC answers into values; whatever does not fit is a NodeError, never a guess."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from toolkit.model.chain import Address, Hash, Head, LogEntry, Receipt
from toolkit.model.errors import NodeError

HASH_CHARS = 66
_SHOWN = 80


@contextmanager
def expecting(what: str) -> Iterator[None]:
    """Turn a missing or misshapen field of an answer into a NodeError that names `what`."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NodeError(
            f"the node's answer to {what} lacks or garbles a field: {type(error).__name__} {error}"
        ) from None


def quantity(answer: object) -> int:
    """A JSON-RPC quantity such as `0x1f`."""
    if isinstance(answer, str) and answer.startswith("0x"):
        try:
            return int(answer, 16)
        except ValueError:
            pass  # safe because it is reported below
    raise NodeError(f"the node answered {str(answer)[:_SHOWN]!r} where a hex quantity belongs")


def word(answer: object) -> int:
    """A 32-byte word, or a shorter hex string, as an unsigned integer."""
    return quantity("0x0" if answer == "0x" else answer)


def text(answer: object) -> str:
    """A string."""
    if not isinstance(answer, str):
        raise NodeError(f"the node answered {str(answer)[:_SHOWN]!r} where a string belongs")
    return answer


def head(block: dict[str, Any]) -> Head:
    """The header of `eth_getBlockBy*` or of a `newHeads` event; before London the base fee is 0."""
    with expecting("a block header"):
        return Head(
            number=quantity(block["number"]),
            hash=_hash(block["hash"]),
            parent_hash=_hash(block["parentHash"]),
            timestamp=quantity(block["timestamp"]),
            base_fee_per_gas=quantity(block.get("baseFeePerGas") or "0x0"),
            gas_limit=quantity(block["gasLimit"]),
            gas_used=quantity(block["gasUsed"]),
        )


def receipt(found: dict[str, Any]) -> Receipt:
    """A receipt of a post-Byzantium block (it carries a status, not a state root)."""
    with expecting("a receipt"):
        return Receipt(
            transaction_hash=_hash(found["transactionHash"]),
            block_number=quantity(found["blockNumber"]),
            block_hash=_hash(found["blockHash"]),
            transaction_index=quantity(found["transactionIndex"]),
            sender=Address(found["from"].lower()),
            to=_account(found.get("to")),
            succeeded=quantity(found["status"]) == 1,
            gas_used=quantity(found["gasUsed"]),
            effective_gas_price=quantity(found["effectiveGasPrice"]),
            contract_address=_account(found.get("contractAddress")),
            logs=tuple(log(entry) for entry in found["logs"]),
        )


def log(entry: dict[str, Any]) -> LogEntry:
    """One mined log."""
    return LogEntry(
        address=Address(entry["address"].lower()),
        topics=tuple(_hash(topic) for topic in entry["topics"]),
        data=text(entry["data"]).lower(),
        block_number=quantity(entry["blockNumber"]),
        block_hash=_hash(entry["blockHash"]),
        transaction_hash=_hash(entry["transactionHash"]),
        log_index=quantity(entry["logIndex"]),
    )


def _hash(answer: object) -> Hash:
    value = text(answer)
    if len(value) != HASH_CHARS:
        raise NodeError(f"the node answered {value[:_SHOWN]!r} where a 32-byte hash belongs")
    return Hash(value.lower())


def _account(answer: str | None) -> Address | None:
    return Address(answer.lower()) if answer else None
