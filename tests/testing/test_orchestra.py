"""Lives of agents and their orchestrator in a faulty world: what holds, and who looks at it."""

import random
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
import pytest

import toolkit as tk
from tests.orchestrator.odd_agents import Misfit
from tests.orchestrator.worlds import fresh_seeds
from toolkit.model.errors import ConfigError
from toolkit.orchestrator.mainnet import USDC, WETH
from toolkit.testing.orchestra import AgentCoverage, Faults, agent_world, live
from toolkit.testing.simulation import chaotic_world

CALM = Faults(reorg=0, missed=0, look=0, lost=0, late=0, crash=0)


class Buyer(msgspec.Struct, frozen=True, kw_only=True):
    """Follows the last move of the price."""

    name: str = "buyer"
    amount: int = 300 * 10**6

    def on_block(self, view: tk.View) -> Iterable[tk.Intent]:
        """Buy or sell a little."""
        before, now = view.history("price/WETH-USDC", 2)
        legs = (tk.Leg(token_in=USDC.address, token_out=WETH.address, amount_in=self.amount),)
        if now < before:
            legs = (tk.Leg(token_in=WETH.address, token_out=USDC.address, amount_in=10**17),)
        return (tk.Intent(agent=self.name, legs=legs, edge_wei=10**15),)


@dataclass
class Cheat:
    """Decides by a coin, so that no replay can agree with it."""

    name: str = "cheat"

    def on_block(self, view: tk.View) -> Iterable[tk.Intent]:
        """Buy an amount that nobody could foresee."""
        amount = 10**8 + random.SystemRandom().randrange(10**8)
        view.price("price/WETH-USDC")
        leg = tk.Leg(token_in=USDC.address, token_out=WETH.address, amount_in=amount)
        return (tk.Intent(agent=self.name, legs=(leg,), edge_wei=10**15),)


def agents() -> list[tk.Agent]:
    """What ships, and one of somebody's."""
    return [
        tk.Momentum(base=WETH.address, quote=USDC.address),
        tk.Rebalancer(base=WETH.address, quote=USDC.address),
        Buyer(),
    ]


def test_everything_holds_in_faulty_worlds() -> None:
    """Every fault happens, plans land and are lost, and every invariant holds in every life."""
    world = agent_world(agents(), blocks=8)

    coverage = tk.testing.run_many(world, fresh_seeds(60))

    assert isinstance(coverage, AgentCoverage)
    assert 60 == coverage.lives
    assert {"reorg", "missed", "look", "lost", "crash"} <= set(coverage.faults)
    assert coverage.landed > coverage.lives
    assert coverage.lost > 0


def test_a_seed_is_a_life() -> None:
    """The same seed goes through the same things, fault by fault."""
    world = agent_world([Buyer()])(random.Random())

    assert live(world, 7) == live(world, 7)
    assert live(world, 7) != live(world, 8)


def test_without_faults_everything_lands() -> None:
    """The faults are the world's only ones."""
    coverage = tk.testing.run_many(agent_world([Buyer()], faults=CALM), range(3))

    assert isinstance(coverage, AgentCoverage)
    assert {} == coverage.faults
    assert 0 == coverage.lost
    assert coverage.landed >= coverage.plans - coverage.lives  # the last block's are not settled


def test_who_cannot_be_replayed_breaks_its_life_with_its_seed() -> None:
    """The invariant names the agent; the note names the seed that does it again."""
    with pytest.raises(AssertionError, match="agent='cheat'") as raised:
        tk.testing.run_many(agent_world([Cheat(), Buyer()], faults=CALM), [11])

    assert ["seed 11"] == raised.value.__notes__


def test_a_broken_agent_is_counted_not_suffered() -> None:
    """It is out in every life, and the others trade on."""
    coverage = tk.testing.run_many(
        agent_world([Buyer(), Misfit("nan edge", since=1003)], faults=CALM), range(3)
    )

    assert isinstance(coverage, AgentCoverage)
    assert {"misfit": 3} == coverage.quarantined
    assert coverage.plans > 3


def test_a_world_that_is_none_is_refused() -> None:
    """With what it gave; and a scheduler's schedule has no place among agents."""
    with pytest.raises(ConfigError, match="gives a int"):
        tk.testing.run_many(lambda _: 7, range(1))  # type: ignore[arg-type, return-value]
    with pytest.raises(ConfigError, match=r"must be in 0\.\.1"):
        Faults(reorg=1.5)


def test_the_schedulers_lives_are_still_lived() -> None:
    """One name for both kinds of world."""
    coverage = tk.testing.run_many(chaotic_world, range(2))

    assert 2 == coverage.schedules + coverage.thin
