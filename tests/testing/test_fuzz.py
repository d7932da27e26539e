"""What `fuzz` finds, what it does not, and that it can be believed."""

import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from toolkit.model.decision import Intent
from toolkit.model.errors import ConfigError
from toolkit.orchestrator.mainnet import USDC, WETH
from toolkit.reasoning.agent import Agent, View
from toolkit.reasoning.arbitrage import CyclicArbitrage
from toolkit.reasoning.mean_reversion import MeanReversion
from toolkit.reasoning.momentum import Momentum
from toolkit.reasoning.rebalancing import Rebalancer
from toolkit.testing.decide import OFFLINE_MARKET
from toolkit.testing.fuzz import fuzz
from toolkit.testing.probes import Defect
from toolkit.testing.samples import SAMPLES, SIZE_USDC, moved, wish
from toolkit.testing.scenes import Mood, fingerprint, scene

ROOT = Path(__file__).resolve().parents[2]
SHIPPED: list[Agent] = [
    CyclicArbitrage(),
    Momentum(base=WETH.address, quote=USDC.address),
    MeanReversion(base=WETH.address, quote=USDC.address),
    Rebalancer(base=WETH.address, quote=USDC.address),
]


@pytest.mark.parametrize("planted", SAMPLES, ids=lambda defect: defect.value)
def test_a_planted_defect_is_found_and_named(planted: Defect) -> None:
    """Each sample has one defect; it is found by that name, and no other is seen in it."""
    report = fuzz(SAMPLES[planted], processes=False)

    assert {planted} == report.defects, report


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("agent", SHIPPED, ids=lambda agent: agent.name)
def test_shipped_agents_are_clean(agent: Agent) -> None:
    """Nothing is found in what we ship, in our own processes or in others."""
    report = fuzz(agent, budget_s=20.0)  # how busy the machine is must not be found

    assert report.clean, report
    assert () == report.notes


@dataclass
class SetReader:
    """Sizes by whatever name a set gives first."""

    name: str = "set-reader"

    def on_block(self, view: View) -> Iterable[Intent]:
        """Trade an amount that depends on the hash seed."""
        first = next(iter({f"name {n}" for n in range(20)}))
        return wish(self.name, moved(view), paid=SIZE_USDC + len(first) + ord(first[-1]))


@dataclass
class Raises:
    """Cannot do without an hour of history."""

    name: str = "raises"

    def on_block(self, view: View) -> Iterable[Intent]:
        """Look far back."""
        return wish(self.name, view.history("price/WETH-USDC", 300)[299] - 2000)


@dataclass
class Flood:
    """Says everything a hundred times."""

    name: str = "flood"

    def on_block(self, view: View) -> Iterable[Intent]:  # noqa: ARG002 - as every agent
        """Repeat."""
        return wish(self.name, 1.0) * 100


def test_the_order_of_a_set_is_noticed() -> None:
    """Two processes of different hash seeds answer differently; one process alone cannot tell."""
    report = fuzz(SetReader())

    assert {Defect.NON_DETERMINISM} == report.defects, report
    assert "hash seeds" in report.findings[0].why


@pytest.mark.parametrize(
    ("agent", "defect", "why"),
    [
        (Raises(), Defect.CRASH, "raised IndexError"),
        (Flood(), Defect.UNBOUNDED_SIZE, "more than 16 intents"),
    ],
)
def test_what_the_orchestrator_would_refuse_is_found_first(
    agent: Agent, defect: Defect, why: str
) -> None:
    """A crash in a young market, or a flood, shows in the report with its reason."""
    report = fuzz(agent, processes=False)

    assert {defect} == report.defects, report
    assert why in report.findings[0].why


def test_an_agent_that_cannot_be_sent_is_noted() -> None:
    """What was not looked at is said: a class inside a function has no other process."""

    class Local(Flood):
        def on_block(self, view: View) -> Iterable[Intent]:  # noqa: ARG002 - as every agent
            return ()

    report = fuzz(Local())

    assert report.clean
    assert "not asked in another process" in report.notes[0]


def test_a_seed_is_a_report() -> None:
    """The same seed gives the same findings; the report says it, and reads as lines."""
    first = fuzz(SAMPLES[Defect.STALE_READ], seed=7, processes=False, markets=1)
    second = fuzz(SAMPLES[Defect.STALE_READ], seed=7, processes=False, markets=1)

    assert first == second
    assert "seed 7" in str(first)
    assert "stale read: decides otherwise" in str(first)


def test_the_agent_itself_is_not_asked() -> None:
    """Copies are: whoever fuzzes an agent can still use it."""
    agent = SAMPLES[Defect.STALE_READ]
    before = repr(agent)

    fuzz(agent, processes=False, markets=1)

    assert before == repr(agent)


def test_nonsense_is_refused() -> None:
    """What is no agent, what cannot be copied, and no markets: one line each."""
    with pytest.raises(ConfigError, match="int is no agent"):
        fuzz(7)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="markets is 0"):
        fuzz(Flood(), markets=0)
    with (ROOT / "README.md").open() as handle:
        kept = Flood()
        kept.__dict__["handle"] = handle
        with pytest.raises(ConfigError, match="cannot be copied"):
            fuzz(kept)


@pytest.mark.parametrize("mood", Mood, ids=lambda mood: mood.value)
def test_a_scene_is_its_seed(mood: Mood) -> None:
    """Everything in it comes again; only what a reorg replaced differs, from its first block."""
    one, two = scene(mood, 3, OFFLINE_MARKET), scene(mood, 3, OFFLINE_MARKET)

    assert [fingerprint(f.view()) for f in one.blocks] == [
        fingerprint(f.view()) for f in two.blocks
    ]
    replaced = one.blocks[-len(one.instead) :]
    assert [f.head.number for f in replaced] == [f.head.number for f in one.instead]
    assert one.instead[0].head.parent_hash == replaced[0].head.parent_hash
    assert all(a.head.hash != b.head.hash for a, b in zip(replaced, one.instead, strict=True))


def test_samples_are_found_by_a_reader_too() -> None:
    """The line of the guide works as it stands."""
    code = (
        "import toolkit as tk; from toolkit.testing.samples import SAMPLES, Defect; "
        "print(tk.testing.fuzz(SAMPLES[Defect.NAN], processes=False).defects)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )

    assert "NaN" in done.stdout


CARELESS = """
import toolkit as tk

class Mine:
    name = "mine"

    def on_block(self, view):
        return ()

print(tk.testing.fuzz(Mine(), markets=1, seed=1))
"""


@pytest.mark.parametrize("run", ["bot.py", "runs_bot.py"])
def test_a_file_that_fuzzes_while_it_is_imported_does_so_once(run: str, tmp_path: Path) -> None:
    """Its processes import it too: they begin nothing, and the report says what to change."""
    (tmp_path / "bot.py").write_text(CARELESS)
    (tmp_path / "runs_bot.py").write_text("import bot")
    done = subprocess.run(
        [sys.executable, tmp_path / run],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert 0 == done.returncode, done.stderr
    first, note = done.stdout.splitlines()
    assert "mine: 0 defects" in first
    assert "not asked in another process" in note
    assert "under `if __name__ == '__main__':`" in note


@dataclass
class Swearing:
    """Fails in words that clear a screen."""

    name: str = "swearing"

    def on_block(self, view: View) -> Iterable[Intent]:
        """Fail."""
        raise ValueError(f"\x1b[2J\n\x07 {view.block.number}")


def test_a_report_shows_what_an_agent_says_and_obeys_nothing() -> None:
    """Every line of a report is text, whatever the agent was asked and said."""
    said = str(fuzz(Swearing(), processes=False, markets=1))

    assert all(line.isprintable() for line in said.split("\n"))
    assert "\\x1b[2J" in said
