"""Swaps with own capital, made up: tokens, pools and amounts that fit a plan."""

import itertools
import random
from collections.abc import Sequence

from toolkit.execution.planner import expected_gas
from toolkit.model.chain import Address, Hash
from toolkit.model.decision import Plan
from toolkit.model.market import Funding, FundingKind, Hop, PoolKind, Route
from toolkit.model.tx import FeeQuote

TOKENS = tuple(Address(f"0x{number:040x}") for number in range(1, 6))
PARENT = Hash("0x" + "01" * 32)
FEE = FeeQuote(
    max_fee_per_gas=3 * 10**9,
    max_priority_fee_per_gas=10**8,
    base_fee_per_gas=10**9,
    for_block=101,
)


def pool(number: int) -> Address:
    return Address(f"0x{0xF00 + number:040x}")


def swap(
    path: Sequence[tuple[Address, int]],
    *,
    name: str = "100-0",
    agent: str = "a",
    first_pool: int = 0,
    tip_wei: int = 0,
    kind: FundingKind = FundingKind.OWN,
    parent: Hash = PARENT,
) -> Plan:
    """A plan along (token, amount) stations, each hop in a pool of its own."""
    hops = tuple(
        Hop(
            pool=pool(first_pool + index),
            kind=PoolKind.CONCENTRATED if index % 2 else PoolKind.CONSTANT_PRODUCT,
            token_in=token_in,
            token_out=token_out,
            amount_in=amount_in,
            amount_out=amount_out,
            fee_ppm=3000,
        )
        for index, ((token_in, amount_in), (token_out, amount_out)) in enumerate(
            itertools.pairwise(path)
        )
    )
    (token_in, amount_in), (token_out, amount_out) = path[0], path[-1]
    route = Route(
        token_in=token_in,
        token_out=token_out,
        amount_in=amount_in,
        amount_out=amount_out,
        hops=hops,
        block_hash=parent,
        block_number=100,
    )
    return Plan(
        verdict_id=name,
        agents=(agent,),
        route=route,
        funding=Funding(kind=kind, token=token_in, amount=amount_in),
        minimum_profit=amount_out,
        tip_wei=tip_wei,
        gas_limit=expected_gas(route, kind, tip_wei=tip_wei) * 3 // 2,
        target_block=101,
        parent_hash=parent,
    )


def random_swaps(rng: random.Random, *, most: int = 6) -> tuple[Plan, ...]:
    """Swaps of several agents over few tokens, no pool twice."""
    plans: list[Plan] = []
    pools = 0
    for number in range(rng.randint(2, most)):
        tokens = rng.sample(TOKENS, rng.randint(2, 3))
        path = [(token, rng.randint(1, 10**24)) for token in tokens]
        plans.append(
            swap(
                path,
                name=f"100-{number}",
                agent=f"agent-{number}",
                first_pool=pools,
                tip_wei=rng.choice([0, rng.randint(1, 10**16)]),
            )
        )
        pools += len(path) - 1
    return tuple(plans)
