"""A scheduler's statistics as Prometheus reads them."""

import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from toolkit.model.chain import Address
from toolkit.model.errors import ConfigError
from toolkit.tx.metrics import PREFIX, exposition, serve_metrics
from toolkit.tx.statistics import LaneStatistics, SchedulerStatistics

A, B = (Address("0x" + digit * 40) for digit in "ab")


class Scheduler:
    """Statistics, counted on by hand."""

    def __init__(self) -> None:
        self.confirmed = 4

    def statistics(self) -> SchedulerStatistics:
        lanes = tuple(
            LaneStatistics(
                sender=sender,
                chain_nonce=7,
                queued=3,
                in_flight=2,
                leases=1,
                reserved_wei=5 * 10**17,
                broadcasts=9,
                waiting="fees below 3 gwei",
                halted="a final block was reorganised" if sender == B else "",
            )
            for sender in (A, B)
        )
        return SchedulerStatistics(
            accepted=20,
            open=10,
            confirmed=self.confirmed,
            reverted=1,
            expired=2,
            cancelled=3,
            replaced=0,
            failed=5,
            reopened=6,
            lanes=lanes,
        )


def read(text: str) -> dict[tuple[str, str], float]:
    """Each figure by its name and its one label's value."""
    found: dict[tuple[str, str], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            (label,) = sample.labels.values() or ("",)
            found[sample.name.removeprefix(PREFIX), label] = sample.value
    return found


def test_every_figure_is_there_and_nothing_else() -> None:
    """Counts by outcome and by lane, no other label, every name with the toolkit's prefix."""
    text = exposition(Scheduler())

    told = read(text)

    lanes: dict[tuple[str, str], float] = {
        (f"lane_{name}", sender): value
        for sender in (A, B)
        for name, value in {
            "broadcasts_total": 9,
            "chain_nonce": 7,
            "queued": 3,
            "in_flight": 2,
            "leases": 1,
            "reserved_wei": 5e17,
            "waiting": 1,
            "halted": sender == B,
        }.items()
    }
    ends: dict[tuple[str, str], float] = {
        ("requests_ended_total", outcome): count
        for outcome, count in {
            "confirmed": 4,
            "reverted": 1,
            "expired": 2,
            "cancelled": 3,
            "replaced": 0,
            "failed": 5,
        }.items()
    }
    counts: dict[tuple[str, str], float] = {
        ("requests_accepted_total", ""): 20,
        ("requests_open", ""): 10,
        ("requests_reopened_total", ""): 6,
    }
    assert counts | ends | lanes == told
    assert all(
        line.startswith((PREFIX, f"# HELP {PREFIX}", f"# TYPE {PREFIX}"))
        for line in text.splitlines()
    )


def test_every_statistic_is_exposed() -> None:
    """A figure that is added to the statistics must be added here, or be left out on purpose."""
    told = {name for name, _ in read(exposition(Scheduler()))}
    outcomes = {label for name, label in read(exposition(Scheduler())) if "ended" in name}

    for field in set(SchedulerStatistics.__struct_fields__) - {"lanes"} - outcomes:
        assert {f"requests_{field}", f"requests_{field}_total"} & told
    for field in set(LaneStatistics.__struct_fields__) - {"sender"}:
        assert {f"lane_{field}", f"lane_{field}_total"} & told


def test_every_metric_is_documented() -> None:
    """The names that an author may build a dashboard on are in the documentation."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "transactions.md").read_text()

    assert [] == [name for name, _ in read(exposition(Scheduler())) if f"`{name}`" not in text]


async def test_metrics_are_served_as_they_stand() -> None:
    """Each GET of /metrics tells the present figures in Prometheus' content type."""
    scheduler = Scheduler()
    async with serve_metrics(scheduler) as url, aiohttp.ClientSession() as client:
        async with client.get(url) as answer:
            first, kind = read(await answer.text()), answer.headers["Content-Type"]
        scheduler.confirmed += 1
        async with client.get(url) as answer:
            second = read(await answer.text())
        async with client.get(url.removesuffix("metrics")) as answer:
            elsewhere = answer.status

    assert url.startswith("http://127.0.0.1:")
    assert kind.startswith("text/plain; version=")
    assert (4, 5, 404) == (
        first["requests_ended_total", "confirmed"],
        second["requests_ended_total", "confirmed"],
        elsewhere,
    )


async def test_the_port_is_free_again_afterwards() -> None:
    """The server ends with its block; while it runs, a second one on its port is refused."""
    async with serve_metrics(Scheduler()) as url:
        port = int(url.split(":")[2].split("/")[0])
        with pytest.raises(ConfigError, match=f"cannot be served on 127.0.0.1:{port}"):
            async with serve_metrics(Scheduler(), port=port):
                pass

    async with serve_metrics(Scheduler(), port=port) as again:
        assert url == again


@pytest.mark.parametrize(("port", "host"), [(70_000, "127.0.0.1"), (0, "203.0.113.7")])
async def test_an_impossible_address_is_one_line(port: int, host: str) -> None:
    """A port beyond the range or a foreign address is bad input, not a traceback."""
    with pytest.raises(ConfigError, match=f"cannot be served on {host}:{port}"):
        async with serve_metrics(Scheduler(), port=port, host=host):
            pass


def test_metrics_cost_nothing_unless_used() -> None:
    """A session imports no Prometheus client."""
    code = "import sys, toolkit.session; print('prometheus_client' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "False\n" == done.stdout
