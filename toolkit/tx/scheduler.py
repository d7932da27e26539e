"""Sends every accepted request exactly once, and tells how it really ended."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import Protocol

import msgspec

from toolkit.chain.signer import Signer
from toolkit.journal.log import Journal
from toolkit.model.bundle import BundleResult, Landed
from toolkit.model.chain import Address, Head, HeadChange, Mode
from toolkit.model.errors import (
    BusOverflow,
    ConfigError,
    IdempotencyConflict,
    JournalUnavailable,
    LaneHalted,
    NodeError,
    NodeTimeout,
    NodeUnavailable,
    RejectedByNode,
    ToolkitError,
)
from toolkit.model.tx import (
    DryRun,
    FeeQuote,
    TransactionRequest,
    UnsignedTransaction,
    Urgency,
)
from toolkit.tx.config import KEEP_BLOCKS, SchedulerConfig
from toolkit.tx.destination import Destination, PublicNode
from toolkit.tx.events import (
    DRY,
    Accepted,
    CancelAsked,
    Ended,
    Fail,
    Finish,
    LaneOpened,
    Leased,
    LeaseSettled,
    Reopen,
)
from toolkit.tx.handle import BundleLease, Sent, Track
from toolkit.tx.lane import open_lane
from toolkit.tx.observer import ChainQueries, observe
from toolkit.tx.preflight import priced, require_cost, require_funds, with_gas
from toolkit.tx.recovery import Recovered, recover
from toolkit.tx.runner import LaneRunner, signed_as_asked
from toolkit.tx.statistics import SchedulerStatistics, collect
from toolkit.tx.tasks import together

__all__ = [
    "BundleLease",
    "Destination",
    "FeeOracle",
    "PublicNode",
    "SchedulerConfig",
    "SchedulerStatistics",
    "Sent",
    "TransactionScheduler",
]


class FeeOracle(Protocol):
    """Quotes fees (`toolkit.gas.oracle.GasOracle` is one)."""

    async def quote(self, urgency: Urgency = Urgency.SOON, *, head: Head | None = None) -> FeeQuote:
        """Fees for inclusion within `urgency.blocks` blocks after `head`."""
        ...


class _Key:
    """One idempotency key: the lock makes callers wait for the first one's acceptance."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.fingerprint = ""
        self.sent: Sent | None = None


class _Wish(msgspec.Struct, frozen=True, kw_only=True):
    """How a request is to be treated."""

    urgency: Urgency
    deadline_blocks: int | None
    destinations: tuple[str, ...]
    simulate: bool
    idempotency_key: str | None

    def __post_init__(self) -> None:
        """Refuse what the journal could not give back: a lane would not recover from it."""
        blocks, key = self.deadline_blocks, self.idempotency_key
        if blocks is not None and (type(blocks) is not int or blocks < 1):
            raise ConfigError(f"deadline_blocks is {blocks!r}; it must be an integer, at least 1")
        if type(self.urgency) is not Urgency:
            raise ConfigError(f"urgency is {self.urgency!r}; give a member of Urgency")
        if key is not None and type(key) is not str:
            raise ConfigError(f"idempotency_key is {key!r}; it must be text")

    def deadline_block(self, head: Head) -> int | None:
        return None if self.deadline_blocks is None else head.number + self.deadline_blocks


class TransactionScheduler:
    """Owns the nonces of its signers' accounts on one chain.

    Nothing is sent that is not durable in the journal. `on_head` is the only clock: receipts,
    replacement, expiry and repetition happen there and nowhere else, so a scheduler whose heads
    stop does nothing on its own. Nobody else should send from these accounts; if somebody does,
    the request whose nonce they took ends as Replaced.
    """

    def __init__(
        self,
        node: ChainQueries,
        *,
        signers: Sequence[Signer],
        journal: Journal,
        oracle: FeeOracle,
        chain_id: int,
        mode: Mode,
        config: SchedulerConfig,
        public: Destination,
        destinations: Sequence[Destination] = (),
    ) -> None:
        """`destinations` are known by name at recovery; those given to `send` join them."""
        self._node = node
        self._signers = {signer.address: signer for signer in signers}
        self._journal = journal
        self._oracle = oracle
        self._chain_id = chain_id
        self._mode = mode
        self._config = config
        self._public = public
        self._destinations = {known.name: known for known in (public, *destinations)}
        self._runners: dict[Address, LaneRunner] = {}
        self._tracks: dict[str, Track] = {}
        self._keys: dict[str, _Key] = {}
        self._counts: Counter[str] = Counter()
        self._observing = asyncio.Lock()
        self._head: Head | None = None
        self._closed = False

    async def start(self) -> None:
        """Rebuild every lane from the journal, then resend what may not have been sent.

        Raises:
            ConfigError: the journal is of another chain, or has open requests of an account or for
                a destination that is not configured.
            JournalCorrupt: an entry does not fit what came before it.
        """
        head = await self._node.head()
        recovered = Recovered()
        if self._mode is not Mode.DRY:
            recovered = recover(self._journal)
            await self._check_recovered(recovered)
        anchor = await self._anchor(head)
        for address, signer in self._signers.items():
            self._open(address, signer, recovered, anchor)
        for lane, end in recovered.unreported:
            if lane in self._runners:
                self._runners[lane].report(end)
        await self._observe_all(head, reorged=True)

    async def send(
        self,
        request: TransactionRequest,
        *,
        urgency: Urgency = Urgency.SOON,
        deadline_blocks: int | None = None,
        idempotency_key: str | None = None,
        destinations: Sequence[Destination] | None = None,
        simulate: bool = True,
        cause: int | None = None,
    ) -> Sent:
        """Accept a request, and send it at once if the lane has room.

        A request is accepted once its entry is in the journal: from then on it is followed to its
        end, also if this call is cancelled, and also by a later process.

        Args:
            request: unset fields are filled; `sender` may be left out with a single signer.
            urgency: how soon it should be mined.
            deadline_blocks: how many blocks it has; it is cancelled before it would be late.
            idempotency_key: the same key and payload give the same handle, ever.
            destinations: who gets it; the public node if None.
            simulate: try it first; turn off what can only succeed after one still under way.
            cause: journal entry that this one follows from.

        Raises:
            CallReverted, InsufficientFunds, FeeLimitReached, GasLimitTooHigh, SignerError,
            RejectedByNode: it cannot be sent; no nonce was used.
            IdempotencyConflict: the key was used with another payload.
            JournalUnavailable: it could not be made durable, so nothing was sent.
        """
        self._require_head()
        sender = self._sender(request)
        names = self._register((self._public,) if destinations is None else destinations)
        wish = _Wish(
            urgency=urgency,
            deadline_blocks=deadline_blocks,
            destinations=names,
            simulate=simulate,
            idempotency_key=idempotency_key,
        )
        key = _Key()
        if idempotency_key is not None:
            key = self._keys.setdefault(idempotency_key, key)
        async with key.lock:
            fingerprint = _fingerprint(request, sender, names)
            if key.sent is None:
                key.fingerprint = fingerprint
                return await self._accept(key, request, sender=sender, wish=wish, cause=cause)
            if key.fingerprint != fingerprint:
                raise IdempotencyConflict(
                    f"idempotency key {idempotency_key!r} already stands for "
                    f"{key.sent.request_id} with another payload; use a new key"
                )
            return key.sent

    async def on_head(self, change: HeadChange) -> None:
        """Let one step of the chain take effect on every lane.

        Raises:
            NodeError: the node could not be asked; the same change may be given again.
            JournalUnavailable: nothing leaves this process any more.
        """
        self._require_open()
        head = change.added[-1] if change.added else await self._node.head()
        await self._observe_all(head, reorged=bool(change.reverted))

    async def lease_bundle(
        self,
        requests: Sequence[TransactionRequest],
        *,
        sender: Address,
        target_block: int,
        fee: FeeQuote,
        tip_wei: int = 0,
        cause: int | None = None,
    ) -> BundleLease:
        """Sign requests on consecutive nonces that are theirs until `target_block` has passed.

        Public requests of the same sender wait meanwhile. Each request must state its gas.
        `tip_wei` is what their values bring the builder; a bundle is one attempt, so with all its
        gas it is at most `max_cost_wei`.

        Raises:
            ConfigError: nothing to sign, no gas, a target that is past, or a live lease for
                another block.
            FeeLimitReached, GasLimitTooHigh, InsufficientFunds, SignerError: nothing was leased.
            JournalUnavailable: nothing may leave.
        """
        self._require_open()
        head = self._require_head()
        if not requests or any(request.gas is None for request in requests):
            raise ConfigError("a bundle needs at least one request, and each must state its gas")
        if target_block <= head.number:
            raise ConfigError(f"target block {target_block} is not after head {head.number}")
        runner = self._runner(sender)
        async with runner.lock:
            await self._refresh(runner)
            lease = await self._sign_lease(
                runner, requests, target_block=target_block, fee=fee, tip_wei=tip_wei
            )
            if self._mode is not Mode.DRY:
                leased = Leased(
                    lane=sender,
                    lease_id=lease.lease_id,
                    target_block=target_block,
                    signed=lease.signed,
                )
                runner.apply(leased, cause=cause)
        await self._journal.commit()
        return lease

    async def settle_bundle(self, lease: BundleLease, result: BundleResult) -> None:
        """Say how a leased bundle ended; without a word its lease ends with its target block."""
        runner = self._runner(lease.sender)
        if lease.lease_id in runner.state.leases:
            landed = isinstance(result, Landed)
            settled = LeaseSettled(lane=lease.sender, lease_id=lease.lease_id, landed=landed)
            await runner.drive(settled)

    def next_nonce(self, sender: Address) -> int:
        """What a request accepted now would get, as far as this process knows."""
        state = self._runner(sender).state
        return state.next_lease_nonce() + len(state.queued())

    def statistics(self) -> SchedulerStatistics:
        """Count what happened since `start`."""
        return collect(self._counts, self._runners.values())

    async def close(self) -> None:
        """Stop; everything under way is in the journal and goes on at the next start."""
        if not self._closed:
            self._closed = True
            for track in self._tracks.values():
                track.close()
            # Safe because what could not be written was never sent, and its sender was told.
            with suppress(JournalUnavailable):
                await self._journal.commit()

    async def _accept(
        self,
        key: _Key,
        request: TransactionRequest,
        *,
        sender: Address,
        wish: _Wish,
        cause: int | None,
    ) -> Sent:
        head = self._require_head()
        runner = self._runner(sender)
        filled = await with_gas(self._node, request, sender=sender, simulate=wish.simulate)
        quote = await self._oracle.quote(wish.urgency, head=head)
        balance = await self._node.balance(sender)
        dry = self._mode is Mode.DRY
        nonce = await self._node.nonce(sender) if dry else runner.state.nonce
        unsigned = self._priced(filled, quote, nonce=nonce)
        require_funds(unsigned.worst_cost_wei, balance, sender=sender)
        if dry:
            key.sent = await self._rehearse(runner, unsigned, cause=cause)
            return key.sent
        async with runner.lock:
            await self._refresh(runner)
            if len(runner.state.queued()) >= self._config.max_queued:
                raise BusOverflow(
                    f"{self._config.max_queued} requests of {sender} wait for a nonce already; "
                    "wait for some to end"
                )
            accepted = Accepted(
                lane=sender,
                request_id=f"tx-{self._journal.last_seq + 1}",
                request=filled,
                urgency=wish.urgency,
                deadline_block=wish.deadline_block(head),
                destinations=wish.destinations,
                quote=quote,
                balance_wei=balance,
                idempotency_key=wish.idempotency_key,
                fingerprint=key.fingerprint,
            )
            key.sent = self._handle(runner, accepted.request_id)
            self._counts["accepted"] += 1
            sends = await runner.advance(accepted, cause=cause)
        await runner.deliver(sends)
        track = self._tracks[accepted.request_id]
        if track.error is not None:
            raise track.error
        return key.sent

    async def _rehearse(
        self, runner: LaneRunner, unsigned: UnsignedTransaction, *, cause: int | None
    ) -> Sent:
        signed = await signed_as_asked(runner.signer, unsigned)
        outcome = DryRun(
            would_be_hash=signed.hash, max_cost_wei=unsigned.worst_cost_wei - unsigned.value
        )
        name = f"dry-{self._journal.last_seq + 1}"
        self._journal.append(
            DRY, Ended(lane=signed.sender, request_id=name, outcome=outcome), cause=cause
        )
        await self._journal.commit()
        sent = self._handle(runner, name)
        self._tracks.pop(name).finish(outcome)
        runner.log_end(name, outcome)
        return sent

    async def _sign_lease(
        self,
        runner: LaneRunner,
        requests: Sequence[TransactionRequest],
        *,
        target_block: int,
        fee: FeeQuote,
        tip_wei: int,
    ) -> BundleLease:
        state, sender = runner.state, runner.signer.address
        for live in state.leases.values():
            if live.target_block != target_block:
                raise ConfigError(
                    f"{sender} has a live bundle for block {live.target_block}; "
                    f"settle it before leasing for block {target_block}"
                )
        first = state.next_lease_nonce()
        if self._mode is Mode.DRY:
            first = await self._node.nonce(sender)
        asked = [
            self._priced(request, fee, nonce=first + index)
            for index, request in enumerate(requests)
        ]
        require_cost(asked, tip_wei=tip_wei, max_cost_wei=self._config.max_cost_wei)
        balance = await self._node.balance(sender) - state.reserved_wei()
        require_funds(sum(tx.worst_cost_wei for tx in asked), balance, sender=sender)
        signed = [await signed_as_asked(runner.signer, unsigned) for unsigned in asked]
        return BundleLease(
            lease_id=f"lease-{self._journal.last_seq + 1}",
            sender=sender,
            signed=tuple(signed),
            target_block=target_block,
        )

    async def _observe_all(self, head: Head, *, reorged: bool) -> None:
        async with self._observing:
            self._head = head
            busy = [runner for runner in self._runners.values() if not runner.idle]
            if busy:
                quotes = await self._quotes(head)
                await together(
                    self._observe(runner, head, quotes, reorged=reorged) for runner in busy
                )
        keyed = {key.sent.request_id for key in self._keys.values() if key.sent is not None}
        for name, track in tuple(self._tracks.items()):
            track.notify()
            if track.over and name not in keyed:
                del self._tracks[name]

    async def _observe(
        self, runner: LaneRunner, head: Head, quotes: dict[str, FeeQuote], *, reorged: bool
    ) -> None:
        observed = await observe(
            self._node, runner.state, head=head, quotes=quotes, reorged=reorged
        )
        await runner.drive(observed)

    async def _refresh(self, runner: LaneRunner) -> None:
        """Look at the chain before an idle lane acts: heads pass idle lanes by."""
        if runner.idle and self._mode is not Mode.DRY:
            head = self._require_head()
            quotes = await self._quotes(head)
            observed = await observe(
                self._node, runner.state, head=head, quotes=quotes, reorged=True
            )
            await runner.advance(observed)

    async def _quotes(self, head: Head) -> dict[str, FeeQuote]:
        return {u.name: await self._oracle.quote(u, head=head) for u in Urgency}

    async def _check_recovered(self, recovered: Recovered) -> None:
        for opening in recovered.openings[-1:]:
            await self._check_anchor(opening)
        for lane, state in recovered.lanes.items():
            unfinished = [job for job in state.jobs.values() if job.mined is None]
            if unfinished and lane not in self._signers:
                raise ConfigError(
                    f"the journal has {len(unfinished)} open requests of {lane}; "
                    "configure its signer or use another journal"
                )
            for name in {name for job in unfinished for name in job.destinations}:
                if name not in self._destinations:
                    raise ConfigError(
                        f"the journal has open requests of {lane} for {name!r}; "
                        "configure that destination or use another journal"
                    )

    async def _anchor(self, head: Head) -> Head:
        """A block that names this chain: old enough to stay, or the newest of a young chain."""
        try:
            return await self._node.head(max(0, head.number - KEEP_BLOCKS))
        except (NodeTimeout, NodeUnavailable):
            raise
        except NodeError:
            return head  # a development chain may begin at any number

    async def _check_anchor(self, opening: LaneOpened) -> None:
        try:
            found = await self._node.head(opening.anchor_block)
            same = opening.chain_id == self._chain_id and found.hash == opening.anchor_hash
        except (NodeTimeout, NodeUnavailable):
            raise
        except NodeError:
            same = False  # this chain is not even that long
        if not same:
            raise ConfigError(
                f"the journal was written on another chain (id {opening.chain_id}, block "
                f"{opening.anchor_block} {opening.anchor_hash}); use another journal for this one"
            )

    def _open(self, address: Address, signer: Signer, recovered: Recovered, anchor: Head) -> None:
        opened = LaneOpened(
            lane=address,
            chain_id=self._chain_id,
            limits=self._config.limits(),
            anchor_block=anchor.number,
            anchor_hash=anchor.hash,
        )
        runner = LaneRunner(
            recovered.lanes.get(address) or open_lane(opened),
            signer=signer,
            journal=self._journal,
            destinations=self._destinations,
            on_end=self._on_end,
            causes=recovered.seqs,
            mode=self._mode,
        )
        self._runners[address] = runner
        if self._mode is Mode.DRY:
            return
        runner.apply(opened)
        for name, accepted in recovered.requests.items():
            if accepted.lane == address:
                self._take_up(runner, accepted, recovered.ends.get(name))

    def _take_up(self, runner: LaneRunner, accepted: Accepted, end: Finish | Fail | None) -> None:
        name = accepted.request_id
        if accepted.idempotency_key is None and name not in runner.state.jobs:
            return
        sent = self._handle(runner, name)
        if isinstance(end, Finish):
            self._tracks[name].finish(end.outcome)
        elif end is not None:
            self._tracks[name].fail(RejectedByNode(end.message))
        if accepted.idempotency_key is not None:
            key = self._keys.setdefault(accepted.idempotency_key, _Key())
            key.fingerprint, key.sent = accepted.fingerprint, sent

    def _handle(self, runner: LaneRunner, name: str) -> Sent:
        self._tracks[name] = track = Track(name, lane=lambda: runner.state)

        async def cancel() -> None:
            self._require_open()
            if name in runner.state.jobs:
                await runner.drive(CancelAsked(lane=runner.state.lane, request_id=name))

        return Sent(name, track, cancel=cancel, most_confirmations=KEEP_BLOCKS)

    def _on_end(self, effect: Finish | Fail | Reopen, error: ToolkitError | None) -> None:
        track = self._tracks.get(effect.request_id)
        match effect:
            case Finish():
                self._counts[type(effect.outcome).__name__] += 1
                if track is not None:
                    track.finish(effect.outcome)
            case Fail():
                self._counts["failed"] += 1
                if track is not None:
                    track.fail(error or RejectedByNode(effect.message))
            case Reopen():
                self._counts["reopened"] += 1
                if track is not None:
                    track.reopen()

    def _priced(
        self, request: TransactionRequest, quote: FeeQuote, *, nonce: int
    ) -> UnsignedTransaction:
        return priced(
            request,
            quote,
            chain_id=self._chain_id,
            nonce=nonce,
            max_cost_wei=self._config.max_cost_wei,
            max_gas=min(self._config.max_gas, self._require_head().gas_limit),
        )

    def _register(self, places: Sequence[Destination]) -> tuple[str, ...]:
        if not places:
            raise ConfigError("a transaction needs at least one destination")
        for place in places:
            if self._destinations.setdefault(place.name, place) is not place:
                raise ConfigError(f"two different destinations are named {place.name!r}")
        return tuple(place.name for place in places)

    def _sender(self, request: TransactionRequest) -> Address:
        if request.sender is not None:
            return request.sender
        if len(self._signers) != 1:
            raise ConfigError(f"there are {len(self._signers)} signers; name the request's sender")
        return next(iter(self._signers))

    def _runner(self, sender: Address) -> LaneRunner:
        runner = self._runners.get(sender)
        if runner is None:
            raise ConfigError(
                f"no signer for {sender}; configured are {', '.join(self._signers) or 'none'}"
            )
        return runner

    def _require_head(self) -> Head:
        self._require_open()
        if self._head is None:
            raise ConfigError("the scheduler is not started; await start() first")
        return self._head

    def _require_open(self) -> None:
        if self._closed:
            raise LaneHalted("the scheduler is closed; open a new session")


def _fingerprint(request: TransactionRequest, sender: Address, names: tuple[str, ...]) -> str:
    payload = msgspec.json.encode([sender, names, request], order="sorted")
    return blake2b(payload, digest_size=16).hexdigest()
