"""Each invariant, broken on purpose, is reported as broken."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.orchestrator.worlds import DAI_CAPITAL, DAI_MARKET, random_market, shipped
from tests.testing.reports import account, fill, report
from toolkit.chain import wire
from toolkit.chain.node import Node
from toolkit.journal.log import Journal
from toolkit.journal.sqlite import SqliteBackend
from toolkit.model.chain import Address
from toolkit.model.errors import ConfigError, JournalCorrupt, RpcError
from toolkit.orchestrator import records
from toolkit.orchestrator.deciding.arbitration import Ruling
from toolkit.testing.decide import decide
from toolkit.testing.invariants import (
    check_run,
    journal_entries,
    journal_verdict,
    mispredicted,
    nonce_gaps,
)
from toolkit.tx.statistics import LaneStatistics, SchedulerStatistics

ALICE, BOB = account("a"), account("b")
HELD = dict.fromkeys(
    (
        *("ledger_equals_chain", "predicted_equals_realised"),
        *("no_nonce_gap", "every_transaction_terminal"),
    ),
    True,
)


class Counts:
    """A node that knows nothing but how many transactions each account has sent."""

    url = "http://127.0.0.1:0"

    def __init__(self, latest: dict[Address, int], pending: dict[Address, int]) -> None:
        self._counts = {"latest": latest, "pending": pending}

    async def call(
        self,
        method: str,
        params: Sequence[object] = (),
        *,
        timeout_s: float | None = None,  # noqa: ARG002 - part of the seam
    ) -> Any:
        """Answer eth_getTransactionCount."""
        assert "eth_getTransactionCount" == method
        sender, tag = params
        return hex(self._counts[str(tag)][Address(str(sender))])

    async def batch(
        self,
        calls: Sequence[wire.Call],
        *,
        timeout_s: float | None = None,  # noqa: ARG002 - part of the seam
    ) -> list[Any | RpcError]:
        """Answer one by one."""
        return [await self.call(method, params) for method, params in calls]

    async def close(self) -> None:
        """Nothing is open."""


def node(latest: int = 3, pending: int | None = None, *, bob: int = 7) -> Node:
    """A node on which Alice sent `latest`, Bob `bob`."""
    ahead = latest if pending is None else pending
    return Node(Counts({ALICE: latest, BOB: bob}, {ALICE: ahead, BOB: bob}))


def statistics(*, alice: int = 3, waiting: int = 0) -> SchedulerStatistics:
    """A scheduler with two lanes, as the node has them."""
    lanes = tuple(
        LaneStatistics(
            sender=sender,
            chain_nonce=nonce,
            queued=0,
            in_flight=0,
            leases=0,
            reserved_wei=0,
            broadcasts=0,
        )
        for sender, nonce in ((ALICE, alice), (BOB, 7))
    )
    return SchedulerStatistics(
        accepted=10,
        open=waiting,
        confirmed=10,
        reverted=0,
        expired=0,
        cancelled=0,
        replaced=0,
        failed=0,
        reopened=0,
        lanes=lanes,
    )


async def test_a_clean_run_holds_every_invariant() -> None:
    """Landed fills as predicted, lost ones beside them, lanes as the chain: everything holds."""
    reports = [report(100), report(101, fills=(fill(), fill(landed=False)))]

    checked = await check_run(node(), reports=reports, statistics=statistics(), live_bundles=0)

    assert HELD == checked


@pytest.mark.parametrize(
    ("broken", "changes"),
    [
        ("ledger_equals_chain", {"report": {"discrepancies": {ALICE: (10**18, 10**18 - 1)}}}),
        ("predicted_equals_realised", {"report": {"fills": (fill(realised_out=6),)}}),
        ("no_nonce_gap", {"node": node(4)}),
        ("no_nonce_gap", {"node": node(3, 4)}),
        ("no_nonce_gap", {"statistics": statistics(alice=2)}),
        ("every_transaction_terminal", {"statistics": statistics(waiting=1)}),
        ("every_transaction_terminal", {"live_bundles": 1}),
    ],
)
async def test_whatever_breaks_is_the_only_thing_reported(
    broken: str, changes: dict[str, Any]
) -> None:
    """One wei, one nonce, one open request or bundle, in any block, breaks its own invariant."""
    reports = [report(100), report(101, **changes.get("report", {})), report(102)]

    checked = await check_run(
        changes.get("node", node()),
        reports=reports,
        statistics=changes.get("statistics", statistics()),
        live_bundles=changes.get("live_bundles", 0),
    )

    assert HELD | {broken: False} == checked


def test_a_misprediction_is_any_difference_in_what_landed() -> None:
    """More is as wrong as less; what did not land was not realised."""
    less, more = fill(realised_out=4), fill(realised_out=6)

    assert (less, more) == mispredicted([fill(), less, fill(landed=False), more])


async def test_a_nonce_gap_names_lane_and_counts() -> None:
    """The line about a gap has all three counts, and only lanes that disagree have one."""
    assert () == await nonce_gaps(node(), statistics())
    assert (f"{ALICE}: chain 3, pending 5, lane 3",) == await nonce_gaps(node(3, 5), statistics())
    assert (f"{BOB}: chain 8, pending 8, lane 7",) == await nonce_gaps(node(bob=8), statistics())


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """The closed journal of some blocks of the real orchestrator."""
    path = tmp_path / "journal.db"
    decide(
        shipped(),
        random_market(3, blocks=12, gap=8e-3),
        capital=DAI_CAPITAL,
        market=DAI_MARKET,
        journal=path,
    )
    return path


async def rewritten(journal: Path, change: Callable[[Ruling], Ruling]) -> Path:
    """The same journal with one ruling changed, and a chain that is right again."""
    place = journal.with_name("rewritten.db")
    log = Journal(SqliteBackend(place))
    todo = True
    for entry in journal_entries(journal):
        data = msgspec.json.decode(entry.data)
        if todo and entry.kind == records.RULING:
            ruling = msgspec.json.decode(entry.data, type=Ruling)
            data, todo = msgspec.to_builtins(change(ruling)), False
        log.append(entry.kind, data, cause=entry.cause, version=entry.version)
    await log.close()
    assert not todo
    return place


def test_a_good_journal_verifies_and_replays(journal: Path) -> None:
    """The chain holds, and deciding everything again gives every decision."""
    verified, replayed = journal_verdict(journal)

    assert verified
    assert replayed is not None
    assert (True, 12) == (replayed.identical, replayed.blocks)


async def test_a_decision_that_does_not_follow_is_told(journal: Path) -> None:
    """A journal whose chain is right but whose verdict is not what the inputs give: no replay."""
    unchanged = await rewritten(journal, lambda ruling: ruling)
    told = journal_verdict(unchanged)
    unchanged.unlink()

    def other(ruling: Ruling) -> Ruling:
        verdict = msgspec.structs.replace(ruling.verdict, why="because")
        return msgspec.structs.replace(ruling, verdict=verdict)

    verified, replayed = journal_verdict(await rewritten(journal, other))

    assert told[1] is not None
    assert told[1].identical
    assert verified
    assert replayed is not None
    assert not replayed.identical


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE entry SET data = x'7b7d' WHERE seq = 5",
        "UPDATE entry SET cause = NULL WHERE seq = (SELECT max(seq) FROM entry)",
        "DELETE FROM entry WHERE seq = 4",
    ],
)
def test_a_journal_that_was_altered_does_not_verify(journal: Path, damage: str) -> None:
    """An altered or missing entry breaks the chain, and then there is nothing to replay."""
    with closing(sqlite3.connect(journal)) as database, database:
        database.execute(damage)

    assert (False, None) == journal_verdict(journal)
    with pytest.raises(JournalCorrupt, match=r"journal entry \d+"):
        journal_entries(journal)


def test_a_missing_journal_is_not_made_up(tmp_path: Path) -> None:
    """Asking for a journal that is not there is bad input, and leaves no file behind."""
    with pytest.raises(ConfigError, match="no journal at"):
        journal_verdict(tmp_path / "absent.db")

    assert [] == list(tmp_path.iterdir())
