"""F23: several processes, one key: what one leaves behind the next one carries on, once."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.nodes import Strict, ask, strict
from toolkit.chain.signer import decode_transaction
from toolkit.journal.sqlite import read_entries

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = Path(__file__).with_name("rival.py")
BOB = "0x00000000000000000000000000000000000000b0"


@pytest.fixture(params=["geth", "reth"])
def node(request: pytest.FixtureRequest) -> Iterator[Strict]:
    """A node with this client's rules, which mines when it is asked to."""
    with strict(request.param) as running:
        yield running


class Rival:
    """One of the processes."""

    def __init__(self, node: Strict, directory: Path, name: str, count: int, *words: str) -> None:
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), node.url, str(directory), name, str(count), *words],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "RIVAL_KEY": node.accounts[0].key},
        )

    def lines(self) -> Iterator[str]:
        """What it says."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            yield line.strip()

    def until(self, word: str) -> list[str]:
        """What it says up to the first line that begins so, with it."""
        said: list[str] = []
        for line in self.lines():
            said.append(line)
            if line.startswith(word):
                return said
        raise AssertionError(f"{self.name} ended without {word!r}: {said}")

    def end(self) -> None:
        """Kill it and take it away."""
        self.process.kill()
        self.process.communicate()


Start = Callable[..., Rival]


@pytest.fixture
def start(node: Strict, tmp_path: Path) -> Iterator[Start]:
    """Processes that want the same key with the same journal."""
    started: list[Rival] = []

    def one(name: str, count: int, *words: str) -> Rival:
        started.append(Rival(node, tmp_path, name, count, *words))
        return started[-1]

    yield one
    for rival in started:
        rival.end()


def count_of(node: Strict, block: str = "latest") -> int:
    """How many transactions the node counts of the account."""
    account = node.accounts[0].address
    return int(str(ask(node.url, "eth_getTransactionCount", account, block)), 16)


def received(node: Strict) -> int:
    """What has arrived."""
    return int(str(ask(node.url, "eth_getBalance", BOB, "latest")), 16)


def prepared(directory: Path) -> dict[str, int]:
    """Every hash that was journalled, and its nonce."""
    raws = [
        json.loads(entry.data)["signed"]["raw"]
        for entry in read_entries(directory / "journal.db")
        if entry.kind == "tx.prepared"
    ]
    signed = [decode_transaction(raw) for raw in raws]
    return {one.hash: one.unsigned.nonce for one in signed}


def wealth(count: int) -> int:
    """What `count` transfers bring, of which the n-th is worth n wei."""
    return count * (count + 1) // 2


@pytest.mark.timeout(120)
def test_f23_each_of_three_processes_sends_everything_once(
    node: Strict, start: Start, tmp_path: Path
) -> None:
    """One works, others are refused; the first is killed, and begins again as the last."""
    first = start("first", 8)
    first.until("sent first-5")
    others = [start("second", 8), start("third", 8)]
    refused = [rival.until("refused")[-1] for rival in others]
    first.process.kill()
    os.waitid(os.P_PID, first.process.pid, os.WEXITED | os.WNOWAIT)

    with node.sealing():
        said = [rival.until(f"ended {rival.name}-8") for rival in others]
        again = start("first", 8).until("ended first-8")

    outcomes = {line.split()[2] for lines in (*said, again) for line in lines if "ended" in line}
    assert {"Confirmed"} == outcomes
    assert (24, 3 * wealth(8)) == (count_of(node), received(node))
    assert list(range(24)) == sorted(set(prepared(tmp_path).values()))
    assert ["refused LeaseLost"] * 2 == refused


@pytest.mark.timeout(120)
def test_f23_a_holder_stopped_between_journal_and_send_is_carried_on(
    node: Strict, start: Start, tmp_path: Path
) -> None:
    """The next one sends what was journalled; awake, the old one can neither write nor double."""
    old = start("old", 4, "stop=DURABLE:3")
    assert "sent old-2" == old.until("sent old-2")[-1][:10]
    os.waitpid(old.process.pid, os.WUNTRACED)
    journalled = prepared(tmp_path)
    pending = count_of(node, "pending")

    new = start("new", 2, "takeover")
    new.until("sent new-2")
    after_takeover = count_of(node, "pending")
    old.process.send_signal(signal.SIGCONT)
    told = list(old.lines())
    with node.sealing():
        new.until("ended new-2")

    assert (2, 3, 5) == (pending, len(journalled), after_takeover)
    assert told[-1].startswith("LeaseLost: ")
    assert not any(line.startswith("sent old-4") for line in told)
    assert (5, wealth(3) + wealth(2)) == (count_of(node), received(node))
    assert list(range(5)) == sorted(prepared(tmp_path).values())
    assert journalled.items() <= prepared(tmp_path).items()


@pytest.mark.timeout(120)
def test_f23_a_killed_holder_is_carried_on_at_once(
    node: Strict, start: Start, tmp_path: Path
) -> None:
    """Without a word the next process takes over, and the same requests end once each."""
    old = start("same", 3, "stop=DURABLE:2")
    os.waitpid(old.process.pid, os.WUNTRACED)
    old.process.kill()

    with node.sealing():
        start("same", 3).until("ended same-3")

    assert (3, wealth(3)) == (count_of(node), received(node))
    assert [0, 1, 2] == sorted(set(prepared(tmp_path).values()))
