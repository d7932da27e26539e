import random
from collections import Counter
from collections.abc import Iterator

import msgspec
import pytest

from tests.pools.deployed import Deployed
from tests.pools.forks import Chain, Positions, check, entry, follow, head_of
from toolkit.model.errors import PoolError
from toolkit.pools.history import Followed

SEQUENCES = 300
GENUINE = 15


@pytest.fixture
def chain() -> Iterator[Chain]:
    """A chain of ten blocks, all of them kept."""
    rng = random.Random(7)
    chain = Chain(Positions(rng), rng, depth=64)
    for _ in range(10):
        chain.grow()
    yield chain
    chain.compare()


def test_following_equals_a_rebuild_over_any_events_and_reorgs(seed: int) -> None:
    """300 fresh chains of random events and forks: the state is what the positions make it."""
    came_up: Counter[str] = Counter()
    for offset in range(SEQUENCES):
        came_up += check(seed + offset)

    # Each of the things that can go wrong has to have come up.
    assert (
        min(came_up[what] for what in ("logs", "reorgs", "rebuilds", "nets of 0")) > SEQUENCES / 4
    )


def test_following_equals_the_storage_of_the_genuine_contracts(seed: int) -> None:
    """The official bytecode writes the logs, and its storage is the truth, over forks too."""
    pytest.importorskip("pyrevm", reason="pyrevm has no wheel here; the modelled chains still run")
    came_up: Counter[str] = Counter()
    for offset in range(GENUINE):
        rng = random.Random(seed + offset)
        came_up += follow(Chain(Deployed(rng), rng, depth=rng.choice([1, 3, 64])))

    assert min(came_up[what] for what in ("logs", "reorgs", "rebuilds")) > GENUINE / 4


def test_going_back_gives_the_very_states_of_then(chain: Chain) -> None:
    """What undoes a block is the states before it, not their likeness computed anew."""
    before = chain.followed
    chain.grow()

    back = chain.followed.back(before.snapshot.block.hash)

    assert before == back
    assert back is not None
    for pool, state in before.snapshot.pools.items():
        assert state is back.snapshot.pools[pool]
    chain.reorganise()


def test_a_block_that_is_not_kept_cannot_be_gone_back_to(chain: Chain) -> None:
    """Deeper than kept, or unknown: None, and the caller loads."""
    oldest = chain.blocks[0].head
    shallow = msgspec.structs.replace(chain.followed, undos=chain.followed.undos[1:])

    assert chain.followed.back(oldest.hash) is not None
    assert shallow.back(oldest.hash) is None
    assert {block.head.hash for block in chain.blocks[1:]} == shallow.reach.keys()


def test_no_more_blocks_are_kept_than_asked_for(chain: Chain) -> None:
    """What is kept is bounded by `depth`, and 0 keeps nothing."""
    for depth in (0, 2):
        followed = Followed(snapshot=chain.followed.snapshot, depth=depth)
        head = followed.snapshot.block
        for _ in range(5):
            head = head_of(head.number + 1, head.hash, chain.rng)
            followed = followed.forward(head, [])

        assert depth == len(followed.undos)


def test_a_negative_depth_is_refused(chain: Chain) -> None:
    """Fewer than no blocks cannot be kept."""
    with pytest.raises(PoolError, match="depth: -1 blocks cannot be kept"):
        Followed(snapshot=chain.followed.snapshot, depth=-1)


@pytest.mark.parametrize("what", ["parent", "number"])
def test_only_the_child_of_the_head_follows_it(chain: Chain, what: str) -> None:
    """A gap or another parent is refused, naming both blocks; nothing is changed."""
    head = chain.followed.snapshot.block
    child = head_of(head.number + 1, head.hash, chain.rng)
    wrong = (
        msgspec.structs.replace(child, parent_hash=child.hash)
        if what == "parent"
        else msgspec.structs.replace(child, number=head.number + 2)
    )

    with pytest.raises(PoolError, match=f"does not follow block {head.number} {head.hash}"):
        chain.followed.forward(wrong, [])


def test_a_log_of_another_block_is_refused(chain: Chain) -> None:
    """Logs of two forks are never mixed."""
    head = chain.followed.snapshot.block
    child = head_of(head.number + 1, head.hash, chain.rng)
    (log, *_) = Positions(random.Random(1)).act()

    with pytest.raises(PoolError, match="block_hash: a log of block"):
        chain.followed.forward(child, [entry(log, head, 0)])


def test_a_log_given_twice_is_refused(chain: Chain) -> None:
    """Applied twice, a Mint would count twice."""
    head = chain.followed.snapshot.block
    child = head_of(head.number + 1, head.hash, chain.rng)
    (log, *_) = Positions(random.Random(1)).act()

    with pytest.raises(PoolError, match="log_index: 3 is given twice"):
        chain.followed.forward(child, [entry(log, child, 3)] * 2)


def test_a_correction_can_be_gone_back_over(chain: Chain) -> None:
    """A state that was read holds for the head; the blocks it does not tell are no longer kept."""
    hashes = [block.head.hash for block in chain.blocks]
    pool = next(iter(chain.followed.snapshot.pools.values()))
    read = msgspec.structs.replace(pool, reserve0=7)

    corrected = chain.followed.corrected({pool.id: read}, since=hashes[6])

    assert corrected.snapshot.pools[pool.id] == read
    assert corrected.back(hashes[8]) is None
    for at in (6, 3):
        was, now = chain.followed.back(hashes[at]), corrected.back(hashes[at])
        assert was is not None
        assert was == now


def test_a_correction_of_the_head_alone_keeps_every_block(chain: Chain) -> None:
    """Read at the head and since the head: nothing before it is in doubt."""
    pool = next(iter(chain.followed.snapshot.pools.values()))
    read = msgspec.structs.replace(pool, reserve0=7)

    corrected = chain.followed.corrected({pool.id: read}, since=chain.blocks[-1].head.hash)

    assert corrected.undos == chain.followed.undos
    assert chain.followed.corrected({}, since=chain.blocks[2].head.hash) is chain.followed


def test_a_correction_since_an_unknown_block_keeps_none(chain: Chain) -> None:
    """Where the last sure block is no longer at hand, nothing can be gone back to."""
    pool = next(iter(chain.followed.snapshot.pools.values()))

    corrected = chain.followed.corrected({pool.id: pool}, since=chain.blocks[0].head.parent_hash)

    assert corrected.undos == ()
