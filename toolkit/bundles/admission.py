"""Every rule that a bundle is held against before anybody hears of it; pure."""

from collections.abc import Collection, Sequence

from toolkit.bundles.draft import MAX_BLOCKS
from toolkit.bundles.guards import (
    refuse_contradiction,
    refuse_delegated,
    refuse_loose_replacement,
    refuse_malformed,
    refuse_own_foreign_own,
    refuse_unguarded,
    refuse_unheld,
)
from toolkit.bundles.live import Lanes, Live
from toolkit.chain.signer import decode_transaction
from toolkit.model.bundle import Bundle, GuardKind
from toolkit.model.chain import Address, Hash
from toolkit.model.checks import shown
from toolkit.model.errors import BundleRefused, ConfigError
from toolkit.model.tx import SignedTransaction
from toolkit.tx.handle import BundleLease


def admitted(
    bundle: Bundle,
    *,
    lease: BundleLease | None,
    blocks: int,
    guards_waived: bool,
    newest: int,
    live: Sequence[Live],
    own: frozenset[Address],
    lanes: Lanes,
) -> tuple[SignedTransaction, ...]:
    """Decode a bundle that may be sent.

    Args:
        bundle: for its first block.
        lease: of the nonces of those signed for it.
        blocks: how many blocks it is to be tried in.
        guards_waived: whether several transactions may go without a guard.
        newest: block that is known.
        live: bundles under way.
        own: every account of ours.
        lanes: who owns the nonces of signers.

    Raises:
        BundleRefused: see `bundles.guards`; or a block, or a number of blocks, that cannot be.
    """
    transactions = _decoded(bundle, lease)
    refuse_malformed(bundle)
    _refuse_blocks(bundle, lease, blocks=blocks, newest=newest)
    target, last_block = bundle.target_block, bundle.target_block + blocks - 1
    replaced = replaced_by(bundle, live)
    others = [one for one in live if one not in replaced]
    beside = [
        one.submission.transactions
        for one in others
        if one.target_block <= last_block and target <= one.last_block
    ]
    refuse_unguarded(bundle, waived=guards_waived)
    ours = own.union(*(one.submission.own for one in live))
    grants = {name: each for one in live for name, each in one.submission.grants.items()}
    refuse_own_foreign_own(transactions, own=ours, beside=beside, grants=grants)
    leased = leased_by(lease)
    refuse_unheld(transactions, leased=leased, spenders=lanes.spenders)
    refuse_delegated(transactions, leased=leased, under_way=lanes.delegations.under_way)
    refuse_loose_replacement(
        _never_left_out(bundle, transactions),
        [_never_left_out(one.submission.bundle, one.submission.transactions) for one in replaced],
    )
    refuse_contradiction(
        transactions,
        [one for other in others if not other.is_refused for one in other.submission.transactions],
        grants=grants,
    )
    return transactions


def replaced_by(bundle: Bundle, live: Sequence[Live]) -> list[Live]:
    """Which live bundles relays are asked to forget by this one's uuid."""
    uuid = bundle.replacement_uuid
    return [] if uuid is None else [one for one in live if one.uuid == uuid]


def leased_by(lease: BundleLease | None) -> frozenset[Hash]:
    """What lanes signed for a bundle."""
    return frozenset(one.hash for one in lease.signed) if lease else frozenset()


def _refuse_blocks(bundle: Bundle, lease: BundleLease | None, *, blocks: int, newest: int) -> None:
    target = bundle.target_block
    if target <= newest:
        raise BundleRefused(f"block {target} is known already: aim at {newest + 1}")
    if newest and target - newest > MAX_BLOCKS:  # its nonces would be held as long
        raise BundleRefused(
            f"block {target} is {target - newest} ahead: aim at most {MAX_BLOCKS} blocks ahead"
        )
    guarded = GuardKind.BLOCK in bundle.guards
    if type(blocks) is not int or blocks < 1 or (blocks > 1 and guarded):
        raise BundleRefused(
            f"bundle {'guarded ' if guarded else ''}for block {target} cannot be tried in"
            f" {shown(blocks)} blocks: sign one for each"
        )
    last_block = target + blocks - 1
    if lease is not None and last_block > lease.target_block:
        raise BundleRefused(
            f"nonces are leased until block {lease.target_block}, the bundle is to be tried"
            f" until {last_block}: lease them for that block"
        )


def _never_left_out(
    bundle: Bundle, transactions: Collection[SignedTransaction]
) -> list[SignedTransaction]:
    return [one for one in transactions if one.hash not in bundle.dropping_hashes]


def _decoded(bundle: Bundle, lease: BundleLease | None) -> tuple[SignedTransaction, ...]:
    """Transactions of a bundle by their own bytes, so that no caller's claim is trusted."""
    leased = {one.raw: one for one in lease.signed} if lease else {}
    try:
        found = tuple(
            leased[raw] if raw in leased else decode_transaction(raw) for raw in bundle.transactions
        )
    except ConfigError as error:
        raise BundleRefused(f"bundle for block {bundle.target_block}: {error}") from None
    if not found or tuple(one.hash for one in found) != bundle.hashes:
        raise BundleRefused(
            f"bundle for block {bundle.target_block}: its {len(bundle.hashes)} hashes are not those"
            f" of its {len(found)} transactions"
        )
    return found
