import pytest

from tests.devnet.pool_world import (
    ALICE,
    BOB,
    CHAIN,
    GWEI,
    RICH,
    World,
    replace_chain,
    replace_state,
)
from toolkit.devnet.mempool import (
    Added,
    PooledTransaction,
    PoolRefusal,
    PoolStatus,
)
from toolkit.devnet.pool_rules import GETH, PROFILES, RETH
from toolkit.model.chain import Hash
from toolkit.model.errors import DevnetError

ALL = pytest.mark.parametrize("name", list(PROFILES))
NEXT = replace_chain(number=CHAIN.number + 1)


def nonces(transactions: tuple[PooledTransaction, ...]) -> list[int]:
    return [each.nonce for each in transactions]


@ALL
def test_a_gap_keeps_later_nonces_queued_until_it_is_filled(name: str) -> None:
    """What follows a missing nonce is queued, and executable once that one comes."""
    world = World(PROFILES[name])
    for nonce in (5, 7, 8, 10):
        world.send(nonce)
    before = (nonces(world.pool.pending()), nonces(world.pool.queued()))
    world.send(6)

    assert ([5], [7, 8, 10]) == before
    assert [5, 6, 7, 8] == nonces(world.pool.pending(ALICE))
    assert [10] == nonces(world.pool.queued(ALICE))
    assert PoolStatus(pending=4, queued=1) == world.pool.status()


@ALL
def test_a_dropped_nonce_demotes_what_follows(name: str) -> None:
    """Without the lowest nonce the later ones are kept and no longer executable."""
    world = World(PROFILES[name])
    first = world.send(5)
    for nonce in (6, 7):
        world.send(nonce)

    assert first == world.pool.remove(first.hash)
    assert world.pool.remove(first.hash) is None
    assert [6, 7] == nonces(world.pool.queued())
    assert () == world.pool.candidates(GWEI)
    assert 5 == world.pool.pending_nonce(ALICE, 5)


@ALL
def test_pending_nonce_counts_from_the_chains(name: str) -> None:
    """The pending count follows what is pooled without a gap, from the nonce it is asked for."""
    world = World(PROFILES[name])
    for nonce in (5, 6, 8):
        world.send(nonce)

    counts = [world.pool.pending_nonce(ALICE, nonce) for nonce in (4, 5, 6, 7, 8)]

    assert [4, 7, 7, 7, 9] == counts
    assert 3 == world.pool.pending_nonce(BOB, 3)


@ALL
def test_get_and_clear(name: str) -> None:
    """A transaction is found by its hash until the whole pool is lost."""
    world = World(PROFILES[name])
    sent = [world.send(nonce) for nonce in (5, 7)]
    found = [world.pool.get(each.hash) for each in sent]

    assert sent == found
    assert {each.hash for each in sent} == set(world.pool.clear())
    assert (0, None) == (len(world.pool), world.pool.get(sent[0].hash))
    assert Added() == world.add(sent[0])


@ALL
def test_a_replacement_takes_the_slot(name: str) -> None:
    """The one that is replaced is gone and named, pending and queued alike."""
    world = World(PROFILES[name])
    for nonce in (5, 7):
        old = world.send(nonce, fee_cap=10 * GWEI, tip_cap=GWEI)
        new = world.tx(nonce, fee_cap=20 * GWEI, tip_cap=2 * GWEI)
        added = world.add(new)

        assert Added(replaced=old.hash) == added
        assert (None, new) == (world.pool.get(old.hash), world.pool.get(new.hash))


@ALL
def test_a_refused_transaction_changes_nothing(name: str) -> None:
    """After a refusal the pool holds what it held."""
    world = World(PROFILES[name])
    kept = world.send(5)
    with pytest.raises(PoolRefusal):
        world.send(5, value=2)

    assert (kept,) == world.pool.pending()
    assert PoolStatus(pending=1, queued=0) == world.pool.status()


def test_geth_keeps_what_is_capped_below_the_base_fee_as_pending() -> None:
    """A cap below the base fee is no reason to refuse; it is mined once the base fee has fallen."""
    world = World(GETH)
    world.send(5, fee_cap=GWEI - 1, tip_cap=1)
    world.send(6)

    assert [5, 6] == nonces(world.pool.pending())
    assert () == world.pool.candidates(GWEI)
    assert [5, 6] == nonces(world.pool.candidates(GWEI - 1))


def test_reth_parks_what_is_capped_below_the_base_fee() -> None:
    """reth shows it, and all behind it, as queued until the base fee has fallen."""
    world = World(RETH)
    world.send(5, fee_cap=GWEI - 1, tip_cap=1)
    world.send(6)
    before = (nonces(world.pool.pending()), nonces(world.pool.queued()))
    dropped = world.pool.advance(replace_chain(number=101, base_fee_wei=GWEI - 1), {})

    assert ([], [5, 6]) == before
    assert 7 == world.pool.pending_nonce(ALICE, 5)
    assert () == dropped
    assert [5, 6] == nonces(world.pool.pending())


@ALL
def test_a_blob_below_the_blob_base_fee_is_no_candidate(name: str) -> None:
    """A blob transaction also has to cover the blob base fee."""
    world = World(PROFILES[name])
    world.add(world.blob(blob_fee_cap=9))
    dear = replace_chain(number=101, blob_base_fee_wei=10)

    before = world.pool.candidates(GWEI)
    world.pool.advance(dear, {})

    assert 1 == len(before)
    assert () == world.pool.candidates(GWEI)


def test_reth_parks_what_the_balance_does_not_cover_together() -> None:
    """reth takes what is affordable alone, and queues what is not beside the earlier ones."""
    world = World(RETH, account=replace_state(RICH, balance_wei=900_000 * GWEI))
    world.send(5)
    world.send(6)
    world.send(7)
    before = (nonces(world.pool.pending()), nonces(world.pool.queued()))
    world.pool.advance(NEXT, {ALICE: RICH})

    assert ([5, 6], [7]) == before
    assert [5, 6, 7] == nonces(world.pool.pending())


@ALL
def test_a_block_takes_the_mined_and_drops_the_stale(name: str) -> None:
    """What was mined leaves silently, what lost its nonce to a stranger is named."""
    world = World(PROFILES[name])
    mined, stale, left = (world.send(nonce) for nonce in (5, 6, 7))
    after = replace_state(RICH, nonce=7)

    dropped = world.pool.advance(NEXT, {ALICE: after}, mined=[mined.hash, Hash("0xother")])

    assert (stale.hash,) == dropped
    assert (left,) == world.pool.pending()


@pytest.mark.parametrize("name", ["geth", "strict"])
def test_geth_drops_what_can_no_longer_be_paid_for(name: str) -> None:
    """What costs more than the balance goes, and what follows it is queued."""
    world = World(PROFILES[name])
    world.send(5)
    dear = world.send(6, value=10**18)
    world.send(7)

    dropped = world.pool.advance(NEXT, {ALICE: replace_state(RICH, balance_wei=10**17)})

    assert (dear.hash,) == dropped
    assert ([5], [7]) == (nonces(world.pool.pending()), nonces(world.pool.queued()))


def test_reth_parks_what_can_no_longer_be_paid_for() -> None:
    """reth keeps it and what follows it, for a balance that comes back."""
    world = World(RETH)
    world.send(5)
    world.send(6, value=10**18)
    world.send(7)

    dropped = world.pool.advance(NEXT, {ALICE: replace_state(RICH, balance_wei=10**17)})

    assert () == dropped
    assert ([5], [6, 7]) == (nonces(world.pool.pending()), nonces(world.pool.queued()))


@ALL
def test_a_lower_gas_limit_of_the_block_is_obeyed(name: str) -> None:
    """What no longer fits into a block is no candidate; geth drops it."""
    world = World(PROFILES[name])
    large = world.send(5, gas=9_000_000)
    lower = replace_chain(number=101, gas_limit=8_000_000)

    dropped = world.pool.advance(lower, {})

    assert dropped == (() if name == "reth" else (large.hash,))
    assert () == world.pool.candidates(GWEI)


@ALL
def test_a_reorg_pools_its_transactions_again(name: str) -> None:
    """What a reorg takes off the chain is executable again, before what followed it."""
    world = World(PROFILES[name])
    first, second, third = (world.send(nonce) for nonce in (5, 6, 7))
    mined = [first.hash, second.hash]
    world.pool.advance(NEXT, {ALICE: replace_state(RICH, nonce=7)}, mined=mined)

    dropped = world.pool.advance(CHAIN, {ALICE: RICH}, returned=[second, first])

    assert () == dropped
    assert (first, second, third) == world.pool.pending()


@ALL
def test_a_reorg_that_mined_another_attempt_drops_the_old_one(name: str) -> None:
    """What the new branch spent the nonce of does not come back, nor does what it contains."""
    world = World(PROFILES[name])
    old = world.send(5, fee_cap=10 * GWEI, tip_cap=GWEI)
    new = world.send(5)
    kept = world.send(6)
    world.pool.advance(NEXT, {ALICE: replace_state(RICH, nonce=6)}, mined=[new.hash])
    after = replace_state(RICH, nonce=6)

    dropped = world.pool.advance(NEXT, {ALICE: after}, mined=[old.hash], returned=[new, old])

    assert (new.hash,) == dropped
    assert (kept,) == world.pool.pending()


@ALL
def test_a_returned_one_has_to_beat_what_took_its_slot(name: str) -> None:
    """A newer transaction at the nonce is replaced only by one that pays enough more."""
    world = World(PROFILES[name])
    returned = world.tx(5)
    newer = world.send(5, fee_cap=21 * GWEI, tip_cap=2 * GWEI)

    dropped = world.pool.advance(CHAIN, {ALICE: RICH}, returned=[returned])

    assert (returned.hash,) == dropped
    assert (newer,) == world.pool.pending()


def test_returned_transactions_need_their_senders_state() -> None:
    """A reorg cannot be followed without the accounts it changed."""
    world = World(GETH)

    with pytest.raises(DevnetError, match=f"without the state of its sender {ALICE}"):
        world.pool.advance(CHAIN, {}, returned=[world.tx(5)])


def test_geth_drops_blobs_behind_a_gap() -> None:
    """The blob pool has no queue: what loses its predecessor goes too."""
    world = World(GETH)
    dear = world.blob(5, value=10**18)
    later = world.blob(6)
    world.add(dear)
    world.add(later)

    dropped = world.pool.advance(NEXT, {ALICE: replace_state(RICH, balance_wei=10**17)})

    assert (dear.hash, later.hash) == dropped
    assert 0 == len(world.pool)


@ALL
def test_other_type_once_the_blobs_are_gone(name: str) -> None:
    """The account is free for the other type when its last transaction has left."""
    world = World(PROFILES[name])
    blob = world.blob(5)
    world.add(blob)
    world.pool.advance(NEXT, {ALICE: replace_state(RICH, nonce=6)}, mined=[blob.hash])

    assert Added() == world.pool.add(world.tx(6), replace_state(RICH, nonce=6))


@ALL
def test_candidates_stop_where_the_money_does(name: str) -> None:
    """A block is offered what the balance covers in the worst case, in nonce order."""
    world = World(PROFILES[name])
    for nonce in (5, 6, 7):
        world.send(nonce, value=10**18)
    poor = replace_state(RICH, balance_wei=25 * 10**17)

    world.pool.advance(NEXT, {ALICE: poor})

    assert [5, 6] == nonces(world.pool.candidates(GWEI))


@ALL
def test_a_returned_one_that_is_pooled_already_stays(name: str) -> None:
    """What a client sent again before the pool heard of the reorg is not dropped by it."""
    world = World(PROFILES[name])
    sent = world.send(5)

    assert () == world.pool.advance(CHAIN, {ALICE: RICH}, returned=[sent])
    assert (sent,) == world.pool.pending()


@ALL
def test_a_returned_one_may_push_a_newer_one_out(name: str) -> None:
    """The one that pays enough more holds the slot, and the other is named as dropped."""
    world = World(PROFILES[name])
    returned = world.tx(5)
    newer = world.send(5, fee_cap=10 * GWEI, tip_cap=GWEI)

    assert (newer.hash,) == world.pool.advance(CHAIN, {ALICE: RICH}, returned=[returned])
    assert (returned,) == world.pool.pending()


@ALL
def test_a_reorg_pools_blobs_in_nonce_order(name: str) -> None:
    """Blobs of a reorg come back lowest nonce first: they may not be gapped."""
    world = World(PROFILES[name])
    blobs = [world.blob(5), world.blob(6)]
    for each in blobs:
        world.add(each)
    mined = [each.hash for each in blobs]
    world.pool.advance(NEXT, {ALICE: replace_state(RICH, nonce=7)}, mined=mined)

    assert () == world.pool.advance(CHAIN, {ALICE: RICH}, returned=blobs[::-1])
    assert tuple(blobs) == world.pool.pending()


def test_what_the_chain_has_spent_takes_no_slots() -> None:
    """An account that has moved on since the last head is judged as it stands now."""
    world = World(RETH)
    for nonce in range(5, 21):
        world.send(nonce)

    assert Added() == world.add(world.tx(21), nonce=6)


def test_a_queued_replacement_is_paid_for_beside_what_is_pending() -> None:
    """geth counts the whole cost of what is queued, also where it replaces."""
    world = World(GETH, account=replace_state(RICH, balance_wei=800_000 * GWEI))
    world.send(5, value=0)
    world.send(7, fee_cap=10 * GWEI, tip_cap=GWEI, value=0)

    with pytest.raises(PoolRefusal, match="tx cost 420000000000000, overshot 340000000000000"):
        world.add(world.tx(7, value=0), balance_wei=500_000 * GWEI)


def test_a_blobs_replacement_pays_for_itself_only() -> None:
    """What it replaces is not counted beside it (reth)."""
    fees = {"fee_cap": 10 * GWEI, "tip_cap": 1, "blob_fee_cap": 1, "value": 0}
    doubled = {"fee_cap": 20 * GWEI, "tip_cap": 2, "blob_fee_cap": 2, "value": 0}
    exact = 420_000 * GWEI + 2 * 131_072
    world = World(RETH, account=replace_state(RICH, balance_wei=exact))
    old = world.blob(**fees)
    world.add(old)

    assert Added(replaced=old.hash) == world.add(world.blob(**doubled))


def test_a_blob_is_replaced_in_a_full_account() -> None:
    """The limit of 16 blobs is for further ones (geth)."""
    world = World(GETH)
    for nonce in range(5, 21):
        world.add(world.blob(nonce))
    doubled = {"fee_cap": 40 * GWEI, "tip_cap": 4 * GWEI, "blob_fee_cap": 2 * GWEI}

    assert world.add(world.blob(20, **doubled)).replaced is not None


@ALL
def test_a_blobs_sidecar_is_not_measured_with_the_others_size(name: str) -> None:
    """A transaction with six blobs and their proofs is not oversized."""
    world = World(PROFILES[name])

    assert Added() == world.add(world.blob(blobs=6, size=840_000))


def test_reth_knows_no_tip_of_a_legacy_price() -> None:
    """A legacy transaction is replaced on its price alone (reth)."""
    world = World(RETH)
    old = world.send(type=0, fee_cap=1_000, tip_cap=1_000)

    assert Added(replaced=old.hash) == world.add(world.tx(fee_cap=1_100, tip_cap=1))
