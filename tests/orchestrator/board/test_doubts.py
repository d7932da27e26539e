"""Which of several sources are believed."""

import random
from collections.abc import Callable, Mapping, Sequence

import msgspec
import pytest

from toolkit.model.chain import ZERO_HASH, Hash
from toolkit.model.decision import Reading
from toolkit.model.errors import ConfigError
from toolkit.orchestrator.board.doubts import (
    DoubtMemory,
    DoubtWatch,
    FactRule,
    doubts,
    with_defaults,
)

THREE = FactRule(key="a", sources=("b", "c"))
Said = Sequence[float | str]


def told(
    values: Mapping[str, Said], *, start: int = 100, most: int = 1, recorded: bool = False
) -> dict[str, tuple[Reading, ...]]:
    """What sources said, one value a block."""
    return {
        key: tuple(
            Reading(
                key=key,
                value=value,
                source=f"feed of {key}",
                block_number=start + n,
                block_hash=ZERO_HASH if recorded else Hash(f"0x{start + n:064x}"),
                observed_at=(start + n) * 12,
                max_age_blocks=most,
            )
            for n, value in enumerate(said)
        )
        for key, said in values.items()
    }


def doubted(rule: FactRule, values: Mapping[str, Said], block: int | None = None) -> list[str]:
    """Who is in doubt after all that was said."""
    readings = told(values)
    last = max(series[-1].block_number for series in readings.values())
    return list(doubts(rule, readings, last if block is None else block))


def walk(seed: int, count: int, *, step: float = 1e-3) -> list[float]:
    """A random walk from 2000."""
    rng = random.Random(seed)
    made = [2000.0]
    for _ in range(count - 1):
        made.append(made[-1] * (1 + rng.choice((-step, step))))
    return made


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"a": [100.0], "b": [101.0], "c": ["102.5"]}, []),
        ({"a": [100.0], "b": [101.0], "c": [120.0]}, ["c"]),
        ({"a": [100.0], "b": [120.0], "c": [140.0]}, ["a", "b", "c"]),
        ({"a": [100.0], "b": [120.0]}, ["a", "b"]),
        ({"a": [100.0], "b": [105.0]}, []),
        ({"a": [100.0], "b": [105.1]}, ["a", "b"]),
        ({"a": [100.0], "b": ["rubbish"], "c": [100.0]}, ["b"]),
        ({"a": [float("nan")], "b": [-1.0], "c": [100.0]}, ["a", "b"]),
    ],
)
def test_only_what_a_majority_agrees_with_is_believed(
    values: Mapping[str, Said], expected: list[str]
) -> None:
    """Two that disagree are both in doubt; one against two is in doubt alone."""
    assert expected == doubted(THREE, values)


def test_four_that_are_split_evenly_are_all_in_doubt() -> None:
    """Half is no majority."""
    rule = FactRule(key="a", sources=("b", "c", "d"))

    assert ["a", "b", "c", "d"] == doubted(
        rule, {"a": [100.0], "b": [100.0], "c": [120.0], "d": [120.0]}
    )


def test_what_is_too_old_has_no_vote() -> None:
    """A source that fell silent neither confirms nor disputes."""
    old = told({"b": [100.0], "c": [100.0]}, start=90)
    new = told({"a": [100.0, 120.0]}, start=100)

    assert ["a"] == list(doubts(THREE, {**old, **new}, 101))


def test_one_alone_is_not_believed_when_it_jumps() -> None:
    """A flash lasts a block: the jump is in doubt, the way back is not."""
    rule = FactRule(key="a")
    calm = [100.0] * 12

    assert [] == doubted(rule, {"a": [*calm, 104.0]})
    assert ["a"] == doubted(rule, {"a": [*calm, 106.0]})
    assert [] == doubted(rule, {"a": [*calm, 106.0, 100.0]})


def test_a_new_level_is_believed_once_it_has_stood() -> None:
    """With nothing else to ask, a jump counts after about `confirm_after` updates."""
    rule = FactRule(key="a", confirm_after=5)
    said = [100.0] * 12
    seen: list[bool] = []
    for _ in range(8):
        said.append(120.0)
        seen.append(bool(doubted(rule, {"a": said})))

    assert [True] * 6 + [False] * 2 == seen


def test_a_jump_that_others_confirm_is_believed() -> None:
    """A crash is no manipulation when all sources see it."""
    crash = [100.0] * 12 + [70.0]

    assert [] == doubted(THREE, {"a": crash, "b": crash, "c": crash})


def test_recorded_history_is_no_feed() -> None:
    """Prices that were handed over from another time raise no doubt about the first real one."""
    past = told({"a": [100.0] * 12}, start=88, recorded=True)["a"]
    first = told({"a": [200.0]})["a"]

    assert {} == doubts(FactRule(key="a"), {"a": (*past, *first)}, 100)


@pytest.mark.parametrize("seed", range(20))
def test_a_frozen_feed_is_found_within_five_updates(seed: int) -> None:
    """Fresh dates on a value that stands still, while two others move by more than 3 sigma."""
    calm = walk(seed, 40)
    moves = [calm[-1] * (1 - 2e-3 * n) for n in range(1, 6)]
    found = [
        doubted(THREE, {"a": calm + calm[-1:] * n, "b": calm + moves[:n], "c": calm + moves[:n]})
        for n in range(1, 6)
    ]

    assert [[], [], [], [], ["a"]] == found


def test_a_feed_stays_frozen_until_it_speaks_again() -> None:
    """The others' way back does not thaw it; a new value does."""
    calm = walk(1, 40)
    there_and_back = [calm[-1] * f for f in (0.99, 0.98, 0.98, 0.99, 0.998, 1.0)]
    others = {"b": calm + there_and_back, "c": calm + there_and_back}

    assert ["a"] == doubted(THREE, {"a": calm + calm[-1:] * 6, **others})
    assert [] == doubted(THREE, {"a": [*calm, *(calm[-1:] * 5), calm[-1] * 1.0001], **others})


def test_a_market_that_stands_still_is_not_frozen() -> None:
    """One other moving, or none, proves nothing against the one that does not."""
    calm = walk(2, 40)
    still, moves = calm + calm[-1:] * 6, calm + [calm[-1] * 0.99] * 6

    assert [] == doubted(THREE, {"a": still, "b": still, "c": still})
    assert [] == doubted(THREE, {"a": still, "b": moves, "c": still})


def test_the_watch_tells_only_what_changed_and_goes_on_after_a_restart() -> None:
    """One record when a key comes into doubt, one when none is; a restart repeats neither."""
    watch = DoubtWatch([FactRule(key="a")])
    calm = [100.0] * 12
    steps = [calm, [*calm, 120.0], [*calm, 120.0, 120.0], [*calm, 120.0, 120.0, 100.0]]
    seen = [watch.judge(told({"a": said}), 99 + len(said)) for said in steps[:2]]
    again = DoubtWatch([FactRule(key="a")])
    memory = msgspec.json.decode(msgspec.json.encode(watch.memory()), type=DoubtMemory)
    again.resume(memory)
    seen += [again.judge(told({"a": said}), 99 + len(said)) for said in steps[2:]]

    assert [None, ["a"], None, []] == [one and list(one.doubts) for one in seen]
    assert {} == again.doubts


def test_prices_without_a_rule_have_the_default() -> None:
    """Nothing is believed blindly because nobody thought of it."""
    rules = with_defaults([THREE], ["a", "b", "z"])

    assert ["a", "z"] == [rule.key for rule in rules]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: FactRule(key="a", sources=("b", "b")), "names a source twice: a, b, b"),
        (lambda: FactRule(key="a", max_deviation_bps=0), "max_deviation_bps is 0"),
        (lambda: FactRule(key="a", frozen_after=64), "frozen_after is 64"),
        (lambda: DoubtWatch([FactRule(key="a"), FactRule(key="a")]), "two rules"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(make: Callable[[], object], says: str) -> None:
    """With the fact's name and the value."""
    with pytest.raises(ConfigError, match=says):
        make()
