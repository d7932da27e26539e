"""A checkpoint stands for everything before it: for restarts, replays, questions and compaction."""

from pathlib import Path

import pytest
from msgspec import json, structs

from tests.orchestrator.worlds import (
    DAI_CAPITAL,
    DAI_MARKET,
    fresh_seeds,
    held,
    random_market,
    shipped,
)
from toolkit.cli.main import main
from toolkit.journal.compaction import compact
from toolkit.journal.log import Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.journal.sqlite import SqliteBackend
from toolkit.model.chain import Address, Hash
from toolkit.model.market import PoolKind
from toolkit.orchestrator import records
from toolkit.orchestrator.audit import memory
from toolkit.orchestrator.audit.audit import Cause, why
from toolkit.orchestrator.audit.recovery import KINDS, recovered, resumed
from toolkit.orchestrator.audit.replay import CHECKPOINT_KIND, decoded, encoded, replay
from toolkit.orchestrator.audit.whatif import whatif
from toolkit.orchestrator.mainnet import USDC, WETH
from toolkit.orchestrator.pausing.pauses import Pause
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.concentrated_v4 import ConcentratedV4
from toolkit.pools.snapshot import PoolSpec, SetAside
from toolkit.testing.decide import Decided, GivenBlock, decide, given, main_pool

EVERY = 7


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints every seven blocks instead of every thousand."""
    monkeypatch.setattr(memory, "CHECKPOINT_BLOCKS", EVERY)


def run(
    blocks: list[GivenBlock],
    journal: Journal | Path | None = None,
    *,
    earlier: Decided | None = None,
) -> Decided:
    """The shipped agents, with a pause to remember."""
    return decide(
        shipped(),
        blocks,
        capital=DAI_CAPITAL if earlier is None else held(earlier),
        market=DAI_MARKET,
        pauses=[Pause("momentum", on="arbitrage", impact_bps=5)],
        journal=journal,
    )


@pytest.mark.parametrize("seed", fresh_seeds(3), ids=lambda _: "seed")
async def test_a_restart_from_a_checkpoint_knows_what_one_from_the_start_knows(seed: int) -> None:
    """The fold of the newest checkpoint and what follows it is the fold of everything."""
    journal = Journal(MemoryBackend())
    decided = run(random_market(seed, blocks=3 * EVERY + 2, gap=8e-3), journal)
    setup = decoded(next(e for e in decided.journal if e.kind == records.SETUP), records.Setup)

    shortly = resumed(journal, setup, shipped()).memory
    whole = recovered((e for e in decided.journal if e.kind in KINDS), setup, shipped())
    await journal.close()

    assert 3 == sum(entry.kind == CHECKPOINT_KIND for entry in decided.journal)
    assert shortly is not None
    assert whole is not None
    assert encoded(whole) == encoded(shortly), seed


@pytest.mark.parametrize("seed", fresh_seeds(3), ids=lambda _: "seed")
def test_what_is_folded_is_what_the_orchestrator_knew(seed: int) -> None:
    """At each checkpoint the fold of the entries before it is the living core's memory."""
    entries = run(random_market(seed, blocks=3 * EVERY + 2, gap=8e-3)).journal
    setup = decoded(next(e for e in entries if e.kind == records.SETUP), records.Setup)

    for index, entry in enumerate(entries):
        if entry.kind == CHECKPOINT_KIND:
            before = (one for one in entries[:index] if one.kind in KINDS)
            folded = recovered(before, setup, shipped())

            assert folded is not None
            assert entry.data == encoded(folded), seed


def test_a_market_is_written_down_with_pools_of_every_kind() -> None:
    """What a checkpoint keeps of a snapshot is the snapshot again, its JSON in between."""
    v3 = Concentrated(
        id=Address("0x" + "33" * 20),
        token0=USDC.address,
        token1=WETH.address,
        fee_ppm=500,
        tick_spacing=10,
        sqrt_price_x96=2**96,
        tick=0,
        liquidity=0,
        ticks=(),
    )
    shared = {name: getattr(v3, name) for name in v3.__struct_fields__ if name != "id"}
    v4 = ConcentratedV4(id=Hash("0x" + "44" * 32), **shared)
    spec = PoolSpec(
        id=Address("0x" + "55" * 20),
        kind=PoolKind.CONSTANT_PRODUCT,
        token0=USDC.address,
        token1=WETH.address,
    )
    snapshot = structs.replace(
        given(1000, pools=[main_pool("2000"), v3, v4]).snapshot,
        aside={spec.id: SetAside(spec=spec, why="it is gone", block_number=7, lasting=True)},
    )
    stored = json.encode(memory.Market.of(snapshot))

    assert snapshot == json.decode(stored, type=memory.Market).snapshot()


def test_a_replay_holds_checkpoints_against_what_it_folds() -> None:
    """An altered checkpoint is the first divergence, named by its entry."""
    decided = run(random_market(3, blocks=EVERY + 3))
    place = next(n for n, e in enumerate(decided.journal) if e.kind == CHECKPOINT_KIND)
    entry = decided.journal[place]
    altered = structs.replace(entry, data=entry.data.replace(b'"version":', b'"version":1', 1))

    found = replay((*decided.journal[:place], altered, *decided.journal[place + 1 :]))

    assert replay(decided.journal).identical
    assert altered != entry
    assert found.divergence is not None
    assert (entry.seq, CHECKPOINT_KIND) == (found.divergence.seq, found.divergence.kind)


def test_a_compacted_journal_is_gone_on_with_replayed_and_questioned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is left after compaction serves as the whole did, for what is behind it."""
    path = tmp_path / "journal.db"
    blocks = random_market(3, blocks=4 * EVERY, gap=8e-3)
    whole = run(blocks)
    split = next(n for n in range(2 * EVERY, 4 * EVERY) if not whole.reports[n - 1].plans)

    first = run(blocks[:split], path)
    made = compact(path)
    second = run(blocks[split:], path, earlier=first)
    verdict_id = second.verdicts[-1].verdict_id
    result = replay(second.journal)
    answer = whatif(second.journal, verdict_id, without="arbitrage")

    assert made.dropped > 0
    assert second.journal[0].seq > 1
    assert whole.reports == (*first.reports, *second.reports)
    assert result.identical, result.divergence
    assert second.reports[-1].verdicts == answer.decided.verdicts
    assert "reading" in "\n".join(_kinds(why(second.journal, verdict_id)))
    assert 0 == main(["replay", str(path), "--verify"])
    assert "identical" in capsys.readouterr().out


def _kinds(cause: Cause) -> list[str]:
    return [cause.kind, *(kind for one in cause.because for kind in _kinds(one))]


def test_a_checkpoint_is_durable_with_its_block(tmp_path: Path) -> None:
    """What a crash leaves begins a new process: the checkpoint is no later than its block."""
    path = tmp_path / "journal.db"

    run(random_market(3, blocks=EVERY), path)
    backend = SqliteBackend(path)
    kinds = [entry.kind for entry in backend.load()]
    backend.close()

    assert CHECKPOINT_KIND == kinds[-1]
