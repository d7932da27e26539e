"""What the journal has of bundles: who was sent what for which block, and how it ended."""

from collections.abc import Collection, Mapping

import msgspec

from toolkit.bundles.evidence import RelayAnswer, Submission
from toolkit.bundles.guards import Grant, grants_of
from toolkit.model.bundle import Bundle, BundleResult, GuardKind, Refund
from toolkit.model.chain import Address, Hash
from toolkit.model.tx import SignedTransaction, UnsignedTransaction

SUBMITTED, CANCELLED, RESULT = "bundle_submitted", "bundle_cancelled", "bundle_result"

NEWEST = "bundle:newest"
"""The key of the newest submission: where a restart begins to read."""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A nonce that a live bundle stands for, without the bytes that would spend it.

    `grants` are those that its authorizations may spend (EIP-7702), without their signatures.
    """

    hash: Hash
    sender: Address
    nonce: int
    fee_cap: int
    to: Address | None
    leased: bool  # signed for this bundle
    own: bool = False  # its sender is ours
    grants: tuple[Grant, ...] = ()


class BundleSubmitted(msgspec.Struct, frozen=True, kw_only=True):
    """Journal entry, durable before the first byte leaves: hashes only, never the bytes.

    One for each block that is tried, up to `last_block`. `since` is the entry of the oldest
    submission that was open then, or whose end a reorg could take back; 0 if there was no other.
    """

    bundle_hash: Hash
    hashes: tuple[Hash, ...]
    target_block: int
    relays: tuple[str, ...]
    lease_id: str | None
    guards: tuple[str, ...]
    bid_wei: int
    last_block: int = 0
    since: int = 0
    claims: tuple[Claim, ...] = ()
    touches: tuple[Address, ...] = ()
    replacement_uuid: str | None = None
    replacement_nonce: int | None = None
    reverting_hashes: tuple[Hash, ...] = ()
    dropping_hashes: tuple[Hash, ...] = ()
    min_timestamp: int | None = None
    max_timestamp: int | None = None
    refund: Refund | None = None
    builders: tuple[str, ...] = ()


class BundleCancelled(msgspec.Struct, frozen=True, kw_only=True):
    """Journal entry, durable before relays are asked: its author wants this bundle back."""

    bundle_hash: Hash
    replacement_uuid: str


class BundleEnded(msgspec.Struct, frozen=True, kw_only=True):
    """Journal entry: what became of a submission in its block, and what the relays had said."""

    result: BundleResult
    answers: tuple[RelayAnswer, ...]


def submitted(
    submission: Submission,
    *,
    relays: Collection[str],
    lease_id: str | None,
    last_block: int,
    since: int,
) -> BundleSubmitted:
    """Put a submission into the form in which it outlives the process."""
    bundle = submission.bundle
    return BundleSubmitted(
        bundle_hash=submission.bundle_hash,
        hashes=bundle.hashes,
        target_block=bundle.target_block,
        relays=tuple(relays),
        lease_id=lease_id,
        guards=tuple(guard.value for guard in bundle.guards),
        bid_wei=submission.bid_wei,
        last_block=last_block,
        since=since,
        claims=tuple(
            Claim(
                hash=one.hash,
                sender=one.sender,
                nonce=one.unsigned.nonce,
                fee_cap=one.unsigned.fee_cap,
                to=one.unsigned.to,
                leased=one.hash in submission.leased,
                own=one.sender in submission.own,
                grants=grants_of(one, submission.grants),
            )
            for one in submission.transactions
        ),
        touches=tuple(sorted(submission.touches)),
        replacement_uuid=bundle.replacement_uuid,
        replacement_nonce=bundle.replacement_nonce,
        reverting_hashes=bundle.reverting_hashes,
        dropping_hashes=bundle.dropping_hashes,
        min_timestamp=bundle.min_timestamp,
        max_timestamp=bundle.max_timestamp,
        refund=bundle.refund,
        builders=bundle.builders,
    )


def restored(
    entry: BundleSubmitted,
    *,
    own: frozenset[Address],
    signed: Mapping[Hash, SignedTransaction],
    cancelled: bool = False,
) -> Submission:
    """Build the submission of an entry again; bytes that are not in `signed` are empty.

    What was not leased by the lanes has no bytes here and never had them in the journal: nothing
    of it can be sent or simulated, but what a block did with it can be told.
    """
    transactions = tuple(signed.get(one.hash) or _without_bytes(one) for one in entry.claims)
    return Submission(
        bundle=Bundle(
            transactions=tuple(one.raw for one in transactions),
            hashes=entry.hashes,
            target_block=entry.target_block,
            reverting_hashes=entry.reverting_hashes,
            dropping_hashes=entry.dropping_hashes,
            replacement_uuid=entry.replacement_uuid,
            replacement_nonce=entry.replacement_nonce,
            min_timestamp=entry.min_timestamp,
            max_timestamp=entry.max_timestamp,
            guards=tuple(map(GuardKind, entry.guards)),
            refund=entry.refund,
            builders=entry.builders,
        ),
        bundle_hash=entry.bundle_hash,
        transactions=transactions,
        own=own | {one.sender for one in entry.claims if one.leased or one.own},
        leased=frozenset(one.hash for one in entry.claims if one.leased),
        grants={one.hash: one.grants for one in entry.claims if one.grants},
        touches=frozenset(entry.touches),
        bid_wei=entry.bid_wei,
        cancelled=cancelled,
    )


def _without_bytes(claim: Claim) -> SignedTransaction:
    """Everything that decides over a nonce, and nothing that a transaction does."""
    return SignedTransaction(
        raw="",
        hash=claim.hash,
        sender=claim.sender,
        unsigned=UnsignedTransaction(
            type=0,
            chain_id=0,
            nonce=claim.nonce,
            to=claim.to,
            value=0,
            data="0x",
            gas=0,
            gas_price=claim.fee_cap,
        ),
    )
