"""Doubts in a whole run: what is vetoed, journalled, replayed and remembered."""

from pathlib import Path

from msgspec import structs

from tests.orchestrator.properties.feeds import CAPITAL, PRICE, Buyer, told
from toolkit.journal.log import Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.journal.sqlite import read_entries
from toolkit.model.decision import VetoCause
from toolkit.model.market import PoolKind
from toolkit.orchestrator import records
from toolkit.orchestrator.audit.recovery import KINDS, recovered, resumed
from toolkit.orchestrator.audit.replay import decoded, replay
from toolkit.orchestrator.board.doubts import Doubted, FactRule
from toolkit.orchestrator.mainnet import USDC, WETH
from toolkit.pools.snapshot import PoolSpec, SetAside
from toolkit.testing.decide import MAIN_POOL, Decided, decide, given, main_pool
from toolkit.testing.paper import GivenBlock

FLASH = ["2000"] * 6 + ["2600"] * 2 + ["2001"] * 4


def blocks(prices: list[str], *, first: int = 1000) -> list[GivenBlock]:
    """Blocks at these prices."""
    return [given(first + n, pools=[main_pool(price)]) for n, price in enumerate(prices)]


def run(
    given_blocks: list[GivenBlock], *, journal: Path | None = None, facts: tuple[FactRule, ...] = ()
) -> Decided:
    """One who buys whenever there is a price."""
    buyer = Buyer(name="buyer", look=lambda view: view.reading(PRICE))
    return decide([buyer], given_blocks, capital=CAPITAL, journal=journal, facts=facts)


def doubted(decided: Decided) -> list[list[str]]:
    """What was journalled of doubts, in order."""
    return [
        list(decoded(entry, Doubted).doubts)
        for entry in decided.journal
        if entry.kind == records.DOUBT
    ]


def test_a_flash_vetoes_by_default_and_is_journalled_once() -> None:
    """Coming into doubt and leaving it are each one entry; a replay finds the same."""
    decided = run(blocks(FLASH))
    causes = {one.block_number for one in decided.verdicts if one.cause is VetoCause.DOUBTFUL}

    assert {1006, 1007} == causes
    assert [[PRICE], []] == doubted(decided)
    buyer = Buyer(name="buyer", look=lambda view: view.reading(PRICE))
    assert replay(decided.journal, agents=[buyer]).identical


def test_a_restart_amid_a_doubt_tells_it_no_second_time(tmp_path: Path) -> None:
    """What was in doubt before is in doubt after, and its end is journalled."""
    place = tmp_path / "journal.db"
    run(blocks(FLASH[:7]), journal=place)
    decided = run(blocks(FLASH[7:], first=1007), journal=place)
    causes = {one.block_number for one in decided.verdicts if one.cause is VetoCause.DOUBTFUL}

    assert {1007} == causes
    assert [[PRICE], []] == doubted(decided)
    buyer = Buyer(name="buyer", look=lambda view: view.reading(PRICE))
    assert replay(read_entries(place), agents=[buyer]).identical


def without_pool(block: GivenBlock) -> GivenBlock:
    """The block after its only pool was set aside."""
    spec = PoolSpec(
        id=MAIN_POOL,
        kind=PoolKind.CONSTANT_PRODUCT,
        token0=USDC.address,
        token1=WETH.address,
    )
    aside = SetAside(spec=spec, why=f"pool {MAIN_POOL}: token0: no answer", block_number=1003)
    snapshot = structs.replace(block.snapshot, pools={}, aside={MAIN_POOL: aside})
    return structs.replace(block, snapshot=snapshot)


def test_nothing_rests_on_a_pool_that_is_set_aside(tmp_path: Path) -> None:
    """It and its price are in doubt, told once with the reason, until it is followed again."""
    every = blocks(["2000"] * 10)
    every[3:7] = [without_pool(block) for block in every[3:7]]
    place = tmp_path / "journal.db"
    first = run(every[:5], journal=place)
    decided = run(every[5:], journal=place)
    reports = [*first.reports, *decided.reports]

    causes = {one.block_number: one.cause for one in (*first.verdicts, *decided.verdicts)}
    # Its last price, a block old, would still be acted on.
    assert [VetoCause.DOUBTFUL] + [VetoCause.STALE] * 3 == [causes[1003 + n] for n in range(4)]
    others = {causes[number] for number in causes if number not in range(1003, 1007)}
    assert others.isdisjoint({VetoCause.DOUBTFUL, VetoCause.STALE})
    assert [[f"pool/{MAIN_POOL}", PRICE], []] == doubted(decided)
    assert [{MAIN_POOL: f"pool {MAIN_POOL}: token0: no answer"}] * 4 == [
        one.aside for one in reports if one.head.number in range(1003, 1007)
    ]
    assert {} == reports[-1].aside
    buyer = Buyer(name="buyer", look=lambda view: view.reading(PRICE))
    assert replay(read_entries(place), agents=[buyer]).identical


def test_a_fold_knows_a_pool_that_came_back() -> None:
    """Of what was set aside and is followed again a new run knows the newest state."""
    every = blocks(["2000", "2001", "2002", "2003"])
    every[2] = without_pool(every[2])
    buyer = Buyer(name="buyer", look=lambda view: view.reading(PRICE))
    known = []
    for last in (3, 4):
        decided = run(every[:last])
        setup = decoded(next(e for e in decided.journal if e.kind == records.SETUP), records.Setup)
        entries = (one for one in decided.journal if one.kind in KINDS)
        memory = recovered(entries, setup, [buyer])
        assert memory is not None
        assert memory.market is not None
        known.append(memory.market.snapshot())

    assert {} == known[0].pools
    assert [MAIN_POOL] == list(known[0].aside)
    assert every[3].snapshot.pools == known[1].pools
    assert {} == known[1].aside


async def test_a_restart_from_a_milestone_knows_what_is_set_aside() -> None:
    """The journal's newest standing knows it as the fold of everything does."""
    every = blocks(["2000"] * 20)
    every[3:] = [without_pool(block) for block in every[3:]]
    journal = Journal(MemoryBackend())
    buyer = Buyer(name="buyer", look=lambda view: view.reading(PRICE))
    decided = decide([buyer], every, capital=CAPITAL, journal=journal)
    setup = decoded(next(e for e in decided.journal if e.kind == records.SETUP), records.Setup)
    shortly = resumed(journal, setup, [buyer]).memory
    folded = {*KINDS} - {records.MILESTONE}
    whole = recovered((e for e in decided.journal if e.kind in folded), setup, [buyer])
    await journal.close()

    assert any(entry.kind == records.MILESTONE for entry in decided.journal)
    assert shortly is not None
    assert shortly.market is not None
    assert [MAIN_POOL] == [one.spec.id for one in shortly.market.aside]
    assert shortly == whole


def test_a_crash_that_witnesses_confirm_is_acted_on() -> None:
    """The same prices are believed where two others say so."""
    seen = [
        GivenBlock(
            snapshot=one.snapshot,
            fee=one.fee,
            readings=tuple(told(key, float(price), one.head) for key in ("cex", "oracle")),
        )
        for one, price in zip(blocks(FLASH), FLASH, strict=True)
    ]
    decided = run(seen, facts=(FactRule(key=PRICE, sources=("cex", "oracle")),))

    assert [] == doubted(decided)
    assert VetoCause.DOUBTFUL not in {one.cause for one in decided.verdicts}
