import os
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from toolkit.chain.node import Node
from toolkit.chain.rpc import HttpRpc
from toolkit.devnet.accounts import DevAccount
from toolkit.devnet.building.dialects import PROFILES
from toolkit.devnet.building.failures import FailureMode
from toolkit.devnet.crowd.opportunities import find_opportunities
from toolkit.devnet.crowd.rivals import RivalConfig
from toolkit.devnet.crowd.trades import FlowConfig
from toolkit.devnet.devnet import Devnet, DevnetConfig
from toolkit.devnet.pools import MAIN_POOL
from toolkit.devnet.tokens import TOKENS
from toolkit.gas.rules import next_base_fee
from toolkit.model.bundle import MissCause
from toolkit.model.errors import ConfigError, DevnetError, RpcError
from toolkit.model.tx import SignedTransaction, UnsignedTransaction


@pytest.fixture(autouse=True)
def no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOOLKIT_DATA", "/nonexistent")


async def main_price(devnet: Devnet) -> float:
    snapshot = await devnet.snapshot()
    return 1e12 / snapshot.mid_price(MAIN_POOL.address, TOKENS["USDC"].address)


async def test_the_same_seed_gives_the_same_chain_block_by_block() -> None:
    """Flow, rivals, lottery and twin come from the seed: equal hashes, other ones for another."""
    chains = []
    for seed in (1, 1, 2):
        async with Devnet(DevnetConfig(seed=seed)) as devnet:
            chains.append([(await devnet.step()).hash for _ in range(4)])

    assert chains[0] == chains[1]
    assert chains[0][0] != chains[2][0]


async def test_the_main_pool_follows_the_scenario() -> None:
    """Each step moves the main pool to the scenario's price; history ends where blocks begin."""
    async with Devnet(DevnetConfig(seed=3, rivals=RivalConfig(count=0))) as devnet:
        start = devnet.head
        heads, prices = [], []
        for _ in range(8):
            heads.append(await devnet.step())
            prices.append(await main_price(devnet))

    assert len(devnet.history) >= 120
    assert start.timestamp == devnet.history[-1].timestamp
    assert [head.timestamp for head in heads] == [point.timestamp for point in devnet.prices]
    gaps = sorted(abs(p / q.price - 1) for p, q in zip(prices, devnet.prices, strict=True))
    assert gaps[4] < 2e-4  # half of the blocks: noise may hit the main pool after the reference


async def test_fees_stay_where_a_living_chain_has_them() -> None:
    """The crowd keeps the base fee near its level, moved by EIP-1559 alone."""
    async with Devnet(DevnetConfig(seed=4)) as devnet:
        for _ in range(15):
            expected = next_base_fee(devnet.head)
            head = await devnet.step()
            assert expected == head.base_fee_per_gas
            assert 7 * 10**8 < head.base_fee_per_gas < 3 * 10**9


async def test_rivals_land_and_lose_and_are_predicted_exactly() -> None:
    """Rivals that always see everything collide: one wins each conflict, the loser is told why."""
    rivals = RivalConfig(count=3, participation=1.0, reach=1.0)
    traders = FlowConfig(noise_trades=6, noise_median_bps=20)
    async with Devnet(DevnetConfig(seed=5, rivals=rivals, traders=traders)) as devnet:
        for _ in range(15):
            await devnet.step()
        considered = [each for slot in devnet.slots for each in slot.considered]
        won = [each for each in considered if each.included]
        lost = [each for each in considered if not each.included]

    assert len(won) >= 5
    assert {MissCause.OUTBID_CONFLICT} == {each.cause for each in lost}
    assert all(each.rival in {w.bundle_hash for w in won} for each in lost)
    assert all(each.value_wei > 0 for each in won)


async def test_opportunities_come_and_are_what_the_search_says() -> None:
    """In at least a third of the blocks a cycle pays for its gas; amounts are exact quotes."""
    count = 0
    async with Devnet(DevnetConfig(seed=6, rivals=RivalConfig(count=0))) as devnet:
        for _ in range(24):
            head = await devnet.step()
            found = find_opportunities(await devnet.snapshot())
            count += bool(found and found[0].profit_wei > 300_000 * head.base_fee_per_gas)
            for opportunity in found:
                amount = opportunity.amounts[0]
                for pool, token, wanted in zip(
                    opportunity.pools, opportunity.tokens, opportunity.amounts[1:], strict=False
                ):
                    amount = (await devnet.snapshot()).quote_in(pool, token, amount)
                    assert amount == wanted

    assert count >= 8


@pytest.mark.parametrize("mempool", ["reth", "none"])
async def test_the_market_goes_on_under_other_pool_rules(mempool: str) -> None:
    """Traders and crowd put their transactions through the pool, and blocks are full of them."""
    async with Devnet(DevnetConfig(seed=4, mempool=mempool)) as devnet:
        for _ in range(5):
            head = await devnet.step()
            assert head.gas_used > 0
        public = [len(slot.public) for slot in devnet.slots]

    assert mempool == devnet.mempool.rules.name
    assert min(public) > 0


async def test_a_devnet_goes_wrong_on_request() -> None:
    """Its faults strike clients of its rpc, not the market behind it."""
    async with Devnet(DevnetConfig(seed=4)) as devnet, HttpRpc(devnet.rpc_url) as rpc:
        devnet.faults.next("eth_blockNumber", "error", code=-32000, message="not now")
        devnet.faults.reorg_every, devnet.faults.reorg_depth = 1, 1
        await devnet.step()
        first = await devnet.step()
        with pytest.raises(RpcError, match="not now"):
            await rpc.call("eth_blockNumber")
        number = int(await rpc.call("eth_blockNumber"), 16)
        returned = len(devnet.mempool)

    assert first.number == number == devnet.head.number
    assert returned > 0


async def test_users_accounts_are_fresh_and_funded() -> None:
    """Accounts differ by seed, hold ether and every token, and their repr hides the key."""
    config = DevnetConfig(seed=8, accounts=2, flow=False)
    async with Devnet(config) as devnet, HttpRpc(devnet.rpc_url) as rpc:
        node = Node(rpc)
        info = await rpc.call("toolkit_info")
        account = devnet.accounts[0]
        balance = await node.balance(account.address)
        held = [
            int(
                await node.call(to=t.address, data="0x70a08231" + account.address[2:].zfill(64)), 16
            )
            for t in devnet.tokens.values()
        ]
        head = await devnet.step()

    assert balance == 10_000 * 10**18
    assert all(held)
    assert account.key not in repr(account)
    assert Devnet(DevnetConfig(seed=9)).accounts[0] != account
    assert [each.address for each in devnet.accounts] == info["accounts"]
    assert (True, "DEV", 1) == (info["devnet"], info["mode"], info["chain_id"])
    assert msgspec.to_builtins(head)["gas_used"] == 0
    assert devnet.prices == []


async def test_a_given_node_is_forked_instead_of_the_twin() -> None:
    """With fork_url the mode is FORK, accounts are funded there, and there is no market flow."""
    async with Devnet(DevnetConfig(seed=1, flow=False)) as upstream:
        before = upstream.head
        config = DevnetConfig(seed=2, fork_url=upstream.anvil_url, accounts=1)
        async with Devnet(config) as devnet, HttpRpc(devnet.rpc_url) as rpc:
            info = await rpc.call("toolkit_info")
            head = await devnet.step()
            balance = await devnet.node.balance(devnet.accounts[0].address)
        after = await upstream.node.head()

    assert info["mode"] == "FORK"
    assert before.number + 1 == head.number
    assert balance == 10_000 * 10**18
    assert before == after


async def test_an_anvil_that_dies_is_one_clear_line() -> None:
    """Once Anvil is killed, sealing says so with the signal; leaving still cleans up."""
    async with Devnet(DevnetConfig(seed=1, flow=False)) as devnet:
        await devnet.seal()
        os.kill(devnet.anvil.pid, signal.SIGKILL)
        devnet.anvil.process.wait()

        with pytest.raises(DevnetError, match=r"anvil .* died: .*signal 9") as raised:
            await devnet.seal()
        with pytest.raises(DevnetError, match=r"died"):
            await devnet.step()

    assert "\n" not in str(raised.value)


async def test_an_unreachable_upstream_is_one_clear_line() -> None:
    """A fork_url where nobody listens is Anvil's own error in one line."""
    with pytest.raises(DevnetError) as raised:
        async with Devnet(DevnetConfig(fork_url="http://127.0.0.1:9")):
            pass

    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "field",
    [
        {"builders": 0},
        {"builders": 99},
        {"builders": 2.5},
        {"builders": True},
        {"builders": ("nobody",)},
        {"builders": "titan"},
        {"accounts": 0},
        {"accounts": "3"},
        {"block_time": -1},
        {"block_time": "x"},
        {"port": -1},
        {"port": None},
        {"seed": "x"},
        pytest.param({"seed": 10**5_000}, id="seed of 5,000 digits"),
        pytest.param({"accounts": 10**5_000}, id="accounts of 5,000 digits"),
        pytest.param({"block_time": 10**5_000}, id="block_time of 5,000 digits"),
        {"depth_percent": 0.5},
        {"hardfork": 5},
        {"mempool": None},
        {"mempool": "parity"},
    ],
)
def test_impossible_settings_are_refused(field: dict[str, Any]) -> None:
    """Each setting out of its range or of another kind is a ConfigError that names it."""
    with pytest.raises(ConfigError, match=next(iter(field))):
        DevnetConfig(**field)


async def transfer(devnet: Devnet, account: DevAccount) -> SignedTransaction:
    return account.signer.sign_transaction_now(
        UnsignedTransaction(
            type=2,
            chain_id=1,
            nonce=await devnet.node.nonce(account.address),
            to=account.address,
            value=0,
            data="0x",
            gas=21_000,
            max_fee_per_gas=10**11,
            max_priority_fee_per_gas=10**9,
        )
    )


async def test_builders_are_what_their_profiles_say() -> None:
    """A backrun names a public transaction by its hash at one builder; the other never answers."""
    quiet = msgspec.structs.replace(PROFILES["titan"], failure=FailureMode.HANG, share=1e-9)
    config = DevnetConfig(seed=12, flow=False, accounts=2, builders=("mevblocker", quiet))
    async with Devnet(config) as devnet, HttpRpc(devnet.rpc_url) as rpc:
        target, backrun = [await transfer(devnet, account) for account in devnet.accounts]
        await rpc.call("eth_sendRawTransaction", (target.raw,))
        async with HttpRpc(devnet.relays[0].url) as relay:
            bundle = {"txs": [target.hash, backrun.raw], "blockNumber": hex(devnet.head.number + 1)}
            await relay.call("eth_sendBundle", (bundle,))
        await devnet.seal()
        mined = (await devnet.node.block())["transactions"]
        builders = devnet.builders

    assert [target.hash, backrun.hash] == mined
    assert ["mevblocker", "titan"] == [relay.name for relay in devnet.relays]
    assert FailureMode.HANG is builders[1].failures.always
    for builder in builders:
        assert builder.signer is not None
        assert builder.fee_recipient == builder.signer.address


@pytest.mark.realdata
async def test_recorded_minutes_drive_the_market(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With recorded data the twin opens at the recorded price and follows its minutes."""
    monkeypatch.setenv("TOOLKIT_DATA", str(data_dir))
    async with Devnet(DevnetConfig(seed=1)) as devnet:
        opened = await main_price(devnet)
        await devnet.step()

    assert abs(opened / devnet.history[-1].price - 1) < 1e-4
    assert 500 < devnet.prices[0].price < 5_000
