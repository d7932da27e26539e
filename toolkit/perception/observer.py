"""Perception on a chain: one complete look at each new head, pinned to its hash."""

import asyncio
from collections.abc import Mapping, Sequence

from toolkit.chain.multicall import aggregate
from toolkit.chain.node import Node
from toolkit.gas.oracle import GasOracle
from toolkit.model.chain import ZERO_ADDRESS, Address, Hash, Head, HeadChange
from toolkit.model.decision import Reading
from toolkit.model.errors import ConfigError, NodeError
from toolkit.model.market import Token
from toolkit.model.tx import Urgency
from toolkit.perception.heads import FEE_KEY, HEAD_KEY, fee_reading, head_reading
from toolkit.perception.perceived import Perceived, perceived
from toolkit.perception.pools import POOLS_KEY, pools_reading
from toolkit.perception.prices import PricePoint, PriceSource, price_readings, seeded
from toolkit.pools.history import Followed
from toolkit.pools.snapshot import PoolSpec, Snapshot
from toolkit.pools.sync import follow, load

BALANCE_OF = "0x70a08231"  # ERC-20 balanceOf(address)


class Observer:
    """Reads heads, pools, prices, fees and balances from one node.

    Every read of one look is pinned to the head's hash, so a look is of one block or an error.
    """

    def __init__(
        self,
        node: Node,
        *,
        oracle: GasOracle,
        pools: Sequence[PoolSpec],
        tokens: Mapping[Address, Token],
        prices: Sequence[PriceSource],
        accounts: Sequence[Address],
        history: Mapping[str, Sequence[PricePoint]] | None = None,
        lenders: Sequence[tuple[Address, Address]] = (),
    ) -> None:
        """Say what to read.

        Args:
            node: the node to read.
            oracle: where fee quotes come from.
            pools: pools to keep in step.
            tokens: whose balances are read; those of the pools at least.
            prices: each from one of the pools.
            accounts: our own; balances are their sums.
            history: recorded prices per key, one sample a block, up to the first head.
            lenders: (lender, token) pairs whose holdings are read as "flash/<lender>/<token>".
        """
        known = {spec.id for spec in pools}
        for source in prices:
            if source.pool not in known:
                raise ConfigError(f"{source.key} is read from {source.pool}, which is not synced")
        self._node = node
        self._oracle = oracle
        self._specs = tuple(pools)
        self._tokens = dict(tokens)
        self._prices = tuple(prices)
        self._accounts = tuple(accounts)
        self._history = dict(history or {})
        if unknown := sorted(self._history.keys() - {source.key for source in prices}):
            raise ConfigError(
                f"history names {', '.join(unknown)}; the prices are "
                f"{', '.join(sorted(source.key for source in prices))}"
            )
        self._lenders = tuple(lenders)
        self._pools: Followed | None = None
        self._last: Snapshot | None = None  # as of the last head that was seen whole

    @property
    def keys(self) -> frozenset[str]:
        """Every reading that it may give."""
        lent = (_flash_key(lender, token) for lender, token in self._lenders)
        return frozenset(
            {HEAD_KEY, FEE_KEY, POOLS_KEY, *(source.key for source in self._prices), *lent}
        )

    async def observe(self, change: HeadChange) -> Perceived:
        """Look at the newest head of a change.

        Raises:
            NodeError: the node cannot be asked, or no longer has the block.
            ConfigError: the change adds no head.
        """
        if not change.added:
            raise ConfigError("a head change without a new head cannot be observed")
        head = change.added[-1]
        snapshot, fee, balances, lendable = await asyncio.gather(
            self._snapshot(head, change.added),
            self._oracle.quote(Urgency.NEXT_BLOCK, head=head),
            self._balances(head),
            self._lendable(head),
        )
        readings = (
            *self._recorded(head),
            head_reading(head),
            fee_reading(fee, head),
            pools_reading(snapshot),
            *price_readings(snapshot, self._prices),
            *lendable,
        )
        seen = perceived(
            snapshot,
            since=self._last,
            fee=fee,
            balances=balances,
            readings=readings,
            reverted=tuple(old.hash for old in change.reverted),
        )
        self._last = snapshot
        return seen

    async def agreed(self, blocks: Mapping[int, Hash], head: Head) -> int:
        """Return the highest number of `blocks` that `head` stands on, -1 if it is on none.

        They followed each other once, so a few questions are enough, and one where all stands.

        Raises:
            NodeError: the node cannot be asked.
        """
        numbers = sorted(number for number in blocks if number <= head.number)
        standing, unknown = 0, len(numbers)  # those below `standing` do, from `unknown` on none
        probe = unknown - 1
        while standing < unknown:
            number = numbers[probe]
            there = head if number == head.number else await self._node.head(number)
            if there.hash == blocks[number]:
                standing = probe + 1
            else:
                unknown = probe
            probe = (standing + unknown) // 2
        return numbers[standing - 1] if standing else -1

    async def _snapshot(self, head: Head, added: Sequence[Head]) -> Snapshot:
        if self._pools is None:
            tokens = tuple(self._tokens.values())
            loaded = await load(self._node, self._specs, tokens, head=head)
            self._pools = Followed(snapshot=loaded)
        else:
            self._pools = await follow(self._node, self._pools, head=head, between=added)
        return self._pools.snapshot

    def _recorded(self, head: Head) -> tuple[Reading, ...]:
        if self._last is not None:
            return ()
        return tuple(
            reading
            for source in self._prices
            for reading in seeded(source, self._history.get(source.key, ()), before=head)
        )

    async def _lendable(self, head: Head) -> tuple[Reading, ...]:
        amounts = await self._held([(token, lender) for lender, token in self._lenders], head)
        return tuple(
            Reading(
                key=_flash_key(lender, token),
                value=str(amount),
                source="node",
                block_number=head.number,
                block_hash=head.hash,
                observed_at=head.timestamp,
                max_age_blocks=0,
            )
            for (lender, token), amount in zip(self._lenders, amounts, strict=True)
        )

    async def _balances(self, head: Head) -> dict[Address, int]:
        asked = [(token, account) for token in sorted(self._tokens) for account in self._accounts]
        found: dict[Address, int] = dict.fromkeys(sorted(self._tokens), 0)
        for (token, _), amount in zip(asked, await self._held(asked, head), strict=True):
            found[token] += amount
        natives = [await self._node.balance(account, head.hash) for account in self._accounts]
        found[ZERO_ADDRESS] = sum(natives)
        return found

    async def _held(self, asked: Sequence[tuple[Address, Address]], head: Head) -> list[int]:
        """Read balances of (token, holder) pairs."""
        if not asked:
            return []
        calls = [(token, f"{BALANCE_OF}{holder[2:]:0>64}") for token, holder in asked]
        answers = await aggregate(self._node, calls, block=head.hash)
        amounts: list[int] = []
        for (token, holder), answer in zip(asked, answers, strict=True):
            if answer is None or len(answer) < len("0x") + 64:
                raise NodeError(f"token {token} does not tell the balance of {holder}")
            amounts.append(int(answer, 16))
        return amounts


def _flash_key(lender: Address, token: Address) -> str:
    return f"flash/{lender}/{token}"
