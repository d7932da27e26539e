"""Who is given up, who falls back because of it, and what is refused at the start."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from tests.orchestrator.odd_agents import ODDITIES, Follower, Misfit
from tests.orchestrator.properties.stage import Clocked, Taker, blocks, play
from tests.orchestrator.worlds import fresh_seeds
from toolkit.model.decision import VetoCause
from toolkit.model.errors import ConfigError
from toolkit.orchestrator.audit.replay import replay
from toolkit.orchestrator.hosting.asking import Question, Thought, ask
from toolkit.orchestrator.hosting.containment import Containment, Dependence, fallen_back
from toolkit.orchestrator.hosting.roster import roster
from toolkit.reasoning.agent import Agent
from toolkit.testing.decide import decide

NAMES = ("a", "b", "c", "d")


def contained(*dependences: Dependence) -> Containment:
    """The fold under test."""
    return Containment(dependences, NAMES)


def test_one_lost_answer_is_forgiven() -> None:
    """An answer in between begins the count anew; two in a row are the end."""
    fold = contained()

    assert {} == fold.heard({"a": "late"})
    assert {} == fold.heard({})
    assert {} == fold.heard({"a": "late", "b": "died"})
    assert {"a": "no answer in 2 blocks in a row; at last: later"} == fold.heard({"a": "later"})


def test_what_was_lost_before_a_restart_counts() -> None:
    """A process that dies in every block is given up although the orchestrator dies in between."""
    fold, again = contained(), contained()
    fold.heard({"a": "late"})
    again.resume(fold.memory())

    assert ["a"] == list(again.heard({"a": "late"}))


def test_dependents_stop_through_others_but_not_through_who_goes_on_alone() -> None:
    """A chain of "stop" carries on; "alone" ends it."""
    dependences = [
        Dependence("b", on="a"),
        Dependence("c", on="b"),
        Dependence("d", on="a", fallback="alone"),
    ]

    assert {
        "b": "depends on a, which failed: gone",
        "c": "depends on b, which stopped",
    } == fallen_back(dependences, {"a": "gone"})


def test_fallbacks_do_not_depend_on_the_order_of_declarations() -> None:
    """Whatever order they were declared in, the same agents stop for the same reasons."""
    every = [Dependence(one, on=two) for one, two in ("ba", "ca", "cb", "dc", "db")]
    first = fallen_back(every, {"a": "gone"})

    for seed in fresh_seeds(200):
        random.Random(seed).shuffle(every)
        assert first == fallen_back(every, {"a": "gone"})


@pytest.mark.parametrize(
    ("dependences", "why"),
    [
        (
            [Dependence("a", on="b"), Dependence("b", on="c"), Dependence("c", on="a")],
            "a -> b -> c -> a",
        ),
        ([Dependence("a", on="a")], "a -> a"),
        ([Dependence("x", on="a")], "names 'x'; the agents are a, b, c, d"),
        ([Dependence("a", on="x")], "names 'x'"),
        ([Dependence("a", on="b"), Dependence("a", on="b", fallback="alone")], "declared twice"),
    ],
)
def test_dependences_that_cannot_be_are_refused(dependences: list[Dependence], why: str) -> None:
    """A cycle with its path, an unknown agent with those there are, and nonsense."""
    with pytest.raises(ConfigError, match=why):
        contained(*dependences)


def test_a_dependent_stops_in_the_very_block() -> None:
    """Its intents of the block in which the other fails are vetoed, with the whole story."""
    market = blocks(random.Random(1), 4)
    played = play(
        [Taker("reader"), Misfit("raises", name="oracle", since=1001)],
        market,
        dependences=[Dependence("reader", on="oracle")],
    )

    vetoes = [v for v in played.reports[1].vetoes if "reader" in v.agents]
    assert [VetoCause.PAUSED] == [v.cause for v in vetoes]
    assert "depends on oracle, which failed: raised ZeroDivisionError: at 1001" == vetoes[0].why
    assert any("reader" in plan.agents for plan in played.reports[0].plans)


class _TwoTongues(Clocked):
    """Says that an answer is lost, and hands it over."""

    async def ask(self, questions: Sequence[Question]) -> Mapping[str, Thought]:
        """Ask, and lose what was said."""
        return {one.name: replace(ask(one), lost="late") for one in questions}


def test_a_lost_answer_proposes_nothing() -> None:
    """What a replay could not know, because nobody was asked, is not used."""
    market = blocks(random.Random(1), 2)
    played = play([Taker("reader")], market, clock=_TwoTongues(lambda _: 0.0, budget_s=1.0))

    assert [(), ()] == [report.intents for report in played.reports]
    assert replay(played.entries, agents=[Taker("reader")]).identical


@pytest.mark.parametrize("what", sorted(ODDITIES))
def test_every_oddity_is_told_and_contained(what: str) -> None:
    """One line says what is wrong; the agent is out, and the other decides as if it were alone."""
    market = blocks(random.Random(2), 3)
    together = play([Taker("good"), Misfit(what)], market)
    alone = play([Taker("good")], market)

    why = together.reports[0].quarantined["misfit"]
    assert why
    assert "\n" not in why
    assert [r.plans for r in alone.reports] == [r.plans for r in together.reports]


class _Nameless(Follower):
    def __init__(self, name: object) -> None:
        self.name = name  # type: ignore[assignment]


class _Async(Follower):
    async def on_block(self, view: object) -> None:  # type: ignore[override]
        """Wait for something."""


class _NoMethod:
    name = "idle"


class _Moody(Follower):
    @property
    def name(self) -> str:
        """Another one each time."""
        raise OSError("no name today")

    @name.setter
    def name(self, value: str) -> None: ...


@pytest.mark.parametrize(
    ("agent", "why"),
    [
        (Follower, "it is the class Follower; make one of it"),
        (_Nameless(""), "1..64 printable characters"),
        (_Nameless("x" * 65), "1..64 printable characters"),
        (_Nameless("a\nb"), "1..64 printable characters"),
        (_Nameless("a/b"), "/ or \\*"),
        (_Nameless(7), "a text that stays the same, not int"),
        (_NoMethod(), "'idle' has no method on_block"),
        (_Async(), "is async; an agent does no I/O"),
        (_Moody(), "its name cannot be read: it raised OSError: no name today"),
        (7, "int is no agent"),
    ],
)
def test_what_is_no_agent_is_refused_at_the_start(agent: object, why: str) -> None:
    """With what it lacks, before anything runs."""
    with pytest.raises(ConfigError, match=why):
        roster([agent])  # type: ignore[list-item]


def test_two_of_one_name_are_refused() -> None:
    """Verdicts could not tell them apart."""
    agents: list[Agent] = [Follower(), Follower()]

    with pytest.raises(ConfigError, match="share a name: follower"):
        decide(agents, blocks(random.Random(0), 1), capital={})
