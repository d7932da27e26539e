import asyncio
import gzip
import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import pytest

from tests.devnet.conftest import SEED
from toolkit.chain.hashing import keccak
from toolkit.chain.node import Node
from toolkit.chain.rpc import HttpRpc
from toolkit.devnet.anvil import Anvil, start_anvil
from toolkit.devnet.calldata import encode_call
from toolkit.devnet.pools import POOLS
from toolkit.devnet.protocols import BALANCER_VAULT, DEPLOYMENTS, V3_FACTORY
from toolkit.devnet.tokens import TOKENS, TokenLevel
from toolkit.devnet.twin import Twin, TwinConfig, build_twin, fork_twin
from toolkit.model.errors import CallReverted, DataError, DevnetError
from toolkit.model.market import PoolKind
from toolkit.pools.sync import load

V2_FACTORY_CALL = "getPair(address,address)"


async def head_hash(config: TwinConfig) -> str:
    built = await build_twin(config)
    await built.anvil.stop()
    return built.head.hash


async def test_the_same_config_gives_the_same_head(monkeypatch: pytest.MonkeyPatch) -> None:
    """The head hash depends on seed and price and on nothing else."""
    monkeypatch.setenv("TOOLKIT_DATA", "/nonexistent")
    configs = [TwinConfig(seed=1), TwinConfig(seed=2), TwinConfig(seed=1, weth_usd=Fraction(1501))]
    first = await asyncio.gather(*(head_hash(config) for config in configs))
    second = await asyncio.gather(*(head_hash(config) for config in configs))

    assert first == second
    assert len(set(first)) == len(configs)


@pytest.mark.realdata
async def test_recorded_code_makes_another_twin(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With recorded data the tokens are mainnet's, the head differs, and is the same each time."""
    monkeypatch.setenv("TOOLKIT_DATA", str(data_dir))
    built = await build_twin(TwinConfig())
    async with built.anvil, HttpRpc(built.anvil.url) as rpc:
        code = await Node(rpc).code(TOKENS["WETH"].address)
    again = await head_hash(TwinConfig())
    monkeypatch.setenv("TOOLKIT_DATA", "/nonexistent")
    other = await head_hash(TwinConfig())

    assert built.level is TokenLevel.RECORDED
    assert (
        "d0a06b12ac47863b5c7be4185c2deaad1c61557033f56c7d4ea74429cbb25e23"
        == keccak(bytes.fromhex(code[2:])).hex()
    )
    assert built.head.hash == again
    assert built.head.hash != other


async def test_a_fork_has_the_state_of_its_twin() -> None:
    """What happens to the twin's codes and slots later is not seen: the fork has its own of each.

    What it has to ask its upstream for, it asks for at every simulation.
    """
    twin = await build_twin(TwinConfig(seed=SEED))
    async with (
        twin.anvil,
        await fork_twin(twin) as fork,
        HttpRpc(twin.anvil.url) as upstream,
        HttpRpc(fork.url) as rpc,
    ):
        state = await upstream.call("anvil_dumpState")
        fee = (await Node(upstream).block("pending"))["baseFeePerGas"]
        accounts = json.loads(gzip.decompress(bytes.fromhex(state[2:])))["accounts"]
        slots = [(a, s, word) for a in accounts for s, word in accounts[a]["storage"].items()]
        other = f"0x{1:064x}"
        await upstream.batch([("anvil_setCode", (account, "0xfe")) for account in accounts])
        await upstream.batch([("anvil_setStorageAt", (a, s, other)) for a, s, _ in slots])
        codes = await rpc.batch([("eth_getCode", (a, "latest")) for a in accounts])
        words = await rpc.batch([("eth_getStorageAt", (a, s, "latest")) for a, s, _ in slots])

        assert [each["code"] for each in accounts.values()] == codes
        assert [word for _, _, word in slots] == words
        assert twin.head.hash == (await Node(rpc).head()).hash
        assert fee == (await Node(rpc).block("pending"))["baseFeePerGas"]


async def test_every_contract_and_pool_is_where_mainnet_has_it(node: Node, twin: Twin) -> None:
    """Protocols have mainnet's code hashes, pools come from the genuine factories, 13 of them."""
    for each in DEPLOYMENTS:
        code = await node.code(each.address)
        assert len(code) > 2
        if each.runtime_hash:
            assert each.runtime_hash == "0x" + keccak(bytes.fromhex(code[2:])).hex()
    found = []
    for pool in POOLS:
        spec = pool.spec
        if spec.kind is PoolKind.CONSTANT_PRODUCT:
            factory = DEPLOYMENTS[0].address
            data = encode_call(V2_FACTORY_CALL, spec.token0, spec.token1)
        else:
            factory = V3_FACTORY
            data = encode_call(
                "getPool(address,address,uint24)", spec.token0, spec.token1, spec.fee_ppm
            )
        found.append("0x" + (await node.call(to=factory, data=data))[-40:])

    assert [pool.address for pool in POOLS] == found
    assert len(found) >= 13
    assert twin.level is TokenLevel.STAND_IN


async def test_pools_open_at_the_scenarios_price(node: Node, twin: Twin) -> None:
    """Every WETH pool against dollars starts within a tick of the price that was asked for."""
    snapshot = await load(node, [p.spec for p in POOLS], TOKENS.values(), head=twin.head)
    for pool in POOLS:
        if {"WETH"} < set(pool.symbols) and "WBTC" not in pool.symbols:
            other = next(symbol for symbol in pool.symbols if symbol != "WETH")
            raw = snapshot.mid_price(pool.address, TOKENS["WETH"].address)
            dollars = raw * 10.0 ** (18 - TOKENS[other].decimals)
            assert abs(dollars / 1500 - 1) < 1e-4


async def test_the_vault_can_lend_every_token(node: Node) -> None:
    """The Balancer vault holds each of the five tokens for flash loans."""
    held = [
        int(
            await node.call(
                to=token.address, data=encode_call("balanceOf(address)", BALANCER_VAULT)
            ),
            16,
        )
        for token in TOKENS.values()
    ]

    assert all(held)


async def test_its_blocks_are_nobodys_and_its_fees_move(node: Node, twin: Twin) -> None:
    """Chain id 1, a number mainnet reaches in centuries, a base fee near 1.5 gwei, varied tips."""
    history = await node.fee_history(20, "latest", (50,))

    assert await node.chain_id() == 1
    assert 2_000_000_000 + SEED * 1_000_000 < twin.head.number < 2**32
    assert twin.head.timestamp < 2**32
    assert all(700_000_000 < fee < 3_000_000_000 for fee in history.base_fees)
    assert len(set(history.rewards)) > 10


async def test_the_stand_in_for_usdt_has_its_habits(node: Node) -> None:
    """Approve from non-zero to non-zero reverts, and a successful approve returns nothing."""
    usdt, owner = TOKENS["USDT"].address, BALANCER_VAULT
    approve = encode_call("approve(address,uint256)", V3_FACTORY, 5)
    answer = await node.call(to=usdt, data=approve, sender=owner)
    await node.rpc.call("anvil_impersonateAccount", (owner,))
    await node.rpc.call("anvil_setBalance", (owner, hex(10**18)))
    await node.rpc.call("eth_sendTransaction", ({"from": owner, "to": usdt, "data": approve},))
    await node.rpc.call("evm_mine")

    assert answer == "0x"
    with pytest.raises(CallReverted):
        await node.call(to=usdt, data=approve, sender=owner)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (None, "is not in .tools/node_modules: `make setup`"),
        ('{"bytecode": "60', "is damaged or truncated"),
        ('{"bytecode": "6000"}', "not the genuine"),
        ("[]", "is damaged or truncated"),
    ],
)
def test_protocol_code_that_is_not_genuine_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str | None, words: str
) -> None:
    """A missing, truncated or altered npm artefact is named with what to do about it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("toolkit.devnet.protocols.__file__", str(tmp_path / "a/b/c/protocols.py"))
    if damage is not None:
        path = tmp_path / ".tools/node_modules" / DEPLOYMENTS[0].artefact
        path.parent.mkdir(parents=True)
        path.write_text(damage)

    with pytest.raises(DevnetError) as raised:
        DEPLOYMENTS[0].creation_code()

    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.realdata
@pytest.mark.parametrize("kept", [0, 100, 200_000])
async def test_truncated_token_code_is_one_line(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    """A recorded file that is there but cut off is an error, never silently a stand-in."""
    whole = (data_dir / "mainnet/codes_known.json.gz").read_bytes()
    (tmp_path / "mainnet").mkdir()
    (tmp_path / "mainnet/codes_known.json.gz").write_bytes(whole[:kept])
    monkeypatch.setenv("TOOLKIT_DATA", str(tmp_path))

    with pytest.raises(DataError, match=r"codes_known.json.gz") as raised:
        await build_twin(TwinConfig())

    assert "\n" not in str(raised.value)


@pytest.mark.realdata
async def test_token_code_that_is_not_mainnets_is_refused(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One changed byte in recorded code fails its hash; the account is named."""
    path = tmp_path / "mainnet/codes_known.json.gz"
    records = json.loads(gzip.decompress((data_dir / "mainnet/codes_known.json.gz").read_bytes()))
    records[TOKENS["DAI"].address]["code"] += "00"
    path.parent.mkdir()
    path.write_bytes(gzip.compress(json.dumps(records).encode()))
    monkeypatch.setenv("TOOLKIT_DATA", str(tmp_path))

    with pytest.raises(DataError, match=TOKENS["DAI"].address):
        await build_twin(TwinConfig())


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("toolkit.devnet.twin.V2_PAIR_CODE", "0x00", "mainnet has 0x00"),
        ("toolkit.devnet.tokens._text", lambda _: 0, "says '' with 18 decimals"),
    ],
)
async def test_a_twin_that_is_not_mainnets_is_not_handed_out(
    monkeypatch: pytest.MonkeyPatch, place: str, value: object, words: str
) -> None:
    """Code that differs from mainnet's, or a token with a wrong name, ends the build."""
    monkeypatch.setenv("TOOLKIT_DATA", "/nonexistent")
    monkeypatch.setattr(place, value)

    with pytest.raises(DevnetError, match=words):
        await build_twin(TwinConfig())


async def test_a_death_while_it_is_built_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """An Anvil that dies in the middle of the build is the error, not the lost connection."""

    async def deadly(args: Sequence[str]) -> Anvil:
        anvil = await start_anvil(args)
        anvil.process.kill()
        return anvil

    monkeypatch.setattr("toolkit.devnet.twin.start_anvil", deadly)

    with pytest.raises(DevnetError, match=r"died: .*signal 9"):
        await build_twin(TwinConfig())


@pytest.mark.parametrize("field", [{"weth_usd": Fraction(0)}, {"depth_percent": 0}])
def test_a_market_without_price_or_depth_is_refused(field: dict[str, object]) -> None:
    """Prices and depth must be above zero."""
    with pytest.raises(DevnetError, match="must be above 0"):
        TwinConfig(**field)  # type: ignore[arg-type]
