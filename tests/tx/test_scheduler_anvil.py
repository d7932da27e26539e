import asyncio
from collections.abc import AsyncIterator

import pytest

from toolkit.chain.heads import HeadFollower
from toolkit.chain.node import Node
from toolkit.chain.rpc import open_rpc
from toolkit.chain.signer import LocalSigner
from toolkit.devnet.anvil import start_anvil
from toolkit.gas.oracle import GasOracle
from toolkit.journal.log import Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.journal.sqlite import SqliteBackend
from toolkit.model.chain import Address, Hash, Mode
from toolkit.model.errors import CallReverted, InsufficientFunds, NodeTimeout
from toolkit.model.tx import (
    Attempt,
    Cancelled,
    Confirmed,
    Expired,
    Replaced,
    TransactionRequest,
    Urgency,
)
from toolkit.model.units import ether
from toolkit.tx.scheduler import PublicNode, SchedulerConfig, TransactionScheduler

# The first of Anvil's public accounts: known to everybody, worth nothing.
KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
FRIEND = Address("0x" + "f1" * 20)
PAYMENT = TransactionRequest(to=FRIEND, value=1)
CONFIG = SchedulerConfig(max_cost_wei=ether("0.5"))


class Chain:
    """A mining-on-demand Anvil with a scheduler and a follower of its heads."""

    def __init__(self, url: str) -> None:
        self.rpc = open_rpc(url)
        self.node = Node(self.rpc)
        self.signer = LocalSigner(KEY)
        self.backend: MemoryBackend | SqliteBackend = MemoryBackend()
        self.public = PublicNode(self.node)

    async def open(self) -> TransactionScheduler:
        self.journal = Journal(self.backend)
        self.follower = HeadFollower(self.node)
        await self.follower.poll()
        self.scheduler = TransactionScheduler(
            self.node,
            signers=[self.signer],
            journal=self.journal,
            oracle=GasOracle(self.node),
            chain_id=31337,
            mode=Mode.DEV,
            config=CONFIG,
            public=self.public,
        )
        await self.scheduler.start()
        return self.scheduler

    async def follow(self) -> None:
        change = await self.follower.poll()
        assert change is not None
        await self.scheduler.on_head(change)

    async def mine(self) -> None:
        await self.rpc.call("evm_mine")
        await self.follow()

    async def close(self) -> None:
        await self.scheduler.close()
        await self.journal.close()

    async def raw(self, request_id: str) -> list[str]:
        state = self.scheduler._runners[self.signer.address].state
        return [attempt.signed.raw for attempt in state.jobs[request_id].tries]


@pytest.fixture
async def chain() -> AsyncIterator[Chain]:
    async with await start_anvil(["--no-mining"]) as anvil:
        chain = Chain(anvil.url)
        await chain.open()
        yield chain
        await chain.close()
        await chain.rpc.close()


async def test_fifty_concurrent_sends_of_one_key_are_all_mined_in_order(chain: Chain) -> None:
    """Fifty sends from one account: nonces 0 to 49, once each, all confirmed."""
    sent = await asyncio.gather(*(chain.scheduler.send(PAYMENT) for _ in range(50)))
    for _ in range(5):
        await chain.mine()

    outcomes = await asyncio.gather(*(one.wait() for one in sent))
    assert 50 == len({outcome.tx_hash for outcome in outcomes})
    assert 50 == await chain.node.nonce(chain.signer.address)
    assert 50 == await chain.node.balance(FRIEND)


async def test_a_timeout_after_acceptance_pays_once(chain: Chain) -> None:
    """The node took it, the answer was lost: the same bytes again, one payment."""

    class Mute(PublicNode):
        async def send(self, attempt: Attempt, *, target_block: int) -> None:
            await super().send(attempt, target_block=target_block)
            raise NodeTimeout("no answer in time")

    await chain.close()
    chain.public = Mute(chain.node)
    await chain.open()
    sent = await chain.scheduler.send(PAYMENT)
    await chain.mine()
    await chain.mine()

    assert isinstance(await sent.wait(), Confirmed)
    assert (1, 1) == (
        await chain.node.balance(FRIEND),
        await chain.node.nonce(chain.signer.address),
    )


async def test_a_dropped_transaction_comes_back(chain: Chain) -> None:
    """Anvil forgets it; the identical bytes are in the pool again one head later."""
    sent = await chain.scheduler.send(PAYMENT)
    first = sent.tx_hash
    await chain.rpc.call("anvil_dropTransaction", [first])
    await chain.mine()
    await chain.mine()

    outcome = await sent.wait()
    assert isinstance(outcome, Confirmed)
    assert first == outcome.tx_hash


async def test_a_rising_base_fee_leads_to_a_replacement(chain: Chain) -> None:
    """A cap below the base fee is bid up on both fields and mined under another hash.

    Anvil refuses caps below the base fee at admission and keeps those it has, so here the
    replacement passes Anvil's own rule only; the pools' rules are in `test_fees.py`.
    """
    sent = await chain.scheduler.send(PAYMENT, urgency=Urgency.NEXT_BLOCK)
    first = sent.tx_hash
    for _ in range(3):
        base_fee = 5 * 10**9
        await chain.rpc.call("anvil_setNextBlockBaseFeePerGas", [hex(base_fee)])
        await chain.mine()
    await chain.mine()

    outcome = await sent.wait()
    assert isinstance(outcome, Confirmed)
    assert first != outcome.tx_hash
    assert 1 == await chain.node.balance(FRIEND)


async def test_a_cap_below_the_base_fee_is_raised_after_anvils_refusal(chain: Chain) -> None:
    """Refused at admission as too cheap, it is bid again at the next head."""
    await chain.rpc.call("anvil_setNextBlockBaseFeePerGas", [hex(10**9)])
    await chain.mine()
    quoted = chain.scheduler.send(PAYMENT, urgency=Urgency.NEXT_BLOCK)
    await chain.rpc.call("anvil_setNextBlockBaseFeePerGas", [hex(9 * 10**9)])
    sent = await quoted
    await chain.mine()
    await chain.mine()
    await chain.mine()

    assert isinstance(await sent.wait(), Confirmed)


async def test_cancel_is_told_by_the_receipt(chain: Chain) -> None:
    """The self-transfer won: cancelled, nothing paid, its hash and fee named."""
    sent = await chain.scheduler.send(PAYMENT)
    await sent.cancel()
    await chain.mine()

    outcome = await sent.wait()
    assert isinstance(outcome, Cancelled)
    assert outcome.tx_hash is not None
    assert 0 < outcome.fee_wei
    assert 0 == await chain.node.balance(FRIEND)


async def test_a_reorg_may_undo_a_cancellation(chain: Chain) -> None:
    """On the new branch the original was mined, and the outcome follows the chain."""
    sent = await chain.scheduler.send(PAYMENT)
    await sent.cancel()
    await chain.mine()
    assert isinstance(await sent.wait(), Cancelled)
    original, _ = await chain.raw(sent.request_id)
    await chain.rpc.call("anvil_reorg", [1, [[original, 0]]])
    await chain.follow()

    outcome = await sent.wait()
    assert isinstance(outcome, Confirmed)
    assert 1 == await chain.node.balance(FRIEND)


async def test_a_reorg_that_drops_our_transaction_sends_it_again(chain: Chain) -> None:
    """Mined, taken back by a reorg of depth 2, handed out again, mined once more."""
    sent = await chain.scheduler.send(PAYMENT)
    await chain.mine()
    await chain.mine()
    first = await sent.wait()
    await chain.rpc.call("anvil_reorg", [2, []])
    await chain.follow()
    assert 0 == await chain.node.balance(FRIEND)
    await chain.mine()

    second = await sent.wait()
    assert isinstance(first, Confirmed)
    assert isinstance(second, Confirmed)
    assert (first.tx_hash, True) == (second.tx_hash, first.block_hash != second.block_hash)
    assert (1, 1) == (
        await chain.node.balance(FRIEND),
        chain.scheduler.statistics().reopened,
    )


async def test_a_deadline_is_kept(chain: Chain) -> None:
    """What no block took in time is spent on nothing, and never paid."""
    sent = await chain.scheduler.send(PAYMENT, deadline_blocks=1)
    await chain.rpc.call("anvil_dropTransaction", [sent.tx_hash])
    await chain.mine()
    await chain.mine()

    outcome = await sent.wait()
    assert isinstance(outcome, Expired)
    assert (1, 0) == (outcome.last_block, await chain.node.balance(FRIEND))


async def test_a_wallet_elsewhere_takes_our_nonce(chain: Chain) -> None:
    """Anvil's own wallet outbids us: the request ends as Replaced by that hash."""
    sent = await chain.scheduler.send(PAYMENT)
    foreign = {
        "from": chain.signer.address,
        "to": chain.signer.address,
        "nonce": "0x0",
        "maxFeePerGas": hex(10**12),
        "maxPriorityFeePerGas": hex(10**11),
    }
    by = Hash(await chain.rpc.call("eth_sendTransaction", [foreign]))
    await chain.mine()

    assert Replaced(by=by, nonce=0) == await sent.wait()


async def test_no_funds_and_reverting_payloads_use_no_nonce(chain: Chain) -> None:
    """Anvil's own refusals at preflight reach the caller as typed errors."""
    reverting = Address("0x" + "cc" * 20)
    # PUSH1 0 PUSH1 0 REVERT
    await chain.rpc.call("anvil_setCode", [reverting, "0x60006000fd"])
    with pytest.raises(CallReverted):
        await chain.scheduler.send(TransactionRequest(to=reverting, data="0x01"))
    with pytest.raises(InsufficientFunds):
        await chain.scheduler.send(TransactionRequest(to=FRIEND, value=ether("20000")))

    sent = await chain.scheduler.send(PAYMENT)
    await chain.mine()
    assert isinstance(await sent.wait(), Confirmed)
    assert 1 == await chain.node.nonce(chain.signer.address)
