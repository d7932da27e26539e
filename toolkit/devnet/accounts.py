from dataclasses import dataclass, field

from toolkit.chain.hashing import keccak
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
    """Derive an account from the seed: key = keccak("toolkit devnet/<seed>/<role>/<index>").

    Fresh for every seed, so that nobody's real key and none of the public development keys (which
    carry delegations on mainnet) are ever funded here.
    """
    key = "0x" + keccak(f"toolkit devnet/{seed}/{role}/{index}".encode()).hex()
    return DevAccount(address=LocalSigner(key).address, key=key)
