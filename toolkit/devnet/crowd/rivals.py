"""Rival searchers: they see the same state, size their own arbitrage and bid for it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from toolkit.chain.rpc import Rpc
from toolkit.devnet.accounts import DevAccount
from toolkit.devnet.builders import Builder
from toolkit.devnet.building.orders import read_bundle
from toolkit.devnet.building.wire import OrderError
from toolkit.devnet.crowd.opportunities import Opportunity, find_opportunities
from toolkit.devnet.crowd.trades import Trade, swap_call
from toolkit.devnet.participants import rivals
from toolkit.devnet.pools import POOLS
from toolkit.devnet.twin import CHAIN_ID
from toolkit.gas.rules import next_base_fee
from toolkit.model.chain import Address, Head
from toolkit.model.tx import SignedTransaction, UnsignedTransaction
from toolkit.pools.snapshot import Snapshot

_GAS_PER_SWAP = 130_000  # a typical swap through a router; bids are spread over it
_GAS_LIMIT = 400_000
_POOLS = {pool.address: pool for pool in POOLS}


@dataclass(frozen=True, slots=True, kw_only=True)
class RivalConfig:
    """How many searchers compete, how often each sees an opportunity, and what it bids.

    A bid is a share of the profit after gas; each builder gets it with `reach`.
    """

    count: int = 2
    participation: float = 0.4
    lowest_bid: float = 0.3
    highest_bid: float = 0.95
    reach: float = 0.8


class Rival:
    """One searcher with its own account; it trades through the public routers, swap by swap.

    Its swaps depend on each other, so it relies on bundles being all or nothing.
    """

    def __init__(self, rpc: Rpc, account: DevAccount, random: Random, config: RivalConfig) -> None:
        self._rpc = rpc
        self._random = random
        self._config = config
        self.account = account

    async def bid(
        self, opportunities: Sequence[Opportunity], head: Head, builders: Sequence[Builder]
    ) -> None:
        """Perhaps send one bundle for the next block to some of the builders."""
        takes_part = self._random.random() < self._config.participation
        share = self._random.uniform(self._config.lowest_bid, self._config.highest_bid)
        chosen = [each for each in builders if self._random.random() < self._config.reach]
        if not (takes_part and opportunities):
            return
        opportunity = opportunities[0]
        gas = _GAS_PER_SWAP * len(opportunity.pools)
        base_fee_wei = next_base_fee(head)
        net_wei = opportunity.profit_wei - gas * base_fee_wei
        if net_wei <= 0:
            return
        tip_wei = int(net_wei * share) // gas
        count = await self._rpc.call("eth_getTransactionCount", (self.account.address, "latest"))
        signed = self._sign(opportunity, int(count, 16), base_fee_wei, tip_wei)
        bundle = {"txs": [each.raw for each in signed], "blockNumber": hex(head.number + 1)}
        for builder in chosen:
            order = read_bundle([bundle], owner=self.account.address, head=builder.head.number)
            try:
                builder.offer(order)
            except OrderError:
                continue  # safe because a full builder only costs the rival this slot

    def _sign(
        self, opportunity: Opportunity, nonce: int, base_fee_wei: int, tip_wei: int
    ) -> list[SignedTransaction]:
        return [
            self.account.signer.sign_transaction_now(
                UnsignedTransaction(
                    type=2,
                    chain_id=CHAIN_ID,
                    nonce=nonce + index,
                    to=to,
                    value=0,
                    data=data,
                    gas=_GAS_LIMIT,
                    max_fee_per_gas=2 * base_fee_wei + tip_wei,
                    max_priority_fee_per_gas=tip_wei,
                )
            )
            for index, (to, data) in enumerate(self._calls(opportunity))
        ]

    def _calls(self, opportunity: Opportunity) -> Iterator[tuple[Address, str]]:
        steps = zip(
            opportunity.pools,
            opportunity.tokens,
            opportunity.amounts,
            opportunity.amounts[1:],
            strict=False,
        )
        for pool, token_in, amount_in, amount_out in steps:
            trade = Trade(pool=_POOLS[pool], token_in=token_in, amount_in=amount_in)
            yield swap_call(trade, self.account.address, minimum_out=amount_out)


class Rivals:
    """All searchers of a market; the search is made once for all of them."""

    def __init__(self, rpc: Rpc, *, seed: int, config: RivalConfig) -> None:
        self.members = tuple(
            Rival(rpc, account, _chance(seed, account), config)
            for account in rivals(seed, config.count)
        )

    async def bid(self, snapshot: Snapshot, builders: Sequence[Builder]) -> None:
        """Let every rival act on the state after `snapshot.block`."""
        opportunities = find_opportunities(snapshot)
        for member in self.members:
            await member.bid(opportunities, snapshot.block, builders)


def _chance(seed: int, account: DevAccount) -> Random:
    return Random(f"rival/{seed}/{account.address}")  # noqa: S311 - a scenario, not a secret
