"""Why something happened."""

import json
from pathlib import Path

import pytest
from msgspec import structs

from tests.orchestrator.worlds import DAI_CAPITAL, DAI_MARKET, random_market, shipped
from toolkit.cli.main import main
from toolkit.model.decision import TradingState, VetoCause
from toolkit.model.errors import ConfigError
from toolkit.orchestrator import records
from toolkit.orchestrator.audit.audit import Cause, lines, why
from toolkit.orchestrator.audit.naming import ether
from toolkit.orchestrator.audit.replay import decoded, encoded
from toolkit.orchestrator.board.doubts import Doubted
from toolkit.orchestrator.breaking.breakers import BreakerChange, Phase
from toolkit.orchestrator.breaking.hazards import Evidence, Hazard
from toolkit.orchestrator.deciding.arbitration import Candidate
from toolkit.orchestrator.pausing.pauses import Pause
from toolkit.orchestrator.records import Command
from toolkit.testing.decide import Decided, decide


def run(journal: Path | None = None) -> Decided:
    """A run with a landed cycle, a pause and its vetoes."""
    return decide(
        shipped(),
        random_market(3, blocks=30),
        capital=DAI_CAPITAL,
        market=DAI_MARKET,
        pauses=[Pause("momentum", on="arbitrage", impact_bps=5)],
        journal=journal,
    )


def kinds(cause: Cause) -> set[str]:
    """Every kind of fact in a tree."""
    return {cause.kind}.union(*(kinds(one) for one in cause.because))


def test_a_fill_is_explained_down_to_its_readings() -> None:
    """The tree of a landed trade holds plan, verdict, intent and readings with block hashes."""
    decided = run()
    fill = next(f for r in decided.reports for f in r.fills if f.landed)

    tree = why(decided.journal, fill.verdict_id)

    assert {"fill", "plan", "verdict", "intent", "reading"} <= kinds(tree)
    text = "\n".join(lines(tree))
    assert "weights" in text
    assert "0 blocks old" in text
    assert str(fill.block_hash) in text


def test_a_paused_intent_is_explained_by_the_trade_that_paused_it() -> None:
    """Asking after a vetoed intent gives the pause, its figures and the own trade behind it."""
    decided = run()
    veto = next(v for v in decided.verdicts if v.cause is VetoCause.PAUSED)

    tree = why(decided.journal, veto.intents[0])

    assert {"verdict", "intent", "reading", "pause", "fill"} == kinds(tree)
    assert "vetoed (paused)" in tree.text


def test_a_conflict_names_all_intents() -> None:
    """The tree of a netted verdict holds every intent that took part."""
    decided = decide(
        shipped(), random_market(3, blocks=30, gap=0.0), capital=DAI_CAPITAL, market=DAI_MARKET
    )
    verdict = next(v for v in decided.verdicts if v.netted_in)

    tree = why(decided.journal, verdict.verdict_id)

    named = {cause.text.split()[1] for cause in tree_intents(tree)}
    assert set(verdict.intents) == named
    assert any(f"netting saved {ether(verdict.saved_gas_wei)} of gas" in one for one in lines(tree))


def tree_intents(cause: Cause) -> list[Cause]:
    """All intents of a tree."""
    found = [cause] if cause.kind == "intent" else []
    return found + [one for child in cause.because for one in tree_intents(child)]


def test_an_unknown_name_is_refused() -> None:
    """A name that the journal does not hold is one clear line."""
    with pytest.raises(ConfigError, match="'0xdead' is no transaction"):
        why(run().journal, "0xdead")


def test_the_command_line_replays_and_explains(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`toolkit replay --verify` and `toolkit why` answer from the file alone, as JSON or text."""
    path = tmp_path / "journal.db"
    decided = run(path)
    fill = next(f for r in decided.reports for f in r.fills if f.landed)

    assert 0 == main(["replay", str(path), "--verify", "--json"])
    replayed = json.loads(capsys.readouterr().out)
    assert 0 == main(["why", fill.verdict_id, "--journal", str(path), "--json"])
    explained = json.loads(capsys.readouterr().out)
    assert 0 == main(["replay", str(path)])
    told = capsys.readouterr().out
    assert 2 == main(["why", "nothing", "--journal", str(path)])
    error = capsys.readouterr().err

    assert (True, 30, None) == (
        replayed["identical"],
        replayed["blocks"],
        replayed["divergence"],
    )
    assert "fill" == explained["kind"]
    assert "30 blocks" in told
    assert 1 == error.count("\n")


def test_what_bound_a_verdict_is_among_its_causes() -> None:
    """Breakers that are open, facts in doubt and a person's pause are told with what they say."""
    decided = run()
    approved = next(v for v in decided.verdicts if v.approved)
    place = next(
        n
        for n, entry in enumerate(decided.journal)
        if entry.kind == records.RULING and approved.verdict_id.encode() in entry.data
    )
    (agent, *_), number = approved.agents, approved.block_number
    evidence = Evidence(why="the base fee is 12 times the usual", measured=12, bound=10)
    key = next(
        key
        for entry in decided.journal
        if entry.kind == records.INTENT
        for key in decoded(entry, Candidate).inputs
        if approved.intents[0].encode() in entry.data
    )
    told = (
        (
            records.BREAKER,
            BreakerChange(
                hazard=Hazard.GAS,
                phase=Phase.OPEN,
                block_number=number,
                state=TradingState.REDUCING,
                evidence=evidence,
                by="evidence",
            ),
        ),
        (records.DOUBT, Doubted(doubts={key: "its sources differ by 900 bps"})),
        (records.COMMAND, Command(verb="pause", target=agent, why="looks odd")),
    )
    # Where they would be: behind what was perceived of earlier blocks.
    added = [
        structs.replace(decided.journal[0], seq=0, kind=kind, data=encoded(data))
        for kind, data in told
    ]

    tree = why((*added, *decided.journal[: place + 1]), approved.verdict_id)

    text = "\n".join(lines(tree))
    assert {"breaker", "doubt", "command"} <= kinds(tree)
    assert "breaker gas is open" in text
    assert "12 times the usual" in text
    assert f"{key} is in doubt: its sources differ by 900 bps" in text
    assert f"{agent} is paused by a person: looks odd" in text
