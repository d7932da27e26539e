"""Where values come from."""

import random

import msgspec
import pytest

from toolkit.model.chain import Hash
from toolkit.model.decision import Reading
from toolkit.model.errors import ConfigError
from toolkit.model.provenance import Provenance, derived, of_reading


def reading(key: str, block: int, *, most: int = 1, quality: float = 1.0) -> Reading:
    """A reading of a block."""
    return Reading(
        key=key,
        value="1",
        source=f"feed of {key}",
        block_number=block,
        block_hash=Hash(f"0x{block:064x}"),
        observed_at=block * 12,
        max_age_blocks=most,
        quality=quality,
    )


def test_a_derived_value_is_as_bad_as_the_worst_it_rests_on() -> None:
    """The oldest block and date, the earliest deadline, the lowest quality, every origin."""
    old = of_reading(reading("a", 5, most=9, quality=0.9))
    brief = of_reading(reading("b", 7, most=0, quality=0.4))
    made = derived(brief, old, source="agent")

    assert (5, 60, 8, 0.4) == (
        made.block_number,
        made.observed_at,
        made.deadline_block,
        made.quality,
    )
    assert ["a", "b"] == [origin.key for origin in made.origins]
    assert 4 == made.age(9)


def test_a_makers_own_deadline_can_only_be_earlier() -> None:
    """Nobody prolongs what was inherited."""
    parent = of_reading(reading("a", 5, most=2))

    assert 8 == derived(parent, source="x", deadline_block=1000).deadline_block
    assert 6 == derived(parent, source="x", deadline_block=6).deadline_block


def test_derivation_is_the_same_in_any_order_and_in_any_steps() -> None:
    """It does not matter in which order, or through how many hands, a value was made."""
    rng = random.Random(4)
    for _ in range(200):
        parents = [
            of_reading(reading(rng.choice("abcd"), rng.randrange(9), most=rng.randrange(4)))
            for _ in range(rng.randrange(2, 6))
        ]
        whole = derived(*parents, source="s")
        shuffled = rng.sample(parents, len(parents))
        cut = rng.randrange(1, len(parents))
        steps = derived(derived(*shuffled[:cut], source="t"), *shuffled[cut:], source="s")

        assert whole == steps


def test_it_tells_which_blocks_it_rests_on() -> None:
    """Whatever was derived from a block that is reverted can be found."""
    made = derived(of_reading(reading("a", 5)), of_reading(reading("b", 7)), source="s")

    assert made.rests_on(reading("a", 5).block_hash)
    assert not made.rests_on(reading("a", 6).block_hash)


def test_a_value_made_of_nothing_is_refused() -> None:
    """There is no provenance without something that it comes from."""
    with pytest.raises(ConfigError, match="rests on nothing"):
        derived(source="agent")


def test_it_survives_the_journal() -> None:
    """Its JSON gives the same value back, version and all."""
    made = derived(of_reading(reading("a", 5)), source="s")

    assert made == msgspec.json.decode(msgspec.json.encode(made), type=Provenance)
    assert 1 == made.version
