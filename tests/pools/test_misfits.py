"""What a pair's own logs disprove of its spec."""

import random
import re

import msgspec
import pytest

from tests.pools.positions import OWNER, TOKEN0, TOKEN1, reordered, written
from tests.pools.test_events import ID, POOL, log_of, swap
from toolkit.model.chain import LogEntry
from toolkit.model.units import PPM
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.misfits import misfit

R = (10**18, 4 * 10**18)
NARROW, WIDE = "Sync(uint112,uint112)", "Sync(uint256,uint256)"
SWAP = "Swap(address,uint256,uint256,uint256,uint256,address)"

Amounts = tuple[int, int, int, int]


def pair(fee_ppm: int = 3000, reserves: tuple[int, int] = R) -> ConstantProduct:
    return ConstantProduct(
        id=ID,
        token0=TOKEN0,
        token1=TOKEN1,
        reserve0=reserves[0],
        reserve1=reserves[1],
        fee_ppm=fee_ppm,
    )


def sync(reserve0: int, reserve1: int, event: str = NARROW) -> LogEntry:
    return log_of(written(ID, event, (), reserve0, reserve1))


def swapped(amounts: Amounts) -> LogEntry:
    ordered = "Swap(address,address,uint256,uint256,uint256,uint256)"
    return log_of(reordered(written(ID, ordered, (OWNER, OWNER), *amounts), SWAP))


def short(log: LogEntry) -> LogEntry:
    return msgspec.structs.replace(log, data=log.data[:-64])


def balances(reserves: tuple[int, int], amounts: Amounts) -> tuple[int, int]:
    in0, in1, out0, out1 = amounts
    return reserves[0] + in0 - out0, reserves[1] + in1 - out1


def logs(amounts: Amounts, reserves: tuple[int, int] = R) -> list[LogEntry]:
    return [sync(*balances(reserves, amounts)), swapped(amounts)]


def bought(fee_ppm: int, paid: int = 10**16) -> Amounts:
    """All that a pair of this fee gives for token0."""
    return paid, 0, 0, pair(fee_ppm).quote_in(TOKEN0, paid)


@pytest.mark.parametrize(
    ("fee_ppm", "amounts", "why"),
    [
        (3000, bought(3000), ""),
        (3000, bought(10000), ""),  # less than is due proves nothing
        (3000, bought(2500), r"fee_ppm: is 3000 in the spec, but the pair takes 2500 at most"),
        (3000, bought(0), r"fee_ppm: is 3000 in the spec, but the pair takes 0 at most"),
        (3000, (10**16, 0, 0, 10**17), r"kind: a swap left less than constant product"),
        (0, (10**16, 0, 0, 10**17), r"kind: a swap left less than constant product"),
        (3000, (0, 10**15, 0, 10**15), r"fee_ppm: is 3000 in the spec, but the pair takes 0 at"),
        (3000, (0, 10**15 * 1000, 0, 10**15 * 997), ""),  # a flash loan of one token, fee paid
        (3000, (10**15, 10**16, 10**15 - 10**14, 10**16), ""),  # both in, both out
    ],
)
def test_a_swap_below_the_fee_disproves_it(fee_ppm: int, amounts: Amounts, why: str) -> None:
    """The last check of the pair's own swap, at the fee of the spec, with the highest that passes.

    One that pays more than the fee proves nothing.
    """
    found = misfit(pair(fee_ppm), logs(amounts))

    assert bool(why) is bool(found)
    assert re.match(f"pool {ID}: {why}" if why else "$", found)
    assert not why or found.endswith("in block 9, log 0")


def test_whatever_a_pair_lets_through_is_no_misfit() -> None:
    """Random swaps of random fees: found exactly where the pair would have reverted them."""
    rng = random.Random(7)
    shown = 0
    for _ in range(2000):
        reserves = rng.randrange(1, 2 ** rng.randrange(2, 112)), rng.randrange(1, 2**60)
        fee_ppm, true = rng.choice([0, 100, 2500, 3000, 10000]), rng.choice([0, 2500, 3000])
        paid = rng.randrange(1, 2**60)
        given = pair(true, reserves).quote_in(TOKEN1, paid) - rng.choice([0, 0, 0, 1])
        amounts = (0, paid, max(given, 0), 0)
        now = balances(reserves, amounts)
        left = now[0] * PPM * (now[1] * PPM - paid * fee_ppm)
        found = misfit(pair(fee_ppm, reserves), logs(amounts, reserves))

        assert (left >= reserves[0] * reserves[1] * PPM**2) is (found == "")
        assert not found or fee_ppm > true
        shown += bool(found)
    assert shown > 100


def test_each_swap_is_held_against_the_reserves_before_it() -> None:
    """Several in a block follow each other; a sync between, with what somebody gave, counts."""
    first = bought(3000)
    between = balances(R, first)
    gift = (between[0] + 5, between[1])
    paid = 10**15
    second = (paid, 0, 0, pair(2500, gift).quote_in(TOKEN0, paid))
    both = [*logs(first), sync(*gift), *logs(second, gift)]

    assert "takes 2500 at most" in misfit(pair(3000), both)
    assert misfit(pair(2500), both) == ""


@pytest.mark.parametrize(
    "given",
    [
        [swapped(bought(0))],  # without a sync before it nothing is known of the balances
        [sync(R[0] + 1, 7), swapped(bought(0))],  # of other reserves than are at hand
        [sync(R[0] + 10**16, R[1] + 1), swapped(bought(0))],
        [sync(*balances(R, bought(0))), short(swapped(bought(0)))],
        [*logs(bought(3000)), swapped(bought(0))],  # a sync is of one swap
    ],
)
def test_what_does_not_fit_the_reserves_proves_nothing(given: list[LogEntry]) -> None:
    """Our state may be wrong, and the next sync mends it: that is not the fee's fault."""
    assert misfit(pair(3000), given) == ""


def test_a_token_that_took_more_than_was_sent_is_no_misfit() -> None:
    """Of what was not put in there may be less left than the reserve less what went out."""
    amounts = (10**17, 0, 0, 10**15)
    kept = balances(R, amounts)

    assert misfit(pair(3000), [sync(kept[0], kept[1] - 10**14), swapped(amounts)]) == ""


def test_the_other_sync_is_solidlys() -> None:
    """A pair that logs it is of another kind, whatever it answers."""
    found = misfit(pair(), [sync(1, 2, WIDE)])

    assert found.startswith(f"pool {ID}: kind: it logs Sync(uint256,uint256), so it is of Solidly")
    assert "leave it out of the pools" in found
    assert misfit(pair(), [sync(1, 2)]) == ""
    assert misfit(POOL, [sync(1, 2, WIDE), swap(2**96, 1, 0)]) == ""
