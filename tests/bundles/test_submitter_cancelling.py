"""Bundles that are taken back: who may still have them, and what is sent no more."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from toolkit.chain.signer import LocalSigner
from toolkit.model.bundle import Bundle, MissCause, Missed
from toolkit.model.errors import ConfigError, RelayRejected
from toolkit.model.tx import SignedTransaction

Sign = Callable[..., SignedTransaction]
Make = Callable[..., Bundle]


async def test_cancelling_needs_a_uuid_and_a_relay(
    rig: Any, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """Cancelling asks every relay by uuid; the miss that follows is ours, not the market's."""
    here = await rig(relays=2)
    plain = await here.submitter.submit(bundle_of(transfer(signer, nonce=9)))
    handle = await here.submitter.submit(bundle_of(transfer(signer), replacement_uuid="u"))

    with pytest.raises(ConfigError, match="no replacement uuid"):
        await plain.cancel()
    here.servers[0].reply = (500, "down")
    await handle.cancel()
    await here.submitter.on_head(await here.chain.seal())
    result = await handle.wait()
    here.servers[1].reply = (200, '{"error": {"message": "unknown bundle"}}')
    other = await here.submitter.submit(
        bundle_of(transfer(signer), target_block=2, replacement_uuid="v")
    )
    with pytest.raises(RelayRejected, match="unknown bundle"):
        await other.cancel()

    assert isinstance(result, Missed)
    assert MissCause.CANCELLED == result.cause
    cancels = [one for one in here.servers[1].requests if one["method"] == "eth_cancelBundle"]
    assert {"replacementUuid": "u"} == cancels[0]["params"][0]


async def test_whose_bundle_was_withdrawn_matters(
    rig: Any, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """A relay that names other bundles, or says no in a result, may still have this one."""
    here = await rig(relays=3)
    handle = await here.submitter.submit(bundle_of(transfer(signer), replacement_uuid="u"))
    shouted = "0x" + handle.bundle_hash[2:].upper()
    answers = (f'["0x{"12" * 32}"]', "false", f'["{shouted}"]')
    for server, said in zip(here.servers, answers, strict=True):
        server.reply = (200, f'{{"result": {said}}}')

    assert ("builder0", "builder1") == await handle.cancel()


@pytest.mark.parametrize(
    ("reply", "left"), [((500, "down"), ("builder0",)), ((400, "too big"), ()), (None, ())]
)
async def test_who_may_still_have_it_is_named(
    rig: Any,
    signer: LocalSigner,
    transfer: Sign,
    bundle_of: Make,
    reply: tuple[int, str] | None,
    left: tuple[str, ...],
) -> None:
    """A relay whose answer was lost may have the bundle unless it withdraws it; one that refused
    it never had it."""
    here = await rig(relays=2)
    here.servers[0].reply = reply or (0, "")
    handle = await here.submitter.submit(bundle_of(transfer(signer), replacement_uuid="u"))
    await asyncio.gather(*here.submitter._live[0].tasks)
    withdrawn = "[]" if reply else f'["{handle.bundle_hash}"]'
    here.servers[0].reply = (200, f'{{"result": {withdrawn}}}')

    assert left == await handle.cancel()


@pytest.mark.parametrize("replaced", [False, True])
async def test_what_is_taken_back_while_it_is_journalled_is_not_sent(
    rig: Any,
    signer: LocalSigner,
    transfer: Sign,
    bundle_of: Make,
    monkeypatch: pytest.MonkeyPatch,
    *,
    replaced: bool,
) -> None:
    """A cancellation, or a replacement, that overtakes the next try is not undone by it."""
    here = await rig(relays=1)
    first = bundle_of(transfer(signer), guards=(), replacement_uuid="u")
    handle = await here.submitter.submit(first, blocks=2)
    here.servers[0].reply = lambda asked: (
        (200, '{"result": []}')  # it knows of none: the last one was for another block
        if asked["method"] == "eth_cancelBundle"
        else (400, "no more")
    )
    commit, reached, go_on = here.journal.commit, asyncio.Event(), asyncio.Event()

    async def slowly() -> None:
        if not reached.is_set():
            reached.set()
            await go_on.wait()
        await commit()

    monkeypatch.setattr(here.journal, "commit", slowly)
    change = await here.chain.seal()
    head = asyncio.create_task(here.submitter.on_head(change))
    await reached.wait()
    second = bundle_of(transfer(signer, value=2), target_block=2, replacement_uuid="u")
    left = () if replaced else await handle.cancel()
    if replaced:
        await here.submitter.submit(second)
    go_on.set()
    await head
    await here.submitter.on_head(await here.chain.seal())
    result = await handle.wait()

    assert () == left
    assert [first.transactions, *([second.transactions] if replaced else [])] == [
        tuple(sent["params"][0]["txs"])
        for sent in here.servers[0].requests
        if sent["method"] == "eth_sendBundle"
    ]
    assert isinstance(result, Missed)
    assert MissCause.CANCELLED is result.cause
