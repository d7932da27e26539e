"""What builders hold: bundles and private transactions, read from the wire and checked."""

from collections.abc import Iterable, Mapping

import msgspec

from toolkit.chain.hashing import keccak
from toolkit.chain.signer import decode_transaction
from toolkit.model.chain import Address, Hash
from toolkit.model.errors import ConfigError
from toolkit.model.tx import SignedTransaction

MAX_TRANSACTIONS = 100
MAX_BUNDLE_BYTES = 300_000
MAX_ORDERS = 1_000  # one builder, all blocks to come
PRIVATE_BLOCKS = 25  # how long a private transaction is tried by default

INVALID_REQUEST, INVALID_PARAMS, CUSTOM = -32600, -32602, -32000


class OrderError(Exception):
    """A request that a relay refuses, with its JSON-RPC error code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """All or nothing: its transactions in this order, in a block from first to last.

    The repr shows hashes only; the transactions may be private.
    """

    bundle_hash: Hash
    transactions: tuple[SignedTransaction, ...]
    first_block: int
    last_block: int
    owner: Address  # who signed the request
    reverting: frozenset[str] = frozenset()
    min_timestamp: int = 0
    max_timestamp: int | None = None
    replacement_uuid: str | None = None
    is_private_transaction: bool = False

    def __repr__(self) -> str:
        """Name the order without disclosing its transactions."""
        return f"Order({self.bundle_hash}, blocks={self.first_block}-{self.last_block})"

    def wants(self, number: int, timestamp: int) -> bool:
        """Whether a block of this number and time may hold it (time bounds are inclusive)."""
        in_time = self.min_timestamp <= timestamp
        if self.max_timestamp is not None:
            in_time = in_time and timestamp <= self.max_timestamp
        return in_time and self.first_block <= number <= self.last_block


def read_bundle(params: object, *, owner: Address, head: int) -> Order:
    """Read the parameters of `eth_sendBundle`.

    Raises:
        OrderError: a field is missing, malformed, out of bounds, or the block is sealed already.
    """
    fields = one_object(params)
    number = quantity(fields, "blockNumber")
    if number <= head:
        raise OrderError(CUSTOM, f"block {number} is sealed already, the head is {head}")
    transactions = read_transactions(fields.get("txs"))
    if not transactions and not fields.get("replacementUuid"):
        raise OrderError(INVALID_PARAMS, "txs is empty")
    reverting = fields.get("revertingTxHashes") or []
    if not isinstance(reverting, list) or not all(isinstance(each, str) for each in reverting):
        raise OrderError(INVALID_PARAMS, "revertingTxHashes is not a list of hashes")
    max_timestamp = _timestamp(fields, "maxTimestamp")
    return Order(
        bundle_hash=bundle_hash(each.hash for each in transactions),
        transactions=transactions,
        first_block=number,
        last_block=number,
        owner=owner,
        reverting=frozenset(each.lower() for each in reverting),
        min_timestamp=_timestamp(fields, "minTimestamp") or 0,
        max_timestamp=max_timestamp or None,
        replacement_uuid=replacement_uuid(fields),
    )


def read_private_transaction(params: object, *, owner: Address, head: int) -> Order:
    """Read the parameters of `eth_sendPrivateTransaction`, or of its raw form `[raw, ...]`.

    Raises:
        OrderError: as `read_bundle`.
    """
    if isinstance(params, list) and params and isinstance(params[0], str):
        raw, last = params[0], head + PRIVATE_BLOCKS
    else:
        fields = one_object(params)
        raw, last = str(fields.get("tx")), head + PRIVATE_BLOCKS
        if fields.get("maxBlockNumber") is not None:
            last = quantity(fields, "maxBlockNumber")
    if last <= head:
        raise OrderError(CUSTOM, f"block {last} is sealed already, the head is {head}")
    transactions = read_transactions([raw])
    return Order(
        bundle_hash=bundle_hash([transactions[0].hash]),
        transactions=transactions,
        first_block=head + 1,
        last_block=last,
        owner=owner,
        is_private_transaction=True,
    )


def read_transactions(raws: object) -> tuple[SignedTransaction, ...]:
    """Decode raw transactions within a bundle's limits.

    Raises:
        OrderError: not a list, too many, too large, or one cannot be decoded (which is not shown).
    """
    if not isinstance(raws, list) or not all(isinstance(raw, str) for raw in raws):
        raise OrderError(INVALID_PARAMS, "txs is not a list of raw transactions")
    if len(raws) > MAX_TRANSACTIONS:
        raise OrderError(INVALID_PARAMS, f"{len(raws)} txs are more than {MAX_TRANSACTIONS}")
    size = sum(len(raw) // 2 - 1 for raw in raws)
    if size > MAX_BUNDLE_BYTES:
        raise OrderError(INVALID_PARAMS, f"{size} bytes are more than {MAX_BUNDLE_BYTES}")
    try:
        return tuple(decode_transaction(raw) for raw in raws)
    except ConfigError as error:
        raise OrderError(INVALID_PARAMS, f"unable to decode txs: {error}") from None


def bundle_hash(hashes: Iterable[Hash]) -> Hash:
    """Keccak of the transaction hashes in order, joined: what relays call `bundleHash`."""
    return Hash("0x" + keccak(b"".join(bytes.fromhex(each[2:]) for each in hashes)).hex())


def replacement_uuid(fields: Mapping[str, object]) -> str | None:
    """The bundle's replacement uuid, under either of its two names.

    Raises:
        OrderError: both names are used, or it is not text.
    """
    given = [fields[name] for name in ("replacementUuid", "uuid") if fields.get(name)]
    if len(given) > 1:
        raise OrderError(INVALID_PARAMS, "give replacementUuid or uuid, not both")
    if given and not isinstance(given[0], str):
        raise OrderError(INVALID_PARAMS, "replacementUuid is not text")
    return str(given[0]) if given else None


def one_object(params: object) -> Mapping[str, object]:
    """The single object that a method takes as its parameters.

    Raises:
        OrderError: anything else.
    """
    if isinstance(params, list) and len(params) == 1 and isinstance(params[0], dict):
        return params[0]
    raise OrderError(INVALID_PARAMS, "params must be a list of one object")


def quantity(fields: Mapping[str, object], name: str) -> int:
    """A number given as 0x hex, or as a JSON integer as some clients do.

    Raises:
        OrderError: missing or neither.
    """
    value = fields.get(name)
    try:
        if isinstance(value, str) and value.startswith("0x"):
            return int(value, 16)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
    except ValueError:
        pass  # safe because the one error below covers it
    raise OrderError(INVALID_PARAMS, f"{name} {value!r} is not a 0x hex number")


def _timestamp(fields: Mapping[str, object], name: str) -> int | None:
    return quantity(fields, name) if fields.get(name) is not None else None
