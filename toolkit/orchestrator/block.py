"""One block while it is being decided, and what it led to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import msgspec

from toolkit.execution.planner import Ways
from toolkit.model.decision import Fill, Plan, Reading
from toolkit.orchestrator.board.blackboard import Known
from toolkit.orchestrator.hosting.asking import Question
from toolkit.orchestrator.pausing.pauses import Assessment
from toolkit.orchestrator.records import BlockReport, Inputs, Planned, Quarantined
from toolkit.perception.perceived import Perceived
from toolkit.pools.snapshot import Snapshot


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One line for the journal. `label` names it for later lines, `cause` names an earlier one."""

    kind: str
    data: msgspec.Struct
    label: str = ""
    cause: str = ""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Everything that one block led to."""

    records: tuple[Record, ...]
    plans: tuple[Plan, ...]
    sendings: tuple[tuple[Plan, ...], ...]  # the plans again: each group goes in one transaction
    told_by: Callable[[], BlockReport] = field(repr=False)

    @cached_property
    def report(self) -> BlockReport:
        """What to tell of it: made when it is asked for, since nothing that is sent waits for it.

        The deciding core asks before its next block, in which what there is to tell changes.
        """
        return self.told_by()

    @property
    def quarantined(self) -> dict[str, str]:
        """Agents that are not asked any more from here on, and why."""
        found = (one.data for one in self.records if isinstance(one.data, Quarantined))
        return {one.agent: one.why for one in found}


@dataclass(slots=True)
class Sitting:
    """The block being decided; gone when it is."""

    inputs: Inputs
    snapshot: Snapshot
    ways: Ways  # over that snapshot
    readings: Known
    label: str
    log: list[Record] = field(default_factory=list)
    assessments: tuple[Assessment, ...] = ()
    questions: tuple[Question, ...] = ()
    settled: list[tuple[Fill, Planned | None]] = field(default_factory=list)  # with their plans
    newest: Mapping[str, Reading] = field(init=False)  # of each key
    seen: Perceived = field(init=False)  # what was perceived of it

    def __post_init__(self) -> None:
        self.seen = self.inputs.seen
        self.newest = self.readings.newest

    def note(
        self, kind: str, data: msgspec.Struct, *, cause: str = "perceived", label: str = ""
    ) -> None:
        """Add a line that follows from an earlier one, from what was perceived unless named."""
        self.log.append(Record(kind=kind, data=data, label=label, cause=cause))
