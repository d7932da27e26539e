"""What a run of many schedules went through: transitions, events, faults, ends."""

from collections import Counter
from collections.abc import Iterable

from toolkit.model.tx import Exposure
from toolkit.tx.job import Job

LEAST_EVENTS = 30
LEAST_IN_FLIGHT = 3
LEAST_FAULTS = 2


def phase(job: Job | None) -> str:
    """Where a request is on its way through a lane; "absent" before it came and after it left."""
    if job is None:
        return "absent"
    if job.landed:
        spent = "mined" if job.mined is not None else "foreign" if job.foreign else "lost"
        return f"{spent}, told" if job.reported else spent
    if not job.tries:
        return "queued" if job.after is None else "parked"
    told = any(known > Exposure.JOURNALLED for one in job.tries for known in one.exposures.values())
    stage = "broadcast" if told else "prepared"
    return f"{stage}, cancelling" if job.cancelling else stage


Counts = dict[str, int | float | dict[str, int]]
"""Plain numbers, and groups of them, as they go into a file."""


class Coverage:
    """Counts over schedules; two of them add up.

    `schedules` are those that were full: at least 30 events, 3 requests in flight at once and 2
    faults. Thinner ones count as `thin` and are checked all the same.
    """

    def __init__(self) -> None:
        self.schedules = 0
        self.thin = 0
        self.events = 0
        self.actions: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self.transitions: Counter[str] = Counter()
        self.effects: Counter[str] = Counter()

    def __add__(self, other: "Coverage") -> "Coverage":
        """Count both."""
        total = Coverage()
        total.schedules = self.schedules + other.schedules
        total.thin = self.thin + other.thin
        total.events = self.events + other.events
        for name in _COUNTERS:
            getattr(total, name).update(getattr(self, name))
            getattr(total, name).update(getattr(other, name))
        return total

    def close(self, *, most_in_flight: int, faults: int) -> None:
        """End a schedule, and say whether it was a full one."""
        full = (
            self.events >= LEAST_EVENTS
            and most_in_flight >= LEAST_IN_FLIGHT
            and faults >= LEAST_FAULTS
        )
        self.schedules, self.thin = (1, 0) if full else (0, 1)

    def stepped(self, event: str, before: str, after: str, effects: Iterable[str]) -> None:
        """Count one step of a lane as seen by the request that it is about."""
        if before != after:
            self.transitions[f"{before} -> {after}"] += 1
        for effect in effects:
            self.effects[f"{event} => {effect}"] += 1

    def counts(self) -> Counts:
        """Everything as plain numbers, in order of name."""
        plain: Counts = {
            "schedules": self.schedules,
            "thin": self.thin,
            "events": self.events,
        }
        return plain | {name: dict(sorted(getattr(self, name).items())) for name in _COUNTERS}

    @classmethod
    def of_counts(cls, counts: Counts) -> "Coverage":
        """Read back what `counts` gave."""
        read = cls()
        for name, value in counts.items():
            if isinstance(value, dict):
                getattr(read, name).update(value)
            else:
                setattr(read, name, value)
        return read

    def __str__(self) -> str:
        """Everything counted, a line each."""
        head = (
            f"{self.schedules} schedules ({self.thin} more were thin), "
            f"{self.events} events of lanes"
        )
        lines = [
            f"  {name}: " + ", ".join(f"{key} {n}" for key, n in getattr(self, name).most_common())
            for name in _COUNTERS
        ]
        return "\n".join([head, *lines])


_COUNTERS = ("actions", "faults", "ends", "transitions", "effects")
