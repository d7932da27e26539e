"""What the toolkit saw of one block: the only way the world enters a decision."""

import msgspec

from toolkit.model.chain import Address, Hash, Head
from toolkit.model.decision import Reading
from toolkit.model.market import Token
from toolkit.model.tx import FeeQuote
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.snapshot import Pool, Snapshot


class Perceived(msgspec.Struct, frozen=True, kw_only=True):
    """One block as decisions read it. Pools and tokens are those that are new or have changed.

    `balances` are of our accounts together, in smallest units, the native token under
    ZERO_ADDRESS. `reverted` names blocks that are no longer canonical.
    """

    head: Head
    fee: FeeQuote
    balances: dict[Address, int]
    readings: tuple[Reading, ...]
    reverted: tuple[Hash, ...] = ()
    tokens: tuple[Token, ...] = ()
    constant_product: tuple[ConstantProduct, ...] = ()
    concentrated: tuple[Concentrated, ...] = ()

    @property
    def pools(self) -> tuple[Pool, ...]:
        """Every pool state it carries."""
        return (*self.constant_product, *self.concentrated)


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
    return Perceived(
        head=snapshot.block,
        fee=fee,
        balances=balances,
        readings=readings,
        reverted=reverted,
        tokens=tuple(t for a, t in sorted(snapshot.tokens.items()) if known.get(a) != t),
        constant_product=tuple(p for p in changed if isinstance(p, ConstantProduct)),
        concentrated=tuple(p for p in changed if isinstance(p, Concentrated)),
    )


def rebuilt(seen: Perceived, *, since: Snapshot | None) -> Snapshot:
    """Rebuild the full snapshot of a block from the one before; the inverse of `perceived`."""
    tokens = dict(since.tokens) if since else {}
    pools = dict(since.pools) if since else {}
    tokens.update((token.address, token) for token in seen.tokens)
    pools.update((pool.id, pool) for pool in seen.pools)
    return Snapshot(block=seen.head, tokens=tokens, pools=pools)
