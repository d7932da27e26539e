"""How blocks are written into the journal: each entry with the one that caused it."""

import msgspec

from toolkit.journal.log import Journal
from toolkit.model.decision import Fill
from toolkit.orchestrator import records
from toolkit.orchestrator.block import Decision
from toolkit.orchestrator.records import Inputs

MOST_PLANS = 1024
"""Plans whose outcome is not written yet; of older ones it will name no cause."""


class BlockWriter:
    """Journals one block after the other; what it wrote is durable after the journal's commit."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._plans: dict[str, int] = {}  # the entries that outcomes follow from, by label

    def write(self, inputs: Inputs, decision: Decision) -> None:
        """Write what came in first, then what it led to.

        Commands are left out: they were written when they were given.
        """
        append, plans = self._journal.append, self._plans
        here: dict[str, int] = {}
        given = msgspec.structs.replace(inputs, commands=()) if inputs.commands else inputs
        for kind, data in records.written(given):
            if isinstance(data, Fill):
                cause = plans.pop(f"plan/{data.verdict_id}", None)
                here[f"fill/{data.verdict_id}"] = append(kind, data, cause=cause)
            else:
                here["perceived"] = append(kind, data)
        for record in decision.records:
            seq = append(record.kind, record.data, cause=here.get(record.cause, here["perceived"]))
            if record.label:
                here[record.label] = seq
            if record.kind == records.PLAN:
                plans[record.label] = seq
        while len(plans) > MOST_PLANS:
            del plans[next(iter(plans))]
