"""Why something happened: the way from an outcome back to the readings it rests on."""

import re
from collections.abc import Iterable, Sequence

import msgspec

from toolkit.journal.log import Entry
from toolkit.model.decision import Fill, Leg, Reading, Verdict
from toolkit.model.errors import ConfigError
from toolkit.orchestrator import records
from toolkit.orchestrator.arbitration import Candidate, Ruling
from toolkit.orchestrator.pauses import Assessment
from toolkit.orchestrator.records import Planned, Quarantined
from toolkit.orchestrator.replay import decoded
from toolkit.perception.perceived import Perceived

_HASH = re.compile(rb"0x[0-9a-f]{64}")


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """One fact, the journal entry it is in (0 for readings older than it), and what led to it."""

    seq: int
    kind: str
    text: str
    because: tuple["Cause", ...] = ()


def why(entries: Iterable[Entry], name: str) -> Cause:
    """Explain a transaction, bundle, verdict or intent by its id.

    Raises:
        ConfigError: the journal knows nothing of that name.
    """
    return _Audit(tuple(entries)).explain(name)


def verdicts(entries: Iterable[Entry]) -> tuple[Verdict, ...]:
    """Return every verdict of a journal, in order."""
    return tuple(
        decoded(entry, Ruling).verdict for entry in entries if entry.kind == records.RULING
    )


def lines(cause: Cause, *, depth: int = 0) -> Iterable[str]:
    """Write a tree of causes as indented lines for people."""
    yield f"{'   ' * depth}{'└─ ' if depth else ''}{cause.text}"
    for one in cause.because:
        yield from lines(one, depth=depth + 1)


class _Audit:
    """An index over one journal, made for one question."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self._rulings: dict[str, tuple[Entry, Ruling]] = {}
        self._plans: dict[str, tuple[Entry, Planned]] = {}
        self._fills: dict[str, tuple[Entry, Fill]] = {}
        self._intents: dict[str, tuple[Entry, Candidate]] = {}
        self._deciding: dict[str, str] = {}
        self._readings: dict[str, list[tuple[int, Reading]]] = {}
        self._position = {entry.seq: index for index, entry in enumerate(entries)}
        for entry in entries:
            self._note(entry)

    def explain(self, name: str) -> Cause:
        """Find what is called `name` and build its tree."""
        verdict_id = name if name in self._rulings else self._deciding.get(name)
        verdict_id = verdict_id or self._by_hash(name)
        if verdict_id is None:
            known = ", ".join([*self._rulings][-3:])
            raise ConfigError(
                f"{name!r} is no transaction, bundle, verdict or intent of this journal; "
                f"its last verdicts are {known or 'none'} (see `toolkit replay JOURNAL`)"
            )
        if verdict_id in self._fills:
            return self._fill(verdict_id)
        if verdict_id in self._plans:
            return self._plan(verdict_id)
        return self._ruling(verdict_id)

    def _note(self, entry: Entry) -> None:
        if entry.kind == records.RULING:
            ruling = decoded(entry, Ruling)
            self._rulings[ruling.verdict.verdict_id] = entry, ruling
            for intent in (*ruling.verdict.losers, *ruling.verdict.intents):
                self._deciding[intent] = ruling.verdict.verdict_id
        elif entry.kind == records.PLAN:
            planned = decoded(entry, Planned)
            self._plans[planned.plan.verdict_id] = entry, planned
        elif entry.kind == records.FILL:
            fill = decoded(entry, Fill)
            self._fills[fill.verdict_id] = entry, fill
        elif entry.kind == records.INTENT:
            candidate = decoded(entry, Candidate)
            self._intents[candidate.intent_id] = entry, candidate
        elif entry.kind == records.PERCEIVED:
            for reading in decoded(entry, Perceived).readings:
                self._readings.setdefault(reading.key, []).append((entry.seq, reading))

    def _by_hash(self, name: str) -> str | None:
        """Find the verdict of a transaction, or of a bundle or request that carried one."""
        wanted = name.lower()
        hashes = {wanted}
        if _HASH.fullmatch(wanted.encode()) or len(wanted) > len("0x"):
            for entry in self._entries:
                if entry.kind not in records.INPUTS and wanted.encode() in entry.data:
                    hashes.update(found.decode() for found in _HASH.findall(entry.data))
        for verdict_id, (_, fill) in self._fills.items():
            if hashes.intersection(fill.tx_hashes):
                return verdict_id
        return None

    def _fill(self, verdict_id: str) -> Cause:
        entry, fill = self._fills[verdict_id]
        if fill.landed:
            changes = ", ".join(f"{change:+d} {token}" for token, change in fill.changes.items())
            text = (
                f"landed in block {fill.block_number} {fill.block_hash} as "
                f"{', '.join(fill.tx_hashes) or 'a paper trade'}: {changes}"
            )
        else:
            text = f"missed block {fill.block_number}: {fill.missed}"
        because = (self._plan(verdict_id),) if verdict_id in self._plans else ()
        return Cause(seq=entry.seq, kind="fill", text=text, because=because)

    def _plan(self, verdict_id: str) -> Cause:
        entry, planned = self._plans[verdict_id]
        plan = planned.plan
        text = (
            f"plan for block {plan.target_block} on {plan.parent_hash}: {len(plan.route.hops)} "
            f"hop(s), {plan.route.amount_in} in, at least {plan.minimum_profit} more out, "
            f"funded {plan.funding.kind.value}, tip {plan.tip_wei} wei, held "
            f"{planned.reservation.amount} + {planned.reservation.gas_wei} wei for gas"
        )
        return Cause(seq=entry.seq, kind="plan", text=text, because=(self._ruling(verdict_id),))

    def _ruling(self, verdict_id: str) -> Cause:
        entry, ruling = self._rulings[verdict_id]
        verdict = ruling.verdict
        because = [
            self._intent(name)
            for name in (*verdict.intents, *verdict.losers)
            if name in self._intents
        ]
        because += self._conditions(entry, verdict)
        return Cause(
            seq=entry.seq, kind="verdict", text=_ruling_text(ruling), because=tuple(because)
        )

    def _intent(self, name: str) -> Cause:
        entry, candidate = self._intents[name]
        intent = candidate.intent
        text = (
            f"intent {name} of {intent.agent}: {', '.join(_leg_text(leg) for leg in intent.legs)}, "
            f"edge {intent.edge_wei} wei, confidence {intent.confidence:.2f} ({intent.reason})"
        )
        readings = (self._reading(key, entry.seq, candidate) for key in candidate.inputs)
        return Cause(seq=entry.seq, kind="intent", text=text, because=tuple(readings))

    def _reading(self, key: str, before: int, candidate: Candidate) -> Cause:
        known = [(seq, reading) for seq, reading in self._readings.get(key, ()) if seq < before]
        if not known:
            return Cause(seq=0, kind="reading", text=f"{key}: never read")
        seq, reading = known[-1]
        age = candidate.block_number - reading.block_number
        text = (
            f"{key} = {reading.value} from {reading.source}, block {reading.block_number} "
            f"{reading.block_hash}, {age} block(s) old"
        )
        return Cause(seq=seq, kind="reading", text=text)

    def _conditions(self, ruling: Entry, verdict: Verdict) -> list[Cause]:
        """Pauses and quarantines of the verdict's agents that were decided in the same block."""
        found: list[Cause] = []
        for entry in reversed(self._entries[: self._position[ruling.seq]]):
            if entry.kind in records.INPUTS:
                break
            if entry.kind == records.PAUSE:
                assessment = decoded(entry, Assessment)
                if assessment.agent in verdict.agents and assessment.paused:
                    found.append(self._pause(entry, assessment))
            elif entry.kind == records.QUARANTINE:
                quarantined = decoded(entry, Quarantined)
                if quarantined.agent in verdict.agents:
                    text = f"{quarantined.agent} was quarantined: {quarantined.why}"
                    found.append(Cause(seq=entry.seq, kind="quarantine", text=text))
        return found

    def _pause(self, entry: Entry, assessment: Assessment) -> Cause:
        text = (
            f"{assessment.agent} was paused until block {assessment.until_block}: contamination "
            f"{assessment.contamination:+.3e}, flips a decision with probability "
            f"{assessment.flip_probability:.3f} > {assessment.tolerance}"
        )
        because = tuple(
            Cause(
                seq=self._fills[name][0].seq,
                kind="fill",
                text=f"own trade {name} in block {self._fills[name][1].block_number}",
            )
            for name in assessment.because
            if name in self._fills
        )
        return Cause(seq=entry.seq, kind="pause", text=text, because=because)


def _ruling_text(ruling: Ruling) -> str:
    verdict = ruling.verdict
    cause = "" if verdict.cause is None else f" ({verdict.cause.value})"
    decision = "approved" if verdict.approved else "vetoed"
    parts = [
        f"verdict {verdict.verdict_id}: {decision}{cause}, {verdict.why}",
        "weights " + ", ".join(f"{name} {weight:g}" for name, weight in verdict.weights.items()),
    ]
    if verdict.netted_in:
        parts.append(f"netting kept {verdict.netted_in} off the market")
    if verdict.losers:
        parts.append(f"lost to it: {', '.join(verdict.losers)}")
    if verdict.limits_hit:
        parts.append(f"limits hit: {', '.join(verdict.limits_hit)}")
    return "; ".join(parts)


def _leg_text(leg: Leg) -> str:
    return f"{leg.amount_in} {leg.token_in} -> {leg.token_out}"
