"""Lives of requests that go private first, and of bundles beside them, in processes that die.

    coverage = live_with_relays(seed)

Relays and the chain keep books of their own: what reached whom in which block, by which the end is
judged. Nothing private ever reaches the public node, nothing that may go there later reaches it
before its block, no two bundles that contradict each other are ever meant for one block, and
everything that was asked for happens once or not at all, without a nonce left behind.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import cast

import msgspec

from toolkit.bundles.entries import RESULT, SUBMITTED, BundleEnded, BundleSubmitted
from toolkit.bundles.submitter import BundleHandle, Submitter
from toolkit.chain.node import Node
from toolkit.model.bundle import Bundle, Landed
from toolkit.model.chain import Hash, HeadChange, Mode
from toolkit.model.errors import (
    BundleRefused,
    ConfigError,
    InsufficientFunds,
    LaneHalted,
    NodeError,
    RelayError,
    SignerError,
)
from toolkit.model.tx import Attempt, Exposure, ExternalSpend, FeeQuote, TransactionRequest
from toolkit.testing.coverage import Coverage
from toolkit.testing.durable import Checked, Durable
from toolkit.testing.fakes import ETHER, FRIEND, GWEI, OWNER, InlineJournal, Mempool, World
from toolkit.testing.faults import CHAOS
from toolkit.testing.relays import BuiltWorld, Held, ModelRelay
from toolkit.testing.simulation import Ask, Schedule, run_one
from toolkit.tx.events import Accepted, Leased, Observed, Prepared
from toolkit.tx.fallback import PrivateThenPublic
from toolkit.tx.scheduler import Destination, TransactionScheduler

PRIVATE_BLOCKS = 3
ROUTE = PrivateThenPublic.name
RELAYS = ("builder-a", "builder-b")
_RATES = {name: CHAOS[name] / 2 for name in CHAOS if name not in {"banned", "cheap"}}
_FEE = FeeQuote(
    max_fee_per_gas=300 * GWEI,
    max_priority_fee_per_gas=GWEI,
    base_fee_per_gas=1,
    for_block=1,
)


def live_with_relays(seed: int) -> Coverage:
    """Live one seed.

    Raises:
        AssertionError, ToolkitError: an invariant broke; the first note names the seed.
    """
    return run_one(built_world, seed, schedule=Fallback)


def built_world(rng: random.Random) -> World:
    """Half of every fault of a node; what goes wrong at relays comes on top."""
    return BuiltWorld(rng, **(_RATES | {"delay": 1.0}))


class Books:
    """What may be public when, by the journal's own entries: a fold that knows no lane."""

    def __init__(self, backend: Durable) -> None:
        self._backend = backend
        self._read = 0
        self._block = 0
        self.first: dict[str, int] = {}  # target of each request's first attempt
        self.places: dict[str, tuple[str, ...]] = {}  # where its author lets each go
        self.attempts: dict[Hash, str] = {}  # the request of each that is no cancellation
        self.leased: set[Hash] = set()

    def update(self) -> None:
        """Read what became durable since the last time."""
        rows = self._backend.rows[self._read :]
        self._read += len(rows)
        for row in rows:
            if row.kind == "tx.observed":
                self._block = msgspec.json.decode(row.data, type=Observed).block
            elif row.kind == "tx.request":
                asked = msgspec.json.decode(row.data, type=Accepted)
                self.places[asked.request_id] = asked.destinations
            elif row.kind == "tx.prepared":
                made = msgspec.json.decode(row.data, type=Prepared)
                self.first.setdefault(made.request_id, self._block + 1)
                if not made.cancels:
                    self.attempts[made.signed.hash] = made.request_id
            elif row.kind == "tx.lease":
                signed = msgspec.json.decode(row.data, type=Leased).signed
                self.leased |= {one.hash for one in signed}


class Watched(Checked):
    """The public node, which knows what must not come to it."""

    def __init__(self, world: World, backend: Durable, books: Books) -> None:
        super().__init__(world, backend)
        self._books = books

    async def send(self, attempt: Attempt, *, target_block: int) -> None:
        """Take the attempt, if it may be public by now."""
        self._books.update()
        name, books = attempt.request_id, self._books
        assert attempt.signed.hash not in books.leased, f"{name}: a bundle's bytes went public"
        places = books.places.get(name)
        if places is not None and not attempt.cancels and "public" not in places:
            assert ROUTE in places, f"{name} is private for ever and went public"
            early = target_block < books.first[name] + PRIVATE_BLOCKS
            assert not early, f"{name} went public for {target_block}, early"
        await super().send(attempt, target_block=target_block)


class Reborn:
    """The private-then-public route, another object in every process."""

    name = ROUTE
    exposure = Exposure.PUBLIC

    def __init__(self) -> None:
        self.route: PrivateThenPublic

    async def send(self, attempt: Attempt, *, target_block: int) -> None:
        """By the route of the process that lives."""
        await self.route.send(attempt, target_block=target_block)


class Fallback(Schedule):
    """Private requests, requests that go public later, bundles, and many deaths."""

    deep = 0.0

    def __init__(self, world: Callable[[random.Random], World], seed: int) -> None:
        super().__init__(world, seed)
        assert isinstance(self.world, BuiltWorld)
        self.chain = self.world
        self.relays = [ModelRelay(self.chain, name, self._heard) for name in RELAYS]
        self.route = Reborn()
        self.submitter: Submitter | None = None
        self._held: list[Held] = []  # every bundle that a relay was ever told
        self._rewritten: set[int] = set()  # numbers of blocks that a reorg has touched

    def place(self, name: str, exposure: Exposure) -> Mempool:
        """The public node, watched."""
        if exposure is Exposure.PRIVATE:
            return super().place(name, exposure)
        self.books = Books(self.backend)
        return Watched(self.world, self.backend, self.books)

    def weights(self) -> dict[Callable[[], Coroutine[None, None, None]], int]:
        """Many deaths."""
        return {
            self._send_one: 9,
            self._head: 16,
            self._bundle: 8,
            self._contradict: 4,
            self._withdraw: 2,
            self._cancel: 2,
            self._replace: 2,
            self._fees: 2,
            self._busy: 2,
            self._abandon: 2,
            self._reorg: 1,
            self._crash: 6,
        }

    def wish(self) -> Ask:
        """Mostly private first; never for a second nonce, so that each happens at most once."""
        relay = self.rng.choice(self.relays)
        choice: list[Destination] = [*[self.route] * 3, relay, self.public]
        places = (self.rng.choice(choice),)
        deadline = self.rng.choice([None, None, None, 2, 6])
        ask = super().wish()._replace(deadline_blocks=deadline)
        return ask._replace(destinations=places, on_external_spend=ExternalSpend.REPORT)

    async def _boot(self) -> None:
        if self.submitter is not None:
            await self.submitter.close()  # what a dead process was sending stays unsent
        self.journal = InlineJournal(self.backend)
        self.route.route = PrivateThenPublic(
            self.relays, self.public, patience_blocks=PRIVATE_BLOCKS
        )
        self.scheduler = TransactionScheduler(
            self.world,
            signers=self.signers(),
            journal=self.journal,
            oracle=self.world,
            chain_id=1,
            mode=Mode.DEV,
            config=self.config,
            public=self.public,
            destinations=[*self.relays, self.route],
        )
        self.submitter = Submitter(
            self.relays,
            node=cast("Node", self.chain),  # it answers what a bundle's end asks
            scheduler=self.scheduler,
            journal=self.journal,
            mode=Mode.DEV,
            own=frozenset({OWNER.address}),
        )
        while not await self._node_answers(self.scheduler.start()):
            pass
        while not await self._node_answers(self._recover()):
            pass
        self.seen = self.world.tip

    async def _recover(self) -> None:
        assert self.submitter is not None
        found = await self.submitter.recover()
        self.coverage.ends["bundles recovered"] += len(found)

    async def _follow(self) -> None:
        assert self.submitter is not None
        before = self.seen
        await super()._follow()
        if self.seen is not before or self.seen.number == self.world.tip.number:
            await self._node_answers(self.submitter.on_head(HeadChange(added=(self.seen,))))

    async def _crash(self) -> None:
        """Die in the middle of a call, with all that it was sending."""
        task = await self._begun()
        self.journal.cut = True
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self._disturbed += 1
        await self._boot()
        await self._ask_again()

    async def _abandon(self) -> None:
        """A caller loses patience in the middle of a call."""
        task = await self._begun()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def _begun(self) -> asyncio.Task[None]:
        calls = [self._send_one, self._head, self._cancel, self._bundle, self._withdraw]
        task = asyncio.create_task(self.rng.choice([*calls, self._head])())
        for _ in range(self.rng.randrange(40)):
            await asyncio.sleep(0)
        return task

    async def _reorg(self) -> None:
        tip = self.world.tip.number
        await super()._reorg()
        self._rewritten |= set(range(max(0, tip - 3), self.world.tip.number + 1))

    # Bundles.

    async def _bundle(self) -> None:
        """Lease nonces, sign, and send the bundle to every relay."""
        assert self.submitter is not None
        for _ in range(self.rng.randrange(5)):  # what is ahead of it leaves
            await self._head()
        await self._follow()
        blocks = self.rng.randint(1, 3)
        payment = TransactionRequest(to=FRIEND, value=self.rng.randrange(ETHER), gas=21_000)
        first = self.seen.number + 1
        try:
            lease = await self.scheduler.lease_bundle(
                [payment] * self.rng.randint(1, 2),
                sender=OWNER.address,
                target_block=first + blocks - 1,
                fee=_FEE,
            )
            bundle = Bundle(
                transactions=tuple(one.raw for one in lease.signed),
                hashes=tuple(one.hash for one in lease.signed),
                target_block=first,
                replacement_uuid=self.rng.choice([None, lease.lease_id]),
            )
            await self.submitter.submit(bundle, lease=lease, blocks=blocks, guards_waived=True)
        except (ConfigError, InsufficientFunds, LaneHalted, NodeError, SignerError):
            self.coverage.ends["lease refused"] += 1
        except BundleRefused:
            self.coverage.ends["bundle refused"] += 1  # its block came while it was signed
        else:
            self.coverage.ends["bundle sent"] += 1

    async def _contradict(self) -> None:
        """Somebody signs by hand for a nonce that a live bundle needs: that must be refused."""
        assert self.submitter is not None
        needed = [one for one in self._held if one.last_block > self.seen.number]
        if not needed:
            return
        live = self.rng.choice(needed)
        nonce = self.rng.choice(live.transactions).unsigned.nonce
        other = TransactionRequest(to=FRIEND, value=self.rng.randrange(ETHER), gas=21_000)
        signed = self.world.sign(other, nonce=nonce, fee=200 * GWEI)
        bundle = Bundle(
            transactions=(signed.raw,), hashes=(signed.hash,), target_block=live.last_block
        )
        try:
            await self.submitter.submit(bundle)
        except BundleRefused:
            self.coverage.ends["contradiction refused"] += 1
        else:
            raise AssertionError(f"nonce {nonce} was promised to two live bundles")

    async def _withdraw(self) -> None:
        """Ask for a bundle back, whatever the relays make of it."""
        handle = self._some_handle()
        if handle is None:
            return
        try:
            left = await handle.cancel()
        except (ConfigError, RelayError) as error:
            self.coverage.ends[f"withdrawal: {type(error).__name__}"] += 1
        else:
            self.coverage.ends["withdrawn, in part" if left else "withdrawn"] += 1

    def _some_handle(self) -> BundleHandle | None:
        assert self.submitter is not None
        live = self.submitter.handles()
        return self.rng.choice(live) if live else None

    def _heard(self, relay: ModelRelay, held: Held) -> None:
        """What reaches a relay, before it makes up its mind."""
        self.books.update()
        if held.first_block == 0:
            self._heard_single(relay, held)
            return
        mine = {(one.sender, one.unsigned.nonce): one.hash for one in held.transactions}
        assert set(mine.values()) <= self.books.leased, "a bundle's nonces were not leased"
        for other in self._held:
            if other.last_block != held.last_block:
                continue
            for one in other.transactions:
                same = mine.get((one.sender, one.unsigned.nonce), one.hash)
                assert same == one.hash, f"{relay.name}: two bundles for {held.last_block}"
        self._held.append(held)

    def _heard_single(self, relay: ModelRelay, held: Held) -> None:
        (signed,) = held.transactions
        name = self.books.attempts.get(signed.hash)
        places = () if name is None else self.books.places.get(name, ())  # none: a gap's filler
        if name is not None and ROUTE in places:
            late = held.last_block >= self.books.first[name] + PRIVATE_BLOCKS
            assert not late, f"{name} is private at {relay.name} behind its blocks"
        self.coverage.ends["private hand-over"] += 1

    # The end.

    async def _drain(self) -> None:
        await super()._drain()
        assert self.submitter is not None
        live = self.submitter.statistics().live
        assert not live, f"{live} bundles never end"
        await self.submitter.close()

    def _check(self) -> None:
        super()._check()
        self.books.update()
        mined = [tx for block in self.world.blocks for tx in block.transactions]
        times = Counter(
            self.books.attempts[tx.hash] for tx in mined if tx.hash in self.books.attempts
        )
        twice = [name for name, count in times.items() if count > 1]
        assert not twice, f"executed twice: {', '.join(twice)}"
        nonces = [tx.unsigned.nonce for tx in mined]
        assert nonces == list(range(len(nonces))), "a gap on the chain"
        self._check_bundles()
        self.coverage.ends["requests executed"] += len(times)

    def _check_bundles(self) -> None:
        """Each submission has one end, unless a reorg changed it, and the chain says the same."""
        journal = InlineJournal(self.backend)
        ends = Counter(entry.cause for entry in journal.entries(RESULT))
        targets = {
            entry.seq: journal.decode(entry, BundleSubmitted).target_block
            for entry in journal.entries(SUBMITTED)
        }
        calm = {seq for seq, target in targets.items() if target not in self._rewritten}
        assert not [seq for seq in calm if ends[seq] > 1], "a bundle ended twice"
        open_now = set(targets) - set(ends)
        assert not open_now, f"bundles without an end: {sorted(open_now)}"
        by_number = {block.head.number: block for block in self.world.blocks}
        for entry in journal.entries(RESULT):
            result = journal.decode(entry, BundleEnded).result
            landed = isinstance(result, Landed)
            self.coverage.ends["bundle landed" if landed else "bundle missed"] += 1
            number = result.block_number if isinstance(result, Landed) else result.target_block
            if number in self._rewritten:
                continue
            there = {tx.hash for tx in by_number[number].transactions}
            assert result.tx_hash is not None
            assert landed == (result.tx_hash in there), f"block {number} tells otherwise: {result}"
