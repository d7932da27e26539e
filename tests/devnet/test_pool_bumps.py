"""What a replacement has to pay, and what else a rule looks at beside one transaction."""

import pytest

from tests.devnet.pool_world import (
    ALICE,
    BOB,
    GWEI,
    RICH,
    World,
    replace_chain,
    replace_state,
)
from toolkit.devnet.mempool import Added, PoolRefusal
from toolkit.devnet.pool_rules import GETH, PROFILES, RETH, STRICT, PoolRules

# Old fee, least new fee: geth floor(old x 1.1) and higher, reth ceil(old x 1.1), strict above it.
LEAST = (
    (1, {"geth": 2, "reth": 2, "strict": 2}),
    (5, {"geth": 6, "reth": 6, "strict": 6}),
    (9, {"geth": 10, "reth": 10, "strict": 10}),
    (10, {"geth": 11, "reth": 11, "strict": 12}),
    (11, {"geth": 12, "reth": 13, "strict": 13}),
    (19, {"geth": 20, "reth": 21, "strict": 21}),
    (20, {"geth": 22, "reth": 22, "strict": 23}),
    (1_001, {"geth": 1_101, "reth": 1_102, "strict": 1_102}),
    (GWEI, {"geth": 1_100_000_000, "reth": 1_100_000_000, "strict": 1_100_000_001}),
)


@pytest.mark.parametrize(("old", "least"), LEAST)
@pytest.mark.parametrize("name", list(PROFILES))
def test_least_replacement_fee(name: str, old: int, least: dict[str, int]) -> None:
    """A fee may replace from the least one on and not one wei below it."""
    bump = PROFILES[name].bump

    assert bump.accepts(old, least[name])
    assert not bump.accepts(old, least[name] - 1)
    assert not bump.accepts(old, old)


@pytest.mark.parametrize("field_name", ["fee_cap", "tip_cap"])
@pytest.mark.parametrize("name", list(PROFILES))
def test_both_fields_have_to_rise(name: str, field_name: str) -> None:
    """A replacement that raises one of the two fees only is refused."""
    world = World(PROFILES[name])
    world.send(fee_cap=1_000, tip_cap=100)
    raised = {"fee_cap": 2_000, "tip_cap": 200} | {
        field_name: {"fee_cap": 1_000}.get(field_name, 100)
    }

    with pytest.raises(PoolRefusal, match="replacement transaction underpriced"):
        world.send(**raised)


@pytest.mark.parametrize("field_name", ["fee_cap", "tip_cap", "blob_fee_cap"])
@pytest.mark.parametrize("name", list(PROFILES))
def test_all_three_fees_of_a_blob_have_to_double(name: str, field_name: str) -> None:
    """A blob transaction is replaced by one with all three caps at least doubled."""
    world, fees = World(PROFILES[name]), {"fee_cap": 1_000, "tip_cap": 100, "blob_fee_cap": 10}
    world.add(world.blob(**fees))
    # Above the double, as the strict profile wants it.
    doubled = {each: 2 * fee + 1 for each, fee in fees.items()}

    with pytest.raises(PoolRefusal, match="replacement transaction underpriced"):
        world.add(world.blob(**(doubled | {field_name: 2 * fees[field_name] - 1})))
    assert world.add(world.blob(**doubled)).replaced is not None


def test_reth_does_not_compare_a_tip_of_zero() -> None:
    """reth lets a tip of zero, and a legacy price that is none, stand beside any other tip."""
    world = World(RETH)
    world.send(fee_cap=1_000, tip_cap=100)
    world.send(fee_cap=1_100, tip_cap=0)

    assert world.add(world.tx(type=0, fee_cap=1_210, tip_cap=1_210)).replaced is not None


def test_reth_takes_the_next_nonce_beyond_the_slots() -> None:
    """With all slots taken by later nonces the account's next nonce still gets in (reth)."""
    world = World(RETH)
    for nonce in range(6, 22):
        world.send(nonce)

    assert world.add(world.tx(5)) == Added()
    assert world.pool.pending_nonce(ALICE, 5) == 22


def test_reth_refuses_a_later_replacement_at_the_slot_limit() -> None:
    """With all slots taken, reth takes only the head of the line, raised fees or not."""
    world = World(RETH)
    for nonce in range(5, 21):
        world.send(nonce)
    raised = {"fee_cap": 40 * GWEI, "tip_cap": 4 * GWEI}

    with pytest.raises(PoolRefusal, match="txpool is full"):
        world.send(6, **raised)
    assert world.add(world.tx(5, **raised)).replaced is not None


def test_what_reth_signed_itself_counts_no_slots() -> None:
    """`eth_sendTransaction` is local to reth: the limit of slots is for others."""
    world = World(RETH)
    for nonce in range(5, 21):
        world.send(nonce)

    world.pool.add(world.tx(21), RICH, local=True)

    assert 17 == len(world.pool)


@pytest.mark.parametrize("rules", [GETH, STRICT], ids=["geth", "strict"])
def test_geth_has_no_limit_per_account_until_the_pool_is_full(rules: PoolRules) -> None:
    """Far more than 16 executable transactions of one account are kept while there is room."""
    world = World(rules)
    for nonce in range(5, 105):
        world.send(nonce)

    assert 100 == world.pool.status().pending


@pytest.mark.parametrize("name", list(PROFILES))
def test_a_delegated_account_replaces_and_goes_on_after_its_block(name: str) -> None:
    """One transaction in flight may be replaced, and once it is mined the next one goes in."""
    world = World(PROFILES[name], account=replace_state(RICH, delegated=True))
    world.send(fee_cap=10 * GWEI, tip_cap=GWEI)
    raised = world.send(fee_cap=20 * GWEI, tip_cap=2 * GWEI)
    after = replace_state(world.account, nonce=6)
    world.pool.advance(replace_chain(number=101), {ALICE: after}, mined=[raised.hash])

    assert world.pool.add(world.tx(6), after) == Added()


@pytest.mark.parametrize("name", list(PROFILES))
def test_a_pooled_authorization_makes_its_signer_delegated(name: str) -> None:
    """Whoever signed a pooled authorization has one transaction in flight, too."""
    world = World(PROFILES[name])
    grant = world.send(type=4, gas=60_000, authorizations=1, authorities=(BOB,))
    world.send(sender=BOB)

    with pytest.raises(PoolRefusal, match="in-flight transaction limit"):
        world.send(6, sender=BOB)
    world.pool.remove(grant.hash)
    assert world.add(world.tx(6, sender=BOB)) == Added()


@pytest.mark.parametrize("name", list(PROFILES))
def test_an_authority_with_a_blob_is_reserved(name: str) -> None:
    """An account the blob pool holds cannot be delegated by a pooled transaction."""
    world = World(PROFILES[name])
    world.add(world.blob(sender=BOB))

    if name == "reth":  # counts transactions only: one is no obstacle
        world.send(type=4, gas=60_000, authorizations=1, authorities=(BOB,))
    else:
        with pytest.raises(PoolRefusal, match="authority already reserved"):
            world.send(type=4, gas=60_000, authorizations=1, authorities=(BOB,))
