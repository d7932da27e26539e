"""Each gauge finds its evidence at its bound and not one unit before it."""

import random
from typing import Any

import pytest

from tests.orchestrator.worlds import fresh_seeds
from toolkit.model.units import PPM
from toolkit.orchestrator.breaking.gauges import MIN_FEES, Facts, Gauges, Settled, shortfall_bps
from toolkit.orchestrator.breaking.hazards import BreakerLimits, Evidence, Hazard

ETHER = 10**18
AGENTS = ("a", "b", "c", "d")


def gauges(**limits: object) -> Gauges:
    return Gauges(BreakerLimits(**limits), AGENTS)  # type: ignore[arg-type]


def facts(block: int = 1, **changes: object) -> Facts:
    values: dict[str, object] = {"block_number": block, "base_fee_wei": 10**9}
    return Facts(**(values | changes))  # type: ignore[arg-type]


def landed(shortfall: int = 0, *, gas_over_wei: int = 0) -> Settled:
    return Settled(
        verdict_id="7-0",
        landed=True,
        mined=True,
        shortfall_bps=shortfall,
        gas_over_wei=gas_over_wei,
    )


REVERTED = Settled(verdict_id="8-0", landed=False, mined=True, shortfall_bps=10_000)
MISSED = Settled(verdict_id="9-0", landed=False, mined=False, shortfall_bps=10_000)


@pytest.mark.parametrize("seed", [1, *fresh_seeds(5)], ids=lambda _: "seed")
def test_gas_is_held_against_the_median_of_the_window(seed: int) -> None:
    """Fees found dear are those of a plain look at the whole window, also after a restart."""
    rng = random.Random(seed)
    one, window = gauges(gas_window=16, gas_factor=3), [10**9]
    one.read(facts())
    for _ in range(200):
        fee = rng.choice([1, 1, 2, 3, 5, 9, 40]) * 10**8
        usual = sorted(window)[len(window) // 2]
        is_dear = len(window) >= MIN_FEES and fee >= 3 * usual

        assert is_dear == (Hazard.GAS in one.read(facts(base_fee_wei=fee))), seed
        window = [*window, fee][-16:]
        if rng.random() < 0.1:
            memory, one = one.memory, gauges(gas_window=16, gas_factor=3)
            one.resume(memory)
        assert tuple(window) == one.memory.fees


def test_nothing_is_found_in_a_quiet_block() -> None:
    """A block like all others is evidence of nothing."""
    assert {} == gauges().read(facts())


@pytest.mark.parametrize(("fall_wei", "is_found"), [(5 * ETHER - 1, False), (5 * ETHER, True)])
def test_a_drawdown_is_measured_from_the_best(fall_wei: int, *, is_found: bool) -> None:
    """5 % of 100 ETH capital lost from the peak is evidence, whatever was gained before."""
    one = gauges(drawdown_ppm=50_000)
    for gain in (0, 30 * ETHER, 30 * ETHER - fall_wei):
        found = one.read(facts(gain_wei=gain, capital_wei=100 * ETHER))

    assert is_found == (Hazard.DRAWDOWN in found)


def test_a_drawdown_without_capital_is_any_loss() -> None:
    """Where nothing was there to begin with, a wei lost is more than any share of it."""
    one = gauges()
    one.read(facts(gain_wei=10))

    assert Hazard.DRAWDOWN in one.read(facts(gain_wei=9))


def test_a_loss_on_all_chains_together_is_evidence_on_each() -> None:
    """3 of 100 ether lost here and 8 of 100 there are more than 5 % of 200, and not of 100 here."""
    one = gauges(drawdown_ppm=50_000)
    one.read(facts(capital_wei=100 * ETHER, elsewhere={"b": (0, 100 * ETHER)}))
    found = one.read(
        facts(
            gain_wei=-3 * ETHER, capital_wei=100 * ETHER, elsewhere={"b": (-8 * ETHER, 100 * ETHER)}
        )
    )

    assert "on all chains together" in found[Hazard.DRAWDOWN].why
    assert 55_000 == found[Hazard.DRAWDOWN].measured


def test_a_chain_that_comes_in_or_is_not_heard_of_is_no_loss() -> None:
    """Another chain brings its loss along; until all are heard of again nothing is compared."""
    one = gauges(drawdown_ppm=50_000)
    rich = {"b": (20 * ETHER, 0)}
    seen = [
        one.read(facts(capital_wei=100 * ETHER, elsewhere=rich)),
        one.read(facts(capital_wei=100 * ETHER, elsewhere={**rich, "c": (-50 * ETHER, 0)})),
        one.read(facts(capital_wei=100 * ETHER, elsewhere={"c": (-50 * ETHER, 0)})),
        one.read(facts(capital_wei=100 * ETHER, elsewhere={**rich, "c": (-54 * ETHER, 0)})),
        one.read(facts(capital_wei=100 * ETHER, elsewhere={**rich, "c": (-55 * ETHER, 0)})),
    ]

    assert [False] * 4 + [True] == [Hazard.DRAWDOWN in found for found in seen]


@pytest.mark.parametrize(("bps", "is_found"), [(199, False), (200, True)])
def test_sources_that_differ_are_evidence(bps: int, *, is_found: bool) -> None:
    """Two prices of one token may differ by less than the bound."""
    found = gauges(deviation_bps=200).read(facts(deviation=(bps, "WETH")))

    assert is_found == (Hazard.ORACLE in found)


def test_a_fact_in_doubt_is_named() -> None:
    """What the blackboard doubts is evidence, with its reason."""
    found = gauges().read(facts(doubts={"price/WETH": "frozen since 12"}))

    assert "price/WETH: frozen since 12" in found[Hazard.ORACLE].why


def test_what_cannot_be_valued_is_evidence_and_no_drawdown() -> None:
    """Without a price there is no gain to compare, which is an evil of its own."""
    found = gauges().read(facts(gain_wei=None))

    assert {Hazard.ORACLE} == set(found)


@pytest.mark.parametrize(("times", "is_found"), [(9, False), (10, True), (20, True)])
def test_gas_is_measured_by_the_usual_fee(times: int, *, is_found: bool) -> None:
    """A base fee of ten times the median of the window is evidence."""
    one = gauges(gas_factor=10)
    for block in range(MIN_FEES):
        one.read(facts(block))
    found = one.read(facts(base_fee_wei=times * 10**9))

    assert is_found == (Hazard.GAS in found)


def test_gas_is_not_judged_before_the_usual_is_known() -> None:
    """The first blocks of a run have nothing to be compared with."""
    one = gauges()
    for block in range(MIN_FEES - 1):
        one.read(facts(block))

    assert {} == one.read(facts(base_fee_wei=10**12))


def test_a_fee_that_stays_becomes_the_usual() -> None:
    """After half a window at the new level there is no evidence any more."""
    one = gauges(gas_window=32)
    for block in range(32):
        one.read(facts(block))
    found = [one.read(facts(block, base_fee_wei=10**11)) for block in range(32, 64)]

    assert Hazard.GAS in found[0]
    assert {} == found[-1]


@pytest.mark.parametrize(("depth", "is_found"), [(2, False), (3, True)])
def test_a_deep_reorg_is_evidence_at_once(depth: int, *, is_found: bool) -> None:
    """Three blocks taken back at once are too many."""
    assert is_found == (Hazard.REORG in gauges(reorg_depth=3).read(facts(reverted=depth)))


def test_many_small_reorgs_are_evidence_within_the_window_only() -> None:
    """Eight single blocks within 64 are too many, and are forgotten after 64."""
    one = gauges(reorg_blocks=8, reorg_window=64)
    found = [one.read(facts(block, reverted=1)) for block in range(8)]
    later = one.read(facts(8 + 64))

    assert [False] * 7 + [True] == [Hazard.REORG in each for each in found]
    assert {} == later


@pytest.mark.parametrize(
    ("settled", "is_found"),
    [
        ([landed(99)], False),
        ([landed(100)], True),
        ([landed(0, gas_over_wei=1)], True),
        ([MISSED] * 9, False),
        ([REVERTED] * 2, False),
        ([REVERTED, landed(), REVERTED, REVERTED], True),
    ],
)
def test_fills_are_held_against_their_plans(settled: list[Settled], *, is_found: bool) -> None:
    """One fill far short of its prediction, or three mined reverts of sixteen, are evidence."""
    one = gauges(shortfall_bps=100, reverts=3)

    assert is_found == (Hazard.SIMULATION in one.read(facts(settled=settled)))


def test_old_reverts_are_evidence_once() -> None:
    """What was found with the last revert is not found again with every good fill after it."""
    one = gauges(reverts=3)
    one.read(facts(settled=[REVERTED] * 3))

    assert {} == one.read(facts(settled=[landed()]))


def test_a_shortfall_counts_what_is_missing() -> None:
    """1 % less is 100 bps; more than predicted is none; so is anything where nothing was."""
    assert [100, 0, 0] == [
        shortfall_bps(predicted=10_000, realised=9_900),
        shortfall_bps(predicted=10_000, realised=10_001),
        shortfall_bps(predicted=0, realised=-5),
    ]


@pytest.mark.parametrize(
    ("changes", "is_found"),
    [
        ({"messages": 19_999}, False),
        ({"messages": 20_000}, True),
        ({"dropped": {"state": 10**6}}, False),
        ({"dropped": {"money": 1}}, True),
        ({"dropped": {"command": 1}}, True),
    ],
)
def test_messages(changes: dict[str, Any], *, is_found: bool) -> None:
    """A flood is evidence, and so is one lost message of a class that loses none."""
    assert is_found == (Hazard.MESSAGES in gauges().read(facts(**changes)))


@pytest.mark.parametrize(("skew", "is_found"), [(59, False), (-59, False), (60, True), (-60, True)])
def test_a_clock_may_be_wrong_either_way(skew: int, *, is_found: bool) -> None:
    """A minute between the head's time and ours is evidence, before or after."""
    assert is_found == (Hazard.CLOCK in gauges(clock_skew_s=60).read(facts(clock_skew_s=skew)))


def test_more_than_half_of_the_agents_dead_is_evidence() -> None:
    """Two of four are not, three are."""
    one = gauges(dead_ppm=PPM // 2)

    assert one.bury(["a", "b"], []) is None
    assert one.bury(["a", "b", "c"], []) == Evidence(
        why="3 of 4 agents are dead: a, b, c", measured=750_000, bound=500_000
    )


def test_one_death_is_no_evidence_alone() -> None:
    """In a system of one or two agents a single quarantine stops nobody else."""
    assert Gauges(BreakerLimits(), ["only"]).bury(["only"], []) is None


def test_an_essential_agent_is_missed_alone() -> None:
    """One essential agent's death is enough."""
    assert gauges(essential=("b",)).bury(["b"], []) is not None


def test_silence_in_a_row_is_death() -> None:
    """An agent whose answer did not come three times in a row is dead; once between, and not."""
    one = gauges(essential=("b",), lost_blocks=3)
    found = [one.bury([], ["b"] if silent else []) for silent in (1, 1, 0, 1, 1, 1)]

    assert [False] * 5 + [True] == [each is not None for each in found]


def test_known_deaths_are_no_news() -> None:
    """After a person has taken note, only further deaths count, and of the living."""
    one = gauges()
    one.bury(["a", "b", "c"], [])
    one.forget(Hazard.AGENTS)

    assert one.bury(["a", "b", "c"], []) is None


@pytest.mark.parametrize("hazard", [Hazard.DRAWDOWN, Hazard.GAS, Hazard.REORG])
def test_a_reset_measures_from_here_on(hazard: Hazard) -> None:
    """What was found is not found again in the next block after somebody has seen it."""
    one = gauges()
    for block in range(MIN_FEES):
        one.read(facts(block, gain_wei=0, capital_wei=ETHER, reverted=0))
    bad = facts(99, gain_wei=-ETHER, capital_wei=ETHER, reverted=8, base_fee_wei=10**12)
    after = facts(100, gain_wei=-ETHER, capital_wei=ETHER, base_fee_wei=10**12)

    assert hazard in one.read(bad)
    one.forget(hazard)
    assert hazard not in one.read(after)
