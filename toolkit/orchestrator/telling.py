"""What there is to tell of a block that has been decided."""

from collections.abc import Mapping, Sequence

from toolkit.orchestrator.block import Sitting
from toolkit.orchestrator.breaking.breakers import Breakers
from toolkit.orchestrator.capital.ledger import Ledger
from toolkit.orchestrator.capital.profit import profits_wei
from toolkit.orchestrator.deciding.arbitration import Candidate, Ruling
from toolkit.orchestrator.market import Market
from toolkit.orchestrator.records import BlockReport, Planned


def block_report(
    now: Sitting,
    *,
    candidates: tuple[Candidate, ...],
    rulings: Sequence[Ruling],
    planned: Sequence[Planned],
    market: Market,
    agents: Sequence[str],
    ledger: Ledger,
    breakers: Breakers,
    quarantined: Mapping[str, str],
    stopped: Mapping[str, str],
) -> BlockReport:
    """Report a block by its end: books and breakers are as they stand when this is called."""
    names = sorted({*agents, *ledger.agents})
    books = {name: ledger.book(name) for name in names}
    keys = [source.key for source in market.prices if source.key in now.newest]
    return BlockReport(
        head=now.seen.head,
        fee=now.seen.fee,
        prices={key: float(now.newest[key].value) for key in keys},
        intents=candidates,
        verdicts=tuple(ruling.verdict for ruling in rulings),
        plans=tuple(one.plan for one in planned),
        fills=now.inputs.fills,
        paused=tuple(one for one in now.assessments if one.paused),
        quarantined=dict(quarantined),
        balances=dict(now.seen.balances),
        books=books,
        pnl_wei=profits_wei(books, market, now.newest),
        discrepancies={
            token: (expected, found)
            for token, found in sorted(now.seen.balances.items())
            if (expected := ledger.total(token)) != found
        },
        reverted_blocks=len(now.seen.reverted),
        state=breakers.state,
        breakers=breakers.tripped,
        stopped=dict(stopped),
        aside={name: one.why for name, one in sorted(now.snapshot.aside.items())},
    )
