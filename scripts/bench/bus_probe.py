"""Time one bus from publish to its handler; run by `scripts.bench.bus` in that bus's environment.

`bus_probe.py ours|queued|nautilus COUNT` prints JSON: p50 and p99 in ns from publish to the
handler's first line, and ns of processor time for each message when its handler does nothing.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version

WARM_UP = 10_000


@dataclass(frozen=True)
class Tick:
    """What is published."""

    price: int
    block: int


def idle(_: object) -> None:
    """Do nothing."""


def timed(
    count: int, connect: Callable[[Callable[[object], None]], Callable[[Tick], None]]
) -> None:
    """Connect a handler that reads the clock, publish, and print what it took."""
    clock, tick = time.perf_counter_ns, Tick(price=2000, block=1)
    taken: list[int] = []
    started = 0

    def handler(_: object) -> None:
        taken.append(clock() - started)

    publish = connect(handler)
    for _ in range(WARM_UP + count):
        started = clock()
        publish(tick)
    late = sorted(taken[WARM_UP:])
    publish = connect(idle)
    begun = time.process_time_ns()
    for _ in range(count):
        publish(tick)
    each = (time.process_time_ns() - begun) / count
    found = {"p50": late[count // 2], "p99": late[count * 99 // 100], "each": each}
    print(json.dumps(found))


def ours(*, queued: bool) -> Callable[[Callable[[object], None]], Callable[[Tick], None]]:
    """Our bus, with or without a queue beside the handler."""
    from toolkit.orchestrator.board.bus import Bus, Delivery, Topic  # noqa: PLC0415 - ours

    def connect(handler: Callable[[object], None]) -> Callable[[Tick], None]:
        topic = Topic(name="ticks", payload=Tick, delivery=Delivery.STATE)
        channel = Bus().channel(topic)
        channel.subscribe(handler)
        if queued:
            channel.inbox()
        return channel.publish

    return connect


def nautilus(handler: Callable[[object], None]) -> Callable[[Tick], None]:
    """Nautilus' bus; it wants a name with every message."""
    component = import_module("nautilus_trader.common.component")
    identifiers = import_module("nautilus_trader.model.identifiers")
    trader = identifiers.TraderId("TESTER-001")
    bus = component.MessageBus(trader_id=trader, clock=component.LiveClock())
    bus.subscribe(topic="ticks", handler=handler)
    publish = bus.publish
    return lambda tick: publish("ticks", tick)


def main() -> None:
    """Time the bus that is asked for."""
    which, count = sys.argv[1], int(sys.argv[2])
    if which == "version":
        print(version("nautilus_trader"))
    else:
        buses = {"nautilus": nautilus} if which == "nautilus" else {}
        timed(count, buses.get(which) or ours(queued=which == "queued"))


if __name__ == "__main__":
    main()
