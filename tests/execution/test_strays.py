"""On the offline twin: what a bundle's transactions cost when they are mined without it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import msgspec
import pytest

from tests.execution.desk import (
    CAPITAL,
    DEAR,
    ETHER,
    POOL,
    USDC,
    USDT,
    WETH,
    Desk,
    open_desk,
    planned,
    quote_for,
)
from tests.execution.swaps import TOKENS, swap
from toolkit.chain.node import Node
from toolkit.execution.gateway import Gateway, InFlight
from toolkit.execution.strays import SURE_BLOCKS, WATCHED_BLOCKS, Strays
from toolkit.model.chain import Address, Hash, Head, HeadChange, Receipt
from toolkit.model.decision import Fill, Leg, Plan
from toolkit.model.tx import SignedTransaction, UnsignedTransaction


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """Two signers with an executor each, on a twin."""
    async with open_desk() as desk:
        yield desk


async def two_plans(desk: Desk) -> tuple[Plan, Plan]:
    """Two swaps with own capital that may share a transaction."""
    snapshot = await desk.snapshot()
    first = planned(Leg(token_in=WETH, token_out=USDC, amount_in=ETHER), snapshot, via=(DEAR,))
    second = planned(
        Leg(token_in=WETH, token_out=USDT, amount_in=2 * ETHER),
        snapshot,
        via=(POOL["V3 WETH/USDT 0.05%"],),
    )
    return first, msgspec.structs.replace(second, verdict_id=f"{snapshot.block.number}-1")


async def together(desk: Desk, gateway: Gateway) -> tuple[InFlight, ...]:
    """Two plans in one transaction, on their way."""
    plans = await two_plans(desk)
    answers = await gateway.submit_merged(plans, fee=quote_for(await desk.node.head()))
    assert answers is not None
    flights = tuple(one for one in answers if isinstance(one, InFlight))
    assert len(flights) == len(plans)
    return flights


def told(fills: Sequence[Fill]) -> dict[str, int]:
    """What fills say that changed, of all verdicts together."""
    sums: dict[str, int] = {}
    for fill in fills:
        for token, change in fill.changes.items():
            sums[token] = sums.get(token, 0) + change
    return {token: change for token, change in sums.items() if change}


def moved(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """What truly changed."""
    return {
        token: after[token] - before[token] for token in before if after[token] != before[token]
    }


async def test_what_lands_after_its_bundle_missed_costs_whose_it_was(desk: Desk) -> None:
    """Leaked, an approval is mined in one block and the trade fails in the next: every wei of gas
    is told once, divided among the verdicts that the transaction carried."""
    gateway = Gateway(desk, desk.executors)
    flights = await together(desk, gateway)
    approval, trade = desk.inbox.bundles[-1]
    missed = await desk.seal()
    lost = [await gateway.settle(flight, missed) for flight in flights]
    before = await desk.balances()

    nothing = await gateway.strays(missed)
    one = await gateway.strays(await desk.seal(approval))
    between = await desk.balances()
    change = await desk.seal(trade)
    two = await gateway.strays(change)
    again = [*await gateway.strays(change), *await gateway.strays(await desk.seal())]
    after = await desk.balances()

    assert [False, False] == [fill.landed for fill in lost]
    assert () == nothing == tuple(again)
    assert moved(before, between) == told(one)
    assert moved(between, after) == told(two)
    names = [flight.plan.verdict_id for flight in flights]
    assert [names, names] == [[fill.verdict_id for fill in fills] for fills in (one, two)]
    assert all(not fill.landed and fill.gas_fee_wei > 0 for fill in (*one, *two))


async def test_what_returns_after_a_reorg_costs_whose_it_was(desk: Desk) -> None:
    """Landed, reverted, and mined anew in a later block, where its guards make it fail."""
    gateway = Gateway(desk, desk.executors)
    flights = await together(desk, gateway)
    raws = desk.inbox.bundles[-1]
    before = await desk.balances()
    point = await desk.node.rpc.call("evm_snapshot", [])
    landed = await desk.seal(*raws)
    fills = [await gateway.settle(flight, landed) for flight in flights]
    quiet = await gateway.strays(landed)
    there = await desk.balances()

    await desk.node.rpc.call("evm_revert", [point])
    await desk.node.rpc.call("evm_increaseTime", [24])
    other = HeadChange(added=(await desk.seal()).added, reverted=landed.added)
    gone = await gateway.strays(other)
    back = await gateway.strays(await desk.seal(*raws))
    after = await desk.balances()

    assert [True, True] == [fill.landed for fill in fills]
    assert moved(before, there) == told(fills)
    assert () == quiet == gone
    assert moved(before, after) == told(back)
    assert [False, False] == [fill.landed for fill in back]
    assert {"mined, but reverted"} == {fill.missed for fill in back}


A, B = TOKENS[:2]
PLAN = swap([(A, 10), (B, 100)], name="100-0")


@dataclass
class Slow:
    """A node on whose chain both of a bundle's nonces are spent; receipts come as they do."""

    there: dict[Hash, Receipt]

    async def nonce(self, account: Address, block: Hash) -> int:  # noqa: ARG002 - as Node
        """Both."""
        return 2

    async def receipt(self, tx_hash: Hash) -> Receipt | None:
        """What there is by now."""
        return self.there.get(tx_hash)


def signed(nonce: int) -> SignedTransaction:
    """One of the bundle's two transactions."""
    unsigned = UnsignedTransaction(
        type=2,
        chain_id=1,
        nonce=nonce,
        to=CAPITAL.address,
        value=0,
        data="0x",
        gas=21_000,
        max_fee_per_gas=1,
        max_priority_fee_per_gas=1,
    )
    return CAPITAL.sign_transaction_now(unsigned)


def mined_in(block: int, one: SignedTransaction) -> Receipt:
    """A transaction's receipt."""
    return Receipt(
        transaction_hash=one.hash,
        block_number=block,
        block_hash=Hash(f"0x{block:064x}"),
        transaction_index=0,
        sender=one.sender,
        to=one.unsigned.to,
        succeeded=True,
        gas_used=21_000,
        effective_gas_price=1,
    )


def on(block: int) -> HeadChange:
    """A head."""
    head = Head(
        number=block,
        hash=Hash(f"0x{block:064x}"),
        parent_hash=Hash(f"0x{block - 1:064x}"),
        timestamp=1,
        base_fee_per_gas=1,
        gas_limit=1,
        gas_used=0,
    )
    return HeadChange(added=(head,))


async def test_a_part_is_told_once_it_is_sure_that_the_rest_is_not_there() -> None:
    """A node that is late with a receipt makes nobody book a half, and then the whole beside it."""
    one, two = signed(0), signed(1)
    node = Slow({one.hash: mined_in(102, one)})
    strays = Strays(cast("Node", node))
    strays.watch((PLAN,), [one, two])

    early = await strays.mined(on(102))
    node.there[two.hash] = mined_in(102, two)
    whole = await strays.mined(on(103))
    strays.told(whole)
    again = await strays.mined(on(104))

    assert () == early == again
    assert [(True, 2)] == [(news.whole, len(news.receipts)) for news in whole]


async def test_a_part_whose_rest_somebody_replaced_is_told_once_that_is_sure() -> None:
    """Another transaction has its nonce: nothing more will come."""
    one, two = signed(0), signed(1)
    strays = Strays(cast("Node", Slow({one.hash: mined_in(102, one)})))
    strays.watch((PLAN,), [one, two])

    found = []
    for block in range(102, 102 + SURE_BLOCKS + 2):
        news = await strays.mined(on(block))
        strays.told(news)
        found.append([(one.whole, len(one.receipts)) for one in news])

    assert [*[[]] * SURE_BLOCKS, [(False, 1)], []] == found


async def test_a_receipt_that_comes_and_goes_is_counted() -> None:
    """A balanced node forgets a part again before it is sure that the rest is not there."""
    one, two = signed(0), signed(1)
    node = Slow({one.hash: mined_in(102, one)})
    strays = Strays(cast("Node", node))
    strays.watch((PLAN,), [one, two])

    early = await strays.mined(on(102))
    node.there.clear()
    late = [await strays.mined(on(block)) for block in range(103, 103 + SURE_BLOCKS)]

    assert () == early
    assert [(102, False)] == [(new.receipts[0].block_number, new.whole) for new in late[-1]]


async def test_a_bundle_is_forgotten_when_no_reorg_reaches_it(desk: Desk) -> None:
    """Nothing is kept for ever, and what is decided is asked for no more."""
    gateway = Gateway(desk, desk.executors)
    flights = await together(desk, gateway)
    missed = await desk.seal()
    for flight in flights:
        await gateway.settle(flight, missed)
    await desk.node.rpc.call("anvil_mine", [hex(WATCHED_BLOCKS + 1)])

    change = await desk.seal(*desk.inbox.bundles[-1])

    assert () == await gateway.strays(change)
