"""Why something happened: the way from an outcome back to the readings it rests on."""

import re
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from toolkit.journal.log import Entry
from toolkit.model.decision import Fill, Reading, Verdict
from toolkit.model.errors import ConfigError
from toolkit.model.printable import printable
from toolkit.orchestrator import records
from toolkit.orchestrator.audit.naming import Names, ether, plural
from toolkit.orchestrator.audit.replay import decoded
from toolkit.orchestrator.board.doubts import Doubted
from toolkit.orchestrator.breaking.breakers import BreakerChange, Phase
from toolkit.orchestrator.deciding.arbitration import Candidate, Ruling
from toolkit.orchestrator.pausing.pauses import Assessment
from toolkit.orchestrator.records import Command, Planned, Quarantined, Setup
from toolkit.perception.perceived import Perceived

_HASH = re.compile(rb"0x[0-9a-f]{64}")
_LONG = re.compile(r"0x[0-9a-f]{40,}")


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """One fact, the journal entry it is in (0 for readings older than it), and what led to it.

    `text` is its headline, `facts` what else is to be known of it, a line each.
    """

    seq: int
    kind: str
    text: str
    facts: tuple[str, ...] = ()
    because: tuple["Cause", ...] = ()


def why(entries: Iterable[Entry], name: str) -> Cause:
    """Explain a transaction, bundle, request, verdict or intent by its id.

    Raises:
        ConfigError: the journal knows nothing of that name.
    """
    return _Audit(tuple(entries)).explain(name)


def verdict_of(entries: Iterable[Entry], name: str) -> str:
    """Return the verdict that a transaction, bundle, request or intent belongs to.

    Raises:
        ConfigError: the journal knows nothing of that name.
    """
    return _Audit(tuple(entries)).verdict_of(name)


def verdicts(entries: Iterable[Entry]) -> tuple[Verdict, ...]:
    """Return every verdict of a journal, in order."""
    return tuple(
        decoded(entry, Ruling).verdict for entry in entries if entry.kind == records.RULING
    )


def lines(cause: Cause, *, short: bool = False) -> Iterator[str]:
    """Draw a tree of causes for people; `short` cuts hashes and addresses to their ends.

    What agents and the world said is made `printable`.
    """
    for line in _drawn(cause, "", ""):
        yield _LONG.sub(lambda found: f"{found[0][:6]}…{found[0][-4:]}", line) if short else line


def _drawn(cause: Cause, first: str, rest: str) -> Iterator[str]:
    yield first + printable(cause.text)
    stem = "│  " if cause.because else "   "
    for fact in cause.facts:
        yield rest + stem + printable(fact)
    for index, one in enumerate(cause.because):
        last = index == len(cause.because) - 1
        corner, below = ("└─ ", "   ") if last else ("├─ ", "│  ")
        yield from _drawn(one, rest + corner, rest + below)


class _Audit:
    """An index over one journal, made for one question."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self._names = Names()
        self._rulings: dict[str, tuple[Entry, Ruling]] = {}
        self._plans: dict[str, tuple[Entry, Planned]] = {}
        self._fills: dict[str, tuple[Entry, Fill]] = {}
        self._intents: dict[str, tuple[Entry, Candidate]] = {}
        self._deciding: dict[str, str] = {}
        self._breakers: list[tuple[Entry, BreakerChange]] = []
        self._doubts: list[tuple[Entry, Doubted]] = []
        self._commands: list[tuple[Entry, Command]] = []
        self._readings: dict[str, list[tuple[int, Reading]]] = {}
        self._position = {entry.seq: index for index, entry in enumerate(entries)}
        for entry in entries:
            self._note(entry)

    def explain(self, name: str) -> Cause:
        """Find what is called `name` and build its tree."""
        verdict_id = self.verdict_of(name)
        if verdict_id in self._fills:
            named = name in self._rulings or name in self._deciding
            return self._fill(verdict_id) if named else self._carried(verdict_id)
        if verdict_id in self._plans:
            return self._plan(verdict_id)
        return self._ruling(verdict_id)

    def verdict_of(self, name: str) -> str:
        """Find the verdict that what is called `name` belongs to."""
        verdict_id = name if name in self._rulings else self._deciding.get(name)
        verdict_id = verdict_id or self._by_hash(name)
        if verdict_id is None:
            known = ", ".join([*self._rulings][-3:])
            raise ConfigError(
                f"{name!r} is no transaction, bundle, request, verdict or intent of this journal; "
                f"its last verdicts are {known or 'none'} (see `toolkit replay JOURNAL`)"
            )
        return verdict_id

    def _note(self, entry: Entry) -> None:
        if entry.kind == records.SETUP:
            self._names = Names(decoded(entry, Setup).market)
        elif entry.kind == records.RULING:
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
        elif entry.kind == records.BREAKER:
            self._breakers.append((entry, decoded(entry, BreakerChange)))
        elif entry.kind == records.DOUBT:
            self._doubts.append((entry, decoded(entry, Doubted)))
        elif entry.kind == records.COMMAND:
            self._commands.append((entry, decoded(entry, Command)))
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

    def _carried(self, verdict_id: str) -> Cause:
        """Explain a transaction by the verdict it carried, or by all of them."""
        entry, fill = self._fills[verdict_id]
        parts = [one for one in fill.together if one in self._fills]
        if len(parts) < 2:  # noqa: PLR2004 - several
            return self._fill(verdict_id)
        gas = sum(self._fills[one][1].gas_fee_wei for one in parts)
        return Cause(
            seq=entry.seq,
            kind="transaction",
            text=f"one transaction carried {len(parts)} verdicts in block {fill.block_number}",
            facts=(f"gas {ether(gas)}, shared by what each would have used alone",),
            because=tuple(self._fill(one) for one in parts),
        )

    def _fill(self, verdict_id: str) -> Cause:
        entry, fill = self._fills[verdict_id]
        because = (self._plan(verdict_id),) if verdict_id in self._plans else ()
        if not fill.landed:
            text = f"trade {verdict_id} missed block {fill.block_number}"
            return Cause(
                seq=entry.seq, kind="fill", text=text, facts=(fill.missed,), because=because
            )
        # A bundle's transaction is on the chain; a paper trade has none.
        facts = [f"transaction {tx_hash}" for tx_hash in fill.tx_hashes] or ["on paper"]
        facts.append(self._names.changes(fill.changes))
        facts.append(
            f"predicted {fill.predicted_out}, realised {fill.realised_out}; gas "
            f"{ether(fill.gas_fee_wei)}, tip {ether(fill.tip_wei)}"
        )
        others = [one for one in fill.together if one != verdict_id]
        if others:
            facts.append(f"in one transaction with {', '.join(others)}; gas is its own share")
        text = f"trade {verdict_id} landed in block {fill.block_number} {fill.block_hash}"
        return Cause(seq=entry.seq, kind="fill", text=text, facts=tuple(facts), because=because)

    def _plan(self, verdict_id: str) -> Cause:
        entry, planned = self._plans[verdict_id]
        plan, held = planned.plan, planned.reservation
        route = plan.route
        promised = self._names.amount(plan.minimum_profit, route.token_out)
        given = self._names.amount(route.amount_in, route.token_in)
        pools, more = plural(len(route.hops), "pool"), "more" if route.is_cycle else "out"
        reserved = self._names.amount(held.amount, held.token)
        funding = plan.funding.kind.value
        facts = (
            f"{given} through {pools}, at least {promised} {more}; funded {funding}",
            f"reserved {reserved} and {ether(held.gas_wei)} for gas; tip {ether(plan.tip_wei)}",
        )
        return Cause(
            seq=entry.seq,
            kind="plan",
            text=f"plan for block {plan.target_block} on {plan.parent_hash}",
            facts=facts,
            because=(self._ruling(verdict_id),),
        )

    def _ruling(self, verdict_id: str) -> Cause:
        entry, ruling = self._rulings[verdict_id]
        verdict = ruling.verdict
        because = [
            self._intent(name)
            for name in (*verdict.intents, *verdict.losers)
            if name in self._intents
        ]
        because += self._conditions(entry, verdict)
        cause = "" if verdict.cause is None else f" ({verdict.cause.value})"
        return Cause(
            seq=entry.seq,
            kind="verdict",
            text=f"verdict {verdict_id}: {'approved' if verdict.approved else 'vetoed'}{cause}",
            facts=tuple(self._ruling_facts(ruling)),
            because=tuple(because),
        )

    def _ruling_facts(self, ruling: Ruling) -> Iterator[str]:
        verdict = ruling.verdict
        if verdict.why:
            yield verdict.why
        yield "weights " + ", ".join(f"{a} {weight:g}" for a, weight in verdict.weights.items())
        if verdict.netted_in:
            token = verdict.legs[0].token_in if verdict.legs else ""
            off = self._names.amount(verdict.netted_in, token) if token else verdict.netted_in
            saved = f", {ether(verdict.saved_wei)} of pool fees saved" if verdict.saved_wei else ""
            yield f"netting kept {off} off the market{saved}"
        if verdict.saved_gas_wei:
            yield f"netting saved {ether(verdict.saved_gas_wei)} of gas"
        for agent in sorted({one.agent for one in ruling.transfers}):
            moves = {str(t.token): t.change for t in ruling.transfers if t.agent == agent}
            yield f"changed hands inside: {agent} {self._names.changes(moves)}"
        if verdict.losers:
            yield f"lost to it: {', '.join(verdict.losers)}"
        if verdict.limits_hit:
            yield f"limits hit: {', '.join(verdict.limits_hit)}"

    def _intent(self, name: str) -> Cause:
        entry, candidate = self._intents[name]
        intent = candidate.intent
        legs = "; ".join(self._names.leg(leg) for leg in intent.legs)
        readings = (self._reading(key, entry.seq, candidate) for key in candidate.inputs)
        facts = [f"edge {ether(intent.edge_wei)}, confidence {intent.confidence:.2f}"]
        if intent.reason:
            facts.insert(0, intent.reason)
        return Cause(
            seq=entry.seq,
            kind="intent",
            text=f"intent {name} of {intent.agent}: {legs}",
            facts=tuple(facts),
            because=tuple(readings),
        )

    def _reading(self, key: str, before: int, candidate: Candidate) -> Cause:
        known = [(seq, reading) for seq, reading in self._readings.get(key, ()) if seq < before]
        if not known:
            return Cause(seq=0, kind="reading", text=f"{key}: never read")
        seq, reading = known[-1]
        age = candidate.block_number - reading.block_number
        return Cause(
            seq=seq,
            kind="reading",
            text=f"{key} = {reading.value}",
            facts=(
                f"from {self._names.source(reading.source)}",
                f"block {reading.block_number} {reading.block_hash}, {plural(age, 'block')} old",
            ),
        )

    def _conditions(self, ruling: Entry, verdict: Verdict) -> list[Cause]:
        """What bound the verdict: pauses and quarantines, breakers, doubts, people's orders."""
        found = [
            *self._open_breakers(ruling),
            *self._doubted(ruling, verdict),
            *self._ordered(ruling, verdict),
        ]
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

    def _open_breakers(self, ruling: Entry) -> Iterator[Cause]:
        """Every breaker that was not closed, with the evidence that opened it."""
        newest = {
            one.hazard: (entry, one) for entry, one in self._breakers if entry.seq < ruling.seq
        }
        for entry, one in newest.values():
            if one.phase is not Phase.CLOSED:
                phase = one.phase.value.replace("_", "-")
                text = f"breaker {one.hazard.value} is {phase} since block {one.block_number}"
                why = (one.evidence.why, f"trading is {one.state.value}")
                yield Cause(seq=entry.seq, kind="breaker", text=text, facts=why)

    def _doubted(self, ruling: Entry, verdict: Verdict) -> Iterator[Cause]:
        """The facts in doubt that the verdict's intents rest on."""
        known = [(entry, one) for entry, one in self._doubts if entry.seq < ruling.seq]
        if not known:
            return
        entry, newest = known[-1]
        named = [self._intents[name][1] for name in verdict.intents if name in self._intents]
        for key in sorted({key for one in named for key in one.inputs} & set(newest.doubts)):
            text = f"{key} is in doubt: {newest.doubts[key]}"
            yield Cause(seq=entry.seq, kind="doubt", text=text)

    def _ordered(self, ruling: Entry, verdict: Verdict) -> Iterator[Cause]:
        """A person's pause of one of its agents that held."""
        for agent in verdict.agents:
            orders = [
                (entry, one)
                for entry, one in self._commands
                if one.target == agent and one.verb != "reset" and entry.seq < ruling.seq
            ]
            if orders and orders[-1][1].verb == "pause":
                entry, one = orders[-1]
                text = f"{agent} is paused by a person: {one.why}"
                yield Cause(seq=entry.seq, kind="command", text=text)

    def _pause(self, entry: Entry, assessment: Assessment) -> Cause:
        because = tuple(
            Cause(
                seq=self._fills[name][0].seq,
                kind="fill",
                text=f"own trade {name} landed in block {self._fills[name][1].block_number}",
                facts=(self._names.changes(self._fills[name][1].changes),),
            )
            for name in assessment.because
            if name in self._fills
        )
        figures = (
            f"contamination {assessment.contamination:+.3e} flips a decision with probability "
            f"{assessment.flip_probability:.3f}, tolerated {assessment.tolerance}"
        )
        return Cause(
            seq=entry.seq,
            kind="pause",
            text=f"{assessment.agent} was paused until block {assessment.until_block}",
            facts=(figures,),
            because=because,
        )
