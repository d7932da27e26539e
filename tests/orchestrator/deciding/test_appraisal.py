"""Claims of an edge, from the plan to the next decision, through the whole orchestrator."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

import toolkit as tk
from tests.orchestrator.worlds import DAI_CAPITAL, DAI_MARKET, dai_pair
from toolkit.model.decision import VetoCause
from toolkit.orchestrator.audit.replay import replay
from toolkit.orchestrator.deciding.limits import Limits
from toolkit.orchestrator.mainnet import DAI, WETH
from toolkit.testing.decide import MAIN_POOL, Decided, GivenBlock, decide, given

HORIZON = 3
LIMITS = Limits(kelly_horizon_blocks=HORIZON)


class Boaster(msgspec.Struct, frozen=True, kw_only=True):
    """Buys and sells in turn, each time sure to double its stake."""

    name: str = "boaster"

    def on_block(self, view: tk.View) -> Iterable[tk.Intent]:
        """Return the next wish."""
        view.price("price/WETH-DAI")
        amount = 10**18
        buys = view.positions.get(WETH.address, 0) <= 0
        leg = tk.Leg(token_in=WETH.address, token_out=DAI.address, amount_in=amount)
        if buys:
            leg = tk.Leg(token_in=DAI.address, token_out=WETH.address, amount_in=2000 * amount)
        return (tk.Intent(agent=self.name, legs=(leg,), edge_wei=amount),)


def blocks(first: int, count: int) -> list[GivenBlock]:
    """Blocks in which nothing moves."""
    return [
        given(first + n, pools=[dai_pair(MAIN_POOL, 2000, 5000)], tokens=DAI_MARKET.tokens)
        for n in range(count)
    ]


def run(given_blocks: Sequence[GivenBlock], journal: Path | None = None) -> Decided:
    """Let the boaster trade."""
    return decide(
        [Boaster()],
        given_blocks,
        capital=DAI_CAPITAL,
        market=DAI_MARKET,
        limits=LIMITS,
        journal=journal,
    )


def test_a_boast_that_came_to_nothing_is_not_believed_again() -> None:
    """Until the first horizon is over a boast is sized on trust; after that it is an empty one."""
    decided = run(blocks(1000, 12))

    causes = {one.block_number: one.cause for one in decided.verdicts}
    assert None is causes[1000]
    late = [cause for block, cause in causes.items() if block >= 1002 + HORIZON]
    assert {VetoCause.LIMIT, VetoCause.NO_EDGE} & set(late)
    assert {None, VetoCause.LIMIT, VetoCause.NO_EDGE} >= set(late)


def test_what_was_learned_is_replayed() -> None:
    """A replay learns what the run learned, and decides the same."""
    decided = run(blocks(1000, 12))

    assert replay(decided.journal, agents=[Boaster()]).identical


def test_what_was_learned_outlives_a_restart(tmp_path: Path) -> None:
    """A second run believes no boast that the first one saw come to nothing."""
    path = tmp_path / "journal.db"
    run(blocks(1000, 8), path)

    again = run(blocks(1008, 2), path)

    assert not any(one.approved for one in again.verdicts[-1:])
    assert "of its claims came true" in again.verdicts[-1].why
    assert replay(again.journal, agents=[Boaster()]).identical


class Buyer(msgspec.Struct, frozen=True, kw_only=True):
    """Buys one WETH a block, and claims nothing."""

    name: str

    def on_block(self, view: tk.View) -> Iterable[tk.Intent]:
        """Return the wish."""
        view.price("price/WETH-DAI")
        leg = tk.Leg(token_in=DAI.address, token_out=WETH.address, amount_in=2000 * 10**18)
        yield tk.Intent(agent=self.name, legs=(leg,), edge_wei=0)


def test_what_a_former_agent_holds_counts_for_all_agents_risk(tmp_path: Path) -> None:
    """An agent that is not asked any more still has its position, and the account its risk."""
    path = tmp_path / "journal.db"
    decide(
        [Buyer(name="a")],
        blocks(1000, 3),
        capital=DAI_CAPITAL,
        market=DAI_MARKET,
        journal=path,
    )

    after = decide(
        [Buyer(name="b")],
        blocks(1003, 1),
        capital=DAI_CAPITAL,
        market=DAI_MARKET,
        limits=Limits(class_risk_wei=10**16),
        journal=path,
    )

    assert VetoCause.LIMIT == after.verdicts[-1].cause
    assert "all agents' risk in it leaves 0 wei" in after.verdicts[-1].why
