"""What a shell does with `toolkit tx`, and what it looks at afterwards."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.nodes import KEY, OWNER, REAL_KEY, ask
from toolkit.chain.signer import LocalSigner
from toolkit.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
BOB = "0x00000000000000000000000000000000000000b0"
REAL = LocalSigner(REAL_KEY).address


def run(*argv: str) -> int:
    return main(["tx", *argv])


def sent(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> dict[str, object]:
    """What `tx send --json` with these words answers."""
    assert code == run("send", *argv, "--json")
    document = json.loads(capsys.readouterr().out)
    assert isinstance(document, dict)
    return document


def nonce(url: str, account: str = OWNER) -> int:
    return int(str(ask(url, "eth_getTransactionCount", account, "pending")), 16)


def balance(url: str, account: str) -> int:
    return int(str(ask(url, "eth_getBalance", account, "latest")), 16)


def command(*argv: str) -> "subprocess.Popen[str]":
    """The command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "toolkit", "tx", *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def stuck(
    capsys: pytest.CaptureFixture[str], url: str, journal: str, *words: str
) -> dict[str, object]:
    """A transfer that was sent and left to itself on a node that does not mine."""
    return sent(
        capsys,
        *("--to", BOB, "--value-wei", "7", "--rpc-url", url, "--private-key", KEY),
        *("--journal", journal, "--no-wait", *words),
    )
