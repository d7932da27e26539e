import asyncio
import random
from collections.abc import Iterable, Sequence

import msgspec

from toolkit.chain.wire import Call
from toolkit.devnet.mempool import PooledTransaction
from toolkit.devnet.public_pool import _AccountReader, pack
from toolkit.model.chain import Address, Hash


def pending(
    sender: int, nonce: int, *, tip: int, cap: int = 1000, gas: int = 100
) -> PooledTransaction:
    return PooledTransaction(
        hash=Hash(f"0x{sender:032x}{nonce:032x}"),
        sender=Address(f"0x{sender:040x}"),
        nonce=nonce,
        gas=gas,
        fee_cap=cap,
        tip_cap=tip,
        type=2,
        value=0,
        size=100,
        to=None,
    )


def packed(
    pool: Iterable[PooledTransaction], *, gas: int = 10_000, taken: Iterable[PooledTransaction] = ()
) -> list[PooledTransaction]:
    hashes = frozenset(each.hash for each in taken)
    return list(pack(pool, nonces={}, base_fee_wei=100, gas=gas, taken=hashes))


def test_the_best_tip_goes_first_but_never_before_its_own_nonce() -> None:
    """A dear transaction waits for the cheap one before it; the others go by tip."""
    a0, a1 = pending(1, 0, tip=1), pending(1, 1, tip=90)
    b0, c0 = pending(2, 0, tip=50), pending(3, 0, tip=200, cap=130)

    assert packed([a1, a0, b0, c0]) == [b0, c0, a0, a1]


def test_what_cannot_be_mined_stays_out() -> None:
    """A nonce gap, a cap below the base fee, too little room, or being in a bundle already."""
    gap, low, big = pending(1, 1, tip=9), pending(2, 0, tip=9, cap=99), pending(3, 0, tip=9, gas=51)
    fits, bundled = pending(4, 0, tip=1, gas=50), pending(5, 0, tip=99)

    assert packed([gap, low, big, fits, bundled], gas=50, taken=[bundled]) == [fits]


def test_a_block_carries_only_so_many_blobs() -> None:
    """EIP-7691: nine; what does not fit waits, and what has none goes on."""
    many, more, rest, none = (
        msgspec.structs.replace(pending(sender, 0, tip=tip), blobs=blobs)
        for sender, tip, blobs in ((1, 9, 6), (2, 8, 4), (3, 7, 3), (4, 6, 0))
    )

    assert packed([many, more, rest, none]) == [many, rest, none]


class SlowFirst:
    """Answers the first batch only once `released` is set."""

    def __init__(self) -> None:
        self.asked, self.released = asyncio.Event(), asyncio.Event()
        self.batches: list[int] = []

    async def batch(self, calls: Sequence[Call]) -> list[object]:
        self.batches.append(len(calls))
        self.asked.set()
        if len(self.batches) == 1:
            await self.released.wait()
        return ["0x0"] * len(calls)


async def test_accounts_are_read_together_and_in_turn() -> None:
    """Questions that come together are one batch; a later one is not answered before them."""
    rpc, order = SlowFirst(), []
    reader = _AccountReader(rpc)  # type: ignore[arg-type]

    async def read(account: int) -> None:
        await reader.read(Address(f"0x{account:040x}"))
        order.append(account)

    async with asyncio.TaskGroup() as tasks:
        for account in (1, 2, 1):
            tasks.create_task(read(account))
        await rpc.asked.wait()
        tasks.create_task(read(3))
        for _ in range(10):
            await asyncio.sleep(0)
        rpc.released.set()

    assert [6, 3] == rpc.batches
    assert [1, 2, 1, 3] == order


def test_every_packing_is_valid() -> None:
    """Random pools: gas fits, nonces rise by one from the account's own, no tip is negative."""
    seed = random.SystemRandom().randrange(10**9)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(300):
        pool = {
            (sender, nonce): pending(
                sender,
                nonce,
                tip=chance.randrange(50),
                cap=chance.randrange(90, 200),
                gas=chance.randrange(1, 300),
            )
            for sender in range(1, chance.randrange(2, 6))
            for nonce in range(chance.randrange(5))
            if chance.random() < 0.8
        }
        gas = chance.randrange(1000)
        chosen = packed(pool.values(), gas=gas)
        assert sum(each.gas for each in chosen) <= gas
        assert all(each.tip(100) >= 0 for each in chosen)
        for sender in {each.sender for each in chosen}:
            nonces = [each.nonce for each in chosen if each.sender == sender]
            assert list(range(len(nonces))) == nonces
