"""Seeded lives of a scheduler over a faulty world: one seed is one interleaving, for ever.

    coverage = run_many(chaotic_world, range(200))
    print(coverage)

Each schedule asks for transactions, cancels some, leases bundles, moves heads, reorganises, lets
strangers spend nonces and kills the process; then the faults stop, everything must come to an end,
and what was told must be what the chain has.
"""

import asyncio
import random
import selectors
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from typing import NamedTuple

from toolkit.chain.signer import Signer
from toolkit.journal.log import Journal
from toolkit.model.bundle import Landed
from toolkit.model.chain import Address, Head, HeadChange, Mode
from toolkit.model.errors import (
    CallReverted,
    ConfigError,
    FeeLimitReached,
    InsufficientFunds,
    LaneHalted,
    NodeError,
    RejectedByNode,
    SignerError,
    ToolkitError,
)
from toolkit.model.tx import Exposure, ExternalSpend, FeeQuote, TransactionRequest, Urgency
from toolkit.testing.coverage import Coverage
from toolkit.testing.durable import Checked, Durable
from toolkit.testing.fakes import (
    ETHER,
    FRIEND,
    GWEI,
    OWNER,
    REVERTING,
    BatchingWorld,
    InlineJournal,
    Mempool,
    SlowSigner,
    World,
)
from toolkit.testing.faults import CHAOS
from toolkit.testing.truth import Story
from toolkit.tx.handle import BundleLease, Sent
from toolkit.tx.recovery import Fold, Recovered, checkpoint, end_of, recover
from toolkit.tx.scheduler import Destination, SchedulerConfig, TransactionScheduler

CONFIG = SchedulerConfig(
    max_cost_wei=ETHER // 50, max_in_flight=5, replace_after_blocks=2, finality_blocks=6
)
DRAIN_BLOCKS = 100
SETTLED_BLOCKS = CONFIG.finality_blocks + 1
"""Heads without anything open after which a schedule has come to rest."""
DEAREST_GWEI = 200
REFUSALS = (ConfigError, FeeLimitReached, InsufficientFunds, LaneHalted, NodeError)


def chaotic_world(rng: random.Random) -> World:
    """A world on a bad day: every fault of `toolkit.testing.faults.CHAOS`.

    Every other one answers all that a head is asked at once, as nodes with batches do.
    """
    return rng.choice([World, BatchingWorld])(rng, **CHAOS)


def run_many(
    world: Callable[[random.Random], World],
    seeds: Iterable[int],
    *,
    schedule: "type[Schedule] | None" = None,
) -> Coverage:
    """Live one schedule for each seed; returns what all of them went through.

    Needs no event loop, and may be called inside one.

    Args:
        world: makes the chain of one seed.
        seeds: one schedule each.
        schedule: another kind of life than `Schedule`.

    Raises:
        AssertionError, ToolkitError: an invariant broke; the first note names the seed.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(lambda: _run_all(world, seeds, schedule)).result()


def run_one(
    world: Callable[[random.Random], World],
    seed: int,
    *,
    schedule: "type[Schedule] | None" = None,
) -> Coverage:
    """Live the schedule of one seed, on a loop of its own.

    Raises:
        AssertionError, ToolkitError: an invariant broke, or nothing would ever happen again; the
            first note names the seed.
    """
    life = (schedule or Schedule)(world, seed)
    try:
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(_NeverIdle())) as runner:
            runner.run(life.run())
    except (AssertionError, ToolkitError, LookupError, TypeError, ValueError) as error:
        error.add_note(f"seed {seed}")
        raise
    return life.coverage


def _run_all(
    world: Callable[[random.Random], World],
    seeds: Iterable[int],
    schedule: "type[Schedule] | None",
) -> Coverage:
    coverage = Coverage()
    for seed in seeds:
        coverage += run_one(world, seed, schedule=schedule)
    return coverage


class _NeverIdle(selectors.DefaultSelector):
    """Turns a deadlock into a failure: here nothing ever comes from outside the loop."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "deadlock: everybody waits for somebody"
        return []


class Schedule:
    """One seeded life of a scheduler: requests, cancels, bundles, heads, reorgs, crashes."""

    steps = 40
    """Actions before the faults stop."""

    config = CONFIG
    """The bounds of its scheduler."""

    accounts: tuple[Address, ...] = (OWNER.address,)
    """Whose lanes its scheduler keeps, and whose nonces must come out even."""

    deep = 0.12
    """How likely a reorg is deeper than what was final."""

    def __init__(self, world: Callable[[random.Random], World], seed: int) -> None:
        self.rng = random.Random(seed)  # noqa: S311 - a schedule is drawn, not a secret
        self.world = world(self.rng)
        self.backend = Durable()
        self.public = self.place("public", Exposure.PUBLIC)
        self.relay = self.place("relay", Exposure.PRIVATE)
        self.sent: dict[str, Sent] = {}
        self.forbidden = False  # whether the author's ceiling forbids what alone could end it
        self.coverage = Coverage()
        self.seen = self.world.tip
        self._disturbed = 0
        self._undone = False  # whether a reorg took back what was final
        self._unheard: tuple[Head, ...] = ()  # reverted, and not told to the scheduler yet
        self._asked: dict[str, Ask] = {}
        self._serial = count()

    def place(self, name: str, exposure: Exposure) -> Mempool:
        """Where its transactions go."""
        return Checked(self.world, self.backend, name, exposure)

    def signer(self) -> Signer:
        """Who signs for its account."""
        return SlowSigner(self.world)

    def signers(self) -> list[Signer]:
        """Everybody whose account its scheduler knows."""
        return [self.signer()]

    async def run(self) -> None:
        """Live it, and check what came of it.

        Raises:
            AssertionError: an invariant broke.
        """
        await self._boot()
        actions, weights = zip(*self.weights().items(), strict=True)
        for _ in range(self.steps):
            action = self.rng.choices(actions, weights)[0]
            self.coverage.actions[action.__name__.removeprefix("_")] += 1
            await action()
        await self._drain()
        self._check()

    def weights(self) -> dict[Callable[[], Coroutine[None, None, None]], int]:
        """What happens, and how often beside the rest."""
        return {
            self._send: 10,
            self._head: 14,
            self._cancel: 3,
            self._replace: 3,
            self._reorg: 2,
            self._outside: 1,
            self._crash: 1,
            self._busy: 3,
            self._abandon: 2,
            self._lease: 2,
            self._fees: 3,
            self._funds: 1,
            self._delegate: 1,
            self._resume: 1,
        }

    def open_journal(self) -> InlineJournal:
        """The journal of its next process."""
        return InlineJournal(self.backend)

    async def _boot(self) -> None:
        self.journal = self.open_journal()
        self.scheduler = TransactionScheduler(
            self.world,
            signers=self.signers(),
            journal=self.journal,
            oracle=self.world,
            chain_id=1,
            mode=Mode.DEV,
            config=self.config,
            public=self.public,
            destinations=[self.relay],
        )
        while not await self._node_answers(self.scheduler.start()):
            pass  # tried again, as whoever starts a process does
        self.seen = self.world.tip

    async def _crash(self) -> None:
        """Die in the middle of a call; the next process has only what was durable."""
        if self.rng.random() < 0.3:  # noqa: PLR2004 - what a scheduler does by itself much later
            found = recover(self.journal)
            fold = Fold(opening=found.opening, lanes=found.lanes, seqs=found.seqs)
            checkpoint(self.journal, fold)
            self.coverage.ends["checkpoint"] += 1
        task = asyncio.create_task(self.rng.choice([self._send, self._head, self._cancel])())
        for _ in range(self.rng.randrange(30)):
            await asyncio.sleep(0)
        self.journal.cut = True
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self._disturbed += 1
        await self._boot()
        await self._ask_again()

    async def _ask_again(self) -> None:
        """Handles of a dead process are dead; whoever gave a key asks again and gets a new one."""
        told, self.sent = self.sent, {}
        for key, ask in tuple(self._asked.items()):
            sent = await self._ask(ask)
            if sent is not None and key in told:
                again = f"key {key} stood for {told[key].request_id} and now for {sent.request_id}"
                assert sent.request_id == told[key].request_id, again

    async def _abandon(self) -> None:
        """A caller loses patience in the middle of a call; the lane goes on."""
        call = self.rng.choice([self._send_one, self._send_one, self._head, self._cancel])
        task = asyncio.create_task(call())
        for _ in range(self.rng.randrange(30)):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def _busy(self) -> None:
        """Everything at once, on a signer that takes its time."""
        await asyncio.gather(
            self._send(), self._head(), self._cancel(), self._replace(), self._send()
        )

    async def _send(self) -> None:
        together = self.rng.randint(1, 4)
        await asyncio.gather(*(self._send_one() for _ in range(together)))

    async def _send_one(self) -> None:
        ask = self.wish()
        self._asked[ask.key] = ask
        await self._ask(ask)

    def wish(self) -> "Ask":
        """What an author asks for next."""
        data = self.rng.choice(["0x", "0x", "0x01", REVERTING])
        reverts_late = data == REVERTING and self.rng.random() < 0.5  # noqa: PLR2004 - a coin
        return Ask(
            request=TransactionRequest(
                to=FRIEND,
                value=self.rng.randrange(ETHER),
                data=data,
                gas=50_000 if reverts_late else None,
                type=self.rng.choice([0, 1, 2, 2, 2, 2]),
            ),
            urgency=self.rng.choice(list(Urgency)),
            deadline_blocks=self.rng.choice([None, None, 1, 3, 6]),
            destinations=self.rng.choice([(self.public,), (self.relay,), None]),
            simulate=not reverts_late,
            priority=self.rng.choice([0, 0, 0, 1, -1]),
            after=self._leader(),
            on_external_spend=self.rng.choice(list(ExternalSpend)),
            key=f"key-{next(self._serial)}",
        )

    async def _ask(self, ask: "Ask") -> Sent | None:
        try:
            sent = await self.scheduler.send(
                ask.request,
                urgency=ask.urgency,
                deadline_blocks=ask.deadline_blocks,
                destinations=ask.destinations,
                simulate=ask.simulate,
                priority=ask.priority,
                after=ask.after,
                on_external_spend=ask.on_external_spend,
                idempotency_key=ask.key,
            )
        except CallReverted:
            self._refused(ask, "reverts")
        except InsufficientFunds:
            self._refused(ask, "unfunded")
        except (FeeLimitReached, LaneHalted, SignerError, NodeError) as error:
            self._refused(ask, type(error).__name__)
        except RejectedByNode as error:
            self.rejected(ask, error)
        else:
            self.sent[ask.key] = sent
            return sent
        return None

    def rejected(self, ask: "Ask", error: RejectedByNode) -> None:  # noqa: ARG002 - for other lives
        """A request was refused for good, by a pool or before it came there."""
        self.coverage.ends["failed at once"] += 1

    def _refused(self, ask: "Ask", why: str) -> None:
        assert ask.key not in self.sent, f"{ask.key} was accepted and is refused: {why}"
        self.coverage.ends[f"refused: {why}"] += 1
        self._asked.pop(ask.key, None)

    async def _head(self) -> None:
        self.world.mine(capacity=self.rng.randrange(5))
        if self.rng.random() < 0.8:  # noqa: PLR2004 - else the follower is late by a block
            await self._follow()

    async def _follow(self) -> None:
        blocks = self.world.blocks
        unseen = [block.head for block in blocks[self.seen.number + 1 :]]
        if len(unseen) > 1 and self.rng.random() < 0.2:  # noqa: PLR2004 - the node is ahead of us
            unseen.pop()
        change = HeadChange(added=tuple(unseen) or (self.world.tip,), reverted=self._unheard)
        if await self._node_answers(self.scheduler.on_head(change)):
            self.seen, self._unheard = change.added[-1], ()

    async def _node_answers(self, asking: Coroutine[None, None, None]) -> bool:
        """Whether a call came through; a change of heads that did not is given again."""
        try:
            await asking
        except NodeError:
            self.coverage.ends["node unreachable"] += 1
            return False
        return True

    def _leader(self) -> str | None:
        """Now and then a request is to follow another one."""
        if not self.sent or self.rng.random() < 0.85:  # noqa: PLR2004 - now and then
            return None
        return self.sent[self.rng.choice(sorted(self.sent))].request_id

    async def _reorg(self) -> None:
        """Mostly shallow; now and then deeper than what was final."""
        await self._follow()
        deep = self.rng.random() < self.deep
        depth = CONFIG.finality_blocks + 2 if deep else self.rng.randint(1, 3)
        change = self.world.reorg(depth, strangers=True)
        self._undone |= len(change.reverted) >= CONFIG.finality_blocks
        self._unheard, self.seen = (*self._unheard, *change.reverted), change.added[0]
        self._disturbed += 1
        await self._follow()

    async def _outside(self) -> None:
        """Somebody else with the key spends the next nonce: on the same, or on something else."""
        known = self.world.known.get(self.world.spent)
        again = known and self.rng.random() < 0.5  # noqa: PLR2004 - a coin
        unsigned = self.rng.choice(known).unsigned if known and again else None
        self.world.spend_outside(
            None
            if unsigned is None
            else TransactionRequest(to=unsigned.to, value=unsigned.value, data=unsigned.data)
        )
        self._disturbed += 1
        await self._follow()

    async def _cancel(self) -> None:
        if self.sent:
            await self.sent[self.rng.choice(sorted(self.sent))].cancel()

    async def _replace(self) -> None:
        """The author wants something else, or more haste; too late is refused in so many words."""
        if not self.sent:
            return
        sent = self.sent[self.rng.choice(sorted(self.sent))]
        try:
            if self.rng.random() < 0.5:  # noqa: PLR2004 - a coin
                wish = TransactionRequest(to=FRIEND, value=self.rng.randrange(ETHER))
                await sent.replace(wish, urgency=self.rng.choice(list(Urgency)))
            else:
                cap = self.rng.choice([None, 3 * self.world.base_fee, 900 * GWEI, 900 * GWEI])
                await sent.speed_up(max_fee_per_gas=cap)
        except REFUSALS as refused:
            self.coverage.ends[f"replacement refused: {type(refused).__name__}"] += 1
        else:
            self.coverage.ends["replacement asked"] += 1

    async def _delegate(self) -> None:
        """The account gets code, or loses it: pools then take one transaction at a time."""
        self.world.delegated = self.rng.random() < 0.3  # noqa: PLR2004 - mostly not

    async def _resume(self) -> None:
        await self.scheduler.resume(OWNER.address)

    async def _fees(self) -> None:
        wished = self.world.base_fee * self.rng.randint(70, 160) // 100
        if self.rng.random() < 0.2:  # noqa: PLR2004 - now and then the market goes mad
            wished = self.rng.randint(DEAREST_GWEI // 2, DEAREST_GWEI) * GWEI
        self.world.base_fee = min(max(GWEI, wished), DEAREST_GWEI * GWEI)

    async def _funds(self) -> None:
        """Poor for a while: not everything that waits can be paid for."""
        self.world.balance_wei = self.rng.choice([2, 4, 100]) * ETHER

    async def _lease(self) -> None:
        await self._follow()
        value = self.rng.choice([1, ETHER // 2])
        payment = TransactionRequest(to=FRIEND, value=value, gas=21_000)
        requests = [payment] * self.rng.randint(1, 2)
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
        except (ConfigError, InsufficientFunds, LaneHalted, NodeError, SignerError):
            self.coverage.ends["lease refused"] += 1
            return
        if self.rng.random() < 0.3:  # noqa: PLR2004 - now and then a second bundle for the block
            with suppress(InsufficientFunds, LaneHalted, NodeError, SignerError):
                await self.scheduler.lease_bundle(
                    requests, sender=OWNER.address, target_block=target, fee=fee
                )
        await self._auction(lease)
        if self.rng.random() < 0.5:  # noqa: PLR2004 - a coin
            await self._send()
        await self._follow()

    async def _auction(self, lease: BundleLease) -> None:
        """The bundle wins its block, or not; its author hears of it, or not."""
        first = lease.signed[0].unsigned.nonce
        if first != self.world.spent or self.rng.random() >= 0.6:  # noqa: PLR2004 - a fair rival
            self.world.mine(capacity=0)
            self.coverage.ends["lease missed"] += 1
            return
        self.world.mine(only=list(lease.signed))
        self.coverage.ends["lease landed"] += 1
        landed = self.world.tip
        if self.rng.random() < 0.5:  # noqa: PLR2004 - a coin
            result = Landed(
                bundle_hash=landed.hash,
                block_number=landed.number,
                block_hash=landed.hash,
                builder=FRIEND,
                fee_wei=0,
                tip_wei=0,
            )
            await self.scheduler.settle_bundle(lease, result)

    async def _drain(self) -> None:
        """Stop the faults; everything open must now come to its end."""
        self.world.faults = {}
        self.world.balance_wei = 100 * ETHER
        self.world.delegated = False
        rested = 0
        for block in range(DRAIN_BLOCKS):
            for account in self.accounts:
                await self.scheduler.resume(account)
            self.world.base_fee = 10 * GWEI
            if block == DRAIN_BLOCKS // 2:
                self._check_said()
            if block >= DRAIN_BLOCKS // 2:  # for what is below the base fee, and cannot be outbid
                self.world.base_fee = GWEI
            self.world.mine(capacity=10)
            await self._follow()
            lanes = self.scheduler.statistics().lanes
            busy = any(lane.queued or lane.in_flight or lane.leases for lane in lanes)
            rested = 0 if busy else rested + 1
            if rested == SETTLED_BLOCKS:
                break
        await self._check_told()
        await self.scheduler.close()
        await self.journal.close()

    def _check_said(self) -> None:
        """What only a cheaper market can end, as below the base fee, has said so by now."""
        for sent in self.sent.values():
            now = sent.status()
            lowest = now.nonce == self.world.spent_by(sent.sender)
            held = lowest and now.state in {"prepared", "broadcast"}
            assert now.waiting_for or not held, f"{sent.request_id} waits in silence"

    async def _check_told(self) -> None:
        """What every handle tells is the journal's; who waits for ever says what forbids more."""
        lanes = self.scheduler.statistics().lanes
        self.forbidden = any("exceed max_cost_wei" in lane.waiting for lane in lanes)
        for sent in self.sent.values():
            told = end_of(self.journal, sent.request_id)
            if told is None and self.forbidden and self.held_up(sent):
                continue
            assert told is not None, f"{sent.request_id} has no end"
            if isinstance(told, ToolkitError):
                continue
            assert await sent.wait() == told, f"{sent.request_id} is told another end: {told}"

    def held_up(self, sent: Sent) -> bool:
        """Whether a request hangs on what the ceiling forbids."""
        return (sent.status().nonce or 0) >= self.world.spent_by(sent.sender)

    def _check(self) -> None:
        journal = InlineJournal(self.backend)
        recovered = recover(journal)
        assert not recovered.unreported, "an end was decided and not told"
        stories = [self._check_lane(lane, journal, recovered) for lane in self.accounts]
        self.coverage.faults.update(self.world.struck)
        struck = self.world.faults_struck() + self._disturbed
        most = max(story.most_in_flight for story in stories)
        self.coverage.close(most_in_flight=most, faults=struck)

    def _check_lane(self, lane: Address, journal: Journal, recovered: Recovered) -> Story:
        """One account's requests, and every event of its lane."""
        story = Story(journal, lane, self.coverage)
        folded = recovered.lanes[lane]
        assert story.state == folded, "what a restart recovers is not the fold of the journal"
        if not self.forbidden:
            assert not folded.in_flight(), "a nonce is held for ever"
            pool, spent = self.world.pool_of.get(lane, {}), self.world.spent_by(lane)
            assert not [nonce for nonce in pool if nonce > spent], "gap"
        assert not folded.leases, "a lease is held for ever"
        self.check_story(story)
        story.halted |= self.excused()
        story.taken_back = self.world.undone(CONFIG.finality_blocks)
        story.forbidden = self.forbidden
        story.check(self.world.mined(), self.world.foreign, self.world.reverted())
        return story

    def excused(self) -> bool:
        """Whether a lane need not have halted where a request is mined at both of its nonces."""
        return self._undone

    def check_story(self, story: Story) -> None:
        """What else must be true of the lane's journal in this kind of life."""


class Ask(NamedTuple):
    """One call of `send`, to be made again after a crash."""

    request: TransactionRequest
    urgency: Urgency
    deadline_blocks: int | None
    destinations: tuple[Destination, ...] | None
    simulate: bool
    priority: int
    after: str | None
    on_external_spend: ExternalSpend
    key: str
