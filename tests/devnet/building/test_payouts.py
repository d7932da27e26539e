import pytest

from tests.devnet.conftest import GWEI, OWNER, SEED, Wallet, submit
from toolkit.chain.node import Node
from toolkit.devnet.accounts import derive_account
from toolkit.devnet.builders import Builder
from toolkit.devnet.building.dialects import PROFILES
from toolkit.devnet.building.payouts import TRANSFER_GAS, payout_gas
from toolkit.devnet.building.sealing import Market
from toolkit.devnet.protocols import V2_ROUTER, WETH
from toolkit.devnet.public_pool import open_pool, rules_of
from toolkit.devnet.twin import Twin
from toolkit.model.chain import Mode


async def paying_market(node: Node, twin: Twin, profile: str) -> Market:
    """One builder that has the key of its fee recipient."""
    account = derive_account(SEED, "builder", 1)
    builder = Builder(
        name=profile,
        fee_recipient=account.address,
        signer=account.signer,
        rpc=node.rpc,
        head=twin.head,
        profile=PROFILES[profile],
    )
    return Market(
        node.rpc,
        [builder],
        pool=await open_pool(node.rpc, rules_of("geth")),
        seed=SEED,
        chain_id=1,
        mode=Mode.DEV,
        head=twin.head,
    )


async def mined(node: Node) -> list[str]:
    return [str(each) for each in (await node.block())["transactions"]]


async def test_a_refund_is_paid_behind_everything_else(
    node: Node, twin: Twin, wallets: list[Wallet]
) -> None:
    """Its recipient gets the rule's share of the last transaction's payment in the same block."""
    market = await paying_market(node, twin, "titan")
    poor = derive_account(SEED, "pauper", 1).address
    public = wallets[3].sign()
    await market.pool.send_raw(public.raw)
    bundle = (wallets[1].sign(), wallets[2].sign(tip=50 * GWEI))
    await submit(market, *bundle, refundPercent=80, refundRecipient=poor)

    await market.seal()

    slot = market.slots[-1]
    base_fee = (await node.head()).base_fee_per_gas
    due = (21_000 * 50 * GWEI - 21_000 * base_fee) * 80 // 100
    assert [*(each.hash for each in bundle), public.hash, *slot.payouts] == await mined(node)
    assert 1 == len(slot.payouts)
    assert due == await node.balance(poor) == slot.considered[0].refund_wei


@pytest.mark.parametrize(
    ("profile", "lands", "words"),
    [("titan", False, "do not cover"), ("builder0x69", True, ""), ("rsync", False, "nobody")],
)
async def test_a_refund_that_cannot_be_paid_has_the_builders_own_consequence(
    node: Node, twin: Twin, wallets: list[Wallet], profile: str, *, lands: bool, words: str
) -> None:
    """Too small, Titan discards the bundle, others keep the money; rsync wants a recipient."""
    market = await paying_market(node, twin, profile)
    tip = 50 * GWEI if profile == "rsync" else 1
    await submit(market, wallets[1].sign(tip=tip), refundPercent=90)

    await market.seal()

    one = market.slots[-1].considered[0]
    assert lands is one.included
    assert words in one.evidence
    assert () == market.slots[-1].payouts


async def test_what_a_bundle_gets_back_does_not_count_for_it(
    node: Node, twin: Twin, wallets: list[Wallet]
) -> None:
    """Of two with one nonce the one lands that leaves more to the builder, not that pays more."""
    market = await paying_market(node, twin, "titan")
    generous = wallets[1].sign(nonce=10, tip=20 * GWEI)
    thrifty = wallets[1].sign(nonce=10, tip=50 * GWEI)
    await submit(market, generous)
    await submit(market, thrifty, refundPercent=90)

    await market.seal()

    assert [generous.hash] == await mined(node)


async def test_a_contract_takes_what_it_takes_or_no_money_at_all(node: Node) -> None:
    """WETH wraps what it gets, the V2 router refuses it, an account needs a transfer's gas."""
    found = await payout_gas(node.rpc, OWNER, [OWNER, WETH, V2_ROUTER])

    wraps = found.pop(WETH)
    assert wraps is not None
    assert TRANSFER_GAS < wraps < 60_000
    assert {OWNER: TRANSFER_GAS, V2_ROUTER: None} == found


async def test_a_contract_is_paid_too(node: Node, twin: Twin, wallets: list[Wallet]) -> None:
    """The refund reaches a recipient that does something with it."""
    market = await paying_market(node, twin, "titan")
    before = await node.balance(WETH)
    bundle = wallets[1].sign(tip=80 * GWEI)
    await submit(market, bundle, refundPercent=50, refundRecipient=WETH)

    await market.seal()

    receipts = await node.receipts(market.head.number)
    assert [True, True] == [each.succeeded for each in receipts]
    assert market.slots[-1].considered[0].refund_wei == await node.balance(WETH) - before > 0
