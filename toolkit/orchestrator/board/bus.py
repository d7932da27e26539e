"""Typed messages from who knows to who must, in bounded queues that lose nothing silently.

A topic carries one immutable type, in one of three ways. State conflates: of one key only the
newest waits, or what the topic's `merge` makes of both. Commands queue, and a full queue refuses
the next one. Money queues too, and makes whoever brings more wait until there is room: neither is
ever dropped. Everything is counted, exactly. One thread, no clock, no I/O.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from types import MappingProxyType
from typing import Generic, TypeVar

import msgspec

from toolkit.model.errors import BusOverflow, ConfigError
from toolkit.model.provenance import Provenance, derived

VERSION = 1
CAPACITY = 1024

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Delivery(Enum):
    """What becomes of messages that nobody has taken yet; the value names the class."""

    STATE = "state"
    COMMAND = "command"
    MONEY = "money"


class Message(msgspec.Struct, Generic[T_co], frozen=True, kw_only=True, gc=False):
    """One payload on its way.

    `number` orders all messages of a bus; `cause` is the number of the one it follows from, 0
    for none. `provenance` says from where, how old, how good and until when; what follows from
    another message inherits it.
    """

    topic: str
    number: int
    payload: T_co
    key: str = ""
    cause: int = 0
    provenance: Provenance | None = None
    version: int = VERSION


Handler = Callable[[Message[T]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic(Generic[T]):
    """What may be said under one name, and how it is delivered.

    Args:
        name: unique on a bus.
        payload: the exact type, frozen.
        delivery: the class of its queues.
        capacity: messages, for state keys, that may wait in one queue.
        merge: what stands for an older and a newer state of one key; the newer unless given.

    Raises:
        ConfigError: a payload that can be changed, no capacity, or a merge of what must not be.
    """

    name: str
    payload: type[T]
    delivery: Delivery
    capacity: int = CAPACITY
    merge: Callable[[T, T], T] | None = None

    def __post_init__(self) -> None:
        """Check what a queue relies on."""
        if not _is_frozen(self.payload):
            raise ConfigError(
                f"topic {self.name} carries {self.payload.__name__}, which can be changed on its "
                "way; give a frozen msgspec.Struct or dataclass"
            )
        if self.capacity < 1:
            raise ConfigError(f"topic {self.name} has room for {self.capacity}; give at least 1")
        if self.merge is not None and self.delivery is not Delivery.STATE:
            raise ConfigError(f"topic {self.name} is {self.delivery.value}; only state is merged")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueCounts:
    """What became of everything that was put into a queue: accepted = taken + conflated + waiting.

    `refused` was never accepted; `conflated` stands in a newer state of its key.
    """

    accepted: int
    taken: int
    conflated: int
    waiting: int
    refused: int


class Inbox(Generic[T]):
    """One consumer's bounded queue of one topic; made by `Channel.inbox`."""

    def __init__(self, topic: Topic[T]) -> None:
        self._topic = topic
        self._waiting: deque[Message[T]] = deque()
        self._states: dict[str, Message[T]] = {}
        self._room = asyncio.Event()
        self._accepted = self._taken = self._conflated = self._refused = 0

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting) or len(self._states)

    @property
    def waiting(self) -> tuple[Message[T], ...]:
        """What `take` would return, left where it is."""
        return tuple(self._waiting) or tuple(self._states.values())

    def take(self) -> tuple[Message[T], ...]:
        """Take everything that waits, in order of its numbers."""
        found = self.waiting
        self._waiting.clear()
        self._states.clear()
        self._taken += len(found)
        self._room.set()
        return found

    def counts(self) -> QueueCounts:
        """Return what became of everything so far."""
        return QueueCounts(
            accepted=self._accepted,
            taken=self._taken,
            conflated=self._conflated,
            waiting=len(self),
            refused=self._refused,
        )

    def has_room(self, key: str) -> bool:
        """Whether a message may come in; a state that already waits always may."""
        return key in self._states or len(self) < self._topic.capacity

    def refuse(self) -> BusOverflow:
        """Count one that found no room, and say so."""
        self._refused += 1
        return BusOverflow(
            f"{self._topic.name}: {len(self)} messages of class {self._topic.delivery.value} wait "
            f"and there is room for {self._topic.capacity}; the consumer must take some first"
        )

    def put(self, message: Message[T]) -> None:
        """Let one in; there is room for it."""
        self._accepted += 1
        if self._topic.delivery is not Delivery.STATE:
            self._waiting.append(message)
            return
        older = self._states.pop(message.key, None)
        if older is not None:
            self._conflated += 1
            merge = self._topic.merge
            if merge is not None:
                both = merge(older.payload, message.payload)
                message = msgspec.structs.replace(message, payload=both)
        self._states[message.key] = message

    async def room(self) -> None:
        """Wait until something is taken."""
        self._room.clear()
        await self._room.wait()


class Channel(Generic[T]):
    """One topic of a bus: where it is published, handled and queued; made by `Bus.channel`."""

    __slots__ = ("_bus", "_handlers", "_inboxes", "_name", "_payload", "published", "topic")

    def __init__(self, bus: "Bus", topic: Topic[T]) -> None:
        self.topic = topic
        self.published = 0
        self._bus = bus
        self._name, self._payload = topic.name, topic.payload
        self._handlers: tuple[Handler[T], ...] = ()
        self._inboxes: tuple[Inbox[T], ...] = ()

    def subscribe(self, handler: Handler[T]) -> None:
        """Call a handler with every message from now on, in order of subscription."""
        self._handlers = (*self._handlers, handler)

    def inbox(self) -> Inbox[T]:
        """Return a queue of every message from now on."""
        made = Inbox(self.topic)
        self._inboxes = (*self._inboxes, made)
        return made

    def publish(
        self,
        payload: T,
        *,
        key: str = "",
        cause: "Message[object] | None" = None,
        provenance: Provenance | None = None,
    ) -> None:
        """Queue a payload for every inbox, and hand it to every handler.

        What handlers publish themselves is handed over after it, so everybody sees one order.

        Args:
            payload: of the topic's type.
            key: which state it is; each key waits for itself.
            cause: the message that it follows from, whose provenance it inherits.
            provenance: its own.

        Raises:
            ConfigError: another type.
            BusOverflow: a queue has no room; nobody has got it.
        """
        if type(payload) is not self._payload:
            raise ConfigError(
                f"{self._name} carries {self._payload.__name__}, not {type(payload).__name__}"
            )
        for one in self._inboxes:
            if not one.has_room(key):
                raise one.refuse()
        bus, number = self._bus, 0
        if cause is not None:
            number, provenance = cause.number, inherited(cause, provenance)
        self.published += 1
        bus.count += 1
        message = Message(
            topic=self._name,
            number=bus.count,
            payload=payload,
            key=key,
            cause=number,
            provenance=provenance,
        )
        for one in self._inboxes:
            one.put(message)
        if self._handlers:
            if bus.busy:
                bus.postpone(partial(hand, self._handlers, message))
            else:
                bus.deliver(self._handlers, message)

    async def offer(
        self,
        payload: T,
        *,
        key: str = "",
        cause: "Message[object] | None" = None,
        provenance: Provenance | None = None,
    ) -> None:
        """Publish as soon as every queue has room.

        Raises:
            ConfigError: another type.
        """
        while full := next((one for one in self._inboxes if not one.has_room(key)), None):
            await full.room()
        self.publish(payload, key=key, cause=cause, provenance=provenance)

    def counts(self) -> tuple[QueueCounts, ...]:
        """Return what became of the messages in each queue."""
        return tuple(one.counts() for one in self._inboxes)


class Bus:
    """All topics of one orchestrator, in one order.

    A handler that fails does not keep a message from the others; its error is raised after them.
    """

    def __init__(self) -> None:
        self.count = 0  # messages published
        self.busy = False
        self._pending: deque[Callable[[], Exception | None]] = deque()
        self._channels: dict[str, Channel[object]] = {}

    def channel(self, topic: Topic[T]) -> Channel[T]:
        """Open a topic.

        Raises:
            ConfigError: the bus has one of this name.
        """
        if topic.name in self._channels:
            raise ConfigError(f"the bus has a topic {topic.name} already")
        made = Channel(self, topic)
        self._channels[topic.name] = made  # type: ignore[assignment] # only counted here
        return made

    def conflated(self) -> MappingProxyType[str, int]:
        """Return how many messages of each class stand in a newer one, where any do."""
        found: dict[str, int] = {}
        for _, channel in sorted(self._channels.items()):
            kind = channel.topic.delivery.value
            lost = sum(one.conflated for one in channel.counts())
            if lost:
                found[kind] = found.get(kind, 0) + lost
        return MappingProxyType(found)

    def deliver(self, handlers: tuple[Handler[T], ...], message: Message[T]) -> None:
        """Hand over a message, and then what handlers have published meanwhile.

        Raises:
            BusOverflow: they do not come to an end.
        """
        self.busy = True
        try:
            failed = hand(handlers, message)
            for _ in range(CAPACITY):
                if not self._pending:
                    break
                failed = self._pending.popleft()() or failed
            else:
                self._pending.clear()
                raise BusOverflow(f"handlers published {CAPACITY} times in circles")
        finally:
            self.busy = False
        if failed is not None:
            raise failed

    def postpone(self, delivery: Callable[[], Exception | None]) -> None:
        """Hand over later what a handler has published."""
        self._pending.append(delivery)


def hand(handlers: tuple[Handler[T], ...], message: Message[T]) -> Exception | None:
    """Call every handler, and return the first error."""
    failed: Exception | None = None
    for handler in handlers:
        try:
            handler(message)
        except Exception as error:  # noqa: BLE001 - raised when all have got it
            failed = failed or error
    return failed


def inherited(cause: Message[object], own: Provenance | None) -> Provenance | None:
    """Return the provenance of what follows from a message: its own, and all of the cause's."""
    if cause.provenance is None:
        return own
    parents = (cause.provenance,) if own is None else (own, cause.provenance)
    return derived(*parents, source=parents[0].source)


def _is_frozen(payload: type[object]) -> bool:
    if issubclass(payload, msgspec.Struct):
        return bool(payload.__struct_config__.frozen)
    options = getattr(payload, "__dataclass_params__", None)
    return options is not None and bool(options.frozen)
