"""Plans on their way: alone, together, and apart again."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from tests.execution.swaps import FEE, TOKENS, swap
from toolkit.model.chain import Hash, Head, HeadChange
from toolkit.model.decision import Fill, Plan
from toolkit.model.errors import JournalUnavailable, NodeUnavailable
from toolkit.model.tx import FeeQuote
from toolkit.orchestrator.sending.outbox import GatewayOutbox, NoOutbox

A, B, C, D, E = TOKENS
PLANS = (
    swap([(A, 10), (B, 100)], name="100-0", agent="x"),
    swap([(C, 5), (B, 7)], name="100-1", agent="y", first_pool=1),
    swap([(D, 5), (E, 7)], name="100-2", agent="z", first_pool=2),
)
NEXT = HeadChange(
    added=(
        Head(
            number=101,
            hash=Hash("0x" + "02" * 32),
            parent_hash=PLANS[0].parent_hash,
            timestamp=1,
            base_fee_per_gas=1,
            gas_limit=1,
            gas_used=0,
        ),
    )
)


class Carrier:
    """A gateway that takes what it is told to take, and remembers how it was asked."""

    def __init__(
        self, *, merges: bool = True, refused: str = "", error: Exception | None = None
    ) -> None:
        self.merges = merges
        self.refused = refused
        self.error = error
        self.asked: list[tuple[str, ...]] = []

    async def submit(self, plan: Plan, *, fee: FeeQuote | None = None) -> Plan | Fill:
        assert fee == FEE
        self.asked.append((plan.verdict_id,))
        if plan.verdict_id == self.refused:
            raise self.error or NodeUnavailable("gone")
        return plan

    async def submit_merged(
        self, plans: Sequence[Plan], *, fee: FeeQuote | None = None
    ) -> tuple[Plan | Fill, ...] | None:
        assert fee == FEE
        self.asked.append(tuple(plan.verdict_id for plan in plans))
        if self.error is not None:
            raise self.error
        return tuple(plans) if self.merges else None

    async def strays(self, change: HeadChange) -> tuple[Fill, ...]:  # noqa: ARG002 - seam
        """Nothing comes late."""
        return ()

    async def withdraw(self) -> tuple[str, ...]:
        """Give nothing back."""
        return ()

    async def recover(self, plans: Sequence[Plan], change: HeadChange) -> tuple[Fill, ...]:
        raise AssertionError(f"nobody asked after {len(plans)} plans of {change.added[-1].number}")

    async def settle(self, in_flight: Plan, change: HeadChange) -> Fill | None:
        return Fill(
            verdict_id=in_flight.verdict_id,
            agents=in_flight.agents,
            landed=True,
            block_number=change.added[-1].number,
        )


async def settled(outbox: GatewayOutbox[Plan]) -> list[str]:
    return [fill.verdict_id for fill in await outbox.settle(NEXT)]


async def test_a_group_goes_at_once_and_every_plan_has_its_own_end() -> None:
    """One call for all of it, and one fill for each verdict."""
    carrier = Carrier()
    outbox = GatewayOutbox(carrier)

    ended = await outbox.submit(PLANS, FEE)

    assert () == ended
    assert [("100-0", "100-1", "100-2")] == carrier.asked
    assert ["100-0", "100-1", "100-2"] == await settled(outbox)


async def test_a_plan_alone_needs_no_merging() -> None:
    """A group of one goes by the way of one."""
    carrier = Carrier(error=AssertionError("nobody asked for a merged form"))
    outbox = GatewayOutbox(carrier)

    ended = await outbox.submit(PLANS[:1], FEE)

    assert () == ended
    assert [("100-0",)] == carrier.asked


async def test_what_does_not_do_together_is_sent_apart() -> None:
    """Where the merged form is refused each plan is tried alone, in order."""
    carrier = Carrier(merges=False)
    outbox = GatewayOutbox(carrier)

    ended = await outbox.submit(PLANS, FEE)

    assert () == ended
    assert [("100-0", "100-1", "100-2"), ("100-0",), ("100-1",), ("100-2",)] == carrier.asked
    assert ["100-0", "100-1", "100-2"] == await settled(outbox)


async def test_ones_misfortune_is_not_the_others() -> None:
    """Sent apart, one fails: it ends at once, and what was sent before and after is followed."""
    outbox = GatewayOutbox(Carrier(merges=False, refused="100-1"))

    ended = await outbox.submit(PLANS, FEE)

    assert [("100-1", False)] == [(fill.verdict_id, fill.landed) for fill in ended]
    assert "NodeUnavailable" in ended[0].missed
    assert ["100-0", "100-2"] == await settled(outbox)


async def test_an_error_before_anything_was_sent_ends_the_whole_group() -> None:
    """Nobody is left waiting for a transaction that never was."""
    outbox = GatewayOutbox(Carrier(error=NodeUnavailable("gone")))

    ended = await outbox.submit(PLANS, FEE)

    assert [plan.verdict_id for plan in PLANS] == [fill.verdict_id for fill in ended]
    assert [plan.agents for plan in PLANS] == [fill.agents for fill in ended]
    assert {"not sent: NodeUnavailable: gone"} == {fill.missed for fill in ended}
    assert [] == await settled(outbox)


async def test_a_journal_that_failed_ends_everything() -> None:
    """When nothing can be made durable any more, no plan is told that it alone was unlucky."""
    outbox = GatewayOutbox(Carrier(error=JournalUnavailable("disk full")))

    with pytest.raises(JournalUnavailable):
        await outbox.submit(PLANS, FEE)


async def test_what_ended_at_once_is_not_followed() -> None:
    """A fill among the answers is the end of its plan; the others are in flight."""

    class Half(Carrier):
        async def submit_merged(
            self, plans: Sequence[Plan], *, fee: FeeQuote | None = None
        ) -> tuple[Plan | Fill, ...] | None:
            assert fee == FEE
            end = await self.settle(plans[0], NEXT)
            assert end is not None
            return (end, *plans[1:])

    outbox = GatewayOutbox(Half())

    ended = await outbox.submit(PLANS, FEE)

    assert ["100-0"] == [fill.verdict_id for fill in ended]
    assert ["100-1", "100-2"] == await settled(outbox)


async def test_parts_of_one_transaction_are_told_at_once_or_not_yet() -> None:
    """A question about one part that got no answer keeps them all: a process that dies in between
    leaves the next one a whole transaction to look for."""

    class Unsure(Carrier):
        async def settle(self, in_flight: Plan, change: HeadChange) -> Fill | None:
            self.asked.append(("settle", in_flight.verdict_id))
            if self.asked.count(("settle", "100-1")) == 1 and in_flight.verdict_id == "100-1":
                raise NodeUnavailable("no receipt yet")
            return await super().settle(in_flight, change)

    outbox = GatewayOutbox(Unsure())
    await outbox.submit(PLANS, FEE)

    first, second = await settled(outbox), await settled(outbox)

    assert [] == first
    assert ["100-0", "100-1", "100-2"] == second


class Sibling(Carrier):
    """A chain on which the first block misses all plans but one, and its sibling holds all."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.errors = [error] if error is not None else []

    async def settle(self, in_flight: Plan, change: HeadChange) -> Fill | None:
        fill = await super().settle(in_flight, change)
        assert fill is not None
        landed = in_flight is PLANS[0]
        hashed = msgspec.structs.replace(fill, landed=landed, block_hash=change.added[-1].hash)
        return hashed if landed else msgspec.structs.replace(hashed, block_hash=None)

    async def recover(self, plans: Sequence[Plan], change: HeadChange) -> tuple[Fill, ...]:
        self.asked.append(("again", *(plan.verdict_id for plan in plans)))
        for error in self.errors:
            self.errors = []
            raise error
        return tuple(
            Fill(
                verdict_id=plan.verdict_id,
                agents=plan.agents,
                landed=plan is not PLANS[2],
                block_number=plan.target_block,
                block_hash=change.added[-1].hash,
                tx_hashes=() if plan is PLANS[2] else (Hash("0x" + "aa" * 32),),
            )
            for plan in plans
        )


OTHER = msgspec.structs.replace(NEXT.added[0], hash=Hash("0x" + "03" * 32))
REORG = HeadChange(added=(OTHER,), reverted=NEXT.added)
LATER = HeadChange(added=(msgspec.structs.replace(OTHER, number=102, hash=Hash("0x" + "04" * 32)),))


async def test_the_sibling_of_a_reverted_block_is_searched_too() -> None:
    """What landed there again, or now at last, is told; of what did not there is nothing to say."""
    outbox = GatewayOutbox(Sibling())
    await outbox.submit(PLANS, FEE)
    first = await outbox.settle(NEXT)

    second = await outbox.settle(REORG)
    third = await outbox.settle(LATER)

    assert [True, False, False] == [fill.landed for fill in first]
    assert [("100-0", OTHER.hash), ("100-1", OTHER.hash)] == [
        (fill.verdict_id, fill.block_hash) for fill in second
    ]
    assert () == third


async def test_a_sibling_that_could_not_be_searched_is_searched_later() -> None:
    """A node that does not answer makes nobody forget the question."""
    outbox = GatewayOutbox(Sibling(NodeUnavailable("gone")))
    await outbox.submit(PLANS, FEE)
    await outbox.settle(NEXT)

    second = await outbox.settle(REORG)
    third = await outbox.settle(LATER)

    assert () == second
    assert ["100-0", "100-1"] == [fill.verdict_id for fill in third]


async def test_who_interrupts_the_questions_loses_no_answer() -> None:
    """An outcome that was known when another question was broken off is told the next time."""
    outbox = GatewayOutbox(Sibling(asyncio.CancelledError()))  # type: ignore[arg-type]
    outbox.resume([msgspec.structs.replace(PLANS[1], verdict_id="earlier")])
    await outbox.submit(PLANS[:1], FEE)
    with pytest.raises(asyncio.CancelledError):
        await outbox.settle(NEXT)

    fills = await outbox.settle(NEXT)

    assert ["earlier", "100-0"] == [fill.verdict_id for fill in fills]


async def test_what_was_interrupted_while_it_was_sent_is_searched_for() -> None:
    """Nobody knows whether it left: its block tells."""

    class Slow(Sibling):
        async def submit(self, plan: Plan, *, fee: FeeQuote | None = None) -> Plan | Fill:
            await super().submit(plan, fee=fee)
            raise asyncio.CancelledError

    outbox = GatewayOutbox(Slow())
    with pytest.raises(asyncio.CancelledError):
        await outbox.submit(PLANS[:1], FEE)

    fills = await outbox.settle(NEXT)

    assert [("100-0", True)] == [(fill.verdict_id, fill.landed) for fill in fills]


async def test_sent_apart_each_is_asked_for_anew() -> None:
    """A halt that comes while the first of them is sent keeps the others back."""
    carrier = Carrier(merges=False)
    outbox = GatewayOutbox(carrier)

    def kept_back(plan: Plan) -> Fill | None:
        late = ("100-0",) in carrier.asked
        return (
            Fill(verdict_id=plan.verdict_id, agents=(), landed=False, block_number=1)
            if late
            else None
        )

    ended = await outbox.submit(PLANS, FEE, kept_back=kept_back)

    assert ["100-1", "100-2"] == [fill.verdict_id for fill in ended]
    assert [("100-0", "100-1", "100-2"), ("100-0",)] == carrier.asked
    assert ["100-0"] == await settled(outbox)


async def test_a_new_process_searches_the_last_blocks_again() -> None:
    """Of plans whose end was told already only what is mined is told: its block may be another."""
    outbox = GatewayOutbox(Sibling())
    outbox.resume((), told=PLANS)

    first, second = await outbox.settle(NEXT), await outbox.settle(LATER)

    assert ["100-0", "100-1"] == [fill.verdict_id for fill in first]
    assert () == second


class Leaky(Carrier):
    """A chain that holds a transaction of a plan that had missed, one block late."""

    def __init__(self) -> None:
        super().__init__()
        self.failures = 1

    async def strays(self, change: HeadChange) -> tuple[Fill, ...]:
        if change != LATER:
            return ()
        if self.failures:
            self.failures -= 1
            raise NodeUnavailable("gone")
        late = Fill(
            verdict_id="100-0",
            agents=("x",),
            landed=False,
            block_number=102,
            block_hash=LATER.added[0].hash,
            tx_hashes=(Hash("0x" + "bb" * 32),),
        )
        return (late,)

    async def withdraw(self) -> tuple[str, ...]:
        return ("100-1",)


async def test_what_comes_late_is_told_when_the_node_answers() -> None:
    """A plan that ended tells of its stray transactions, and no look is lost for them."""
    outbox = GatewayOutbox(Leaky())
    await outbox.submit(PLANS[:1], FEE)

    found = [await outbox.settle(change) for change in (NEXT, LATER, LATER)]

    assert [["100-0"], [], ["100-0"]] == [[fill.verdict_id for fill in one] for one in found]
    assert [101, 102] == [one[0].block_number for one in (found[0], found[2])]


async def test_what_is_taken_back_is_what_the_gateway_says() -> None:
    """Without a gateway nothing is on its way."""
    assert ("100-1",) == await GatewayOutbox(Leaky()).withdraw()
    assert () == await NoOutbox().withdraw()
