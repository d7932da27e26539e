"""A submitter that dies: what the next one with the same journal knows and does."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.bundles.rig import Rig, lease_of
from toolkit.bundles.entries import BundleEnded, BundleSubmitted
from toolkit.bundles.live import WATCHED_BLOCKS
from toolkit.bundles.tracker import REORG_BLOCKS
from toolkit.chain.signer import LocalSigner
from toolkit.journal.memory import MemoryBackend
from toolkit.model.bundle import Bundle, BundleResult, Landed, MissCause, Missed
from toolkit.model.chain import HeadChange
from toolkit.model.errors import BundleRefused, JournalUnavailable, LaneHalted, RelayRejected
from toolkit.model.tx import SignedTransaction

Build = Callable[..., Any]
Sign = Callable[..., SignedTransaction]
Make = Callable[..., Bundle]


async def test_a_live_bundle_outlives_its_process(
    rig: Build, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """The next process refuses what contradicts it, tells its end and frees its nonces."""
    here: Rig = await rig(relays=1)
    one, other = transfer(signer), transfer(signer, value=2)
    here.lanes.leases["lease-1"] = lease = lease_of(one)
    await here.submitter.submit(bundle_of(one), lease=lease)

    (found,) = await here.restart()
    with pytest.raises(BundleRefused, match="contradicts it"):
        await here.submitter.submit(bundle_of(other))
    await here.submitter.on_head(await here.chain.seal(one.raw))
    result = await found.wait()

    assert isinstance(result, Landed)
    assert [(lease, result)] == here.lanes.results
    entries = list(here.journal.entries("bundle_submitted", "bundle_result"))
    assert ["bundle_submitted", "bundle_result"] == [entry.kind for entry in entries]
    assert entries[0].seq == entries[1].cause
    assert () == await here.restart()


async def test_a_process_that_ends_tells_no_end(
    rig: Build, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """Whoever waits, or comes later, hears that the session is closed, not that it was cancelled
    itself; the end is not known."""
    here: Rig = await rig(relays=1)
    handle = await here.submitter.submit(bundle_of(transfer(signer)))
    waiting = asyncio.create_task(handle.wait(confirmations=1))
    await asyncio.sleep(0)

    await here.submitter.close()

    for wait in (waiting, handle.wait()):
        with pytest.raises(LaneHalted, match="the session is closed"):
            await wait
    assert (False, None) == (handle.done, handle.result)


async def test_nobody_knows_what_relays_had_answered(
    rig: Build, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """After a restart each relay may have the bundle; none is said to have refused it."""
    here: Rig = await rig(relays=2)
    here.servers[0].reply = (400, "no")
    await here.submitter.submit(bundle_of(transfer(signer), replacement_uuid="u"))

    (found,) = await here.restart()
    here.servers[0].reply = (200, '{"result": []}')
    here.servers[1].reply = (200, '{"result": []}')

    assert [True, True] == [answer.unsure for answer in found.answers]
    assert ("builder0", "builder1") == await found.cancel()


async def test_a_relay_that_is_gone_may_have_it_too(
    rig: Build, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """One that is configured no more cannot be asked for it, and is named."""
    here: Rig = await rig(relays=2)
    await here.submitter.submit(bundle_of(transfer(signer), replacement_uuid="u"))
    del here.relays[1]

    (found,) = await here.restart()

    assert ("builder1",) == await found.cancel()


async def test_what_the_lanes_signed_is_tried_in_its_further_blocks(
    rig: Build, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """The bytes are in the lease; one block is told as missed, the next gets the same bundle."""
    here: Rig = await rig(relays=1)
    one = transfer(signer)
    here.lanes.leases["lease-1"] = lease = lease_of(one, target_block=2)
    await here.submitter.submit(bundle_of(one, guards=()), lease=lease, blocks=2)

    (found,) = await here.restart()
    await here.submitter.on_head(await here.chain.seal())
    between = found.done
    await here.submitter.on_head(await here.chain.seal(one.raw))

    assert not between
    assert isinstance(await found.wait(), Landed)
    assert ["0x1", "0x2"] == [sent["blockNumber"] for sent in here.servers[0].bundles]
    assert here.servers[0].bundles[0]["txs"] == here.servers[0].bundles[1]["txs"]


class Stage:
    """A simulator that nobody should ask."""

    async def simulate(self, transactions: Any, **_: Any) -> Any:
        raise AssertionError(f"{len(transactions)} transactions without bytes were run")


async def test_what_others_signed_ends_with_its_block(
    rig: Build, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """The journal has no bytes of a foreign transaction, so that nobody can send or run them."""
    here: Rig = await rig(relays=1, simulator=Stage())
    one, foreign = transfer(signer), transfer(LocalSigner("0x" + "33" * 32))
    here.lanes.leases["lease-1"] = lease = lease_of(one, target_block=2)
    bundle = bundle_of(foreign, one, guards=())
    await here.submitter.submit(bundle, lease=lease, blocks=2, guards_waived=True)

    (found,) = await here.restart()
    await here.submitter.on_head(await here.chain.seal())
    result = await found.wait()

    assert isinstance(result, Missed)
    assert MissCause.UNKNOWN is result.cause
    assert "no relay is known to have taken it" in result.evidence
    assert [(lease, result)] == here.lanes.results
    assert 1 == len(here.servers[0].bundles)
    assert not [e for e in here.journal.entries() if foreign.raw[4:40].encode() in e.data]


@pytest.mark.parametrize("confirmed", [True, False])
async def test_what_was_taken_back_is_not_tried_again(
    rig: Build,
    signer: LocalSigner,
    transfer: Sign,
    bundle_of: Make,
    confirmed: bool,  # noqa: FBT001 - a parameter
) -> None:
    """The wish is durable before a relay is asked, and holds whatever they answer."""
    here: Rig = await rig(relays=1)
    one = transfer(signer)
    here.lanes.leases["lease-1"] = lease = lease_of(one, target_block=3)
    bundle = bundle_of(one, guards=(), replacement_uuid="u")
    handle = await here.submitter.submit(bundle, lease=lease, blocks=3)
    if confirmed:
        await handle.cancel()
    else:
        here.servers[0].reply = (200, '{"error": {"message": "unknown bundle"}}')
        with pytest.raises(RelayRejected):
            await handle.cancel()
        here.servers[0].reply = (0, "")

    (found,) = await here.restart()
    await here.submitter.on_head(await here.chain.seal())
    result = await found.wait()

    assert isinstance(result, Missed)
    assert MissCause.CANCELLED is result.cause
    assert 1 == len(here.servers[0].bundles)


@pytest.mark.parametrize("restarts", [True, False])
async def test_what_was_replaced_is_not_tried_again(
    rig: Build,
    signer: LocalSigner,
    transfer: Sign,
    bundle_of: Make,
    restarts: bool,  # noqa: FBT001 - a parameter
) -> None:
    """Sent again for the next block it would take the place of what replaced it."""
    here: Rig = await rig(relays=1)
    one, other = transfer(signer), transfer(signer, value=2)
    for number, tx in enumerate((one, other)):
        lease = msgspec.structs.replace(lease_of(tx, target_block=2), lease_id=f"l{number}")
        here.lanes.leases[lease.lease_id] = lease
        bundle = bundle_of(tx, guards=(), replacement_uuid="u")
        await here.submitter.submit(bundle, lease=lease, blocks=2)

    first, second = await here.restart() if restarts else here.submitter.handles()
    await here.submitter.on_head(await here.chain.seal())

    assert (True, False) == (first.done, second.done)
    assert [[one.raw], [other.raw], [other.raw]] == [b["txs"] for b in here.servers[0].bundles]


async def test_a_journal_is_read_from_the_oldest_open_bundle_on(
    rig: Build, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """Each submission says where that is, so that a restart reads little of a long journal."""
    here: Rig = await rig(relays=1)
    for nonce in range(3):
        await here.submitter.submit(bundle_of(transfer(signer, nonce=nonce)))
    await here.submitter.on_head(await here.chain.seal())
    await here.submitter.submit(bundle_of(transfer(signer, nonce=3), target_block=2))
    for _ in range(1 + REORG_BLOCKS):
        await here.submitter.on_head(await here.chain.seal())
    await here.submitter.submit(bundle_of(transfer(signer, nonce=4), target_block=6))
    entries = list(here.journal.entries("bundle_submitted"))
    since = [here.journal.decode(one, BundleSubmitted).since for one in entries]

    (found,) = await here.restart()

    # Behind three blocks nobody takes an end back, so that nobody has to read so far.
    assert [0, entries[0].seq, entries[0].seq, entries[0].seq, 0] == since
    assert 6 == found.target_block


async def test_a_bundle_of_long_ago_is_not_followed(
    rig: Build, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """No node has to remember so much for a session to open."""
    here: Rig = await rig(relays=1)
    await here.submitter.submit(bundle_of(transfer(signer)))
    await here.chain.node.rpc.call("anvil_mine", [hex(WATCHED_BLOCKS + 1)])
    last = await here.restart()
    await here.chain.node.rpc.call("anvil_mine", ["0x1"])

    assert 1 == len(last)
    assert () == await here.restart()


async def test_a_submission_that_is_cut_off_holds_no_nonce_for_ever(
    rig: Build,
    signer: LocalSigner,
    transfer: Sign,
    bundle_of: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever gives up in the middle leaves a bundle that ends with its block."""
    here: Rig = await rig(relays=1)
    signing, never = asyncio.Event(), asyncio.Event()

    async def seal_bundle(_: Bundle) -> Any:
        signing.set()
        await never.wait()

    monkeypatch.setattr(here.relays[0], "seal_bundle", seal_bundle)
    task = asyncio.create_task(here.submitter.submit(bundle_of(transfer(signer))))
    await signing.wait()
    await here.submitter.on_head(await here.chain.seal())
    before = here.submitter.statistics().live
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await here.submitter.on_head(await here.chain.seal())
    (entry,) = here.journal.entries("bundle_result")

    assert (1, 0) == (before, here.submitter.statistics().live)
    result = here.journal.decode(entry, BundleEnded).result
    assert isinstance(result, Missed)
    assert MissCause.WRONG_BUILDER is result.cause


async def test_an_end_and_the_next_try_are_durable_together(
    rig: Build,
    signer: LocalSigner,
    transfer: Sign,
    bundle_of: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Dead between the two, a process would forget the blocks that were left."""
    here: Rig = await rig(relays=1)
    one = transfer(signer)
    here.lanes.leases["lease-1"] = lease = lease_of(one, target_block=3)
    await here.submitter.submit(bundle_of(one, guards=()), lease=lease, blocks=3)
    writes: list[list[str]] = []
    write = here.backend.write

    def watched(entries: Any) -> None:
        writes.append([entry.kind for entry in entries])
        write(entries)

    monkeypatch.setattr(here.backend, "write", watched)
    await here.submitter.on_head(await here.chain.seal())

    assert [["bundle_result", "bundle_submitted"]] == writes


@pytest.mark.parametrize("cut", ["submitting", "ending", "trying again"])
async def test_whoever_is_cut_off_while_it_is_written_is_gone_on_for(
    rig: Build,
    signer: LocalSigner,
    transfer: Sign,
    bundle_of: Make,
    monkeypatch: pytest.MonkeyPatch,
    cut: str,
) -> None:
    """Each try has one end in the journal, and the last one is told."""
    here: Rig = await rig(relays=1)
    one = transfer(signer)
    blocks = 2 if cut == "trying again" else 1
    lease = lease_of(one, target_block=blocks)
    submitting = here.submitter.submit(bundle_of(one, guards=()), lease=lease, blocks=blocks)
    if cut != "submitting":
        await submitting
    with monkeypatch.context() as patch:
        patch.setattr(here.journal, "commit", asyncio.Event().wait)
        change = await here.chain.seal() if cut != "submitting" else None
        call = submitting if change is None else here.submitter.on_head(change)
        task = asyncio.ensure_future(call)
        while not task.done():
            await asyncio.sleep(0)
            if len(list(here.journal.entries())) > (0 if change is None else 1):
                task.cancel()
    (handle,) = here.submitter.handles()
    for _ in range(blocks):
        await here.submitter.on_head(change or await here.chain.seal())
        change = None
    result = await handle.wait()
    kinds = [entry.kind for entry in here.journal.entries()]

    assert isinstance(result, Missed)
    assert ["bundle_submitted", "bundle_result"] * blocks == kinds
    assert 0 == here.submitter.statistics().live


def results(here: Rig) -> list[BundleResult]:
    """All ends that the journal has, in order."""
    entries = here.journal.entries("bundle_result")
    return [here.journal.decode(one, BundleEnded).result for one in entries]


@pytest.mark.parametrize("down", [True, False])
async def test_an_end_is_followed_on_by_the_next_process(
    rig: Build,
    signer: LocalSigner,
    transfer: Sign,
    bundle_of: Make,
    down: bool,  # noqa: FBT001 - a parameter
) -> None:
    """A reorg takes back what an earlier process told as landed, before the restart's end or
    after it, and the journal says so."""
    here: Rig = await rig(relays=1)
    one = transfer(signer)
    await here.submitter.submit(bundle_of(one))
    await here.submitter.on_head(await here.chain.seal(one.raw))
    before = await here.chain.node.head()

    if not down:
        await here.restart()
    await here.chain.node.rpc.call("anvil_rollback", [1])
    change = await here.chain.seal()
    if down:
        await here.restart()
    reverted = () if down else (before,)
    landed = here.submitter.statistics().landed
    await here.submitter.on_head(HeadChange(reverted=reverted, added=change.added))

    first, last = results(here)
    assert isinstance(first, Landed)
    assert isinstance(last, Missed)
    assert MissCause.REORGED is last.cause
    assert first.block_hash in last.evidence
    statistics = here.submitter.statistics()
    assert (1, 0, {"reorged": 1}) == (landed, statistics.landed, statistics.missed)


async def test_what_lands_in_pieces_while_nobody_looks_is_told(
    rig: Build, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """Blocks between an end and the next process are looked through too, and its further ones."""
    here: Rig = await rig(relays=1)
    one, other = transfer(signer), transfer(signer, nonce=1)
    await here.submitter.submit(bundle_of(one, other), lease=lease_of(one, other))
    await here.submitter.on_head(await here.chain.seal())
    await here.chain.seal(one.raw)
    change = await here.chain.seal()

    await here.restart()
    await here.submitter.on_head(change)

    first, last = results(here)
    assert isinstance(first, Missed)
    assert isinstance(last, Missed)
    assert (MissCause.UNKNOWN, MissCause.PARTIAL) == (first.cause, last.cause)
    assert "block 2 has 1 of our 2" in last.evidence


async def test_an_end_that_is_deep_or_was_tried_on_is_let_go(
    rig: Build, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """Three blocks are no reorg's any more; and of several tries the last one has the end."""
    here: Rig = await rig(relays=1)
    one = transfer(signer)
    lease = lease_of(one, target_block=2)
    await here.submitter.submit(bundle_of(one, guards=()), lease=lease, blocks=2)
    await here.submitter.on_head(await here.chain.seal())
    await here.submitter.on_head(await here.chain.seal(one.raw))
    watched = []
    for _ in range(REORG_BLOCKS + 1):
        await here.restart()
        watched.append([type(each.result) for each in here.submitter._tracker.watched])
        await here.chain.seal()

    assert [*[[Landed]] * REORG_BLOCKS, []] == watched
    assert 2 == len(results(here))


async def test_what_a_reorg_took_back_may_land_again_for_the_next_process(
    rig: Build, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """Whole in another block: whoever had it put it there, and it is told as landed once more."""
    here: Rig = await rig(relays=1)
    one = transfer(signer)
    await here.submitter.submit(bundle_of(one))
    await here.submitter.on_head(await here.chain.seal(one.raw))
    before = await here.chain.node.head()
    await here.chain.node.rpc.call("anvil_rollback", [1])
    instead = await here.chain.seal()
    await here.submitter.on_head(HeadChange(reverted=(before,), added=instead.added))

    await here.restart()
    await here.submitter.on_head(await here.chain.seal(one.raw))

    told = results(here)
    assert [Landed, Missed, Landed] == [type(each) for each in told]
    assert isinstance(told[-1], Landed)
    assert 2 == told[-1].block_number


class Filling(MemoryBackend):
    """A store with room for so many writes."""

    def __init__(self) -> None:
        super().__init__()
        self.room = 1

    def write(self, entries: Any) -> None:
        if not self.room:
            raise JournalUnavailable("disk full")
        self.room -= 1
        super().write(entries)


async def test_a_full_disk_sends_no_further_try_and_tells_no_end(
    rig: Build, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """What cannot be written has not happened; a withdrawal goes out all the same, and with room
    the next process goes on where the journal ends."""
    backend = Filling()
    here: Rig = await rig(relays=1, backend=backend)
    one = transfer(signer)
    here.lanes.leases["lease-1"] = lease = lease_of(one, target_block=3)
    bundle = bundle_of(one, guards=(), replacement_uuid="u")
    handle = await here.submitter.submit(bundle, lease=lease, blocks=3)
    with pytest.raises(JournalUnavailable):
        await here.submitter.on_head(await here.chain.seal())
    await handle.cancel()
    told, settled = handle.done, list(here.lanes.results)
    asked = [each["method"] for each in here.servers[0].requests]

    backend.room = 100
    (found,) = await here.restart()
    first = found.target_block
    await here.submitter.on_head(HeadChange(added=(await here.chain.node.head(),)))

    assert (False, []) == (told, settled)
    assert ["eth_sendBundle", "eth_cancelBundle"] == asked
    assert (1, 2) == (first, found.target_block)
    assert ["0x1", "0x2"] == [sent["blockNumber"] for sent in here.servers[0].bundles]
