"""The keys of a devnet's accounts, which follow from its seed: everybody has them."""

from functools import cache

from coincurve import PublicKey

from toolkit.chain.curve import account_of
from toolkit.chain.hashing import keccak
from toolkit.model.chain import Address

USER_ROLE = "account"
"""The role of the accounts whose keys a devnet's users get."""
SEEDS = 100
ACCOUNTS = 10


def dev_key(seed: int, role: str, index: int) -> bytes:
    """The private key of a devnet's account: keccak("toolkit devnet/<seed>/<role>/<index>")."""
    return keccak(f"toolkit devnet/{seed}/{role}/{index}".encode())


@cache
def known_dev_accounts() -> frozenset[Address]:
    """The first users' accounts of the seeds that people choose; about 60 ms, once a process."""
    return frozenset(
        account_of(PublicKey.from_valid_secret(dev_key(seed, USER_ROLE, index)))
        for seed in range(SEEDS)
        for index in range(ACCOUNTS)
    )
