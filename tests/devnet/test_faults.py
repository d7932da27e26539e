"""The script of faults by itself, without a node."""

import pytest

from toolkit.devnet.faults import FaultKind, FaultRates, FaultScript
from toolkit.model.errors import ConfigError

SEND = "eth_sendRawTransaction"
COUNT = "eth_getTransactionCount"


def kinds(script: FaultScript, method: str, calls: int) -> list[list[FaultKind]]:
    return [[fault.kind for fault in script.draw(method)] for _ in range(calls)]


def test_the_same_seed_and_calls_give_the_same_faults() -> None:
    """Other methods in between change nothing; another seed does."""
    rates = FaultRates(timeout_after_accept=0.2, wrong_code=0.2, stale_read=0.3, lag_s=0.1)
    one, two, other = (FaultScript(seed=seed, rates=rates) for seed in (1, 1, 2))
    first = [one.draw(SEND) for _ in range(50)]
    second = []
    for _ in range(50):
        two.draw(COUNT)
        second.append(two.draw(SEND))

    assert first == second
    assert first != [other.draw(SEND) for _ in range(50)]


def test_rates_are_kept() -> None:
    """Of 4,000 sends about a tenth is struck by each of four kinds; reads only where they can."""
    rates = FaultRates(
        timeout_after_accept=0.1, drop_after_accept=0.1, duplicate=0.1, refuse_before=0.1
    )
    script = FaultScript(seed=5, rates=rates)
    found = [kind for struck in kinds(script, SEND, 4_000) for kind in struck]
    reads = {kind for struck in kinds(script, COUNT, 1_000) for kind in struck}

    for kind in set(found):
        assert 300 < found.count(kind) < 500
        assert found.count(kind) == script.struck[SEND, kind]
    assert 4 == len(set(found))
    assert {FaultKind.REFUSE_BEFORE} == reads


def test_what_is_asked_for_comes_next_and_in_order() -> None:
    """The next calls of that method alone, then nothing more."""
    script = FaultScript()
    script.next(COUNT, "stale_read", count=2, blocks=4)
    script.next(COUNT, FaultKind.ERROR, code=-1, message="no")

    assert script.active
    assert () == script.draw(SEND)
    found = [script.draw(COUNT) for _ in range(4)]
    assert [4, 4] == [struck[0].blocks for struck in found[:2]]
    assert (-1, "no") == (found[2][0].code, found[2][0].message)
    assert () == found[3]
    assert not script.active


def test_what_moves_a_test_along_is_spared() -> None:
    """Mining, cheats and toolkit_info never fail, at whatever rate."""
    script = FaultScript(rates=FaultRates(refuse_before=1.0, lag_s=1))

    for method in ("evm_mine", "anvil_setNonce", "hardhat_mine", "toolkit_info"):
        assert () == script.draw(method)
    assert [[FaultKind.REFUSE_BEFORE, FaultKind.LAG]] == kinds(script, "eth_chainId", 1)


def test_a_cleared_script_does_nothing() -> None:
    """Rates, forced faults and reorgs are gone."""
    script = FaultScript(rates=FaultRates(duplicate=1), reorg_every=1)
    script.next(COUNT, "lag", seconds=1)
    script.clear()

    assert not script.active
    assert [0, 0] == [script.reorg_due(number) for number in (1, 2)]


@pytest.mark.parametrize(
    ("method", "kind", "fields"),
    [
        (SEND, "stale_read", {}),
        (COUNT, "drop_after_accept", {}),
        (COUNT, "nonsense", {}),
        (COUNT, "lag", {"hours": 1}),
        ("evm_mine", "refuse_before", {}),
        (SEND, "error", {"count": 0}),
    ],
)
def test_impossible_faults_are_refused(method: str, kind: str, fields: dict[str, int]) -> None:
    """An unknown kind or field, or one that cannot strike the method, is a ConfigError."""
    with pytest.raises(ConfigError):
        FaultScript().next(method, kind, **fields)


@pytest.mark.parametrize(
    "rates", [{"lag_s": -1.0}, {"reorder": -0.1}, {"reorder": 0.6, "duplicate": 0.6}]
)
def test_impossible_rates_are_refused(rates: dict[str, float]) -> None:
    """Negative ones, and those that add up to more than always."""
    with pytest.raises(ConfigError, match="rates"):
        FaultRates(**rates)


@pytest.mark.parametrize(
    "field", [{"stale_blocks": 0}, {"reorg_depth": 0}, {"reorg_every": -1}, {"hold_s": -1}]
)
def test_impossible_scripts_are_refused(field: dict[str, int]) -> None:
    """Each setting out of its range is named."""
    with pytest.raises(ConfigError, match=next(iter(field))):
        FaultScript(**field)  # type: ignore[arg-type]
