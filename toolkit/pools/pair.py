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

    With capitals in its id no log would ever be found to be the pool's.

    Raises:
        PoolError: names the pool and the field.
    """
    if not (pool.islower() and token0.islower() and token1.islower()):
        for field, name in (("id", pool), ("token0", token0), ("token1", token1)):
            check_lower(pool, field, name)
    if token0 >= token1:
        raise PoolError(f"pool {pool}: token0: {token0} does not sort below token1 {token1}")


def check_lower(pool: PoolId, field: str, name: str) -> None:
    """Refuse an address or id with capitals, which would never equal a log's.

    Raises:
        PoolError: names the pool and the field.
    """
    if not name.islower():
        raise PoolError(f"pool {pool}: {field}: {name} has capitals; write it in lower case")


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
