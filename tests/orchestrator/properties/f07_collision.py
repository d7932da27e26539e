"""Five agents' intents never collide, on one wallet or three: each is mined once, or never."""

import asyncio
from collections import Counter

from tests.orchestrator.properties.floor import Floor, carried
from toolkit.model.chain import Hash
from toolkit.model.decision import Fill
from toolkit.testing.fakes import FRIEND

GAS, PRICE = 21_000, 10**10
INTENTS = 3
"""Of each agent in one seed; `test_floor` lives through 200 of each."""
SEEDS = (160170467, 2006, 412405913, 2721, 3715)
"""A part leaked into the last blocks; nodes that have a receipt now and then."""


def check(seed: int, *, intents: int = INTENTS, wallets: int | None = None) -> Floor:
    """Try one seed; where no number is given, odd ones have one wallet and even ones three."""
    floor = Floor(seed, intents=intents, wallets=wallets or (1 if seed % 2 else 3))
    asyncio.run(floor.run())
    swaps_end_once(floor)
    payments_end_once(floor)
    for account, pool in floor.chain.pool_of.items():
        assert all(nonce <= floor.chain.spent_by(account) for nonce in pool), "a nonce gap"
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
        first, *later = floor.fills[name]
        placed = [place(fill) for fill in (first, *later)]
        assert len(set(placed)) == len(placed), f"{name} is told twice of one block"
        # What is told later is of blocks that hold it after all: leaked, or back after a reorg.
        assert all(one.tx_hashes for one in later), f"{name} has {len(placed)} ends"
        landed = [one for one in (first, *later) if one.landed and one.block_hash in hashes]
        times = mined[plan.route.hops[0].amount_in]
        if landed:
            assert times == 1, f"{name} is told to have landed, and is mined {times} times"
            assert len(landed) == 1, f"{name} is told to have landed {len(landed)} times"
            assert landed[0].realised_out == plan.minimum_profit, f"{name} got another amount"
        elif not first.landed:
            assert times == 0, f"{name} is told to have missed, and is mined {times} times"
        assert times <= 1, f"{name} is mined {times} times"
    fills = [fill for fills in floor.fills.values() for fill in fills]
    gas_is_shared_exactly(fills)
    gas_is_told(floor, [fill for fill in fills if fill.block_hash in hashes])


def place(fill: Fill) -> tuple[object, ...]:
    """What a fill tells of."""
    return fill.block_hash, fill.tx_hashes


def gas_is_told(floor: Floor, standing: list[Fill]) -> None:
    """What bundles' transactions cost, wherever they are mined, is somebody's: no wei more or less.

    Who was told of a bundle's end has died in a crash, and with him who looks for its strays.
    """
    own = [tx for b in floor.chain.blocks for tx in b.transactions if tx.hash in floor.signed]
    spent = len(own) * GAS * PRICE
    told = sum(fill.gas_fee_wei for fill in standing)
    assert told <= spent, f"{told} wei of gas told, {spent} spent"
    assert floor.crashes or told == spent, f"{told} wei of gas told, {spent} spent"


def gas_is_shared_exactly(fills: list[Fill]) -> None:
    """Fills that shared transactions have paid for their gas together, once."""
    shared: dict[tuple[Hash | None, tuple[Hash, ...]], list[Fill]] = {}
    for fill in fills:
        if fill.together:
            shared.setdefault((fill.block_hash, fill.tx_hashes), []).append(fill)
    for (_, hashes), group in shared.items():
        assert len(group) == len(group[0].together), "a part of a shared transaction has no fill"
        spent = sum(fill.gas_fee_wei for fill in group)
        assert spent == GAS * PRICE * len(hashes), f"{spent} wei of gas attributed"


def payments_end_once(floor: Floor) -> None:
    """Every public request is mined at most once."""
    mined = Counter(
        tx.unsigned.value
        for block in floor.chain.blocks
        for tx in block.transactions
        if tx.unsigned.to == FRIEND
    )
    for name, (value, _) in floor.payments.items():
        assert mined[value] <= 1, f"{name} is mined {mined[value]} times"
