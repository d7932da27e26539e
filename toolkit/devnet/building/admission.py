"""What a block asks of transactions before anything is run: chain, fees, gas and nonces.

Anvil's simulation checks none of these, and no builder excuses them: a transaction that is invalid
is neither a revert that may stay nor one that may be left out. But what is left out may make others
of its bundle invalid: they go together where they may be left out as well.
"""

from collections.abc import Iterable, Mapping, Sequence

from toolkit.chain.signer import authorities, authority_of
from toolkit.devnet.building.orders import Order
from toolkit.devnet.building.simulation import SlotEnv
from toolkit.devnet.building.tips import effective_tip
from toolkit.model.bundle import MissCause
from toolkit.model.chain import Address, Hash
from toolkit.model.tx import SignedTransaction


class Refusal(Exception):
    """Why an order is not in a block; `rival` is the bundle that was in its way."""

    def __init__(self, cause: MissCause, evidence: str, rival: Hash | None = None) -> None:
        super().__init__(evidence)
        self.cause = cause
        self.evidence = evidence
        self.rival = rival


def check_order(
    order: Order, env: SlotEnv, *, chain_id: int, nonces: Mapping[Address, int]
) -> None:
    """Check what holds or fails wherever in the block the order is.

    Args:
        order: bundle or private transaction.
        env: the block.
        chain_id: of the chain; 0 in a transaction is any (before EIP-155).
        nonces: every account's next one on the parent's state.

    Raises:
        Refusal: it cannot be in this block.
    """
    for signed in order.transactions:
        _check_fields(signed, env, chain_id)
    for signed in order.transactions:
        nonce, state = signed.unsigned.nonce, nonces[signed.sender]
        if nonce < state:
            raise Refusal(
                MissCause.NONCE_USED, f"{signed.hash} has nonce {nonce}, the next is {state}"
            )
    if gap := _nonce_gap(order.transactions):
        raise Refusal(MissCause.REVERTED_SIM, gap)


def _check_fields(signed: SignedTransaction, env: SlotEnv, chain_id: int) -> None:
    tx, base_fee = signed.unsigned, env.base_fee_per_gas
    if tx.chain_id not in {chain_id, 0}:
        raise Refusal(MissCause.REVERTED_SIM, f"{signed.hash} is for chain {tx.chain_id}")
    if tx.fee_cap < base_fee or effective_tip(signed, base_fee) < 0:
        raise Refusal(
            MissCause.UNDERPRICED,
            f"{signed.hash} pays at most {tx.fee_cap} wei a gas, the base fee is {base_fee}",
        )
    if tx.gas > env.gas_limit:
        raise Refusal(
            MissCause.REVERTED_SIM,
            f"{signed.hash} asks for {tx.gas} gas, a block has {env.gas_limit}",
        )


def _nonce_gap(transactions: Iterable[SignedTransaction]) -> str:
    """Why a bundle's own nonces do not follow each other; "" if they do."""
    following: dict[Address, int] = {}
    for signed in transactions:
        nonce = signed.unsigned.nonce
        expected = following.get(signed.sender, nonce)
        if nonce != expected:
            return f"{signed.hash} has nonce {nonce}, its bundle needs {expected} there"
        following[signed.sender] = nonce + 1
        _grant(following, signed)
    return ""


def nonce_fault(
    transactions: Sequence[SignedTransaction], nonces: Mapping[Address, int]
) -> SignedTransaction | None:
    """The first transaction whose nonce is not its account's next one, counted from `nonces`.

    One that is left out has to be valid in its place as well, and nothing of its account follows.
    """
    following: dict[Address, int] = {}
    for signed in transactions:
        nonce = signed.unsigned.nonce
        if nonce != following.get(signed.sender, nonces[signed.sender]):
            return signed
        following[signed.sender] = nonce + 1
        _grant(following, signed, nonces)
    return None


def following_nonces(
    transactions: Iterable[SignedTransaction], nonces: Mapping[Address, int]
) -> dict[Address, int]:
    """Every account's next nonce behind `transactions`."""
    following = dict(nonces)
    for signed in transactions:
        following[signed.sender] = signed.unsigned.nonce + 1
        _grant(following, signed)
    return following


def accounts_of(orders: Iterable[Order]) -> set[Address]:
    """Whose nonces the orders spend."""
    return {
        account for order in orders for signed in order.transactions for account in spenders(signed)
    }


def spenders(signed: SignedTransaction) -> set[Address]:
    """Whose nonces a transaction may spend: its sender's, and theirs who delegate (EIP-7702)."""
    return {signed.sender, *authorities(signed.unsigned)}


def strands(dropped: SignedTransaction, signed: SignedTransaction) -> bool:
    """Whether a later transaction has no valid nonce where an earlier one is left out."""
    tx = dropped.unsigned
    granted = [each for each in tx.authorization_list if each.chain_id in {0, tx.chain_id}]
    nonces = [each.nonce for each in granted if authority_of(each) == signed.sender]
    if dropped.sender == signed.sender:
        nonces.append(tx.nonce)
    return any(nonce < signed.unsigned.nonce for nonce in nonces)


def _grant(
    following: dict[Address, int],
    signed: SignedTransaction,
    nonces: Mapping[Address, int] | None = None,
) -> None:
    """EIP-7702: a delegation in its turn spends its authority's nonce, another one is skipped."""
    for grant in signed.unsigned.authorization_list:
        authority = authority_of(grant)
        if authority is None or grant.chain_id not in {0, signed.unsigned.chain_id}:
            continue
        known = following.get(authority, (nonces or {}).get(authority))
        if known == grant.nonce:
            following[authority] = grant.nonce + 1
