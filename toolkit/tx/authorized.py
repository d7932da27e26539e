"""Who spent an account's nonce without a transaction of that account: an authorization (EIP-7702).

Anybody may include an authorization that the account's key has signed. Where it is in its turn the
chain counts it like a transaction of the account, which then has no transaction of that nonce.
"""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from toolkit.chain import answers
from toolkit.chain.signer import authority_of
from toolkit.model.chain import Address, Hash, address, hash32
from toolkit.model.tx import Authorization

_ANY_CHAIN = 0


@runtime_checkable
class KnowsBlocks(Protocol):
    """A node that answers whole blocks (`Node.block`)."""

    async def block(self, block: int | str = "latest", *, full: bool = False) -> dict[str, Any]:
        """A block as the node gives it, with whole transactions if `full`."""
        ...


def authorized_in(
    sealed: Mapping[str, Any], account: Address, *, chain_id: int, count: int, nonce: int
) -> Hash | None:
    """The transaction of a block whose authorization spent `nonce` of `account`, if any.

    Args:
        sealed: the block as a node gives it; a transaction that is only a hash tells nothing.
        account: whose nonces are counted.
        chain_id: of the chain; authorizations for others are skipped.
        count: how many nonces the account had spent before the block.
        nonce: the one that the block spent.

    Raises:
        NodeError: a field is missing or garbled.
    """
    with answers.expecting("a block"):
        listed = [one for one in sealed.get("transactions") or () if isinstance(one, Mapping)]
        told = [_told(one) for one in listed]
    for tx_hash, sender, grants in told:
        count += sender == account
        for grant in grants:
            # What is not in its turn is skipped, as it is by the chain: it has spent nothing.
            if grant.nonce != count or grant.chain_id not in {_ANY_CHAIN, chain_id}:
                continue
            if authority_of(grant) == account:
                if count == nonce:
                    return tx_hash
                count += 1
    return None


def _told(one: Mapping[str, Any]) -> tuple[Hash, Address, tuple[Authorization, ...]]:
    grants = tuple(map(answers.authorization, one.get("authorizationList") or ()))
    return hash32(one["hash"]), address(one["from"]), grants
