"""One lane at work: journals what happens, steps, signs, and sends only what is durable."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from toolkit.chain.signer import Signer
from toolkit.journal.log import Journal
from toolkit.logs import log_of
from toolkit.model.chain import Hash, Mode
from toolkit.model.errors import (
    ConfigError,
    RemoteSignerMismatch,
    SignerError,
    ToolkitError,
)
from toolkit.model.tx import Attempt, Exposure, Outcome, SignedTransaction, UnsignedTransaction
from toolkit.tx.destination import Answer, Destination, hand_over
from toolkit.tx.events import (
    FAILED,
    KIND_OF,
    OUTCOME,
    REOPENED,
    Answered,
    Effect,
    Ended,
    Event,
    Fail,
    Failed,
    Finish,
    Observed,
    Prepared,
    Reopen,
    Reopened,
    Send,
    Sign,
    SigningFailed,
)
from toolkit.tx.lane import LaneState, step
from toolkit.tx.tasks import together


class LaneRunner:
    """Performs a lane's effects. All events of a lane come through here.

    Whatever may make the lane sign holds `lock`, so that an attempt is signed, checked and
    journalled before the next decision; answers to what was sent need no lock.
    """

    def __init__(
        self,
        state: LaneState,
        *,
        signer: Signer,
        journal: Journal,
        destinations: Mapping[str, Destination],
        on_end: Callable[[Finish | Fail | Reopen, ToolkitError | None], None],
        causes: Mapping[str, int],
        mode: Mode,
    ) -> None:
        self.state = state
        self.lock = asyncio.Lock()
        self.signer = signer
        self.broadcasts = 0
        self._journal = journal
        self._destinations = destinations
        self._on_end = on_end
        self._causes = dict(causes)
        self._log = log_of(__name__, mode).bind(lane=state.lane)
        self._errors: dict[str, ToolkitError] = {}

    @property
    def idle(self) -> bool:
        """Whether nothing of this lane is under way."""
        return not self.state.jobs and not self.state.leases

    async def drive(self, event: Event, *, cause: int | None = None) -> None:
        """Apply an event and perform all that follows from it.

        Raises:
            JournalUnavailable: it could not be made durable, so nothing was sent.
        """
        async with self.lock:
            sends = await self.advance(event, cause=cause)
        await self.deliver(sends)

    async def advance(self, event: Event, *, cause: int | None = None) -> list[Send]:
        """Apply an event under the lock; returns what is to be sent once it is durable."""
        sends: list[Send] = []
        for effect in self.apply(event, cause=cause):
            if isinstance(effect, Sign):
                signed = await self._sign(effect)
                sends += [made for made in self.apply(signed) if isinstance(made, Send)]
            elif isinstance(effect, Send):
                sends.append(effect)
        return sends

    def apply(self, event: Event, *, cause: int | None = None) -> Sequence[Effect]:
        """Journal an event, step, and report the ends it leads to."""
        request_id = getattr(event, "request_id", "")
        seq = self._journal.append(
            KIND_OF[type(event)], event, cause=cause or self._causes.get(request_id)
        )
        if request_id:
            self._causes.setdefault(request_id, seq)
        self.state, effects = step(self.state, event)
        for effect in effects:
            if isinstance(effect, Finish | Fail | Reopen):
                self.report(effect)
        if isinstance(event, Observed):
            self._forget_what_is_gone()
        return effects

    def report(self, effect: Finish | Fail | Reopen) -> None:
        """Journal an end and tell whoever waits for it."""
        name, lane = effect.request_id, self.state.lane
        cause = self._causes.get(name)
        match effect:
            case Finish():
                ended = Ended(lane=lane, request_id=name, outcome=effect.outcome)
                self._journal.append(OUTCOME, ended, cause=cause)
                self.log_end(name, effect.outcome)
            case Fail():
                failed = Failed(lane=lane, request_id=name, message=effect.message)
                self._journal.append(FAILED, failed, cause=cause)
                self._log.info("request_ended", request=name, outcome="Failed", hash=None)
            case Reopen():
                reopened = Reopened(lane=lane, request_id=name, tx_hash=effect.tx_hash)
                self._journal.append(REOPENED, reopened, cause=cause)
                self._log.info("request_reopened", request=name, hash=effect.tx_hash)
        self._on_end(effect, self._errors.pop(name, None))

    def log_end(self, name: str, outcome: Outcome) -> None:
        """Tell whoever listens how a request ended; the hash is what the chain has, if anything."""
        kind = type(outcome).__name__
        self._log.info("request_ended", request=name, outcome=kind, hash=outcome.tx_hash)

    async def deliver(self, sends: Sequence[Send]) -> None:
        """Make everything durable, then hand each attempt to each of its destinations."""
        waiting = {(send.signed.hash, name): send for send in sends for name in send.destinations}
        try:
            await self._journal.commit()
            await together(
                self._hand_over(send, self._destination(name), waiting)
                for send in sends
                for name in send.destinations
            )
        finally:
            # Cut off by a cancelled caller: what is not answered may or may not have arrived.
            for (_, name), send in waiting.items():
                self._answer(send, name, Answer(Exposure.UNKNOWN))

    async def _hand_over(
        self, send: Send, destination: Destination, waiting: dict[tuple[Hash, str], Send]
    ) -> None:
        attempt = Attempt(
            request_id=send.request_id,
            number=send.number,
            signed=send.signed,
            cancels=send.cancels,
        )
        self.broadcasts += 1
        self._log.info(
            "attempt_broadcast",
            nonce=send.signed.unsigned.nonce,
            hash=send.signed.hash,
            destination=destination.name,
        )
        answer = await hand_over(destination, attempt, target_block=send.target_block)
        del waiting[send.signed.hash, destination.name]
        self._answer(send, destination.name, answer)

    def _answer(self, send: Send, name: str, answer: Answer) -> None:
        if answer.error is not None:
            self._errors[send.request_id] = answer.error
        self.apply(
            Answered(
                lane=self.state.lane,
                request_id=send.request_id,
                tx_hash=send.signed.hash,
                destination=name,
                exposure=answer.exposure,
                recovery=answer.recovery,
                message="" if answer.error is None else str(answer.error),
            )
        )

    async def _sign(self, effect: Sign) -> Prepared | SigningFailed:
        lane, name = self.state.lane, effect.request_id
        try:
            signed = await signed_as_asked(self.signer, effect.unsigned)
        except SignerError as error:
            self._errors[name] = error
            return SigningFailed(lane=lane, request_id=name, message=str(error))
        return Prepared(lane=lane, request_id=name, signed=signed, cancels=effect.cancels)

    def _forget_what_is_gone(self) -> None:
        jobs = self.state.jobs
        self._causes = {name: seq for name, seq in self._causes.items() if name in jobs}
        self._errors = {name: error for name, error in self._errors.items() if name in jobs}

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
    signed = await signer.sign_transaction(unsigned)
    if signed.sender != signer.address or signed.unsigned != unsigned:
        raise RemoteSignerMismatch(
            f"signer of {signer.address} signed something other than nonce {unsigned.nonce} "
            "as it was asked; nothing was sent"
        )
    return signed
