"""What an author may get wrong in a set-up: refused at the start, with one line."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.orchestrator.worlds import (
    DAI_CAPITAL,
    DAI_MARKET,
    DAI_PRICE,
    TETHER_MARKET,
    random_market,
)
from toolkit.execution.planner import PlanLimits, TipPolicy
from toolkit.journal.log import Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.model.decision import Intent
from toolkit.model.errors import ConfigError
from toolkit.orchestrator.board.doubts import FactRule
from toolkit.orchestrator.breaking.hazards import BreakerLimits
from toolkit.orchestrator.deciding.limits import Limits
from toolkit.orchestrator.hosting.containment import Dependence
from toolkit.orchestrator.hosting.hosting import Budget, Hosting
from toolkit.orchestrator.market import Market
from toolkit.orchestrator.pausing.pauses import Breaker, Feed, Pause
from toolkit.orchestrator.runtime import Orchestrator
from toolkit.reasoning.agent import View
from toolkit.testing.decide import decide
from toolkit.testing.paper import PaperChain, PaperSession

PRICE_KEY = DAI_PRICE.key
NAN, INFINITE, HUGE = float("nan"), float("inf"), 10**5000
ODD: tuple[Any, ...] = (None, "5", NAN, INFINITE, -1, True, HUGE, b"x", [], {}, object)


class Silent:
    """Wants nothing."""

    def __init__(self, name: str) -> None:
        """Take a name."""
        self.name = name

    def on_block(self, view: View) -> Iterable[Intent]:  # noqa: ARG002 - as every agent
        """Say nothing."""
        return ()


class Unwritable(msgspec.Struct, frozen=True):
    """Has a field that no journal can hold."""

    name: str = "unwritable"
    what: Any = object()

    def on_block(self, view: View) -> Iterable[Intent]:  # noqa: ARG002 - as every agent
        """Say nothing."""
        return ()


def started(**given: Any) -> None:
    """Make an orchestrator of two agents, and of what is given."""
    agents = given.pop("agents", [Silent("a"), Silent("b")])
    world = PaperChain(random_market(1, blocks=1), DAI_CAPITAL, market=DAI_MARKET)
    parts: dict[str, Any] = {"market": DAI_MARKET, "perception": world, "gateway": world}
    Orchestrator(PaperSession(Journal(MemoryBackend()), world), agents=agents, **{**parts, **given})


def refused(make: Callable[[], object]) -> str:
    """Return why something is refused: one line that a terminal can show."""
    with pytest.raises(ConfigError) as caught:
        make()
    line = str(caught.value)

    assert len(line) < 400, line
    assert line.isprintable(), line
    return line


def started_with(argument: str, kind: type, fields: dict[str, Any]) -> None:
    """Make one thing of its fields, and an orchestrator that is given it."""
    one = kind(**fields)
    wrapped: dict[str, Any] = {"budgets": {"a": one}, "limits": one, "breakers": one}
    wrapped |= {"tip": one, "plan_limits": one}
    started(**{argument: wrapped.get(argument, [one])})


@pytest.mark.parametrize(
    ("argument", "kind", "base", "fields"),
    [
        ("pauses", Pause, {"agent": "a", "on": "b"}, ("agent", "on", "impact_bps", "tolerance")),
        ("pauses", Pause, {"agent": "a", "on": "b"}, ("effect",)),
        ("facts", FactRule, {"key": "k"}, ("max_deviation_bps", "frozen_after", "confirm_after")),
        ("dependences", Dependence, {"agent": "a", "on": "b"}, ("agent", "on", "fallback")),
        ("budgets", Budget, {}, ("seconds", "memory_bytes")),
        ("limits", Limits, {}, Limits.__struct_fields__),
        ("breakers", BreakerLimits, {}, ("drawdown_ppm", "probe_wei", "probes")),
        ("tip", TipPolicy, {}, TipPolicy.__struct_fields__),
        ("plan_limits", PlanLimits, {}, PlanLimits.__struct_fields__),
    ],
)
def test_a_field_of_the_wrong_kind_is_refused_by_name(
    argument: str, kind: type, base: dict[str, Any], fields: tuple[str, ...]
) -> None:
    """Whatever Python lets through: no number, no text, NaN, or one that nothing can hold."""
    for field in fields:
        for odd in ODD:
            refused(partial(started_with, argument, kind, {**base, field: odd}))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"limits": {}}, "limits is {}; give Limits(...)"),
        ({"limits": BreakerLimits()}, "limits is BreakerLimits("),
        ({"breakers": {"drawdown_ppm": 1}}, "give BreakerLimits(...)"),
        ({"tip": 5}, "tip is 5"),
        ({"plan_limits": []}, "plan_limits is []"),
        ({"pauses": Pause("a", on="b")}, "give a list of Pause"),
        ({"pauses": ["a"]}, "pauses holds 'a'"),
        ({"pauses": None}, "pauses is None"),
        ({"facts": [5]}, "facts holds 5"),
        ({"dependences": "ab"}, "dependences is 'ab'"),
        ({"lenders": 5}, "lenders is 5"),
        ({"hosting": {"a": "process"}}, "give tk.Hosting.INLINE, THREAD or PROCESS"),
        ({"hosting": {"a": None}}, "hosting of a is None"),
        ({"hosting": Hosting.PROCESS}, "give a dictionary"),
        ({"hosting": {1: Hosting.THREAD}}, "hosting names 1"),
        ({"budgets": {"a": 1.0}}, "budget of a is 1.0; give a tk.Budget"),
        ({"budgets": {"zz": Budget()}}, "budgets names zz; the agents are a, b"),
        ({"priority": {"a": 1.5}}, "priority of a is 1.5"),
        ({"priority": [("a", 1)]}, "priority is [('a', 1)]"),
        ({"market": None}, "market is None"),
        ({"policy": 5}, "policy is 5, which has no method weights"),
        ({"perception": 5}, "no method observe"),
        ({"gateway": "x"}, "no method submit, settle"),
        ({"host": object}, "no method start, ask, stop"),
        ({"clock": 5}, "clock is 5"),
        ({"control": 5}, "control is 5; give a path"),
        ({"executors": []}, "executors is []"),
        ({"agents": None}, "agents is None; give a list of agents"),
        ({"agents": Silent("a")}, "give a list of agents"),
        ({"agents": [Unwritable()]}, "agent 'unwritable' has fields that cannot be journalled"),
    ],
)
def test_an_argument_of_the_wrong_kind_is_refused(given: dict[str, Any], why: str) -> None:
    """Nothing is taken for what it looks like: a dictionary is no limits, a text no place."""
    assert why in refused(lambda: started(**given))


@pytest.mark.parametrize("odd", [None, 5, ""])
def test_a_trigger_needs_its_name(odd: Any) -> None:
    """A feed or breaker that is called nothing could never be in doubt."""
    assert "key of a feed" in refused(lambda: Feed(odd))
    assert "name of a breaker" in refused(lambda: Breaker(odd))


def test_agents_from_a_generator_all_run() -> None:
    """They are looked at and asked, though a generator gives them only once."""
    decided = decide(
        (Silent(name) for name in ("a", "b")),  # type: ignore[arg-type]
        random_market(1, blocks=1),
        capital=DAI_CAPITAL,
        market=DAI_MARKET,
    )

    assert {"a", "b"} <= set(decided.reports[0].books)


def test_a_market_lists_everything_once() -> None:
    """Two sources of one price, or a token twice, would have the last one win."""
    fields = {name: getattr(DAI_MARKET, name) for name in DAI_MARKET.__struct_fields__}

    assert "price twice" in refused(lambda: Market(**{**fields, "prices": fields["prices"] * 2}))
    assert "token twice" in refused(lambda: Market(**{**fields, "tokens": fields["tokens"] * 2}))
    assert "market.tokens is None" in refused(lambda: Market(**{**fields, "tokens": None}))


@pytest.mark.parametrize("odd", [5, [], {"usdc": 5}, {DAI_MARKET.wrapped: 1.5}, {None: 5}])
def test_capital_that_cannot_be_is_refused(odd: Any) -> None:
    """A token by its symbol, or half a wei, is a mistake of the test that gives it."""
    blocks = random_market(1, blocks=1)

    refused(lambda: decide([Silent("a")], blocks, capital=odd, market=DAI_MARKET))


def test_blocks_that_do_not_follow_each_other_are_refused() -> None:
    """The same block again, or one before it, is a reorg that was not said."""
    blocks = random_market(1, blocks=2)

    for wrong in (blocks[:1] * 2, blocks[::-1]):
        why = refused(partial(decide, [], wrong, capital={}, market=DAI_MARKET))
        assert "give rising numbers" in why


async def test_the_control_socket_may_be_named_by_a_text(tmp_path: Path) -> None:
    """As every other path of ours."""
    world = PaperChain(random_market(1, blocks=1), DAI_CAPITAL, market=DAI_MARKET)
    journal = Journal(MemoryBackend())
    socket = tmp_path / "it.ctl"
    async with Orchestrator(
        PaperSession(journal, world),
        agents=[Silent("a")],
        market=DAI_MARKET,
        perception=world,
        gateway=world,
        control=str(socket),
    ):
        assert socket.is_socket()
    await journal.close()


class Reading(Silent):
    """Says what it reads."""

    def __init__(self, reads: object) -> None:
        """Take it."""
        super().__init__("a")
        self.reads = reads


class Secretive(Silent):
    """Does not say what it reads."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Fail."""
        raise RuntimeError("no")


class Telling(PaperChain):
    """Tells which readings it may give."""

    keys = frozenset({PRICE_KEY, "pools", "cex/ETH", "flash/0xaa/0xbb", "flash/0xaa/0xcc"})


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (
            {"facts": [FactRule(key="price/WETH-DIA")]},
            (
                "the rule of fact 'price/WETH-DIA' names the reading 'price/WETH-DIA', which "
                "nobody supplies (nearest: price/WETH-DAI); there are cex/ETH, "
                "flash/<lender>/<token>, pools, price/WETH-DAI"
            ),
        ),
        (
            {"facts": [FactRule(key=PRICE_KEY, sources=("cex/ETJ",))]},
            (
                "the rule of fact 'price/WETH-DAI' names the reading 'cex/ETJ', which nobody "
                "supplies (nearest: cex/ETH)"
            ),
        ),
        ({"pauses": [Pause("a", Feed("polls"))]}, "a pause of a names the reading 'polls'"),
        ({"pauses": [Pause("a", Feed("zzz"))]}, "'zzz', which nobody supplies; there are cex/ETH"),
        ({"agents": [Reading(("pools", "prise"))]}, "a names the reading 'prise'"),
        ({"agents": [Reading("pools")]}, "what a reads is 'pools'; give a tuple of keys"),
        ({"agents": [Reading(7)]}, "what a reads is 7; give a tuple of keys"),
        ({"agents": [Secretive("a")]}, "what a reads cannot be told: it raised RuntimeError: no"),
    ],
)
def test_a_key_that_nobody_supplies_is_refused(given: dict[str, Any], why: str) -> None:
    """Where it is known which readings there may be, another's name is a slip of the pen."""
    world = Telling(random_market(1, blocks=1), DAI_CAPITAL, market=DAI_MARKET)

    assert why in refused(lambda: started(perception=world, **given))


def test_a_price_that_nobody_supplies_is_refused() -> None:
    """A market valued by a reading that never comes would value nothing."""
    world = Telling(random_market(1, blocks=1), DAI_CAPITAL, market=DAI_MARKET)

    why = refused(lambda: started(perception=world, market=TETHER_MARKET))

    assert "the market names the reading 'price/WETH-USDC'" in why
    assert "nearest: price/WETH-DAI" in why


def test_keys_are_taken_as_they_are_where_nobody_tells_them() -> None:
    """A perception of one's own may give what it likes; what it may give is accepted anyhow."""
    rules = [FactRule(key=PRICE_KEY, sources=("cex/ETH",)), FactRule(key="flash/0xaa/0xbb")]
    world = Telling(random_market(1, blocks=1), DAI_CAPITAL, market=DAI_MARKET)

    started(facts=[FactRule(key="anything")], pauses=[Pause("a", Feed("else"))])
    started(perception=world, facts=rules, agents=[Reading(["pools", PRICE_KEY])])
