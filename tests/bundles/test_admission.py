"""Bundles at the door of a submitter: what is let in decides what can land."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.bundles.rig import Rig, lease_of
from toolkit.chain.signer import LocalSigner
from toolkit.model.bundle import Bundle
from toolkit.model.errors import BundleRefused
from toolkit.model.tx import SignedTransaction

Build = Callable[..., Any]
Sign = Callable[..., SignedTransaction]
Make = Callable[..., Bundle]


async def test_a_transaction_twice_is_refused(
    rig: Build, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """No block has a transaction twice, and nobody could tell such a bundle's end."""
    here: Rig = await rig(relays=1)
    one = transfer(signer)

    with pytest.raises(BundleRefused, match=f"{one.hash} twice"):
        await here.submitter.submit(bundle_of(one, one))
    await here.submitter.on_head(await here.chain.seal())

    assert [] == here.servers[0].requests


async def test_a_far_block_is_refused(
    rig: Build, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """Its nonces would be held until then, and no builder takes it."""
    here: Rig = await rig(relays=1)
    await here.submitter.on_head(await here.chain.seal())
    one = transfer(signer)

    with pytest.raises(BundleRefused, match="block 102 is 101 ahead: aim at most 100 blocks ahead"):
        here.submitter.checked(bundle_of(one, target_block=102))
    here.submitter.checked(bundle_of(one, target_block=101))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"target_block": "1"}, "target_block is '1'"),
        ({"target_block": 2**64}, "target_block is 18446744073709551616"),
        ({"min_timestamp": -1}, "min_timestamp is -1"),
        ({"max_timestamp": 2**64}, "max_timestamp is 18446744073709551616"),
        ({"replacement_nonce": 1.5, "replacement_uuid": "u"}, "replacement_nonce is 1.5"),
        ({"replacement_uuid": ""}, "replacement uuid is ''"),
        ({"replacement_uuid": 7}, "replacement uuid is 7"),
        ({"replacement_uuid": "\ud800"}, "can be printed"),
        ({"replacement_uuid": "u" * 257}, r"replacement uuid is 'u+… \(259 characters\)"),
        ({"builders": ("a\nb",)}, "name of a builder"),
        ({"builders": (b"titan",)}, "name of a builder"),
        ({"guards": ("block",)}, r"guards are \('block',\)"),
        ({"refund": 90}, "refund is 90"),
        ({"reverting_hashes": ("0x12",)}, "'0x12' is none of the bundle's transactions"),
    ],
)
async def test_what_no_relay_could_be_told_is_refused(
    rig: Build,
    signer: LocalSigner,
    transfer: Sign,
    bundle_of: Make,
    fields: dict[str, Any],
    words: str,
) -> None:
    """A field that cannot be written anywhere is named in one line; the session goes on."""
    here: Rig = await rig(relays=1)
    bundle = bundle_of(transfer(signer), **fields)

    with pytest.raises(BundleRefused, match=words) as caught:
        await here.submitter.submit(bundle)
    await here.submitter.on_head(await here.chain.seal())

    assert "\n" not in str(caught.value)
    assert [] == here.servers[0].requests
    assert [] == list(here.journal.entries())


@pytest.mark.parametrize("field", ["reverting_hashes", "dropping_hashes"])
async def test_hashes_in_capitals_are_refused(
    rig: Build, signer: LocalSigner, transfer: Sign, bundle_of: Make, field: str
) -> None:
    """A relay would read them, and we would not know the bundle in its block again."""
    here: Rig = await rig(relays=1)
    one = transfer(signer)
    bundle = msgspec.structs.replace(bundle_of(one), **{field: ("0x" + one.hash[2:].upper(),)})

    with pytest.raises(BundleRefused, match="give it as it is in hashes"):
        here.submitter.checked(bundle)


@pytest.mark.parametrize("blocks", [0, "2", True, 1.0])
async def test_blocks_are_counted(
    rig: Build,
    signer: LocalSigner,
    transfer: Sign,
    bundle_of: Make,
    blocks: Any,
) -> None:
    """What is no number of blocks is refused, and the nonces are given back."""
    here: Rig = await rig(relays=1)
    lease = lease_of(transfer(signer))
    bundle = bundle_of(*lease.signed, guards=())

    with pytest.raises(BundleRefused, match=f"in {blocks!r} blocks"):
        await here.submitter.submit(bundle, lease=lease, blocks=blocks)

    assert [lease] == [settled for settled, _ in here.lanes.results]


@pytest.mark.parametrize("droppable", ["before", "after"])
async def test_what_may_be_left_out_ties_nothing_to_its_replacement(
    rig: Build, signer: LocalSigner, transfer: Sign, bundle_of: Make, droppable: str
) -> None:
    """Two bundles whose only common nonce may be left out of one of them could both land."""
    here: Rig = await rig(relays=1)
    foreign = LocalSigner("0x" + "33" * 32)
    common, instead = transfer(signer), transfer(signer, value=2)
    before = bundle_of(
        common,
        transfer(foreign),
        replacement_uuid="u",
        dropping_hashes=(common.hash,) if droppable == "before" else (),
    )
    after = bundle_of(
        instead,
        transfer(foreign, nonce=1),
        replacement_uuid="u",
        dropping_hashes=(instead.hash,) if droppable == "after" else (),
    )
    here.relays[0].profile = msgspec.structs.replace(
        here.relays[0].profile,
        dialect=msgspec.structs.replace(
            here.relays[0].profile.dialect, dropping_field="droppingTxHashes"
        ),
    )
    await here.submitter.submit(before)

    with pytest.raises(BundleRefused, match="shares no nonce"):
        await here.submitter.submit(after)
