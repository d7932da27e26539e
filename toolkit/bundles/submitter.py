"""Sends bundles to every relay at once, and tells what became of each."""

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from toolkit.bundles.fanout import (
    Answering,
    answers_of,
    answers_so_far,
    fan_out,
    first_acceptance,
)
from toolkit.bundles.guards import (
    refuse_contradiction,
    refuse_own_foreign_own,
    refuse_unguarded,
)
from toolkit.bundles.hashes import bundle_hash
from toolkit.bundles.relay import Relay
from toolkit.bundles.tracker import (
    BlockFacts,
    RelayAnswer,
    Submission,
    classify,
    gather,
    read_block,
)
from toolkit.chain.node import Node
from toolkit.chain.signer import decode_transaction
from toolkit.evm.simulator import Simulator
from toolkit.journal.log import Journal
from toolkit.logs import log_of
from toolkit.model.bundle import Bundle, BundleResult, GuardKind, Landed, MissCause, Missed
from toolkit.model.chain import Address, Hash, Head, HeadChange, Mode
from toolkit.model.errors import BundleRefused, ConfigError, RelayError, RelayRejected
from toolkit.model.tx import SignedTransaction
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


class Lanes(Protocol):
    """The part of the transaction scheduler that owns the nonces of bundles."""

    async def settle_bundle(self, lease: BundleLease, result: BundleResult) -> None:
        """Mark a lease's nonces as spent or free again."""
        ...


class BundleSubmitted(msgspec.Struct, frozen=True, kw_only=True):
    """Journal entry, durable before the first byte leaves: hashes only, never the bytes."""

    bundle_hash: Hash
    hashes: tuple[Hash, ...]
    target_block: int
    relays: tuple[str, ...]
    lease_id: str | None
    guards: tuple[str, ...]
    bid_wei: int


class BundleEnded(msgspec.Struct, frozen=True, kw_only=True):
    """Journal entry: what became of a submission in its block, and what the relays had said."""

    result: BundleResult
    answers: tuple[RelayAnswer, ...]


class SubmitterStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """How many bundles were submitted, are live, landed, and missed by cause."""

    submitted: int
    live: int
    landed: int
    missed: Mapping[str, int]


@dataclass(slots=True, eq=False, kw_only=True)
class _Live:
    """A bundle from its journal entry to its end; the submitter alone changes it."""

    submission: Submission
    lease: BundleLease | None
    last_block: int
    result: asyncio.Future[BundleResult]
    tasks: tuple[Answering, ...] = ()
    journal_seq: int = field(default=0)


class BundleHandle:
    """One submitted bundle; tells its own end and no other's."""

    def __init__(self, submitter: "Submitter", live: _Live) -> None:
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
        return self._live.submission.bundle.target_block

    @property
    def answers(self) -> tuple[RelayAnswer, ...]:
        """What the relays have said so far about this block."""
        return self._live.submission.answers or answers_so_far(self._live.tasks)

    @property
    def done(self) -> bool:
        """Whether the end is known."""
        return self._live.result.done()

    async def wait(self) -> BundleResult:
        """Wait until the end is known: somebody must feed the heads to the submitter."""
        return await asyncio.shield(self._live.result)

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
        self._simulator = simulator
        self._live: list[_Live] = []
        self._newest = 0
        self._heads = asyncio.Lock()
        self._submitted = 0
        self._landed = 0
        self._missed: Counter[str] = Counter()

    @property
    def own(self) -> frozenset[Address]:
        """Every account that counts as ours."""
        return self._own

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
            transactions = _decoded(bundle, lease)
            self._check(bundle, transactions, lease, blocks=blocks, guards_waived=guards_waived)
        except BundleRefused as refusal:
            await self._give_back(bundle, lease, str(refusal))
            raise
        live = _Live(
            submission=Submission(
                bundle=bundle,
                bundle_hash=bundle_hash(bundle.hashes),
                transactions=transactions,
                own=self._own,
                leased=frozenset(one.hash for one in lease.signed) if lease else frozenset(),
                touches=frozenset(touches),
                bid_wei=bid_wei,
            ),
            lease=lease,
            last_block=bundle.target_block + blocks - 1,
            result=asyncio.get_running_loop().create_future(),
        )
        # Live from here on: what contradicts it must be refused while this one is journalled.
        self._live.append(live)
        try:
            await self._record(live)
        except BaseException:
            self._live.remove(live)
            raise
        self._submitted += 1
        await self._send(live)
        return BundleHandle(self, live)

    async def on_head(self, change: HeadChange) -> None:
        """End, or send again for the next block, every bundle whose target block is known now.

        Raises:
            NodeError: the chain could not be read; the bundles stay live, and the next head, or
                the same one again, tries anew.
        """
        async with self._heads:
            self._newest = max([self._newest, *(head.number for head in change.added)])
            blocks: dict[int, BlockFacts] = {}
            for live in tuple(self._live):
                target = live.submission.bundle.target_block
                # Without tasks it is still being journalled or signed; it will be told late.
                if target > self._newest or not live.tasks:
                    continue
                if target not in blocks:
                    blocks[target] = await read_block(self._node, await self._head(target, change))
                await self._conclude(live, blocks[target])

    async def cancel(self, live: _Live) -> tuple[str, ...]:
        """As `BundleHandle.cancel`."""
        uuid = live.submission.bundle.replacement_uuid
        if uuid is None:
            raise ConfigError(
                f"bundle {live.submission.bundle_hash} has no replacement uuid: set one to be able"
                f" to cancel it"
            )
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
        live.submission = msgspec.structs.replace(live.submission, cancelled=True)
        said = answers_so_far(live.tasks)
        refused = {one.relay for one in said if not one.accepted and not one.unsure}
        silent = {r.name for r, t in zip(self.relays, live.tasks, strict=True) if not t.done()}
        unsure = {
            relay.name
            for relay, answer in zip(self.relays, answers, strict=True)
            if isinstance(answer, BaseException) or answer == ()  # it withdrew none
        }
        return tuple(sorted(silent | (unsure - refused)))

    def statistics(self) -> SubmitterStatistics:
        """Count what was submitted and how it ended."""
        return SubmitterStatistics(
            submitted=self._submitted,
            live=len(self._live),
            landed=self._landed,
            missed=dict(self._missed),
        )

    async def close(self) -> None:
        """Stop sending and close the relays; bundles that are live may still land, unobserved."""
        for live in self._live:
            await answers_of(live.tasks, relays=self.relays, newest_head=self._newest)
            live.result.cancel()
        self._live.clear()
        for relay in self.relays:
            await relay.close()

    def _check(
        self,
        bundle: Bundle,
        transactions: Sequence[SignedTransaction],
        lease: BundleLease | None,
        *,
        blocks: int,
        guards_waived: bool,
    ) -> None:
        target = bundle.target_block
        if not self.relays:
            raise BundleRefused("no relays are configured: give at least one to send bundles")
        if target <= self._newest:
            raise BundleRefused(f"block {target} is known already: aim at {self._newest + 1}")
        last_block = target + blocks - 1
        if blocks < 1 or (blocks > 1 and GuardKind.BLOCK in bundle.guards):
            raise BundleRefused(
                f"bundle guarded for block {target} cannot be tried in {blocks} blocks: sign one"
                f" for each"
            )
        if lease is not None and last_block > lease.target_block:
            raise BundleRefused(
                f"nonces are leased until block {lease.target_block}, the bundle is to be tried"
                f" until {last_block}: lease them for that block"
            )
        refuse_unguarded(bundle, waived=guards_waived)
        refuse_own_foreign_own(transactions, own=self._own)
        uuid = bundle.replacement_uuid
        held = [
            one
            for other in self._live
            if uuid is None or other.submission.bundle.replacement_uuid != uuid
            for one in other.submission.transactions
        ]
        refuse_contradiction(transactions, held)

    async def _give_back(self, bundle: Bundle, lease: BundleLease | None, why: str) -> None:
        if lease is not None:
            refused = Missed(
                bundle_hash=bundle_hash(bundle.hashes),
                target_block=bundle.target_block,
                cause=MissCause.CANCELLED,
                evidence=f"refused before sending: {why}",
            )
            await self._lanes.settle_bundle(lease, refused)

    async def _record(self, live: _Live) -> None:
        submission = live.submission
        entry = BundleSubmitted(
            bundle_hash=submission.bundle_hash,
            hashes=submission.bundle.hashes,
            target_block=submission.bundle.target_block,
            relays=tuple(relay.name for relay in self.relays),
            lease_id=live.lease.lease_id if live.lease else None,
            guards=tuple(guard.value for guard in submission.bundle.guards),
            bid_wei=submission.bid_wei,
        )
        live.journal_seq = self._journal.append("bundle_submitted", entry)
        await self._journal.commit()
        self._log.info(
            "bundle_submitted",
            bundle=entry.bundle_hash,
            block=entry.target_block,
            relays=entry.relays,
        )

    async def _send(self, live: _Live) -> None:
        live.tasks = await fan_out(
            self.relays, live.submission.bundle, newest_head=lambda: self._newest
        )
        await first_acceptance(live.tasks)

    async def _head(self, number: int, change: HeadChange) -> Head:
        for head in change.added:
            if head.number == number:
                return head
        return await self._node.head(number)

    async def _conclude(self, live: _Live, block: BlockFacts) -> None:
        answers = await answers_of(live.tasks, relays=self.relays, newest_head=self._newest)
        live.submission = msgspec.structs.replace(
            live.submission, answers=answers, fee_recipients=self._takers(answers)
        )
        evidence = await gather(self._node, live.submission, block, simulator=self._simulator)
        result = classify(live.submission, evidence)
        self._journal.append(
            "bundle_result", BundleEnded(result=result, answers=answers), cause=live.journal_seq
        )
        await self._journal.commit()
        if isinstance(result, Missed):
            again = result.cause in _REPEATABLE and self._newest < live.last_block
            if again:
                await self._try_next(live)
                return
        await self._end(live, result)

    async def _try_next(self, live: _Live) -> None:
        bundle = msgspec.structs.replace(live.submission.bundle, target_block=self._newest + 1)
        live.submission = msgspec.structs.replace(live.submission, bundle=bundle, answers=())
        await self._record(live)
        await self._send(live)

    async def _end(self, live: _Live, result: BundleResult) -> None:
        if live.lease is not None:
            await self._lanes.settle_bundle(live.lease, result)
        self._live.remove(live)
        if isinstance(result, Landed):
            self._landed += 1
        else:
            self._missed[result.cause.value] += 1
        live.result.set_result(result)
        self._log.info(
            "bundle_ended",
            bundle=live.submission.bundle_hash,
            block=live.submission.bundle.target_block,
            result=type(result).__name__,
            cause=result.cause.value if isinstance(result, Missed) else None,
        )

    def _takers(self, answers: Sequence[RelayAnswer]) -> frozenset[Address]:
        """Coinbases behind the relays that may have it; empty if one of them is not known."""
        taken = {one.relay for one in answers if one.accepted or one.unsure}
        groups = [relay.fee_recipients for relay in self.relays if relay.name in taken]
        return frozenset().union(*groups) if all(groups) else frozenset()


def _decoded(bundle: Bundle, lease: BundleLease | None) -> tuple[SignedTransaction, ...]:
    """Transactions of a bundle by their own bytes, so that no caller's claim is trusted."""
    leased = {one.raw: one for one in lease.signed} if lease else {}
    try:
        found = tuple(
            leased[raw] if raw in leased else decode_transaction(raw) for raw in bundle.transactions
        )
    except ConfigError as error:
        raise BundleRefused(f"bundle for block {bundle.target_block}: {error}") from None
    if not found or tuple(one.hash for one in found) != bundle.hashes:
        raise BundleRefused(
            f"bundle for block {bundle.target_block}: its {len(bundle.hashes)} hashes are not those"
            f" of its {len(found)} transactions"
        )
    return found
