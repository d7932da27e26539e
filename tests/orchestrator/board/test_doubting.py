"""Doubts in a whole run: what is vetoed, journalled, replayed and remembered."""

from pathlib import Path

from tests.orchestrator.properties.feeds import CAPITAL, PRICE, Buyer, told
from toolkit.journal.sqlite import read_entries
from toolkit.model.decision import VetoCause
from toolkit.orchestrator import records
from toolkit.orchestrator.audit.replay import decoded, replay
from toolkit.orchestrator.board.doubts import Doubted, FactRule
from toolkit.testing.decide import Decided, decide, given, main_pool
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
