"""What our tracker says of bundles, held against what the market knows.

Every devnet seals a batch of blocks. For each, bundles of ours go through relays that answer, fail
and are late as told, among rivals' bundles and public transactions. The market's record of the slot
is the truth; the tracker sees the chain and our own journal, and has to name the same cause.
"""

import asyncio
import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from scripts.bench.figures import Figure
from scripts.soak.bundle_draws import COUNTER, COUNTER_CODE, SLOTS, Scene
from scripts.soak.bundle_misses import Kind, Miss, Scenario, hashes
from scripts.soak.record import Part, Progress, Run
from scripts.soak.workers import Batch, in_batches
from toolkit.bundles.auth import RelayAuth
from toolkit.bundles.relay import Relay
from toolkit.bundles.submitter import BundleHandle, Submitter
from toolkit.bundles.tracker import RECEIPTS_LATE_BLOCKS, REORG_BLOCKS
from toolkit.chain.heads import HeadFollower
from toolkit.chain.node import Node
from toolkit.chain.rpc import HttpRpc
from toolkit.chain.signer import LocalSigner
from toolkit.devnet.builders import Builder
from toolkit.devnet.building.failures import FailureMode
from toolkit.devnet.building.sealing import SlotRecord
from toolkit.devnet.devnet import Devnet, DevnetConfig
from toolkit.evm.simulator import open_simulator
from toolkit.journal.log import Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.model.bundle import BundleResult, Landed, MissCause
from toolkit.model.chain import Address, Hash, Mode
from toolkit.model.errors import BundleRefused, RelayError, RpcError
from toolkit.testing.coverage import Counts
from toolkit.tx.handle import BundleLease

SIZE = 900
BATCH = 60
SHARE = 0.99
"""Of the ends that are told: so many have to be the market's own."""
BUILDERS = ("flashbots", "buildernet", "titan", "beaverbuild")
OWN, RIVALS = 6, 4
REORG_SHARE = 0.08
DEADLINE_S = 0.5
SLOW_MS = 2_000
HASTE_S = 0.1
# A relay that fails in one of these ways has told nothing, or something else than is true.
FAILURES = {
    FailureMode.NONE: 400,
    FailureMode.HTTP_500: 8,
    FailureMode.TEXT: 8,
    FailureMode.TOO_MANY_REQUESTS: 6,
    FailureMode.HTML: 6,
    FailureMode.NULL: 8,
    FailureMode.WRONG_HASH: 6,
    FailureMode.HANG: 2,
    FailureMode.HTTP_500_TAKEN: 1,
    FailureMode.LOST: 1,
    FailureMode.FORGET: 1,
}


class Lagging(HttpRpc):
    """The devnet's rpc, whose receipts of blocks come some blocks late."""

    def __init__(self, rpc: HttpRpc, *, blocks: int) -> None:
        super().__init__(rpc.url)
        self._blocks = blocks
        self.newest = 0

    async def call(
        self, method: str, params: Sequence[object] = (), *, timeout_s: float | None = None
    ) -> Any:
        """Answer as the node does, but for receipts."""
        found = await super().call(method, params, timeout_s=timeout_s)
        late = method == "eth_getBlockReceipts" and found
        if late and int(found[0]["blockNumber"], 16) > self.newest - self._blocks:
            return None
        return found


class NoLanes:
    """Nonces are the scenario's own."""

    async def settle_bundle(self, lease: object, result: object) -> None:
        """Nothing was leased."""

    def live_lease(self, lease_id: str) -> BundleLease | None:  # noqa: ARG002 - the seam
        """There are none."""
        return None

    def spenders(self, sender: Address, nonce: int) -> frozenset[Hash] | None:  # noqa: ARG002
        """No account has a lane."""
        return None

    @property
    def delegations(self) -> "NoLanes":
        """Nothing is kept apart."""
        return self

    def under_way(self, account: Address, nonce: int) -> int:  # noqa: ARG002 - the seam
        """Nothing is."""
        return 0


class Sent(NamedTuple):
    """A bundle on its way; `late` are the builders that read it when the block is there."""

    seed: int
    scenario: Scenario
    submission: asyncio.Task[BundleHandle]
    late: frozenset[str]


class Stage:
    """One devnet, our client of it, and what it says."""

    def __init__(self, devnet: Devnet, rpc: HttpRpc) -> None:
        self.devnet = devnet
        self.rpc = rpc
        self.lagging = Lagging(rpc, blocks=devnet.config.seed % (RECEIPTS_LATE_BLOCKS + 1))
        self.node = Node(self.lagging)
        self.follower = HeadFollower(self.node)
        self.open: list[Sent] = []
        self.told: list[Sent] = []
        self.first = devnet.head.number
        self.wrong: list[str] = []
        self.seed = 0
        self.own, self.rivals = devnet.accounts[:OWN], devnet.accounts[OWN:]
        self.counts: dict[str, int] = {}
        auth = RelayAuth(LocalSigner(f"0x{devnet.config.seed + 1:064x}"))
        self.relays = {
            builder.name: Relay(
                info.url,
                name=builder.name,
                auth=auth,
                timeout_s=DEADLINE_S,
                fee_recipients=frozenset({builder.fee_recipient}),
            )
            for builder, info in zip(devnet.builders, devnet.relays, strict=True)
        }
        self.journal = Journal(MemoryBackend())
        self.submitter = Submitter(
            tuple(self.relays.values()),
            node=self.node,
            scheduler=NoLanes(),
            journal=self.journal,
            mode=Mode.DEV,
            own=frozenset(one.address for one in self.own),
            simulator=open_simulator(self.node),
        )

    async def block(self, seed: int) -> None:
        """Send what the seed says, and seal."""
        chance = random.Random(f"misses of block {seed}")  # noqa: S311 - a scenario
        self.seed = seed
        miss = Miss(chance, await self._scene(), rich=self.rivals[0].address)
        busy = {each.scenario.own for each in self.open}
        free = [each for each in self.own if each not in busy]
        owners = chance.sample(free, min(len(free), chance.choice((1, 2, 3))))
        drawn = [miss.draw(own, self.rivals[-1]) for own in owners]
        # What is slow comes last: it has to be under way when the block is built.
        for scenario in sorted(drawn, key=lambda one: one.kind is Kind.SLOW):
            one = await self._send(scenario, chance)
            self.open += [] if one is None else [one]
        await self._crowd(miss)
        await self._seal()
        if chance.random() < REORG_SHARE:
            await self._reorg(chance.randint(1, REORG_BLOCKS))

    async def finish(self) -> list[str]:
        """Let every end be told and settle, and tell what was wrong."""
        for _ in range(REORG_BLOCKS):
            await self._seal()
        for one in self.open:
            self.wrong.append(f"block {one.seed}, {one.scenario.kind.name}: no end was told")
        await self.submitter.close()
        await self.journal.close()
        return self.wrong

    async def _seal(self) -> None:
        head = await self.devnet.seal()
        self.lagging.newest = head.number
        await self._follow()

    async def _follow(self) -> None:
        change = await self.follower.poll()
        if change is None:  # empty blocks in the place of the same empty blocks
            return
        await self.submitter.on_head(change)
        for one in tuple(self.open):
            if one.submission.done() and one.submission.result().done:
                self.open.remove(one)
                handle = one.submission.result()
                self._compare(one, await handle.wait(), self._truth(one, handle))
                self.told.append(one)

    async def _reorg(self, depth: int) -> None:
        """Take blocks back; what was in them is public then, and mined again or not."""
        while self.open:
            await self._seal()  # what a slot's record says of it is true of that slot
        newest = self.devnet.head.number
        depth = min(depth, newest - self.first - 1)  # Anvil does not go back to a fork's own block
        if not depth:
            return
        await self.rpc.call("anvil_reorg", (depth, []))
        await self._follow()
        for _ in range(2 + RECEIPTS_LATE_BLOCKS):
            await self._seal()
        for one in self.told:
            handle = one.submission.result()
            before = await handle.wait()
            if handle.target_block > newest - depth and isinstance(before, Landed):
                self._count("reorged", 1)
                truth = await self._whereabouts(one, handle)
                now = handle.result
                assert now is not None
                self._compare(one, now, truth)
        self.told.clear()

    async def _whereabouts(self, one: Sent, handle: BundleHandle) -> MissCause | None:
        """Where its transactions are after a reorg: together and in order, apart, or nowhere."""
        dropping = one.scenario.bundle.dropping_hashes
        places: dict[Hash, tuple[int, int]] = {}
        for name in handle.hashes:
            found = await self.rpc.call("eth_getTransactionReceipt", (name,))
            if found is not None:
                place = int(found["blockNumber"], 16), int(found["transactionIndex"], 16)
                places[name] = place
        own = one.scenario.own.address
        mine = {each.hash for each in one.scenario.signed if each.sender == own}
        if not mine & places.keys():
            return MissCause.REORGED
        block, start = next(iter(places.values()))
        together = [(block, start + step) for step in range(len(places))]
        lacking = set(handle.hashes) - places.keys() - set(dropping)
        whole = list(places.values()) == together and not lacking
        return None if whole else MissCause.PARTIAL

    async def _scene(self) -> Scene:
        """How things stand before the next block."""
        pending = await self.node.block("pending")
        addresses = [each.address for each in self.devnet.accounts]
        return Scene(
            block=int(pending["number"], 16),
            timestamp=int(pending["timestamp"], 16),
            chain_id=self.devnet.chain_id,
            nonces={each: await self.node.nonce(each) for each in addresses},
            counts=tuple([await self.node.storage(COUNTER, slot) for slot in range(SLOTS)]),
            swap_out=0,
        )

    async def _send(self, scenario: Scenario, chance: random.Random) -> Sent | None:
        slow, late = scenario.kind is Kind.SLOW, set()
        for builder in self.devnet.builders:
            if slow and chance.random() < 0.8:  # noqa: PLR2004 - a probability
                late.add(builder.name)
            self._trouble(builder, scenario, chance, late=builder.name in late)
        submission = asyncio.create_task(
            self.submitter.submit(scenario.bundle, guards_waived=True, bid_wei=scenario.bid_wei)
        )
        await asyncio.wait([submission], timeout=HASTE_S if slow else None)
        if submission.done() and isinstance(submission.exception(), BundleRefused):
            return None
        if slow:
            return Sent(self.seed, scenario, submission, frozenset(late))
        handle = submission.result()
        await self._answered()
        if scenario.replacement is not None:
            await self.submitter.submit(scenario.replacement, guards_waived=True)
            await self._answered()
        if scenario.kind is Kind.CANCELLED:
            try:
                await handle.cancel()
            except RelayError:  # safe because the truth says who has it all the same
                self._count("cancellations refused", 1)
        return Sent(self.seed, scenario, submission, frozenset(late))

    def _trouble(
        self, builder: Builder, scenario: Scenario, chance: random.Random, *, late: bool
    ) -> None:
        failure = chance.choices(list(FAILURES), weights=list(FAILURES.values()))[0]
        builder.failures.always = FailureMode.TEXT if scenario.kind is Kind.UNSENT else failure
        if scenario.kind is Kind.SLOW:  # whoever is silent for another reason looks slow as well
            builder.failures.always = FailureMode.NONE
        profile = msgspec.structs.replace(builder.profile, latency_ms=SLOW_MS if late else 0)
        builder.profile = profile
        self.relays[builder.name].timeout_s = 2 * SLOW_MS / 1000 if late else DEADLINE_S

    async def _answered(self) -> None:
        """Wait until every relay has spoken, or had its time."""
        live = self.submitter._live  # noqa: SLF001 - nothing else says when all have
        await asyncio.gather(*(task for one in live for task in one.tasks))

    async def _crowd(self, miss: Miss) -> None:
        """Rivals with bundles at most builders, and public transactions."""
        chance = miss.chance
        sent = [each.scenario for each in self.open if each.seed == self.seed]
        for account in self.rivals[:-1]:
            if chance.random() < 0.35:  # noqa: PLR2004 - a probability
                continue
            greedy = chance.random() < 0.1  # noqa: PLR2004 - a probability
            signed = [miss.sign(account, 0, gas=20 * 10**6 if greedy else 200_000)]
            if chance.random() < 0.3:  # noqa: PLR2004 - a probability
                signed.append(miss.sign(account, 1))
            behind = [each.public[0] for each in sent if each.kind is Kind.BACKRUN]
            if behind and chance.random() < 0.5:  # noqa: PLR2004 - a probability
                signed = [behind[0], *signed]
            bundle = {
                "txs": [each.raw for each in signed],
                "blockNumber": hex(miss.scene.block),
            }
            for builder in self.devnet.builders:
                if chance.random() < 0.9:  # noqa: PLR2004 - a probability
                    await builder.handle("eth_sendBundle", [bundle], account.address)
        for scenario in sent:
            for each in scenario.public:
                await self._publish(each.raw)

    async def _publish(self, raw: str) -> None:
        try:
            await self.rpc.call("eth_sendRawTransaction", (raw,))
        except RpcError:  # safe because the pool's rules are somebody else's to check
            self._count("public refused", 1)

    def _truth(self, one: Sent, handle: BundleHandle) -> MissCause | None:
        """What the market knows of it; None is landed."""
        scenario = one.scenario
        slot = self._slot(handle)
        mine = hashes([each for each in scenario.signed if each.sender == scenario.own.address])
        record = next((o for o in slot.considered if o.bundle_hash == handle.bundle_hash), None)
        if record is not None and record.included:
            return None
        if mine & set(slot.public):
            return MissCause.PARTIAL
        if slot.builder in one.late:
            return MissCause.LATE  # its builder began to read it when the block was there
        if record is not None:
            return record.cause
        return MissCause.WRONG_BUILDER

    def _slot(self, handle: BundleHandle) -> SlotRecord:
        number = handle.target_block
        return next(each for each in reversed(self.devnet.slots) if each.number == number)

    def _compare(self, one: Sent, told: BundleResult, truth: MissCause | None) -> None:
        said = None if isinstance(told, Landed) else told.cause
        name = "landed" if truth is None else truth.value
        self._count(f"truth: {name}", 1)
        self._count("told", 1)
        if said is truth:
            return
        why = "landed" if isinstance(told, Landed) else f"{told.cause.value}: {told.evidence}"
        slot = self._slot(one.submission.result())
        known = [o.evidence for o in slot.considered if o.bundle_hash == told.bundle_hash]
        self.wrong.append(
            f"block {one.seed}, {one.scenario.kind.name}: {name} ({known}), told as {why}"
        )

    def _count(self, name: str, count: int) -> None:
        self.counts[name] = self.counts.get(name, 0) + count


async def live(first: int, blocks: int) -> tuple[dict[str, int], list[str]]:
    """Seal a batch on one devnet; what was counted, and what was told wrongly."""
    config = DevnetConfig(seed=first, builders=BUILDERS, accounts=OWN + RIVALS, flow=False)
    async with Devnet(config) as devnet, HttpRpc(devnet.rpc_url) as rpc:
        await rpc.call("anvil_setCode", (COUNTER, COUNTER_CODE))
        stage = Stage(devnet, rpc)
        async with stage.lagging:
            await stage.follower.poll()
            for seed in range(first, first + blocks):
                await stage.block(seed)
            wrong = await stage.finish()
    return stage.counts, wrong


def run_batch(batch: Batch) -> tuple[Counts, tuple[str, ...]]:
    """Run one batch in a process of its own."""
    counts, wrong = asyncio.run(live(*batch))
    return dict(counts), tuple(wrong)


def work(progress: Progress) -> None:
    """Seal on every core; it falls short where fewer than 99 of 100 ends are the market's."""
    for cases, (counts, wrong) in in_batches(progress, run_batch, batch=BATCH):
        progress.add({name: n for name, n in counts.items() if not isinstance(n, dict)})
        progress.add({"told wrongly": len(wrong)})
        for each in wrong:
            print(f"  wrong: {each}", flush=True)
        told, errors = (_counted(progress.run, name) for name in ("told", "told wrongly"))
        short = f"{errors:,.0f} of {told:,.0f} ends are not the market's"
        last = progress.run.done + cases >= progress.run.size
        failed = last and _right(progress.run) < SHARE
        progress.advance(cases, failures=(short,) if failed else ())


def figures(run: Run) -> tuple[Figure, ...]:
    """How many ends were told as the market has them, and which there were."""
    rest = sorted(name for name in run.counts if name.startswith(("truth", "reorged")))
    return (
        Figure(
            name=f"of {_counted(run, 'told'):,.0f} ends not as the market has them",
            unit="%",
            target=100 - 100 * SHARE,
            ours=round(100 - 100 * _right(run), 2),
        ),
        *(Figure(name=name, unit="", ours=_counted(run, name)) for name in rest),
    )


def _right(run: Run) -> float:
    told = _counted(run, "told")
    return 1 - _counted(run, "told wrongly") / told if told else 1.0


def _counted(run: Run, name: str) -> float:
    count = run.counts.get(name, 0)
    assert not isinstance(count, dict), f"{name} is a group of counts"
    return float(count)


PART = Part(
    size=SIZE,
    cases="blocks with one to three bundles of ours",
    work=work,
    figures=figures,
    not_covered=(
        "a builder that says in time that it took a bundle, and looks at it only after its block",
    ),
)
