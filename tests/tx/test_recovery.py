import asyncio
import random
from collections.abc import AsyncIterator

import msgspec
import pytest

from tests.tx.desk import CONFIG, PAYMENT, Desk
from toolkit.chain.signer import LocalSigner
from toolkit.journal.memory import MemoryBackend
from toolkit.model.errors import (
    ConfigError,
    LaneHalted,
)
from toolkit.model.tx import (
    Confirmed,
    Exposure,
)
from toolkit.testing.fakes import OWNER, Mempool, World


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk(World(random.Random(7)))
    yield desk
    await desk.close()


async def test_closing_tells_waiters_and_the_next_process_goes_on(desk: Desk) -> None:
    """Close ends the waiting, not the request: a restart finishes it under the same key."""
    scheduler = await desk.open()
    sent = await scheduler.send(PAYMENT, idempotency_key="k")
    waiting = asyncio.create_task(sent.wait())
    await asyncio.sleep(0)
    await desk.close()

    with pytest.raises(LaneHalted, match="goes on at its next start"):
        await waiting
    with pytest.raises(LaneHalted):
        await scheduler.send(PAYMENT)
    scheduler = await desk.open()
    again = await scheduler.send(PAYMENT, idempotency_key="k")
    await desk.mine()
    assert isinstance(await again.wait(), Confirmed)
    assert 1 == desk.world.spent


async def test_closing_tells_also_those_who_wait_for_depth(desk: Desk) -> None:
    """An end that is not deep enough yet will not get deeper in a closed scheduler."""
    scheduler = await desk.open()
    sent = await scheduler.send(PAYMENT)
    await desk.mine()
    waiting = asyncio.create_task(sent.wait(confirmations=9))
    await asyncio.sleep(0)
    await desk.close()

    with pytest.raises(LaneHalted, match="goes on at its next start"):
        await waiting
    assert isinstance(await sent.wait(), Confirmed)


async def test_an_end_that_was_decided_but_not_written_is_written_at_the_next_start(
    desk: Desk,
) -> None:
    """A process that died between a receipt and its report leaves no request without an end."""
    scheduler = await desk.open()
    await scheduler.send(PAYMENT)
    await desk.mine()
    await desk.close()
    rows = list(desk.backend.load())
    assert "tx.outcome" == rows[-1].kind
    desk.backend = MemoryBackend(rows[:-1])

    await desk.open()

    assert 1 == desk.kinds().count("tx.outcome")


async def test_a_journal_of_another_chain_is_refused(desk: Desk) -> None:
    """A deep block's hash tells chains apart, also where their ids agree."""
    await desk.open()
    await desk.close()
    desk.world = World(random.Random(8))

    with pytest.raises(ConfigError, match="written on another chain"):
        await desk.open()


async def test_what_is_mined_and_not_told_yet_needs_its_signer(desk: Desk) -> None:
    """Its end is still to come: whatever follows it would wait for ever for a lane that sleeps."""
    desk.config = msgspec.structs.replace(CONFIG, confirmations=2)
    scheduler = await desk.open()
    await scheduler.send(PAYMENT)
    await desk.mine()
    await desk.close()
    desk.signers = []

    with pytest.raises(ConfigError, match=f"1 open requests of {OWNER.address}"):
        await desk.open()
    desk.signers = [OWNER]
    await desk.open()
    await desk.mine()
    await desk.close()
    desk.signers = []
    await desk.open()


async def test_open_requests_of_an_unknown_account_or_destination_stop_the_start(
    desk: Desk,
) -> None:
    """A restart without the key or the relay of an open request says which is missing."""
    relay = Mempool(desk.world, name="relay", exposure=Exposure.PRIVATE)
    scheduler = await desk.open()
    await scheduler.send(PAYMENT, destinations=[relay])
    await desk.close()

    with pytest.raises(ConfigError, match=r"open requests of .* for 'relay'"):
        await desk.open()
    desk.signers, desk.others = [LocalSigner("0x" + "0b" * 32)], [relay]
    with pytest.raises(ConfigError, match=f"1 open requests of {OWNER.address}"):
        await desk.open()
    desk.signers = [OWNER]
    await desk.open()
