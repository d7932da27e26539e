"""What must be true of a lane's journal, and of what it told, when everything has ended.

The journal is folded once more, event by event; each event is checked against the state before it,
so that a rule which holds only most of the time is found out.
"""

from collections.abc import Iterator, Mapping
from itertools import count, pairwise

import msgspec

from toolkit.journal.log import Entry, Journal
from toolkit.model.chain import Address, Hash
from toolkit.model.tx import (
    DYNAMIC_FEE_TYPES,
    Cancelled,
    Confirmed,
    Expired,
    Outcome,
    Replaced,
    Reverted,
    SignedTransaction,
    UnsignedTransaction,
    bumped,
)
from toolkit.testing.coverage import Coverage, phase
from toolkit.tx.events import (
    FAILED,
    KINDS,
    OUTCOME,
    Accepted,
    Answered,
    CancelAsked,
    Ended,
    Event,
    Failed,
    LaneOpened,
    Leased,
    Observed,
    Prepared,
)
from toolkit.tx.lane import LaneState, open_lane, step

FILLER = "fill-"
"""How the requests begin by which a lane closes gaps of its own accord."""


class Told(msgspec.Struct, kw_only=True):
    """One request as the journal has it: what was asked, every attempt, and its ends."""

    accepted: Accepted
    attempts: list[tuple[int, Prepared]] = []
    end: Outcome | None = None
    end_seq: int | None = None  # of the newest end; None while it has none
    failed: bool = False


class Story:
    """One lane's journal folded once more, with every event checked against what was before it.

    Raises:
        AssertionError: an event broke a rule of lanes; the message names the entry.
    """

    def __init__(self, journal: Journal, lane: Address, coverage: Coverage) -> None:
        self.requests: dict[str, Told] = {}
        self.leased: dict[Hash, Leased] = {}
        self.state: LaneState | None = None
        self.most_in_flight = 0
        self._coverage = coverage
        self._fillers: dict[str, list[tuple[int, Prepared]]] = {}
        self._ends: dict[str, int] = {}
        for entry, event in _told(journal, lane):
            self._take(entry, event)

    def _take(self, entry: Entry, event: "Event | Ended | Failed") -> None:
        if isinstance(event, Ended | Failed):
            self._end(entry.seq, event)
            return
        if isinstance(event, LaneOpened) and self.state is None:
            self.state = open_lane(event)
        before = self.state
        assert before is not None, f"entry {entry.seq} before its lane was opened"
        self._note(entry.seq, before, event)
        self.state, effects = step(before, event)
        self._coverage.events += 1
        self.most_in_flight = max(self.most_in_flight, len(self.state.in_flight()))
        self._count(before, event, [type(effect).__name__ for effect in effects])

    def _count(self, before: LaneState, event: Event, effects: list[str]) -> None:
        assert self.state is not None
        kind = type(event).__name__
        self._coverage.stepped(kind, "", "", effects or ["nothing"])
        if isinstance(event, Observed | LaneOpened):
            names = before.jobs.keys() | self.state.jobs.keys()
        else:
            names = {getattr(event, "request_id", "")}
        for name in names:
            old, new = before.jobs.get(name), self.state.jobs.get(name)
            if old is not new:
                self._coverage.stepped(kind, phase(old), phase(new), ())

    def _note(self, seq: int, before: LaneState, event: Event) -> None:
        match event:
            case Accepted():
                assert event.request_id not in self.requests, f"entry {seq} accepts again"
                self.requests[event.request_id] = Told(accepted=event)
            case Prepared():
                self._check_prepared(seq, before, event)
                self._attempts(event.request_id).append((seq, event))
            case Answered():
                hashes = [a.signed.hash for _, a in self._attempts(event.request_id)]
                assert event.tx_hash in hashes, f"entry {seq} answers what was never prepared"
            case Leased():
                self._check_lease(seq, before, event)
                self.leased |= {tx.hash: event for tx in event.signed}
            case CancelAsked() | _:
                pass

    def _attempts(self, name: str) -> list[tuple[int, Prepared]]:
        if name in self.requests:
            return self.requests[name].attempts
        assert name.startswith(FILLER), f"{name} was never accepted"
        return self._fillers.setdefault(name, [])

    def _end(self, seq: int, event: Ended | Failed) -> None:
        outcome = event.outcome if isinstance(event, Ended) else None
        self._ends[event.request_id] = seq
        told = self.requests.get(event.request_id)
        if told is not None:
            told.end, told.end_seq, told.failed = outcome, seq, outcome is None

    # Rules of single events.

    def _check_prepared(self, seq: int, before: LaneState, event: Prepared) -> None:
        unsigned, job = event.signed.unsigned, before.jobs.get(event.request_id)
        assert job is not None, f"entry {seq} prepares {event.request_id}, which is not live"
        assert unsigned.gas * unsigned.fee_cap <= before.limits.max_cost_wei, f"{seq}: ceiling"
        barrier = before.barrier()
        ahead = barrier is None or unsigned.nonce < barrier
        assert ahead or job.tries, f"entry {seq}: public nonce behind a bundle"
        if job.tries:
            _check_bump(seq, job.last.signed.unsigned, unsigned)
        else:
            self._check_first(seq, before, event)

    def _check_first(self, seq: int, before: LaneState, event: Prepared) -> None:
        unsigned, held = event.signed.unsigned, before.held()
        lowest = next(nonce for nonce in count(before.nonce) if nonce not in held)
        assert unsigned.nonce == lowest, f"entry {seq}: nonce {unsigned.nonce}, free is {lowest}"
        if event.request_id.startswith(FILLER):
            return
        flying = before.in_flight()
        assert len(flying) < before.limits.max_in_flight, f"entry {seq}: window"
        funds = before.balance_wei - before.reserved_wei()
        assert unsigned.worst_cost_wei <= funds, f"entry {seq}: account cannot pay for it"
        first = next(job.request_id for job in before.jobs.values() if not job.tries)
        assert event.request_id == first, f"entry {seq}: {first} was there before"

    def _check_lease(self, seq: int, before: LaneState, event: Leased) -> None:
        nonces = [tx.unsigned.nonce for tx in event.signed]
        assert not before.held() & set(nonces), f"entry {seq}: leased nonces are held"
        assert min(nonces) >= before.nonce, f"entry {seq}: leased nonces are spent"
        cost = sum(tx.unsigned.worst_cost_wei for tx in event.signed)
        assert cost <= before.balance_wei - before.reserved_wei(), f"entry {seq}: lease not funded"

    # Rules of the whole.

    def check(self, chain: Mapping[Hash, int], foreign: Mapping[Hash, SignedTransaction]) -> None:
        """Compare every request's end with the chain.

        Args:
            chain: block number of every mined transaction.
            foreign: transactions of others on the same account.
        """
        self._check_holders()
        for name, told in self.requests.items():
            assert told.end_seq is not None, f"{name} has no end"
            self._coverage.ends["failed" if told.end is None else type(told.end).__name__] += 1
            self._check_truth(name, told, chain, foreign)

    def _check_holders(self) -> None:
        """A nonce has one holder at a time; it passes on only when its holder certainly lost it."""
        holders: dict[int, list[tuple[int, str]]] = {}
        every = {name: told.attempts for name, told in self.requests.items()} | self._fillers
        for name, attempts in every.items():
            for nonce in {a.signed.unsigned.nonce for _, a in attempts}:
                first = min(seq for seq, a in attempts if a.signed.unsigned.nonce == nonce)
                holders.setdefault(nonce, []).append((first, name))
        for nonce, requests in holders.items():
            for (_, earlier), (seq, later) in pairwise(sorted(requests)):
                end_seq = self._ends.get(earlier)
                alive = f"nonce {nonce}: {later} while {earlier} lives"
                assert end_seq is not None, alive
                assert end_seq < seq, alive
                told = self.requests.get(earlier)
                end = None if told is None else told.end
                unsent = end is None or (end.tx_hash is None and not isinstance(end, Replaced))
                assert unsent or isinstance(end, Replaced), f"nonce {nonce} given twice: {end}"

    def _check_truth(
        self,
        name: str,
        told: Told,
        chain: Mapping[Hash, int],
        foreign: Mapping[Hash, SignedTransaction],
    ) -> None:
        end, attempts = told.end, [attempt for _, attempt in told.attempts]
        assert len({a.signed.unsigned.nonce for a in attempts}) <= 1, f"{name} has two nonces"
        landed = [a for a in attempts if a.signed.hash in chain]
        if not landed:
            self._check_unmined(name, end, attempts, chain, foreign)
            return
        assert len(landed) == 1, f"{name} is mined twice"
        assert end is not None, f"{name} failed but is mined"
        mined = landed[0]
        assert mined.signed.hash == end.tx_hash, f"{name}: {end}"
        if mined.cancels:
            assert isinstance(end, Cancelled | Expired), f"{name}: {end}"
        else:
            assert isinstance(end, Confirmed | Reverted), f"{name}: {end}"
            assert mined.version == end.version, f"{name}: {end}"
        if isinstance(end, Confirmed | Reverted):
            assert chain[mined.signed.hash] == end.block_number, f"{name}: {end}"

    def _check_unmined(
        self,
        name: str,
        end: Outcome | None,
        attempts: list[Prepared],
        chain: Mapping[Hash, int],
        foreign: Mapping[Hash, SignedTransaction],
    ) -> None:
        assert isinstance(end, Cancelled | Expired | Replaced | None), f"{name}: {end}"
        if isinstance(end, Replaced):
            # A reorg may have taken a landed bundle back; see the limits in `tx/lane.py`.
            assert end.by in chain.keys() | self.leased.keys(), f"{name} replaced by nothing"
            by = foreign.get(end.by) if end.by else None
            wanted = [payload(a.signed.unsigned) for a in attempts if not a.cancels]
            same = by is not None and payload(by.unsigned) in wanted
            assert end.executed == same, f"{name}: {end}"
        elif end is not None:
            assert end.tx_hash is None, f"{name}: {end} is not mined"


def payload(unsigned: UnsignedTransaction) -> tuple[Address | None, int, str]:
    """What a transaction does, whatever its nonce and fees."""
    return unsigned.to, unsigned.value, unsigned.data


def _check_bump(seq: int, old: UnsignedTransaction, new: UnsignedTransaction) -> None:
    assert new.nonce == old.nonce, f"entry {seq}: a replacement on another nonce"
    assert new.fee_cap >= bumped(old.fee_cap), f"entry {seq}: fee cap below the bump law"
    if old.type in DYNAMIC_FEE_TYPES:
        least = bumped(old.max_priority_fee_per_gas)
        assert new.max_priority_fee_per_gas >= least, f"entry {seq}: tip below the bump law"


def _told(journal: Journal, lane: Address) -> Iterator[tuple[Entry, "Event | Ended | Failed"]]:
    types: dict[str, type[Event | Ended | Failed]] = {**KINDS, OUTCOME: Ended, FAILED: Failed}
    for entry in journal.entries(*types):
        event = journal.decode(entry, types[entry.kind])
        if event.lane == lane:
            yield entry, event
