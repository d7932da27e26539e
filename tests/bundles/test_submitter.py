import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from tests.bundles.rig import Settled, lease_of
from toolkit.bundles.auth import RelayAuth
from toolkit.bundles.entries import BundleEnded
from toolkit.bundles.profiles import PROFILES, Dialect, Profile
from toolkit.bundles.relay import Relay
from toolkit.bundles.submitter import Submitter
from toolkit.chain.signer import LocalSigner
from toolkit.evm.simulator import BlockEnv, Call, CallResult
from toolkit.journal.log import Entry, Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.model.bundle import Bundle, Landed, MissCause, Missed
from toolkit.model.chain import Address, Head, HeadChange, Mode
from toolkit.model.errors import (
    BundleRefused,
    ConfigError,
    JournalUnavailable,
    NodeError,
    RpcError,
)
from toolkit.model.tx import SignedTransaction

Servers = Callable[[], Awaitable[Any]]
Sign = Callable[..., SignedTransaction]
Make = Callable[..., Bundle]
SINK = Address("0x" + "5e" * 20)
# Emits an empty log and returns: PUSH1 0, PUSH1 0, LOG0, STOP.
LOGGING_CODE = "0x60006000a000"


async def test_bundle_goes_everywhere_and_lands(
    rig: Any, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """All relays get the same bundle; once mined in order it is Landed, and the lease is told."""
    here = await rig()
    pair = (transfer(signer), transfer(signer, nonce=1))
    lease = lease_of(*pair)

    handle = await here.submitter.submit(bundle_of(*pair), lease=lease)
    change = await here.chain.seal(*(one.raw for one in pair))
    await here.submitter.on_head(change)
    result = await handle.wait()

    assert isinstance(result, Landed)
    receipts = await here.chain.node.receipts(change.added[0].hash)
    assert sum(one.fee_wei for one in receipts) == result.fee_wei
    assert 0 == result.tip_wei
    assert [(lease, result)] == here.lanes.results
    assert handle.done
    sent = [server.bundles for server in here.servers]
    assert sent[0] == sent[1]
    assert 1 == len(sent[0])


async def test_tip_is_what_the_builder_was_sent(
    rig: Any, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """A transfer to the block's coinbase counts as tip, priority fees do not."""
    here = await rig(relays=1)
    await here.chain.node.rpc.call("anvil_setCoinbase", [SINK])
    one = transfer(signer, to=SINK, value=12345)

    handle = await here.submitter.submit(bundle_of(one))
    await here.submitter.on_head(await here.chain.seal(one.raw))
    result = await handle.wait()

    assert isinstance(result, Landed)
    assert (SINK, 12345) == (result.builder, result.tip_wei)


async def test_body_is_signed_once_for_equal_dialects(
    rig: Any, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """Relays of one dialect get identical bytes and signature, another dialect its own."""
    odd = Profile(name="odd", host="", dialect=Dialect(uuid_field="uuid"))
    here = await rig(relays=3, profiles={2: odd})

    await here.submitter.submit(bundle_of(transfer(signer), replacement_uuid="u"))
    await asyncio.gather(*here.submitter._live[0].tasks)

    bodies = [server.bodies[0] for server in here.servers]
    headers = [server.headers[0] for server in here.servers]
    assert (bodies[0], headers[0]) == (bodies[1], headers[1])
    assert bodies[2] != bodies[0]
    assert "u" == here.servers[2].bundles[0]["uuid"]


async def test_hanging_relay_costs_the_others_nothing(
    rig: Any, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """With one relay that never answers, submitting returns on the other's word, far below the
    hanging one's deadline of an hour, and the end is told without waiting for it."""
    here = await rig(relays=2, timeouts=(3600.0, 5.0))
    here.servers[0].reply = None
    one = transfer(signer)

    handle = await here.submitter.submit(bundle_of(one))
    first = handle.answers
    await here.submitter.on_head(await here.chain.seal(one.raw))
    result = await handle.wait()

    assert [("builder1", True)] == [(answer.relay, answer.accepted) for answer in first]
    assert isinstance(result, Landed)
    assert [("builder0", False), ("builder1", True)] == [
        (answer.relay, answer.accepted) for answer in handle.answers
    ]


@pytest.mark.parametrize(
    ("reply", "accepted"),
    [
        ((200, '{"result": null}'), True),
        ((200, '{"result": 200}'), True),
        ((200, '"ok"'), True),
        ((500, "oops"), False),
        ((502, "<html></html>"), False),
        ((200, "<html></html>"), False),
        ((400, '{"error":"unable to decode txs"}'), False),
        ((429, ""), False),
    ],
)
async def test_every_kind_of_answer_is_one(
    rig: Any,
    signer: LocalSigner,
    transfer: Sign,
    bundle_of: Make,
    reply: tuple[int, str],
    accepted: bool,  # noqa: FBT001 - a parameter of the table above
) -> None:
    """Whatever a relay says is an answer with its words, and never an exception of submit."""
    here = await rig(relays=1)
    here.servers[0].reply = reply if reply[1] else (reply[0], "slow down")

    handle = await here.submitter.submit(bundle_of(transfer(signer)))

    assert [accepted] == [answer.accepted for answer in handle.answers]
    assert accepted or handle.answers[0].why


async def test_parallel_submissions_report_their_own_end(
    rig: Any, transfer: Sign, bundle_of: Make
) -> None:
    """Of 200 bundles sent at once, those that were mined land and the others miss, each by name."""
    signers = [LocalSigner(f"0x{number:064x}") for number in range(1, 201)]
    here = await rig(relays=1, own=frozenset(one.address for one in signers))
    await here.chain.fund(*(one.address for one in signers))
    transactions = [transfer(one) for one in signers]

    handles = await asyncio.gather(*(here.submitter.submit(bundle_of(one)) for one in transactions))
    mined = transactions[::2]
    await here.submitter.on_head(await here.chain.seal(*(one.raw for one in mined)))
    results = [await handle.wait() for handle in handles]

    assert [one.hash for one in transactions] == [result.tx_hash for result in results]
    assert [index % 2 == 0 for index in range(200)] == [
        isinstance(result, Landed) for result in results
    ]
    statistics = here.submitter.statistics()
    assert (200, 0, 100) == (statistics.submitted, statistics.live, statistics.landed)
    assert {"unknown": 100} == statistics.missed


async def test_journal_has_both_ends_and_no_bytes(
    rig: Any, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """What is sent is durable before the first byte leaves, its end after; raw bytes never are."""
    here = await rig(relays=1)
    one = transfer(signer)
    seen: list[list[str]] = []

    def watch(_: dict[str, Any]) -> tuple[int, str]:
        seen.append([entry.kind for entry in here.journal.entries()])
        return 0, ""

    here.servers[0].reply = watch

    handle = await here.submitter.submit(bundle_of(one), lease=lease_of(one))
    await here.submitter.on_head(await here.chain.seal())
    await handle.wait()

    entries: list[Entry] = list(here.journal.entries())
    assert [["bundle_submitted"]] == seen
    assert ["bundle_submitted", "bundle_result"] == [entry.kind for entry in entries]
    assert entries[0].seq == entries[1].cause
    assert not [entry for entry in entries if one.raw[4:40].encode() in entry.data]
    ended = here.journal.decode(entries[1], BundleEnded)
    assert await handle.wait() == ended.result


class FullDisk(MemoryBackend):
    """A store that cannot be written."""

    def write(self, entries: Any) -> None:  # noqa: ARG002 - the seam
        raise JournalUnavailable("disk full")


async def test_nothing_leaves_without_the_journal(
    rig: Any, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """If the entry cannot be made durable, no relay hears of the bundle."""
    here = await rig(relays=1, backend=FullDisk())

    with pytest.raises(JournalUnavailable):
        await here.submitter.submit(bundle_of(transfer(signer)))

    assert [] == here.servers[0].requests
    assert 0 == here.submitter.statistics().live


async def test_a_replacement_that_was_never_sent_replaces_nothing(
    rig: Any, signer: LocalSigner, transfer: Sign, bundle_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be journalled is gone, and what it was to replace is tried on."""
    here = await rig(relays=1)
    first = bundle_of(transfer(signer), guards=(), replacement_uuid="u")
    handle = await here.submitter.submit(first, blocks=2)

    def fail(*_: object, **__: object) -> None:
        raise ValueError("no such form")

    with monkeypatch.context() as patch:
        patch.setattr(here.journal, "append", fail)
        with pytest.raises(ValueError, match="no such form"):
            await here.submitter.submit(
                bundle_of(transfer(signer, value=2), guards=(), replacement_uuid="u")
            )
    await here.submitter.on_head(await here.chain.seal())

    assert not handle.done
    assert ["0x1", "0x2"] == [sent["blockNumber"] for sent in here.servers[0].bundles]


async def test_contradicting_bundle_is_refused_and_its_lease_freed(
    rig: Any, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """While a bundle is live, its nonce cannot be promised to other bytes; afterwards it can."""
    here = await rig(relays=1)
    first, second = transfer(signer), transfer(signer, value=2)
    handle = await here.submitter.submit(bundle_of(first))
    lease = lease_of(second, target_block=2)

    with pytest.raises(BundleRefused, match="contradicts it"):
        await here.submitter.submit(bundle_of(second, target_block=2), lease=lease)
    refused = here.lanes.results[-1]
    await here.submitter.on_head(await here.chain.seal())
    await handle.wait()
    again = await here.submitter.submit(bundle_of(second, target_block=2), lease=lease)

    assert lease == refused[0]
    assert isinstance(refused[1], Missed)
    assert MissCause.CANCELLED == refused[1].cause
    assert not again.done
    assert 2 == len(here.servers[0].bundles)


async def test_replacement_may_contradict_what_it_replaces(
    rig: Any, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """The same replacement uuid tells relays to drop the other: no contradiction."""
    here = await rig(relays=1)

    await here.submitter.submit(bundle_of(transfer(signer), replacement_uuid="u"))
    await here.submitter.submit(bundle_of(transfer(signer, value=2), replacement_uuid="u"))

    assert 2 == here.submitter.statistics().live


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"guards": ()}, "has no guard"),
        ({"target_block": 0}, "known already"),
        ({"hashes": ("0x" + "00" * 32,) * 2}, "are not those"),
        ({"transactions": ("0xc0", "0xzz")}, "raw transaction"),
        ({"transactions": (), "hashes": ()}, "0 transactions"),
    ],
)
async def test_what_is_refused_is_not_sent(
    rig: Any,
    signer: LocalSigner,
    transfer: Sign,
    bundle_of: Make,
    fields: dict[str, Any],
    words: str,
) -> None:
    """Unguarded, late, mislabelled or garbled bundles are refused before any relay hears."""
    here = await rig(relays=1)
    bundle = bundle_of(transfer(signer), transfer(signer, nonce=1))

    with pytest.raises(BundleRefused, match=words):
        await here.submitter.submit(msgspec.structs.replace(bundle, **fields))

    assert [] == here.servers[0].requests
    assert [] == list(here.journal.entries())


async def test_sandwich_of_two_own_keys_is_refused(
    rig: Any, signer: LocalSigner, other_signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """Own keys on both sides of a foreign transaction are refused, also those added later."""
    foreign = LocalSigner("0x" + "33" * 32)
    here = await rig(relays=1)
    here.submitter.add_own({other_signer.address})
    bundle = bundle_of(transfer(signer), transfer(foreign), transfer(other_signer))

    with pytest.raises(BundleRefused, match="both sides"):
        await here.submitter.submit(bundle)

    assert [] == here.servers[0].requests


async def test_several_blocks_are_tried_with_the_same_bytes(
    rig: Any, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """A missed bundle goes out again for the next block, up to the last, as one handle."""
    here = await rig(relays=1)
    one = transfer(signer)
    bundle = bundle_of(one, guards=())

    handle = await here.submitter.submit(bundle, blocks=3, lease=lease_of(one, target_block=3))
    await here.submitter.on_head(await here.chain.seal())
    await here.submitter.on_head(await here.chain.seal())
    between = handle.done
    await here.submitter.on_head(await here.chain.seal(one.raw))
    result = await handle.wait()

    assert not between
    assert isinstance(result, Landed)
    assert ["0x1", "0x2", "0x3"] == [sent["blockNumber"] for sent in here.servers[0].bundles]
    with pytest.raises(BundleRefused, match="sign one"):
        await here.submitter.submit(bundle_of(one, target_block=4), blocks=2)
    with pytest.raises(BundleRefused, match="known already"):
        await here.submitter.submit(bundle)


async def test_lease_must_reach_the_last_block(
    rig: Any, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """Nonces that are free again before the last try could be spent twice: refused."""
    here = await rig(relays=1)
    one = transfer(signer)

    with pytest.raises(BundleRefused, match="leased until block 1"):
        await here.submitter.submit(bundle_of(one, guards=()), blocks=2, lease=lease_of(one))


async def test_missed_bundle_is_explained_from_the_chain(
    rig: Any, signer: LocalSigner, other_signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """A stranger who used the same contract and sent the builder more is named with both values."""
    here = await rig(relays=1)
    await here.chain.fund(other_signer.address)
    await here.chain.node.rpc.call("anvil_setCode", [SINK, LOGGING_CODE])
    await here.chain.node.rpc.call("anvil_setCoinbase", [SINK])
    mine = transfer(signer, to=SINK, gas=60_000)
    rival = transfer(other_signer, to=SINK, value=10**15, gas=60_000)

    handle = await here.submitter.submit(bundle_of(mine), touches={SINK}, bid_wei=7)
    change = await here.chain.seal(rival.raw)
    await here.submitter.on_head(change)
    result = await handle.wait()

    mined = await here.chain.node.receipt(rival.hash)
    base_fee = change.added[0].base_fee_per_gas
    paid = 10**15 + mined.gas_used * (mined.effective_gas_price - base_fee)
    assert isinstance(result, Missed)
    assert (MissCause.OUTBID_CONFLICT, rival.hash) == (result.cause, result.rival)
    assert f"{paid} wei" in result.evidence
    assert "offered 7 wei" in result.evidence


async def test_spent_nonce_is_read_from_the_chain(
    rig: Any, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """Another transaction at our nonce in the target block is the cause, by its hash."""
    here = await rig(relays=1)
    other = transfer(signer, value=2)

    handle = await here.submitter.submit(bundle_of(transfer(signer)))
    await here.submitter.on_head(await here.chain.seal(other.raw))
    result = await handle.wait()

    assert isinstance(result, Missed)
    assert (MissCause.NONCE_USED, other.hash) == (result.cause, result.rival)


class Failing:
    """A simulator in which the first transaction always reverts; it remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[list[Call], Head, BlockEnv]] = []

    async def simulate(
        self, transactions: Any, *, parent: Head, env: BlockEnv
    ) -> tuple[CallResult, ...]:
        self.asked.append((list(transactions), parent, env))
        failed = CallResult(succeeded=False, output="0x", gas_used=1, reason="too little out")
        fine = CallResult(succeeded=True, output="0x", gas_used=1)
        return (failed, *[fine] * (len(transactions) - 1))


class Simple:
    """A node's connection that cannot run whole blocks again."""

    def __init__(self, rpc: Any) -> None:
        self.rpc = rpc

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rpc, name)

    async def call(self, method: str, params: Any) -> Any:
        if method == "eth_simulateV1":
            raise RpcError(-32601, "Method not found")
        return await self.rpc.call(method, params)


async def test_missed_bundle_is_run_on_the_parent(
    rig: Any, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """Where only a simulator can, it tells a miss that fails on the state before its block, with
    the reason; a transaction that was allowed to revert is no reason."""
    simulator = Failing()
    here = await rig(relays=1, simulator=simulator)
    here.chain.node.rpc = Simple(here.chain.node.rpc)
    one = transfer(signer)
    parent = await here.chain.node.head()

    handle = await here.submitter.submit(bundle_of(one))
    await here.submitter.on_head(change := await here.chain.seal())
    result = await handle.wait()
    allowed = await here.submitter.submit(
        bundle_of(one, target_block=2, reverting_hashes=(one.hash,))
    )
    await here.submitter.on_head(await here.chain.seal())
    other = await allowed.wait()

    assert isinstance(result, Missed)
    assert isinstance(other, Missed)
    assert MissCause.REVERTED_SIM == result.cause
    assert "too little out" in result.evidence
    calls, on, env = simulator.asked[0]
    assert ([(one.sender, one.unsigned)], parent) == (calls, on)
    assert change.added[0].base_fee_per_gas == env.base_fee_per_gas
    assert MissCause.REVERTED_SIM != other.cause


async def test_unreadable_chain_leaves_the_bundle_live(
    rig: Any, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """If the block cannot be read the error is raised, and the same head again ends the bundle."""
    here = await rig(relays=1)
    one = transfer(signer)
    handle = await here.submitter.submit(bundle_of(one))
    change = await here.chain.seal(one.raw)
    wrong = msgspec.structs.replace(change.added[0], hash="0x" + "12" * 32)

    with pytest.raises(NodeError):
        await here.submitter.on_head(HeadChange(added=(wrong,)))
    before = handle.done
    await here.submitter.on_head(change)

    assert not before
    assert isinstance(await handle.wait(), Landed)


async def test_head_that_was_jumped_over_is_read(
    rig: Any, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """If the target block is not among the heads told, it is asked for by number."""
    here = await rig(relays=1)
    one = transfer(signer)
    handle = await here.submitter.submit(bundle_of(one))
    await here.chain.seal(one.raw)

    await here.submitter.on_head(await here.chain.seal())

    assert isinstance(await handle.wait(), Landed)


async def test_relay_names_are_unique(chain: Any, signer: LocalSigner) -> None:
    """Two relays of one name could not be told apart in the journal; none at all sends nothing."""
    auth = RelayAuth(signer)
    twins = [Relay("http://127.0.0.1:1", auth=auth) for _ in range(2)]
    fields: dict[str, Any] = {
        "node": chain.node,
        "scheduler": Settled(),
        "journal": Journal(MemoryBackend()),
        "mode": Mode.DEV,
        "own": frozenset(),
    }

    with pytest.raises(ConfigError, match=PROFILES["devnet"].name):
        Submitter(twins, **fields)
    await fields["journal"].close()


async def test_no_relays_no_bundles(
    rig: Any, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """Without relays a bundle is refused instead of being waited for in vain."""
    here = await rig(relays=0)

    with pytest.raises(BundleRefused, match="no relays"):
        await here.submitter.submit(bundle_of(transfer(signer)))
