import itertools
from collections.abc import Callable

import pytest

from toolkit.bundles.guards import (
    refuse_contradiction,
    refuse_own_foreign_own,
    refuse_unguarded,
)
from toolkit.chain.signer import LocalSigner
from toolkit.model.bundle import Bundle, GuardKind
from toolkit.model.chain import Address
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
