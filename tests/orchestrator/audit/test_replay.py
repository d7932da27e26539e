"""Everything decided once can be decided again."""

import os
import random
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import pytest

from tests.orchestrator.worlds import (
    DAI_CAPITAL,
    DAI_MARKET,
    DAI_PRICE,
    fresh_seeds,
    random_market,
    shipped,
)
from toolkit.journal.log import Entry
from toolkit.model.decision import Intent, Leg
from toolkit.model.errors import ConfigError, JournalCorrupt
from toolkit.orchestrator import records
from toolkit.orchestrator.audit.replay import replay
from toolkit.orchestrator.mainnet import DAI, WETH
from toolkit.orchestrator.pausing.pauses import Pause
from toolkit.reasoning.agent import Agent, View
from toolkit.reasoning.momentum import Momentum
from toolkit.testing.decide import Decided, decide

ROOT = Path(__file__).resolve().parents[3]
PAUSES = [Pause("momentum", on="arbitrage", impact_bps=5)]


class Flaky:
    """An agent that consults something else than its view."""

    name = "flaky"

    def __init__(self, source: Iterator[float]) -> None:
        self._source = source

    def on_block(self, view: View) -> Iterable[Intent]:
        """Sell now and then."""
        if next(self._source) < 0.5:
            return ()
        view.price(DAI_PRICE.key)
        leg = Leg(token_in=WETH.address, token_out=DAI.address, amount_in=10**17)
        return (Intent(agent=self.name, legs=(leg,), edge_wei=0),)


class Fragile:
    """An agent that breaks on its fifth block."""

    name = "fragile"

    def on_block(self, view: View) -> Iterable[Intent]:
        """Break."""
        if view.block.number == 1004:
            raise ValueError("boom")
        return ()


def chances(seed: int) -> Iterator[float]:
    """A stream of chance."""
    rng = random.Random(seed)
    while True:
        yield rng.random()


def run(agents: list[Agent], *, blocks: int = 20, seed: int = 3) -> Decided:
    """Some blocks of the orchestrator's work."""
    return decide(
        agents,
        random_market(seed, blocks=blocks, gap=8e-3),
        capital=DAI_CAPITAL,
        market=DAI_MARKET,
        pauses=PAUSES,
    )


@pytest.mark.parametrize("seed", list(fresh_seeds(3)), ids=lambda _: "fresh")
def test_replay_reproduces_every_decision(seed: int) -> None:
    """A journal alone, without any configuration, gives every verdict again byte for byte."""
    decided = run(shipped(), blocks=40, seed=seed)

    result = replay(decided.journal)

    assert result.identical, (seed, result.divergence)
    assert 40 == result.blocks
    assert len(decided.verdicts) == result.verdicts
    assert () == result.taken_as_recorded


def test_registration_order_does_not_matter() -> None:
    """Agents registered the other way round lead to the same journal, entry for entry."""
    assert run(shipped()).journal == run(shipped()[::-1]).journal


def test_a_changed_agent_is_detected_and_named() -> None:
    """Old decisions do not follow from a changed agent, and the replay says whose they were."""
    decided = run(shipped(), blocks=40)
    changed = Momentum(base=WETH.address, quote=DAI.address, signal_key=DAI_PRICE.key, fast=6)

    divergence = replay(decided.journal, agents=[changed]).divergence

    assert divergence is not None
    assert "momentum" == divergence.agent


def test_an_agent_that_is_not_deterministic_is_detected_and_named() -> None:
    """An agent that looks at anything but its view is caught, with the block it began in."""
    decided = run([*shipped(), Flaky(chances(1))])

    divergence = replay(decided.journal, agents=[Flaky(chances(2))]).divergence

    assert divergence is not None
    assert "flaky" == divergence.agent
    assert 1000 <= divergence.block_number < 1020


def test_foreign_agents_are_taken_as_recorded() -> None:
    """Without a foreign agent's code its intents count as said, and all else is recomputed."""
    decided = run([*shipped(), Flaky(chances(1)), Fragile()])

    result = replay(decided.journal)

    assert result.identical, result.divergence
    assert ("flaky", "fragile") == result.taken_as_recorded


@pytest.mark.parametrize("kind", [records.RULING, records.INTENT, records.PLAN])
def test_an_altered_decision_is_found(kind: str) -> None:
    """Any recorded decision that does not follow from its inputs is the first divergence."""
    decided = run(shipped())
    index = next(n for n, entry in enumerate(decided.journal) if entry.kind == kind)
    entry = decided.journal[index]
    data = entry.data.replace(b'"agent', b'"agent', 1).replace(b"1", b"2", 1)
    altered = [*decided.journal]
    altered[index] = msgspec.structs.replace(entry, data=data)

    divergence = replay(altered).divergence

    assert divergence is not None
    assert (entry.seq, kind) == (divergence.seq, divergence.kind)


def test_a_missing_or_additional_decision_is_found() -> None:
    """A decision cut out of the journal, or put in twice, is the first divergence."""
    decided = run(shipped())
    index = max(n for n, entry in enumerate(decided.journal) if entry.kind == records.RULING)
    cut = [*decided.journal[:index], *decided.journal[index + 1 :]]
    twice = [*decided.journal[: index + 1], *decided.journal[index:]]

    assert not replay(cut).identical
    assert not replay(twice).identical


def test_unreadable_and_foreign_journals_are_refused() -> None:
    """A journal without an orchestrator, or with an entry of another shape, is one clear error."""
    decided = run(shipped(), blocks=2)
    broken = [
        msgspec.structs.replace(entry, data=b'{"a":1}')
        if entry.kind == records.PERCEIVED
        else entry
        for entry in decided.journal
    ]

    with pytest.raises(ConfigError, match="nothing to replay"):
        replay([])
    with pytest.raises(JournalCorrupt, match=r"orchestrator\.perceived"):
        replay(broken)


def test_a_dependent_whose_code_is_missing_is_asked_for() -> None:
    """Pauses of a foreign agent cannot be recomputed without it: the error asks for it."""

    class Foreign(Momentum, frozen=True, kw_only=True):
        pass

    foreign = Foreign(base=WETH.address, quote=DAI.address, signal_key=DAI_PRICE.key)
    decided = run([shipped()[0], foreign], blocks=3)

    with pytest.raises(ConfigError, match="the code of momentum is needed"):
        replay(decided.journal)
    assert replay(decided.journal, agents=[foreign]).identical


def test_another_process_and_hash_seed_decide_the_same(tmp_path: Path) -> None:
    """The journal of a run replays identically in a process with another hash seed."""
    path = tmp_path / "journal.db"
    decide(
        shipped(),
        random_market(3, blocks=12, gap=8e-3),
        capital=DAI_CAPITAL,
        market=DAI_MARKET,
        pauses=PAUSES,
        journal=path,
    )
    code = (
        "import sys; from pathlib import Path; from toolkit.journal.sqlite import read_entries;"
        "from toolkit.orchestrator.audit.replay import replay;"
        "result = replay(read_entries(Path(sys.argv[1])));"
        "print(result.identical, result.blocks)"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        env={**os.environ, "PYTHONHASHSEED": "12345"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert "True 12" == done.stdout.strip()


def test_every_decision_has_its_cause() -> None:
    """Every fill points to its plan, plan to ruling, ruling to an intent or what was perceived."""
    decided = run(shipped())
    by_seq: dict[int, Entry] = {entry.seq: entry for entry in decided.journal}
    wanted = {
        records.FILL: {records.PLAN},
        records.PLAN: {records.RULING},
        records.RULING: {records.INTENT, records.PERCEIVED},
        records.INTENT: {records.PERCEIVED},
        records.PAUSE: {records.PERCEIVED},
        records.IMPACT: {records.FILL},
    }
    for entry in decided.journal:
        if entry.kind in wanted:
            assert entry.cause is not None
            assert by_seq[entry.cause].kind in wanted[entry.kind]
