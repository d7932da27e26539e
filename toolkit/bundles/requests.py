"""What is asked of a relay, written in its dialect; pure."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from toolkit.bundles.limits import Purpose
from toolkit.bundles.profiles import Dialect, Profile, UuidForm
from toolkit.model.bundle import Bundle, Refund
from toolkit.model.chain import Hash
from toolkit.model.checks import require_text
from toolkit.model.errors import RelayRejected

_UUID_VERSION = 4


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A method with its parameters; the repr shows no parameters, since they are private."""

    method: str
    params: list[object] | dict[str, object]
    purpose: Purpose

    def __repr__(self) -> str:
        """Name the method only."""
        return f"Request({self.method})"


def bundle_request(bundle: Bundle, profile: Profile) -> Request:
    """Write a bundle; fields that are not set are left out.

    Raises:
        RelayRejected: the builder would refuse it or quietly drop it: a field that its dialect
            does not know, a uuid or refund in a form that it does not take, or too much. Leaving
            that out would send something else than was asked for.
    """
    dialect = profile.dialect
    _refuse_too_much(bundle, profile)
    fields: dict[str, object] = {
        dialect.transactions_field: _transactions(bundle, profile),
        dialect.block_field: hex(bundle.target_block),
    }
    for what, field, value in (
        ("reverting hashes", dialect.reverting_field, list(bundle.reverting_hashes) or None),
        ("dropping hashes", dialect.dropping_field, list(bundle.dropping_hashes) or None),
        ("a minimum timestamp", dialect.min_timestamp_field, bundle.min_timestamp),
        ("a maximum timestamp", dialect.max_timestamp_field, bundle.max_timestamp),
        ("a replacement uuid", dialect.uuid_field, _uuid(bundle.replacement_uuid, profile)),
        ("a replacement nonce", dialect.nonce_field, bundle.replacement_nonce),
        ("builders", dialect.builders_field, _builders(bundle.builders, dialect)),
    ):
        if value is None:
            continue
        if field is None:
            raise _unknown(profile, what)
        fields[field] = value
    if bundle.refund is not None:
        fields |= _refund(bundle.refund, profile)
    return _request(profile, dialect.send_method, fields, Purpose.BUNDLE)


def simulation_request(
    bundle: Bundle, profile: Profile, *, state_block: int | str, timestamp: int | None
) -> Request:
    """Write the question what a bundle does on top of a block.

    Raises:
        RelayRejected: the builder does not simulate.
    """
    dialect = profile.dialect
    method = _offered(profile, dialect.simulate_method, "simulate bundles")
    fields: dict[str, object] = {
        dialect.transactions_field: [_raw(one, dialect) for one in bundle.transactions],
        dialect.block_field: hex(bundle.target_block),
        dialect.state_field: hex(state_block) if isinstance(state_block, int) else state_block,
    }
    if timestamp is not None:
        fields["timestamp"] = timestamp
    return _request(profile, method, fields, Purpose.SIMULATION)


def cancel_request(
    uuid: str,
    profile: Profile,
    *,
    target_block: int | None = None,
    replacement_nonce: int | None = None,
) -> Request:
    """Write the withdrawal of the bundle that was sent with this uuid.

    Where that is an empty bundle, it has the block and, where numbers order a uuid's bundles, the
    number that are given; without a number it may count as the oldest.

    Raises:
        ConfigError: the uuid is empty or no text.
        RelayRejected: the builder does not cancel, or takes no such uuid.
    """
    dialect = profile.dialect
    method = _offered(profile, dialect.cancel_method, "cancel bundles")
    if dialect.uuid_field is None:
        raise _unknown(profile, "a replacement uuid")
    fields: dict[str, object] = {dialect.uuid_field: _uuid(uuid, profile)}
    if method == dialect.send_method:
        fields = {dialect.transactions_field: [], **fields}
        if target_block is not None:
            fields[dialect.block_field] = hex(target_block)
        if replacement_nonce is not None and dialect.nonce_field is not None:
            fields[dialect.nonce_field] = replacement_nonce
    return _request(profile, method, fields, Purpose.CANCEL)


def private_request(raw: str, profile: Profile, *, max_block: int) -> Request:
    """Write one transaction for inclusion up to `max_block`, where the builder has such a bound.

    Raises:
        RelayRejected: the builder takes no single transactions.
    """
    dialect = profile.dialect
    method = _offered(profile, dialect.private_method, "take single transactions")
    written = _raw(raw, dialect)
    if dialect.private_field is None:
        return Request(method=method, params=[written], purpose=Purpose.OTHER)
    fields: dict[str, object] = {dialect.private_field: written}
    if dialect.private_block_field is not None:
        fields[dialect.private_block_field] = hex(max_block)
    return _request(profile, method, fields, Purpose.OTHER)


def cancel_private_request(tx_hash: Hash, profile: Profile) -> Request:
    """Write the withdrawal of a single transaction.

    Raises:
        RelayRejected: the builder does not take one back.
    """
    method = _offered(profile, profile.dialect.cancel_private_method, "take transactions back")
    return _request(profile, method, {"txHash": tx_hash}, Purpose.CANCEL)


def _request(profile: Profile, method: str, fields: dict[str, object], purpose: Purpose) -> Request:
    params: list[object] | dict[str, object] = [fields] if profile.dialect.listed else fields
    return Request(method=method, params=params, purpose=purpose)


def _raw(raw: str, dialect: Dialect) -> str:
    return raw if dialect.prefixed else raw.removeprefix("0x")


def _transactions(bundle: Bundle, profile: Profile) -> list[str]:
    dialect = profile.dialect
    written = [_raw(one, dialect) for one in bundle.transactions]
    if not dialect.target_by_hash:
        return written
    if len(written) < 2:  # noqa: PLR2004 - a target and what follows it
        raise _refused(
            profile,
            f"takes what follows a pending transaction of its own, and this bundle has"
            f" {len(written)} transactions: put its target first",
        )
    return [bundle.hashes[0], *written[1:]]


def _uuid(uuid: str | None, profile: Profile) -> str | None:
    form = profile.dialect.uuid_form
    if uuid is None:
        return None
    require_text("replacement uuid", uuid)
    if form is UuidForm.TEXT:
        return uuid
    try:
        parsed = UUID(uuid)
    except ValueError:
        raise _refused(profile, f"wants a {form.value}, not {uuid[:50]!r}") from None
    if form is UuidForm.UUID_V4 and parsed.version != _UUID_VERSION:
        raise _refused(profile, f"wants a {form.value}, and {parsed} is another")
    return uuid


def _builders(names: Sequence[str], dialect: Dialect) -> object:
    if not names:
        return None
    return dict.fromkeys(names, "") if dialect.builders_mapped else list(names)


def _refund(refund: Refund, profile: Profile) -> dict[str, object]:
    known = profile.dialect.refund
    if known is None:
        raise _unknown(profile, "a refund")
    fields: dict[str, object] = {known.percent: refund.percent}
    if refund.recipient is not None:
        fields[known.recipient] = refund.recipient
    elif known.recipient_required:
        raise _refused(profile, "discards a refund without a recipient: name one")
    if refund.tx_hashes:
        if known.hashes is None:
            raise _unknown(profile, "a refund by transactions")
        if known.most_hashes is not None and len(refund.tx_hashes) > known.most_hashes:
            raise _refused(
                profile,
                f"takes a refund on {known.most_hashes} transaction, not on"
                f" {len(refund.tx_hashes)}",
            )
        fields[known.hashes] = list(refund.tx_hashes)
    return fields


def _refuse_too_much(bundle: Bundle, profile: Profile) -> None:
    dialect, count = profile.dialect, len(bundle.transactions)
    if dialect.most_transactions is not None and count > dialect.most_transactions:
        raise _refused(
            profile, f"takes {dialect.most_transactions} transactions in a bundle, not {count}"
        )
    size = sum(len(one) // 2 - 1 for one in bundle.transactions)
    if dialect.most_bytes is not None and size > dialect.most_bytes:
        raise _refused(profile, f"takes {dialect.most_bytes} bytes in a bundle, not {size}")


def _offered(profile: Profile, method: str | None, what: str) -> str:
    if method is None:
        raise _refused(profile, f"does not {what}")
    return method


def _unknown(profile: Profile, what: str) -> RelayRejected:
    return _refused(profile, f"does not know {what}: leave it unset or leave out this relay")


def _refused(profile: Profile, why: str) -> RelayRejected:
    return RelayRejected(f"{profile.name} {why}", relay=profile.name)
