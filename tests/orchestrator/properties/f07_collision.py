"""Five agents' intents over one account never collide: each is mined once, or known not to be."""

import asyncio
from collections import Counter

from tests.orchestrator.properties.floor import Floor, carried
from toolkit.model.decision import Fill
from toolkit.testing.fakes import FRIEND

INTENTS = 3
"""Of each agent in one seed; `test_floor` lives through 200 of each."""


def check(seed: int, *, intents: int = INTENTS) -> Floor:
    """Try one seed."""
    floor = Floor(seed, intents=intents)
    asyncio.run(floor.run())
    swaps_end_once(floor)
    payments_end_once(floor)
    assert not [nonce for nonce in floor.chain.pool if nonce > floor.chain.spent], "a nonce gap"
    return floor


def swaps_end_once(floor: Floor) -> None:
    """Every plan has one end, and it is what the chain has of it."""
    hashes = {block.head.hash for block in floor.chain.blocks}
    mined: Counter[int] = Counter()
    for block in floor.chain.blocks:
        for tx in block.transactions:
            call = carried(tx.unsigned.data)
            mined.update(hop[4] for hop in call[1] if call[0] == block.head.number) if call else ()
    for name, plan in floor.plans.items():
        fills = floor.fills[name]
        assert len(fills) == 1, f"{name} has {len(fills)} ends"
        (fill,) = fills
        times = mined[plan.route.hops[0].amount_in]
        if fill.landed and fill.block_hash in hashes:
            assert times == 1, f"{name} is told to have landed, and is mined {times} times"
            assert fill.realised_out == plan.minimum_profit, f"{name} got {fill.realised_out}"
        elif not fill.landed:
            assert times == 0, f"{name} is told to have missed, and is mined {times} times"
        assert times <= 1, f"{name} is mined {times} times"
    gas_is_shared_exactly([fill for fills in floor.fills.values() for fill in fills])


def gas_is_shared_exactly(fills: list[Fill]) -> None:
    """Fills that shared transactions have paid for their gas together, once."""
    shared: dict[tuple[str, ...], list[Fill]] = {}
    for fill in fills:
        if fill.together:
            shared.setdefault(fill.tx_hashes, []).append(fill)
    for group in shared.values():
        assert len(group) == len(group[0].together), "a part of a shared transaction has no fill"
        price = 10**10
        spent = sum(fill.gas_fee_wei for fill in group)
        assert spent == 21_000 * price * len(group[0].tx_hashes), f"{spent} wei of gas attributed"


def payments_end_once(floor: Floor) -> None:
    """Every public request is mined at most once."""
    mined = Counter(
        tx.unsigned.value
        for block in floor.chain.blocks
        for tx in block.transactions
        if tx.unsigned.to == FRIEND
    )
    for name, value in floor.payments.items():
        assert mined[value] <= 1, f"{name} is mined {mined[value]} times"
