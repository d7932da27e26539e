"""Bundles that are under way, in this process or when an earlier one with this journal ended."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import msgspec

from toolkit.bundles.entries import (
    CANCELLED,
    NEWEST,
    RESULT,
    SUBMITTED,
    BundleEnded,
    BundleSubmitted,
    restored,
)
from toolkit.bundles.evidence import RelayAnswer, Submission
from toolkit.bundles.fanout import Answering, answers_so_far
from toolkit.bundles.tracker import REORG_BLOCKS, Ended
from toolkit.journal.log import Journal
from toolkit.model.bundle import BundleResult, Landed
from toolkit.model.chain import Address, Hash
from toolkit.tx.handle import BundleLease

WATCHED_BLOCKS = 64
"""What was meant for an older block is not followed by the next process: no reorg reaches it."""


class Apart(Protocol):
    """What keeps lanes apart from what others may spend of their nonces."""

    def under_way(self, account: Address, nonce: int) -> int:
        """How much of its own an account has under way that this nonce could be meant for."""
        ...


class Lanes(Protocol):
    """The part of the transaction scheduler that owns the nonces of bundles."""

    async def settle_bundle(self, lease: BundleLease, result: BundleResult) -> None:
        """Mark a lease's nonces as spent or free again."""
        ...

    def live_lease(self, lease_id: str) -> BundleLease | None:
        """A lease whose nonces are still held, also by a former process; None if there is none."""
        ...

    def spenders(self, sender: Address, nonce: int) -> frozenset[Hash] | None:
        """What was signed for a nonce that is held; None of an account that has no lane here."""
        ...

    @property
    def delegations(self) -> Apart:
        """What others may spend of their nonces."""
        ...


@dataclass(slots=True, eq=False, kw_only=True)
class Live:
    """A bundle from its journal entry to its end; the submitter alone changes it.

    `asked` once its relays are being asked, or nobody will ask them any more; `withdrawn` when it
    is not to be tried in further blocks; `end` is what its present block made of it, journalled
    and perhaps not told yet; `ended` follows what was told.
    """

    submission: Submission
    lease: BundleLease | None
    last_block: int
    result: asyncio.Future[BundleResult]
    tasks: tuple[Answering, ...] = ()
    journal_seq: int = 0
    asked: bool = False
    withdrawn: bool = False
    end: BundleResult | None = None
    ended: Ended | None = None

    @property
    def target_block(self) -> int:
        """The block that is tried now."""
        return self.submission.bundle.target_block

    @property
    def uuid(self) -> str | None:
        """What relays replace it by."""
        return self.submission.bundle.replacement_uuid

    @property
    def answers(self) -> tuple[RelayAnswer, ...]:
        """What the relays have said so far about this block."""
        return self.submission.answers or answers_so_far(self.tasks)

    @property
    def is_refused(self) -> bool:
        """Whether nobody has it, nor will: every relay said no to its last block."""
        last = self.withdrawn or self.target_block == self.last_block
        if not self.asked or not last or not self.tasks:
            return False
        said = answers_so_far(self.tasks)
        return len(said) == len(self.tasks) and not any(one.accepted or one.unsure for one in said)


class Told(NamedTuple):
    """An end that an earlier process told, and where the bundle first landed, if it did."""

    submission: Submission
    result: BundleResult
    landed: Landed | None
    journal_seq: int

    @property
    def block_number(self) -> int:
        """The block that decided."""
        result = self.result
        return result.block_number if isinstance(result, Landed) else result.target_block


def recovered(
    journal: Journal, lanes: Lanes, *, own: frozenset[Address], newest: int
) -> tuple[list[Live], list[Told]]:
    """Return what an earlier process sent, oldest first: without an end, and with its last end.

    Of what the lanes signed alone the bytes are known, so that it can be tried in its further
    blocks; of anything else this block decides. Nobody knows what the relays had answered. Ends
    are those that a reorg may still take back.

    Args:
        journal: of both processes.
        lanes: already recovered.
        own: every account of ours.
        newest: head that is known.

    Raises:
        JournalCorrupt: an entry cannot be read.
    """
    last = journal.find(NEWEST)
    if last is None:
        return [], []
    since = journal.decode(last, BundleSubmitted).since or last.seq
    sent: dict[int, BundleSubmitted] = {}
    cancelled: set[int] = set()
    ends: dict[int, list[BundleEnded]] = {}
    for entry in journal.entries(SUBMITTED, CANCELLED, RESULT, after=since - 1):
        if entry.kind == SUBMITTED:
            sent[entry.seq] = journal.decode(entry, BundleSubmitted)
        elif entry.kind == CANCELLED:
            cancelled.add(entry.cause or 0)
        else:
            ends.setdefault(entry.cause or 0, []).append(journal.decode(entry, BundleEnded))
    found = [
        _live(seq, entry, lanes, own, cancelled=seq in cancelled)
        for seq, entry in sent.items()
        if seq not in ends and entry.claims and entry.target_block + WATCHED_BLOCKS >= newest
    ]
    for place, one in enumerate(found):
        replaced = one.uuid is not None and one.uuid in {later.uuid for later in found[place + 1 :]}
        one.withdrawn = one.withdrawn or replaced
    last_tries = {entry.bundle_hash: seq for seq, entry in sent.items()}
    told = [
        _told(seq, sent[seq], ends[seq], own, cancelled=seq in cancelled)
        for seq in last_tries.values()
        if seq in ends and sent[seq].claims
    ]
    return found, [one for one in told if one.block_number + REORG_BLOCKS > newest]


def _told(
    seq: int,
    entry: BundleSubmitted,
    ends: Sequence[BundleEnded],
    own: frozenset[Address],
    *,
    cancelled: bool,
) -> Told:
    submission = restored(entry, own=own, signed={}, cancelled=cancelled)
    landed = (one.result for one in ends if isinstance(one.result, Landed))
    return Told(
        submission=msgspec.structs.replace(submission, answers=ends[-1].answers),
        result=ends[-1].result,
        landed=next(landed, None),
        journal_seq=seq,
    )


def _live(
    seq: int, entry: BundleSubmitted, lanes: Lanes, own: frozenset[Address], *, cancelled: bool
) -> Live:
    lease = None if entry.lease_id is None else lanes.live_lease(entry.lease_id)
    signed = {one.hash: one for one in lease.signed} if lease else {}
    submission = restored(entry, own=own, signed=signed, cancelled=cancelled)
    whole = lease is not None and all(submission.bundle.transactions)
    answers = tuple(
        RelayAnswer(
            relay=name,
            accepted=False,
            head_number=0,
            why=f"the process ended before {name} was heard",
            unsure=True,
        )
        for name in entry.relays
    )
    return Live(
        submission=msgspec.structs.replace(submission, answers=answers),
        lease=lease,
        last_block=entry.last_block if whole else entry.target_block,
        result=asyncio.get_running_loop().create_future(),
        journal_seq=seq,
        asked=True,
        withdrawn=cancelled,
    )
