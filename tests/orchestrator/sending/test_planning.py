import msgspec

from toolkit.model.chain import ZERO_ADDRESS, Address, Hash
from toolkit.model.market import FundingKind, PoolKind
from toolkit.orchestrator.sending.planning import flash_lenders
from toolkit.pools.snapshot import PoolSpec

A, B, C = (Address("0x" + digit * 40) for digit in "abc")
VAULT = Address("0x" + "9" * 40)


def spec(number: str, kind: PoolKind) -> PoolSpec:
    return PoolSpec(
        id=Hash(number) if len(number) > len(A) else Address(number),
        kind=kind,
        token0=A,
        token1=B,
        tick_spacing=60,
    )


def test_only_pools_that_are_contracts_lend() -> None:
    """V3 pools of the token and a named vault; V4's pools are numbers, V2's are known anyway.

    The vault lends every token that is traded, since it lends all that an order misses at once.
    """
    ranged, numbered, pair = "0x" + "1" * 40, "0x" + "2" * 64, "0x" + "3" * 40
    pools = [
        spec(numbered, PoolKind.CONCENTRATED),
        spec(pair, PoolKind.CONSTANT_PRODUCT),
        spec(ranged, PoolKind.CONCENTRATED),
    ]

    found = flash_lenders(pools, B, vault=VAULT)

    expected = [
        (FundingKind.V3_FLASH, ranged, B),
        (FundingKind.BALANCER, VAULT, A),
        (FundingKind.BALANCER, VAULT, B),
    ]
    assert expected == [(lender.kind, lender.lender, lender.token) for lender in found]
    assert () == flash_lenders(pools, C)
    native = [msgspec.structs.replace(pools[0], token0=ZERO_ADDRESS)]
    assert [B] == [lender.token for lender in flash_lenders(native, B, vault=VAULT)]
