"""`toolkit bundle send|simulate|cancel` from the shell, against a devnet and its builders."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.nodes import KEY, ask, posing_as_geth
from tests.cli.shell import BOB, ROOT
from toolkit.chain.signer import LocalSigner
from toolkit.cli.main import main
from toolkit.journal.sqlite import read_entries
from toolkit.model.chain import Address
from toolkit.model.tx import UnsignedTransaction
from toolkit.model.units import gwei

pytestmark = pytest.mark.timeout(180)
PAY = json.dumps({"to": BOB, "value": "0.000000000000000007"})


@pytest.fixture(scope="module")
def devnet() -> Iterator[dict[str, Any]]:
    """A devnet in a process of its own, whose slots end when a test says so."""
    words = ("devnet", "--port", "0", "--block-time", "0", "--builders", "2")
    with subprocess.Popen(
        [sys.executable, "-m", "toolkit", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
        process.terminate()


@contextmanager
def sealing(devnet: dict[str, Any]) -> Iterator[None]:
    """Slot after slot ends until the block does."""
    done = threading.Event()

    def seal() -> None:
        while not done.wait(0.2):
            ask(devnet["rpc"], "evm_mine")

    thread = threading.Thread(target=seal)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def options(devnet: dict[str, Any], *, account: int = 0) -> list[str]:
    """The node, its relays and one of its accounts."""
    key = devnet["accounts"][account]["key"]
    relays = [word for one in devnet["relays"] for word in ("--relay", one["url"])]
    return ["--rpc-url", devnet["rpc"], "--private-key", key, *relays]


def told(
    capsys: pytest.CaptureFixture[str], action: str, *words: str, code: int = 0
) -> dict[str, Any]:
    """What the command answers with --json."""
    assert code == main(["bundle", action, *words, "--json"])
    document = json.loads(capsys.readouterr().out)
    assert isinstance(document, dict)
    return document


def signed(devnet: dict[str, Any], *, account: int = 1, **fields: Any) -> str:
    """Somebody else's transfer, signed and not sent."""
    signer = LocalSigner(devnet["accounts"][account]["key"])
    count = int(str(ask(devnet["rpc"], "eth_getTransactionCount", signer.address, "latest")), 16)
    filled = {
        "type": 2,
        "chain_id": devnet["chain_id"],
        "nonce": count,
        "to": Address(BOB),
        "value": 3,
        "data": "0x",
        "gas": 21_000,
        "max_fee_per_gas": gwei(100),
        "max_priority_fee_per_gas": gwei(2),
    }
    return signer.sign_transaction_now(UnsignedTransaction(**(filled | fields))).raw


def test_a_foreign_transaction_and_a_call_land_together(
    devnet: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One bundle, in the order of the words; its end and every relay's answer are told."""
    file, raw = tmp_path / "bundle", signed(devnet)
    file.write_text(f"{raw}\n\n{PAY}\n")
    words = (f"@{file}", *options(devnet), "--blocks", "20", "--tip-wei", "1000000")

    with sealing(devnet):
        found = told(capsys, "send", *words)

    assert ("DEV", "Landed") == (found["mode"], found["outcome"])
    assert found["answers"]  # those that were there when the first relay took it
    block = ask(devnet["rpc"], "eth_getBlockByHash", found["block_hash"], False)
    assert isinstance(block, dict)
    mined = block["transactions"]
    first = mined.index(found["hashes"][0])
    assert found["hashes"] == mined[first : first + 2]


def test_what_others_signed_needs_no_key(
    devnet: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody here signs anything, so that no account has to be named."""
    relays = [word for one in devnet["relays"] for word in ("--relay", one["url"])]
    words = (signed(devnet, account=2), "--rpc-url", devnet["rpc"], *relays)

    with sealing(devnet):
        assert "Landed" == told(capsys, "send", *words, "--blocks", "20")["outcome"]


def test_a_bundle_is_simulated_here_or_at_a_relay(
    devnet: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """What each transaction does on the newest block; nothing is sent, and a failure exits 1."""
    raw = signed(devnet, account=3)
    here = told(capsys, "simulate", raw, PAY, *options(devnet)[:4])
    unheld = "0xa9059cbb" + "00" * 31 + "01" + "ff" * 32  # transfer(1, 2^256 - 1)
    failing = json.dumps({"to": devnet["tokens"][0]["address"], "data": unheld})
    fails = told(capsys, "simulate", failing, *options(devnet)[:4], code=1)
    there = told(capsys, "simulate", raw, *options(devnet))
    count = ask(
        devnet["rpc"], "eth_getTransactionCount", devnet["accounts"][3]["address"], "latest"
    )

    assert (True, 42_000) == (here["succeeds"], here["gas_used"])
    assert not fails["succeeds"]
    assert fails["transaction 0"]["reason"]
    assert 21_000 == there["totalGasUsed"]
    assert int(str(ask(devnet["rpc"], "eth_blockNumber")), 16)
    assert "0x0" == count


def test_a_bundle_is_taken_back_by_the_key_that_sent_it(
    devnet: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By uuid at the relays; with the journal by its hash, and then it is not tried again."""
    journal, key = str(tmp_path / "journal.db"), ("--reputation", str(tmp_path / "reputation"))
    relays = [word for one in devnet["relays"] for word in ("--relay", one["url"])]
    words = (*options(devnet, account=4), *key, "--journal", journal)

    sent = told(capsys, "send", PAY, *words, "--blocks", "5", "--no-wait")
    at_once = told(capsys, "cancel", sent["replacement_uuid"], *relays, *key)
    again = told(capsys, "cancel", sent["replacement_uuid"], *relays, *key, code=1)
    by_hash = told(capsys, "cancel", sent["bundle_hash"], *words, code=1)
    kinds = [entry.kind for entry in read_entries(Path(journal), "bundle_cancelled")]

    assert {"withdrew 1"} == set(at_once["answers"].values())
    assert 2 == len(again["answers"])
    assert sent["replacement_uuid"] == at_once["replacement_uuid"]
    assert by_hash
    assert ["bundle_cancelled"] == kinds


def test_a_relay_that_cannot_be_asked_is_named_by_its_address(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two of them on one machine are told apart."""
    key = ("--reputation", str(tmp_path / "key.json"))
    relays = ("--relay", "http://127.0.0.1:1", "--relay", "http://127.0.0.1:2")

    found = told(capsys, "cancel", "11111111-1111-4111-8111-111111111111", *relays, *key, code=1)

    assert {
        f"relay 127.0.0.1:{port}": f"127.0.0.1:{port} cannot be reached: ClientConnectorError"
        for port in (1, 2)
    } == found["answers"]


def test_who_waits_no_longer_hears_what_may_become_of_it(
    devnet: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where to look for what a relay took, or whose silence leaves that open; and that nobody has
    what all of them refused, as a node does."""
    key, waiting = ("--private-key", devnet["accounts"][3]["key"]), ("--wait-s", "0.2")
    node, journal = ("--rpc-url", devnet["rpc"]), str(tmp_path / "j.db")
    relay, nobody = devnet["relays"][0]["url"], "http://127.0.0.1:1"

    def heard(where: str, *more: str) -> str:
        send = ("bundle", "send", PAY, "--relay", where, *more, *node, *key, *waiting)
        assert 1 == main(list(send))
        return capsys.readouterr().err

    status = f"ask `toolkit bundle status 0x[0-9a-f]{{64}} --journal {journal}"
    assert "no relay has the bundle: it can be sent again" in heard(devnet["rpc"])
    assert re.search("may still land: look for 0x[0-9a-f]{64} before", heard(nobody))
    assert re.search("may still land: look for 0x[0-9a-f]{64} before", heard(relay))
    assert re.search(f"may still land: {status}", heard(relay, "--journal", journal))


def test_a_real_node_is_rehearsed_on(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --live nothing leaves, and no relay has to be there."""
    stranger = LocalSigner("0x" + "5c" * 32)
    ask(url, "anvil_setBalance", stranger.address, hex(10**18))
    at = {"rpc": url, "chain_id": 31_337, "accounts": [{"key": "0x" + "5c" * 32}]}
    raw = signed(at, account=0)
    with posing_as_geth(url) as real:
        found = told(capsys, "send", raw, "--relay", "http://127.0.0.1:9", "--rpc-url", real)
        refused = told(
            capsys, "simulate", raw, "--relay", "http://127.0.0.1:9", "--rpc-url", real, code=2
        )

    assert ("DRY", "Missed", "cancelled") == (found["mode"], found["outcome"], found["cause"])
    assert "DRY mode asks no relay" in refused["error"]
    assert "0x0" == ask(url, "eth_getTransactionCount", stranger.address, "latest")


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (["x"], "item 0 of the bundle is neither"),
        (["[1]"], "item 0 of the bundle is neither"),
        (['{"too": 1}'], "item 0 of the bundle has too"),
        (['{"value": 1}'], "value is ether in quotes"),
        (['{"value": "1", "value_wei": 1}'], "value and value_wei"),
        (['{"to": 7}'], "address of type int"),
        (["@/nowhere"], "bundle file /nowhere cannot be read"),
    ],
)
def test_an_item_that_is_none_is_refused(
    items: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line, with its place, before any node is asked."""
    code = main(
        [
            "bundle",
            "send",
            *items,
            "--relay",
            "http://127.0.0.1:9",
            "--rpc-url",
            "http://127.0.0.1:9",
        ]
    )
    told = capsys.readouterr().err

    assert (2, 1) == (code, told.count("\n"))
    assert words in told


def test_a_key_among_the_items_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever takes a private key for a transaction reads no more than that it is none."""
    code = main(["bundle", "simulate", KEY, "--rpc-url", "http://127.0.0.1:9"])
    found = capsys.readouterr()

    assert code
    assert KEY[2:] not in found.err + found.out
