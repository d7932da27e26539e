"""What we refuse to send, whatever the profit; pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from toolkit.chain.hashing import contract_address
from toolkit.chain.signer import authority_of
from toolkit.model.bundle import Bundle, GuardKind, Refund
from toolkit.model.chain import Address, Hash
from toolkit.model.checks import require_integer, shown
from toolkit.model.errors import BundleRefused, ConfigError
from toolkit.model.tx import SignedTransaction

_MOST_CHARACTERS = 256  # of a replacement uuid, or of a builder's name
_UINT64 = 2**64 - 1


class Grant(NamedTuple):
    """A nonce that an authorization may spend (EIP-7702), and the account that signed it."""

    account: Address
    nonce: int


Grants = Mapping[Hash, tuple[Grant, ...]]
"""By transaction, of those that are known without their bytes."""

NO_GRANTS: Grants = MappingProxyType({})


def grants_of(one: SignedTransaction, known: Grants = NO_GRANTS) -> tuple[Grant, ...]:
    """What a transaction's authorizations may spend on its chain, in order."""
    if one.hash in known:
        return known[one.hash]
    return tuple(
        Grant(account, grant.nonce)
        for grant in one.unsigned.authorization_list
        if grant.chain_id in {0, one.unsigned.chain_id}
        and (account := authority_of(grant)) is not None
    )


def spent_by(one: SignedTransaction, grants: Grants = NO_GRANTS) -> tuple[tuple[Address, int], ...]:
    """Which nonces of whom a transaction spends, or may spend."""
    return (one.sender, one.unsigned.nonce), *grants_of(one, grants)


def refuse_malformed(bundle: Bundle) -> None:
    """Refuse what could not be journalled, written for a relay, or recognised in a block.

    Raises:
        BundleRefused: naming the field; a transaction that is in it twice; or a reverting, dropping
            or refunded hash that is none of its own, such as one in capitals.
    """
    try:
        _require_fields(bundle)
    except ConfigError as error:
        raise BundleRefused(f"bundle for block {shown(bundle.target_block)}: {error}") from None
    twice = [one for place, one in enumerate(bundle.hashes) if one in bundle.hashes[:place]]
    if twice:
        raise BundleRefused(f"bundle has {twice[0]} twice, which no block can: leave one out")
    shared = bundle.refund.tx_hashes if bundle.refund else ()
    for one in (*bundle.reverting_hashes, *bundle.dropping_hashes, *shared):
        if one not in bundle.hashes:
            raise BundleRefused(
                f"{shown(one)} is none of the bundle's transactions, whatever may revert, be left"
                f" out or be refunded: give it as it is in hashes"
            )


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
    grants: Grants = NO_GRANTS,
) -> None:
    """Refuse own transactions on both sides of a foreign one: no sandwiches.

    A transaction is own if its sender or its target is in `own`, which holds every configured
    signer and executor, so that two own keys cannot split the pattern; or if it carries a
    delegation of an own account, or calls what an own transaction of these creates. Nor can two
    bundles split it: `beside` are the live ones for the same block, which a builder may merge with
    this one. `grants` has what those without bytes delegate.

    Raises:
        BundleRefused: naming the foreign transaction by its hash.
    """
    before: set[Hash] = set()
    after: set[Hash] = set()
    beside = list(beside)
    own |= {
        contract_address(one.sender, one.unsigned.nonce)
        for each in (transactions, *beside)
        for one in each
        if one.sender in own and one.unsigned.to is None
    }
    for each in beside:
        for one, ahead, behind in _surrounded(each, own, grants):
            before |= {one.hash} if ahead else set()
            after |= {one.hash} if behind else set()
    for one, ahead, behind in _surrounded(transactions, own, grants):
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


def refuse_delegated(
    transactions: Sequence[SignedTransaction],
    *,
    leased: frozenset[Hash],
    under_way: Callable[[Address, int], int],
) -> None:
    """Refuse somebody's authorization by an account of ours that sends something itself.

    Which is mined first nobody knows, and the authorization would take the nonce of the other.

    Args:
        transactions: of the bundle.
        leased: those that lanes signed for it.
        under_way: how much an account has under way that a nonce of it could be meant for.

    Raises:
        BundleRefused: naming account, nonce and hash.
    """
    for one in transactions:
        for account, nonce in () if one.hash in leased else grants_of(one):
            if busy := under_way(account, nonce):
                raise BundleRefused(
                    f"an authorization by {account} in {one.hash} would spend its nonce {nonce}"
                    f" while {busy} of its own are under way: wait until those have ended"
                )


def refuse_loose_replacement(
    transactions: Sequence[SignedTransaction], replaced: Iterable[Sequence[SignedTransaction]]
) -> None:
    """Refuse to replace a live bundle by one that could land beside it.

    Whether a relay heard of a replacement in time nobody knows; only a nonce that both need keeps
    them from both being mined. Of both bundles what may be left out is not given here.

    Raises:
        BundleRefused: they share no nonce.
    """
    claimed = {(one.sender, one.unsigned.nonce) for one in transactions}
    for live in replaced:
        if claimed.isdisjoint((one.sender, one.unsigned.nonce) for one in live):
            raise BundleRefused(
                "bundle replaces a live one and shares no nonce with it that both must spend: both"
                " could land, so use one of its nonces, or cancel it first and wait for its end"
            )


def refuse_contradiction(
    transactions: Sequence[SignedTransaction],
    live: Sequence[SignedTransaction],
    *,
    grants: Grants = NO_GRANTS,
) -> None:
    """Refuse to spend a nonce for which another live bundle holds a different transaction.

    A delegation (EIP-7702) spends one of the account that signed it, like a transaction of its own.

    Raises:
        BundleRefused: naming account, nonce and both hashes.
    """
    held = {spent: one.hash for one in live for spent in spent_by(one, grants)}
    for one in transactions:
        for account, nonce in spent_by(one, grants):
            other = held.get((account, nonce), one.hash)
            if other != one.hash:
                raise BundleRefused(
                    f"nonce {nonce} of {account} is in a live bundle as {other}, and {one.hash}"
                    f" contradicts it: wait for its end or use another signer"
                )


def _require_fields(bundle: Bundle) -> None:
    require_integer("target_block", bundle.target_block, most=_UINT64)
    for field in ("min_timestamp", "max_timestamp", "replacement_nonce"):
        if getattr(bundle, field) is not None:
            require_integer(field, getattr(bundle, field), most=_UINT64)
    if bundle.replacement_uuid is not None:
        _require_name("replacement uuid", bundle.replacement_uuid)
    for name in bundle.builders:
        _require_name("name of a builder", name)
    if not all(isinstance(guard, GuardKind) for guard in bundle.guards):
        raise ConfigError(f"guards are {shown(bundle.guards)}; give members of GuardKind")
    if not isinstance(bundle.refund, Refund | None):
        raise ConfigError(f"refund is {shown(bundle.refund)}; give a Refund")


def _require_name(what: str, value: object) -> None:
    """Check one printable line: it goes to relays, into the journal and into logs."""
    if not isinstance(value, str) or not 0 < len(value) <= _MOST_CHARACTERS:
        raise ConfigError(f"{what} is {shown(value)}; give a text of 1 to {_MOST_CHARACTERS}")
    if not value.isprintable():
        raise ConfigError(f"{what} is {shown(value)}; give one that can be printed")


def _is_own(transaction: SignedTransaction, own: frozenset[Address], grants: Grants) -> bool:
    if transaction.sender in own or transaction.unsigned.to in own:
        return True
    return any(grant.account in own for grant in grants_of(transaction, grants))


def _surrounded(
    transactions: Sequence[SignedTransaction], own: frozenset[Address], grants: Grants
) -> Iterator[tuple[SignedTransaction, bool, bool]]:
    """Each foreign transaction, and whether own ones stand before and behind it."""
    mine = [_is_own(one, own, grants) for one in transactions]
    for index, one in enumerate(transactions):
        if not mine[index]:
            yield one, any(mine[:index]), any(mine[index + 1 :])
