import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.cli.processes import anvil_groups, wait_until_gone
from toolkit.cli import devnet
from toolkit.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.timeout(90)


def start(*options: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "toolkit", "devnet", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def ask(url: str, method: str, *params: object) -> object:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.loads(response.read())["result"]


@pytest.mark.parametrize(
    ("death", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0), (signal.SIGKILL, -9)]
)
def test_it_serves_until_a_signal_and_leaves_nothing_behind(
    death: signal.Signals, code: int
) -> None:
    """One JSON line when ready, blocks by evm_mine, the signal's exit code, no process after it."""
    with start("--port", "0", "--block-time", "0", "--builders", "titan,rsync") as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        info = ask(ready["rpc"], "toolkit_info")
        before = int(str(ask(ready["rpc"], "eth_blockNumber")), 16)
        ask(ready["rpc"], "evm_mine")
        after = int(str(ask(ready["rpc"], "eth_blockNumber")), 16)
        groups = anvil_groups(process.pid)
        process.send_signal(death)
        rest, errors = process.communicate(timeout=30)

    assert set(ready) == {
        *("rpc", "ws", "anvil", "relays", "chain_id", "accounts", "tokens", "pools")
    }
    assert (1, 2, 13, 5) == tuple(
        len(ready[key]) if isinstance(ready[key], list) else ready[key]
        for key in ("chain_id", "relays", "pools", "tokens")
    )
    assert ["titan", "rsync"] == [relay["name"] for relay in ready["relays"]]
    assert before + 1 == after
    assert isinstance(info, dict)
    assert "geth" == info["mempool"]
    assert len(groups) == 2
    assert (code, "", "") == (process.returncode, rest, errors)
    assert wait_until_gone(groups) == []


def test_blocks_come_by_themselves_with_a_block_time() -> None:
    """With --block-time the chain moves without anybody asking, trades included."""
    with start("--port", "0", "--block-time", "0.05") as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        first = int(str(ask(ready["rpc"], "eth_blockNumber")), 16)
        deadline = time.monotonic() + 30
        while int(str(ask(ready["rpc"], "eth_blockNumber")), 16) < first + 2:
            assert time.monotonic() < deadline
        block = ask(ready["rpc"], "eth_getBlockByNumber", hex(first + 1), False)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)

    assert isinstance(block, dict)
    assert block["transactions"]


def test_an_unknown_mempool_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """Only the profiles there are can be asked for."""
    code = main(["devnet", "--mempool", "parity"])

    error = capsys.readouterr().err
    assert 2 == code
    assert all(name in error for name in devnet.MEMPOOLS)


def test_a_taken_port_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is built when the port is taken: one line that names it, exit code 1."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code = main(["devnet", "--port", str(port)])

    out, err = capsys.readouterr()
    assert (1, "") == (code, out)
    assert re.fullmatch(rf"toolkit: port {port} .* is taken; choose another.*\n", err)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--builders", "0"], "builders 0 is not between"),
        (["--builders", "titan,atlas"], "builders names 'atlas'; there are beaverbuild"),
        (["--builders", ""], "builders names ''"),
        (["--block-time", "-1"], "block_time -1 s is not between 0"),
        (["--block-time", "nan"], "block_time nan s is not between 0"),
        (["--block-time", "inf"], "block_time inf s is not between 0"),
        (["--port", "70000"], "port 70000 is not between"),
    ],
)
def test_bad_options_are_one_line(
    capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    """An option that cannot be right is named in one line, exit code 2."""
    code = main(["devnet", "--port", "0", *options])

    assert code == 2
    assert re.fullmatch(rf"toolkit: .*{re.escape(words)}.*\n", capsys.readouterr().err)


def test_an_unknown_hardfork_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """What Anvil does not know ends the command with Anvil's own words, exit code 2."""
    code = main(["devnet", "--port", "0", "--hardfork", "nonesuch"])

    assert code == 2
    assert re.fullmatch(r"toolkit: .*nonesuch.*\n", capsys.readouterr().err)


def test_help_needs_nothing_heavy() -> None:
    """Describing the command imports no part of the devnet."""
    code = "import sys, toolkit.cli.devnet; print(any('devnet.' in m for m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )

    assert done.stdout.strip() == "False"
    assert devnet.MEMPOOLS == ("geth", "reth", "none")
