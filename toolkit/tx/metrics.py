"""A scheduler's statistics for Prometheus, as text and over HTTP."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from toolkit.model.errors import ConfigError
from toolkit.tx.statistics import LaneStatistics, SchedulerStatistics

PREFIX = "mev_toolkit_"

_OUTCOMES = ("confirmed", "reverted", "expired", "cancelled", "replaced", "failed")
_LANE_GAUGES = {
    "chain_nonce": "What the chain counts of the account.",
    "queued": "Requests that wait for a nonce.",
    "in_flight": "Requests with a nonce whose end is not settled.",
    "leases": "Bundles that hold nonces.",
    "reserved_wei": "What everything unspent may cost together, in wei.",
}
# Why is a sentence with figures in it: as a label it would make a new series each time.
_LANE_REASONS = {
    "waiting": "1 while the next request waits for something else than a block.",
    "halted": "1 while the lane sends nothing until it is resumed.",
}


class Source(Protocol):
    """What has statistics: `toolkit.tx.scheduler.TransactionScheduler` has."""

    def statistics(self) -> SchedulerStatistics:
        """Count what happened since its start."""
        ...


def exposition(scheduler: Source) -> str:
    """The scheduler's statistics in Prometheus' text format.

    Labels are bounded: `outcome` by the kinds of ends, `sender` by the keys. Counters begin with
    the process. A reopened request is counted again when it ends again.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Reader(scheduler.statistics()))
    return generate_latest(registry).decode()


@asynccontextmanager
async def serve_metrics(
    scheduler: Source, port: int = 0, host: str = "127.0.0.1"
) -> AsyncGenerator[str, None]:
    """Answer GET /metrics while the block runs; yields the URL. Port 0 is any that is free.

    The figures show accounts and what they are doing: give `host` another address than loopback
    only where every reader may know.

    Raises:
        ConfigError: the port is taken, or the address is not this machine's.
    """

    async def answer(_: web.Request) -> web.Response:
        headers = {"Content-Type": CONTENT_TYPE_LATEST}
        return web.Response(body=exposition(scheduler).encode(), headers=headers)

    application = web.Application()
    application.router.add_get("/metrics", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except (OSError, OverflowError) as error:
            raise ConfigError(
                f"metrics cannot be served on {host}:{port} ({error}); choose another port or host"
            ) from None
        bound = runner.addresses[0][1]
        name = f"[{host}]" if ":" in host else host
        yield f"http://{name}:{bound}/metrics"
    finally:
        await runner.cleanup()


class _Reader(Collector):
    def __init__(self, statistics: SchedulerStatistics) -> None:
        self._statistics = statistics

    def collect(self) -> Iterator[Metric]:
        told = self._statistics
        yield CounterMetricFamily(
            f"{PREFIX}requests_accepted", "Requests that were accepted.", value=told.accepted
        )
        yield GaugeMetricFamily(
            f"{PREFIX}requests_open", "Requests that have no end yet.", value=told.open
        )
        yield CounterMetricFamily(
            f"{PREFIX}requests_reopened", "Ends that a reorg took back.", value=told.reopened
        )
        ends = CounterMetricFamily(
            f"{PREFIX}requests_ended", "Requests by how they ended.", labels=["outcome"]
        )
        for outcome in _OUTCOMES:
            ends.add_metric([outcome], getattr(told, outcome))
        yield ends
        yield from _of_lanes(told.lanes)


def _of_lanes(lanes: Sequence[LaneStatistics]) -> Iterator[Metric]:
    sent = CounterMetricFamily(
        f"{PREFIX}lane_broadcasts", "Attempts handed to a destination.", labels=["sender"]
    )
    for lane in lanes:
        sent.add_metric([lane.sender], lane.broadcasts)
    yield sent
    for name, text in _LANE_REASONS.items():
        flag = GaugeMetricFamily(f"{PREFIX}lane_{name}", text, labels=["sender"])
        for lane in lanes:
            flag.add_metric([lane.sender], bool(getattr(lane, name)))
        yield flag
    for name, text in _LANE_GAUGES.items():
        gauge = GaugeMetricFamily(f"{PREFIX}lane_{name}", text, labels=["sender"])
        for lane in lanes:
            gauge.add_metric([lane.sender], getattr(lane, name))
        yield gauge
