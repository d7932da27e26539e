"""All that a lane knows, and the draft in which a step changes it."""

from collections.abc import Iterable, Iterator
from itertools import count

import msgspec

from toolkit.model.chain import Address
from toolkit.model.tx import FeeQuote, Urgency
from toolkit.tx import fees
from toolkit.tx.events import Effect, Halt, LaneLimits, Leased, Sign
from toolkit.tx.job import Job

DELEGATED_WINDOW = 1
"""Pools take one transaction at a time of an account that runs code (EIP-7702)."""


class FirstLife(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it was when it went on to a second nonce: its attempts are still out.

    `block` has the stranger who spent the first nonce. `doubted`: a reorg came, and no node has
    said yet what became of that nonce.
    """

    job: Job
    block: int
    doubted: bool = False


class LaneState(msgspec.Struct, frozen=True, kw_only=True):
    """All a lane knows. `nonce` is the chain's count of the account as of head `block`.

    `jobs` has every request, in order of acceptance. The others are its indexes, so that a step
    need not read what it is not about: `queue` waits for a nonce, in order; `parked` waits for
    another request; `slots` tells who holds an unexplained or unspent nonce; `landed` has whose
    nonce is spent and by what, with the block, until no reorg can reach it; `due` are those of
    them whose end is not told yet. `settled_nonce` is above every nonce that was forgotten.
    """

    lane: Address
    chain_id: int
    limits: LaneLimits
    block: int = 0
    nonce: int = 0
    balance_wei: int = 0
    settled_nonce: int = 0
    delegated: bool = False
    halted: str = ""  # why nothing is signed or sent until somebody resumes the lane
    quotes: dict[str, FeeQuote] = {}
    jobs: dict[str, Job] = {}
    queue: tuple[str, ...] = ()
    parked: tuple[str, ...] = ()
    slots: dict[int, str] = {}
    landed: dict[str, int] = {}
    due: tuple[str, ...] = ()
    first_lives: tuple[FirstLife, ...] = ()  # until no reorg can reach their blocks
    leases: dict[str, Leased] = {}
    bundled_nonce: int = 0  # above the nonces of a bundle that landed in `bundled_block`
    bundled_block: int = 0
    accepted: int = 0  # requests so far, fillers of gaps included
    alarm_block: int | None = None  # no deadline asks for anything before this head
    fallen: int = 0  # heads in a row whose count of the account was below `nonce`
    fill_floor: FeeQuote | None = None  # what the next empty transfer in a gap bids at least
    relays: tuple[str, ...] = ()  # destinations that are known to keep what they get private

    @property
    def window(self) -> int:
        """How many nonces may be in flight."""
        return DELEGATED_WINDOW if self.delegated else self.limits.max_in_flight

    def held(self) -> set[int]:
        """Nonces that a live request or a lease stands for."""
        return {*self.slots, *self._leased()}

    def in_flight(self) -> list[Job]:
        """Requests that hold a nonce which nothing known has spent, lowest first."""
        return [self.jobs[self.slots[nonce]] for nonce in sorted(self.slots)]

    def queued(self) -> list[Job]:
        """Requests without a nonce: those that wait for one, in order, then those for another."""
        return [self.jobs[name] for name in (*self.queue, *self.parked)]

    def questions(self, nonce: int, *, reorged: bool) -> list[Job]:
        """Whose receipts, and whose nonces' spenders, the lane must hear of.

        Args:
            nonce: the account's count as of the head that is observed.
            reorged: whether blocks may have been taken back since the last head.
        """
        spent = [self.jobs[self.slots[n]] for n in sorted(self.slots) if n < nonce]
        again = self.landed if reorged else self.due
        past = [life.job for life in self.first_lives if reorged or life.doubted]
        return (
            past + spent + [job for job in map(self.jobs.__getitem__, again) if reorged or job.lost]
        )

    def reserved_wei(self) -> int:
        """What all unspent attempts and leases may cost together."""
        leased = sum(
            tx.unsigned.worst_cost_wei for lease in self.leases.values() for tx in lease.signed
        )
        held = (self.jobs[name] for nonce, name in self.slots.items() if nonce >= self.nonce)
        return leased + sum(job.held_wei for job in held)

    def next_lease_nonce(self) -> int:
        """The first of any number of consecutive nonces behind all that are held."""
        return max([self.nonce, *(nonce + 1 for nonce in self.held())])

    def barrier(self) -> int | None:
        """The lowest leased nonce: what stood behind it would hang on the bundle's luck."""
        return min(self._leased(), default=None)

    def free_nonces(self) -> Iterator[int]:
        """Nonces that a public transaction may take now, lowest first."""
        held, barrier = self.held(), self.barrier()
        for nonce in count(self.nonce):
            if barrier is not None and nonce >= barrier:
                return
            if nonce not in held:
                yield nonce

    def depth(self, request_id: str) -> int:
        """How many blocks, its own included, lie on a mined request; 0 if it is not mined."""
        job = self.jobs.get(request_id)
        mined = job.mined if job else None
        return 0 if mined is None else self.block - mined.block_number + 1

    def quote(self, job: Job) -> FeeQuote | None:
        """What the market, or the author, asks of a job now; a cancellation is always urgent."""
        left = None if job.deadline_block is None else job.deadline_block - self.block
        urgency = fees.urgency_by_deadline(job.urgency, blocks_left=left)
        if job.cancelling:
            urgency = Urgency.NEXT_BLOCK
        found = self.quotes.get(urgency.name) or next(iter(self.quotes.values()), None)
        if found is None or job.floor is None:
            return found
        # A wish above the ceiling bids the ceiling; only the market can be too dear to follow.
        gas = fees.CANCEL_GAS if job.cancelling else job.request.gas or fees.CANCEL_GAS
        return fees.at_least(found, job.floor, most=self.limits.max_cost_wei // gas)

    def _leased(self) -> Iterable[int]:
        return (tx.unsigned.nonce for lease in self.leases.values() for tx in lease.signed)


class Draft:
    """A state in the making: the one place where a step changes anything.

    `state` is always current; a dictionary of the state that came in is copied before it is first
    written to, and only then.
    """

    def __init__(self, state: LaneState) -> None:
        self.state = state
        self.effects: list[Effect] = []
        self.signing: dict[str, Sign] = {}  # by request: asked for by this very step
        self._own: set[str] = set()
        self._spare_wei: int | None = None

    def update(self, **changes: object) -> None:
        """Change fields of the state."""
        self.state = msgspec.structs.replace(self.state, **changes)

    def put(self, job: Job, **changes: object) -> Job:
        """Write a job, changed in these fields."""
        changed = msgspec.structs.replace(job, **changes) if changes else job
        self._jobs()[job.request_id] = changed
        return changed

    def enqueue(self, job: Job) -> None:
        """Let a job wait for a nonce: higher priorities first, then in order of acceptance."""
        queue, jobs = self.state.queue, self.state.jobs
        at = len(queue)
        while at and _rank(jobs[queue[at - 1]]) > _rank(job):
            at -= 1
        self.update(queue=(*queue[:at], job.request_id, *queue[at:]))
        self.heed_deadline(job)

    def release(self, job: Job) -> None:
        """Let a parked job wait for its turn."""
        self._leave_queue(job.request_id)
        self.enqueue(job)

    def take_slot(self, job: Job, nonce: int) -> None:
        """Let a job stand for a nonce that nothing known has spent."""
        self._slots()[nonce] = job.request_id
        self._leave_queue(job.request_id)
        self.heed_deadline(job)

    def heed_deadline(self, job: Job) -> None:
        """Look at deadlines again at the head before this job's."""
        if job.deadline_block is not None:
            alarm, early = self.state.alarm_block, job.deadline_block - 1
            if alarm is None or early < alarm:
                self.update(alarm_block=early)

    def park(self, job: Job) -> None:
        """Let a job wait for something other than its turn."""
        self.update(parked=(*self.state.parked, job.request_id))
        self.heed_deadline(job)

    def land(self, job: Job, block: int) -> None:
        """Its nonce is spent, by itself or by something else, as of this block."""
        self._leave_slot(job)
        self._landed()[job.request_id] = block
        if job.request_id not in self.state.due:
            self.update(due=(*self.state.due, job.request_id))
            self.heed_deadline(job)  # it may have been told, and nobody looked at it since

    def unland(self, job: Job) -> None:
        """Its nonce is not spent after all, or nobody knows by what."""
        self._landed().pop(job.request_id, None)
        self.settle(job)

    def settle(self, job: Job) -> None:
        """Its end is told."""
        if job.request_id in self.state.due:
            self.update(due=_without(self.state.due, job.request_id))

    def drop(self, job: Job) -> None:
        """Forget a job."""
        self._leave_slot(job)
        if not job.tries:
            self._leave_queue(job.request_id)
        if job.request_id in self.state.landed:
            self.unland(job)
        del self._jobs()[job.request_id]

    def sign(self, effect: Sign, *, already_wei: int = 0) -> None:
        """Ask for a signature, and count on its cost beyond what its nonce holds already."""
        self._spare_wei = self.spare_wei() - max(0, effect.unsigned.worst_cost_wei - already_wei)
        self.signing[effect.request_id] = effect
        self.effects.append(effect)

    def spare_wei(self) -> int:
        """The balance less everything that is signed, or that this step asked to be."""
        if self._spare_wei is None:
            self._spare_wei = self.state.balance_wei - self.state.reserved_wei()
        return self._spare_wei

    def halt(self, reason: str) -> None:
        """Stop signing and sending, and say why; the first reason holds."""
        if not self.state.halted:
            self.update(halted=reason)
            self.effects.append(Halt(reason=reason))

    def _leave_slot(self, job: Job) -> None:
        if job.nonce is not None and self.state.slots.get(job.nonce) == job.request_id:
            del self._slots()[job.nonce]

    def _leave_queue(self, name: str) -> None:
        if name in self.state.queue:
            self.update(queue=_without(self.state.queue, name))
        elif name in self.state.parked:
            self.update(parked=_without(self.state.parked, name))

    def _jobs(self) -> dict[str, Job]:
        if "jobs" not in self._own:
            self._own.add("jobs")
            self.update(jobs=dict(self.state.jobs))
        return self.state.jobs

    def _slots(self) -> dict[int, str]:
        if "slots" not in self._own:
            self._own.add("slots")
            self.update(slots=dict(self.state.slots))
        return self.state.slots

    def _landed(self) -> dict[str, int]:
        if "landed" not in self._own:
            self._own.add("landed")
            self.update(landed=dict(self.state.landed))
        return self.state.landed


def _without(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    at = names.index(name)
    return names[:at] + names[at + 1 :]


def _rank(job: Job) -> tuple[int, int]:
    return -job.priority, job.order
