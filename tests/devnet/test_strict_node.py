"""A strict node by itself: what it starts with, and how it is sealed."""

import pytest

from tests.devnet.conftest import GWEI, Sender, submit
from toolkit.chain.modes import identify
from toolkit.chain.node import Node
from toolkit.chain.rpc import HttpRpc
from toolkit.devnet.strict_node import ACCOUNT_WEI, StrictNode, open_strict_node
from toolkit.model.errors import ConfigError


async def test_it_starts_with_funded_accounts() -> None:
    """Accounts are the seed's, known to a session as the node's own; the chain id is asked for."""
    async with (
        open_strict_node(seed=5, accounts=3, chain_id=1337, block_gas_limit=20_000_000) as node,
        HttpRpc(node.rpc_url) as rpc,
    ):
        identity = await identify(Node(rpc))
        balances = [await node.node.balance(each.address) for each in node.accounts]

    assert [ACCOUNT_WEI] * 3 == balances
    assert 20_000_000 == node.head.gas_limit
    assert (1337, frozenset(each.address for each in node.accounts)) == (
        identity.chain_id,
        identity.accounts,
    )


async def test_the_same_seed_gives_the_same_chain() -> None:
    """Head hashes repeat, with the same transactions, whatever the clock says."""
    hashes = []
    for _ in range(2):
        async with open_strict_node(seed=5, accounts=2) as node:
            await node.public_pool.send_raw(Sender(node).sign().raw)
            hashes.append((await node.seal(3)).hash)

    assert hashes[0] == hashes[1]


@pytest.mark.parametrize("profile", ["", "parity"])
async def test_an_unknown_profile_is_refused(profile: str) -> None:
    """Before anything is started, with the names there are."""
    with pytest.raises(ConfigError, match="geth, reth"):
        async with open_strict_node(profile=profile):
            pass


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("profile", 5),
        ("profile", None),
        ("seed", "1"),
        ("seed", True),
        pytest.param("seed", 10**5_000, id="seed of 5,000 digits"),
        ("accounts", 0),
        ("accounts", 101),
        ("accounts", 2.0),
        ("block_gas_limit", 0),
        ("base_fee_wei", -1),
        ("chain_id", "1337"),
    ],
)
async def test_an_argument_that_cannot_be_meant(name: str, value: object) -> None:
    """It is named in one line, before anything is started."""
    arguments: dict[str, object] = {name: value}

    with pytest.raises(ConfigError, match=f"^{name} is ") as refused:
        async with open_strict_node(**arguments):  # type: ignore[arg-type]
            pass
    assert "\n" not in str(refused.value)


async def test_two_hundred_transactions_fill_a_block(strict: StrictNode) -> None:
    """In the order of their tips where accounts compete, in nonce order for each."""
    senders = [Sender(strict, index) for index in range(4)]
    signed = [
        sender.sign(nonce, tip=GWEI + index)
        for index, sender in enumerate(senders)
        for nonce in range(50)
    ]
    taken = await strict.public_pool.send_all(signed)
    await strict.seal()

    block = await strict.node.block()
    best_first = [each.hash for start in (150, 100, 50, 0) for each in signed[start : start + 50]]
    assert 200 == taken
    assert best_first == block["transactions"]


async def test_a_bundle_may_delegate(strict: StrictNode) -> None:
    """A type 4 transaction in a bundle is simulated, paid for and mined like any other."""
    delegate = strict.accounts[1].address
    signed = Sender(strict).sign(kind=4, delegate=delegate, gas=100_000, tip=2 * GWEI)
    await submit(strict.market, signed)
    await strict.seal()

    considered = strict.market.slots[-1].considered[0]
    assert considered.included
    assert considered.value_wei > 0
    code = await strict.node.code(strict.accounts[0].address)
    assert "0xef0100" + delegate[2:] == code
