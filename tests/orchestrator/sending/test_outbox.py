"""Plans on their way: alone, together, and apart again."""

from collections.abc import Sequence

import pytest

from tests.execution.swaps import FEE, TOKENS, swap
from toolkit.model.chain import Hash, Head, HeadChange
from toolkit.model.decision import Fill, Plan
from toolkit.model.errors import JournalUnavailable, NodeUnavailable
from toolkit.model.tx import FeeQuote
from toolkit.orchestrator.sending.outbox import GatewayOutbox

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
