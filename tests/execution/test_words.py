import random

import pytest
from eth_abi.abi import encode

from tests.orchestrator.worlds import fresh_seeds
from toolkit.execution.words import account, bytes32, number, of_arrays
from toolkit.model.errors import ConfigError


@pytest.mark.parametrize("seed", [1, *fresh_seeds(2)], ids=lambda _: "seed")
def test_words_are_what_eth_abi_writes(seed: int) -> None:
    """A tuple with arrays of static tuples, of any lengths and values, byte for byte."""
    rng = random.Random(seed)
    for _ in range(100):
        owner, parent = "0x" + rng.randbytes(20).hex(), rng.randbytes(32)
        block = rng.choice([0, 1, rng.getrandbits(256), 2**256 - 1])
        hops = [
            ("0x" + rng.randbytes(20).hex(), rng.getrandbits(256)) for _ in range(rng.randrange(5))
        ]
        sums = [(rng.getrandbits(200),) for _ in range(rng.randrange(3))]
        kind = "(uint256,bytes32,address,(address,uint256)[],(uint256)[])"

        written = of_arrays(
            number(block) + bytes32("0x" + parent.hex()) + account(owner),
            (len(hops), "".join(account(pool) + number(amount) for pool, amount in hops)),
            (len(sums), "".join(number(amount) for (amount,) in sums)),
        )

        assert encode([kind], [(block, parent, owner, hops, sums)]).hex() == written, seed


@pytest.mark.parametrize("value", ["0x12", "0x" + "g" * 40, "-x" + "1" * 40, "", "0x-" + "1" * 39])
def test_what_is_no_address_is_refused(value: str) -> None:
    """A value that eth_abi would refuse never becomes calldata."""
    with pytest.raises(ConfigError, match="is not an address"):
        account(value)


def test_what_is_no_hash_is_refused() -> None:
    """A parent that is shorter than a hash is none."""
    with pytest.raises(ConfigError, match="is not a hash"):
        bytes32("0x" + "ab" * 20)
