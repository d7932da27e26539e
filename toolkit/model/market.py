"""Markets as values: tokens, hops and routes with the contract's own integers."""

from enum import Enum

import msgspec

from toolkit.model.chain import Address, Hash


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """An ERC-20; `decimals` digits after the point of one whole unit."""

    address: Address
    symbol: str
    decimals: int


class PoolKind(Enum):
    """A family of pools: one exact quote function each."""

    CONSTANT_PRODUCT = "constant_product"
    CONCENTRATED = "concentrated"

    __hash__ = object.__hash__  # tables are keyed by it, and an Enum's is worked out in Python


class Hop(msgspec.Struct, frozen=True, kw_only=True):
    """One swap in one pool, with exact integer amounts in the tokens' smallest units."""

    pool: Address
    kind: PoolKind
    token_in: Address
    token_out: Address
    amount_in: int
    amount_out: int
    fee_ppm: int

    @property
    def zero_for_one(self) -> bool:
        """Whether the pool's token0 goes in (tokens of V2 and V3 pools are sorted)."""
        return int(self.token_in, 16) < int(self.token_out, 16)


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Hops in an order that executes with what is at hand; a cycle ends in its own token."""

    token_in: Address
    token_out: Address
    amount_in: int
    amount_out: int
    hops: tuple[Hop, ...]
    block_hash: Hash  # of the snapshot that every amount was computed on
    block_number: int

    @property
    def is_cycle(self) -> bool:
        """Whether the route ends in the token it began with."""
        return self.token_in == self.token_out

    @property
    def profit(self) -> int:
        """Amount out minus amount in; meaningful for cycles, in the start token."""
        return self.amount_out - self.amount_in


class FundingKind(Enum):
    """Where a route's first input comes from."""

    OWN = "own"  # pulled from the signer's account by an exact allowance
    BALANCER = "balancer"
    V2_FLASH = "v2_flash"
    V3_FLASH = "v3_flash"

    __hash__ = object.__hash__  # as above


class Funding(msgspec.Struct, frozen=True, kw_only=True):
    """A source of a route's input; `fee` is what must be repaid beyond `amount`."""

    kind: FundingKind
    token: Address
    amount: int
    lender: Address | None = None
    fee: int = 0
