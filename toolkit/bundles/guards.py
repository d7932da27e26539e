"""What we refuse to send, whatever the profit; pure."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from toolkit.model.bundle import Bundle
from toolkit.model.chain import Address, Hash
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
    transactions: Sequence[SignedTransaction],
    *,
    own: frozenset[Address],
    beside: Iterable[Sequence[SignedTransaction]] = (),
) -> None:
    """Refuse own transactions on both sides of a foreign one: no sandwiches.

    A transaction is own if its sender or its target is in `own`, which holds every configured
    signer and executor, so that two own keys cannot split the pattern. Nor can two bundles:
    `beside` are the live ones for the same block, which a builder may merge with this one.

    Raises:
        BundleRefused: naming the foreign transaction by its hash.
    """
    before: set[Hash] = set()
    after: set[Hash] = set()
    for each in beside:
        for one, ahead, behind in _surrounded(each, own):
            before |= {one.hash} if ahead else set()
            after |= {one.hash} if behind else set()
    for one, ahead, behind in _surrounded(transactions, own):
        if (ahead or one.hash in before) and (behind or one.hash in after):
            raise BundleRefused(
                f"bundle puts own transactions on both sides of {one.hash}, which is not ours:"
                f" put them all after it"
            )


def refuse_unheld(
    transactions: Sequence[SignedTransaction],
    *,
    leased: frozenset[Hash],
    spenders: Callable[[Address, int], frozenset[Hash] | None],
) -> None:
    """Refuse a transaction of ours that the lane of its account has not signed.

    Its lane would give the nonce to something else while the bundle is under way.

    Args:
        transactions: of the bundle.
        leased: those that lanes signed for it.
        spenders: what the lane of an account has signed for a nonce; None where it has no lane.

    Raises:
        BundleRefused: naming sender, nonce and hash.
    """
    for one in transactions:
        made = spenders(one.sender, one.unsigned.nonce)
        if made is not None and one.hash not in made | leased:
            raise BundleRefused(
                f"nonce {one.unsigned.nonce} of {one.sender} belongs to its lane, which has not"
                f" signed {one.hash} for it: add it to the bundle as a call"
            )


def refuse_loose_replacement(
    transactions: Sequence[SignedTransaction], replaced: Iterable[Sequence[SignedTransaction]]
) -> None:
    """Refuse to replace a live bundle by one that could land beside it.

    Whether a relay heard of a replacement in time nobody knows; only a nonce that both need keeps
    them from both being mined.

    Raises:
        BundleRefused: they share no nonce; naming the first transaction of the live one.
    """
    claimed = {(one.sender, one.unsigned.nonce) for one in transactions}
    for live in replaced:
        if claimed.isdisjoint((one.sender, one.unsigned.nonce) for one in live):
            raise BundleRefused(
                f"bundle replaces that of {live[0].hash} and shares no nonce with it: both could"
                f" land, so use one of its nonces, or cancel it first and wait for its end"
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


def _surrounded(
    transactions: Sequence[SignedTransaction], own: frozenset[Address]
) -> Iterator[tuple[SignedTransaction, bool, bool]]:
    """Each foreign transaction, and whether own ones stand before and behind it."""
    mine = [_is_own(one, own) for one in transactions]
    for index, one in enumerate(transactions):
        if not mine[index]:
            yield one, any(mine[:index]), any(mine[index + 1 :])
