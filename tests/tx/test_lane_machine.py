"""Hypothesis drives `step` by every event against a small honest chain; the rules always hold."""

from collections.abc import Mapping, Sequence
from itertools import cycle, pairwise
from typing import NamedTuple

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.tx.bench import FRIEND, LIMITS, ME, OWNER, Bench
from tests.tx.small_chain import SmallChain
from toolkit.chain.signer import LocalSigner
from toolkit.model.chain import Hash
from toolkit.model.errors import Recovery
from toolkit.model.tx import (
    Cancelled,
    Confirmed,
    Expired,
    Exposure,
    Replaced,
    TransactionRequest,
    UnsignedTransaction,
    bumped,
)
from toolkit.tx.events import (
    CancelAsked,
    Effect,
    Event,
    Fail,
    Finish,
    Halt,
    LaneLimits,
    LeaseSettled,
    Reopen,
    Resumed,
    Send,
    Sign,
    SigningFailed,
)
from toolkit.tx.job import Job
from toolkit.tx.lane import LaneState
from toolkit.tx.lane_signing import FILLER
from toolkit.tx.progress import phase, why_waiting

LIVES = msgspec.structs.replace(
    LIMITS, max_in_flight=4, finality_blocks=6, keep_blocks=6, confirmations=1
)
DEEPEST = 3
ANSWERS = (
    (Exposure.PUBLIC, None, ""),
    (Exposure.PRIVATE, None, ""),
    (Exposure.UNKNOWN, Recovery.WAIT, ""),
    (Exposure.UNKNOWN, Recovery.RESYNC, "NonceTooLow"),
    (Exposure.NONE, Recovery.WAIT, "InsufficientFunds"),
    (Exposure.NONE, Recovery.WAIT, "AlreadyReserved"),
    (Exposure.NONE, Recovery.RAISE_FEES, "ReplacementUnderpriced"),
    (Exposure.NONE, Recovery.FAIL, "GasLimitTooHigh"),
)
NAMES = st.integers(0, 30)
SIGNER: LocalSigner = OWNER


class Wish(NamedTuple):
    """One request, as its author wants it treated."""

    value: int
    deadline: int | None
    priority: int
    follows: bool
    requeue: bool
    kind: int
    private: bool


WISHES = st.builds(
    Wish,
    value=st.integers(0, 3),
    deadline=st.one_of(st.none(), st.none(), st.integers(1, 5)),
    priority=st.integers(0, 1),
    follows=st.sampled_from([False, False, False, True]),
    requeue=st.booleans(),
    kind=st.sampled_from([2, 2, 0]),
    private=st.booleans(),
)


class Watched(Bench):
    """A bench whose every step is held to the rules of effects."""

    def __init__(self, limits: LaneLimits) -> None:
        self.told: dict[str, str] = {}
        self.journalled: set[str] = set()
        self.chain = SmallChain(10)
        self.fail_to_sign = False
        super().__init__(limits)

    def do(self, event: Event) -> None:
        before = self.state
        for effect in self.watched(before, event):
            if not isinstance(effect, Sign):
                continue
            if self.fail_to_sign:
                self.watched(
                    self.state,
                    SigningFailed(lane=ME, request_id=effect.request_id, message="no"),
                )
                continue
            signed = SIGNER.sign_transaction_now(effect.unsigned)
            self.journalled.add(signed.hash)
            self.prepared_as(effect, signed)

    def watched(self, before: LaneState, event: Event) -> Sequence[Effect]:
        effects = self.step(event)
        self._check_quiet(before, effects)
        self._check_signs(effects)
        for effect in effects:
            match effect:
                case Send():
                    assert effect.signed.hash in self.journalled, "sent what was never prepared"
                    self.chain.hand_over(effect.signed)
                case Finish() | Fail():
                    assert effect.request_id not in self.told, f"{effect} was told already"
                    self.told[effect.request_id] = type(effect).__name__
                case Reopen():
                    assert self.told.pop(effect.request_id) == "Finish", "reopened what is open"
                case Sign() | Halt():
                    pass
        return effects

    def _check_quiet(self, before: LaneState, effects: Sequence[Effect]) -> None:
        if before.halted or self.state.halted:
            resumed = bool(before.halted) and not self.state.halted
            loud = [effect for effect in effects if isinstance(effect, Sign | Send)]
            assert resumed or not loud, "a halted lane signs or sends"

    def _check_signs(self, effects: Sequence[Effect]) -> None:
        state = self.state
        signs = [effect for effect in effects if isinstance(effect, Sign)]
        names = [sign.request_id for sign in signs]
        assert len(names) == len(set(names)), "two attempts of one request in one step"
        barrier = state.barrier()
        first = [sign for sign in signs if not state.jobs[sign.request_id].tries]
        for sign in first:
            nonce = sign.unsigned.nonce
            assert nonce >= state.nonce, "a spent nonce given out"
            assert nonce not in state.held(), "a held nonce given out"
            assert barrier is None or nonce < barrier, "a public nonce behind a bundle"
        asked = [sign for sign in first if not sign.request_id.startswith(FILLER)]
        assert not asked or len(asked) + len(state.slots) <= state.window, "window"

    def job(self, index: int) -> Job | None:
        jobs = list(self.state.jobs.values())
        return jobs[index % len(jobs)] if jobs else None


class LaneMachine(RuleBasedStateMachine):
    """Lives of a lane: its author, its destinations, its chain and its crashes."""

    limits = LIVES

    def __init__(self) -> None:
        super().__init__()
        self.bench = Watched(self.limits)
        self.chain = self.bench.chain
        self.names: list[str] = []
        self.leases: list[str] = []
        self.delegated = False

    # What the author does.

    @rule(wishes=st.lists(WISHES, min_size=1, max_size=4))
    def accept(self, wishes: list[Wish]) -> None:
        for wish in wishes:
            name = f"r{len(self.names)}"
            due = None if wish.deadline is None else self.bench.state.block + wish.deadline
            self.bench.accept(
                name,
                deadline_block=due,
                priority=wish.priority,
                after="another" if wish.follows else None,
                requeue=wish.requeue,
                destinations=("relay",) if wish.private else ("public", "relay"),
                value=wish.value,
                type=wish.kind,
            )
            self.names.append(name)

    @rule(at=NAMES)
    def cancel(self, at: int) -> None:
        job = self.bench.job(at)
        if job is not None:
            self.bench.do(CancelAsked(lane=ME, request_id=job.request_id))

    @rule(at=NAMES, gwei=st.integers(1, 900), other=st.booleans(), gas=st.integers(21_000, 60_000))
    def replace(self, *, at: int, gwei: int, other: bool, gas: int) -> None:
        job = self.bench.job(at)
        if job is not None and not job.request_id.startswith(FILLER):
            request = TransactionRequest(to=FRIEND, gas=gas, value=5) if other else None
            self.bench.replace(job.request_id, request, gwei=gwei)

    @rule(at=NAMES, succeeded=st.booleans())
    def release(self, *, at: int, succeeded: bool) -> None:
        parked = [name for name in self.bench.state.parked if not name.startswith(FILLER)]
        if parked:
            self.bench.release(parked[at % len(parked)], succeeded=succeeded)

    @precondition(lambda self: self.bench.state.halted)
    @rule()
    def resume(self) -> None:
        self.bench.do(Resumed(lane=ME))

    # What destinations and signers do.

    @rule(answers=st.lists(st.sampled_from(ANSWERS), min_size=1, max_size=4), skip=st.booleans())
    def answer(self, *, answers: list[tuple[Exposure, Recovery | None, str]], skip: bool) -> None:
        turn = cycle(answers)
        for job in self.bench.state.in_flight()[skip:]:
            for number, one in enumerate(job.tries):
                for place, known in one.exposures.items():
                    if known is Exposure.JOURNALLED and job.request_id in self.bench.state.jobs:
                        self._answer(job.request_id, number, place, next(turn))

    def _answer(
        self, name: str, number: int, place: str, answer: tuple[Exposure, Recovery | None, str]
    ) -> None:
        exposure, recovery, refusal = answer
        if exposure >= Exposure.PRIVATE:
            exposure = Exposure.PUBLIC if place == "public" else Exposure.PRIVATE
        one = self.bench.state.jobs[name].tries[number]
        self.bench.answer(name, exposure, recovery, number, destination=place, refusal=refusal)
        job = self.bench.state.jobs.get(name)
        if job is None or not job.tries[number].exposed:
            self.chain.out.get(one.signed.unsigned.nonce, {}).pop(one.signed.hash, None)

    @rule(wish=WISHES)
    def fail_to_sign(self, wish: Wish) -> None:
        self.bench.fail_to_sign = True
        self.accept([wish])
        self.bench.fail_to_sign = False

    @rule()
    def restart(self) -> None:
        self.bench.do(self.bench.opened)
        self.bench.do(self.chain.observed(self.bench.state, reorged=True))

    # What the chain does.

    @rule(most=st.integers(0, 2), at=NAMES)
    def honest_head(self, *, most: int, at: int) -> None:
        self.head(most=most, at=at, silent=False)

    @rule(most=st.integers(0, 6), at=NAMES, silent=st.booleans())
    def head(self, *, most: int, at: int, silent: bool) -> None:
        self.chain.mine(most, lambda choice: at % len(choice))
        self._observe(silent=silent)

    @rule(same=st.booleans())
    def spend_outside(self, *, same: bool) -> None:
        if not self.bench.state.leases:
            self.chain.spend_outside(same_payload=same)
            self._observe()

    @rule(depth=st.integers(1, DEEPEST), most=st.integers(0, 6), at=NAMES, silent=st.booleans())
    def reorg(self, *, depth: int, most: int, at: int, silent: bool) -> None:
        self.chain.take_back(depth)
        for _ in range(depth + 1):
            self.chain.mine(most, lambda choice: at % len(choice))
        self._observe(reorged=True, silent=silent)

    @rule()
    def delegate(self) -> None:
        self.delegated = not self.delegated
        self._observe()

    @precondition(lambda self: not self.bench.state.leases and len(self.names) % 3 == 0)
    @rule(count=st.integers(1, 2), blocks=st.integers(1, 2))
    def lease(self, *, count: int, blocks: int) -> None:
        name = f"l{len(self.leases)}"
        self.leases.append(name)
        target = self.bench.state.block + blocks
        self.bench.lease(name, target_block=target, count=count)

    @precondition(lambda self: self.bench.state.leases)
    @rule()
    def miss(self) -> None:
        name = next(iter(self.bench.state.leases))
        self.bench.do(LeaseSettled(lane=ME, lease_id=name, landed=False))

    def _observe(self, *, reorged: bool = False, silent: bool = False) -> None:
        seen = self.chain.observed(
            self.bench.state, reorged=reorged, silent=silent, delegated=self.delegated
        )
        self.bench.do(seen)

    # What always holds.

    @invariant()
    def indexes_are_what_the_jobs_say(self) -> None:
        state = self.bench.state
        flying = [job for job in state.jobs.values() if job.in_flight]
        assert state.slots == {job.nonce: job.request_id for job in flying}
        assert len(state.slots) == len(flying), "a nonce with two holders"
        assert set(state.landed) == {job.request_id for job in state.jobs.values() if job.landed}
        unsigned = {job.request_id for job in state.jobs.values() if not job.tries}
        assert unsigned == {*state.queue, *state.parked}
        assert len(unsigned) == len(state.queue) + len(state.parked)
        ranks = [(-state.jobs[n].priority, state.jobs[n].order) for n in state.queue]
        assert sorted(ranks) == ranks
        assert set(state.due) <= set(state.landed)

    @invariant()
    def bids_rise_and_stay_below_the_ceiling(self) -> None:
        for job in self.bench.state.jobs.values():
            bids = [one.signed.unsigned for one in job.tries]
            assert len({bid.nonce for bid in bids}) <= 1
            for bid in bids:
                assert bid.gas * bid.fee_cap <= LIVES.max_cost_wei
            for old, new in pairwise(bids):
                assert new.fee_cap >= bumped(old.fee_cap)
                assert _tip(new) >= bumped(_tip(old))

    @invariant()
    def the_state_survives_its_encoding(self) -> None:
        state = self.bench.state
        assert state == msgspec.json.decode(msgspec.json.encode(state), type=LaneState)
        assert isinstance(why_waiting(state), str)
        assert all(phase(job, state) for job in state.jobs.values())

    def teardown(self) -> None:
        """Quiet heads bring every request to the end that the chain has."""
        self._come_to_rest()
        assert [] == self.bench.halts, "shallow reorgs halt nothing"
        mined = self.chain.mined()
        for name in self.names:
            self._check_truth(self.bench.ends[name], mined)

    def _come_to_rest(self) -> None:
        bench, self.delegated, bench.fail_to_sign = self.bench, False, False
        for name in tuple(bench.state.parked):
            if not name.startswith(FILLER):
                bench.release(name, succeeded=False)
        for _ in range(40):
            self._accept_everything()
            self.chain.mine(8, lambda choice: len(choice) - 1)
            self._observe()
            self._when_seen()
        assert [] == bench.state.in_flight()
        assert set(self.names) <= set(bench.told), "a request has no end"

    def _when_seen(self) -> None:
        """Do what is done after each of the last heads."""

    def _accept_everything(self) -> None:
        for job in self.bench.state.in_flight():
            for name, known in job.last.exposures.items():
                if known is Exposure.JOURNALLED:
                    taken = Exposure.PUBLIC if name == "public" else Exposure.PRIVATE
                    number = job.tries.index(job.last)
                    self.bench.answer(job.request_id, taken, None, number, destination=name)

    def _check_truth(self, end: object, mined: Mapping[Hash, int]) -> None:
        match end:
            case Confirmed(tx_hash=tx_hash, block_number=number):
                assert mined[tx_hash] == number
            case Replaced(by=by):
                assert by in mined, "replaced by nothing on the chain"
            case Cancelled(tx_hash=tx_hash) | Expired(tx_hash=tx_hash):
                assert tx_hash is None or tx_hash in mined
            case _:
                assert isinstance(end, Fail)


def _tip(bid: UnsignedTransaction) -> int:
    return bid.max_priority_fee_per_gas if bid.type == 2 else bid.gas_price


class HaltingMachine(LaneMachine):
    """The same on a chain whose reorgs are deeper than what the lane takes for final."""

    limits = msgspec.structs.replace(LIVES, finality_blocks=1, keep_blocks=2)

    def teardown(self) -> None:
        """Resumed whenever it halts, everything still comes to an end."""
        self.bench.do(Resumed(lane=ME))
        self._come_to_rest()

    def _when_seen(self) -> None:
        """Resume: what a silent node hid may be found out, and halt the lane, only now."""
        if self.bench.state.halted:
            self.bench.do(Resumed(lane=ME))


MANY = settings(max_examples=200, stateful_step_count=50, deadline=None, print_blob=True)
LaneMachine.TestCase.settings = MANY
HaltingMachine.TestCase.settings = MANY
TestLaneMachine = LaneMachine.TestCase
TestHaltingMachine = HaltingMachine.TestCase
