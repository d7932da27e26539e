"""The fields of `eth_sendBundle`, read by a builder's rules and checked."""

from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

import msgspec

from toolkit.chain.signer import decode_transaction
from toolkit.devnet.building.dialects import BuilderProfile, UuidForm
from toolkit.devnet.building.wire import (
    CUSTOM,
    INVALID_PARAMS,
    OrderError,
    hash_list,
    is_hash,
    one_object,
    optional_address,
    optional_quantity,
    quantity,
)
from toolkit.model.chain import Address, Hash
from toolkit.model.checks import shown
from toolkit.model.errors import ConfigError
from toolkit.model.tx import SignedTransaction

MAX_UUID_CHARACTERS = 256
VERSIONS = ("v1", "v2")
UUID_V4 = 4
_ALWAYS = ("txs", "blockNumber")
# Fields that some builders lack.
_SOMETIMES = (
    *("minTimestamp", "maxTimestamp", "revertingTxHashes", "droppingTxHashes"),
    *("replacementUuid", "uuid", "replacementNonce", "builders", "version", "signingAddress"),
    *("refundPercent", "refundRecipient", "refundTxHashes", "delayedRefund"),
)

Known = Callable[[Hash], SignedTransaction | None]


class BundleFields(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle as it was asked for; None is a field that was not given.

    The repr shows hashes only; the transactions may be private.
    """

    transactions: tuple[SignedTransaction, ...]
    block_number: int | None = None
    min_timestamp: int | None = None
    max_timestamp: int | None = None
    reverting: tuple[Hash, ...] = ()
    dropping: tuple[Hash, ...] = ()
    uuid: str | None = None
    replacement_nonce: int | None = None
    refund_percent: int | None = None
    refund_recipient: Address | None = None
    refund_hashes: tuple[Hash, ...] = ()
    signing_address: Address | None = None
    builders: tuple[str, ...] = ()
    version: str | None = None

    def __repr__(self) -> str:
        """Name the transactions without disclosing them."""
        return f"BundleFields(block={self.block_number}, {[t.hash for t in self.transactions]})"


def read_fields(
    params: object, *, profile: BuilderProfile, head: int, known: Known
) -> BundleFields:
    """Read the parameters of a bundle that is sent.

    Args:
        params: as they came.
        profile: whose rules hold.
        head: the newest block's number.
        known: finds a public transaction by its hash.

    Raises:
        OrderError: a field is missing, malformed, not this builder's, or out of its bounds.
    """
    fields = _offered(params, profile)
    number = _block(fields, profile, head)
    uuid = read_uuid(fields, profile)
    given = None if fields.get("txs") is None and uuid is not None else _list(fields.get("txs"))
    transactions = read_transactions(given or [], profile=profile, known=known)
    if not transactions and not (uuid is not None and profile.empty_cancels):
        raise OrderError(INVALID_PARAMS, "txs is empty")
    if (number or 0) - head > profile.limits.blocks_ahead:
        raise OrderError(
            CUSTOM,
            f"invalid inclusion: block {number} is more than {profile.limits.blocks_ahead} blocks"
            f" ahead of {head}",
        )
    found = BundleFields(
        transactions=transactions,
        block_number=number,
        min_timestamp=optional_quantity(fields, "minTimestamp"),
        max_timestamp=optional_quantity(fields, "maxTimestamp"),
        reverting=hash_list(fields, "revertingTxHashes"),
        dropping=hash_list(fields, "droppingTxHashes"),
        uuid=uuid,
        replacement_nonce=optional_quantity(fields, "replacementNonce"),
        refund_percent=optional_quantity(fields, "refundPercent"),
        refund_recipient=optional_address(fields, "refundRecipient"),
        refund_hashes=hash_list(fields, "refundTxHashes"),
        signing_address=optional_address(fields, "signingAddress"),
        builders=_builders(fields, profile),
        version=_version(fields),
    )
    _check(found, profile)
    return found


def read_transactions(
    raws: object, *, profile: BuilderProfile, known: Known | None = None
) -> tuple[SignedTransaction, ...]:
    """Decode raw transactions within a builder's limits.

    Raises:
        OrderError: not a list, too many, too large, or one cannot be decoded (which is not shown).
    """
    listed, limits = _list(raws), profile.limits
    if len(listed) > limits.transactions:
        raise OrderError(INVALID_PARAMS, f"{len(listed)} txs are more than {limits.transactions}")
    prefix = 2 if profile.hex_prefix else 0
    size = sum((len(raw) - prefix) // 2 for raw in listed)
    if size > limits.size_bytes:
        raise OrderError(INVALID_PARAMS, f"{size} bytes are more than {limits.size_bytes}")
    found = []
    for index, raw in enumerate(listed):
        if profile.target_hash and index == 0 and is_hash(raw) and known is not None:
            found.append(_target(Hash(raw.lower()), known))
        else:
            found.append(_decoded(raw, hex_prefix=profile.hex_prefix))
    return tuple(found)


def read_uuid(fields: Mapping[str, object], profile: BuilderProfile) -> str | None:
    """The replacement uuid, under either of its two names.

    Raises:
        OrderError: both names are used, or it has not the form that this builder takes.
    """
    given = [fields[name] for name in ("replacementUuid", "uuid") if fields.get(name)]
    if len(given) > 1:
        raise OrderError(INVALID_PARAMS, "give replacementUuid or uuid, not both")
    if not given:
        return None
    uuid = given[0]
    if not isinstance(uuid, str) or len(uuid) > MAX_UUID_CHARACTERS:
        raise OrderError(
            INVALID_PARAMS,
            f"replacementUuid is no text of at most {MAX_UUID_CHARACTERS} characters",
        )
    if profile.uuid_form is UuidForm.TEXT:
        return uuid
    try:
        parsed = UUID(uuid)
    except ValueError:
        raise OrderError(INVALID_PARAMS, f"replacementUuid {shown(uuid)} is no uuid") from None
    if profile.uuid_form is UuidForm.UUID_V4 and parsed.version != UUID_V4:
        raise OrderError(INVALID_PARAMS, f"replacementUuid {parsed} is not of version 4")
    return str(parsed)


def named_fields(params: object, profile: BuilderProfile) -> dict[str, object]:
    """A method's fields in Flashbots' names, whatever this builder calls them.

    Raises:
        OrderError: the parameters are not what this builder's methods take.
    """
    given = params if profile.bare_params and isinstance(params, dict) else one_object(params)
    for own, common in profile.renamed.items():
        if common in given and common not in profile.renamed:
            raise OrderError(INVALID_PARAMS, f"{common} is called {own} by {profile.name}")
    return {profile.renamed.get(name, name): value for name, value in given.items()}


def _offered(params: object, profile: BuilderProfile) -> dict[str, object]:
    fields = named_fields(params, profile)
    for name in _SOMETIMES:
        if _is_unset(name, fields.get(name)):
            fields.pop(name, None)
        elif name not in profile.fields:
            raise OrderError(INVALID_PARAMS, f"{name} is not offered by {profile.name}")
    for name, value in fields.items():
        if value is not None and name not in {*_ALWAYS, *_SOMETIMES}:
            raise OrderError(INVALID_PARAMS, f"{shown(name)} is no field of a bundle")
    if fields.get("delayedRefund") is not None:
        raise OrderError(INVALID_PARAMS, "delayedRefund is not offered: refunds are in the block")
    return fields


def _is_unset(name: str, value: object) -> bool:
    """Clients send what they do not set as null, 0, an empty text or list."""
    return value is None or (name != "replacementNonce" and value in (0, "", []))


def _block(fields: Mapping[str, object], profile: BuilderProfile, head: int) -> int | None:
    if not profile.block_required and fields.get("blockNumber") in (None, "0x"):
        return None
    number = quantity(fields, "blockNumber")
    if number <= head and (number or profile.block_required):
        raise OrderError(CUSTOM, f"block {number} is sealed already, the head is {head}")
    return number


def _version(fields: Mapping[str, object]) -> str | None:
    version = fields.get("version")
    if version is None or version in VERSIONS:
        return str(version) if version else None
    raise OrderError(CUSTOM, f"unsupported bundle version {shown(version)}: give v1 or v2")


def _builders(fields: Mapping[str, object], profile: BuilderProfile) -> tuple[str, ...]:
    given = fields.get("builders") or []
    if profile.maps_builders and isinstance(given, dict):
        given = list(given)
    elif profile.maps_builders and given:
        raise OrderError(INVALID_PARAMS, "builders is not an object whose keys are names")
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise OrderError(INVALID_PARAMS, "builders is not a list of names")
    return tuple(each.lower() for each in given)


def _check(found: BundleFields, profile: BuilderProfile) -> None:
    first, last = found.min_timestamp or 0, found.max_timestamp
    if last and last < first:
        raise OrderError(
            INVALID_PARAMS, f"maxTimestamp {last} is before minTimestamp {first}: no block fits"
        )
    if found.replacement_nonce is not None and found.uuid is None:
        raise OrderError(INVALID_PARAMS, "replacementNonce needs a replacementUuid")
    rule = profile.refund
    if rule is None or not found.refund_percent:
        return
    if found.refund_percent > rule.most_percent:
        raise OrderError(
            INVALID_PARAMS,
            f"refundPercent {found.refund_percent} is not between 0 and {rule.most_percent}",
        )
    if rule.most_hashes is not None and len(found.refund_hashes) > rule.most_hashes:
        raise OrderError(
            INVALID_PARAMS, f"{len(found.refund_hashes)} refundTxHashes, at most {rule.most_hashes}"
        )


def _list(raws: object) -> Sequence[str]:
    if not isinstance(raws, list) or not all(isinstance(raw, str) for raw in raws):
        raise OrderError(INVALID_PARAMS, "txs is not a list of raw transactions")
    return raws


def _target(wanted: Hash, known: Known) -> SignedTransaction:
    found = known(wanted)
    if found is None:
        raise OrderError(CUSTOM, f"backrun not found: {wanted} is not a pending transaction")
    return found


def _decoded(raw: str, *, hex_prefix: bool) -> SignedTransaction:
    if raw.startswith("0x") is not hex_prefix:
        how = "starts with 0x" if hex_prefix else "has no 0x in front"
        raise OrderError(INVALID_PARAMS, f"unable to decode txs: a raw transaction {how}")
    try:
        return decode_transaction(raw)
    except ConfigError as error:
        raise OrderError(INVALID_PARAMS, f"unable to decode txs: {error}") from None
    except RecursionError:
        raise OrderError(INVALID_PARAMS, "unable to decode txs: lists within lists") from None
