"""What must be true of a lane's journal, and of what it told, when everything has ended.

The journal is folded once more, event by event; each event is checked against the state before it,
so that a rule which holds only most of the time is found out.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import count, pairwise

import msgspec

from toolkit.journal.log import Entry, Journal
from toolkit.model.chain import Address, Hash
from toolkit.model.tx import (
    DYNAMIC_FEE_TYPES,
    Cancelled,
    Confirmed,
    Expired,
    Exposure,
    ExternalSpend,
    Outcome,
    Replaced,
    Reverted,
    SignedTransaction,
    TransactionRequest,
    UnsignedTransaction,
    bumped,
)
from toolkit.testing.coverage import Coverage, phase
from toolkit.tx.events import (
    FAILED,
    KINDS,
    OUTCOME,
    REOPENED,
    Accepted,
    Answered,
    CancelAsked,
    Effect,
    Ended,
    Event,
    Failed,
    Finish,
    LaneOpened,
    Leased,
    LeaseSettled,
    Observed,
    Prepared,
    Reopen,
    Reopened,
    ReplaceAsked,
    Send,
    Sign,
    SigningFailed,
)
from toolkit.tx.fees import CANCEL_GAS
from toolkit.tx.job import Job, payload
from toolkit.tx.lane import SPENT_PATIENCE_BLOCKS, LaneState, open_lane, step
from toolkit.tx.lane_spent import FALLEN_PATIENCE_HEADS

Entered = Event | Ended | Failed | Reopened

PAUSES = frozenset({"InsufficientFunds", "AccountLimit", "AlreadyReserved"})
"""Refusals after which whatever comes next would be refused as well."""

FILLER = "fill-"
"""How the requests begin by which a lane closes gaps of its own accord."""


class Told(msgspec.Struct, kw_only=True):
    """One request as the journal has it: what was asked, every attempt, and its ends."""

    accepted: Accepted
    attempts: list[tuple[int, Prepared]] = []
    end: Outcome | None = None
    end_seq: int | None = None  # of the newest end; None while it has none
    wanted: list[tuple[str | None, int, str]] = []  # every payload that was ever asked for
    given_up: bool = False  # told that its nonce is spent, and nobody could say by what
    own_wish: bool = False  # cancelled by its author before anything else gave it up


class Story:
    """One lane's journal folded once more, with every event checked against what was before it.

    Raises:
        AssertionError: an event broke a rule of lanes; the message names the entry.
    """

    def __init__(self, journal: Journal, lane: Address, coverage: Coverage) -> None:
        self.requests: dict[str, Told] = {}
        self.state: LaneState | None = None
        self.most_in_flight = 0
        self.halted = False  # whether something final was ever taken back
        self.forbidden = False  # whether the author's ceiling forbids what alone could end it
        self._unsigned = False  # whether a signature failed since nonces were given out
        self._bundled: set[int] = set()  # nonces of bundles that were settled as landed
        self.confirmed: set[str] = set()  # requests that were told to be, at some time
        self.revived: set[str] = set()  # mined at a nonce that had been given up as final
        self.gave_up: dict[str, Hash] = {}  # by request: the final stranger who had its first nonce
        self.taken_back: frozenset[Hash] = frozenset()  # what the world undid though it was final
        self._coverage = coverage
        self._count = 0  # the account's highest, as heard since a reorg
        self.final: set[Hash] = set()  # transactions that were heard of, and final, before a reorg
        self._heard: dict[Hash, int] = {}  # block of those that were named since the last one
        self._fallen = 0  # heads in a row that said less
        self._spent: dict[str, int] = {}  # head at which a request's nonce was first spent
        self._fillers: dict[str, list[tuple[int, Prepared]]] = {}
        self._ends: dict[str, int] = {}
        for entry, event in _told(journal, lane):
            self._take(entry, event)

    def _take(self, entry: Entry, event: Entered) -> None:
        if isinstance(event, Ended | Failed | Reopened):
            self._end(entry.seq, event)
            return
        if isinstance(event, LaneOpened) and self.state is None:
            self.state = open_lane(event)
        before = self.state
        assert before is not None, f"entry {entry.seq} before its lane was opened"
        self._note(entry.seq, before, event)
        if not isinstance(event, Prepared | Answered):
            self._unsigned = isinstance(event, SigningFailed)
        self.state, effects = step(before, event)
        self._coverage.events += 1
        self.most_in_flight = max(self.most_in_flight, len(self.state.in_flight()))
        self._unsigned |= isinstance(event, Answered) and bool(effects)
        self.halted |= bool(self.state.halted)
        self._check_effects(entry.seq, before, effects)
        if isinstance(event, Observed):
            self._check_observed(entry.seq, before, event)
        if isinstance(event, ReplaceAsked):
            self._check_replaced(entry.seq, before, event, effects)
        self._tally(before, event, [type(effect).__name__ for effect in effects])

    def _tally(self, before: LaneState, event: Event, effects: list[str]) -> None:
        assert self.state is not None
        kind = type(event).__name__
        self._coverage.stepped(kind, "", "", effects or ["nothing"])
        if isinstance(event, Observed | LaneOpened):
            names = set(before.jobs.keys() | self.state.jobs.keys())
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
                wanted = [payload(event.request)]
                self.requests[event.request_id] = Told(accepted=event, wanted=wanted)
            case ReplaceAsked(request=TransactionRequest() as request):
                job = before.jobs.get(event.request_id)
                if job is not None and not job.cancelling:
                    self.requests[event.request_id].wanted.append(payload(request))
            case Prepared():
                if event.request_id in before.jobs:  # else it was refused while it was signed
                    self._check_prepared(seq, before, event)
                    self._attempts(event.request_id).append((seq, event))
            case Answered():
                hashes = [a.signed.hash for _, a in self._attempts(event.request_id)]
                assert event.tx_hash in hashes, f"entry {seq} answers what was never prepared"
            case Leased():
                self._check_lease(seq, before, event)
            case LeaseSettled(landed=True) if event.lease_id in before.leases:
                signed = before.leases[event.lease_id].signed
                self._bundled |= {tx.unsigned.nonce for tx in signed}
            case CancelAsked():
                self._note_wish(before, event)
            case Observed():
                self._note_counts(before, event)
            case _:
                pass

    def _note_wish(self, before: LaneState, event: CancelAsked) -> None:
        job, told = before.jobs.get(event.request_id), self.requests.get(event.request_id)
        if job is not None and told is not None and not job.cancelling and not job.reason:
            told.own_wish = True

    def _note_counts(self, before: LaneState, event: Observed) -> None:
        """What was heard of the account's count, which only a reorg or persistence lowers."""
        self._fallen = self._fallen + 1 if event.nonce < self._count else 0
        if event.reorged:
            self._bundled = set()
            self._spent = {}
        if event.reorged or self._fallen >= FALLEN_PATIENCE_HEADS:
            self._count = self._fallen = 0
        self._count = max(self._count, event.nonce)
        if event.reorged:
            deep = before.block - before.limits.finality_blocks + 1
            self.final |= {tx for tx, block in self._heard.items() if block <= deep}
            self._heard = {}
        self._heard |= {one.tx_hash: one.block_number for one in event.receipts}
        self._heard |= {one.by: one.block_number for one in event.spenders}
        for job in _in_flight(before):
            if job.nonce is not None and job.nonce < self._count:
                self._spent.setdefault(job.request_id, event.block)

    def _final(self, name: str) -> bool:
        """Whether the spend of a request's nonce is as old as what is final."""
        assert self.state is not None
        since = self._spent.get(name, self.state.block)
        return self.state.block - since + 1 >= self.state.limits.finality_blocks

    def _attempts(self, name: str) -> list[tuple[int, Prepared]]:
        if name in self.requests:
            return self.requests[name].attempts
        assert name.startswith(FILLER), f"{name} was never accepted"
        return self._fillers.setdefault(name, [])

    def _end(self, seq: int, event: Ended | Failed | Reopened) -> None:
        outcome = event.outcome if isinstance(event, Ended) else None
        self._ends[event.request_id] = seq
        told = self.requests.get(event.request_id)
        if told is not None and isinstance(event, Reopened):
            told.end, told.end_seq = None, None
        elif told is not None:
            told.end, told.end_seq = outcome, seq
            told.given_up |= isinstance(outcome, Replaced) and outcome.by is None
            if isinstance(outcome, Confirmed):
                self.confirmed.add(event.request_id)
            reason = outcome.reason if isinstance(outcome, Cancelled) else ""
            assert not (told.own_wish and reason), (
                f"{event.request_id}: its author's wish, {reason}"
            )

    # Rules of single events.

    def _check_prepared(self, seq: int, before: LaneState, event: Prepared) -> None:
        unsigned, job = event.signed.unsigned, before.jobs[event.request_id]
        assert unsigned.gas * unsigned.fee_cap <= before.limits.max_cost_wei, f"{seq}: ceiling"
        assert not before.halted, f"entry {seq}: a halted lane signs"
        spare = max(0, before.balance_wei - _reserved_wei(before))
        more = unsigned.worst_cost_wei - _dearest_wei(job)
        assert more <= spare, f"entry {seq}: the account cannot pay for it"
        assert event.cancels <= job.cancelling, f"entry {seq}: nobody wants it cancelled"
        if event.cancels:
            assert payload(unsigned) == (before.lane, 0, "0x"), f"entry {seq}: cancels with {job}"
        else:
            wanted = payload(job.payload_of(event.version))
            assert payload(unsigned) == wanted, f"entry {seq}: another payload than asked"
        if job.tries:
            _check_bump(seq, before, job, event)
        else:
            self._check_first(seq, before, event)

    def _check_first(self, seq: int, before: LaneState, event: Prepared) -> None:
        unsigned, held = event.signed.unsigned, _held(before)
        leased = [tx.unsigned.nonce for one in before.leases.values() for tx in one.signed]
        assert unsigned.nonce < min(leased, default=2**64), f"entry {seq}: it stands on a bundle"
        lowest = next(nonce for nonce in count(before.nonce) if nonce not in held)
        assert unsigned.nonce not in self._bundled, f"entry {seq}: a bundle has spent that nonce"
        wrong = f"entry {seq}: nonce {unsigned.nonce}, free is {lowest}"
        assert unsigned.nonce not in held, wrong
        # Nonces are given out together: one whose signature failed is free until the next event.
        assert unsigned.nonce == lowest or (self._unsigned and unsigned.nonce > lowest), wrong
        assert unsigned.nonce >= self._count, f"entry {seq}: {unsigned.nonce} was heard to be spent"
        if event.request_id.startswith(FILLER):
            return
        told, job = self.requests[event.request_id], before.jobs[event.request_id]
        assert not told.given_up, f"entry {seq}: {event.request_id} goes on behind its end"
        late = job.deadline_block is not None and job.deadline_block <= before.block
        assert not late, f"entry {seq}: {event.request_id} is late"
        flying, room = (
            len(_in_flight(before)),
            1 if before.delegated else before.limits.max_in_flight,
        )
        assert flying < room, f"entry {seq}: {flying} are in flight, {room} may be"
        queued = [job for job in before.jobs.values() if not job.tries and job.after is None]
        first = min(
            (job for job in queued if not job.request_id.startswith(FILLER)),
            key=lambda job: (-job.priority, job.order),
        )
        in_order = event.request_id == first.request_id or self._unsigned
        assert in_order, f"entry {seq}: {first.request_id} comes first"
        leader = self.requests[event.request_id].accepted.after
        if leader is not None:
            end = self.requests[leader].end if leader in self.requests else None
            ever = leader in self.confirmed
            assert ever, f"entry {seq}: {leader} must be confirmed first, it is {end}"

    def _check_effects(self, seq: int, before: LaneState, effects: Sequence[Effect]) -> None:
        assert self.state is not None
        for effect in effects:
            match effect:
                case Sign() if effect.request_id in self.state.queue:
                    self._check_means(seq, before, effect.request_id)
                case Send():
                    job = self.state.jobs[effect.request_id]
                    assert not self.state.halted, f"entry {seq}: a halted lane sends"
                    highest = job.tries[-1].signed.unsigned
                    again = max(bumped(highest.fee_cap), bumped(highest.max_priority_fee_per_gas))
                    dear = again * CANCEL_GAS > self.state.limits.max_cost_wei
                    wanted = effect.cancels or not job.cancelling or dear
                    assert wanted, f"entry {seq}: sends what is unwanted"
                    self._check_out(seq, before, effect)
                case Finish(outcome=Replaced(by=None)):
                    job = before.jobs[effect.request_id]
                    patient = job.unexplained >= SPENT_PATIENCE_BLOCKS
                    assert patient, f"entry {seq}: gives up on {job.request_id} at once"
                    kept = self.state.jobs.get(effect.request_id, job)
                    hasty = self._may_go_on(kept) and not self._final(job.request_id)
                    assert not hasty, f"entry {seq}: {job.request_id} may yet be named"
                case Reopen():
                    job, now = before.jobs[effect.request_id], before.block
                    block = before.landed.get(effect.request_id, now)
                    final = now - block + 1 >= before.limits.finality_blocks
                    halts = self.state.halted or not final or job.lost
                    assert halts, f"entry {seq}: the end of {job.request_id} was final"

    def _may_go_on(self, job: Job) -> bool:
        """Whether a request on its first nonce may yet be tried on a second one."""
        told = self.requests.get(job.request_id)
        if told is None or told.given_up or job.cancelling:
            return False
        nonces = {made.signed.unsigned.nonce for _, made in told.attempts}
        return told.accepted.on_external_spend is ExternalSpend.REQUEUE and len(nonces) == 1

    def _check_out(self, seq: int, before: LaneState, effect: Send) -> None:
        """Of what nobody wants any more, only what is out already is sent again."""
        job = before.jobs.get(effect.request_id)
        if job is None or not job.cancelling or effect.cancels:
            return
        out = any(one.exposed for one in job.tries if one.signed.hash == effect.signed.hash)
        assert out, f"entry {seq}: the unwanted {effect.signed.hash} was never out"

    def _check_means(self, seq: int, before: LaneState, name: str) -> None:
        """Nothing new is begun while something in flight was refused for want of means."""
        assert self.state is not None
        if name.startswith(FILLER):
            return
        held = [job for job in _in_flight(before) if self.state.jobs.get(job.request_id) is job]
        stopped = [job.refusal for job in held if job.refusal in PAUSES and not job.last.taken]
        assert not stopped, f"entry {seq}: goes on after {stopped[0]}"

    def _check_observed(self, seq: int, before: LaneState, event: Observed) -> None:
        assert self.state is not None
        beyond = [one for one in event.receipts if one.block_number > event.block]
        assert not beyond, f"entry {seq}: a receipt from beyond the head"
        self._check_first_lives(seq, before, event)
        for name, job in self.state.jobs.items():
            was = before.jobs.get(name)
            if was is not None and was.tries and not job.tries:
                self._check_requeued(seq, event, was)
            unspent = job.nonce is not None and job.nonce >= self.state.nonce
            assert not (job.reported and unspent), f"entry {seq}: {name} is told to have ended"
            over = job.landed and not (job.undecided or job.requeues)
            if job.deadline_block is None or over or job.after is not None:
                continue
            late = event.block >= job.deadline_block
            out = any(Exposure.PUBLIC in one.exposures.values() for one in job.tries)
            early = out and not job.landed and event.block >= job.deadline_block - 1
            early = early and max(job.tries[0].first_block, before.block) < event.block
            due = late or early
            assert job.cancelling or not due, f"entry {seq}: {name} is late"

    def _check_replaced(
        self, seq: int, before: LaneState, event: ReplaceAsked, effects: Sequence[Effect]
    ) -> None:
        """A cancelled request does not come back; any other one is bid for at once, if it can."""
        assert self.state is not None
        old, new = before.jobs.get(event.request_id), self.state.jobs.get(event.request_id)
        if old is None or new is None:
            return
        if old.cancelling:
            assert old.version == new.version, f"entry {seq}: brings back what was cancelled"
            return
        if old.nonce is None or old.landed or old.nonce < before.nonce or before.halted:
            return
        highest, gas = old.tries[-1].signed.unsigned, new.request.gas or 0
        ceiling = before.limits.max_cost_wei
        spare = before.balance_wei - _reserved_wei(before) - ceiling - new.request.value
        free = new.request.max_fee_per_gas is None and spare > 0
        signs = [one for one in effects if isinstance(one, Sign)]
        if free and max(gas, highest.gas) * bumped(highest.fee_cap) <= ceiling:
            assert signs, f"entry {seq}: {event.request_id} is not bid for"

    def _check_first_lives(self, seq: int, before: LaneState, event: Observed) -> None:
        """A first nonce is given up when it is final, and a reorg that undoes that halts.

        The request may be gone by then: its second life can end before it has a nonce, at the very
        head that begins it.
        """
        assert self.state is not None
        old = {life.job.request_id for life in before.first_lives}
        for life in self.state.first_lives:
            name = life.job.request_id
            if name not in old and name not in self.state.jobs:
                self._check_requeued(seq, event, before.jobs[name])
        spent_by = {one.tx_hash for one in event.receipts} | {one.by for one in event.spenders}
        for life in before.first_lives:
            job = life.job
            if (job.nonce or 0) < self.state.nonce and spent_by & set(job.hashes()):
                assert self.state.halted, f"entry {seq}: {job.request_id} is mined after all"
                self.revived.add(job.request_id)

    def _check_requeued(self, seq: int, event: Observed, was: Job) -> None:
        assert self.state is not None
        named = [one for one in event.spenders if one.nonce == was.nonce]
        spender = named[0] if named else was.foreign
        if spender is None and was.lost and not was.exposed:
            # Nobody has it, whoever spent its nonce.
            assert self._final(was.request_id), f"entry {seq}: {was.request_id}'s may come back"
            return
        assert spender is not None, f"entry {seq}: {was.request_id} gave its nonce up"
        assert was.on_external_spend is ExternalSpend.REQUEUE, f"entry {seq}: nobody wished for it"
        depth = self.state.block - spender.block_number + 1
        final = depth >= self.state.limits.finality_blocks
        assert final, f"entry {seq}: {was.request_id} may yet have its nonce back"
        self.gave_up[was.request_id] = spender.by

    def _check_lease(self, seq: int, before: LaneState, event: Leased) -> None:
        nonces = [tx.unsigned.nonce for tx in event.signed]
        assert not _held(before) & set(nonces), f"entry {seq}: leased nonces are held"
        assert min(nonces) >= before.nonce, f"entry {seq}: leased nonces are spent"
        cost = sum(tx.unsigned.worst_cost_wei for tx in event.signed)
        assert cost <= before.balance_wei - _reserved_wei(before), f"entry {seq}: lease not funded"

    # Rules of the whole.

    def check(
        self,
        chain: Mapping[Hash, int],
        foreign: Mapping[Hash, SignedTransaction],
        reverted: Collection[Hash],
    ) -> None:
        """Compare every request's end with the chain.

        Args:
            chain: block number of every mined transaction.
            foreign: transactions of others on the same account.
            reverted: those of the mined ones that failed.
        """
        for name, told in self.requests.items():
            if isinstance(told.end, Confirmed | Reverted):
                failed = told.end.tx_hash in reverted
                assert failed == isinstance(told.end, Reverted), f"{name}: {told.end}"
        self._check_holders()
        holders = self._last_holders()
        for name, told in self.requests.items():
            if told.end_seq is None and self.forbidden:
                continue
            assert told.end_seq is not None, f"{name} has no end"
            self._coverage.ends["failed" if told.end is None else type(told.end).__name__] += 1
            own = {tx: block for tx, block in chain.items() if holders.get(tx, name) == name}
            self._check_truth(name, told, own, foreign)

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
                if len({a.signed.unsigned.nonce for _, a in every[earlier]}) > 1:
                    continue  # it went on to a nonce of its own
                end_seq = self._ends.get(earlier)
                alive = f"nonce {nonce}: {later} while {earlier} lives"
                assert end_seq is not None, alive
                assert end_seq < seq, alive
                told = self.requests.get(earlier)
                end = None if told is None else told.end
                unsent = end is None or (end.tx_hash is None and not isinstance(end, Replaced))
                assert unsent or isinstance(end, Replaced), f"nonce {nonce} given twice: {end}"

    def _last_holders(self) -> dict[Hash, str]:
        """Whose each signed transaction is: cancellations of two requests may be the same bytes.

        The nonce passed from one to the other, so what is mined is the later one's. What carries
        authorizations is nobody's alone: it may spend the nonces of others too.
        """
        every = {name: told.attempts for name, told in self.requests.items()} | self._fillers
        made = [(seq, a.signed, name) for name, attempts in every.items() for seq, a in attempts]
        signed = [(n, tx.hash, name) for n, tx, name in made if not tx.unsigned.authorization_list]
        return {tx_hash: name for _, tx_hash, name in sorted(signed)}

    def _check_truth(
        self,
        name: str,
        told: Told,
        chain: Mapping[Hash, int],
        foreign: Mapping[Hash, SignedTransaction],
    ) -> None:
        end, attempts = told.end, [attempt for _, attempt in told.attempts]
        nonces = {a.signed.unsigned.nonce for a in attempts}
        requeues = told.accepted.on_external_spend is ExternalSpend.REQUEUE
        assert len(nonces) <= (2 if requeues else 1), f"{name} has nonces {nonces}"
        landed = [a for a in attempts if a.signed.hash in chain]
        if not landed:
            self._check_unmined(name, told, chain, foreign)
            return
        if self.halted and self.gave_up.get(name) in self.taken_back:
            # A reorg deeper than what is final undid the stranger for whom it gave up its first
            # nonce: both are good now, and no client could have known.
            return
        unsent = isinstance(end, Cancelled | Expired) and end.tx_hash is None
        if name in self.revived and unsent:
            return  # the same, after its second life ended without a nonce: the lane did halt
        assert len(landed) == 1, f"{name} is mined twice"
        assert end is not None, f"{name} failed but is mined"
        mined = landed[0]
        assert mined.signed.hash == end.tx_hash, f"{name}: {end}"
        if mined.cancels:
            assert isinstance(end, Cancelled | Expired), f"{name}: {end}"
        else:
            assert isinstance(end, Confirmed | Reverted), f"{name}: {end}"
            assert mined.version == end.version, f"{name}: {end}"
        if not mined.cancels:
            again = [
                tx
                for tx_hash, tx in foreign.items()
                if tx_hash in chain
                and tx.unsigned.nonce in nonces
                and payload(tx.unsigned) == payload(mined.signed.unsigned)
            ]
            assert not again, f"{name} was done by a stranger, and again"
        if isinstance(end, Confirmed | Reverted):
            assert chain[mined.signed.hash] == end.block_number, f"{name}: {end}"

    def _check_unmined(
        self,
        name: str,
        told: Told,
        chain: Mapping[Hash, int],
        foreign: Mapping[Hash, SignedTransaction],
    ) -> None:
        end = told.end
        assert isinstance(end, Cancelled | Expired | Replaced | None), f"{name}: {end}"
        if isinstance(end, Replaced):
            assert end.by in chain, f"{name} replaced by nothing: {end}"
            by = foreign.get(end.by) if end.by else None
            done = None if by is None else payload(by.unsigned)
            signed = [payload(a.signed.unsigned) for _, a in told.attempts if not a.cancels]
            assert end.executed or done not in signed, f"{name}: {end}"
            assert not end.executed or done in [*signed, *told.wanted], f"{name}: {end}"
        elif end is not None:
            assert end.tx_hash is None, f"{name}: {end} is not mined"


# The lane's own sums are what is checked, so they are made here once more.


def _in_flight(state: LaneState) -> list[Job]:
    return [job for job in state.jobs.values() if job.tries and not job.landed]


def _held(state: LaneState) -> set[int]:
    leased = {tx.unsigned.nonce for lease in state.leases.values() for tx in lease.signed}
    return leased | {job.tries[0].signed.unsigned.nonce for job in _in_flight(state)}


def _reserved_wei(state: LaneState) -> int:
    leased = [tx.unsigned for lease in state.leases.values() for tx in lease.signed]
    open_jobs = [job for job in _in_flight(state) if (job.nonce or 0) >= state.nonce]
    return sum(tx.worst_cost_wei for tx in leased) + sum(map(_dearest_wei, open_jobs))


def _dearest_wei(job: Job) -> int:
    return max((one.signed.unsigned.worst_cost_wei for one in job.tries), default=0)


def _tip(unsigned: UnsignedTransaction) -> int:
    # Pools take the one price of types 0 and 1 as a tip too, also where the type changes.
    dynamic = unsigned.type in DYNAMIC_FEE_TYPES
    return unsigned.max_priority_fee_per_gas if dynamic else unsigned.gas_price


def _check_bump(seq: int, before: LaneState, job: Job, event: Prepared) -> None:
    old, new = job.tries[-1].signed.unsigned, event.signed.unsigned
    assert new.nonce == old.nonce, f"entry {seq}: a replacement on another nonce"
    assert new.nonce >= before.nonce, f"entry {seq}: a replacement of a spent nonce"
    assert new.fee_cap >= bumped(old.fee_cap), f"entry {seq}: fee cap below the bump law"
    assert _tip(new) >= bumped(_tip(old)), f"entry {seq}: tip below the bump law"
    patient = before.block - job.last.first_block >= before.limits.replace_after_blocks
    asked = job.raise_fees or job.floor is not None or event.version != job.last.version
    turned = event.cancels and not job.last.cancels
    stuck = new.nonce == before.nonce and patient
    assert stuck or asked or turned, f"entry {seq}: bumps what does not stop the line"


def _told(journal: Journal, lane: Address) -> Iterator[tuple[Entry, Entered]]:
    types: dict[str, type[Entered]] = {
        **KINDS,
        OUTCOME: Ended,
        FAILED: Failed,
        REOPENED: Reopened,
    }
    for entry in journal.entries(*types):
        event = journal.decode(entry, types[entry.kind])
        if event.lane == lane:
            yield entry, event
