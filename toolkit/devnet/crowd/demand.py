"""Everybody else on the chain, as far as fees notice them: gas demand with varied tips."""

from collections.abc import Iterator
from random import Random

from toolkit.model.chain import Address

# JUMPDEST; 4 x (PUSH0 SLOAD POP); if gas left > 3000 jump back; STOP. Burns the gas it is given:
# SLOADs cost much gas and little time.
GAS_BURNER = Address("0x00000000000000000000000000000000000b0e17")
GAS_BURNER_CODE = "0x5b" + "5f5450" * 4 + "610bb85a115f5700"

_CHUNK_GAS = 7_000_000
_MIN_CHUNK_GAS = 100_000
_ELASTICITY = 2.0


def crowd_demand(
    random: Random, *, base_fee_wei: int, level_wei: int, gas_limit: int
) -> Iterator[tuple[int, int]]:
    """Gas limit and tip in wei of each transaction of one block's crowd.

    Demand is half of the block at the usual fee level, more below it and less above it, with
    noise: under EIP-1559 the base fee then wanders around the level as it does on mainnet.
    """
    pull = _ELASTICITY * (level_wei - base_fee_wei) / level_wei
    share = 0.5 * (1 + pull) + random.gauss(0, 0.12)
    gas = int(gas_limit * min(0.9, max(0.05, share)))
    while gas >= _MIN_CHUNK_GAS:
        chunk = min(gas, random.randrange(_MIN_CHUNK_GAS, _CHUNK_GAS))
        yield chunk, int(random.lognormvariate(0, 1) * 10**8)
        gas -= chunk
