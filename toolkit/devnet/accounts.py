from dataclasses import dataclass, field

from toolkit.chain.dev_keys import dev_key
from toolkit.chain.signer import LocalSigner
from toolkit.model.chain import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class DevAccount:
    """An account of the devnet with its key, which is worth nothing anywhere else."""

    address: Address
    key: str = field(repr=False)

    @property
    def signer(self) -> LocalSigner:
        """A signer for this account."""
        return LocalSigner(self.key)


def derive_account(seed: int, role: str, index: int) -> DevAccount:
    """Derive an account from the seed, by `dev_key`.

    Fresh for every seed, so that nobody's real key and none of the public development keys (which
    carry delegations on mainnet) are ever funded here.
    """
    key = "0x" + dev_key(seed, role, index).hex()
    return DevAccount(address=LocalSigner(key).address, key=key)
