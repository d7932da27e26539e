"""Sends bundles to every relay at once, and tells what became of each."""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress

import msgspec

from toolkit.bundles.admission import admitted, leased_by, replaced_by
from toolkit.bundles.entries import (
    CANCELLED,
    NEWEST,
    RESULT,
    SUBMITTED,
    BundleCancelled,
    BundleEnded,
    submitted,
)
from toolkit.bundles.evidence import RelayAnswer, Submission
from toolkit.bundles.fanout import (
    answers_of,
    fan_out,
    first_acceptance,
)
from toolkit.bundles.guards import spent_by
from toolkit.bundles.hashes import bundle_hash
from toolkit.bundles.live import Lanes, Live, recovered
from toolkit.bundles.reenactment import BlockFacts
from toolkit.bundles.relay import Relay
from toolkit.bundles.tracker import REORG_BLOCKS, Tracker, abandon
from toolkit.chain.node import Node
from toolkit.evm.simulator import Simulator
from toolkit.journal.log import Journal
from toolkit.logs import log_of
from toolkit.model.bundle import Bundle, BundleResult, Landed, MissCause, Missed
from toolkit.model.chain import Address, Hash, Head, HeadChange, Mode
from toolkit.model.checks import require_integer
from toolkit.model.errors import (
    BundleRefused,
    ConfigError,
    JournalUnavailable,
    LeaseLost,
    RelayError,
    RelayRejected,
)
from toolkit.model.tx import SignedTransaction
from toolkit.tx.delegation import Spending
from toolkit.tx.handle import BundleLease

# After any other cause the same bytes can never land.
_REPEATABLE = frozenset(
    {
        MissCause.OUTBID_CONFLICT,
        MissCause.STATE_CONFLICT,
        MissCause.UNDERPRICED,
        MissCause.LATE,
        MissCause.WRONG_BUILDER,
        MissCause.REVERTED_SIM,
        MissCause.UNKNOWN,
    }
)


class SubmitterStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """How many bundles were submitted, are live, landed, and missed by cause.

    Ends of an earlier process count where they are followed on.
    """

    submitted: int
    live: int
    landed: int
    missed: Mapping[str, int]


class BundleHandle:
    """One submitted bundle; tells its own end and no other's."""

    def __init__(self, submitter: "Submitter", live: Live) -> None:
        self._submitter = submitter
        self._live = live

    def __repr__(self) -> str:
        """Name the bundle by its hash and target."""
        return f"BundleHandle({self.bundle_hash}, block={self.target_block})"

    @property
    def bundle_hash(self) -> Hash:
        """The name relays know the bundle by."""
        return self._live.submission.bundle_hash

    @property
    def hashes(self) -> tuple[Hash, ...]:
        """Of its transactions, in order."""
        return self._live.submission.bundle.hashes

    @property
    def target_block(self) -> int:
        """The block that is tried now."""
        return self._live.target_block

    @property
    def replacement_uuid(self) -> str | None:
        """What relays know it by when it is replaced or cancelled."""
        return self._live.uuid

    @property
    def answers(self) -> tuple[RelayAnswer, ...]:
        """What the relays have said so far about this block."""
        return self._live.answers

    @property
    def done(self) -> bool:
        """Whether the end is known."""
        return self._live.ended is not None

    @property
    def result(self) -> BundleResult | None:
        """How it ended as far as is known; a reorg may change that for three blocks."""
        return None if self._live.ended is None else self._live.ended.result

    async def wait(self, *, confirmations: int = 0) -> BundleResult:
        """Wait until the end is known: somebody must feed the heads to the submitter.

        Args:
            confirmations: blocks under which it must be, at most three; without any a reorg may
                still take it back, which `result` then tells.

        Raises:
            ConfigError: more confirmations than an end is followed.
            LaneHalted: the session was closed before; the next one with its journal tells it.
        """
        require_integer("confirmations", confirmations, most=REORG_BLOCKS)
        told = await asyncio.shield(self._live.result)
        if not confirmations or self._live.ended is None:
            return told
        return await asyncio.shield(self._live.ended.confirmed[confirmations - 1])

    async def cancel(self) -> tuple[str, ...]:
        """Ask every relay to withdraw the bundle; it may land all the same, and is then Landed.

        Returns:
            The relays that may still have it: those that took it, or have not answered yet, and
            did not confirm.

        Raises:
            ConfigError: the bundle was sent without a replacement uuid.
            RelayError: no relay confirmed.
        """
        return await self._submitter.cancel(self._live)


class Submitter:
    """Fans bundles out to all relays and follows each to its end.

    It has no clock: `on_head` is the only thing that ends a bundle.

    Args:
        relays: all get every bundle; equal dialects share one body and one signature.
        mode: what every line of the log shows.
        own: every configured signer and executor, for the refusal of own-foreign-own.
        simulator: where given, a missed bundle is run on the state before its block, to tell one
            that could not land from one that lost.

    Raises:
        ConfigError: two relays have the same name.
    """

    def __init__(
        self,
        relays: Sequence[Relay],
        *,
        node: Node,
        scheduler: Lanes,
        journal: Journal,
        mode: Mode,
        own: frozenset[Address],
        simulator: Simulator | None = None,
    ) -> None:
        names = [relay.name for relay in relays]
        if len(set(names)) != len(names):
            raise ConfigError(f"relay names are not unique: {', '.join(sorted(names))}")
        self.relays = tuple(relays)
        self._node = node
        self._lanes = scheduler
        self._journal = journal
        self._log = log_of(__name__, mode)
        self._own = own
        self._tracker = Tracker(
            node, journal=journal, simulator=simulator, revised=self._count_again
        )
        self._live: list[Live] = []
        self._newest = 0
        self._heads = asyncio.Lock()
        self._submitted = 0
        self._landed = 0
        self._missed: Counter[str] = Counter()

    @property
    def own(self) -> frozenset[Address]:
        """Every account that counts as ours."""
        return self._own

    @property
    def replaceable(self) -> bool:
        """Whether every relay knows uuids: one that does not would refuse a bundle for its own."""
        dialects = [relay.profile.dialect for relay in self.relays]
        return all(one.uuid_field and one.cancel_method for one in dialects)

    def spending(self, account: Address) -> Iterator[Spending]:
        """Which nonces of an account live bundles may spend by what its lane has not signed."""
        for live in self._live:
            sent = live.submission
            for one in () if live.is_refused else sent.transactions:
                if one.hash in sent.leased:
                    continue
                for spender, nonce in spent_by(one, sent.grants):
                    held = self._lanes.spenders(account, nonce) or ()
                    if spender == account and one.hash not in held:
                        yield Spending(sent.bundle_hash, one.hash, nonce)

    def add_own(self, accounts: Collection[Address]) -> None:
        """Count further accounts as ours, such as an executor deployed after the start."""
        self._own = self._own.union(accounts)

    async def submit(
        self,
        bundle: Bundle,
        *,
        lease: BundleLease | None = None,
        blocks: int = 1,
        guards_waived: bool = False,
        touches: Collection[Address] = (),
        bid_wei: int = 0,
    ) -> BundleHandle:
        """Journal the bundle, send it everywhere, and return once one relay took it or all spoke.

        Args:
            bundle: signed transactions for the first target block.
            lease: of the nonces of those signed for this bundle, up to the last block tried;
                settled when the bundle ends, or is refused here.
            blocks: how many blocks to try, from the target on, with the same bytes.
            guards_waived: accept a bundle of several transactions without a guard.
            touches: contracts whose state it depends on, to recognise who got there first.
            bid_wei: what the builder earns from it, for the same purpose.

        Raises:
            BundleRefused: see `bundles.guards`; nothing was sent, and the lease is settled.
            JournalUnavailable: nothing was sent.
        """
        try:
            self._require_relays()
            transactions = self.checked(
                bundle, lease=lease, blocks=blocks, guards_waived=guards_waived
            )
        except BundleRefused as refusal:
            await self._give_back(bundle, lease, str(refusal))
            raise
        live = Live(
            submission=Submission(
                bundle=bundle,
                bundle_hash=bundle_hash(bundle.hashes),
                transactions=transactions,
                own=self._own,
                leased=leased_by(lease),
                touches=frozenset(touches),
                bid_wei=bid_wei,
            ),
            lease=lease,
            last_block=bundle.target_block + blocks - 1,
            result=asyncio.get_running_loop().create_future(),
        )
        replaced = [one for one in replaced_by(bundle, self._live) if not one.withdrawn]
        for other in replaced:
            other.withdrawn = True  # sent for another block it would replace this one
        # Live from here on: what contradicts it must be refused while this one is journalled.
        self._live.append(live)
        try:
            await self._record(live)
        except BaseException as error:
            if isinstance(error, JournalUnavailable | LeaseLost) or not live.journal_seq:
                self._live.remove(live)  # it never was
                for other in replaced:
                    other.withdrawn = False
            live.asked = True  # it may be durable, so it is followed; nobody asks before its end
            raise
        self._submitted += 1
        await self._send(live)
        return BundleHandle(self, live)

    def checked(
        self,
        bundle: Bundle,
        *,
        lease: BundleLease | None = None,
        blocks: int = 1,
        guards_waived: bool = False,
    ) -> tuple[SignedTransaction, ...]:
        """Hold a bundle against every rule, and decode it; nothing is sent, relays or not.

        Raises:
            BundleRefused: see `bundles.guards`.
        """
        return admitted(
            bundle,
            lease=lease,
            blocks=blocks,
            guards_waived=guards_waived,
            newest=self._newest,
            live=self._live,
            own=self._own,
            lanes=self._lanes,
        )

    async def recover(self) -> tuple[BundleHandle, ...]:
        """Take up what an earlier process with this journal sent and saw no end of; that is told.

        Ends that it told are followed on as well, as long as a reorg may take them back. To be
        called once, after the lanes have recovered and before the first head.

        Raises:
            JournalCorrupt: an entry cannot be read.
            NodeError: the chain could not be read; nothing was taken up, it may be called again.
        """
        head = await self._node.head()
        live, told = recovered(self._journal, self._lanes, own=self._own, newest=head.number)
        gone = [await self._is_gone(one.result, newest=head.number) for one in told]
        oldest = min((one.block_number for one in told), default=head.number)
        unread = [await self._node.head(n) for n in range(oldest + 1, head.number + 1)]
        self._live += live
        for one, stale in zip(told, gone, strict=True):
            self._tracker.watch(
                self._paid_to(one.submission),
                one.result,
                journal_seq=one.journal_seq,
                landed=one.landed,
                stale=stale,
            )
            self._count(one.result, 1)
        for each in unread:
            self._tracker.read_later(each)
        return self.handles()

    async def _is_gone(self, result: BundleResult, *, newest: int) -> bool:
        """Whether a bundle's block is another one by now, or not there any more."""
        if not isinstance(result, Landed):
            return False
        number = result.block_number
        return number > newest or (await self._node.head(number)).hash != result.block_hash

    def _paid_to(self, submission: Submission) -> Submission:
        """With the coinbases behind each relay."""
        recipients = {one.name: one.fee_recipients for one in self.relays}
        return msgspec.structs.replace(submission, fee_recipients=recipients)

    async def on_head(self, change: HeadChange) -> None:
        """End, or send again for the next block, every bundle whose target block is known now.

        Raises:
            NodeError: the chain could not be read; the bundles stay live, and the next head, or
                the same one again, tries anew.
        """
        async with self._heads:
            self._newest = max([self._newest, *(head.number for head in change.added)])
            await self._tracker.on_head(change)
            blocks: dict[int, BlockFacts | None] = {}
            for live in tuple(self._live):
                target = live.target_block
                # One that is still being journalled or signed will be told late.
                if target > self._newest or not live.asked:
                    continue
                if target not in blocks:
                    head = await self._head(target, change)
                    blocks[target] = await self._tracker.block(head, newest=self._newest)
                if (block := blocks[target]) is not None:
                    await self._conclude(live, block)

    async def cancel(self, live: Live) -> tuple[str, ...]:
        """As `BundleHandle.cancel`."""
        uuid = live.uuid
        if uuid is None:
            raise ConfigError(
                f"bundle {live.submission.bundle_hash} has no replacement uuid: set one to be able"
                f" to cancel it"
            )
        live.withdrawn = True  # whatever they answer, it is not sent for another block
        wish = BundleCancelled(bundle_hash=live.submission.bundle_hash, replacement_uuid=uuid)
        # What is not durable is asked back all the same: that spends nothing.
        with suppress(JournalUnavailable, LeaseLost):
            self._journal.append(CANCELLED, wish, cause=live.journal_seq)
            await self._journal.commit()
        answers = await asyncio.gather(
            *(relay.cancel_bundle(uuid) for relay in self.relays), return_exceptions=True
        )
        failures = [one for one in answers if isinstance(one, BaseException)]
        for failure in failures:
            if not isinstance(failure, RelayError):
                raise failure
        if len(failures) == len(self.relays):
            why = "; ".join(str(one) for one in failures)
            raise RelayRejected(f"no relay confirmed the cancellation: {why}")
        known = {one.submission.bundle_hash for one in (live, *self._live) if one.uuid == uuid}
        unsure = {
            relay.name
            for relay, answer in zip(self.relays, answers, strict=True)
            if isinstance(answer, BaseException)
            or (answer is not None and known.isdisjoint(answer))  # it withdrew none, or another's
        }
        timely = self._newest < live.target_block
        gone = {one.name for one in self.relays} - unsure if timely else set()
        live.submission = msgspec.structs.replace(
            live.submission, cancelled=True, withdrawn=live.submission.withdrawn | gone
        )
        return tuple(sorted(self._at_large(live, unsure)))

    def _at_large(self, live: Live, unsure: set[str]) -> set[str]:
        """Which relays may still have a bundle, when these have not withdrawn it."""
        if not live.asked:
            return set()  # none is, now that it is withdrawn
        refused = {one.relay for one in live.answers if not one.accepted and not one.unsure}
        asked = zip(self.relays, live.tasks, strict=False)  # none by this process after a restart
        silent = {relay.name for relay, task in asked if not task.done()}
        gone = {one.relay for one in live.answers} - {relay.name for relay in self.relays}
        return silent | gone | (unsure - refused)

    def handles(self) -> tuple[BundleHandle, ...]:
        """Every live bundle, oldest first, also those of an earlier process."""
        return tuple(BundleHandle(self, live) for live in self._live)

    def statistics(self) -> SubmitterStatistics:
        """Count what was submitted and how it ended."""
        return SubmitterStatistics(
            submitted=self._submitted,
            live=len(self._live),
            landed=self._landed,
            missed={cause: count for cause, count in self._missed.items() if count},
        )

    async def close(self) -> None:
        """Stop sending and close the relays; the next process tells how live bundles ended."""
        for live in self._live:
            if live.tasks:
                await answers_of(live.tasks, relays=self.relays, newest_head=self._newest)
            abandon(live.result)
        self._live.clear()
        self._tracker.close()
        for relay in self.relays:
            await relay.close()

    def _require_relays(self) -> None:
        if not self.relays:
            raise BundleRefused("no relays are configured: give at least one to send bundles")

    async def _give_back(self, bundle: Bundle, lease: BundleLease | None, why: str) -> None:
        if lease is not None:
            refused = Missed(
                bundle_hash=bundle_hash(bundle.hashes),
                target_block=bundle.target_block,
                cause=MissCause.CANCELLED,
                evidence=f"refused before sending: {why}",
            )
            await self._lanes.settle_bundle(lease, refused)

    async def _record(self, live: Live) -> None:
        open_now = [one.journal_seq for one in self._live if one.journal_seq]
        open_now += [one.journal_seq for one in self._tracker.watched]
        entry = submitted(
            live.submission,
            relays=[relay.name for relay in self.relays],
            lease_id=live.lease.lease_id if live.lease else None,
            last_block=live.last_block,
            since=min(open_now, default=0),
        )
        live.journal_seq = self._journal.append(SUBMITTED, entry, key=NEWEST)
        await self._journal.commit()
        self._log.info(
            "bundle_submitted",
            bundle=entry.bundle_hash,
            block=entry.target_block,
            relays=entry.relays,
        )

    async def _send(self, live: Live) -> None:
        try:
            live.tasks = await fan_out(
                self.relays,
                live.submission.bundle,
                newest_head=lambda: self._newest,
                wanted=lambda: not live.withdrawn,
            )
            if not live.tasks:  # taken back or replaced while it was journalled and signed
                nobody = frozenset(relay.name for relay in self.relays)
                live.submission = msgspec.structs.replace(live.submission, withdrawn=nobody)
        finally:
            live.asked = True  # cut off before that: nobody will ask, and its block ends it
        await first_acceptance(live.tasks)

    async def _head(self, number: int, change: HeadChange) -> Head:
        for head in change.added:
            if head.number == number:
                return head
        return await self._node.head(number)

    async def _conclude(self, live: Live, block: BlockFacts) -> None:
        # Whoever is cut off behind the entry is gone on for by the next head, not told twice.
        result = live.end = live.end or await self._concluded(live, block)
        repeatable = isinstance(result, Missed) and result.cause in _REPEATABLE
        if repeatable and self._newest < live.last_block and not live.withdrawn:
            # Durable together with that end: a process that dies here goes on at the next block.
            await self._try_next(live)
            return
        await self._journal.commit()
        await self._end(live, result)

    def _known(self, live: Live, answers: tuple[RelayAnswer, ...]) -> Submission:
        """All that we know of a bundle ourselves, now that its block is there."""
        after = self._live[self._live.index(live) + 1 :]
        newer = [one for one in after if live.uuid is not None and one.uuid == live.uuid]
        gone = {
            answer.relay
            for one in newer
            for answer in one.answers
            if answer.accepted and answer.head_number < live.target_block
        }
        return msgspec.structs.replace(
            self._paid_to(live.submission),
            answers=answers,
            withdrawn=live.submission.withdrawn | gone,
            superseded_by=frozenset(
                one for other in newer for one in other.submission.bundle.hashes
            ),
        )

    async def _concluded(self, live: Live, block: BlockFacts) -> BundleResult:
        answers = live.answers
        if live.tasks:
            answers = await answers_of(live.tasks, relays=self.relays, newest_head=self._newest)
        live.submission = self._known(live, answers)
        result = await self._tracker.end_of(live.submission, block)
        ended = BundleEnded(result=result, answers=answers)
        self._journal.append(RESULT, ended, cause=live.journal_seq)
        return result

    async def _try_next(self, live: Live) -> None:
        bundle = msgspec.structs.replace(live.submission.bundle, target_block=self._newest + 1)
        live.submission = msgspec.structs.replace(live.submission, bundle=bundle, answers=())
        live.tasks, live.asked, live.end = (), False, None
        try:
            await self._record(live)
        except BaseException:
            live.asked = True  # nobody asks now; its block ends it
            raise
        await self._send(live)

    async def _end(self, live: Live, result: BundleResult) -> None:
        if live.lease is not None:
            await self._lanes.settle_bundle(live.lease, result)
        self._live.remove(live)
        self._count(result, 1)
        live.ended = self._tracker.watch(live.submission, result, journal_seq=live.journal_seq)
        live.result.set_result(result)
        self._log.info(
            "bundle_ended",
            bundle=live.submission.bundle_hash,
            block=live.submission.bundle.target_block,
            result=type(result).__name__,
            cause=result.cause.value if isinstance(result, Missed) else None,
        )

    def _count(self, result: BundleResult, by: int) -> None:
        if isinstance(result, Landed):
            self._landed += by
        else:
            self._missed[result.cause.value] += by

    def _count_again(self, before: BundleResult, now: BundleResult) -> None:
        """A reorg changed an end: it is counted as what it is."""
        self._count(before, -1)
        self._count(now, 1)
        self._log.warning(
            "bundle_end_revised",
            bundle=now.bundle_hash,
            result=type(now).__name__,
            cause=now.cause.value if isinstance(now, Missed) else None,
        )
