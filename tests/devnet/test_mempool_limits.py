"""Who leaves a pool that is full, and what leaves it for its age."""

import msgspec
import pytest

from tests.devnet.pool_world import (
    ALICE,
    BOB,
    CHAIN,
    GWEI,
    RICH,
    World,
    replace_chain,
    small,
)
from toolkit.devnet.mempool import Added, Mempool, PooledTransaction, PoolRefusal, PoolStatus
from toolkit.devnet.pool_limits import fair_lengths
from toolkit.devnet.pool_rules import GETH, PROFILES, RETH
from toolkit.model.chain import Address

ALL = pytest.mark.parametrize("name", list(PROFILES))


def nonces(transactions: tuple[PooledTransaction, ...]) -> list[int]:
    return [each.nonce for each in transactions]


def test_geth_answers_a_gapped_transaction_and_drops_it_beyond_the_queue() -> None:
    """The 65th queued transaction gets no error, and the highest nonce of the account goes."""
    world = World(GETH)
    for nonce in range(7, 7 + 64):
        world.send(nonce)
    highest = world.pool.queued()[-1]
    lower, beyond = world.tx(6), world.tx(200)

    assert Added(evicted=(beyond.hash,)) == world.add(beyond)
    assert Added(evicted=(highest.hash,)) == world.add(lower)
    assert 64 == len(world.pool.queued())


def test_geth_cuts_the_longest_silent_accounts_queue() -> None:
    """Beyond the queue of all accounts, the one heard of first loses its highest nonces."""
    world = World(small(GETH))  # two queued ones in all
    first, last = (world.send(nonce, sender=BOB) for nonce in (7, 8))
    added = world.add(world.tx(9))

    assert Added(evicted=(last.hash,)) == added
    assert {BOB: [7], ALICE: [9]} == {
        sender: nonces(world.pool.queued(sender)) for sender in (BOB, ALICE)
    }
    assert first == world.pool.get(first.hash)


# (pending per account, limit, guaranteed) -> kept, by hand from truncatePending.
FAIR = (
    ({"a": 20, "b": 3}, 30, 16, {"a": 20, "b": 3}),
    ({"a": 20, "b": 3}, 21, 16, {"a": 18, "b": 3}),
    ({"a": 20, "b": 3}, 10, 16, {"a": 16, "b": 3}),
    ({"a": 10, "b": 6, "c": 3}, 15, 2, {"a": 6, "b": 6, "c": 3}),
    ({"a": 10, "b": 6, "c": 3}, 14, 2, {"a": 5, "b": 5, "c": 3}),
    ({"a": 10, "b": 6, "c": 3}, 9, 2, {"a": 3, "b": 3, "c": 3}),
    ({"a": 10, "b": 6, "c": 3}, 8, 2, {"a": 2, "b": 2, "c": 2}),
    ({"a": 2, "b": 2, "c": 2}, 3, 2, {"a": 2, "b": 2, "c": 2}),
)


@pytest.mark.parametrize(("lengths", "limit", "guaranteed", "kept"), FAIR)
def test_the_largest_accounts_are_cut_alike(
    lengths: dict[Address, int], limit: int, guaranteed: int, kept: dict[Address, int]
) -> None:
    """geth cuts its largest senders to one length, and none below what is guaranteed."""
    assert kept == fair_lengths(lengths, limit=limit, guaranteed=guaranteed)


def test_geth_cuts_the_largest_sender_of_a_full_pool() -> None:
    """Beyond the slots of all accounts, the highest nonces of the largest one go."""
    rules = msgspec.structs.replace(GETH, global_slots=6, guaranteed_slots=2)
    world = World(rules)
    for nonce in range(5, 11):
        world.send(nonce)
    last = world.pool.pending()[-1]

    added = world.add(world.tx(5, sender=BOB))

    assert Added(evicted=(last.hash,)) == added
    assert [5, 6, 7, 8, 9] == nonces(world.pool.pending(ALICE))


def test_geth_turns_out_the_cheapest_for_a_better_one() -> None:
    """A full pool drops the lowest effective tip, and what followed it is queued."""
    rules = msgspec.structs.replace(small(GETH), global_slots=3, global_queue=3)
    world = World(rules)
    cheap = world.send(5, tip_cap=1)
    world.send(6, tip_cap=9)
    for index in range(4):
        world.send(5, sender=Address(f"0x{index + 1:040x}"), tip_cap=5)

    added = world.add(world.tx(5, sender=BOB, tip_cap=2))

    assert cheap.hash in added.evicted
    assert [6] == nonces(world.pool.queued(ALICE))


def test_reth_discards_the_worst_end_of_a_full_subpool() -> None:
    """Beyond a sub-pool's size the cheapest last transaction of an account leaves."""
    world = World(msgspec.structs.replace(RETH, subpool_slots=3))
    world.send(5, tip_cap=1)
    cheapest = world.send(6, tip_cap=2)
    world.send(5, sender=BOB, tip_cap=3)

    added = world.add(world.tx(6, sender=BOB, tip_cap=4))

    assert Added(evicted=(cheapest.hash,)) == added
    assert [5] == nonces(world.pool.pending(ALICE))


def test_reth_discards_the_longest_silent_accounts_parked_ones() -> None:
    """Beyond the queued sub-pool's size the account that sent least recently loses its last."""
    world = World(msgspec.structs.replace(RETH, subpool_slots=3))
    world.send(7)
    last = world.send(8)
    world.send(7, sender=BOB)

    added = world.add(world.tx(8, sender=BOB))

    assert Added(evicted=(last.hash,)) == added


def test_geth_drops_what_was_queued_for_too_long() -> None:
    """An account's whole queue goes after three hours without a sign of life."""
    world = World(GETH)
    old = [world.send(nonce) for nonce in (7, 9)]
    pool, born = world.pool, CHAIN.number

    assert () == pool.advance(replace_chain(number=born + 900), {})
    assert [each.hash for each in old] == list(pool.advance(replace_chain(number=born + 901), {}))


def test_reth_drops_each_parked_one_at_its_own_age() -> None:
    """Each parked transaction has its own three hours."""
    world = World(RETH)
    old = world.send(7)
    world.pool.advance(replace_chain(number=500), {})
    young = world.send(8)

    assert (old.hash,) == world.pool.advance(replace_chain(number=1001), {})
    assert young == world.pool.get(young.hash)


@ALL
def test_executable_ones_do_not_age(name: str) -> None:
    """What waits for its block only is kept."""
    world = World(PROFILES[name])
    kept = world.send(5)

    assert () == world.pool.advance(replace_chain(number=10**6), {})
    assert (kept,) == world.pool.pending()


def test_the_full_size_of_geths_pool() -> None:
    """6,144 slots are there, of which 1,024 may be queued; the next needs a better price."""
    pool = Mempool(GETH, CHAIN)
    world = World(GETH)
    for index in range(5_120):
        pool.add(world.tx(5, sender=Address(f"0x{index + 1:040x}")), RICH)
    for index in range(1_024):
        pool.add(world.tx(7, sender=Address(f"0x{index + 1:040x}")), RICH)

    assert PoolStatus(pending=5_120, queued=1_024) == pool.status()
    with pytest.raises(PoolRefusal, match=r"^transaction underpriced$"):
        pool.add(world.tx(5), RICH)
    assert 1 == len(pool.add(world.tx(5, tip_cap=3 * GWEI), RICH).evicted)


def test_of_equally_cheap_ones_the_later_nonce_leaves_first() -> None:
    """A full pool of one price loses the end of an account's line, not its head."""
    rules = msgspec.structs.replace(GETH, global_slots=1, global_queue=1)
    world = World(rules)
    head, last = world.send(5), world.send(6)

    added = world.add(world.tx(5, sender=BOB, tip_cap=3 * GWEI))

    assert Added(evicted=(last.hash,)) == added
    assert head == world.pool.get(head.hash)


@pytest.mark.parametrize("alive", ["replaced", "promoted"])
def test_a_sign_of_life_renews_an_accounts_queue(alive: str) -> None:
    """A pending replacement or a promotion gives what is queued another three hours (geth)."""
    world = World(GETH)
    world.send(5, fee_cap=10 * GWEI, tip_cap=GWEI)
    queued = world.send(9)
    world.pool.advance(replace_chain(number=900), {})
    world.send(5 if alive == "replaced" else 6)

    assert () == world.pool.advance(replace_chain(number=1_800), {})
    assert (queued.hash,) == world.pool.advance(replace_chain(number=1_801), {})


def test_blobs_take_no_slots_of_the_others() -> None:
    """geth's blob pool is its own: blobs neither fill the other's slots nor are cut with it."""
    world = World(msgspec.structs.replace(GETH, global_slots=2, guaranteed_slots=1, global_queue=2))
    for nonce in (5, 6, 7):
        world.add(world.blob(nonce, size=140_000))
    added = [world.add(world.tx(nonce, sender=BOB)) for nonce in (5, 6)]

    assert [Added(), Added()] == added
    assert 5 == len(world.pool)


def test_a_replacement_reth_discards_leaves_the_old_one() -> None:
    """One that would come out of its parking place into a full sub-pool changes nothing."""
    world = World(msgspec.structs.replace(RETH, subpool_slots=2))
    parked = world.send(5, fee_cap=GWEI // 2, tip_cap=1)
    for nonce in (5, 6):
        world.send(nonce, sender=BOB)

    with pytest.raises(PoolRefusal, match="txpool is full"):
        world.send(5, fee_cap=2 * GWEI, tip_cap=2)
    assert parked == world.pool.get(parked.hash)
    assert PoolStatus(pending=2, queued=1) == world.pool.status()
