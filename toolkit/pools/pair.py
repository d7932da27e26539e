"""What every pool of two sorted tokens has in common: which token is which, and its fee."""

from toolkit.model.chain import Address
from toolkit.model.errors import PoolError
from toolkit.model.market import PoolId
from toolkit.model.units import PPM


def check_pair(pool: PoolId, token0: Address, token1: Address, fee_ppm: int) -> None:
    """Refuse unsorted or equal tokens and fees outside 0..1e6-1 parts per million.

    Raises:
        PoolError: names the pool and the field.
    """
    check_sorted(pool, token0, token1)
    if not 0 <= fee_ppm < PPM:
        raise PoolError(f"pool {pool}: fee_ppm: {fee_ppm} is not between 0 and {PPM - 1}")


def check_sorted(pool: PoolId, token0: Address, token1: Address) -> None:
    """Refuse unsorted or equal tokens: lower-case hex of one length sorts like its numbers.

    Raises:
        PoolError: names the pool and the field.
    """
    if token0 >= token1:
        raise PoolError(f"pool {pool}: token0: {token0} does not sort below token1 {token1}")


def is_zero_for_one(
    pool: PoolId, token0: Address, token1: Address, token: Address, field: str
) -> bool:
    """Whether `token` is the pool's token0.

    Raises:
        PoolError: it is neither token of the pool; `field` names the argument.
    """
    if token == token0:
        return True
    if token == token1:
        return False
    raise PoolError(f"pool {pool}: {field}: {token} is neither {token0} nor {token1}")
