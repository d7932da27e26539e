from collections.abc import Sequence
from typing import Any

import pytest

from scripts.soak.bundle_draws import ANYTHING, COUNTER, COUNTER_CODE
from tests.devnet.conftest import GWEI, Wallet, submit
from toolkit.chain.node import Node
from toolkit.devnet.building import auction
from toolkit.devnet.building.sealing import Market
from toolkit.model.bundle import MissCause
from toolkit.model.tx import SignedTransaction


@pytest.fixture
async def counter(node: Node) -> None:
    """A contract whose slots count up, for those who expect the right count; it logs nothing."""
    await node.rpc.call("anvil_setCode", (COUNTER, COUNTER_CODE))
    for slot in range(3):
        await node.rpc.call("anvil_setStorageAt", (COUNTER, hex(slot), f"0x{5:064x}"))


def count(wallet: Wallet, expected: int, *, slot: int = 0, **fields: int) -> SignedTransaction:
    """Count a slot up if it has the expected value."""
    return wallet.sign(COUNTER, data=f"0x{slot:064x}{expected:064x}", **fields)


async def mined(node: Node) -> list[str]:
    return [str(each) for each in (await node.block())["transactions"]]


@pytest.mark.usefixtures("counter")
async def test_a_bundle_that_fails_alone_is_tried_behind_all_that_may_help(
    node: Node, market: Market, wallets: list[Wallet]
) -> None:
    """Two that do not see each other count up; a third needs both, a fourth none of them."""
    one, two = (count(wallets[i], ANYTHING, tip=i * GWEI) for i in (1, 2))
    third = count(wallets[3], 7, tip=50 * GWEI)
    fourth = count(wallets[4], 5, tip=20 * GWEI)
    for each in (third, one, two, fourth):
        await submit(market, each)

    await market.seal()

    order = await mined(node)
    assert {one.hash, two.hash, third.hash, fourth.hash} == set(order)
    assert (fourth.hash, third.hash) == (order[0], order[2])


@pytest.mark.usefixtures("counter")
async def test_an_early_exact_one_lets_the_rest_follow(
    node: Node, market: Market, wallets: list[Wallet]
) -> None:
    """Whoever needs the untouched state goes first, though dearer ones do not mind."""
    exact = count(wallets[1], 5, tip=GWEI)
    lax = [count(wallets[i], ANYTHING, tip=i * GWEI) for i in (2, 3, 4)]
    for each in (*lax, exact):
        await submit(market, each)

    await market.seal()

    order = await mined(node)
    assert exact.hash == order[0]
    assert {exact.hash, *(each.hash for each in lax)} == set(order)


@pytest.mark.usefixtures("counter")
async def test_a_wrong_guess_of_who_depends_on_whom_costs_nothing(
    node: Node, market: Market, wallets: list[Wallet], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were nobody thought to depend on anybody, the block is still one that can be mined."""
    first, second = (count(wallets[i], 5, tip=i * GWEI) for i in (1, 2))

    async def nobody(_: object, __: object, members: Sequence[int]) -> dict[int, frozenset[int]]:
        return {each: frozenset() for each in members}

    monkeypatch.setattr(auction, "find_influences", nobody)
    for each in (first, second):
        await submit(market, each)

    await market.seal()

    lost = market.slots[-1].considered[1]
    assert [second.hash] == await mined(node)
    assert MissCause.OUTBID_CONFLICT is lost.cause


@pytest.mark.usefixtures("counter")
async def test_many_that_depend_on_each_other_are_placed_too(
    node: Node, market: Market, wallets: list[Wallet]
) -> None:
    """Fifteen bundles on three slots: one exact in each, and everybody who does not mind."""
    sent: list[tuple[SignedTransaction, bool]] = []
    nonces: dict[int, int] = {}
    for index in range(15):
        who, slot = index % 5 + 1, index % 3
        nonce = 10 + nonces.setdefault(who, 0)
        nonces[who] += 1
        lax = index >= 6
        fields: dict[str, Any] = {"nonce": nonce, "tip": (20 - index) * GWEI, "slot": slot}
        sent.append((count(wallets[who], ANYTHING if lax else 5, **fields), lax))
    for each, _ in sent:
        await submit(market, each)

    await market.seal()

    order = await mined(node)
    exact = [each.hash for each, lax in sent if not lax and each.hash in order]
    assert 3 == len(exact)
    assert all(each.cause for each in market.slots[-1].considered if not each.included)


@pytest.mark.usefixtures("counter")
async def test_gas_goes_to_those_who_leave_most_together(
    node: Node, market: Market, wallets: list[Wallet]
) -> None:
    """Limits count when their turn comes: the greedy one is first, and all three have room."""
    limit = market.head.gas_limit
    greedy = wallets[1].sign(gas=limit, tip=GWEI)
    others = [wallets[i].sign(gas=limit - 60_000, tip=i * GWEI) for i in (2, 3)]
    for each in (*others, greedy):
        await submit(market, each)

    await market.seal()

    order = await mined(node)
    assert greedy.hash == order[0]
    assert {greedy.hash, *(each.hash for each in others)} == set(order)
