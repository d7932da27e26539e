"""What Anvil is handed for a block, where its own pool would keep something back."""

from msgspec.structs import replace

from tests.devnet.conftest import ACCOUNTS, GWEI, Wallet, submit
from toolkit.chain.node import Node
from toolkit.devnet.building.sealing import Market
from toolkit.model.tx import SignedTransaction

CODE = ACCOUNTS[-1].address


def granting(sender: Wallet, authority: Wallet, *, grant_nonce: int) -> SignedTransaction:
    """A transaction of one account that carries the delegation of another, or of itself."""
    grant = authority.account.signer.sign_authorization(chain_id=1, address=CODE, nonce=grant_nonce)
    unsigned = replace(sender.sign(tip=5 * GWEI).unsigned, type=4, authorization_list=(grant,))
    return sender.account.signer.sign_transaction_now(unsigned)


async def test_a_bundle_goes_on_behind_its_own_delegation(
    node: Node, market: Market, wallets: list[Wallet]
) -> None:
    """An authorization spends a nonce that no transaction has; what follows stands in the same
    block, and the bundle is never torn."""
    payer, other = wallets[1], wallets[2]
    alone = [granting(payer, payer, grant_nonce=11), payer.sign(nonce=12), payer.sign(nonce=13)]
    sponsored = [granting(wallets[3], other, grant_nonce=10), other.sign(nonce=11)]
    await submit(market, *alone)
    await submit(market, *sponsored)

    await market.seal()

    block = await node.block()
    assert {each.hash for each in (*alone, *sponsored)} == set(block["transactions"])
    assert [each.hash for each in alone] == [
        name for name in block["transactions"] if name in {each.hash for each in alone}
    ]
    assert all(each.included for each in market.slots[-1].considered)
    assert (14, 12) == (
        await node.nonce(payer.account.address),
        await node.nonce(other.account.address),
    )


async def test_the_public_goes_on_behind_a_bundles_delegation(
    node: Node, market: Market, wallets: list[Wallet]
) -> None:
    """Of what an account has in the public pool, what has the delegation's nonce is out, and what
    follows is mined in the same block."""
    sponsor, other = wallets[1], wallets[2]
    out, follows = other.sign(), other.sign()
    for each in (out, follows):
        await market.pool.send_raw(each.raw)
    first = granting(sponsor, other, grant_nonce=10)
    await submit(market, first)

    await market.seal()

    block = await node.block()
    assert [first.hash, follows.hash] == block["transactions"]
    assert 12 == await node.nonce(other.account.address)
