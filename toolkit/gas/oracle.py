"""The fee oracle: asks a node for recent blocks, quotes by urgency, survives bad answers."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import msgspec

from toolkit.chain.node import FeeHistory
from toolkit.gas.estimator import BlockFees, EstimatorConfig, estimate
from toolkit.gas.rules import next_base_fee
from toolkit.model.chain import Head
from toolkit.model.errors import NodeError
from toolkit.model.tx import FeeQuote, Urgency

# The lowest percentile tells what a block admitted; the next ones stand in where it was unpaid.
REWARD_PERCENTILES = (10.0, 20.0, 30.0, 50.0)


class FeeSource(Protocol):
    """The part of a node that the oracle asks (`toolkit.chain.node.Node` is one)."""

    async def head(self, block: int | str = "latest") -> Head:
        """Return a block's header fields."""
        ...

    async def fee_history(
        self, count: int, block: int | str, percentiles: Sequence[float]
    ) -> FeeHistory:
        """Return base fees of `count` blocks up to `block` and their tips at `percentiles`."""
        ...


class OracleStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Blocks held, questions asked, how many of them failed and how the last one did."""

    blocks: int
    requests: int
    failures: int
    last_error: str = ""


def blocks_of(history: FeeHistory, *, newest: int) -> tuple[BlockFees, ...]:
    """Number the blocks of an eth_feeHistory answer that was asked for up to block `newest`.

    They are counted back from `newest` by the number of base fees, because a forked Anvil names
    an oldest block that it does not deliver. Rewards are matched from the newest end too; missing
    or short ones leave a block without tips.

    Raises:
        NodeError: no base fee at all, or of more blocks than there are.
    """
    count = len(history.base_fees) - 1
    if not 0 <= count <= newest + 1:
        raise NodeError(f"eth_feeHistory up to block {newest} has {count + 1} base fees")
    rewards = history.rewards[max(0, len(history.rewards) - count) :]
    tips = ((),) * (count - len(rewards)) + rewards
    return tuple(
        BlockFees(number=newest - count + 1 + i, base_fee_per_gas=fee, tips=tips[i])
        for i, fee in enumerate(history.base_fees[:-1])
    )


class GasOracle:
    """Quotes fees for a node's chain; one eth_feeHistory call a head, shared by all urgencies.

    A node that cannot be asked, or answers nonsense, leaves the last good history in use, and the
    exact next base fee of a given head still holds. Without any history the quote is the hard
    bound of the base fee with the smallest tip, at confidence 0. Blocks reverted deeper than one
    answer reaches stay in the statistics until they leave the window.
    """

    def __init__(self, node: FeeSource, *, config: EstimatorConfig | None = None) -> None:
        self._node = node
        self._config = config or EstimatorConfig()
        self._history: dict[int, BlockFees] = {}
        self._asking = asyncio.Lock()
        self._asked_for: Head | None = None
        self._claimed_base_fee = 0
        self._last_head: Head | None = None
        self._requests = 0
        self._failures = 0
        self._last_error = ""

    async def quote(self, urgency: Urgency = Urgency.SOON, *, head: Head | None = None) -> FeeQuote:
        """Quote fees for inclusion within `urgency.blocks` blocks after `head` (default: latest).

        Raises:
            NodeError: the node tells no head, and none was seen before.
        """
        stale = False
        if head is None:
            head, stale = await self._latest()
        async with self._asking:
            if self._asked_for is None or self._asked_for.hash != head.hash:
                await self._refresh(head)
        quote = estimate(
            sorted(self._history.values(), key=lambda block: block.number),
            next_base_fee=max(next_base_fee(head), self._claimed_base_fee),
            gas_limit=head.gas_limit,
            for_block=head.number + 1,
            horizon_blocks=urgency.blocks,
            config=self._config,
        )
        return msgspec.structs.replace(quote, confidence=0.0) if stale else quote

    def observe(self, head: Head, tips: Sequence[int]) -> None:
        """Take effective tips, in wei, seen in a block; they stay unless the node tells its own."""
        fee = head.base_fee_per_gas
        self._keep([BlockFees(number=head.number, base_fee_per_gas=fee, tips=tuple(sorted(tips)))])

    def statistics(self) -> OracleStatistics:
        """Return what was seen and what failed so far."""
        return OracleStatistics(
            blocks=len(self._history),
            requests=self._requests,
            failures=self._failures,
            last_error=self._last_error,
        )

    async def _latest(self) -> tuple[Head, bool]:
        try:
            self._last_head = await self._node.head("latest")
        except NodeError as error:
            if self._last_head is None:
                raise
            self._fail(error)
            return self._last_head, True
        return self._last_head, False

    async def _refresh(self, head: Head) -> None:
        self._last_head = head
        self._claimed_base_fee = 0
        self._requests += 1
        count = self._config.base_fee_window
        try:
            history = await self._node.fee_history(count, head.number, REWARD_PERCENTILES)
            blocks = blocks_of(history, newest=head.number)
        except NodeError as error:
            # Safe because the rules still give the next base fee; the next quote asks again.
            self._fail(error)
            return
        self._asked_for = head
        # A development node's next base fee can be set by hand, and a cap below it is refused.
        self._claimed_base_fee = history.base_fees[-1]
        self._keep(blocks)

    def _keep(self, blocks: Sequence[BlockFees]) -> None:
        for block in blocks:
            known = self._history.get(block.number)
            same = known is not None and known.base_fee_per_gas == block.base_fee_per_gas
            if block.tips or not same:
                self._history[block.number] = block
        # Longest horizon on top: a full window of rises needs that many more blocks.
        depth = self._config.base_fee_window + max(u.blocks for u in Urgency)
        newest = max(self._history, default=0)
        for number in [n for n in self._history if n <= newest - depth]:
            del self._history[number]

    def _fail(self, error: NodeError) -> None:
        self._failures += 1
        self._last_error = str(error)
