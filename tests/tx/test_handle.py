"""What a caller waits for, while the chain changes its mind."""

import asyncio

from tests.tx.bench import Bench
from toolkit.journal.log import Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.model.tx import Confirmed
from toolkit.tx.handle import Track
from toolkit.tx.pulse import Pulse


async def test_depth_is_not_taken_for_granted_while_nobody_tells_what_a_reorg_did() -> None:
    """A node that is silent about the receipt after a reorg does not make an end deep."""
    bench, heads = Bench(), Pulse()
    bench.accept("a")
    bench.answer("a")
    track = Track("a", lane=lambda: bench.state, heads=heads, journal=Journal(MemoryBackend()))
    receipt = bench.mined("a", 11)
    bench.observe(11, nonce=1, receipts=(receipt,))
    outcome = bench.ends["a"]
    assert isinstance(outcome, Confirmed)
    track.finish(outcome, seq=0)
    waiting = asyncio.create_task(track.wait(3))

    async def see(block: int, **seen: object) -> bool:
        bench.observe(block, nonce=1, **seen)
        heads.beat()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return waiting.done()

    assert not await see(12, reorged=True)
    assert not await see(13)
    assert await see(14, receipts=(receipt,))
    assert outcome is waiting.result()
