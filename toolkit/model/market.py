"""Markets as values: tokens, hops and routes with the contract's own integers."""

from enum import Enum
from typing import TypeGuard

import msgspec

from toolkit.model.chain import Address, Hash
from toolkit.model.errors import PoolError
from toolkit.model.units import BPS, PPM

PoolId = Address | Hash
"""A pool's contract, or, for Uniswap V4, its 32-byte number in the one contract of all pools."""

_ADDRESS_LENGTH = 42  # characters


def has_contract(pool: PoolId) -> TypeGuard[Address]:
    """Whether a pool is a contract of its own, which can be called and can lend."""
    return len(pool) == _ADDRESS_LENGTH


class Token(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An ERC-20; `decimals` digits after the point of one whole unit.

    `transfer_fee_ppm` millionths of every transfer, rounded down, do not arrive. A token that
    reckons its fee otherwise is off by at most one unit a transfer.

    Raises:
        PoolError: a transfer fee that is no part: below 0, or everything.
    """

    address: Address
    symbol: str
    decimals: int
    transfer_fee_ppm: int = 0

    def __post_init__(self) -> None:
        """Check that something of a transfer arrives."""
        if not 0 <= self.transfer_fee_ppm < PPM:
            raise PoolError(
                f"token {self.address}: transfer_fee_ppm: {self.transfer_fee_ppm} is not between "
                f"0 and {PPM - 1}"
            )

    def arriving_up(self, amount: int) -> int:
        """Return what arrives of a transfer: amount - floor(amount fee / 1e6)."""
        return amount - amount * self.transfer_fee_ppm // PPM

    def sending_up(self, arriving: int) -> int:
        """Return the least transfer of which at least `arriving` arrives, for positive amounts.

        ceil(s (1e6 - fee) / 1e6) >= a exactly where s > (a - 1) 1e6 / (1e6 - fee).
        """
        return (arriving - 1) * PPM // (PPM - self.transfer_fee_ppm) + 1


class PoolKind(Enum):
    """A family of pools: one exact quote function each."""

    CONSTANT_PRODUCT = "constant_product"
    CONCENTRATED = "concentrated"

    __hash__ = object.__hash__  # tables are keyed by it, and an Enum's is worked out in Python


class PoolKey(msgspec.Struct, frozen=True, kw_only=True):
    """What a V4 pool is called by, beside its two tokens (v4-core, PoolKey.sol).

    `fee` is the key's own: with a hook that sets the fee it is a flag, and not the fee in force.
    """

    fee: int
    tick_spacing: int
    hooks: Address
    manager: Address  # the contract of all pools


class Hop(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One swap in one pool, with exact integer amounts in the tokens' smallest units.

    A V4 pool, which has no contract of its own, is called by its `key`; others have none.
    """

    pool: PoolId
    kind: PoolKind
    token_in: Address
    token_out: Address
    amount_in: int
    amount_out: int
    fee_ppm: int
    key: PoolKey | None = None

    @property
    def contract(self) -> Address:
        """The contract that is called: the pool itself, or V4's manager of all pools.

        Raises:
            PoolError: a pool without an address, and no key of it.
        """
        if self.key is not None:
            return self.key.manager
        if not has_contract(self.pool):
            raise PoolError(
                f"pool {self.pool}: key: missing, and it has no address to be called by"
            )
        return self.pool

    @property
    def zero_for_one(self) -> bool:
        """Whether the pool's token0 goes in (the tokens of every pool are sorted)."""
        return int(self.token_in, 16) < int(self.token_out, 16)


FLASH = "flash"
BEST_SO_FAR = "best_so_far"


class Route(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Hops in an order that executes with what is at hand; a cycle ends in its own token.

    A token may be bought and sold by several hops (a split), and a pool be used by more than one.

    Attributes:
        gas_units: what the route is reckoned to use; 0 where nobody reckoned.
        gas_cost: what that costs at the gas price asked with, in smallest units of `token_out`,
            rounded up.
        bound: no route over the same pools, at the same gas price, can leave more of `token_out`
            after gas; for a cycle, no more profit. None where none was proved.
        flags: `FLASH`: some hop spends what a later one brings, so only a flash loan runs it;
            `BEST_SO_FAR`: time ran out, or a solver did not converge, before the answer was final.
    """

    token_in: Address
    token_out: Address
    amount_in: int
    amount_out: int
    hops: tuple[Hop, ...]
    block_hash: Hash  # of the snapshot that every amount was computed on
    block_number: int
    gas_units: int = 0
    gas_cost: int = 0
    bound: int | None = None
    flags: tuple[str, ...] = ()

    @property
    def is_cycle(self) -> bool:
        """Whether the route ends in the token it began with."""
        return self.token_in == self.token_out

    @property
    def profit(self) -> int:
        """Amount out minus amount in; meaningful for cycles, in the start token."""
        return self.amount_out - self.amount_in

    @property
    def net(self) -> int:
        """What is left after gas, in smallest units of `token_out`: a cycle's profit, or amount."""
        return (self.profit if self.is_cycle else self.amount_out) - self.gas_cost

    @property
    def gap_bps(self) -> float | None:
        """How far `net` may be from what is possible, in 1/10,000 of the bound; None without."""
        if self.bound is None:
            return None
        return (self.bound - self.net) * BPS / self.bound if self.bound > 0 else 0.0


class Basket(msgspec.Struct, frozen=True, kw_only=True):
    """Hops that turn some tokens into a mixture of others, in an order that runs.

    Attributes:
        sold: what goes in, of each token, in smallest units; what was not needed is not in it.
        got: what is there of each wanted token at the end, with what was there of it before.
        count: how many times the mixture is in it, gas not counted: for people, and to compare.
        bound: no hops over the same pools leave more, counted so, after gas.
        gas_cost: in mixtures, at the prices that the bound was proved with.
        flags: as `Route.flags`.
    """

    sold: dict[Address, int]
    got: dict[Address, int]
    hops: tuple[Hop, ...]
    block_hash: Hash  # of the snapshot that every amount was computed on
    block_number: int
    count: float
    bound: float
    gas_units: int = 0
    gas_cost: float = 0.0
    flags: tuple[str, ...] = ()

    @property
    def net(self) -> float:
        """How many mixtures are left after gas."""
        return self.count - self.gas_cost


class FundingKind(Enum):
    """Where a route's first input comes from."""

    OWN = "own"  # pulled from the signer's account by an exact allowance
    BALANCER = "balancer"
    V2_FLASH = "v2_flash"
    V3_FLASH = "v3_flash"

    __hash__ = object.__hash__  # as above


class Loan(msgspec.Struct, frozen=True, kw_only=True):
    """What is borrowed of a token, in its smallest unit."""

    token: Address
    amount: int


class Funding(msgspec.Struct, frozen=True, kw_only=True):
    """A source of a route's input; `fee` is what must be repaid beyond `amount`."""

    kind: FundingKind
    token: Address
    amount: int
    lender: Address | None = None
    fee: int = 0
