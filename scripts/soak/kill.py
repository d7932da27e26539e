"""SIGKILL at every stage between acceptance and receipt; nothing lost, doubled or stuck."""

import asyncio
import random
import statistics
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
from toolkit.devnet.strict_node import StrictNode
from toolkit.tx.stages import Stage

KILLS = 1_000
PAYMENTS_A_KILL = 20
KEYS = 4
WINDOW = 32
RARE = 0.02
KILLS_A_NODE = 250
"""A chain of 5,000 payments; the next 250 kills begin on a new node and a new journal."""
PATIENCE = 60
LONG = 10_000
"""Journal entries from which a restart counts for the figure."""


def doom(rng: random.Random) -> tuple[str, int, int]:
    """A stage, how many times it is lived through, and after how many sends any stage will do."""
    if rng.random() < RARE:  # thousands of entries apart
        return Stage.CHECKPOINTED.value, 0, 20 * PATIENCE
    stage = rng.choice([one for one in Stage if one is not Stage.CHECKPOINTED])
    # The author asks for something else with about every eighth payment only.
    most = 2 if stage is Stage.ASKED else PAYMENTS_A_KILL
    return stage.value, rng.randrange(most), PATIENCE


async def campaign(
    progress: Progress, *, kills: int, payments: int, seed: int, profile: str = "geth"
) -> tuple[list[str], int]:
    """Kill lives on one node until so many have died, let the last one finish, compare.

    Returns:
        What went wrong, and how many have died.
    """
    rng = random.Random(seed)  # noqa: S311 - when to kill, no secret
    async with sealed(profile=profile, seed=seed, keys=KEYS) as node, scratch() as folder:
        died, found = 0, []
        while died < kills:
            stage, passes, patience = doom(rng)
            told = await live(_errand(node, folder, payments, stage, passes, patience))
            _time(progress, told.first_resend_s, told.entries)
            if told.failed:
                return [f"seed {seed}, life {died}: {told.failed}"], died
            if told.done:
                break
            died += 1
            progress.add({f"killed at {told.stage}": 1})
        if not told.done:
            told = await live(_errand(node, folder, payments, "", 0, 0))
            found += [f"seed {seed}, the last life: {told.failed}"] if told.failed else []
        found += [f"seed {seed}: {wrong}" for wrong in await wrongs(node, folder, payments)]
        count_bytes(progress, folder)
    progress.add({"payments": payments})
    return found, died


def _errand(
    node: StrictNode, folder: Path, payments: int, stage: str, passes: int, patience: int
) -> Errand:
    return Errand(
        rpc_url=node.rpc_url,
        folder=str(folder),
        keys=tuple(account.key for account in node.accounts),
        payments=payments,
        window=WINDOW,
        stage=stage,
        passes=passes,
        patience=patience,
        born=0.0,
    )


def _time(progress: Progress, first_resend_s: float | None, entries: int) -> None:
    if first_resend_s is None or entries < LONG:
        return
    progress.add({"restarts with a long journal": 1})
    progress.most("slowest restart, s", first_resend_s)
    times = progress.run.counts.setdefault("restarts, ms", {})
    assert isinstance(times, dict)
    times[str(len(times))] = round(first_resend_s * 1e3)


def work(progress: Progress) -> None:
    """Kill on one node after the other; a node that loses its sender early counts what it got."""
    while progress.more():
        kills = min(KILLS_A_NODE, progress.run.size - progress.run.done)
        if progress.limit_s:
            kills = min(kills, 10)
        found, died = asyncio.run(
            campaign(
                progress,
                kills=kills,
                payments=kills * PAYMENTS_A_KILL,
                seed=progress.next_seed + 1,
                profile=next_profile(progress),
            )
        )
        progress.advance(max(died, 1), failures=tuple(found))


def figures(run: Run) -> tuple[Figure, ...]:
    """Kills by stage, payments, and how fast a restart is."""
    at = {stage.value: run.counts.get(f"killed at {stage.value}", 0) for stage in Stage}
    fewest = min(float(n) for n in at.values() if not isinstance(n, dict))
    payments, times = run.counts.get("payments", 0), run.counts.get("restarts, ms", {})
    assert isinstance(times, dict)
    assert not isinstance(payments, dict)
    found = [
        Figure(name="payments that were compared with the chain", unit="", ours=float(payments)),
        Figure(name=f"fewest kills at one of {len(at)} stages", unit="", ours=fewest),
        *bytes_figure(run),
    ]
    if times:
        name = f"process start to first resend, {LONG:,} journal entries or more"
        ours = statistics.median(times.values())
        found.append(Figure(name=f"{name}, median", unit="ms", target=1_500, ours=float(ours)))
        slowest = float(max(times.values()))
        found.append(Figure(name=f"{name}, slowest", unit="ms", target=1_500, ours=slowest))
    return tuple(found)


PART = Part(
    size=KILLS,
    cases="kills",
    work=work,
    figures=figures,
    not_covered=("a machine that loses power: the kill takes the process, not the disk's cache",),
)
