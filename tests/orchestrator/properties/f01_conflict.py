"""Opposed intents become one trade, whatever their order, and the verdict says what that saved.

Agents of scripted wishes, written against the public API alone, disagree about one asset against
two stables. What they are granted, what changes hands inside, the net leg, the one verdict that
names them all and the fees that were saved are worked out again by other means.
"""

import itertools
import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import msgspec

import toolkit as tk
from tests.orchestrator.worlds import context_of, proposed
from toolkit.execution.planner import expected_gas_price
from toolkit.model.chain import Address
from toolkit.orchestrator.deciding.arbitration import Arbitration, arbitrate
from toolkit.orchestrator.deciding.context import Context
from toolkit.orchestrator.deciding.limits import Limits
from toolkit.orchestrator.mainnet import USDC, USDT, WETH
from toolkit.orchestrator.market import Market
from toolkit.perception.prices import PriceSource, price_of
from toolkit.pools.constant_product import ConstantProduct
from toolkit.testing.decide import GivenBlock, decide, given

PRICE_KEY = "price/WETH-USDC"
POOLS = tuple(Address(f"0x{digit * 40}") for digit in "123")
MARKET = Market(
    wrapped=WETH.address,
    tokens=(USDC, WETH, USDT),
    stables=(USDC.address, USDT.address),
    prices=(PriceSource(key=PRICE_KEY, pool=POOLS[0], base=WETH.address, quote=USDC.address),),
)
LIMITS = Limits(
    min_trade_wei=1,
    max_trade_wei=10**21,
    max_position_wei=10**21,
    agent_risk_wei=10**21,
    class_risk_wei=10**21,
    max_plans=100,
)
CAPITAL = {token.address: 10**4 * 10**token.decimals for token in (WETH, USDC, USDT)}
CAPITAL = {address: amount * 1000 for address, amount in CAPITAL.items()}
PPM = 10**6


class Blind:
    """A view of nothing."""

    def price(self, key: str) -> None:
        """Show no price."""


@dataclass(frozen=True)
class Scripted:
    """Wishes what it was told to; boasts of any edge."""

    name: str
    wishes: tuple[tuple[str, str, int, float, int], ...]

    def on_block(self, view: tk.View | Blind) -> Iterable[tk.Intent]:
        """Return its wishes."""
        view.price(PRICE_KEY)
        for token_in, token_out, amount, confidence, edge in self.wishes:
            leg = tk.Leg(token_in=Address(token_in), token_out=Address(token_out), amount_in=amount)
            yield tk.Intent(
                agent=self.name, legs=(leg,), edge_wei=edge, confidence=confidence, reason="told"
            )


@dataclass(frozen=True)
class Granted:
    """What is left of one wish."""

    token_in: str
    token_out: str
    amount: int

    @property
    def buys(self) -> bool:
        """Whether it is for WETH."""
        return self.token_out == WETH.address


@dataclass(frozen=True)
class Fixed:
    """A policy of given weights."""

    given: dict[str, float]

    def weights(self, agents: Sequence[str], **_: object) -> dict[str, float]:
        """Return them."""
        return {agent: self.given[agent] for agent in agents}


def world(rng: random.Random) -> GivenBlock:
    """One block with three pools of their own fees and depths."""
    price = rng.randrange(500, 5000)
    pairs = ((USDC, 3000), (USDC, rng.choice([100, 500])), (USDT, 3000))
    pools = [
        ConstantProduct(
            id=pool,
            token0=min(quote.address, WETH.address),
            token1=max(quote.address, WETH.address),
            reserve0=(depth := rng.randrange(50, 5000)) * price * 10**6
            if quote.address < WETH.address
            else (depth := rng.randrange(50, 5000)) * 10**18,
            reserve1=depth * 10**18 if quote.address < WETH.address else depth * price * 10**6,
            fee_ppm=fee,
        )
        for pool, (quote, fee) in zip(POOLS, pairs, strict=True)
    ]
    return given(1000, pools=pools, tokens=MARKET.tokens)


def agents_of(rng: random.Random) -> list[Scripted]:
    """Two to five wishes of as many agents or fewer: mostly opposed."""
    count = rng.choices([2, 3, 4, 5], weights=[16, 16, 8, 1])[0]
    wishes: dict[str, list[tuple[str, str, int, float, int]]] = {}
    for n in range(count):
        quote = rng.choice([USDC, USDT]).address
        buys = n == 0 or (n > 1 and rng.random() < 0.5)
        token_in, token_out = (quote, WETH.address) if buys else (WETH.address, quote)
        amount = rng.randrange(1, 10**10) if buys else rng.randrange(10**12, 5 * 10**18)
        confidence = rng.choice([1.0, 1.0, 0.5, 1 / 3, 0.123456])
        edge = rng.choice([0, 0, 10**15, 10**30])
        mine = wishes.setdefault(f"agent{rng.randrange(count)}", [])
        mine.append((token_in, token_out, amount, confidence, edge))
    return [Scripted(name=name, wishes=tuple(mine)) for name, mine in wishes.items()]


def check(seed: int) -> None:
    """Try one seed."""
    rng = random.Random(seed)
    block, agents = world(rng), agents_of(rng)
    weights = {agent.name: rng.choice([1.0, 1.0, 0.5, 0.3, 0.0]) for agent in agents}
    scales = {agent.name: rng.choice([1.0, 1.0, 0.7]) for agent in agents}
    context, price = priced(block, weights)
    context = msgspec.structs.replace(context, scales=scales)
    proposals = proposed(block, *(wish for agent in agents for wish in wishes_of(agent)))

    result = arbitrate(context, proposals)

    whole = msgspec.json.encode(result)
    for order in itertools.permutations(proposals):
        assert whole == msgspec.json.encode(arbitrate(context, order)), "the order mattered"
    assert len(proposals) == len(result.candidates), "an intent got lost"
    granted = granted_of(result, weights, scales)
    one_way_only(result)
    granted_to_the_wei(result, granted)
    crossed_at_the_price(result, granted, price)
    one_verdict_names_all(result, granted)
    saved_is_what_fees_say(result, block, price)
    if seed % 8 == 0:
        the_orchestrator_agrees(rng, block, agents, weights)


def priced(block: GivenBlock, weights: dict[str, float]) -> tuple[Context, Fraction]:
    """The context of a decision at the main pool's price, and that price per smallest unit."""
    value = price_of(block.snapshot, MARKET.prices[0])
    base = context_of(block, market=MARKET, limits=LIMITS, weights=weights)
    reading = msgspec.structs.replace(base.readings[PRICE_KEY], value=value)
    context = msgspec.structs.replace(base, readings={PRICE_KEY: reading})
    return context, Fraction(str(value)) * Fraction(10) ** (USDC.decimals - WETH.decimals)


def wishes_of(agent: Scripted) -> list[tk.Intent]:
    """What an agent hands over; it looks at nothing but the price."""
    return [msgspec.structs.replace(wish, inputs=(PRICE_KEY,)) for wish in agent.on_block(Blind())]


def granted_of(
    result: Arbitration, weights: dict[str, float], scales: dict[str, float]
) -> dict[str, Granted]:
    """What weight, discount and confidence leave of each wish, by its intent's name."""
    found = {}
    for one in result.candidates:
        (leg,), left = one.intent.legs, one.intent.legs[0].amount_in
        agent = one.intent.agent
        for share in (weights[agent], scales[agent], one.intent.confidence):
            left = left * round(share * PPM) // PPM
        if left:
            found[one.intent_id] = Granted(leg.token_in, leg.token_out, left)
    return found


def one_way_only(result: Arbitration) -> None:
    """No class leaves with both a purchase and a sale."""
    sides = {leg.token_out == WETH.address for one in result.rulings for leg in one.verdict.legs}
    assert len(sides) <= 1, "both a purchase and a sale leave the gate"


def filled(result: Arbitration) -> dict[str, int]:
    """What of each intent changes hands inside or goes to the market."""
    amounts: dict[str, int] = {}
    for ruling in result.rulings:
        parts = [(part.intent, part.amount_in) for part in ruling.inside]
        parts += [(share.intent, share.amount_in) for share in ruling.shares]
        for intent, amount in parts:
            amounts[intent] = amounts.get(intent, 0) + amount
    return amounts


def granted_to_the_wei(result: Arbitration, granted: dict[str, Granted]) -> None:
    """What is filled is what weight and confidence grant; legs are the sum of their shares."""
    assert {name: one.amount for name, one in granted.items()} == filled(result)
    for ruling in result.rulings:
        for leg in ruling.verdict.legs:
            assert leg.amount_in == sum(share.amount_in for share in ruling.shares)
        for token in {move.token for move in ruling.transfers}:
            moved = sum(move.change for move in ruling.transfers if move.token == token)
            assert moved == 0, "a unit was made or lost inside"


def crossed_at_the_price(result: Arbitration, granted: dict[str, Granted], price: Fraction) -> None:
    """The smaller side is filled inside, whole, and the larger one pays the reading's price."""
    bought = [int(one.amount / price) for one in granted.values() if one.buys]
    sold = [one.amount for one in granted.values() if not one.buys]
    inside = [part for ruling in result.rulings for part in ruling.inside]
    given = sum(part.amount_in for part in inside if part.token_in == WETH.address)
    paid = sum(part.amount_in for part in inside if part.token_in != WETH.address)
    assert given == min(sum(bought), sum(sold)), "not all of the smaller side crossed"
    assert abs(paid - given * price) <= len(granted) * (price + 2)
    if sum(sold) > sum(bought):
        legs = [leg for ruling in result.rulings for leg in ruling.verdict.legs]
        assert sum(leg.amount_in for leg in legs) == sum(sold) - sum(bought)


def one_verdict_names_all(result: Arbitration, granted: dict[str, Granted]) -> None:
    """A conflict has one record, which names every intent in it; every other intent has its own."""
    if {one.buys for one in granted.values()} == {True, False}:
        records = [one for one in result.rulings if set(granted) == set(one.verdict.intents)]
        assert len(records) == 1, "a conflict has not one record that names everybody"
    named = {name for ruling in result.rulings for name in ruling.verdict.intents}
    assert {candidate.intent_id for candidate in result.candidates} <= named


def saved_is_what_fees_say(result: Arbitration, block: GivenBlock, price: Fraction) -> None:
    """Fees of each intent alone minus those of the net legs: exactly what verdicts report."""
    alone: dict[tuple[str, str, str], int] = {}
    netted = 0
    conflict = any(ruling.inside for ruling in result.rulings)
    for ruling in result.rulings:
        for part in ruling.inside:
            key = (part.intent, part.token_in, part.token_out)
            alone[key] = alone.get(key, 0) + part.amount_in
        for leg in ruling.verdict.legs:
            netted += fee_wei(block, leg.token_in, leg.token_out, leg.amount_in, price)
            for share in ruling.shares:
                key = (share.intent, leg.token_in, leg.token_out)
                alone[key] = alone.get(key, 0) + share.amount_in
    unnetted = sum(fee_wei(block, *key[1:], amount, price) for key, amount in alone.items())
    reported = sum(ruling.verdict.saved_wei for ruling in result.rulings)
    assert reported == (unnetted - netted if conflict else 0), "saved is not what fees say"


def fee_wei(block: GivenBlock, token_in: str, token_out: str, amount: int, price: Fraction) -> int:
    """The pool fees of one trade, in wei: of every pool that it is divided over, side by side.

    How it is divided is the router's, and gives no less than the best of these pools alone.
    """
    if not amount:
        return 0
    sold, bought = Address(token_in), Address(token_out)
    router = tk.Router(block.snapshot, native=WETH.address)
    gas_price = expected_gas_price(block.fee)
    route = router.swap(sold, bought, amount, max_pools=4, gas_price_wei=gas_price)
    fit = {
        name: pool
        for name, pool in block.snapshot.pools.items()
        if {pool.token0, pool.token1} == {sold, bought}
    }
    alone = max(pool.quote_in(sold, amount) for pool in fit.values())
    assert alone <= route.amount_out, "a trade was divided to its harm"
    fee = 0
    for hop in route.hops:
        assert (hop.token_in, hop.token_out) == (sold, bought)
        fee += math.ceil(Fraction(hop.amount_in * fit[hop.pool].fee_ppm, PPM))
    assert sum(hop.amount_in for hop in route.hops) == amount
    return fee if token_in == WETH.address else int(fee / price)


def the_orchestrator_agrees(
    rng: random.Random, block: GivenBlock, agents: list[Scripted], weights: dict[str, float]
) -> None:
    """Registered in any order, the agents lead the orchestrator to one and the same journal."""
    policy = Fixed(weights)
    runs = [
        decide(order, [block], capital=CAPITAL, market=MARKET, limits=LIMITS, policy=policy)
        for order in (agents, rng.sample(agents, len(agents)))
    ]
    first, second = (run.journal[-1].hash for run in runs)
    assert first == second, "the order of registration mattered"
    context, _ = priced(block, weights)
    wishes = (wish for agent in agents for wish in wishes_of(agent))
    alone = arbitrate(context, proposed(block, *wishes))
    told = [ruling.verdict.saved_wei for ruling in alone.rulings if ruling.verdict.approved]
    made = [one.saved_wei for one in runs[0].verdicts if one.approved]
    assert sorted(told) == sorted(made), "the orchestrator saved something else"
