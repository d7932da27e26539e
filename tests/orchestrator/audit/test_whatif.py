"""What a block's decision would have been without one agent."""

import json
from pathlib import Path

import pytest
from msgspec import structs

from tests.orchestrator.worlds import DAI_CAPITAL, DAI_MARKET, random_market, shipped
from toolkit.cli.main import main
from toolkit.journal.log import Entry
from toolkit.model.decision import Verdict
from toolkit.model.errors import ConfigError, JournalCorrupt
from toolkit.orchestrator import records
from toolkit.orchestrator.audit.whatif import lines, whatif
from toolkit.orchestrator.pausing.pauses import Pause
from toolkit.testing.decide import Decided, decide


def run(journal: Path | None = None, *, gap: float = 0.0) -> Decided:
    """A run with conflicts; with a gap between pools also with cycles and pauses."""
    return decide(
        shipped(),
        random_market(3, blocks=30, gap=gap),
        capital=DAI_CAPITAL,
        market=DAI_MARKET,
        pauses=[Pause("momentum", on="arbitrage", impact_bps=5)],
        journal=journal,
    )


def conflict(decided: Decided) -> Verdict:
    """The first verdict in which wishes met."""
    return next(verdict for verdict in decided.verdicts if verdict.netted_in)


def test_every_block_is_decided_again_as_it_was() -> None:
    """Whichever verdict is asked after, its block's decision is the recorded one."""
    decided = run(gap=6e-3)

    for report in decided.reports:
        if report.verdicts:
            name = report.verdicts[-1].verdict_id
            answer = whatif(decided.journal, name, without="arbitrage")

            assert report.verdicts == answer.decided.verdicts
            assert report.plans == answer.decided.plans


def test_without_one_side_a_conflict_is_none() -> None:
    """The other side's wish goes to the market whole, and the difference says what it costs."""
    decided = run()
    verdict = conflict(decided)
    buyer = verdict.agents[0]

    answer = whatif(decided.journal, verdict.verdict_id, without=buyer)

    assert answer.wished == 1
    assert all(buyer not in one.agents for one in answer.without.verdicts)
    assert all(not one.netted_in for one in answer.without.verdicts)
    tokens = {*answer.decided.promised, *answer.without.promised}
    assert answer.difference == {
        token: answer.without.promised.get(token, 0) - answer.decided.promised.get(token, 0)
        for token in tokens
    }
    assert any(answer.difference.values())


def test_an_agent_that_wished_nothing_changes_nothing() -> None:
    """Leaving out who was silent gives the same decision, and people are told so."""
    decided = run(gap=6e-3)
    verdict, silent = next(
        (report.verdicts[0], agent.name)
        for report in decided.reports
        for agent in shipped()
        if report.verdicts and all(agent.name not in v.agents for v in report.verdicts)
    )

    answer = whatif(decided.journal, verdict.verdict_id, without=silent)

    assert answer.decided == answer.without
    assert f"the same: {silent} wished nothing in this block" in "\n".join(lines(answer))


def test_an_unknown_agent_is_refused() -> None:
    """A name that no agent had is one line that lists those there were."""
    decided = run()

    with pytest.raises(ConfigError, match=r"no agent 'nobody' .* arbitrage, momentum, rebalancing"):
        whatif(decided.journal, conflict(decided).verdict_id, without="nobody")


def test_a_journal_that_does_not_follow_is_refused() -> None:
    """Where the recorded decision is another than the recomputed one, nothing is made up."""
    decided = run()
    verdict = conflict(decided)
    entries: list[Entry] = []
    for entry in decided.journal:
        told = entry
        if entry.kind == records.RULING and verdict.verdict_id.encode() in entry.data:
            told = structs.replace(
                entry, data=entry.data.replace(b'"approved":true', b'"approved":false')
            )
        entries.append(told)

    with pytest.raises(JournalCorrupt, match="decided otherwise than recorded"):
        whatif(entries, verdict.verdict_id, without="momentum")


def test_the_command_line_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`toolkit whatif` prints both decisions and the difference, or one JSON document."""
    path = tmp_path / "journal.db"
    verdict = conflict(run(path))
    asked = ["whatif", verdict.verdict_id, "--without", verdict.agents[0], "--journal", str(path)]

    assert 0 == main(asked)
    told = capsys.readouterr().out
    assert 0 == main([*asked, "--json"])
    document = json.loads(capsys.readouterr().out)

    assert f"without {verdict.agents[0]}:" in told
    assert "its absence would have changed, before gas: " in told
    assert verdict.verdict_id == document["verdict_id"]
    assert {"decided", "without", "difference"} <= document.keys()
