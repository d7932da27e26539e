"""Which key a request goes to."""

import random
import secrets
from contextlib import ExitStack

import pytest

from toolkit.chain.signer import LocalSigner
from toolkit.model.chain import Address
from toolkit.model.errors import ConfigError, InsufficientFunds, LaneHalted
from toolkit.tx.key_pool import KeyLoad, KeyPool, Spread, choose

A, B, C = (Address("0x" + digit * 40) for digit in "abc")


def load(
    sender: Address, *, busy: int = 0, window: int = 16, free: int = 100, halted: str = ""
) -> KeyLoad:
    return KeyLoad(sender=sender, window=window, busy=busy, free_balance_wei=free, halted=halted)


@pytest.mark.parametrize(
    ("loads", "expected"),
    [
        ([load(A, busy=3), load(B, busy=2), load(C, busy=4)], B),
        ([load(A, busy=1, window=1), load(B, busy=15)], B),
        ([load(A, free=9), load(B, busy=15, free=10)], B),
        ([load(A, halted="a final block was reorganised"), load(B, busy=16)], B),
        ([load(A, busy=40), load(B, busy=39)], B),
        ([load(A, free=50), load(B, free=51)], B),
        ([load(B), load(A)], A),
    ],
    ids=["least busy", "by window", "can pay", "not halted", "beyond window", "richer", "address"],
)
def test_the_least_loaded_key_that_can_pay_is_chosen(
    loads: list[KeyLoad], expected: Address
) -> None:
    """Load is busy / window; then the larger free balance, then the lower address decides."""
    assert expected == choose(loads, 10)


def test_nobody_can_pay() -> None:
    """The refusal names the running key that comes nearest, and what it has."""
    loads = [load(A, free=3 * 10**17), load(B, free=9 * 10**18, halted="stopped"), load(C, free=-1)]

    with pytest.raises(InsufficientFunds) as refused:
        choose(loads, 10**18)

    assert (
        f"none of 2 keys can pay 1 ether: {A} has the most, 0.3 beside what is under way; "
        "send it more or wait"
    ) == str(refused.value)


def test_every_lane_is_halted() -> None:
    """Where nothing runs, the reason is each lane's own, not a lack of money."""
    with pytest.raises(LaneHalted, match=f"{A}: deep reorg; {B}: leased away"):
        choose([load(A, halted="deep reorg"), load(B, halted="leased away")], 0)
    with pytest.raises(LaneHalted, match="empty"):
        choose([], 0)


def test_a_key_that_can_pay_is_always_found() -> None:
    """For any loads: never one that is halted or cannot pay, never a refusal while one could."""
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(500):
        loads = [
            load(
                Address(f"0x{n:040x}"),
                busy=rng.randrange(20),
                window=rng.choice((1, 16)),
                free=rng.randrange(-5, 20),
                halted=rng.choice(("", "", "halted")),
            )
            for n in range(rng.randrange(1, 6))
        ]
        cost = rng.randrange(20)
        able = {one.sender: one for one in loads if not one.halted and one.free_balance_wei >= cost}
        try:
            chosen = choose(loads, cost)
        except (InsufficientFunds, LaneHalted):
            assert {} == able
            continue

        assert chosen in able
        assert all(
            able[chosen].busy * other.window <= other.busy * able[chosen].window
            for other in able.values()
        )
        assert chosen == choose(rng.sample(loads, len(loads)), cost)


def test_equal_keys_share_within_one() -> None:
    """Requests that arrive, and end in any order, never leave equal keys more than one apart."""
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(200):
        keys = [Address(f"0x{n:040x}") for n in range(rng.randrange(2, 9))]
        busy = dict.fromkeys(keys, 0)
        for _ in range(rng.randrange(1, 60)):
            loads = [load(key, busy=busy[key], free=1_000 - busy[key]) for key in keys]
            busy[choose(loads, 1)] += 1

            assert max(busy.values()) - min(busy.values()) <= 1


def test_choices_at_the_same_moment_are_spread() -> None:
    """A choice counts until its block is left, though the lanes do not know of it yet."""
    loads = [load(A), load(B), load(C)]
    spread = Spread()
    with ExitStack() as under_way:
        chosen = [under_way.enter_context(spread.chosen(loads, 0)) for _ in range(10)]

    assert [4, 3, 3] == [chosen.count(key) for key in (A, B, C)]
    with spread.chosen(loads, 100) as afterwards:
        assert A == afterwards


def test_choices_at_the_same_moment_do_not_promise_money_twice() -> None:
    """What a choice may cost is not there for the next one, until it is refused or accepted."""
    spread = Spread()
    with (
        spread.chosen([load(A, free=15)], 10),
        pytest.raises(InsufficientFunds),
        spread.chosen([load(A, free=15)], 10),
    ):
        pass
    with spread.chosen([load(A, free=15)], 10) as again:
        assert A == again


def test_a_pool_is_a_sequence_of_its_signers() -> None:
    """`connect` takes it wherever it takes several signers; its repr shows accounts only."""
    signers = [LocalSigner(bytes(31) + bytes((n,))) for n in (1, 2)]
    pool = KeyPool(signers)

    assert signers == list(pool)
    assert (signers[1], (signers[0],)) == (pool[1], pool[:1])
    assert f"KeyPool({signers[0].address}, {signers[1].address})" == repr(pool)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "needs at least one signer"),
        ([LocalSigner(b"\1" * 32), LocalSigner(b"\1" * 32)], "is given twice"),
        (["0x" + "5a" * 32], "holds signers, not a str"),
    ],
)
def test_a_pool_of_nonsense_is_refused(given: list[LocalSigner], message: str) -> None:
    """No signer, one twice, or something that is none: said at once, without any key."""
    with pytest.raises(ConfigError, match=message) as refused:
        KeyPool(given)

    assert "5a5a" not in str(refused.value)


def test_a_load_without_a_window_is_refused() -> None:
    """A lane that may never send has no load to compare."""
    with pytest.raises(ConfigError, match="a window is at least 1"):
        load(A, window=0)
