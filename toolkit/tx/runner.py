"""One lane at work: journals what happens, steps, signs, and sends only what is durable."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice

from toolkit.chain.signer import Signer
from toolkit.journal.log import Journal
from toolkit.logs import log_of
from toolkit.model.chain import Hash, Mode
from toolkit.model.errors import (
    AccountLimit,
    ConfigError,
    LaneHalted,
    RejectedByNode,
    RemoteSignerMismatch,
    SignerError,
    ToolkitError,
)
from toolkit.model.tx import Attempt, Exposure, Outcome, SignedTransaction, UnsignedTransaction
from toolkit.tx.destination import Answer, Destination, hand_over
from toolkit.tx.events import (
    FAILED,
    HALTED,
    KIND_OF,
    OUTCOME,
    REOPENED,
    Accepted,
    Answered,
    Effect,
    Ended,
    Event,
    Fail,
    Failed,
    Finish,
    Halt,
    Halted,
    Observed,
    Prepared,
    Reopen,
    Reopened,
    Send,
    Sign,
    SigningFailed,
)
from toolkit.tx.hand_overs import HandOvers
from toolkit.tx.job import Job
from toolkit.tx.lane import step
from toolkit.tx.lane_state import LaneState
from toolkit.tx.line import Line
from toolkit.tx.recovery import end_key
from toolkit.tx.stages import Stage
from toolkit.tx.tasks import together

OnEnd = Callable[[str, Outcome | ToolkitError | None, int, Job | None], None]
"""Takes a request's end, None where it is taken back; its entry; and the request before that."""

MOST_UNDERWAY = 64
"""Hand-overs of one lane that one destination may leave unanswered; more wait for their turn."""


class LaneRunner:
    """Performs a lane's effects. All events of a lane come through here.

    Whatever may make the lane sign holds `lock`, so that an attempt is signed, checked and
    journalled before the next decision; answers to what was sent need no lock. `line` keeps the
    order of the calls while each is being checked.
    """

    def __init__(
        self,
        state: LaneState,
        *,
        signer: Signer,
        journal: Journal,
        destinations: Mapping[str, Destination],
        on_end: OnEnd,
        causes: Mapping[str, int],
        mode: Mode,
        reached: Callable[[Stage], None],
        hand_overs: HandOvers,
    ) -> None:
        self.state = state
        self.lock = asyncio.Lock()
        self.line = Line()
        self.signer = signer
        self.broadcasts = 0
        self.reorg_unseen = True  # heads pass idle lanes by: what the chain took back is unknown
        self.seen: Hash | None = None  # the head it was last told of
        self.delegated = False
        self.code_unknown = True  # whether the account runs code has to be asked
        self._journal = journal
        self._destinations = destinations
        self._on_end = on_end
        self._causes = {name: seq for name, seq in causes.items() if name in state.jobs}
        self._logger = logging.getLogger(__name__)
        self._log = log_of(__name__, mode).bind(lane=state.lane)
        self._errors: dict[str, ToolkitError] = {}
        self._reached = reached
        self._hand_overs = hand_overs
        self._gates: dict[str, asyncio.Semaphore] = {}

    @property
    def idle(self) -> bool:
        """Whether nothing of this lane is under way."""
        return not self.state.jobs and not self.state.leases

    @property
    def causes(self) -> Mapping[str, int]:
        """The journal entry of each request that the lane knows."""
        return self._causes

    def require_running(self) -> None:
        """Refuse while the lane is halted.

        Raises:
            LaneHalted: with why.
        """
        if self.state.halted:
            raise LaneHalted(
                f"the lane of {self.state.lane} halted: {self.state.halted}; look into it, then "
                "resume it"
            )

    async def drive(self, event: Event, *, cause: int | None = None) -> None:
        """Apply an event and perform all that follows from it.

        Raises:
            JournalUnavailable: it could not be made durable, so nothing was sent.
        """
        async with self.lock:
            sends = await self.advance(event, cause=cause)
        await self.deliver(sends)

    async def advance(
        self, event: Event, *, cause: int | None = None, key: str | None = None
    ) -> list[Send]:
        """Apply an event under the lock; returns what is to be sent once it is durable."""
        sends: list[Send] = []
        effects = self.apply(event, cause=cause, key=key)
        if isinstance(event, Accepted):
            self._reached(Stage.ACCEPTED)
        left = deque(effects)
        try:
            while left:
                effect = left.popleft()
                if isinstance(effect, Sign):
                    signed = await self._sign(effect)
                    sends += [made for made in self.apply(signed) if isinstance(made, Send)]
                    self._reached(Stage.PREPARED)
                elif isinstance(effect, Send):
                    sends.append(effect)
        except BaseException:
            # What the step handed out behind this signature is waited for as well.
            self.abandon([*sends, *(later for later in left if isinstance(later, Send))])
            raise
        return sends

    def abandon(self, sends: Sequence[Send]) -> None:
        """Tell the lane that nobody will hand these over, or it would wait for their answers.

        Cut off while signing, say. They are journalled, so they count as exposed all the same.
        """
        for send in sends:
            for name in send.destinations:
                self._answer(send, name, Answer(Exposure.UNKNOWN))

    def apply(
        self, event: Event, *, cause: int | None = None, key: str | None = None
    ) -> Sequence[Effect]:
        """Journal an event, step, and report the ends it leads to."""
        request_id: str = getattr(event, "request_id", "")
        seq = self._journal.append(
            KIND_OF[type(event)], event, cause=cause or self._causes.get(request_id), key=key
        )
        if request_id:
            self._causes.setdefault(request_id, seq)
        before = self.state
        self.state, effects = step(before, event)
        for effect in effects:
            if isinstance(effect, Halt):
                self._report_halt(effect)
            elif isinstance(effect, Finish | Fail | Reopen):
                self.report(effect, before.jobs.get(effect.request_id))
        if isinstance(event, Observed):
            for name in before.jobs.keys() - self.state.jobs.keys():
                self._forget(name)
        elif request_id not in self.state.jobs:
            self._forget(request_id)
        return effects

    def report(self, effect: Finish | Fail | Reopen, before: Job | None = None) -> None:
        """Journal an end; who waits for it and who listens are told once it is durable."""
        lane, name = self.state.lane, effect.request_id
        end: Outcome | ToolkitError | None = None
        failure = self._errors.pop(name, None)
        cause, key = self._causes.get(name), end_key(name)
        match effect:
            case Finish():
                ended = Ended(lane=lane, request_id=name, outcome=effect.outcome)
                seq = self._journal.append(OUTCOME, ended, cause=cause, key=key)
                end, tell = effect.outcome, partial(self.log_end, name, effect.outcome)
            case Fail():
                failed = Failed(lane=lane, request_id=name, message=effect.message)
                seq = self._journal.append(FAILED, failed, cause=cause, key=key)
                end = failure or RejectedByNode(effect.message)
                tell = partial(self.log_end, name, None)
            case Reopen():
                reopened = Reopened(lane=lane, request_id=name, tx_hash=effect.tx_hash)
                seq = self._journal.append(REOPENED, reopened, cause=cause, key=key)
                tell = partial(self._log_reopened, name, effect.tx_hash)
        self._reached(Stage.ENDED)
        self._journal.when_durable(seq, tell)
        self._on_end(name, end, seq, before)
        self._reached(Stage.TOLD)

    def log_end(self, name: str, outcome: Outcome | None) -> None:
        """Tell whoever listens how a request ended; the hash is what the chain has, if anything."""
        if self._heard():
            kind = "Failed" if outcome is None else type(outcome).__name__
            tx_hash = None if outcome is None else outcome.tx_hash
            self._log.info("request_ended", request=name, outcome=kind, hash=tx_hash)

    def _log_reopened(self, name: str, tx_hash: Hash) -> None:
        self._log.info("request_reopened", request=name, hash=tx_hash)

    def _report_halt(self, effect: Halt) -> None:
        """An alarm is told at once, whatever becomes of the disk."""
        self._journal.append(HALTED, Halted(lane=self.state.lane, reason=effect.reason))
        self._log.error("lane_halted", why=effect.reason)

    async def deliver(self, sends: Sequence[Send]) -> None:
        """Make everything durable, then hand each attempt to each of its destinations."""
        waiting = {(send.signed.hash, name): send for send in sends for name in send.destinations}
        try:
            await self._journal.commit()
            self._reached(Stage.DURABLE)
            handing = [
                self._hand_over(send, self._destination(name), waiting)
                for send in sends
                for name in send.destinations
            ]
            if len(handing) == 1:
                await handing[0]
            elif handing:
                await together(handing)
        finally:
            # Cut off by a cancelled caller: what is not answered may or may not have arrived.
            for (_, name), send in waiting.items():
                self._answer(send, name, Answer(Exposure.UNKNOWN))

    async def launch(self, sends: Sequence[Send]) -> list[asyncio.Task[None]]:
        """Make everything durable, then let each attempt go its ways; nobody has to wait for it.

        Raises:
            JournalUnavailable, LeaseLost: it could not be made durable, so nothing was sent.
        """
        try:
            await self._journal.commit()
            self._reached(Stage.DURABLE)
            ways = [(send, self._destination(n)) for send in sends for n in send.destinations]
        except BaseException:
            self.abandon(sends)
            raise
        return [self._hand_overs.start(self._go(send, to)) for send, to in ways]

    async def _go(self, send: Send, destination: Destination) -> None:
        waiting = {(send.signed.hash, destination.name): send}
        try:
            await self._hand_over(send, destination, waiting)
        finally:
            if waiting:
                self._answer(send, destination.name, Answer(Exposure.UNKNOWN))

    async def _hand_over(
        self, send: Send, destination: Destination, waiting: dict[tuple[Hash, str], Send]
    ) -> None:
        gate = self._gates.setdefault(destination.name, asyncio.Semaphore(MOST_UNDERWAY))
        async with gate:
            await self._hand_over_now(send, destination, waiting)

    async def _hand_over_now(
        self, send: Send, destination: Destination, waiting: dict[tuple[Hash, str], Send]
    ) -> None:
        attempt = Attempt(
            request_id=send.request_id,
            number=send.number,
            signed=send.signed,
            since_block=send.since_block,
            cancels=send.cancels,
        )
        self.broadcasts += 1
        if self._heard():
            self._log.info(
                "attempt_broadcast",
                nonce=send.signed.unsigned.nonce,
                hash=send.signed.hash,
                destination=destination.name,
            )
        answer = await hand_over(destination, attempt, target_block=send.target_block)
        self._reached(Stage.SENT)
        del waiting[send.signed.hash, destination.name]
        self._answer(send, destination.name, answer)

    def _answer(self, send: Send, name: str, answer: Answer) -> None:
        if answer.error is not None and send.request_id in self.state.jobs:
            self._errors[send.request_id] = answer.error
        if isinstance(answer.error, AccountLimit):
            self.code_unknown = True  # pools take a single one from an account that runs code
        self.apply(
            Answered(
                lane=self.state.lane,
                request_id=send.request_id,
                tx_hash=send.signed.hash,
                destination=name,
                exposure=answer.exposure,
                recovery=answer.recovery,
                message="" if answer.error is None else str(answer.error),
                refusal="" if answer.error is None else type(answer.error).__name__,
            )
        )
        self._reached(Stage.ANSWERED)

    async def _sign(self, effect: Sign) -> Prepared | SigningFailed:
        lane, name = self.state.lane, effect.request_id
        try:
            signed = await signed_as_asked(self.signer, effect.unsigned)
        except SignerError as error:
            self._errors[name] = error
            return SigningFailed(lane=lane, request_id=name, message=str(error))
        self._reached(Stage.SIGNED)
        return Prepared(
            lane=lane,
            request_id=name,
            signed=signed,
            cancels=effect.cancels,
            version=effect.version,
            also=self._in_public() if effect.cancels else (),
        )

    def _in_public(self) -> tuple[str, ...]:
        """Where a cancellation goes as well: a relay that includes nothing would hold the nonce.

        An empty transfer tells nobody what the request was.
        """
        public = (n for n, one in self._destinations.items() if one.exposure is Exposure.PUBLIC)
        return tuple(islice(public, 1))

    def _forget(self, name: str) -> None:
        self._causes.pop(name, None)
        self._errors.pop(name, None)

    def _heard(self) -> bool:
        return self._logger.isEnabledFor(logging.INFO) and self._logger.hasHandlers()

    def _destination(self, name: str) -> Destination:
        found = self._destinations.get(name)
        if found is None:
            raise ConfigError(f"no destination named {name!r}; configure it under that name")
        return found


async def signed_as_asked(signer: Signer, unsigned: UnsignedTransaction) -> SignedTransaction:
    """Sign, and check that a remote signer signed this and nothing else.

    Raises:
        SignerError: it cannot, or RemoteSignerMismatch: it did something else.
    """
    try:
        signed = await signer.sign_transaction(unsigned)
    except SignerError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever an author's signer raises: the request
        # would else be told as refused and sent later all the same. Its text may hold a secret.
        raise SignerError(
            f"signer of {signer.address} failed with {type(error).__name__} for nonce "
            f"{unsigned.nonce}; nothing was sent"
        ) from None
    if signed.sender != signer.address or signed.unsigned != unsigned:
        raise RemoteSignerMismatch(
            f"signer of {signer.address} signed something other than nonce {unsigned.nonce} "
            "as it was asked; nothing was sent"
        )
    return signed
