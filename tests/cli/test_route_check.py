"""`toolkit route check`: pools files against the real devnet."""

import asyncio
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.cli.test_devnet import ask, start
from toolkit.chain.node import Node
from toolkit.chain.rpc import HttpRpc
from toolkit.cli.main import main
from toolkit.devnet.pools import POOLS
from toolkit.model.chain import Hash
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.file import write_pools
from toolkit.pools.snapshot import Snapshot
from toolkit.pools.sync import load

pytestmark = pytest.mark.timeout(90)


@pytest.fixture(scope="module")
def devnet() -> Iterator[str]:
    """A running devnet's address; blocks come when somebody asks for them."""
    with start("--port", "0", "--block-time", "0") as process:
        assert process.stdout is not None
        try:
            yield str(json.loads(process.stdout.readline())["rpc"])
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)


@pytest.fixture
def written(devnet: str, tmp_path: Path) -> tuple[str, Snapshot, Path]:
    """The devnet's address, its pools, and a file of them."""

    async def read() -> Snapshot:
        async with HttpRpc(devnet) as rpc:
            node = Node(rpc)
            return await load(node, [pool.spec for pool in POOLS], head=await node.head())

    snapshot = asyncio.run(read())
    write_pools(tmp_path / "pools.json", snapshot)
    return devnet, snapshot, tmp_path / "pools.json"


def check(*words: str) -> int:
    return main(["route", "check", *words])


def test_a_file_of_the_chain_is_as_the_node_has_it(
    written: tuple[str, Snapshot, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Every pool's fields and ticks: one line says so, with the block and the mode."""
    url, snapshot, file = written
    head = snapshot.block

    assert check(str(file), "--rpc-url", url) == 0

    said = f"DEV: all {len(snapshot.pools)} pools are as at block {head.number} {head.hash}\n"
    assert (said, "") == capsys.readouterr()


def test_what_differs_is_named(
    written: tuple[str, Snapshot, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Pool, field, the file's value and the node's; a pool that is none there says why: 1."""
    url, snapshot, file = written
    pair = next(p for _, p in sorted(snapshot.pools.items()) if isinstance(p, ConstantProduct))
    pool = next(p for _, p in sorted(snapshot.pools.items()) if isinstance(p, Concentrated))
    changed = {
        pair.id: replace(pair, reserve0=pair.reserve0 + 1),
        pool.id: replace(pool, fee_ppm=pool.fee_ppm + 1),
    }
    write_pools(file, replace(snapshot, pools=snapshot.pools | changed))

    assert check(str(file), "--rpc-url", url) == 1
    lines = capsys.readouterr().out.splitlines()
    assert check(str(file), "--rpc-url", url, "--json") == 1
    document = json.loads(capsys.readouterr().out)

    expected: dict[str, dict[str, Any]] = {
        pair.id: {
            "pool": pair.id,
            "field": "reserve0",
            "ours": str(pair.reserve0 + 1),
            "nodes": str(pair.reserve0),
        },
        pool.id: {
            "pool": pool.id,
            "field": "fee_ppm",
            "ours": str(pool.fee_ppm + 1),
            "nodes": f"the contract says {pool.fee_ppm}, the spec {pool.fee_ppm + 1}",
        },
    }
    told = [expected[name] for name in sorted(expected)]
    head = snapshot.block
    assert {
        "mode": "DEV",
        "block": {"number": head.number, "hash": head.hash},
        "pools": len(snapshot.pools),
        "differences": told,
    } == document
    assert [
        *(
            f"pool {one['pool']}: {one['field']}: is {one['ours']} in the file, "
            f"at the node {one['nodes']}"
            for one in told
        ),
        f"DEV: 2 of {len(snapshot.pools)} pools differ from block {head.number} {head.hash}",
    ] == lines


def test_the_newest_block_may_be_asked_for_instead(
    written: tuple[str, Snapshot, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """A file of a block that the node does not have says what to do; --latest does it."""
    url, snapshot, file = written
    elsewhere = Hash("0x" + "ab" * 32)
    write_pools(file, replace(snapshot, block=replace(snapshot.block, hash=elsewhere)))

    assert check(str(file), "--rpc-url", url) == 1
    said = capsys.readouterr().err
    assert check(str(file), "--rpc-url", url, "--latest", "--json") == 0
    newest = ask(url, "eth_getBlockByNumber", "latest", False)

    assert said.startswith(f"toolkit: the node has no block {elsewhere}, which {file} is of; ask")
    assert said.count("\n") == 1
    assert isinstance(newest, dict)
    assert newest["hash"] == json.loads(capsys.readouterr().out)["block"]["hash"]


def test_what_cannot_be_checked_is_bad_input(
    written: tuple[str, Snapshot, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No file, no node, a number that is not the block's: one line each, and 2."""
    url, snapshot, file = written
    monkeypatch.delenv("ETH_RPC_URL", raising=False)
    said = []
    for words in ([str(tmp_path / "none.json"), "--rpc-url", url], [str(file)]):
        assert check(*words) == 2
        said.append(capsys.readouterr().err)
    write_pools(file, replace(snapshot, block=replace(snapshot.block, number=7)))
    assert check(str(file), "--rpc-url", url) == 2
    said.append(capsys.readouterr().err)

    assert "none.json: No such file or directory" in said[0]
    assert "no node: give --rpc-url or set ETH_RPC_URL" in said[1]
    assert f"{file}: block: number: is 7, but the block of this hash is" in said[2]
    assert [1, 1, 1] == [one.count("\n") for one in said]
