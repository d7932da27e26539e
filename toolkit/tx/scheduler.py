"""Sends every accepted request exactly once, and tells how it really ended."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from toolkit.chain.signer import Signer
from toolkit.journal.log import Journal
from toolkit.logs import log_of
from toolkit.model.bundle import BundleResult, Landed
from toolkit.model.chain import Address, Hash, Head, HeadChange, Mode
from toolkit.model.checks import shown, shown_address
from toolkit.model.errors import (
    ConfigError,
    JournalUnavailable,
    LaneHalted,
    LeaseLost,
    ToolkitError,
)
from toolkit.model.tx import ExternalSpend, FeeQuote, Outcome, TransactionRequest, Urgency
from toolkit.tx.acceptance import Acceptance
from toolkit.tx.bundle_leases import (
    live_lease,
    require_bundle,
    require_one_block,
    sign_lease,
    spenders,
)
from toolkit.tx.config import KEEP_BLOCKS, SchedulerConfig
from toolkit.tx.delegation import Delegations
from toolkit.tx.destination import Destination, PublicNode, register
from toolkit.tx.events import CancelAsked, LaneOpened, Leased, LeaseSettled, Resumed
from toolkit.tx.followers import Followers, Releases
from toolkit.tx.hand_overs import HandOvers
from toolkit.tx.handle import BundleLease, Sent, Track
from toolkit.tx.job import Job
from toolkit.tx.lane import open_lane
from toolkit.tx.lane_state import LaneState
from toolkit.tx.observer import ChainQueries
from toolkit.tx.opening import anchor_of, require_configured, require_same_chain
from toolkit.tx.quotes import FeeOracle, HeadQuotes
from toolkit.tx.recovery import (
    CHECKPOINT,
    Fold,
    Recovered,
    checkpoint,
    end_of,
    last_word,
    recover,
)
from toolkit.tx.runner import LaneRunner
from toolkit.tx.stages import Stage, unwatched
from toolkit.tx.statistics import SchedulerStatistics, collect, kind_of
from toolkit.tx.status import RequestStatus
from toolkit.tx.tracks import Tracks
from toolkit.tx.watch import Watch
from toolkit.tx.wish import Wish, external_spend

__all__ = [
    "BundleLease",
    "Destination",
    "FeeOracle",
    "PublicNode",
    "RequestStatus",
    "SchedulerConfig",
    "SchedulerStatistics",
    "Sent",
    "Stage",
    "TransactionScheduler",
]

CHECKPOINT_ENTRIES = 5_000
"""How many entries a restart may have to read."""

ENTRIES_A_REQUEST = 4
"""How many more for each request that lanes remember: a checkpoint costs as much as those."""


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
        on_stage: Callable[[Stage], None] | None = None,
    ) -> None:
        """Put it together; `start` takes up what the journal has.

        Args:
            node: where the chain is read.
            signers: one for each account; a `KeyPool` takes requests that name no sender.
            journal: what makes it safe to die; the caller closes it.
            oracle: where fees come from.
            chain_id: of the node.
            mode: DRY signs and sends nothing.
            config: its bounds.
            public: where a request goes that names no destination.
            destinations: known by name at recovery; those given to `send` join them.
            on_stage: called at each `Stage` of each request, for tests that kill it there.
        """
        self._node = node
        self._signers = {signer.address: signer for signer in signers}
        self._journal = journal
        self._chain_id = chain_id
        self._mode = mode
        self._config = config
        self._public = public
        self._destinations = {known.name: known for known in (public, *destinations)}
        self._reached = on_stage or unwatched
        self._runners: dict[Address, LaneRunner] = {}
        self._strangers: dict[Address, LaneState] = {}  # lanes that nobody here signs for
        self._opening: LaneOpened | None = None
        self._followers = Followers()
        self._releases = Releases(self._followers, self._runners)
        self._counts: Counter[str] = Counter()
        self._hand_overs = HandOvers()
        self._watch = Watch(
            node,
            HeadQuotes(oracle),
            self._runners,
            reached=self._reached,
            hand_overs=self._hand_overs,
            dry=mode is Mode.DRY,
        )
        self._tracks = Tracks(journal, self._watch.heads)
        self._checkpointed = 0
        self._closed = False
        self._log = log_of(__name__, mode)
        journal.when_failed(self._journal_lost)
        self._acceptance = Acceptance(
            node, journal, signers=signers, mode=mode, chain_id=chain_id, config=config, floor=self
        )

    async def start(self, *, patience_s: float | None = None) -> None:
        """Rebuild every lane from the journal, then resend what may not have been sent.

        Args:
            patience_s: how long it waits for answers to that; None without a limit.

        Raises:
            ConfigError: the journal is of another chain, or has open requests of an account or for
                a destination that is not configured.
            JournalCorrupt: an entry does not fit what came before it.
        """
        head = await self._node.head()
        recovered = Recovered()
        if self._mode is not Mode.DRY:
            recovered = recover(self._journal)
            last = self._journal.last_checkpoint(CHECKPOINT)
            self._checkpointed = 0 if last is None else last.seq
            if recovered.opening is not None:
                await require_same_chain(self._node, recovered.opening, chain_id=self._chain_id)
            require_configured(recovered, signers=self._signers, destinations=self._destinations)
        anchor = await anchor_of(self._node, head)
        for address, signer in self._signers.items():
            self._open(address, signer, recovered, anchor)
        self._strangers = {
            lane: state for lane, state in recovered.lanes.items() if lane not in self._signers
        }
        for runner in self._runners.values():
            for name in runner.state.parked:
                # What fills a gap is parked too, and follows nobody.
                if (after := runner.state.jobs[name].after) is not None:
                    self.follow(runner, name, after=after)
        for lane, end in recovered.unreported:
            if lane in self._runners:
                self._runners[lane].report(end)
        await self._show(head, reorged=True, patience_s=patience_s)

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
        priority: int = 0,
        after: Sent | str | None = None,
        on_external_spend: ExternalSpend | str = ExternalSpend.REPORT,
    ) -> Sent:
        """Accept a request, and send it at once if the lane has room.

        A request is accepted once its entry is in the journal: from then on it is followed to its
        end, also if this call is cancelled, and also by a later process. Requests of one account
        and priority get their nonces in the order of the calls, however long each check takes.

        Args:
            request: unset fields are filled; `sender` may be left out with a single signer or a
                key pool.
            urgency: how soon it should be mined.
            deadline_blocks: how many blocks it has; it is cancelled before it would be late.
            idempotency_key: the same key and payload give the same handle, ever.
            destinations: who gets it; the public node if None.
            simulate: try it first; turn off what can only succeed after one still under way.
            cause: journal entry that this one follows from.
            priority: of those that wait for a nonce, a higher one goes first.
            after: a request, of any account, without whose success this one is not sent; without
                it, this one ends as Cancelled.
            on_external_spend: "report" ends it as Replaced when a stranger spends its nonce on
                something else; "requeue" then tries it on a new nonce, once that is final.

        Raises:
            CallReverted, InsufficientFunds, FeeLimitReached, GasLimitTooHigh, SignerError,
            RejectedByNode: it cannot be sent; no nonce was used.
            ConfigError: an argument that cannot be meant.
            IdempotencyConflict: the key was used with another payload.
            LaneHalted: the lane stopped itself, or the scheduler is closed; see `resume`.
            JournalUnavailable, LeaseLost: it could not be made durable, so nothing was sent.
        """
        self.require_head()
        wish = Wish(
            urgency=urgency,
            deadline_blocks=deadline_blocks,
            destinations=register(
                self._destinations, (self._public,) if destinations is None else destinations
            ),
            simulate=simulate,
            idempotency_key=idempotency_key,
            priority=priority,
            after=self._predecessor(after),
            on_external_spend=external_spend(on_external_spend),
        )
        return await self._acceptance.send(request, wish, cause=cause)

    def find(self, idempotency_key: str) -> Sent | None:
        """What was sent with this key, by this process or an earlier one; None if nothing was.

        Raises:
            ConfigError: its account has no signer here.
        """
        self._require_open()
        return self._acceptance.before(idempotency_key)

    def request(self, request_id: str) -> Sent:
        """The handle of a request that is open here, or ended, in this process or an earlier one.

        Raises:
            ConfigError: no lane and no journal knows it, or its account has no signer here.
        """
        self._require_open()
        if not isinstance(request_id, str):
            raise ConfigError(f"request_id is {shown(request_id)}; give that of what send returned")
        track = self._tracks.get(request_id)
        if track is not None:
            return self.sent(track)
        for runner in self._runners.values():
            if request_id in runner.state.jobs:
                return self.handle(runner, request_id)
        last = last_word(self._journal, request_id)
        if last is None:
            raise ConfigError(
                f"no request here is called {shown(request_id)}; give the request_id that send "
                "returned"
            )
        return self.handle(self.runner(last.lane), request_id)

    async def on_head(self, change: HeadChange, *, patience_s: float | None = None) -> None:
        """Let one step of the chain take effect on every lane.

        Returns when what was sent for it is answered, at the latest with the next head; answers
        that come later are taken all the same.

        Args:
            change: what the chain did.
            patience_s: how long it waits for answers; None without a limit.

        Raises:
            NodeError: the node could not be asked; the same change may be given again.
            JournalUnavailable, LeaseLost: nothing leaves this process any more.
        """
        self._require_open()
        head = change.added[-1] if change.added else await self._node.head()
        await self._show(head, reorged=bool(change.reverted), patience_s=patience_s)

    async def resume(self, sender: Address) -> None:
        """Let a halted lane go on, after somebody has looked at why it halted.

        Raises:
            ConfigError: nobody signs for this account here.
        """
        self._require_open()
        runner = self.runner(sender)
        if runner.state.halted:
            await runner.drive(Resumed(lane=sender))

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
            AlreadyReserved: a delegation of the account is under way.
            LaneHalted: the lane stopped itself.
            JournalUnavailable: nothing may leave.
        """
        head = self.require_head()
        require_bundle(requests, target_block=target_block, head=head.number)
        runner = self.runner(sender)
        async with runner.lock:
            await self.refresh(runner)
            runner.require_running()
            require_one_block(runner.state, target_block=target_block)
            dry = self._mode is Mode.DRY
            first, balance = runner.state.next_lease_nonce(), runner.state.balance_wei
            if dry:
                first, balance = await self._node.nonce(sender), await self._node.balance(sender)
            lease = await sign_lease(
                runner,
                requests,
                name=f"lease-{self._journal.last_seq + 1}",
                first=first,
                target_block=target_block,
                fee=fee,
                tip_wei=tip_wei,
                balance_wei=balance,
                config=self._config,
                pricing=self._acceptance.priced,
            )
            if not dry:
                leased = Leased(
                    lane=sender,
                    lease_id=lease.lease_id,
                    target_block=target_block,
                    signed=lease.signed,
                )
                self._acceptance.delegations.require_bundle_apart(sender, requests)
                runner.apply(leased, cause=cause)
        await self._journal.commit()
        return lease

    async def settle_bundle(self, lease: BundleLease, result: BundleResult) -> None:
        """Say how a leased bundle ended; without a word its lease ends with its target block."""
        runner = self.runner(lease.sender)
        if lease.lease_id in runner.state.leases:
            landed = isinstance(result, Landed)
            settled = LeaseSettled(lane=lease.sender, lease_id=lease.lease_id, landed=landed)
            await runner.drive(settled)
            await self.release_followers()

    def live_lease(self, lease_id: str) -> BundleLease | None:
        """A lease whose nonces are still held, also one of an earlier process."""
        return live_lease((runner.state for runner in self._runners.values()), lease_id)

    def spenders(self, sender: Address, nonce: int) -> frozenset[Hash] | None:
        """What was signed for a nonce that is held; None of an account without a signer here."""
        runner = self._runners.get(sender)
        return None if runner is None else spenders(runner.state, nonce)

    @property
    def delegations(self) -> Delegations:
        """What keeps accounts here apart from authorizations of them that others send."""
        return self._acceptance.delegations

    def next_nonce(self, sender: Address) -> int:
        """What a request accepted now would get, as far as this process knows."""
        state = self.runner(sender).state
        return state.next_lease_nonce() + len(state.queued())

    def unsettled(self) -> frozenset[Address]:
        """Accounts with anything under way, or mined so lately that a reorg may take it back."""
        return frozenset(lane for lane, runner in self._runners.items() if not runner.idle)

    def statistics(self) -> SchedulerStatistics:
        """Count what happened since `start`."""
        return collect(self._counts, self._runners.values())

    async def close(self) -> None:
        """Stop; everything under way is in the journal and goes on at the next start.

        Waits for the journal only, not for answers of nodes and relays.
        """
        if self._closed:
            return
        self._closed = True
        try:
            # What could not be written was never sent, and `_journal_lost` tells who waits.
            with suppress(JournalUnavailable, LeaseLost):
                await self._hand_overs.cancel()
                await self._journal.commit()
                self._hand_overs.raise_failure()
        finally:
            self._tracks.stop(
                LaneHalted("the scheduler is closed; what is open goes on at its next start")
            )
            self._watch.heads.beat()

    # What handles ask for (`toolkit.tx.handle.Desk`).

    async def cancel_request(self, name: str, lane: Address) -> None:
        """Ask that a request not happen."""
        self._require_open()
        runner = self.runner(lane)
        if name in runner.state.jobs:
            self._reached(Stage.ASKED)
            await runner.drive(CancelAsked(lane=lane, request_id=name))
            await self.release_followers()

    async def replace_request(
        self,
        name: str,
        lane: Address,
        request: TransactionRequest | None,
        *,
        urgency: Urgency,
        max_fee_per_gas: int | None = None,
    ) -> None:
        """Ask for another payload, or with None for higher fees, at the same nonce."""
        runner = self.runner(lane)
        asked = await self._acceptance.replacement(
            runner,
            name,
            request,
            urgency=urgency,
            max_fee_per_gas=max_fee_per_gas,
        )
        self._reached(Stage.ASKED)
        await runner.drive(asked)
        await self.release_followers()

    # What acceptance needs (`toolkit.tx.acceptance.Floor`).

    def runner(self, sender: Address) -> LaneRunner:
        """The lane of an account that this scheduler signs for."""
        runner = self._runners.get(sender) if isinstance(sender, str) else None
        if runner is None:
            raise ConfigError(
                f"no signer for {shown_address(sender)}; configured are"
                f" {', '.join(self._signers) or 'none'}"
            )
        return runner

    def require_head(self) -> Head:
        """The newest head; refuses before the start and after the end."""
        self._require_open()
        if self._watch.head is None:
            raise ConfigError("the scheduler is not started; await start() first")
        return self._watch.head

    def reached(self, stage: Stage) -> None:
        """Tell whoever watches."""
        self._reached(stage)

    async def quotes(self) -> dict[str, FeeQuote]:
        """Fees as of the newest head."""
        return await self._watch.quotes.at(self.require_head())

    async def refresh(self, runner: LaneRunner) -> None:
        """Look at the chain before an idle lane acts: heads pass idle lanes by."""
        self.require_head()
        await self._watch.refresh(runner)

    async def release_followers(self) -> None:
        """Let go, or cancel, every request whose predecessor has ended; wait for the answers."""
        sent = await self._releases.all()
        if sent:
            await asyncio.wait(sent)
            self._hand_overs.raise_failure()

    def follow(self, runner: LaneRunner, name: str, *, after: str) -> None:
        """Let a request of `runner` wait for the end of another one, which may be past."""
        end = end_of(self._journal, after)
        self._followers.wait(runner.state.lane, name, after=after)
        if end is not None:
            self._followers.ended(after, end)

    def known(self, name: str) -> bool:
        """Whether any lane, or the journal, knows a request of this name."""
        lanes = (runner.state.jobs for runner in self._runners.values())
        return any(name in jobs for jobs in lanes) or end_of(self._journal, name) is not None

    def new_track(self, runner: LaneRunner, name: str) -> Track:
        """Follow a request that begins now, as long as somebody holds it."""
        return self._tracks.begin(runner, name)

    def handle(self, runner: LaneRunner, name: str) -> Sent:
        """A handle of a request that is open, or was."""
        return self.sent(self._tracks.of(runner, name))

    def sent(self, track: Track) -> Sent:
        """What its author holds of a request."""
        return Sent(track, self, most_confirmations=KEEP_BLOCKS)

    def count(self, what: str) -> None:
        """Count for the statistics."""
        self._counts[what] += 1

    # Lanes.

    async def _show(self, head: Head, *, reorged: bool, patience_s: float | None) -> None:
        await self._watch.show(
            head, reorged=reorged, after=self._settle_head, patience_s=patience_s
        )

    async def _settle_head(self) -> list[asyncio.Task[None]]:
        sent = await self._releases.all()
        self._checkpoint_if_due()
        return sent

    def _checkpoint_if_due(self) -> None:
        open_requests = sum(len(runner.state.jobs) for runner in self._runners.values())
        due = self._checkpointed + CHECKPOINT_ENTRIES + ENTRIES_A_REQUEST * open_requests
        if self._mode is Mode.DRY or self._journal.last_seq < due:
            return
        lanes = {lane: runner.state for lane, runner in self._runners.items()}
        seqs = {name: seq for r in self._runners.values() for name, seq in r.causes.items()}
        fold = Fold(opening=self._opening, lanes={**self._strangers, **lanes}, seqs=seqs)
        self._checkpointed = checkpoint(self._journal, fold)
        self._reached(Stage.CHECKPOINTED)

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
            reached=self._reached,
            hand_overs=self._hand_overs,
        )
        self._runners[address] = runner
        self._opening = opened
        if self._mode is not Mode.DRY:
            runner.apply(opened)

    def _journal_lost(self, error: ToolkitError) -> None:
        """Nothing is durable any more, so nothing is told: somebody else finds what is true."""
        self._log.error("journal_lost", why=str(error))
        self._tracks.lose(error)
        self._watch.heads.beat()

    def _on_end(
        self, name: str, end: Outcome | ToolkitError | None, seq: int, before: Job | None
    ) -> None:
        told = Counter({"reopened" if end is None else kind_of(end): 1})
        if end is not None:
            told["untold"] = -1
            self.count("untold")
            self._followers.ended(name, end)
        self._tracks.ended(name, end, seq=seq, before=before)
        self._journal.when_durable(seq, partial(self._counts.update, told))

    def _predecessor(self, after: Sent | str | None) -> str | None:
        if not isinstance(after, Sent):
            return after
        # Each journal counts its requests from one; those of an account on a chain share a journal.
        if after.chain_id != self._chain_id or after.sender not in self._runners:
            raise ConfigError(
                f"after is {after.request_id} of {after.sender} on chain {after.chain_id}, which "
                "is no account of this session: only a request in its journal can be waited for"
            )
        return after.request_id

    def _require_open(self) -> None:
        if self._closed:
            raise LaneHalted("the scheduler is closed; open a new session")
