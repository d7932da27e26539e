"""What comes in between two blocks: new heads, outcomes of plans, orders of people."""

from dataclasses import dataclass

from toolkit.model.chain import HeadChange
from toolkit.model.decision import Fill
from toolkit.model.errors import BusOverflow
from toolkit.orchestrator.board.bus import Bus, Delivery, Topic
from toolkit.orchestrator.records import Command

MOST_HEADS = 4096
MOST_FILLS = 65_536
MOST_COMMANDS = 64


def both(older: HeadChange, newer: HeadChange) -> HeadChange:
    """Return one change that leads where two lead, one after the other; repeating is harmless.

    Blocks that came and went in between are named as reverted: something may rest on them. One
    that went and came back is not: what rests on it still stands.

    Raises:
        BusOverflow: thousands of heads came and none was decided on.
    """
    gone = {head.hash for head in newer.reverted}
    again = {head.hash for head in newer.added}
    known = {head.hash for head in older.reverted}
    added = (*(head for head in older.added if head.hash not in gone | again), *newer.added)
    if len(added) > MOST_HEADS:
        raise BusOverflow(
            f"{len(added)} heads came, up to block {added[-1].number}, and none was decided on: "
            "is anything still calling `step`?"
        )
    return HeadChange(
        added=added,
        reverted=(
            *(head for head in newer.reverted if head.hash not in known),
            *(head for head in older.reverted if head.hash not in again),
        ),
    )


HEADS = Topic(name="heads", payload=HeadChange, delivery=Delivery.STATE, capacity=1, merge=both)
FILLS = Topic(name="fills", payload=Fill, delivery=Delivery.MONEY, capacity=MOST_FILLS)
COMMANDS = Topic(
    # One more than may wait: a halt is never refused.
    name="commands",
    payload=Command,
    delivery=Delivery.COMMAND,
    capacity=MOST_COMMANDS + 1,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """How much came in since it was last asked, and how much of each class stands in newer."""

    messages: int
    conflated: dict[str, int]


class Intake:
    """The bus of one orchestrator, and its own end of it.

    However much faster heads come than blocks are decided, one change waits; no outcome and no
    order is lost meanwhile.
    """

    def __init__(self) -> None:
        self.bus = Bus()
        self.heads = self.bus.channel(HEADS)
        self.fills = self.bus.channel(FILLS)
        self.commands = self.bus.channel(COMMANDS)
        self._heads = self.heads.inbox()
        self._fills = self.fills.inbox()
        self._counted = 0
        self._conflated: dict[str, int] = {}
        self._unseen: HeadChange | None = None

    @property
    def has_head(self) -> bool:
        """Whether there is a block to decide on."""
        waiting = [message.payload for message in self._heads.waiting]
        return any(change.added for change in (*waiting, self._unseen) if change is not None)

    def change(self) -> HeadChange:
        """Take all changes of heads as one, also of none."""
        found, self._unseen = self._unseen, None
        for message in self._heads.take():
            found = message.payload if found is None else both(found, message.payload)
        return found or HeadChange(added=())

    def again(self, change: HeadChange) -> None:
        """Put back what could not be looked at: the next change begins with it."""
        self._unseen = change

    def outcomes(self) -> tuple[Fill, ...]:
        """Take every outcome."""
        return tuple(message.payload for message in self._fills.take())

    def traffic(self) -> Traffic:
        """Count what came since this was last asked."""
        conflated = dict(self.bus.conflated())
        news = {
            kind: count - self._conflated.get(kind, 0)
            for kind, count in sorted(conflated.items())
            if count > self._conflated.get(kind, 0)
        }
        messages, self._counted = self.bus.count - self._counted, self.bus.count
        self._conflated = conflated
        return Traffic(messages=messages, conflated=news)
