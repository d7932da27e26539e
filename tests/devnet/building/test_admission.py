import pytest
from msgspec.structs import replace

from tests.devnet.conftest import ACCOUNTS, GWEI, OWNER
from toolkit.devnet.building.admission import (
    Refusal,
    accounts_of,
    check_order,
    following_nonces,
    nonce_fault,
    strands,
)
from toolkit.devnet.building.identities import bundle_hash
from toolkit.devnet.building.orders import Order
from toolkit.devnet.building.simulation import SlotEnv
from toolkit.model.bundle import MissCause
from toolkit.model.chain import Address
from toolkit.model.tx import SignedTransaction, UnsignedTransaction

ENV = SlotEnv(
    number=10,
    timestamp=1_000,
    base_fee_per_gas=GWEI,
    gas_limit=30_000_000,
    fee_recipient=Address("0x" + "fe" * 20),
)
PLAIN = UnsignedTransaction(
    type=2,
    chain_id=1,
    nonce=5,
    to=OWNER,
    value=0,
    data="0x",
    gas=50_000,
    max_fee_per_gas=10 * GWEI,
    max_priority_fee_per_gas=GWEI,
)
NONCES = {each.address: 5 for each in ACCOUNTS}


def signed(who: int = 1, *, delegates: int | None = None, **fields: int) -> SignedTransaction:
    """One that may carry a delegation by an account, for its nonce 5 or 6."""
    tx = replace(PLAIN, **fields)
    if delegates is not None:
        own = 6 if delegates == who else 5
        signer = ACCOUNTS[delegates].signer
        grant = signer.sign_authorization(chain_id=1, address=OWNER, nonce=own)
        tx = replace(tx, type=4, authorization_list=(grant,))
    return ACCOUNTS[who].signer.sign_transaction_now(tx)


def order(*transactions: SignedTransaction) -> Order:
    return Order(
        bundle_hash=bundle_hash([each.hash for each in transactions]),
        transactions=transactions,
        first_block=10,
        last_block=10,
        owner=OWNER,
    )


@pytest.mark.parametrize(
    ("fields", "cause", "words"),
    [
        ({"chain_id": 5}, MissCause.REVERTED_SIM, "chain 5"),
        ({"max_fee_per_gas": GWEI - 1}, MissCause.UNDERPRICED, "base fee"),
        ({"gas": 30_000_001}, MissCause.REVERTED_SIM, "30000001 gas"),
        ({"nonce": 4}, MissCause.NONCE_USED, "nonce 4"),
    ],
)
def test_what_cannot_be_in_any_place_is_refused_before_it_is_run(
    fields: dict[str, int], cause: MissCause, words: str
) -> None:
    """Chain, fee, gas and spent nonces are looked at by nobody else."""
    with pytest.raises(Refusal, match=words) as refused:
        check_order(order(signed(**fields)), ENV, chain_id=1, nonces=NONCES)

    assert cause is refused.value.cause


def test_a_nonce_is_right_where_its_account_has_come_to_it() -> None:
    """A bundle's own nonces follow each other, and the first follows the block's."""
    pair = signed(nonce=5), signed(nonce=6)

    assert nonce_fault(pair, NONCES) is None
    assert pair[1] is nonce_fault(pair[1:], NONCES)
    assert pair[0] is nonce_fault(pair, following_nonces(pair, NONCES))


@pytest.mark.parametrize(("sender", "authority"), [(1, 1), (1, 2)])
def test_a_delegation_spends_its_authoritys_nonce(sender: int, authority: int) -> None:
    """EIP-7702: what the authority sends behind it has the nonce after that."""
    grant = signed(sender, delegates=authority)
    wrong, right = (signed(authority, nonce=5 + (sender == authority) + n) for n in (0, 1))

    assert wrong is nonce_fault((grant, wrong), NONCES)
    assert nonce_fault((grant, right), NONCES) is None
    assert {ACCOUNTS[sender].address, ACCOUNTS[authority].address} == accounts_of([order(grant)])


@pytest.mark.parametrize(("sender", "authority"), [(1, 1), (1, 2)])
def test_what_is_left_out_strands_who_counted_on_its_nonces(sender: int, authority: int) -> None:
    """Its account's later ones, and its authority's (EIP-7702): not those with a nonce before."""
    grant = signed(sender, delegates=authority)
    foreign = ACCOUNTS[authority].signer.sign_authorization(chain_id=5, address=OWNER, nonce=5)
    elsewhere = ACCOUNTS[3].signer.sign_transaction_now(
        replace(grant.unsigned, authorization_list=(foreign,))
    )

    assert strands(grant, signed(sender, nonce=6))
    assert strands(grant, signed(authority, nonce=6 + (sender == authority)))
    assert not strands(grant, signed(authority, nonce=5))
    assert not strands(grant, signed(3, nonce=9))
    assert not strands(elsewhere, signed(authority, nonce=9))
