import asyncio
import random
import secrets
from collections import Counter
from collections.abc import Callable, Coroutine
from itertools import pairwise

import pytest

from tests.tx.world import ETHER, FRIEND, GWEI, OWNER, REVERTING, InlineJournal, Mempool, World
from toolkit.journal.log import Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.model.bundle import Landed
from toolkit.model.chain import Hash, HeadChange, Mode
from toolkit.model.errors import CallReverted, ConfigError, InsufficientFunds, ToolkitError
from toolkit.model.tx import (
    Cancelled,
    Confirmed,
    Expired,
    Exposure,
    FeeQuote,
    Outcome,
    Replaced,
    Reverted,
    SignedTransaction,
    TransactionRequest,
    UnsignedTransaction,
    Urgency,
)
from toolkit.tx.events import Ended, Failed, Leased, Prepared
from toolkit.tx.recovery import recover
from toolkit.tx.scheduler import BundleLease, SchedulerConfig, Sent, TransactionScheduler

FAULTS = {
    "delay": 1.0,
    "refused": 0.05,
    "lost_before": 0.05,
    "lost_after": 0.08,
    "dropped": 0.05,
    "full": 0.03,
    "cheap": 0.03,
    "stale": 0.03,
    "lag": 0.05,
    "skip": 0.1,
}
CONFIG = SchedulerConfig(max_cost_wei=ETHER // 10, max_in_flight=5, replace_after_blocks=2)
STEPS = 40
DRAIN_BLOCKS = 25
FRESH_SEEDS = 200
FAILED_BEFORE = (299, 1167)
"""Seeds that once broke an invariant; they run for ever."""


class SlowSigner:
    """A signer that lets other things happen while it signs."""

    address = OWNER.address

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    async def sign_transaction(self, unsigned: UnsignedTransaction) -> SignedTransaction:
        for _ in range(self._rng.randrange(4)):
            await asyncio.sleep(0)
        return OWNER.sign_transaction_now(unsigned)

    async def sign_message(self, text: bytes) -> str:
        return OWNER.sign_message_now(text)


class Schedule:
    """One seeded life of a scheduler: requests, cancels, bundles, heads, reorgs, crashes."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.world = World(self.rng, **FAULTS)
        self.public = Mempool(self.world)
        self.relay = Mempool(self.world, name="relay", exposure=Exposure.PRIVATE)
        self.backend = MemoryBackend()
        self.sent: dict[str, Sent] = {}
        self.leases: list[BundleLease] = []
        self.coverage: Counter[str] = Counter()
        self.seen = self.world.tip

    async def run(self) -> None:
        await self._boot()
        for _ in range(STEPS):
            action = self.rng.choices(list(self._weights()), list(self._weights().values()))[0]
            self.coverage[action.__name__] += 1
            await action()
            self._check_window()
        await self._drain()
        self._check_end()

    def _weights(self) -> dict[Callable[[], Coroutine[None, None, None]], int]:
        return {
            self._send: 10,
            self._head: 14,
            self._cancel: 3,
            self._reorg: 2,
            self._outside: 1,
            self._crash: 1,
            self._busy: 3,
            self._lease: 2,
            self._fees: 3,
        }

    async def _boot(self) -> None:
        self.journal: Journal = InlineJournal(self.backend)
        self.scheduler = TransactionScheduler(
            self.world,
            signers=[SlowSigner(self.rng)],
            journal=self.journal,
            oracle=self.world,
            chain_id=1,
            mode=Mode.DEV,
            config=CONFIG,
            public=self.public,
            destinations=[self.relay],
        )
        await self.scheduler.start()
        self.seen = self.world.tip

    async def _crash(self) -> None:
        """Die in the middle of a call; the next process has only what was durable."""
        task = asyncio.create_task(self.rng.choice([self._send, self._head, self._cancel])())
        for _ in range(self.rng.randrange(30)):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await self._boot()

    async def _busy(self) -> None:
        """Everything at once, on a signer that takes its time."""
        await asyncio.gather(self._send(), self._head(), self._cancel(), self._send())

    async def _send(self) -> None:
        count = self.rng.randint(1, 4)
        await asyncio.gather(*(self._send_one() for _ in range(count)))

    async def _send_one(self) -> None:
        data = self.rng.choice(["0x", "0x", "0x01", REVERTING])
        reverts_late = data == REVERTING and self.rng.random() < 0.5
        request = TransactionRequest(
            to=FRIEND,
            value=self.rng.randrange(ETHER),
            data=data,
            gas=50_000 if reverts_late else None,
        )
        try:
            sent = await self.scheduler.send(
                request,
                urgency=self.rng.choice(list(Urgency)),
                deadline_blocks=self.rng.choice([None, None, 1, 3, 6]),
                destinations=self.rng.choice([[self.public], [self.relay], None]),
                simulate=not reverts_late,
            )
        except CallReverted:
            self.coverage["preflight_refusals"] += 1
        except InsufficientFunds:
            self.coverage["unfunded"] += 1
        else:
            self.sent[sent.request_id] = sent

    async def _head(self) -> None:
        self.world.mine(capacity=self.rng.randrange(5))
        if self.rng.random() < 0.8:  # else the follower is late by a block
            await self._follow()

    async def _follow(self) -> None:
        added = tuple(b.head for b in self.world.blocks if b.head.number > self.seen.number) or (
            self.world.tip,
        )
        self.seen = self.world.tip
        await self.scheduler.on_head(HeadChange(added=added))

    async def _reorg(self) -> None:
        await self._follow()
        change = self.world.reorg(self.rng.randint(1, 3))
        self.seen = self.world.tip
        await self.scheduler.on_head(change)

    async def _outside(self) -> None:
        self.world.spend_outside()
        await self._follow()

    async def _cancel(self) -> None:
        if self.sent:
            name = self.rng.choice(sorted(self.sent))
            state = self.scheduler._runners[OWNER.address].state
            if name in state.jobs:
                handle = self.scheduler._handle(self.scheduler._runners[OWNER.address], name)
                await handle.cancel()

    async def _fees(self) -> None:
        self.world.base_fee = max(GWEI, self.world.base_fee * self.rng.randint(70, 160) // 100)
        self.world.base_fee = min(self.world.base_fee, 200 * GWEI)

    async def _lease(self) -> None:
        await self._follow()
        requests = [TransactionRequest(to=FRIEND, value=1, gas=21_000)] * self.rng.randint(1, 2)
        fee = FeeQuote(
            max_fee_per_gas=300 * GWEI,
            max_priority_fee_per_gas=GWEI,
            base_fee_per_gas=1,
            for_block=1,
        )
        target = self.world.tip.number + 1
        try:
            lease = await self.scheduler.lease_bundle(
                requests, sender=OWNER.address, target_block=target, fee=fee
            )
        except (ConfigError, InsufficientFunds):
            self.coverage["lease_refused"] += 1
            return
        self.leases.append(lease)
        if lease.signed[0].unsigned.nonce == self.world.spent and self.rng.random() < 0.6:
            self.world.mine(only=list(lease.signed))
            landed = self.world.tip
            if self.rng.random() < 0.5:
                result = Landed(
                    bundle_hash=landed.hash,
                    block_number=landed.number,
                    block_hash=landed.hash,
                    builder=FRIEND,
                    fee_wei=0,
                    tip_wei=0,
                )
                await self.scheduler.settle_bundle(lease, result)
            self.coverage["lease_landed"] += 1
        else:
            self.world.mine(capacity=0)
        await self._follow()

    async def _drain(self) -> None:
        """Stop the faults; everything open must now come to its end."""
        self.world.faults = {}
        for _ in range(DRAIN_BLOCKS):
            self.world.base_fee = 10 * GWEI
            self.world.mine(capacity=10)
            await self._follow()
        await self.scheduler.close()
        await self.journal.close()

    # What must hold.

    def _check_window(self) -> None:
        state = self.scheduler._runners[OWNER.address].state
        unspent = [job for job in state.in_flight() if (job.nonce or 0) >= state.nonce]
        fillers = [job for job in unspent if job.request_id.startswith("fill-")]
        assert len(unspent) - len(fillers) <= CONFIG.max_in_flight + self._reopened(), "window"
        if self.rng.random() < 0.2:
            assert recover(self.journal).lanes[OWNER.address] == state, "state is not its fold"

    def _reopened(self) -> int:
        # A reorg, or a receipt that lags at a restart, may bring back more than a window.
        return 20 * (self.coverage["_reorg"] + self.coverage["_crash"])

    def _check_end(self) -> None:
        events = [
            (entry.seq, entry.kind, self.journal.decode(entry, kind))
            for entry in self.backend.load()
            for name, kind in (
                ("tx.prepared", Prepared),
                ("tx.outcome", Ended),
                ("tx.failed", Failed),
                ("tx.lease", Leased),
            )
            if entry.kind == name
        ]
        ends: dict[str, Outcome | None] = {}
        ended_at: dict[str, int] = {}
        prepared: dict[str, list[Prepared]] = {}
        holders: dict[int, list[tuple[int, str]]] = {}
        for seq, _, event in events:
            if isinstance(event, Prepared):
                prepared.setdefault(event.request_id, []).append(event)
                nonce = event.signed.unsigned.nonce
                if event.request_id not in [name for _, name in holders.get(nonce, [])]:
                    holders.setdefault(nonce, []).append((seq, event.request_id))
            elif isinstance(event, Ended | Failed):
                outcome = event.outcome if isinstance(event, Ended) else None
                ends[event.request_id] = outcome
                ended_at[event.request_id] = seq
                self.coverage[type(outcome).__name__] += 1
        self._check_holders(holders, ends, ended_at)
        accepted = recover(InlineJournal(self.backend)).requests
        assert set(accepted) <= set(ends), "a request has no end"
        for name in accepted:
            self._check_truth(name, ends[name], prepared.get(name, []))
        state = self.scheduler._runners[OWNER.address].state
        assert [] == state.in_flight()
        assert not [nonce for nonce in self.world.pool if nonce > self.world.spent], "gap"

    def _check_holders(
        self,
        holders: dict[int, list[tuple[int, str]]],
        ends: dict[str, Outcome | None],
        ended_at: dict[str, int],
    ) -> None:
        for nonce, requests in holders.items():
            for (_, earlier), (seq, later) in pairwise(requests):
                assert ended_at[earlier] < seq, f"nonce {nonce}: {later} while {earlier} lives"
                end = ends[earlier]
                unsent = end is None or (end.tx_hash is None and not isinstance(end, Replaced))
                assert unsent or isinstance(end, Replaced), f"nonce {nonce} given twice: {end}"

    def _check_truth(self, name: str, end: Outcome | None, attempts: list[Prepared]) -> None:
        chain = self.world.mined()
        assert 1 >= len({a.signed.unsigned.nonce for a in attempts}), f"{name} has two nonces"
        for attempt in attempts:
            unsigned = attempt.signed.unsigned
            assert unsigned.gas * unsigned.fee_cap <= CONFIG.max_cost_wei, "ceiling"
        landed = [a for a in attempts if a.signed.hash in chain]
        if not landed:
            assert isinstance(end, Cancelled | Expired | Replaced | None), f"{name}: {end}"
            if isinstance(end, Replaced):
                # A reorg may have taken a landed bundle back; see the limits in `tx/lane.py`.
                bundled = {tx.hash for lease in self.leases for tx in lease.signed}
                assert end.by in chain.keys() | bundled, f"{name} replaced by nothing"
            elif end is not None:
                assert end.tx_hash is None, f"{name}: {end} is not mined"
            return
        assert 1 == len(landed)
        mined = landed[0]
        assert end is not None, f"{name} failed but is mined"
        assert mined.signed.hash == end.tx_hash, f"{name}: {end}"
        if mined.cancels:
            assert isinstance(end, Cancelled | Expired), f"{name}: {end}"
        else:
            fails = mined.signed.unsigned.data == REVERTING
            assert isinstance(end, Reverted if fails else Confirmed), f"{name}: {end}"
        if isinstance(end, Confirmed | Reverted):
            assert chain[Hash(mined.signed.hash)] == end.block_number


async def _live(seed: int) -> Counter[str]:
    schedule = Schedule(seed)
    try:
        await schedule.run()
    except (AssertionError, ToolkitError, KeyError) as error:
        error.add_note(f"seed {seed}")
        raise
    return schedule.coverage


@pytest.mark.parametrize("seed", FAILED_BEFORE)
async def test_a_schedule_that_once_failed(seed: int) -> None:
    """A seed that broke an invariant once does not break it again."""
    await _live(seed)


@pytest.mark.timeout(240)
async def test_every_schedule_ends_in_the_truth() -> None:
    """Under faults, reorgs, crashes and rivals every request ends once, as the chain says."""
    base = secrets.randbits(32)
    print(f"seeds {base}..{base + FRESH_SEEDS - 1}")
    coverage: Counter[str] = Counter()

    for seed in range(base, base + FRESH_SEEDS):
        coverage += await _live(seed)

    print(dict(coverage))
    reached = ["Confirmed", "Reverted", "Expired", "Cancelled", "Replaced", "lease_landed"]
    assert [] == [name for name in [*reached, "_crash", "_reorg"] if not coverage[name]]
