"""What we refuse to send, whatever the profit; pure."""

from collections.abc import Sequence

from toolkit.model.bundle import Bundle
from toolkit.model.chain import Address
from toolkit.model.errors import BundleRefused
from toolkit.model.tx import SignedTransaction


def refuse_unguarded(bundle: Bundle, *, waived: bool) -> None:
    """Demand an on-chain guard on every bundle of several transactions, unless waived.

    A leaked or reorged bundle can be replayed in part: without a block, parent-hash or
    minimum-profit guard its first half may be mined alone.

    Raises:
        BundleRefused: several transactions, no guard, not waived.
    """
    if len(bundle.transactions) > 1 and not bundle.guards and not waived:
        raise BundleRefused(
            f"bundle of {len(bundle.transactions)} transactions for block {bundle.target_block}"
            f" has no guard: add a block, parent-hash or minimum-profit guard, or waive it"
        )


def refuse_own_foreign_own(
    transactions: Sequence[SignedTransaction], *, own: frozenset[Address]
) -> None:
    """Refuse own transactions on both sides of a foreign one: no sandwiches.

    A transaction is own if its sender or its target is in `own`, which holds every configured
    signer and executor, so that two own keys cannot split the pattern.

    Raises:
        BundleRefused: naming the foreign transaction by its hash.
    """
    mine = [_is_own(one, own) for one in transactions]
    for index, one in enumerate(transactions):
        if not mine[index] and any(mine[:index]) and any(mine[index + 1 :]):
            raise BundleRefused(
                f"bundle puts own transactions on both sides of {one.hash}, which is not ours:"
                f" put them all after it"
            )


def refuse_contradiction(
    transactions: Sequence[SignedTransaction], live: Sequence[SignedTransaction]
) -> None:
    """Refuse to spend a nonce for which another live bundle holds a different transaction.

    Raises:
        BundleRefused: naming sender, nonce and both hashes.
    """
    held = {(one.sender, one.unsigned.nonce): one.hash for one in live}
    for one in transactions:
        other = held.get((one.sender, one.unsigned.nonce), one.hash)
        if other != one.hash:
            raise BundleRefused(
                f"nonce {one.unsigned.nonce} of {one.sender} is in a live bundle as {other},"
                f" and {one.hash} contradicts it: wait for its end or use another signer"
            )


def _is_own(transaction: SignedTransaction, own: frozenset[Address]) -> bool:
    return transaction.sender in own or transaction.unsigned.to in own
