"""What has become of a market from one milestone to the next."""

from collections.abc import Iterable

import msgspec

from toolkit.model.chain import Address, Head
from toolkit.model.market import PoolId, Token
from toolkit.orchestrator.audit.memory import Market
from toolkit.orchestrator.audit.splices import alike_json
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.concentrated_v4 import ConcentratedV4
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.snapshot import Pool, SetAside, Snapshot

_encode = msgspec.json.Encoder(order="sorted").encode


class MarketMoved(msgspec.Struct, frozen=True, kw_only=True):
    """What is new or has changed in a market, as of `block`, and what is gone from it.

    A pool's state is read when no later milestone has another: that checks it, tick by tick.
    """

    block: Head
    tokens: dict[Address, Token | None]
    constant_product: dict[PoolId, msgspec.Raw]
    concentrated: dict[PoolId, msgspec.Raw]
    concentrated_v4: dict[PoolId, msgspec.Raw]
    gone: tuple[PoolId, ...] = ()
    aside: tuple[SetAside, ...] = ()  # all there are


class Written:
    """A market, of which pools are read at the end."""

    def __init__(self, market: Market | None = None) -> None:
        self._block = None if market is None else market.block
        self._tokens = {} if market is None else {one.address: one for one in market.tokens}
        self._known: dict[PoolId, Pool] = {}
        self._unread: dict[PoolId, tuple[type[Pool], msgspec.Raw]] = {}
        if market is not None:
            self._known = {pool.id: pool for pool in market.pools}
        self._aside = () if market is None else market.aside

    def move(self, moved: MarketMoved) -> None:
        """Go on to a later block."""
        self._block, self._aside = moved.block, moved.aside
        for address, token in moved.tokens.items():
            if token is None:
                self._tokens.pop(address, None)
            else:
                self._tokens[address] = token
        for pool in moved.gone:
            self._known.pop(pool, None)
            self._unread.pop(pool, None)
        self._unread.update(
            {k: (ConstantProduct, one) for k, one in moved.constant_product.items()}
        )
        self._unread.update({k: (Concentrated, one) for k, one in moved.concentrated.items()})
        self._unread.update({k: (ConcentratedV4, one) for k, one in moved.concentrated_v4.items()})

    def read(self) -> Market:
        """Return it."""
        assert self._block is not None
        news = {k: msgspec.json.decode(raw, type=kind) for k, (kind, raw) in self._unread.items()}
        pools = {**self._known, **news}
        aside = {one.spec.id: one for one in self._aside}
        return Market.of(Snapshot(block=self._block, tokens=self._tokens, pools=pools, aside=aside))


def market_moved(old: Market | None, new: Market | None) -> MarketMoved | None:
    """Say what a market has become; None where none is known."""
    if new is None:
        return None
    known = {} if old is None else {pool.id: pool for pool in old.pools}
    named = {} if old is None else {token.address: token for token in old.tokens}
    left = {token.address: token for token in new.tokens}
    tokens: dict[Address, Token | None] = dict.fromkeys(sorted(named.keys() - left.keys()))
    tokens |= {k: one for k, one in left.items() if not alike_json(named.get(k), one)}
    changed = [pool for pool in new.pools if not alike_json(known.get(pool.id), pool)]
    return MarketMoved(
        block=new.block,
        tokens=tokens,
        constant_product=_raw(one for one in changed if isinstance(one, ConstantProduct)),
        concentrated=_raw(one for one in changed if isinstance(one, Concentrated)),
        concentrated_v4=_raw(one for one in changed if isinstance(one, ConcentratedV4)),
        gone=tuple(sorted(known.keys() - {pool.id for pool in new.pools})),
        aside=new.aside,
    )


def _raw(pools: Iterable[Pool]) -> dict[PoolId, msgspec.Raw]:
    return {pool.id: msgspec.Raw(_encode(pool)) for pool in pools}
