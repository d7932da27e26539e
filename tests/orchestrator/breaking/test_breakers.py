"""Breakers open at once, become half-open after calm, and close by probes or by a person."""

import random

import msgspec
import pytest

from tests.orchestrator.worlds import fresh_seeds
from toolkit.model.decision import TradingState
from toolkit.model.errors import ConfigError
from toolkit.orchestrator.breaking.breakers import (
    PROBE_PATIENCE,
    BreakerChange,
    BreakerMemory,
    Breakers,
    Phase,
)
from toolkit.orchestrator.breaking.gauges import Facts, Settled
from toolkit.orchestrator.breaking.hazards import BreakerLimits, Evidence, Hazard

COOL = 4
AGENTS = ("a", "b", "c")


def breakers(**limits: object) -> Breakers:
    values = {"cooldown_blocks": COOL, "probes": 2, "probe_wei": 7} | limits
    return Breakers(BreakerLimits(**values), AGENTS)  # type: ignore[arg-type]


def facts(block: int, **changes: object) -> Facts:
    values: dict[str, object] = {"block_number": block, "base_fee_wei": 10**9}
    return Facts(**(values | changes))  # type: ignore[arg-type]


def probe_landed(name: str, *, landed: bool = True) -> Settled:
    return Settled(verdict_id=name, landed=landed, mined=landed, shortfall_bps=0)


def half_open(**limits: object) -> Breakers:
    """Breakers whose clock has been wrong in block 1, and right since."""
    one = breakers(**limits)
    for block in range(1, 2 + COOL):
        one.observe(facts(block, clock_skew_s=999 if block == 1 else 0))
    assert [Phase.HALF_OPEN] == [each.phase for each in one.tripped]
    return one


def test_evidence_binds_the_block_that_shows_it() -> None:
    """The change is told with its evidence, and the state has changed when `observe` returns."""
    one = breakers()
    (change,) = one.observe(facts(5, clock_skew_s=-999))

    assert TradingState.HALTED is one.state
    assert change == BreakerChange(
        hazard=Hazard.CLOCK,
        phase=Phase.OPEN,
        block_number=5,
        state=TradingState.HALTED,
        evidence=Evidence(
            why="the head's timestamp is behind our clock (seconds)", measured=999, bound=60
        ),
        by="evidence",
    )


def test_what_does_not_halt_reduces() -> None:
    """A flood lets exposure be lowered; beside a halting breaker nothing is let."""
    one = breakers()
    states = []
    for block in (facts(1, messages=10**6), facts(2, reverted=9)):
        one.observe(block)
        states.append(one.state)

    assert [TradingState.REDUCING, TradingState.HALTED] == states


def test_evidence_again_is_no_news() -> None:
    """While the evidence lasts the breaker stays open, and nothing is journalled twice."""
    one = breakers()
    changes = [one.observe(facts(block, clock_skew_s=999)) for block in range(1, 20)]

    assert [1] + [0] * 18 == [len(each) for each in changes]


def test_calm_makes_half_open_and_not_a_block_earlier() -> None:
    """Calm is counted from the last evidence, not from the first."""
    one = breakers()
    for block in (1, 2, 3):
        one.observe(facts(block, clock_skew_s=999))
    changes = [one.observe(facts(block)) for block in range(4, 4 + COOL)]

    assert [0] * (COOL - 1) + [1] == [len(each) for each in changes]
    assert (TradingState.REDUCING, 7) == (one.state, one.probe_wei)


def test_no_probe_while_another_breaker_is_open() -> None:
    """A half-open breaker lets nothing through another one's gate."""
    one = half_open()
    one.observe(facts(50, messages=10**6))

    assert one.probe_wei is None


def test_one_probe_at_a_time() -> None:
    """As long as a probe's outcome is not known, no other is let through."""
    one = half_open()
    one.probe({"9-0": 10})

    assert (TradingState.REDUCING, None) == (one.state, one.probe_wei)


def test_probes_that_land_close() -> None:
    """The second probe that lands as predicted closes the breaker, and everything is permitted."""
    one = half_open()
    one.probe({"9-0": 10})
    first = one.observe(facts(10, settled=[probe_landed("9-0")]))
    one.probe({"10-0": 11})
    second = one.observe(facts(11, settled=[probe_landed("10-0")]))

    assert () == first
    assert [(Phase.CLOSED, "probes", TradingState.ACTIVE)] == [
        (one.phase, one.by, one.state) for one in second
    ]
    assert (TradingState.ACTIVE, None, "") == (one.state, one.probe_wei, one.why)


def test_a_probe_that_misses_proves_nothing() -> None:
    """It is neither counted nor held against anything; the next probe may be made."""
    one = half_open(probes=1)
    one.probe({"9-0": 10})
    one.observe(facts(10, settled=[probe_landed("9-0", landed=False)]))

    assert ([Phase.HALF_OPEN], 7) == ([each.phase for each in one.tripped], one.probe_wei)


def test_a_fill_that_was_no_probe_proves_nothing() -> None:
    """What was sent before the breaker opened does not close it."""
    one = half_open(probes=1)
    one.observe(facts(10, settled=[probe_landed("0-0")]))

    assert [Phase.HALF_OPEN] == [each.phase for each in one.tripped]


def test_a_probe_that_nobody_hears_of_is_given_up() -> None:
    """Some blocks after its target another may be made."""
    one = half_open()
    one.probe({"9-0": 10})
    seen = []
    for block in (10 + PROBE_PATIENCE, 11 + PROBE_PATIENCE):
        one.observe(facts(block))
        seen.append(one.probe_wei)

    assert [None, 7] == seen


def test_evidence_opens_what_was_half_open_and_probes_count_anew() -> None:
    """After evidence the cooldown and both probes begin again."""
    one = half_open()
    one.probe({"9-0": 10})
    one.observe(facts(10, settled=[probe_landed("9-0")]))
    (again,) = one.observe(facts(11, clock_skew_s=999))

    assert (Phase.OPEN, TradingState.HALTED) == (again.phase, again.state)
    assert [0] == [each.landed for each in one.tripped]


def test_a_probe_that_lands_among_evidence_is_no_proof() -> None:
    """A probe counts only in a block that shows nothing wrong."""
    one = half_open(probes=1)
    one.probe({"9-0": 10})
    one.observe(facts(10, settled=[probe_landed("9-0")], messages=10**6))

    assert {Hazard.CLOCK, Hazard.MESSAGES} == {each.hazard for each in one.tripped}


@pytest.mark.parametrize("calm", [COOL, 1000])
def test_some_breakers_wait_for_a_person(calm: int) -> None:
    """No calm is long enough to close a drawdown."""
    one = breakers()
    one.observe(facts(1, gain_wei=0, capital_wei=100))
    one.observe(facts(2, gain_wei=-50, capital_wei=100))
    one.observe(facts(2 + calm, gain_wei=0, capital_wei=100))

    assert [Phase.OPEN] == [each.phase for each in one.tripped]


def test_a_reset_closes_and_measures_anew() -> None:
    """After a reset the loss that was seen is the new beginning."""
    one = breakers()
    one.observe(facts(1, gain_wei=0, capital_wei=100))
    one.observe(facts(2, gain_wei=-50, capital_wei=100))
    (change,) = one.reset("drawdown", block=2)
    later = one.observe(facts(3, gain_wei=-50, capital_wei=100))

    assert (Phase.CLOSED, "command", TradingState.ACTIVE) == (
        change.phase,
        change.by,
        change.state,
    )
    assert () == later


def test_a_reset_of_one_leaves_the_others() -> None:
    """Each breaker is reset by its name; "all" is all of them."""
    one = breakers()
    one.halt("enough", block=0)
    one.observe(facts(1, messages=10**6, reverted=9))
    one.reset("reorg", block=1)

    assert {Hazard.HALT, Hazard.MESSAGES} == {each.hazard for each in one.tripped}
    one.reset("all", block=1)
    assert TradingState.ACTIVE is one.state


def test_a_halt_is_ended_by_a_person_only() -> None:
    """A person's halt says that person's reason, and no calm ends it."""
    one = breakers()
    one.halt("enough", block=0)
    for block in range(1, 100):
        one.observe(facts(block))

    assert (TradingState.HALTED, "enough") == (one.state, one.why)


def test_deaths_open_as_soon_as_they_are_known() -> None:
    """Two of three agents dead reduce at once."""
    one = breakers()

    assert () == one.bury(["a"], [])
    assert [Hazard.AGENTS] == [each.hazard for each in one.bury(["a", "b"], [])]
    assert TradingState.REDUCING is one.state


def test_what_is_off_never_opens_by_evidence() -> None:
    """A breaker that is off stays closed; a person's halt cannot be off."""
    one = breakers(off=(Hazard.CLOCK, Hazard.HALT))
    one.observe(facts(1, clock_skew_s=999))
    before = one.state
    one.halt("enough", block=0)

    assert (TradingState.ACTIVE, TradingState.HALTED) == (before, one.state)


def test_the_memory_survives_json_and_goes_on_the_same() -> None:
    """Whatever happened, breakers that resume from a decoded memory go on as the others do."""
    for seed in fresh_seeds(200):
        rng = random.Random(seed)
        one, other = breakers(), breakers()
        for block in range(1, 30):
            changes = _anything(block, rng)
            assert one.observe(changes) == other.observe(changes), f"seed {seed}"
            one.probe({f"{block}-0": block + 1})
            other.probe({f"{block}-0": block + 1})
            assert (one.state, one.probe_wei, one.why) == (other.state, other.probe_wei, other.why)
            stored = msgspec.json.encode(other.memory())
            other = breakers()
            other.resume(msgspec.json.decode(stored, type=BreakerMemory))


def _anything(block: int, rng: random.Random) -> Facts:
    return facts(
        block,
        gain_wei=rng.choice([0, 0, 5, -10, None]),
        capital_wei=100,
        clock_skew_s=rng.choice([0, 0, 0, 0, 99]),
        reverted=rng.choice([0, 0, 0, 0, 1, 4]),
        settled=[probe_landed(f"{block - 1}-0", landed=rng.random() < 0.7)],
    )


@pytest.mark.parametrize(
    ("limits", "named"),
    [
        ({"drawdown_ppm": 0}, "breakers.drawdown_ppm is 0"),
        ({"drawdown_ppm": 1_000_001}, "breakers.drawdown_ppm is 1000001"),
        ({"messages": -1}, "breakers.messages is -1"),
        ({"cooldown_blocks": True}, "breakers.cooldown_blocks is True"),
        ({"clock_skew_s": 0.5}, "breakers.clock_skew_s is 0.5"),
        ({"off": ("gass",)}, "breakers.off holds 'gass'; give hazards of: drawdown"),
        ({"halting": ()}, "a person's halt halts"),
        ({"manual": ()}, "a person's halt halts"),
        ({"essential": ("nobody",)}, "breakers.essential names 'nobody'"),
    ],
)
def test_limits_that_cannot_be_are_refused(limits: dict[str, object], named: str) -> None:
    """Each with the field and the value."""
    with pytest.raises(ConfigError, match=named.replace("(", "\\(")):
        Breakers(BreakerLimits(**limits), AGENTS)  # type: ignore[arg-type]


def test_a_probe_that_could_never_be_made_is_refused() -> None:
    """Below the smallest trade no probe could pass."""
    with pytest.raises(ConfigError, match="no probe could ever be made"):
        Breakers(BreakerLimits(probe_wei=9), AGENTS, min_trade_wei=10)


WAYS = {
    (Phase.CLOSED, Phase.OPEN, "evidence"),
    (Phase.CLOSED, Phase.OPEN, "command"),
    (Phase.OPEN, Phase.HALF_OPEN, "calm"),
    (Phase.HALF_OPEN, Phase.OPEN, "evidence"),
    (Phase.HALF_OPEN, Phase.CLOSED, "probes"),
    (Phase.OPEN, Phase.CLOSED, "command"),
    (Phase.HALF_OPEN, Phase.CLOSED, "command"),
}


def test_there_is_no_other_way_than_these() -> None:
    """Whatever happens, each change goes one of seven ways, and tells the state that follows."""
    for seed in fresh_seeds(200):
        rng, one = random.Random(seed), breakers()
        phases: dict[Hazard, Phase] = {}
        for block in range(1, 40):
            changes: list[BreakerChange] = []
            if rng.random() < 0.05:
                changes += one.halt("enough", block=block)
            if rng.random() < 0.1:
                changes += one.reset(rng.choice(["all", "halt", "drawdown"]), block=block)
            changes += one.observe(_anything(block, rng))
            changes += one.bury(rng.sample(AGENTS, rng.randrange(3)), [])
            one.probe({f"{block}-0": block + 1})
            for change in changes:
                before = phases.pop(change.hazard, Phase.CLOSED)
                assert (before, change.phase, change.by) in WAYS, f"seed {seed}, block {block}"
                assert change.evidence.measured >= change.evidence.bound
                if change.phase is not Phase.CLOSED:
                    phases[change.hazard] = change.phase
            if changes:
                assert one.state is changes[-1].state
            assert phases == {each.hazard: each.phase for each in one.tripped}
            assert (one.state is TradingState.ACTIVE) == (not phases)
            assert one.probe_wei is None or set(phases.values()) == {Phase.HALF_OPEN}
