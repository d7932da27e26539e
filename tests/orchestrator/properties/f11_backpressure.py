"""However slow the reader, states conflate, orders and money are all there, all counted exactly."""

import asyncio
import random
from collections import Counter
from collections.abc import Mapping

import msgspec

from tests.orchestrator.properties.feeds import CAPITAL, PRICE, Buyer
from toolkit.journal.log import Entry, Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.model.chain import Hash, Head, HeadChange, Mode
from toolkit.model.decision import Fill, Plan
from toolkit.model.errors import BusOverflow, NodeError
from toolkit.model.tx import FeeQuote
from toolkit.orchestrator import records
from toolkit.orchestrator.audit.replay import decoded
from toolkit.orchestrator.board.bus import Bus, Delivery, Inbox, Topic
from toolkit.orchestrator.deciding.limits import Limits
from toolkit.orchestrator.records import Vitals
from toolkit.orchestrator.runtime import Orchestrator
from toolkit.perception.perceived import Perceived, perceived
from toolkit.perception.prices import price_readings
from toolkit.testing.decide import OFFLINE_MARKET, GivenBlock, given, main_pool


class Note(msgspec.Struct, frozen=True):
    """Something to be told."""

    n: int


def check(seed: int) -> None:
    """Try one seed."""
    rng = random.Random(seed)
    _queues(rng)
    if seed % 4 == 0:
        asyncio.run(_running(rng))


def _queues(rng: random.Random) -> None:
    """A model of three queues beside the real ones, written to ten times faster than read."""
    bus, capacity = Bus(), rng.randrange(1, 9)
    channels = {
        kind: bus.channel(Topic(name=kind.value, payload=Note, delivery=kind, capacity=capacity))
        for kind in Delivery
    }
    inboxes = {kind: channel.inbox() for kind, channel in channels.items()}
    queued: dict[Delivery, list[tuple[str, int]]] = {kind: [] for kind in Delivery}
    counted: dict[Delivery, Counter[str]] = {kind: Counter() for kind in Delivery}
    for n in range(120):
        kind, key = rng.choice(tuple(Delivery)), rng.choice("abcdefghijkl")
        model, count = queued[kind], counted[kind]
        if rng.random() < 0.1:
            taken = [(m.key, m.payload.n) for m in inboxes[kind].take()]
            assert model == taken, f"{kind}: {taken} taken, {model} published"
            count["taken"] += len(taken)
            model.clear()
            continue
        is_known = kind is Delivery.STATE and key in dict(model)
        fits = is_known or len(model) < capacity
        try:
            channels[kind].publish(Note(n), key=key)
        except BusOverflow:
            assert not fits, f"{kind}: refused where {len(model)} of {capacity} wait"
            count["refused"] += 1
            continue
        assert fits, f"{kind}: {len(model)} of {capacity} wait, and one more came in"
        count["accepted"] += 1
        if is_known:
            model[:] = [one for one in model if one[0] != key]
            count["conflated"] += 1
        model.append((key, n))
    for kind, inbox in inboxes.items():
        _counts(inbox, counted[kind], len(queued[kind]), capacity)


def _counts(inbox: Inbox[Note], counted: Counter[str], waiting: int, capacity: int) -> None:
    found = inbox.counts()
    assert found.accepted == found.taken + found.conflated + found.waiting, f"lost: {found}"
    assert waiting == found.waiting <= capacity, f"{waiting} wait, not {found.waiting}"
    for name in ("accepted", "taken", "conflated", "refused"):
        assert counted[name] == getattr(found, name), f"{name}: {counted[name]}, not {found}"


class _World:
    """Gives blocks, fills plans two blocks later, and sometimes cannot be asked."""

    def __init__(self, rng: random.Random) -> None:
        self.journal, self.mode = Journal(MemoryBackend()), Mode.DRY
        self.blocks: dict[Hash, GivenBlock] = {}
        self.sent: list[str] = []
        self._rng = rng
        self._since: GivenBlock | None = None

    async def advance(self) -> None:
        """Nobody follows it: heads are brought."""

    async def observe(self, change: HeadChange) -> Perceived:
        """Look at the newest head, if the node answers."""
        if self._rng.random() < 0.2:
            raise NodeError("not now")
        block = self.blocks[change.added[-1].hash]
        since, self._since = self._since, block
        return perceived(
            block.snapshot,
            since=None if since is None else since.snapshot,
            fee=block.fee,
            balances=CAPITAL,
            readings=price_readings(block.snapshot, OFFLINE_MARKET.prices),
            reverted=tuple(old.hash for old in change.reverted),
        )

    async def agreed(self, blocks: Mapping[int, Hash], head: Head) -> int:  # noqa: ARG002 - seam
        """Return the newest: nothing that was known is gone."""
        return max(blocks)

    async def submit(self, plan: Plan, *, fee: object = None) -> Plan:  # noqa: ARG002 - seam
        """Note what was sent."""
        self.sent.append(plan.verdict_id)
        return plan

    async def submit_merged(self, plans: object, *, fee: FeeQuote | None = None) -> None:
        """Each goes alone."""

    async def strays(self, change: HeadChange) -> tuple[Fill, ...]:  # noqa: ARG002 - seam
        """Nothing comes late."""
        return ()

    async def withdraw(self) -> tuple[str, ...]:
        """Give nothing back."""
        return ()

    async def recover(self, *given: object) -> tuple[Fill, ...]:  # noqa: ARG002 - seam
        """Nothing was there before."""
        return ()

    async def settle(self, in_flight: Plan, change: HeadChange) -> Fill:  # noqa: ARG002 - seam
        """Tell the outcome: it never landed."""
        return Fill(
            verdict_id=in_flight.verdict_id,
            agents=in_flight.agents,
            landed=False,
            block_number=in_flight.target_block,
            missed="on paper",
        )


async def _running(rng: random.Random) -> None:
    """Heads come faster than blocks are decided, and the node fails now and then."""
    world = _World(rng)
    buyer = Buyer(name="buyer", look=lambda view: view.reading(PRICE))
    limits = Limits(min_trade_wei=10**12)
    work = Orchestrator(
        world, agents=[buyer], market=OFFLINE_MARKET, perception=world, gateway=world, limits=limits
    )
    heads = orders = looks = 0
    failed = False  # what was heard then is still to be decided on
    decided: list[tuple[int, int, int]] = []
    due: list[str] = []
    async with work:
        for _ in range(6):
            before = heads
            for _ in range(0 if failed and rng.random() < 0.5 else rng.randrange(1, 11)):
                block = given(1000 + heads, pools=[main_pool("2000")])
                world.blocks[block.head.hash] = block
                work.hear(HeadChange(added=(block.head,)))
                heads += 1
            for _ in range(rng.randrange(3)):
                work.pause("buyer")
                work.resume("buyer")
                orders += 2
            sent, looks = list(world.sent), looks + (heads > before)
            try:
                report = await work.step()
            except NodeError:
                failed = True
                continue
            failed = False
            assert 999 + heads == report.head.number, "a newer head was there"
            decided.append((heads, orders, looks))
            due = sent
        entries = list(world.journal.entries())
    await world.journal.close()
    if decided:
        _journalled(entries, decided, due, orders)


def _journalled(
    entries: list[Entry], decided: list[tuple[int, int, int]], due: list[str], orders: int
) -> None:
    """Every order and outcome is there once, and what came in was counted to the last one."""
    kinds = Counter(entry.kind for entry in entries)
    vitals = [decoded(entry, Vitals) for entry in entries if entry.kind == records.VITALS]
    told = [decoded(entry, Fill).verdict_id for entry in entries if entry.kind == records.FILL]
    heads, ordered, looks = decided[-1]
    came = sum(one.messages for one in vitals)
    conflated = sum(one.dropped.get("state", 0) for one in vitals)
    assert len(decided) == kinds[records.PERCEIVED]
    assert orders == kinds[records.COMMAND], f"{orders} given, {kinds[records.COMMAND]} kept"
    assert due == told, f"{due} were sent, {told} have an outcome"
    assert came == heads + ordered + len(told), f"{came} counted, {heads} + {ordered} + {len(told)}"
    assert conflated == heads - looks, f"{conflated} counted as conflated, not {heads - looks}"
