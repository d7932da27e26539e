import itertools
from collections.abc import Callable

import pytest

from toolkit.bundles.guards import (
    Grant,
    refuse_contradiction,
    refuse_delegated,
    refuse_loose_replacement,
    refuse_own_foreign_own,
    refuse_unguarded,
    refuse_unheld,
)
from toolkit.chain.hashing import contract_address
from toolkit.chain.signer import LocalSigner
from toolkit.model.bundle import Bundle, GuardKind
from toolkit.model.chain import Address, Hash
from toolkit.model.errors import BundleRefused
from toolkit.model.tx import SignedTransaction

Sign = Callable[..., SignedTransaction]
EXECUTOR = Address("0x" + "ee" * 20)


def test_several_transactions_need_a_guard(
    signer: LocalSigner, transfer: Sign, bundle_of: Callable[..., Bundle]
) -> None:
    """Two transactions need one guard or a waiver; one transaction needs none."""
    pair = (transfer(signer), transfer(signer, nonce=1))

    refuse_unguarded(bundle_of(pair[0], guards=()), waived=False)
    refuse_unguarded(bundle_of(*pair, guards=()), waived=True)
    for guard in GuardKind:
        refuse_unguarded(bundle_of(*pair, guards=(guard,)), waived=False)

    with pytest.raises(BundleRefused, match="has no guard"):
        refuse_unguarded(bundle_of(*pair, guards=()), waived=False)


def test_own_foreign_own_is_refused_in_every_arrangement(
    signer: LocalSigner, other_signer: LocalSigner, transfer: Sign
) -> None:
    """For every order of up to five own and foreign transactions, exactly the sandwiches fail;
    own is split over two keys and an executor."""
    foreign_key = LocalSigner("0x" + "33" * 32)
    own = frozenset({signer.address, other_signer.address, EXECUTOR})
    kinds = {
        "a": transfer(signer),
        "b": transfer(other_signer),
        "x": transfer(foreign_key, to=EXECUTOR),
        "f": transfer(foreign_key),
    }

    for size in range(1, 6):
        for order in itertools.product(kinds, repeat=size):
            mine = "".join("f" if one == "f" else "o" for one in order)
            sandwich = "f" in mine.strip("f")
            transactions = [kinds[one] for one in order]
            if sandwich:
                with pytest.raises(BundleRefused, match=kinds["f"].hash):
                    refuse_own_foreign_own(transactions, own=own)
            else:
                refuse_own_foreign_own(transactions, own=own)


def test_contradiction_is_same_nonce_with_other_bytes(
    signer: LocalSigner, other_signer: LocalSigner, transfer: Sign
) -> None:
    """The same transaction, another nonce or another signer is fine; other bytes are refused."""
    live = [transfer(signer, nonce=4)]

    refuse_contradiction([transfer(signer, nonce=4)], live)
    refuse_contradiction([transfer(signer, nonce=5), transfer(other_signer, nonce=4)], live)

    with pytest.raises(BundleRefused, match=f"nonce 4 of {signer.address}"):
        refuse_contradiction([transfer(signer, nonce=4, value=2)], live)


def test_two_bundles_for_one_block_cannot_split_the_pattern(
    signer: LocalSigner, other_signer: LocalSigner, transfer: Sign
) -> None:
    """A builder may merge what is live for the same block: own before a foreign transaction in
    one bundle and behind it in another is the same sandwich."""
    foreign = transfer(LocalSigner("0x" + "33" * 32))
    own = frozenset({signer.address, other_signer.address})
    front, back = [transfer(signer), foreign], [foreign, transfer(other_signer)]

    refuse_own_foreign_own(back, own=own, beside=[back, [foreign], [transfer(signer)]])
    refuse_own_foreign_own([transfer(other_signer)], own=own, beside=[front])

    for one, other in ((front, back), (back, front)):
        with pytest.raises(BundleRefused, match=foreign.hash):
            refuse_own_foreign_own(one, own=own, beside=[other])


def test_a_delegation_of_an_own_account_is_own(
    signer: LocalSigner, other_signer: LocalSigner, transfer: Sign
) -> None:
    """Whoever sends it for us, what an own key has delegated acts for that key (EIP-7702)."""
    stranger = LocalSigner("0x" + "33" * 32)
    granted = other_signer.sign_authorization(chain_id=1, address=EXECUTOR, nonce=0)
    sponsored = transfer(stranger, type=4, authorization_list=(granted,))
    foreign = transfer(LocalSigner("0x" + "44" * 32))
    own = frozenset({signer.address, other_signer.address})

    refuse_own_foreign_own([sponsored, foreign, transfer(signer)], own=frozenset({signer.address}))

    with pytest.raises(BundleRefused, match=foreign.hash):
        refuse_own_foreign_own([sponsored, foreign, transfer(signer)], own=own)


def test_what_an_own_key_creates_is_own(signer: LocalSigner, transfer: Sign) -> None:
    """A contract made in the same block, and called there by a key that nobody knows as ours."""
    stranger, foreign = LocalSigner("0x" + "33" * 32), transfer(LocalSigner("0x" + "44" * 32))
    made = transfer(signer, to=None, nonce=7, data="0x00")
    behind = [foreign, transfer(stranger, to=contract_address(signer.address, 7))]
    own = frozenset({signer.address})

    refuse_own_foreign_own(behind, own=own)

    with pytest.raises(BundleRefused, match=foreign.hash):
        refuse_own_foreign_own([made, *behind], own=own)
    with pytest.raises(BundleRefused, match=foreign.hash):
        refuse_own_foreign_own(behind, own=own, beside=[[made, foreign]])


def test_a_delegation_contradicts_what_has_its_nonce(
    signer: LocalSigner, other_signer: LocalSigner, transfer: Sign
) -> None:
    """An authorization spends a nonce of the account that signed it; of another chain it does
    not."""

    def granting(chain_id: int) -> SignedTransaction:
        grant = signer.sign_authorization(chain_id=chain_id, address=EXECUTOR, nonce=4)
        return transfer(other_signer, type=4, authorization_list=(grant,))

    for chain_id in (0, 1):
        for one, other in (
            (granting(chain_id), transfer(signer, nonce=4)),
            (transfer(signer, nonce=4), granting(chain_id)),
        ):
            with pytest.raises(BundleRefused, match=f"nonce 4 of {signer.address}"):
                refuse_contradiction([one], [other])
    refuse_contradiction([granting(5)], [transfer(signer, nonce=4)])
    refuse_contradiction([granting(1)], [transfer(signer, nonce=5), granting(1)])


def test_of_what_has_no_bytes_is_known_what_it_delegates(
    signer: LocalSigner, other_signer: LocalSigner, transfer: Sign
) -> None:
    """A bundle of an earlier process is hashes; what its authorizations spend is held all the
    same, and they make its transaction ours."""
    foreign, bare = transfer(LocalSigner("0x" + "44" * 32)), transfer(other_signer)
    grants = {bare.hash: (Grant(signer.address, 4),)}
    own = frozenset({signer.address})

    refuse_contradiction([transfer(signer, nonce=4)], [bare])
    refuse_own_foreign_own([foreign, transfer(signer)], own=own, beside=[[bare, foreign]])

    with pytest.raises(BundleRefused, match=f"nonce 4 of {signer.address}"):
        refuse_contradiction([transfer(signer, nonce=4)], [bare], grants=grants)
    with pytest.raises(BundleRefused, match=foreign.hash):
        refuse_own_foreign_own(
            [foreign, transfer(signer)], own=own, beside=[[bare, foreign]], grants=grants
        )


def test_no_authorization_takes_a_nonce_that_its_lane_may_give_away(
    signer: LocalSigner, other_signer: LocalSigner, transfer: Sign
) -> None:
    """Only an account that sends nothing itself is delegated by somebody else's transaction."""
    grant = signer.sign_authorization(chain_id=1, address=EXECUTOR, nonce=4)
    sponsored = transfer(other_signer, type=4, authorization_list=(grant,))
    busy = {(signer.address, 4): 2}

    def under_way(account: Address, nonce: int) -> int:
        return busy.get((account, nonce), 0)

    refuse_delegated([transfer(signer, nonce=4)], leased=frozenset(), under_way=under_way)
    refuse_delegated([sponsored], leased=frozenset({sponsored.hash}), under_way=under_way)

    with pytest.raises(BundleRefused, match="its nonce 4 while 2 of its own are under way"):
        refuse_delegated([sponsored], leased=frozenset(), under_way=under_way)
    busy.clear()
    refuse_delegated([sponsored], leased=frozenset(), under_way=under_way)


def test_nonces_of_ours_belong_to_their_lane(
    signer: LocalSigner, other_signer: LocalSigner, transfer: Sign
) -> None:
    """What the lane signed for its nonce passes, and so does an account that has no lane."""
    mine, theirs = transfer(signer, nonce=4), transfer(other_signer, nonce=4)
    made = {signer.address: frozenset({mine.hash})}

    def spenders(sender: Address, nonce: int) -> frozenset[Hash] | None:
        assert 4 == nonce
        return made.get(sender)

    refuse_unheld([mine, theirs], leased=frozenset(), spenders=spenders)
    made[signer.address] = frozenset()
    refuse_unheld([mine], leased=frozenset({mine.hash}), spenders=spenders)

    with pytest.raises(BundleRefused, match=f"nonce 4 of {signer.address} belongs to its lane"):
        refuse_unheld([mine, theirs], leased=frozenset(), spenders=spenders)


def test_a_replacement_needs_a_nonce_of_what_it_replaces(
    signer: LocalSigner, other_signer: LocalSigner, transfer: Sign
) -> None:
    """One lost message at one relay, and both of them could land."""
    live = [[transfer(signer, nonce=4), transfer(signer, nonce=5)]]

    refuse_loose_replacement([transfer(signer, nonce=5, value=2)], live)
    refuse_loose_replacement([transfer(signer, nonce=6)], [])

    for stranger in (transfer(signer, nonce=6), transfer(other_signer, nonce=4)):
        with pytest.raises(BundleRefused, match="shares no nonce"):
            refuse_loose_replacement([stranger], live)
