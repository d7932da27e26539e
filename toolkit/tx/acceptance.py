"""From a wish to a request in a lane: checked, in order, and once for each idempotency key."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import msgspec

from toolkit.chain.signer import Signer
from toolkit.journal.log import Journal
from toolkit.model.chain import Address, Head, Mode
from toolkit.model.checks import shown
from toolkit.model.errors import BusOverflow, ConfigError, IdempotencyConflict
from toolkit.model.tx import (
    DryRun,
    FeeQuote,
    TransactionRequest,
    UnsignedTransaction,
    Urgency,
)
from toolkit.tx.config import SchedulerConfig
from toolkit.tx.delegation import Delegations
from toolkit.tx.events import DRY, Accepted, Ended, ReplaceAsked, Send
from toolkit.tx.handle import Sent, Track
from toolkit.tx.idempotency import KeyLocks
from toolkit.tx.job import Job
from toolkit.tx.key_pool import KeyLoad, KeyPool, Spread
from toolkit.tx.observer import ChainQueries
from toolkit.tx.preflight import priced, require_cost, require_funds, with_gas
from toolkit.tx.recovery import key_of
from toolkit.tx.runner import LaneRunner, signed_as_asked
from toolkit.tx.stages import Stage
from toolkit.tx.tasks import together
from toolkit.tx.wish import Wish, fingerprint

_DRY_KEYS = 4_096
_LEAST_GAS = 21_000


class Floor(Protocol):
    """What acceptance needs of the scheduler."""

    def runner(self, sender: Address) -> LaneRunner:
        """The lane of an account."""
        ...

    def require_head(self) -> Head:
        """The newest head."""
        ...

    def reached(self, stage: Stage) -> None:
        """Tell whoever watches."""
        ...

    async def quotes(self) -> dict[str, FeeQuote]:
        """Fees as of the newest head."""
        ...

    async def refresh(self, runner: LaneRunner) -> None:
        """Let an idle lane look at the chain."""
        ...

    async def release_followers(self) -> None:
        """Let go whoever may go."""
        ...

    def follow(self, runner: LaneRunner, name: str, *, after: str) -> None:
        """Let a request wait for another one's end."""
        ...

    def known(self, name: str) -> bool:
        """Whether there is or was a request of this name."""
        ...

    def new_track(self, runner: LaneRunner, name: str) -> Track:
        """Follow a request that begins now."""
        ...

    def sent(self, track: Track) -> Sent:
        """What its author holds of it."""
        ...

    def handle(self, runner: LaneRunner, name: str) -> Sent:
        """A handle of a request that is open, or was."""
        ...

    def count(self, what: str) -> None:
        """Count for the statistics."""
        ...


class Acceptance:
    """Checks requests and puts them into lanes. A refusal comes before a nonce is used."""

    def __init__(
        self,
        node: ChainQueries,
        journal: Journal,
        *,
        signers: Sequence[Signer],
        mode: Mode,
        chain_id: int,
        config: SchedulerConfig,
        floor: Floor,
    ) -> None:
        self._node = node
        self._journal = journal
        self._accounts = tuple(signer.address for signer in signers)
        self._pooled = isinstance(signers, KeyPool)
        self._spread = Spread()
        self._mode = mode
        self._chain_id = chain_id
        self._config = config
        self._floor = floor
        self._keys = KeyLocks()
        self.delegations = Delegations(
            self._accounts, chain_id=chain_id, lane=lambda account: floor.runner(account).state
        )
        self._rehearsed: dict[str, tuple[str, Sent]] = {}  # of DRY, which journals no request

    async def send(self, request: TransactionRequest, wish: Wish, *, cause: int | None) -> Sent:
        """As `TransactionScheduler.send`."""
        if not isinstance(request, TransactionRequest):
            raise ConfigError(f"request is {shown(request)}; give a TransactionRequest")
        dry = self._mode is Mode.DRY  # nothing is sent, so nothing has to wait
        if wish.after is not None and not dry and not self._floor.known(wish.after):
            raise ConfigError(
                f"after names {shown(wish.after)}, which no request here is called; give what send "
                "returned, or the request_id of one in this journal"
            )
        if wish.idempotency_key is None:
            return await self._send(request, wish, cause=cause)
        async with self._keys.hold(wish.idempotency_key):
            known = self._by_key(wish.idempotency_key)
            if known is None:
                return await self._send(request, wish, cause=cause)
            await self._journal.commit()  # whoever was first may have given up before it was
        before, sent = known
        sender = request.sender or sent.sender
        if before != fingerprint(request, sender, wish.destinations):
            raise IdempotencyConflict(
                f"idempotency key {wish.idempotency_key!r} already stands for "
                f"{sent.request_id} with another payload; use a new key"
            )
        return sent

    async def replacement(
        self,
        runner: LaneRunner,
        name: str,
        request: TransactionRequest | None,
        *,
        urgency: Urgency,
        max_fee_per_gas: int | None,
    ) -> ReplaceAsked:
        """Check what an author wants instead of a request that is on its way.

        Raises:
            ConfigError: it is mined or over or being cancelled, or another sender is named.
            CallReverted, InsufficientFunds, FeeLimitReached, GasLimitTooHigh: as for a request.
        """
        _open_job(runner, name)
        lane = runner.state.lane
        runner.require_running()
        if type(urgency) is not Urgency:
            raise ConfigError(f"urgency is {shown(urgency)}; give a member of Urgency")
        quote = (await self._floor.quotes())[urgency.name]
        if request is not None:
            if request.sender not in {None, lane}:
                raise ConfigError(f"{name} is sent by {lane}: {request.sender} cannot replace it")
            self.delegations.require_replaceable(name, request)
            request = await self._with_gas(request, sender=lane, simulate=True)
            unsigned = self.priced(request, quote, 0)
            await self._funds(runner, unsigned)
        job = _open_job(runner, name)  # it may have been mined while the node was asked
        if request is not None and job.cancelling:
            raise ConfigError(f"{name} is being cancelled: nothing else takes its place; send anew")
        own_cap = None
        if max_fee_per_gas is not None:
            quote, own_cap = self._bid(job, quote, max_fee_per_gas)
        return ReplaceAsked(
            lane=lane,
            request_id=name,
            request=request,
            urgency=urgency,
            quote=quote,
            own_cap=own_cap,
        )

    def priced(
        self, request: TransactionRequest, quote: FeeQuote, nonce: int
    ) -> UnsignedTransaction:
        """Fill in the fees, and check gas and cost of one attempt."""
        return priced(
            request,
            quote,
            chain_id=self._chain_id,
            nonce=nonce,
            max_cost_wei=self._config.max_cost_wei,
            max_gas=self._max_gas(),
        )

    def _max_gas(self) -> int:
        configured = self._config.gas_limit(self._chain_id)
        return min(configured, self._floor.require_head().gas_limit)

    async def _with_gas(
        self, request: TransactionRequest, *, sender: Address, simulate: bool
    ) -> TransactionRequest:
        max_gas = self._max_gas()
        return await with_gas(
            self._node, request, sender=sender, simulate=simulate, max_gas=max_gas
        )

    async def _send(self, request: TransactionRequest, wish: Wish, *, cause: int | None) -> Sent:
        with await self._sender(request, wish) as sender:
            runner = self._floor.runner(sender)
            print_ = fingerprint(request, sender, wish.destinations) if wish.idempotency_key else ""
            if self._mode is Mode.DRY:
                return await self._rehearse(runner, request, wish, print_, cause=cause)
            track, sends = await self._enlist(runner, request, wish, print_, cause=cause)
        await runner.deliver(sends)
        await self._floor.release_followers()
        await track.require_sendable()
        return self._floor.sent(track)

    async def _enlist(
        self,
        runner: LaneRunner,
        request: TransactionRequest,
        wish: Wish,
        print_: str,
        *,
        cause: int | None,
    ) -> tuple[Track, list[Send]]:
        runner.require_running()
        with runner.line.enter(wish.priority) as place:
            filled = await self._with_gas(request, sender=runner.state.lane, simulate=wish.simulate)
            await place.first()
            async with runner.lock:
                await self._floor.refresh(runner)
                quote = (await self._floor.quotes())[wish.urgency.name]
                unsigned = self.priced(filled, quote, runner.state.nonce)
                balance = await self._funds(runner, unsigned)
                self._require_room(runner)
                self._floor.reached(Stage.CHECKED)
                accepted = Accepted(
                    lane=runner.state.lane,
                    request_id=f"tx-{self._journal.last_seq + 1}",
                    request=filled,
                    urgency=wish.urgency,
                    deadline_block=wish.deadline_block(self._floor.require_head()),
                    destinations=wish.destinations,
                    quote=quote,
                    balance_wei=balance,
                    idempotency_key=wish.idempotency_key,
                    fingerprint=print_,
                    priority=wish.priority,
                    after=wish.after,
                    on_external_spend=wish.on_external_spend,
                )
                return await self._enter(runner, accepted, cause=cause)

    async def _enter(
        self, runner: LaneRunner, accepted: Accepted, *, cause: int | None
    ) -> tuple[Track, list[Send]]:
        name, lane = accepted.request_id, accepted.lane
        self.delegations.require_apart(lane, accepted.request)
        self.delegations.entered(name, lane, accepted.request)
        track = self._floor.new_track(runner, name)
        key = accepted.idempotency_key
        sends = await runner.advance(
            accepted, cause=cause, key=None if key is None else key_of(key)
        )
        self._floor.count("accepted")
        if accepted.after is not None:
            self._floor.follow(runner, accepted.request_id, after=accepted.after)
        return track, sends

    async def _rehearse(
        self,
        runner: LaneRunner,
        request: TransactionRequest,
        wish: Wish,
        print_: str,
        *,
        cause: int | None,
    ) -> Sent:
        sender = runner.state.lane
        filled = await self._with_gas(request, sender=sender, simulate=wish.simulate)
        quote = (await self._floor.quotes())[wish.urgency.name]
        unsigned = self.priced(filled, quote, await self._node.nonce(sender))
        require_funds(unsigned.worst_cost_wei, await self._node.balance(sender), sender=sender)
        signed = await signed_as_asked(runner.signer, unsigned)
        outcome = DryRun(
            would_be_hash=signed.hash, max_cost_wei=unsigned.worst_cost_wei - unsigned.value
        )
        name = f"dry-{self._journal.last_seq + 1}"
        track = self._floor.new_track(runner, name)
        ended = Ended(lane=sender, request_id=name, outcome=outcome)
        seq = self._journal.append(DRY, ended, cause=cause)
        await self._journal.commit()
        track.finish(outcome, seq=seq)
        sent = self._floor.sent(track)
        runner.log_end(name, outcome)
        if wish.idempotency_key is not None:
            self._rehearsed[wish.idempotency_key] = print_, sent
            if len(self._rehearsed) > _DRY_KEYS:
                del self._rehearsed[next(iter(self._rehearsed))]
        return sent

    def before(self, key: str) -> Sent | None:
        """The request that an idempotency key stands for, if it does."""
        found = self._by_key(key)
        return None if found is None else found[1]

    def _by_key(self, key: str) -> tuple[str, Sent] | None:
        """The fingerprint and handle of the request that a key stands for."""
        if self._mode is Mode.DRY:
            return self._rehearsed.get(key)
        entry = self._journal.find(key_of(key))
        if entry is None:
            return None
        accepted = self._journal.decode(entry, Accepted)
        sent = self._floor.handle(self._floor.runner(accepted.lane), accepted.request_id)
        return accepted.fingerprint, sent

    async def _funds(self, runner: LaneRunner, unsigned: UnsignedTransaction) -> int:
        """The account's balance, as of the last head if that is enough, else as of now."""
        balance = runner.state.balance_wei
        if unsigned.worst_cost_wei > balance:
            balance = await self._node.balance(runner.state.lane)
            require_funds(unsigned.worst_cost_wei, balance, sender=runner.state.lane)
        return balance

    def _require_room(self, runner: LaneRunner) -> None:
        waiting = len(runner.state.queue) + len(runner.state.parked)
        if waiting >= self._config.max_queued:
            raise BusOverflow(
                f"{self._config.max_queued} requests of {runner.state.lane} wait for a nonce "
                "already; wait for some to end"
            )

    def _bid(self, job: Job, quote: FeeQuote, max_fee_per_gas: int) -> tuple[FeeQuote, int | None]:
        """A quote of at least this cap, and the cap where the request's own is lower."""
        raised = msgspec.structs.replace(job.request, max_fee_per_gas=max_fee_per_gas)
        unsigned = self.priced(raised, quote, 0)
        require_cost([unsigned], tip_wei=0, max_cost_wei=self._config.max_cost_wei)
        bid = msgspec.structs.replace(
            quote, max_fee_per_gas=max(quote.max_fee_per_gas, max_fee_per_gas)
        )
        own = job.request.max_fee_per_gas
        return bid, max_fee_per_gas if own is not None and own < max_fee_per_gas else None

    async def _sender(
        self, request: TransactionRequest, wish: Wish
    ) -> AbstractContextManager[Address]:
        """The account that sends: the one named, the only one, or one of the pool."""
        if request.sender is not None:
            return nullcontext(request.sender)
        if not self._pooled:
            if len(self._accounts) != 1:
                raise ConfigError(
                    f"there are {len(self._accounts)} signers; name the request's sender"
                )
            return nullcontext(self._accounts[0])
        if self._mode is Mode.DRY:
            return nullcontext(self._accounts[0])  # nothing is sent, so no lane is ever busy
        runners = [self._floor.runner(account) for account in self._accounts]
        await together(self._look_at(runner) for runner in runners)
        quotes = await self._floor.quotes()
        cap = request.max_fee_per_gas or quotes[wish.urgency.name].max_fee_per_gas
        cost_wei = request.value + (request.gas or _LEAST_GAS) * cap
        return self._spread.chosen([_load(runner) for runner in runners], cost_wei)

    async def _look_at(self, runner: LaneRunner) -> None:
        if runner.idle:
            async with runner.lock:
                await self._floor.refresh(runner)


def _load(runner: LaneRunner) -> KeyLoad:
    state = runner.state
    return KeyLoad(
        sender=state.lane,
        window=state.window,
        busy=len(state.slots) + len(state.queue) + len(state.parked),
        free_balance_wei=state.balance_wei - state.reserved_wei(),
        halted=state.halted,
    )


def _open_job(runner: LaneRunner, name: str) -> Job:
    job: Job | None = runner.state.jobs.get(name)
    if job is None or job.landed:
        raise ConfigError(f"{name} is mined or over: it can no longer be replaced; send anew")
    return job
