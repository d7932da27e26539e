"""What the toolkit saw of one block: the only way the world enters a decision."""

from collections.abc import Mapping

import msgspec

from toolkit.model.chain import Address, Hash, Head
from toolkit.model.decision import Reading
from toolkit.model.market import PoolId, Token
from toolkit.model.tx import FeeQuote
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.concentrated_v4 import ConcentratedV4
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.snapshot import Pool, SetAside, Snapshot


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One block as decisions read it, but for its pools. Tokens are those new or changed.

    `balances` are of our accounts together, in smallest units, the native token under
    ZERO_ADDRESS. `reverted` names blocks that are no longer canonical. Pools newly `set_aside`
    have no state from here on, until one is told again.
    """

    head: Head
    fee: FeeQuote
    balances: dict[Address, int]
    readings: tuple[Reading, ...]
    reverted: tuple[Hash, ...] = ()
    tokens: tuple[Token, ...] = ()
    set_aside: tuple[SetAside, ...] = ()


class Perceived(Seen, frozen=True, kw_only=True):
    """One block as decisions read it. Pools and tokens are those that are new or have changed."""

    constant_product: tuple[ConstantProduct, ...] = ()
    concentrated: tuple[Concentrated, ...] = ()
    concentrated_v4: tuple[ConcentratedV4, ...] = ()

    @property
    def pools(self) -> tuple[Pool, ...]:
        """Every pool state it carries."""
        return (
            *self.constant_product,
            *self.concentrated,
            *self.concentrated_v4,
        )


class PoolName(msgspec.Struct, frozen=True, kw_only=True):
    """Which pool it is, and its fee in parts per million, which no swap changes."""

    id: PoolId
    fee_ppm: int


class Glimpse(Seen, frozen=True, kw_only=True):
    """What is journalled as `Perceived`, with no more than the names of pools: a quarter the work.

    Most of such an entry are states of pools that the next ones overwrite.
    """

    constant_product: tuple[PoolName, ...] = ()
    concentrated: tuple[PoolName, ...] = ()
    concentrated_v4: tuple[PoolName, ...] = ()

    @property
    def pools(self) -> tuple[PoolName, ...]:
        """Every pool whose state it carries."""
        return (
            *self.constant_product,
            *self.concentrated,
            *self.concentrated_v4,
        )

    def without_pools(self) -> Perceived:
        """Return the rest of it."""
        return Perceived(
            head=self.head,
            fee=self.fee,
            balances=self.balances,
            readings=self.readings,
            reverted=self.reverted,
            tokens=self.tokens,
            set_aside=self.set_aside,
        )


def perceived(  # the one way from a full snapshot to what is new in it
    snapshot: Snapshot,
    *,
    since: Snapshot | None,
    fee: FeeQuote,
    balances: dict[Address, int],
    readings: tuple[Reading, ...],
    reverted: tuple[Hash, ...] = (),
) -> Perceived:
    """Describe a block by its difference from the snapshot before (all of it for the first)."""
    changed = tuple(snapshot.pools.values()) if since is None else snapshot.changed(since)
    known = {} if since is None else since.tokens
    aside = {} if since is None else since.aside
    return Perceived(
        head=snapshot.block,
        fee=fee,
        balances=balances,
        readings=readings,
        reverted=reverted,
        tokens=tuple(t for a, t in sorted(snapshot.tokens.items()) if known.get(a) != t),
        set_aside=tuple(one for a, one in sorted(snapshot.aside.items()) if aside.get(a) != one),
        constant_product=tuple(p for p in changed if isinstance(p, ConstantProduct)),
        concentrated=tuple(p for p in changed if isinstance(p, Concentrated)),
        concentrated_v4=tuple(p for p in changed if isinstance(p, ConcentratedV4)),
    )


def rebuilt(seen: Perceived, *, since: Snapshot | None) -> Snapshot:
    """Rebuild the full snapshot of a block from the one before; the inverse of `perceived`."""
    tokens = since.tokens if since else {}
    pools = dict(since.pools) if since else {}
    if seen.tokens:
        tokens = tokens | {token.address: token for token in seen.tokens}
    aside = since.aside if since else {}
    if seen.set_aside:
        aside = aside | {one.spec.id: one for one in seen.set_aside}
        pools = {name: pool for name, pool in pools.items() if name not in aside}
    for pool in seen.pools:
        pools[pool.id] = pool
    if aside:
        aside = {name: one for name, one in aside.items() if name not in pools}
    return Snapshot(block=seen.head, tokens=tokens, pools=pools, aside=aside)


def corrected(snapshot: Snapshot, pools: Mapping[PoolId, Pool]) -> Snapshot:
    """Put true states of pools in place of those that a glimpse left as they were."""
    known = {**snapshot.pools, **pools}
    return msgspec.structs.replace(snapshot, pools=known)
