"""What must hold after any orchestrated run, checked against the chain and the journal."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from toolkit.chain.node import Node
from toolkit.journal.log import Entry
from toolkit.journal.verification import verified_entries
from toolkit.model.decision import Fill
from toolkit.model.errors import JournalCorrupt
from toolkit.orchestrator.audit.replay import ReplayResult, replay
from toolkit.orchestrator.records import BlockReport
from toolkit.tx.statistics import SchedulerStatistics


def mispredicted(fills: Iterable[Fill]) -> tuple[Fill, ...]:
    """Return the landed fills whose output was not the predicted one, to the wei."""
    return tuple(fill for fill in fills if fill.landed and fill.predicted_out != fill.realised_out)


async def nonce_gaps(node: Node, statistics: SchedulerStatistics) -> tuple[str, ...]:
    """Return one line per lane that disagrees with the chain, latest and pending alike."""
    found = []
    for lane in statistics.lanes:
        latest = await node.nonce(lane.sender, "latest")
        pending = await node.nonce(lane.sender, "pending")
        if not latest == pending == lane.chain_nonce:
            found.append(
                f"{lane.sender}: chain {latest}, pending {pending}, lane {lane.chain_nonce}"
            )
    return tuple(found)


def journal_entries(path: Path) -> tuple[Entry, ...]:
    """Read a journal file and verify its chain.

    Raises:
        ConfigError: no such file, or it is no journal.
        JournalCorrupt: names the first bad entry.
    """
    return tuple(verified_entries(path))


def journal_verdict(path: Path) -> tuple[bool, ReplayResult | None]:
    """Return whether a journal's chain holds, and what deciding everything again gave."""
    try:
        entries = journal_entries(path)
    except JournalCorrupt:
        return False, None
    return True, replay(entries)


async def check_run(
    node: Node,
    *,
    reports: Sequence[BlockReport],
    statistics: SchedulerStatistics,
    live_bundles: int,
) -> dict[str, bool]:
    """Check a run that is over against its chain: ledger, predictions, nonces, endings.

    Args:
        node: of the chain.
        reports: all blocks of the run; each compared the ledger with the balances on the chain.
        statistics: of the scheduler.
        live_bundles: bundles whose end is not known yet.
    """
    fills = [fill for report in reports for fill in report.fills]
    return {
        "ledger_equals_chain": not any(report.discrepancies for report in reports),
        "predicted_equals_realised": not mispredicted(fills),
        "no_nonce_gap": not await nonce_gaps(node, statistics),
        "every_transaction_terminal": statistics.open == 0 and live_bundles == 0,
    }
