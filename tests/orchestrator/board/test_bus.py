"""Bounded queues that lose nothing silently."""

import asyncio
from dataclasses import dataclass

import msgspec
import pytest

from toolkit.model.chain import Hash
from toolkit.model.errors import BusOverflow, ConfigError
from toolkit.model.provenance import Provenance
from toolkit.orchestrator.board.bus import Bus, Channel, Delivery, Message, QueueCounts, Topic


class Said(msgspec.Struct, frozen=True):
    """A payload."""

    what: str


class Loose(msgspec.Struct):
    """A payload that anybody may change."""

    what: str


@dataclass(frozen=True)
class Solid:
    """A frozen dataclass will do."""


def opened(delivery: Delivery, *, capacity: int = 2, bus: Bus | None = None) -> Channel[Said]:
    """A topic on a bus of its own."""
    topic = Topic(name=delivery.value, payload=Said, delivery=delivery, capacity=capacity)
    return (bus or Bus()).channel(topic)


def origin(source: str, *, block: int, deadline: int) -> Provenance:
    """Where something comes from."""
    return Provenance(
        source=source,
        block_number=block,
        block_hash=Hash(f"0x{block:064x}"),
        observed_at=block,
        deadline_block=deadline,
        quality=1.0,
        origins=(),
    )


def test_handlers_are_called_in_order_with_numbered_messages() -> None:
    """Everybody sees one order, also of what handlers publish themselves."""
    channel = opened(Delivery.STATE)
    seen: list[tuple[str, int, str]] = []

    def first(message: Message[Said]) -> None:
        seen.append(("first", message.number, message.payload.what))
        if message.payload.what == "a":
            channel.publish(Said("b"))

    channel.subscribe(first)
    channel.subscribe(lambda m: seen.append(("second", m.number, m.payload.what)))
    channel.publish(Said("a"))

    assert [("first", 1, "a"), ("second", 1, "a"), ("first", 2, "b"), ("second", 2, "b")] == seen


def test_a_handler_that_fails_keeps_nothing_from_the_others() -> None:
    """Its error comes back to the publisher after everybody has got the message."""
    channel = opened(Delivery.MONEY)
    inbox = channel.inbox()
    seen: list[Message[Said]] = []

    def broken(message: Message[Said]) -> None:
        raise ValueError(message.payload.what)

    channel.subscribe(broken)
    channel.subscribe(seen.append)
    with pytest.raises(ValueError, match="a"):
        channel.publish(Said("a"))
    channel.subscribe(lambda _: None)

    assert 1 == len(inbox)
    assert ["a"] == [message.payload.what for message in seen]


def test_handlers_that_publish_in_circles_are_stopped() -> None:
    """A loop ends with an error instead of filling the memory."""
    channel = opened(Delivery.STATE)

    def twice(message: Message[Said]) -> None:
        channel.publish(message.payload)
        channel.publish(message.payload)

    channel.subscribe(twice)

    with pytest.raises(BusOverflow, match="in circles"):
        channel.publish(Said("a"))


def test_state_conflates_by_key() -> None:
    """One waits for each key, the newest, in order of its number; the rest is counted."""
    channel = opened(Delivery.STATE)
    inbox = channel.inbox()
    for what, key in (("1", "a"), ("2", "b"), ("3", "a")):
        channel.publish(Said(what), key=key)

    assert [("b", "2"), ("a", "3")] == [(m.key, m.payload.what) for m in inbox.take()]
    assert QueueCounts(accepted=3, taken=2, conflated=1, waiting=0, refused=0) == inbox.counts()


def test_a_topic_says_what_two_states_make() -> None:
    """Where the newer one alone would lose something, both become one."""
    topic = Topic(
        name="sum",
        payload=Said,
        delivery=Delivery.STATE,
        merge=lambda older, newer: Said(older.what + newer.what),
    )
    channel = Bus().channel(topic)
    inbox = channel.inbox()
    for what in "abc":
        channel.publish(Said(what))

    assert [(3, "abc")] == [(m.number, m.payload.what) for m in inbox.take()]


@pytest.mark.parametrize("delivery", [Delivery.COMMAND, Delivery.MONEY])
def test_a_full_queue_refuses_and_nobody_gets_the_message(delivery: Delivery) -> None:
    """Either everybody gets it or its publisher still has it."""
    channel = opened(delivery)
    seen: list[str] = []
    first = channel.inbox()
    second = channel.inbox()
    channel.subscribe(lambda message: seen.append(message.payload.what))
    for what in "ab":
        channel.publish(Said(what))
    first.take()
    with pytest.raises(BusOverflow, match=f"2 messages of class {delivery.value} wait"):
        channel.publish(Said("c"))

    assert (0, 2) == (len(first), len(second))
    assert ["a", "b"] == seen
    assert 1 == second.counts().refused
    assert 2 == channel.published


def test_a_new_state_key_finds_no_room_where_too_many_wait() -> None:
    """States are bounded by their keys; one that waits already is always renewed."""
    channel = opened(Delivery.STATE)
    channel.inbox()
    for key in ("a", "b", "a"):
        channel.publish(Said("x"), key=key)

    with pytest.raises(BusOverflow):
        channel.publish(Said("x"), key="c")


async def test_who_brings_money_waits_until_there_is_room() -> None:
    """Nothing is dropped and nothing overtakes."""
    channel = opened(Delivery.MONEY)
    inbox = channel.inbox()
    got: list[str] = []

    async def bring() -> None:
        for what in "abcdefg":
            await channel.offer(Said(what))

    async with asyncio.TaskGroup() as group:
        task = group.create_task(bring())
        while not task.done() or len(inbox):
            assert len(inbox) <= 2
            got += [message.payload.what for message in inbox.take()]
            await asyncio.sleep(0)

    assert list("abcdefg") == got


def test_what_follows_from_a_message_inherits_from_it() -> None:
    """Its deadline is the earlier one, its age the older one, its cause is named."""
    bus = Bus()
    one, other = opened(Delivery.STATE, bus=bus), opened(Delivery.COMMAND, bus=bus)
    inbox = other.inbox()
    one.subscribe(
        lambda message: other.publish(
            message.payload, cause=message, provenance=origin("us", block=9, deadline=50)
        )
    )
    one.publish(Said("x"), provenance=origin("feed", block=7, deadline=8))
    one.publish(Said("y"))
    first, second = inbox.take()

    assert (1, 8, 7) == (
        first.cause,
        first.provenance and first.provenance.deadline_block,
        first.provenance and first.provenance.block_number,
    )
    assert (3, origin("us", block=9, deadline=50)) == (second.cause, second.provenance)


def test_a_message_without_its_own_provenance_keeps_its_causes() -> None:
    """A maker that says nothing strips nothing."""
    bus = Bus()
    one, other = opened(Delivery.STATE, bus=bus), opened(Delivery.COMMAND, bus=bus)
    inbox = other.inbox()
    one.subscribe(lambda message: other.publish(message.payload, cause=message))
    one.publish(Said("x"), provenance=origin("feed", block=7, deadline=8))

    assert origin("feed", block=7, deadline=8) == inbox.take()[0].provenance


def test_messages_cannot_be_changed_and_survive_the_journal() -> None:
    """Typed, frozen, versioned."""
    channel = opened(Delivery.COMMAND)
    inbox = channel.inbox()
    channel.publish(Said("x"), provenance=origin("feed", block=7, deadline=8))
    (message,) = inbox.take()

    with pytest.raises(AttributeError):
        message.cause = 7  # type: ignore[misc]
    assert message == msgspec.json.decode(msgspec.json.encode(message), type=Message[Said])
    assert 1 == message.version


def test_what_is_of_another_type_is_refused() -> None:
    """A topic carries its own type and no other."""
    with pytest.raises(ConfigError, match="state carries Said, not str"):
        opened(Delivery.STATE).publish("x")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("payload", "delivery", "capacity", "merges", "says"),
    [
        (Loose, Delivery.STATE, 1, False, "which can be changed on its way"),
        (dict, Delivery.STATE, 1, False, "carries dict"),
        (Said, Delivery.STATE, 0, False, "has room for 0"),
        (Solid, Delivery.MONEY, 1, True, "only state is merged"),
    ],
)
def test_a_topic_that_cannot_be_is_refused(
    payload: type[object], delivery: Delivery, capacity: int, *, merges: bool, says: str
) -> None:
    """With its name and the reason."""
    with pytest.raises(ConfigError, match=says):
        Topic(
            name="t",
            payload=payload,
            delivery=delivery,
            capacity=capacity,
            merge=(lambda a, _: a) if merges else None,
        )


def test_a_bus_has_each_topic_once() -> None:
    """Two makers of one topic would not know of each other's queues."""
    bus = Bus()
    opened(Delivery.STATE, bus=bus)

    with pytest.raises(ConfigError, match="has a topic state already"):
        opened(Delivery.STATE, bus=bus)


def test_the_bus_counts_what_was_conflated_by_class() -> None:
    """Over all topics and queues."""
    bus = Bus()
    state = opened(Delivery.STATE, bus=bus)
    money = opened(Delivery.MONEY, bus=bus)
    for channel in (state, money):
        channel.inbox()
        channel.publish(Said("x"))
        channel.publish(Said("y"))

    assert {"state": 1} == dict(bus.conflated())
    assert 4 == bus.count
