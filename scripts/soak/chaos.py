"""10,000 transactions of 8 keys through a node that lies, loses, forgets and reorganises."""

import asyncio
import random
from pathlib import Path

from scripts.bench.figures import Figure
from scripts.soak.record import Part, Progress, Run
from scripts.soak.rig import (
    bytes_figure,
    count_bytes,
    live,
    next_profile,
    scratch,
    sealed,
    wrongs,
)
from scripts.soak.sender import Errand
from toolkit.devnet.faults import FaultRates, FaultScript
from toolkit.devnet.strict_node import StrictNode
from toolkit.journal.memory import MemoryBackend
from toolkit.model.chain import HeadChange, Mode
from toolkit.model.tx import TransactionRequest
from toolkit.testing.fakes import ETHER, FRIEND, OWNER, InlineJournal, Mempool, World
from toolkit.tx.config import SchedulerConfig
from toolkit.tx.scheduler import TransactionScheduler
from toolkit.tx.stages import Stage

PAYMENTS = 10_000
KEYS = 8
WINDOW = 96
RESTART_EVERY = 500
PAYMENTS_A_NODE = 1_000
"""The next thousand begin on a new node and a new journal."""
RATES = FaultRates(
    timeout_after_accept=0.05,
    drop_after_accept=0.03,
    stale_read=0.02,
    wrong_code=0.02,
)
REORG_EVERY, REORG_DEPTH = 50, 3
DEEPEST_GAP = 64
HEALS_A_NODE = 20


async def campaign(
    progress: Progress, *, payments: int, seed: int, profile: str = "geth"
) -> list[str]:
    """Send so many payments through the faults, with a restart every 500; what went wrong."""
    script = FaultScript(
        seed=seed, rates=RATES, reorg_every=REORG_EVERY, reorg_depth=REORG_DEPTH, hold_s=2.0
    )
    async with (
        sealed(profile=profile, seed=seed, keys=KEYS, faults=script) as node,
        scratch() as folder,
    ):
        told = None
        while told is None or not told.done:
            told = await live(_errand(node, folder, payments))
            if told.failed:
                return [f"seed {seed}: {told.failed}"]
            progress.add({"lives": 1})
        script.rates, script.reorg_every = FaultRates(), 0
        found = [f"seed {seed}: {wrong}" for wrong in await wrongs(node, folder, payments)]
        count_bytes(progress, folder)
        for (_, kind), count in script.struck.items():
            progress.add({f"fault {kind.value}": count})
    return found


async def heal(depth: int, seed: int) -> int:
    """Lose the lowest `depth` of a full window at once; heads until everything is mined again."""
    world = World(random.Random(seed))  # noqa: S311 - its blocks' hashes
    journal = InlineJournal(MemoryBackend())
    scheduler = TransactionScheduler(
        world,
        signers=[OWNER],
        journal=journal,
        oracle=world,
        chain_id=1,
        mode=Mode.DEV,
        config=SchedulerConfig(max_cost_wei=ETHER, max_in_flight=DEEPEST_GAP + 2),
        public=Mempool(world),
    )
    await scheduler.start()
    total = depth + 2
    for _ in range(total):
        request = TransactionRequest(to=FRIEND, value=1, gas=21_000)
        await scheduler.send(request, simulate=False)
    for nonce in range(depth):
        del world.pool[nonce]
    heads = 0
    while world.spent < total:
        head = world.mine(capacity=total)
        await scheduler.on_head(HeadChange(added=(head,)))
        heads += 1
    await scheduler.close()
    await journal.close()
    return heads


def _errand(node: StrictNode, folder: Path, payments: int) -> Errand:
    return Errand(
        rpc_url=node.rpc_url,
        folder=str(folder),
        keys=tuple(account.key for account in node.accounts),
        payments=payments,
        window=WINDOW,
        stage=Stage.ANSWERED.value,
        passes=RESTART_EVERY,
        patience=10 * RESTART_EVERY,
        born=0.0,
    )


def work(progress: Progress) -> None:
    """Go from node to node; on each, close gaps of many depths besides."""
    while progress.more():
        payments = min(PAYMENTS_A_NODE, progress.run.size - progress.run.done)
        if progress.limit_s:
            payments = min(payments, 200)
        seed = progress.next_seed + 1
        profile = next_profile(progress)
        found = asyncio.run(campaign(progress, payments=payments, seed=seed, profile=profile))
        rng = random.Random(seed)  # noqa: S311 - depths of gaps
        for depth in [DEEPEST_GAP, *(rng.randint(1, DEEPEST_GAP) for _ in range(HEALS_A_NODE))]:
            progress.most("blocks to heal a gap", asyncio.run(heal(depth, seed)))
            progress.add({"gaps": 1})
        progress.advance(payments, failures=tuple(found))


def figures(run: Run) -> tuple[Figure, ...]:
    """Faults that struck, and how fast gaps closed."""
    struck = sum(
        float(count)
        for name, count in run.counts.items()
        if name.startswith("fault ") and not isinstance(count, dict)
    )
    blocks, gaps = run.counts.get("blocks to heal a gap", 0), run.counts.get("gaps", 0)
    assert not isinstance(blocks, dict)
    return (
        Figure(name="faults that struck the senders", unit="", ours=struck),
        *bytes_figure(run),
        Figure(
            name=f"most blocks to heal one of {gaps} gaps of up to {DEEPEST_GAP} nonces",
            unit="",
            target=2,
            ours=float(blocks),
        ),
    )


PART = Part(
    size=PAYMENTS,
    cases="payments",
    work=work,
    figures=figures,
    not_covered=("gaps on a real node: they are healed on the modelled chain",),
)
