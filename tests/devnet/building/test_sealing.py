import itertools
from collections.abc import Sequence
from typing import Any

import pytest

from tests.devnet.conftest import ACCOUNTS, GWEI, OWNER, SEED, Wallet, submit
from toolkit.chain.node import Node
from toolkit.devnet.accounts import derive_account
from toolkit.devnet.building.sealing import Market
from toolkit.devnet.crowd.trades import Trade, swap_call
from toolkit.devnet.pools import POOLS
from toolkit.devnet.protocols import WETH
from toolkit.gas.rules import next_base_fee
from toolkit.model.bundle import MissCause
from toolkit.model.chain import Address
from toolkit.model.errors import DevnetError, RpcError


def swap(account: Address, amount: int, *, minimum_out: int = 0) -> tuple[Address, str]:
    return swap_call(
        Trade(pool=POOLS[0], token_in=WETH, amount_in=amount), account, minimum_out=minimum_out
    )


async def exact_output(node: Node, account: Address, amount: int) -> int:
    to, data = swap(account, amount)
    answer = await node.call(to=to, data=data, sender=account)
    return int(answer[-64:], 16)


async def mined(node: Node) -> list[str]:
    return [str(each) for each in (await node.block())["transactions"]]


async def test_bundles_come_first_by_value_then_the_public_by_tip(
    node: Node, market: Market, wallets: list[Wallet]
) -> None:
    """The block is: dearest bundle, cheaper bundle, private transaction, public ones by tip."""
    public = [wallets[i].sign(tip=tip * GWEI) for i, tip in ((0, 1), (1, 3), (2, 2))]
    for each in public:
        await market.pool.send_raw(each.raw)
    low, high = wallets[3].sign(tip=20 * GWEI), wallets[4].sign(tip=30 * GWEI)
    private = wallets[5].sign(tip=10 * GWEI)
    await submit(market, low)
    await submit(market, high)
    for builder in market.builders:
        await builder.handle("eth_sendPrivateTransaction", [{"tx": private.raw}], OWNER)

    await market.seal()

    wanted = [high, low, private, public[1], public[2], public[0]]
    assert [each.hash for each in wanted] == await mined(node)


async def test_a_later_bundle_may_use_the_nonce_after_another(
    node: Node, market: Market, wallets: list[Wallet]
) -> None:
    """Two bundles of one account with nonces in a row both land, whatever they pay."""
    first, second = wallets[1].sign(tip=GWEI), wallets[1].sign(tip=50 * GWEI)
    await submit(market, second)
    await submit(market, first)

    await market.seal()

    assert [first.hash, second.hash] == await mined(node)


async def test_one_nonce_goes_to_the_bundle_that_pays_more(
    node: Node, market: Market, wallets: list[Wallet]
) -> None:
    """The cheaper of two bundles with one nonce is outbid, and its rival is named."""
    dear, cheap = (wallets[1].sign(nonce=10, tip=tip * GWEI) for tip in (9, 3))
    await submit(market, cheap)
    await submit(market, dear)

    await market.seal()

    lost = next(each for each in market.slots[-1].considered if not each.included)
    won = next(each for each in market.slots[-1].considered if each.included)
    assert [dear.hash] == await mined(node)
    assert (MissCause.OUTBID_CONFLICT, won.bundle_hash) == (lost.cause, lost.rival)


async def test_bundles_on_one_pool_are_merged_in_the_sequence_that_pays_most(
    node: Node, market: Market, wallets: list[Wallet]
) -> None:
    """A swap with an exact minimum goes first, though it pays less: behind it the others work."""
    a, b, c = (wallets[i].account.address for i in (1, 2, 3))
    amount = 10 * 10**18
    exact = await exact_output(node, b, amount)
    to, data = swap(a, amount)
    dear = wallets[1].sign(to, data=data, tip=50 * GWEI)
    to, data = swap(b, amount, minimum_out=exact)
    strict = wallets[2].sign(to, data=data, tip=30 * GWEI)
    to, data = swap(c, amount)
    lax = wallets[3].sign(to, data=data, tip=20 * GWEI)
    for each in (strict, dear, lax):
        await submit(market, each)

    await market.seal()

    assert {dear.hash, strict.hash, lax.hash} == set(await mined(node))
    assert strict.hash == (await mined(node))[0]


async def test_of_two_that_exclude_each_other_the_dearer_lands(
    node: Node, market: Market, wallets: list[Wallet]
) -> None:
    """Two want the price before any swap: one gets it, the other is outbid by it, with reason."""
    amount = 10 * 10**18
    exact = await exact_output(node, wallets[2].account.address, amount)
    swaps = []
    for wallet, tip in ((wallets[1], 30), (wallets[2], 50)):
        to, data = swap(wallet.account.address, amount, minimum_out=exact)
        swaps.append(wallet.sign(to, data=data, tip=tip * GWEI))
        await submit(market, swaps[-1])

    await market.seal()

    won, lost = market.slots[-1].considered
    assert [swaps[1].hash] == await mined(node)
    assert (MissCause.OUTBID_CONFLICT, won.bundle_hash) == (lost.cause, lost.rival)
    assert "INSUFFICIENT_OUTPUT_AMOUNT" in lost.evidence


async def test_two_cheap_bundles_beat_a_dear_one_that_excludes_both(
    node: Node, market: Market, wallets: list[Wallet]
) -> None:
    """The block pays more with both of them: the dear one is told of a conflict, not outbid."""
    dear = (wallets[1].sign(nonce=10, tip=50 * GWEI), wallets[2].sign(nonce=10, tip=GWEI))
    cheap = [wallets[i].sign(nonce=10, tip=40 * GWEI) for i in (1, 2)]
    for bundle in (dear, *([each] for each in cheap)):
        await submit(market, *bundle)

    await market.seal()

    lost = next(each for each in market.slots[-1].considered if not each.included)
    assert {each.hash for each in cheap} == set(await mined(node))
    assert (MissCause.OUTBID_CONFLICT, dear[0].hash) == (lost.cause, lost.transactions[0])


@pytest.mark.parametrize("leaves", [True, False])
async def test_a_listed_drop_is_left_out_only_where_it_would_revert(
    node: Node, market: Market, wallets: list[Wallet], *, leaves: bool
) -> None:
    """What droppingTxHashes names never reverts on chain: it succeeds there or is not there."""
    to, data = swap(wallets[1].account.address, 10**18, minimum_out=10**30 if leaves else 0)
    loose = wallets[1].sign(to, data=data)
    good = wallets[2].sign()
    await submit(market, loose, good, droppingTxHashes=[loose.hash])

    await market.seal()

    landed = market.slots[-1].considered[0]
    left = [] if leaves else [loose.hash]
    assert [*left, good.hash] == await mined(node)
    assert landed.included
    assert ((loose.hash,) if leaves else ()) == landed.left_out


async def test_a_drop_that_leaves_a_nonce_open_or_nothing_at_all_is_no_excuse(
    node: Node, market: Market, wallets: list[Wallet]
) -> None:
    """Without the dropped one its account's next is invalid, and nothing is no bundle."""
    to, data = swap(wallets[1].account.address, 10**18, minimum_out=10**30)
    loose, behind = wallets[1].sign(to, data=data), wallets[1].sign()
    alone = wallets[2].sign(to, data=data)
    await submit(market, loose, behind, droppingTxHashes=[loose.hash])
    await submit(market, alone, droppingTxHashes=[alone.hash])

    await market.seal()

    gap, nothing = market.slots[-1].considered
    assert [] == await mined(node)
    assert MissCause.REVERTED_SIM is gap.cause is nothing.cause
    assert "left out" in nothing.evidence


@pytest.mark.parametrize("whole", [True, False])
async def test_what_is_listed_behind_a_drop_of_its_account_goes_with_it(
    node: Node, market: Market, wallets: list[Wallet], *, whole: bool
) -> None:
    """It has no valid nonce then; what is not listed has none either, and all of it fails."""
    to, data = swap(wallets[1].account.address, 10**18, minimum_out=10**30)
    loose, between, behind = wallets[1].sign(to, data=data), wallets[1].sign(), wallets[1].sign()
    good = wallets[2].sign()
    listed = [loose, behind, *([between] if whole else [])]
    await submit(
        market, loose, between, good, behind, droppingTxHashes=[each.hash for each in listed]
    )

    await market.seal()

    told = market.slots[-1].considered[0]
    assert ([good.hash] if whole else []) == await mined(node)
    assert ((loose.hash, between.hash, behind.hash) if whole else ()) == told.left_out
    assert whole or "has no valid nonce" in told.evidence


async def test_a_drop_whose_nonce_is_gone_is_invalid_and_no_drop(
    node: Node, market: Market, wallets: list[Wallet]
) -> None:
    """It would revert, but behind another bundle it is not even valid: its own bundle fails."""
    to, data = swap(wallets[1].account.address, 10**18, minimum_out=10**30)
    loose = wallets[1].sign(to, data=data, nonce=10)
    first = wallets[1].sign(nonce=10, tip=50 * GWEI)
    second = (wallets[2].sign(nonce=10), wallets[1].sign(nonce=11))
    await submit(market, loose, wallets[2].sign(nonce=11), droppingTxHashes=[loose.hash])
    await submit(market, first)
    await submit(market, *second)

    await market.seal()

    lost = market.slots[-1].considered[2]
    assert [each.hash for each in (first, *second)] == await mined(node)
    assert (MissCause.OUTBID_CONFLICT, loose.hash) == (lost.cause, lost.transactions[0])


async def test_a_bundle_that_only_works_behind_another_lands_behind_it(
    node: Node, market: Market, wallets: list[Wallet]
) -> None:
    """It fails on the parent's state, and is in the block where somebody else made it possible."""
    poor = Wallet(derive_account(SEED, "pauper", 0))
    poor._nonces = itertools.count(0)
    needy = poor.sign(tip=50 * GWEI, gas=21_000)
    giver = wallets[1].sign(poor.account.address, value=10**18, gas=21_000)
    await submit(market, needy)
    await submit(market, giver)

    await market.seal()

    assert [giver.hash, needy.hash] == await mined(node)


async def test_all_or_nothing(node: Node, market: Market, wallets: list[Wallet]) -> None:
    """A bundle whose second transaction reverts leaves no trace, and says which and why."""
    good = wallets[1].sign(tip=90 * GWEI)
    to, data = swap(wallets[1].account.address, 10**18, minimum_out=10**30)
    await submit(market, good, wallets[1].sign(to, data=data))

    await market.seal()

    lost = market.slots[-1].considered[0]
    assert await mined(node) == []
    assert lost.cause is MissCause.REVERTED_SIM
    assert "INSUFFICIENT_OUTPUT_AMOUNT" in lost.evidence


async def test_a_listed_revert_may_stay(node: Node, market: Market, wallets: list[Wallet]) -> None:
    """What revertingTxHashes names may revert and is mined all the same."""
    to, data = swap(wallets[1].account.address, 10**18, minimum_out=10**30)
    failing = wallets[1].sign(to, data=data)
    good = wallets[1].sign()
    await submit(market, failing, good, revertingTxHashes=[failing.hash])

    await market.seal()

    receipts = await node.receipts(market.head.number)
    assert [(failing.hash, False), (good.hash, True)] == [
        (each.transaction_hash, each.succeeded) for each in receipts
    ]


@pytest.mark.parametrize(
    ("field", "cause", "words"),
    [
        ({"nonce": 9}, MissCause.NONCE_USED, "nonce 9"),
        ({"nonce": 12}, MissCause.STATE_CONFLICT, "nonce 12"),
        ({"cap": 1000, "tip": 1}, MissCause.UNDERPRICED, "base fee"),
        ({"chain_id": 5}, MissCause.REVERTED_SIM, "chain 5"),
        ({"gas": 40_000_000}, MissCause.REVERTED_SIM, "40000000 gas"),
        ({"value": 10**30}, MissCause.REVERTED_SIM, "unds"),
    ],
)
async def test_what_cannot_be_mined_is_left_out_with_its_cause(
    node: Node,
    market: Market,
    wallets: list[Wallet],
    field: dict[str, Any],
    cause: MissCause,
    words: str,
) -> None:
    """Anvil's simulation checks none of these by itself; each has its own cause and evidence."""
    await submit(market, wallets[1].sign(**field))

    await market.seal()

    lost = market.slots[-1].considered[0]
    assert await mined(node) == []
    assert (cause, False) == (lost.cause, lost.included)
    assert words in lost.evidence


@pytest.mark.parametrize(
    ("fields", "cause", "words"),
    [
        ([{"nonce": 10}, {"nonce": 12}], MissCause.REVERTED_SIM, "needs 11 there"),
        ([{"gas": 36_000_000}] * 2, MissCause.UNDERPRICED, "the block is full"),
    ],
)
async def test_a_bundle_that_does_not_fit_together_is_left_out(
    node: Node,
    market: Market,
    wallets: list[Wallet],
    fields: list[dict[str, int]],
    cause: MissCause,
    words: str,
) -> None:
    """A gap in a bundle's own nonces, or more gas limits than a block has."""
    await submit(market, *(wallets[1].sign(**each) for each in fields))  # type: ignore[arg-type]

    await market.seal()

    lost = market.slots[-1].considered[0]
    assert await mined(node) == []
    assert cause is lost.cause
    assert words in lost.evidence


async def test_only_the_target_block_is_tried(
    node: Node, market: Market, wallets: list[Wallet]
) -> None:
    """A bundle for the block after next waits for it; a time window outside leaves it out."""
    later = wallets[1].sign()
    early = wallets[2].sign()
    await submit(market, later, number=market.head.number + 2)
    await submit(market, early, minTimestamp=market.head.timestamp + 13)

    await market.seal()
    first = await mined(node)
    await market.seal()

    assert first == []
    assert [later.hash] == await mined(node)


async def test_a_bundle_the_winner_lacks_is_recorded_as_such(
    node: Node, market: Market, wallets: list[Wallet]
) -> None:
    """Sent to one builder only, a bundle misses the other's slots, and the truth says so."""
    await market.seal()
    loser = next(b for b in market.builders if b.name != _next_winner(market))
    only = wallets[1].sign()
    bundle = {"txs": [only.raw], "blockNumber": hex(market.head.number + 1)}
    await loser.handle("eth_sendBundle", [bundle], OWNER)

    await market.seal()

    assert MissCause.WRONG_BUILDER is market.slots[-1].considered[0].cause
    assert await mined(node) == []


def _next_winner(market: Market) -> str:
    return market._winner(market.head.number + 1).name


async def test_the_public_pool_survives_a_block(
    node: Node, market: Market, wallets: list[Wallet]
) -> None:
    """A gapped nonce waits on, an outlived one is dropped, an impersonated one keeps its hash."""
    gapped = wallets[1].sign(nonce=12)
    outlived = wallets[2].sign(nonce=10, tip=GWEI)
    await market.pool.send_raw(gapped.raw)
    await market.pool.send_raw(outlived.raw)
    await node.rpc.call("anvil_impersonateAccount", (ACCOUNTS[3].address,))
    request = {"from": ACCOUNTS[3].address, "to": OWNER, "value": "0x1"}
    impersonated = (await market.pool.send_call(request)).hash
    bundled = wallets[2].sign(nonce=10, tip=5 * GWEI)
    await submit(market, bundled)

    await market.seal()

    assert [bundled.hash, impersonated] == await mined(node)
    assert [gapped.hash] == [each.hash for each in market.pool.mempool.queued()]
    assert (outlived.hash,) == market.slots[-1].dropped


async def test_what_goes_round_the_pool_is_discarded(
    node: Node, market: Market, wallets: list[Wallet]
) -> None:
    """A transaction that somebody sent straight to Anvil is not in the next block, nor later."""
    await node.send_raw(wallets[1].sign().raw)
    public = wallets[2].sign()
    await market.pool.send_raw(public.raw)

    await market.seal()

    assert [public.hash] == await mined(node)
    assert {"pending": "0x0", "queued": "0x0"} == await node.rpc.call("txpool_status")


async def test_what_anvil_skips_does_not_stay_there(
    node: Node, market: Market, wallets: list[Wallet]
) -> None:
    """A bundle spent what a public transaction needed: it leaves the pool, and Anvil's as well."""
    balance = await node.balance(wallets[1].account.address)
    first, second = (wallets[1].sign(nonce=nonce, value=balance // 3) for nonce in (10, 11))
    await market.pool.send_all([first, second])
    drain = wallets[1].sign(nonce=10, value=balance * 9 // 10, tip=50 * GWEI)
    await submit(market, drain)

    await market.seal()

    assert [drain.hash] == await mined(node)
    assert {first.hash, second.hash} == set(market.slots[-1].dropped)
    assert {"pending": "0x0", "queued": "0x0"} == await node.rpc.call("txpool_status")


async def test_a_failed_seal_leaves_the_pool_as_it_was(
    node: Node, market: Market, wallets: list[Wallet], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When Anvil does not mine, nothing stays at Anvil, and the next try takes the same."""
    public = wallets[1].sign()
    await market.pool.send_raw(public.raw)
    call = node.rpc.call

    async def failing(method: str, params: Sequence[object] = (), **options: Any) -> Any:
        if method == "evm_mine":
            raise RpcError(-32000, "not now")
        return await call(method, params, **options)

    with monkeypatch.context() as patched:
        patched.setattr(node.rpc, "call", failing)
        with pytest.raises(RpcError, match="not now"):
            await market.seal()
    left = await node.rpc.call("txpool_status")
    await market.seal()

    assert {"pending": "0x0", "queued": "0x0"} == left
    assert [public.hash] == await mined(node)


async def test_a_bundle_may_carry_a_public_transaction(
    node: Node, market: Market, wallets: list[Wallet]
) -> None:
    """A backrun holds the pending transaction itself, which is mined once, in the bundle."""
    public, back = wallets[1].sign(), wallets[2].sign(tip=5 * GWEI)
    await market.pool.send_raw(public.raw)
    await submit(market, public, back)

    await market.seal()

    assert [public.hash, back.hash] == await mined(node)


async def test_a_block_mined_behind_the_market_is_noticed(
    node: Node, market: Market, wallets: list[Wallet], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something else in the block than planned is an error, not a silent difference."""
    stranger = wallets[5].sign()
    call = node.rpc.call

    async def meddling(method: str, params: Sequence[object] = (), **options: Any) -> Any:
        if method == "anvil_setCoinbase":
            await call("anvil_dropAllTransactions")
            await call("eth_sendRawTransaction", (stranger.raw,))
        return await call(method, params, **options)

    monkeypatch.setattr(node.rpc, "call", meddling)
    await submit(market, wallets[1].sign())

    with pytest.raises(DevnetError, match="not the planned one"):
        await market.seal()


async def test_the_slot_is_paid_to_its_builder_at_the_protocols_base_fee(
    node: Node, market: Market, wallets: list[Wallet]
) -> None:
    """Fee recipient, base fee and time are those of the plan; the lottery takes turns."""
    seen = set()
    for _ in range(12):
        parent = market.head
        head = await market.seal()
        block = await node.block()
        slot = market.slots[-1]
        seen.add(slot.builder)
        assert slot.fee_recipient == block["miner"]
        assert next_base_fee(parent) == head.base_fee_per_gas
        assert parent.timestamp + 12 == head.timestamp

    assert {"builder-1", "builder-2"} == seen


async def test_a_bundle_that_came_twice_landed_for_both(
    node: Node, market: Market, wallets: list[Wallet]
) -> None:
    """Its transactions are in the block once; neither of its senders is told that it missed."""
    signed = wallets[1].sign()
    target = hex(market.head.number + 1)
    for builder in market.builders:
        for owner in (OWNER, ACCOUNTS[1].address):
            bundle = {"txs": [signed.raw], "blockNumber": target}
            await builder.handle("eth_sendBundle", [bundle], owner)

    await market.seal()

    one, other = market.slots[-1].considered
    assert [signed.hash] == await mined(node)
    assert one.included
    assert other.included
    assert {OWNER, ACCOUNTS[1].address} == {one.owner, other.owner}
    assert 0 == min(one.value_wei, other.value_wei) < max(one.value_wei, other.value_wei)
