import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from toolkit.chain.node import FeeHistory
from toolkit.gas.oracle import GasOracle, blocks_of
from toolkit.gas.rules import base_fee_upper_bound, next_base_fee
from toolkit.model.chain import Hash, Head
from toolkit.model.errors import NodeError, NodeTimeout, RpcError
from toolkit.model.tx import Urgency

LIMIT = 30_000_000


def head_at(number: int, *, base_fee: int = 10**9, gas_used: int = LIMIT // 2) -> Head:
    return Head(
        number=number,
        hash=Hash(f"0x{number:064x}"),
        parent_hash=Hash(f"0x{number - 1:064x}"),
        timestamp=number,
        base_fee_per_gas=base_fee,
        gas_limit=LIMIT,
        gas_used=gas_used,
    )


def answer(*base_fees: int, rewards: tuple[tuple[int, ...], ...] = ()) -> FeeHistory:
    # The lie of a forked Anvil: an oldest block that it does not deliver.
    return FeeHistory(oldest_block=0, base_fees=base_fees, gas_used_ratios=(), rewards=rewards)


@dataclass
class FeeNode:
    """A node of a steady chain: `served` bounds what it remembers, `failure` makes it fail."""

    newest: Head
    served: int = 10_000
    failure: Exception | None = None
    answer: FeeHistory | None = None
    asked: list[int | str] = field(default_factory=list)

    async def head(self, block: int | str = "latest") -> Head:
        if self.failure:
            raise self.failure
        assert block == "latest"
        return self.newest

    async def fee_history(
        self, count: int, block: int | str, percentiles: Sequence[float]
    ) -> FeeHistory:
        await asyncio.sleep(0)
        self.asked.append(block)
        if self.failure:
            raise self.failure
        if self.answer is not None:
            return self.answer
        number = int(block)
        count = min(count, number + 1, self.served)
        rewards = (tuple(range(7, 7 + len(percentiles))),) * count
        return answer(*[10**9] * (count + 1), rewards=rewards)


async def test_quote_is_for_the_block_after_the_head() -> None:
    """A quote names the next block, carries its exact base fee, and bids what blocks admitted."""
    head = head_at(200, gas_used=LIMIT)
    oracle = GasOracle(FeeNode(head))

    quote = await oracle.quote(Urgency.NEXT_BLOCK)

    assert 201 == quote.for_block
    assert next_base_fee(head) == quote.base_fee_per_gas
    assert 7 == quote.max_priority_fee_per_gas
    assert next_base_fee(head) + 7 == quote.max_fee_per_gas
    assert 0.95 == quote.confidence


async def test_urgencies_share_one_request_a_head() -> None:
    """Concurrent quotes of any urgency ask the node once a head, and a new head asks again."""
    node = FeeNode(head_at(200))
    oracle = GasOracle(node)

    await asyncio.gather(*(oracle.quote(urgency, head=node.newest) for urgency in Urgency))
    await oracle.quote(head=head_at(201))

    assert [200, 201] == node.asked
    assert 2 == oracle.statistics().requests


async def test_hand_set_base_fee_of_a_development_node_is_covered() -> None:
    """Where the node announces more than the protocol's next base fee, the cap admits it."""
    node = FeeNode(head_at(50))
    node.answer = answer(1, 5 * 10**9)

    quote = await GasOracle(node).quote(Urgency.NEXT_BLOCK)

    assert 5 * 10**9 == quote.base_fee_per_gas
    assert quote.max_fee_per_gas > 5 * 10**9


async def test_claimed_base_fee_lasts_no_longer_than_its_head() -> None:
    """A node's word about one block's successor is not used for another's, even when it fails."""
    node = FeeNode(head_at(50))
    node.answer = answer(1, 5 * 10**9)
    oracle = GasOracle(node)
    await oracle.quote()
    node.failure = NodeTimeout("no answer")

    quote = await oracle.quote(Urgency.NEXT_BLOCK, head=head_at(51))

    assert 10**9 == quote.base_fee_per_gas


async def test_fork_with_a_short_history_is_read_from_its_newest_end() -> None:
    """Entries are counted back from the head by their number, whatever oldestBlock says."""
    node = FeeNode(head_at(1_003), served=3)

    blocks = blocks_of(await node.fee_history(10, 1_003, ()), newest=1_003)

    assert [1_001, 1_002, 1_003] == [block.number for block in blocks]


async def test_history_seen_before_a_fork_forgets_is_kept() -> None:
    """Blocks delivered once stay in use although the node later delivers fewer."""
    node = FeeNode(head_at(300))
    oracle = GasOracle(node)
    await oracle.quote(head=node.newest)
    node.served = 1

    quote = await oracle.quote(Urgency.RELAXED, head=head_at(301))

    bound = base_fee_upper_bound(10**9, gas_limit=LIMIT, blocks=9)
    assert quote.max_fee_per_gas < bound
    assert 301 == oracle.statistics().blocks


@pytest.mark.parametrize("base_fees", [(), (1,) * 103])
def test_impossible_number_of_base_fees_is_an_error(base_fees: tuple[int, ...]) -> None:
    """An answer without any base fee, or for more blocks than there are, is refused."""
    with pytest.raises(NodeError, match=f"up to block 100 has {len(base_fees)} base fees"):
        blocks_of(answer(*base_fees), newest=100)


@pytest.mark.parametrize(
    ("rewards", "expected"),
    [
        ((), [(), ()]),
        (((5,),), [(), (5,)]),
        (((4,), (5,), (6,)), [(5,), (6,)]),
    ],
)
def test_missing_short_and_long_rewards_are_matched_from_the_newest_block(
    rewards: tuple[tuple[int, ...], ...], expected: list[tuple[int, ...]]
) -> None:
    """Rewards belong to the newest blocks, and what is missing leaves a block without tips."""
    blocks = blocks_of(answer(1, 2, 3, rewards=rewards), newest=9)

    assert expected == [block.tips for block in blocks]
    assert [1, 2] == [block.base_fee_per_gas for block in blocks]


@pytest.mark.parametrize("failure", [NodeTimeout("slow"), RpcError(-32601, "no such method")])
async def test_node_without_fee_history_still_gets_the_protocol_bound(failure: Exception) -> None:
    """Without any history a quote is the hard bound and the smallest tip, at no confidence."""
    head = head_at(10, gas_used=LIMIT)
    oracle = GasOracle(FeeNode(head, failure=failure))

    quote = await oracle.quote(Urgency.SOON, head=head)

    bound = base_fee_upper_bound(next_base_fee(head), gas_limit=LIMIT, blocks=2)
    assert bound + 1 == quote.max_fee_per_gas
    assert 0.0 == quote.confidence
    assert 1 == oracle.statistics().failures


async def test_malformed_answer_degrades_to_the_last_good_history() -> None:
    """After nonsense the earlier blocks still set the tip, and the failure is counted."""
    node = FeeNode(head_at(200))
    oracle = GasOracle(node)
    await oracle.quote(head=node.newest)
    node.answer = answer()

    quote = await oracle.quote(Urgency.NEXT_BLOCK, head=head_at(201))

    assert 7 == quote.max_priority_fee_per_gas
    assert 202 == quote.for_block
    assert "block 201" in oracle.statistics().last_error


async def test_failed_question_is_asked_again_at_the_same_head() -> None:
    """A head whose history could not be read is not taken for answered."""
    node = FeeNode(head_at(200), failure=NodeTimeout("slow"))
    oracle = GasOracle(node)
    await oracle.quote(head=node.newest)
    node.failure = None

    quote = await oracle.quote(head=node.newest)

    assert 7 == quote.max_priority_fee_per_gas


async def test_unreachable_node_quotes_on_the_last_head_at_no_confidence() -> None:
    """When even the head cannot be read, the last one serves and the quote admits it."""
    node = FeeNode(head_at(200))
    oracle = GasOracle(node)
    good = await oracle.quote()
    node.failure = NodeTimeout("slow")

    stale = await oracle.quote()

    assert good.max_fee_per_gas == stale.max_fee_per_gas
    assert 0.0 == stale.confidence


async def test_unreachable_node_without_a_head_is_an_error() -> None:
    """With nothing ever seen there is nothing honest to quote."""
    with pytest.raises(NodeTimeout):
        await GasOracle(FeeNode(head_at(1), failure=NodeTimeout("slow"))).quote()


async def test_own_observation_fills_what_the_node_leaves_out() -> None:
    """Observed tips count where the node reports none, and survive its empty answer."""
    node = FeeNode(head_at(9))
    node.answer = answer(10**9, 10**9, rewards=((),))
    oracle = GasOracle(node)
    oracle.observe(head_at(9), [40, 30])

    quote = await oracle.quote(Urgency.NEXT_BLOCK)

    assert 30 == quote.max_priority_fee_per_gas


async def test_history_is_bounded() -> None:
    """However many blocks pass, no more are held than the estimator reads."""
    node = FeeNode(head_at(0))
    oracle = GasOracle(node)

    for number in range(0, 2_000, 100):
        await oracle.quote(head=head_at(number))

    assert 310 == oracle.statistics().blocks
