"""How a block is written: each entry with the one that caused it."""

import msgspec

from tests.orchestrator.worlds import DAI_CAPITAL, DAI_MARKET, random_market, shipped
from toolkit.journal.log import Entry, Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.model.decision import Fill
from toolkit.orchestrator import records
from toolkit.orchestrator.block import Decision, Record
from toolkit.orchestrator.records import Inputs
from toolkit.orchestrator.writing import MOST_PLANS, BlockWriter
from toolkit.perception.perceived import Perceived
from toolkit.testing.decide import decide

CAUSES = {
    records.INTENT: {records.PERCEIVED},
    records.RULING: {records.INTENT, records.PERCEIVED},
    records.PLAN: {records.RULING},
    records.FILL: {records.PLAN},
}


def verdict_of(entry: Entry) -> str:
    """Which verdict a plan or a fill is of."""
    told = msgspec.json.decode(entry.data)
    found: str = (told.get("plan") or told)["verdict_id"]
    return found


def test_every_entry_names_what_caused_it() -> None:
    """From a fill through its plan, ruling and intents back to what was perceived."""
    blocks = random_market(3, blocks=24)
    journal = decide(shipped(), blocks, capital=DAI_CAPITAL, market=DAI_MARKET).journal
    by_seq = {entry.seq: entry for entry in journal}
    told = [entry for entry in journal if entry.kind in CAUSES and entry.cause is not None]

    assert set(CAUSES) == {entry.kind for entry in told}
    for entry in told:
        cause = by_seq[entry.cause or 0]
        assert cause.kind in CAUSES[entry.kind]
        if entry.kind == records.FILL:
            assert verdict_of(cause) == verdict_of(entry)


async def test_only_so_many_plans_wait_for_their_outcome() -> None:
    """A fill of a plan that is too long ago names no cause; one within the bound names its plan."""
    journal = Journal(MemoryBackend())
    writer = BlockWriter(journal)
    seen = decide(shipped(), random_market(3, blocks=1), capital=DAI_CAPITAL, market=DAI_MARKET)
    (perceived,) = [one for one in seen.journal if one.kind == records.PERCEIVED]
    inputs = Inputs(seen=journal.decode(perceived, Perceived))
    plans = tuple(
        Record(kind=records.PLAN, data=records.Vitals(), label=f"plan/{n}")
        for n in range(MOST_PLANS + 1)
    )
    writer.write(inputs, decision(*plans))
    fills = tuple(
        Fill(verdict_id=str(n), agents=("a",), landed=False, block_number=1) for n in (0, 1)
    )
    writer.write(msgspec.structs.replace(inputs, fills=fills), decision())
    planned, told = (tuple(journal.entries(kind)) for kind in (records.PLAN, records.FILL))
    await journal.close()

    assert [None, planned[1].seq] == [entry.cause for entry in told]


def decision(*noted: Record) -> Decision:
    """What a block led to, as far as it is written."""
    return Decision(records=noted, plans=(), sendings=(), told_by=unheard)


def unheard() -> records.BlockReport:
    """Nobody asks for the report."""
    raise AssertionError
