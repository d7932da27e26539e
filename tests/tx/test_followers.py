"""Who follows whom is let go one call at a time, whoever asks for it."""

import asyncio
import random

from tests.tx.desk import PAYMENT, Desk
from toolkit.model.tx import Confirmed, SignedTransaction, UnsignedTransaction
from toolkit.testing.fakes import OWNER, World


class Slow:
    """A signer that can be stopped in the middle of a signature."""

    address = OWNER.address

    def __init__(self) -> None:
        self.signs = asyncio.Event()
        self.signs.set()

    async def sign_transaction(self, unsigned: UnsignedTransaction) -> SignedTransaction:
        await self.signs.wait()
        return OWNER.sign_transaction_now(unsigned)

    async def sign_message(self, text: bytes) -> str:
        return OWNER.sign_message_now(text)


async def test_who_has_left_is_not_called_back() -> None:
    """A reorg that undoes its predecessor finds it sent: it goes its own way, and once."""
    desk = Desk(World(random.Random(7)))
    scheduler = await desk.open()
    first = await scheduler.send(PAYMENT)
    second = await scheduler.send(PAYMENT, after=first)
    await desk.mine()
    desk.world.known.clear()
    await scheduler.on_head(desk.world.reorg(1))
    after_reorg = [one.status().state for one in (first, second)]
    await desk.mine()

    assert ["broadcast", "broadcast"] == after_reorg
    assert [Confirmed, Confirmed] == [type(await one.wait()) for one in (first, second)]
    assert (1, 2) == (desk.kinds().count("tx.released"), desk.world.spent)
    await desk.close()


async def test_two_calls_at_once_let_each_follower_go_once() -> None:
    """The second call waits for the first, which is signing, instead of taking its place."""
    desk = Desk(World(random.Random(7)))
    slow = Slow()
    desk.signers = [slow]  # type: ignore[list-item]
    scheduler = await desk.open()
    first = await scheduler.send(PAYMENT)
    behind = [await scheduler.send(PAYMENT, after=first) for _ in range(3)]
    slow.signs.clear()
    mining = asyncio.create_task(desk.mine())
    for _ in range(30):
        await asyncio.sleep(0)
    again = asyncio.create_task(scheduler.release_followers())
    for _ in range(30):
        await asyncio.sleep(0)
    slow.signs.set()
    await asyncio.gather(mining, again)

    assert [1, 2, 3] == [one.status().nonce for one in behind]
    assert 3 == desk.kinds().count("tx.released")
    await desk.close()
