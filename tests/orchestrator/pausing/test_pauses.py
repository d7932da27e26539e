"""Who waits for whom or for what is declared, and refused where it cannot be."""

import math

import msgspec
import pytest

from toolkit.model.errors import ConfigError
from toolkit.orchestrator.pausing.pauses import Breaker, Feed, Pause, compile_pauses


def test_a_cycle_is_rejected_with_its_path() -> None:
    """Agents that wait for each other in a circle are refused, and the circle is written out."""
    pauses = [Pause("a", "b"), Pause("b", "c"), Pause("c", "a"), Pause("d", "a")]

    with pytest.raises(ConfigError, match="a -> b -> c -> a"):
        compile_pauses(pauses, ["a", "b", "c", "d"])


def test_a_diamond_is_no_cycle() -> None:
    """Two ways from one agent to another are allowed; a dependent's pauses come by trigger."""
    pauses = [Pause("a", "c"), Pause("a", "b"), Pause("b", "d"), Pause("c", "d")]

    compiled = compile_pauses(pauses, ["a", "b", "c", "d"])

    assert {"a": ("b", "c"), "b": ("d",), "c": ("d",)} == {
        name: tuple(pause.trigger for pause in mine) for name, mine in compiled.items()
    }


def test_feeds_and_breakers_are_triggers_of_their_own() -> None:
    """A feed or breaker of an agent's name is no agent, and is written with its kind."""
    pauses = [Pause("a", Feed("a")), Pause("a", Breaker("gas")), Pause("a", "b")]

    compiled = compile_pauses(pauses, ["a", "b"], breakers=["gas"])

    assert ("b", "breaker:gas", "feed:a") == tuple(pause.trigger for pause in compiled["a"])


@pytest.mark.parametrize(
    ("pauses", "words"),
    [
        ([Pause("a", "a")], "a -> a"),
        ([Pause("a", "x")], "'x'; the agents are a, b"),
        ([Pause("x", Feed("pools"))], "'x'; the agents are a, b"),
        ([Pause("a", "b"), Pause("a", "b", 5.0)], "twice"),
        ([Pause("a", Feed("f")), Pause("a", Feed("f"), effect="discount")], "twice"),
        ([Pause("a", Breaker("moon"))], "breaker 'moon'; there are gas, reorg"),
    ],
)
def test_impossible_pauses_are_refused(pauses: list[Pause], words: str) -> None:
    """An agent that waits for itself, for nobody, or twice is refused."""
    with pytest.raises(ConfigError, match=words):
        compile_pauses(pauses, ["a", "b"], breakers=["reorg", "gas"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"impact_bps": math.nan}, "is no size"),
        ({"impact_bps": -1.0}, "is no size"),
        ({"tolerance": 0.0}, "is not in 0..1"),
        ({"tolerance": math.nan}, "is not in 0..1"),
        ({"effect": "sleep"}, "'sleep' is not pause, discount or subtract"),
        ({"on": Feed("pools"), "effect": "subtract"}, "on feed:pools"),
        ({"on": Breaker("gas"), "effect": "subtract"}, "on breaker:gas"),
    ],
)
def test_impossible_figures_are_refused(changes: dict[str, object], words: str) -> None:
    """A pause needs a size, a tolerance and an effect that mean something for its trigger."""
    values: dict[str, object] = {"agent": "a", "on": "b"}

    with pytest.raises(ConfigError, match=f"pause of a.*{words}"):
        Pause(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("on", ["b", Feed("price/WETH-USDC"), Breaker("gas")])
def test_a_pause_survives_the_journal(on: str | Feed | Breaker) -> None:
    """Whatever the trigger, a journal gives back what was declared."""
    pause = Pause("a", on, 3.0, 0.02, "pause")

    assert pause == msgspec.json.decode(msgspec.json.encode(pause), type=Pause)
