"""What comes in between two blocks."""

from collections.abc import Iterable

import msgspec
import pytest

import toolkit as tk
from tests.orchestrator.properties.feeds import BUY, PRICE, Buyer, World
from toolkit.model.chain import HeadChange
from toolkit.model.decision import Fill
from toolkit.model.errors import BusOverflow
from toolkit.orchestrator import records
from toolkit.orchestrator.board.intake import MOST_HEADS, Intake, both
from toolkit.orchestrator.records import Command
from toolkit.testing.decide import given, main_pool


def change(*added: str, reverted: tuple[str, ...] = ()) -> HeadChange:
    """A change of heads; "7a" is block 7 of fork a."""
    return HeadChange(
        added=tuple(given(int(name[:-1]), pools=(), fork=name[-1]).head for name in added),
        reverted=tuple(given(int(name[:-1]), pools=(), fork=name[-1]).head for name in reverted),
    )


def fill(name: str) -> Fill:
    """An outcome."""
    return Fill(verdict_id=name, agents=("a",), landed=False, block_number=1, missed="x")


@pytest.mark.parametrize(
    ("older", "newer", "expected"),
    [
        (change("5a"), change("6a"), change("5a", "6a")),
        (change("5a"), change("5a"), change("5a")),
        (
            change("5a", "6a"),
            change("6b", "7b", reverted=("6a",)),
            change("5a", "6b", "7b", reverted=("6a",)),
        ),
        (
            change("5b", reverted=("5a",)),
            change("5c", reverted=("5b",)),
            change("5c", reverted=("5b", "5a")),
        ),
        (
            change("5b", reverted=("5a",)),
            change("5a", reverted=("5b",)),
            change("5a", reverted=("5b",)),
        ),
    ],
)
def test_two_changes_of_heads_make_one(
    older: HeadChange, newer: HeadChange, expected: HeadChange
) -> None:
    """It leads to the newest head, names all that was reverted, and repeats nothing."""
    assert expected == both(older, newer)


def test_heads_that_nobody_decides_on_do_not_pile_up_for_ever() -> None:
    """Somebody is told, in words, that nothing takes them."""
    heads = given(1, pools=()).head
    many = HeadChange(added=(heads,) * MOST_HEADS)

    with pytest.raises(BusOverflow, match="none was decided on"):
        both(many, change("5a"))


def test_what_could_not_be_looked_at_is_part_of_the_next_change() -> None:
    """A failed look forgets no head and no revert."""
    intake = Intake()
    intake.heads.publish(change("5a"))
    intake.again(intake.change())
    waiting = intake.has_head
    intake.heads.publish(change("5b", "6b", reverted=("5a",)))

    assert waiting
    assert change("5b", "6b", reverted=("5a",)) == intake.change()
    assert not intake.has_head
    assert HeadChange(added=()) == intake.change()


def test_a_mere_revert_waits_for_the_head_that_follows() -> None:
    """There is no block to decide on yet, and the revert is not forgotten."""
    intake = Intake()
    intake.heads.publish(change(reverted=("5a",)))
    alone = intake.has_head
    intake.heads.publish(change("5b"))

    assert not alone
    assert change("5b", reverted=("5a",)) == intake.change()


def test_traffic_is_counted_since_it_was_last_asked() -> None:
    """Messages of every kind, and how many states stand in a newer one."""
    intake = Intake()
    for name in ("5a", "6a", "7a"):
        intake.heads.publish(change(name))
    intake.fills.publish(fill("1-0"))
    intake.commands.publish(Command(verb="halt", why="x"))
    first = intake.traffic()
    intake.fills.publish(fill("1-1"))
    second = intake.traffic()

    assert (5, {"state": 2}) == (first.messages, first.conflated)
    assert (1, {}) == (second.messages, second.conflated)
    assert ["1-0", "1-1"] == [one.verdict_id for one in intake.outcomes()]


def test_an_outcome_whose_block_is_gone_when_it_is_told_is_taken_back() -> None:
    """It waited while nobody could look, and the books are as if it had never landed."""
    world = World(Buyer(name="buyer", look=lambda view: view.reading(PRICE)))
    pools = [main_pool("2000")]
    (plan,) = world.step(given(1000, pools=pools)).plans
    gone = given(1001, pools=pools, fork="a").head
    landed = Fill(
        verdict_id=plan.verdict_id,
        agents=plan.agents,
        landed=True,
        block_number=gone.number,
        block_hash=gone.hash,
        changes={BUY.token_in: -BUY.amount_in, BUY.token_out: 5 * 10**16},
    )
    decision = world.step(
        given(1001, pools=pools, fork="b"), reverted=(gone.hash,), fills=(landed,)
    )

    assert {} == decision.report.discrepancies
    assert records.REVERTED in {one.kind for one in decision.records}


class Bigger(Buyer):
    """Buys three times as much."""

    def on_block(self, view: tk.View) -> Iterable[tk.Intent]:
        """Buy."""
        leg = msgspec.structs.replace(BUY, amount_in=3 * BUY.amount_in)
        return [msgspec.structs.replace(one, legs=(leg,)) for one in super().on_block(view)]


@pytest.mark.parametrize("heard", [True, False], ids=["of the reorg", "of nothing"])
def test_a_trade_that_lands_again_in_the_block_that_replaced_its_own_is_whose_it_was(
    *, heard: bool
) -> None:
    """Told again it is booked once, and divided as it was the first time, also where nobody was
    there to hear that its first block is gone."""
    world = World(
        Buyer(name="buyer", look=lambda view: view.reading(PRICE)),
        Bigger(name="more", look=lambda view: view.reading(PRICE)),
    )
    pools = [main_pool("2000")]
    (plan,) = world.step(given(1000, pools=pools)).plans
    first, second = (given(1001, pools=pools, fork=fork) for fork in "ab")
    landed, again = (
        Fill(
            verdict_id=plan.verdict_id,
            agents=plan.agents,
            landed=True,
            block_number=1001,
            block_hash=block.head.hash,
            changes={BUY.token_in: -4 * BUY.amount_in, BUY.token_out: 2 * 10**17},
        )
        for block in (first, second)
    )

    before = world.step(first, fills=(landed, landed)).report.books
    reverted = (first.head.hash,) if heard else ()
    between = world.step(second, reverted=reverted, fills=(again,)).report.books

    assert 15 * 10**16 == before["more"][BUY.token_out]
    assert before == between


def test_a_trade_in_a_block_that_went_and_came_back_stays() -> None:
    """Two changes became one in which its block is there all the while."""
    world = World(Buyer(name="buyer", look=lambda view: view.reading(PRICE)))
    pools = [main_pool("2000")]
    (plan,) = world.step(given(1000, pools=pools)).plans
    block = given(1001, pools=pools, fork="a")
    landed = Fill(
        verdict_id=plan.verdict_id,
        agents=plan.agents,
        landed=True,
        block_number=1001,
        block_hash=block.head.hash,
        changes={BUY.token_in: -BUY.amount_in, BUY.token_out: 5 * 10**16},
    )
    back = both(
        change("1001b", reverted=("1001a",)),
        change("1001a", reverted=("1001b",)),
    )

    before = world.step(block, fills=(landed,)).report.books
    after = world.step(block, reverted=[head.hash for head in back.reverted]).report.books

    assert before["buyer"]
    assert before == after
