"""What builders hold: bundles and private transactions, as a block's merger wants them."""

from collections.abc import Mapping

import msgspec

from toolkit.devnet.building.dialects import PROFILES, BuilderProfile
from toolkit.devnet.building.fields import BundleFields, Known, read_fields, read_transactions
from toolkit.devnet.building.identities import bundle_hash, bundle_uuid, unique_key
from toolkit.devnet.building.refunds import RefundTerms
from toolkit.devnet.building.wire import (
    CUSTOM,
    INVALID_PARAMS,
    OrderError,
    one_object,
    optional_quantity,
)
from toolkit.model.chain import Address, Hash
from toolkit.model.tx import SignedTransaction

MAX_ORDERS = 1_000  # one builder, all blocks to come
PRIVATE_BLOCKS = 25  # how long a private transaction is tried by default
FLASHBOTS = PROFILES["flashbots"]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """All or nothing: its transactions in this order, in a block from first to last.

    Of `reverting` each may fail and stays, of `dropping` each may be left out where it would fail
    or has no valid nonce without another one that is.
    `builders` are those it is passed on to, in lower case. `uuid` names the bundle with its
    conditions, `unique_key` the request: of two with one key the second is a repetition. The repr
    shows hashes only; the transactions may be private.
    """

    bundle_hash: Hash
    transactions: tuple[SignedTransaction, ...]
    first_block: int
    last_block: int
    owner: Address  # who signed the request
    reverting: frozenset[str] = frozenset()
    dropping: frozenset[str] = frozenset()
    refund: RefundTerms | None = None
    min_timestamp: int = 0
    max_timestamp: int | None = None
    replacement_uuid: str | None = None
    replacement_nonce: int | None = None
    is_private_transaction: bool = False
    builders: tuple[str, ...] = ()
    uuid: str = ""
    unique_key: str = ""

    def __repr__(self) -> str:
        """Name the order without disclosing its transactions."""
        return f"Order({self.bundle_hash}, blocks={self.first_block}-{self.last_block})"

    def wants(self, number: int, timestamp: int) -> bool:
        """Whether a block of this number and time may hold it (time bounds are inclusive)."""
        in_time = self.min_timestamp <= timestamp
        if self.max_timestamp is not None:
            in_time = in_time and timestamp <= self.max_timestamp
        return in_time and self.first_block <= number <= self.last_block


def read_bundle(
    params: object,
    *,
    owner: Address,
    head: int,
    profile: BuilderProfile = FLASHBOTS,
    known: Known = lambda _: None,
) -> Order:
    """Read the parameters of `eth_sendBundle`, or of what this builder calls it.

    Args:
        params: as they came.
        owner: who signed the request.
        head: the newest block's number.
        profile: whose rules hold.
        known: finds a public transaction by its hash.

    Raises:
        OrderError: a field is missing, malformed, out of bounds, or the block is sealed already.
    """
    fields = read_fields(params, profile=profile, head=head, known=known)
    number = fields.block_number or head + 1
    return Order(
        bundle_hash=bundle_hash(each.hash for each in fields.transactions),
        transactions=fields.transactions,
        first_block=number,
        last_block=number,
        owner=owner,
        reverting=frozenset(fields.reverting),
        dropping=frozenset(fields.dropping),
        refund=_terms(fields),
        min_timestamp=fields.min_timestamp or 0,
        max_timestamp=fields.max_timestamp or None,
        replacement_uuid=fields.uuid,
        replacement_nonce=fields.replacement_nonce,
        builders=fields.builders,
        uuid=str(bundle_uuid(fields)),
        unique_key=str(unique_key(msgspec.structs.replace(fields, block_number=number))),
    )


def read_private_transaction(
    params: object, *, owner: Address, head: int, profile: BuilderProfile = FLASHBOTS
) -> Order:
    """Read the parameters of `eth_sendPrivateTransaction`, or of its raw form `[raw, ...]`.

    Raises:
        OrderError: as `read_bundle`.
    """
    last: int | None = None
    if isinstance(params, list) and params and isinstance(params[0], str):
        raw, preferences = params[0], params[1] if len(params) > 1 else None
    else:
        fields = one_object(params)
        given, preferences = fields.get("tx"), fields.get("preferences")
        if not isinstance(given, str):
            raise OrderError(INVALID_PARAMS, "unable to decode: tx is no raw transaction")
        raw, last = given, optional_quantity(fields, "maxBlockNumber")
    last = head + PRIVATE_BLOCKS if last is None else last
    if last <= head:
        raise OrderError(CUSTOM, f"block {last} is sealed already, the head is {head}")
    if last - head > profile.limits.blocks_ahead:
        raise OrderError(
            CUSTOM,
            f"invalid inclusion: maxBlockNumber {last} is more than {profile.limits.blocks_ahead}"
            f" blocks ahead of {head}",
        )
    if preferences is not None and not isinstance(preferences, Mapping):
        raise OrderError(INVALID_PARAMS, "preferences is not an object")
    transactions = read_transactions([raw], profile=profile)
    return Order(
        bundle_hash=bundle_hash([transactions[0].hash]),
        transactions=transactions,
        first_block=head + 1,
        last_block=last,
        owner=owner,
        is_private_transaction=True,
    )


def _terms(fields: BundleFields) -> RefundTerms | None:
    if not fields.refund_percent:
        return None
    return RefundTerms(
        percent=fields.refund_percent,
        recipient=fields.refund_recipient,
        tx_hashes=fields.refund_hashes,
    )
