"""Opposed wishes become one trade, to the unit."""

import random
from fractions import Fraction

from tests.orchestrator.worlds import (
    TETHER_MARKET,
    context_of,
    fresh_seeds,
    quiet_block,
)
from toolkit.model.chain import Address
from toolkit.orchestrator.deciding.netting import Netted, Wish, net, resized
from toolkit.orchestrator.mainnet import USDC, USDT, WETH
from toolkit.orchestrator.market import Side

READINGS = context_of(quiet_block()).readings


def wish(index: int, side: Side, amount: int, quote: Address = USDC.address) -> Wish:
    """One sized wish against a stable."""
    buys = side is Side.BUY
    return Wish(
        intent=f"1/a{index}/0",
        agent=f"a{index}",
        token_in=quote if buys else WETH.address,
        token_out=WETH.address if buys else quote,
        side=side,
        amount_in=amount,
    )


def random_wishes(rng: random.Random) -> list[Wish]:
    """Some buys and sales of one class."""
    made = []
    for index in range(rng.randrange(2, 7)):
        side = rng.choice(list(Side))
        top = 10**10 if side is Side.BUY else 5 * 10**18
        quote = rng.choice([USDC.address, USDT.address])
        made.append(wish(index, side, rng.randrange(10**6, top), quote))
    return made


def outcome(wishes: list[Wish]) -> Netted:
    """Net at 2000."""
    result = net(wishes, market=TETHER_MARKET, readings=READINGS)
    assert result is not None
    return result


def test_nobody_gives_more_than_wished_and_nothing_is_lost() -> None:
    """Of each wish, what changes hands inside and what goes to the market is all of it."""
    for seed in fresh_seeds(300):
        wishes = random_wishes(random.Random(seed))
        result = outcome(wishes)
        given = {
            (move.agent, move.token): -move.change for move in result.transfers if move.change < 0
        }
        for one in wishes:
            sent = sum(
                share.amount_in
                for leg in result.legs
                for share in leg.shares
                if share.intent == one.intent
            )

            assert one.amount_in == sent + given.get((one.agent, one.token_in), 0), f"seed {seed}"


def test_the_order_of_wishes_changes_nothing() -> None:
    """Any permutation of the wishes gives the very same legs, shares and transfers."""
    for seed in fresh_seeds(200):
        rng = random.Random(seed)
        wishes = random_wishes(rng)
        shuffled = rng.sample(wishes, len(wishes))

        assert outcome(wishes) == outcome(shuffled), f"seed {seed}"


def test_only_the_larger_side_goes_to_the_market() -> None:
    """Legs all go one way: the way of the side that is worth more."""
    for seed in fresh_seeds(200):
        wishes = random_wishes(random.Random(seed))
        result = outcome(wishes)
        bought = sum(w.amount_in * 10**12 // 2000 for w in wishes if w.side is Side.BUY)
        sold = sum(w.amount_in for w in wishes if w.side is Side.SELL)
        side = Side.BUY if bought > sold else Side.SELL

        found = {
            TETHER_MARKET.netting_class(leg.leg.token_in, leg.leg.token_out)[1]
            for leg in result.legs
        }
        assert found <= {side}, f"seed {seed}"


def test_everybody_inside_trades_at_the_reading() -> None:
    """What an agent pays inside per unit it gets is the reading's price, to within rounding."""
    wishes = [wish(0, Side.BUY, 6_000_000_000), wish(1, Side.SELL, 10**18)]

    moves = {(m.agent, m.token): m.change for m in outcome(wishes).transfers}

    paid, got = -moves["a0", USDC.address], moves["a0", WETH.address]
    assert abs(Fraction(paid, got) - Fraction(2000, 10**12)) < Fraction(1, got)
    assert moves["a0", USDC.address] == -moves["a1", USDC.address]


def test_without_a_price_opposed_wishes_are_not_netted() -> None:
    """Without a reading there is no rate to trade at, and nobody guesses one."""
    wishes = [wish(0, Side.BUY, 10**9), wish(1, Side.SELL, 10**18)]

    assert None is net(wishes, market=TETHER_MARKET, readings={})


def test_a_resized_leg_keeps_its_proportions() -> None:
    """Cutting a leg cuts its shares pro rata, and they still add up."""
    (leg,) = outcome([wish(0, Side.BUY, 10**9), wish(1, Side.BUY, 3 * 10**9)]).legs

    cut = resized(leg, 10**9 + 1)

    assert 10**9 + 1 == sum(share.amount_in for share in cut.shares)
    assert [250_000_000, 750_000_001] == [share.amount_in for share in cut.shares]
