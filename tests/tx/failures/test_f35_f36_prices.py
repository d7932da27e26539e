"""Failure cases of prices: a fee history that says nothing, a node with a price of its own."""

from itertools import pairwise
from typing import Any

import msgspec
import pytest

from tests.tx.failures.bot import GWEI, Market, Watched, open_bot, payment
from toolkit.chain.node import Node
from toolkit.chain.signer import decode_transaction
from toolkit.gas.oracle import GasOracle
from toolkit.model.chain import Hash
from toolkit.model.errors import RejectedByNode, Underpriced
from toolkit.model.tx import Cancelled, Confirmed, bumped
from toolkit.model.units import ether
from toolkit.tx.destination import PublicNode
from toolkit.tx.scheduler import SchedulerConfig

PROFILES = pytest.mark.parametrize("profile", ["geth", "reth"])
HISTORY = "eth_feeHistory"
FEES = [hex(GWEI)] * 2
ANSWERS: list[Any] = [
    None,
    {},
    {"oldestBlock": "0x0"},
    {"oldestBlock": "0x0", "baseFeePerGas": [], "gasUsedRatio": [], "reward": []},
    {"oldestBlock": "0x0", "baseFeePerGas": FEES, "gasUsedRatio": [0.0]},
    {"oldestBlock": "0x0", "baseFeePerGas": FEES, "gasUsedRatio": [0.0], "reward": None},
    {"oldestBlock": "0x0", "baseFeePerGas": FEES, "gasUsedRatio": [0.0], "reward": [[]]},
    {"oldestBlock": "0x0", "baseFeePerGas": FEES, "gasUsedRatio": [0.0], "reward": [["0x0"] * 4]},
]


@PROFILES
async def test_f35_a_fee_history_that_says_nothing(profile: str) -> None:
    """Empty blocks, zero rewards, missing fields: the last good fees or the floor, never tip 0."""
    async with open_bot(profile) as bot:
        bot.node.faults.next(HISTORY, "answer", result={})  # from the first block on
        # Through the front, and so through its faults.
        await bot.change(oracle=GasOracle(bot.reader()))
        sent = [await bot.scheduler.send(payment(1))]
        for number, answer in enumerate(ANSWERS):
            bot.node.faults.next(HISTORY, "answer", result=answer)
            await bot.seal()
            sent.append(await bot.scheduler.send(payment(10 ** (1 + number))))
        outcomes = await bot.settle(sent)

        assert 1 + len(ANSWERS) == bot.node.faults.struck.total()
        assert all(isinstance(each, Confirmed) for each in outcomes)
        assert min(each.tip for each in bot.public.log) >= 1
        assert max(each.fee_cap for each in bot.public.log) <= 10 * GWEI
        assert [] == bot.public.refusals()
        assert 111_111_111 == await bot.received()


CAP = 1_100 * GWEI  # with a million gas that is 1.1 ether: a node takes up to 1
DEAR = SchedulerConfig(max_cost_wei=ether("5"))


@PROFILES
async def test_f36_a_fee_above_the_nodes_cap(profile: str) -> None:
    """The node's refusal is told once, and costs no nonce."""
    async with open_bot(profile, oracle=Market(CAP, GWEI), config=DEAR) as bot:
        with pytest.raises(RejectedByNode, match="exceeds the configured cap"):
            await bot.scheduler.send(payment(1, gas=10**6))
        await bot.seal(3)
        tried = len(bot.public.log)
        (after,) = await bot.settle([await bot.scheduler.send(payment(3))])

        assert 1 == tried
        assert isinstance(after, Confirmed)
        assert (0, 3) == await bot.mined(after)


class Stingy:
    """A node that takes nothing dear."""

    async def send_raw(self, raw: str) -> Hash:
        tx_hash = decode_transaction(raw).hash
        raise RejectedByNode(f"tx fee of {tx_hash} exceeds the configured cap", code=-32000)


class AnotherNode(PublicNode):
    """A second way into the public pool."""

    name = "another"


@PROFILES
async def test_f36_another_node_has_no_such_cap(profile: str) -> None:
    """What one of two nodes takes is sent, whatever the other one says."""
    async with open_bot(profile) as bot:
        stingy = AnotherNode(Stingy())
        sent = await bot.scheduler.send(payment(3), destinations=[stingy, bot.public])
        (outcome,) = await bot.settle([sent])

        assert isinstance(outcome, Confirmed)
        assert (0, 3) == await bot.mined(outcome)
        assert 1 == len(bot.public.log)


@PROFILES
async def test_f36_a_replacement_above_the_nodes_cap(profile: str) -> None:
    """The refused bump is not tried again; the older attempt is stood by, and mined below."""
    market = Market(500 * GWEI, GWEI)
    async with open_bot(profile, oracle=market, config=DEAR) as bot:
        sent = await bot.scheduler.send(payment(3, gas=10**6))
        market.cap = CAP
        await bot.seal(6, base_fee_wei=900 * GWEI)
        refusals = bot.public.refusals()
        (outcome,) = await bot.settle([sent], base_fee_wei=GWEI)

        assert 1 == len(refusals)
        assert "exceeds the configured cap" in refusals[0]
        assert 2 == len(bot.public.hashes(0))
        assert isinstance(outcome, Confirmed)
        assert bot.public.hashes(0)[0] == outcome.tx_hash
        assert (1, 3) == (await bot.chain_nonce(), await bot.received())


LEAST_TIP = 25 * GWEI


class Choosy:
    """A node that takes no tip below 25 gwei, as on Polygon."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def send_raw(self, raw: str) -> Hash:
        tip = decode_transaction(raw).unsigned.max_priority_fee_per_gas
        if tip < LEAST_TIP:
            raise Underpriced(f"transaction underpriced: tip needed {LEAST_TIP}, tip given {tip}")
        return await self._node.send_raw(raw)


@pytest.mark.parametrize("ceiling", [20, 60])
@PROFILES
async def test_f36_a_node_with_a_least_tip(profile: str, ceiling: int) -> None:
    """Bids rise by head to the least tip, or to the ceiling, where the lane says why it waits."""
    config = SchedulerConfig(max_cost_wei=21_000 * ceiling * GWEI)
    async with open_bot(profile, oracle=Market(15 * GWEI, 10 * GWEI), config=config) as bot:
        await bot.change(public=Watched(Choosy(bot.reader())))
        sent = await bot.scheduler.send(payment(3))
        await bot.seal(12)
        bids, status = bot.public.bids(), sent.status()

        assert all(new == (bumped(old[0]), bumped(old[1])) for old, new in pairwise(bids))
        assert bids[-1][0] <= ceiling * GWEI
        if ceiling == 60:
            assert LEAST_TIP <= bids[-1][1] < bumped(LEAST_TIP)
            assert isinstance(await sent.wait(), Confirmed)
            assert (1, 3) == (await bot.chain_nonce(), await bot.received())
        else:
            assert "fee ceiling reached" in status.waiting_for
            await sent.cancel()
            assert Cancelled() == await sent.wait()  # nobody has it
            assert 0 == await bot.chain_nonce()


@PROFILES
async def test_f36_a_least_tip_that_the_request_states(profile: str) -> None:
    """Who knows what the node wants says so, and is taken with the first bid."""
    async with open_bot(profile, oracle=Market(60 * GWEI, 10 * GWEI)) as bot:
        await bot.change(public=Watched(Choosy(bot.reader())))
        request = msgspec.structs.replace(payment(3), max_priority_fee_per_gas=LEAST_TIP)
        (outcome,) = await bot.settle([await bot.scheduler.send(request)])

        assert isinstance(outcome, Confirmed)
        assert [(60 * GWEI, LEAST_TIP)] == bot.public.bids()
