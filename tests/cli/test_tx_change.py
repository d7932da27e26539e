"""`toolkit tx cancel|speedup`: what is under way is changed, and what comes of it is told."""

import json
import os
import signal
from pathlib import Path

import pytest

from tests.cli.nodes import (
    KEY,
    OWNER,
    anvil,
    ask,
    keyfile_options,
    mining_once_replaced,
    posing_as_geth,
    strict,
)
from tests.cli.shell import BOB, REAL, balance, command, nonce, run, sent, stuck
from toolkit.journal.sqlite import SqliteBackend


@pytest.mark.parametrize("by", ["request_id", "tx_hash"])
def test_cancel_waits_for_what_the_chain_makes_of_it(
    journal: str, capsys: pytest.CaptureFixture[str], by: str
) -> None:
    """A pending transfer is replaced by an empty one; the money has not moved."""
    with anvil("--chain-id", "31337", "--no-mining") as slow:
        first = stuck(capsys, slow, journal)
        with mining_once_replaced(slow):
            code = run(
                *("cancel", str(first[by]), "--journal", journal, "--rpc-url", slow),
                *("--private-key", KEY, "--json"),
            )
        told = json.loads(capsys.readouterr().out)
        money = balance(slow, BOB)

    assert (0, "Cancelled", first["request_id"]) == (code, told["outcome"], told["request_id"])
    assert first["tx_hash"] != told["tx_hash"]
    assert 0 == money


def test_cancel_of_what_has_happened_fails(
    url: str, journal: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The outcome stays what the chain says, and the exit code tells that it came too late."""
    words = ("--journal", journal, "--rpc-url", url, "--private-key", KEY)
    first = sent(capsys, "--to", BOB, "--value-wei", "7", *words)
    count = nonce(url)

    code = run("cancel", str(first["request_id"]), *words, "--json")

    told = json.loads(capsys.readouterr().out)
    assert (1, "Confirmed", first["tx_hash"]) == (code, told["outcome"], told["tx_hash"])
    assert count == nonce(url)


def test_speedup_bids_higher_at_the_same_nonce(
    journal: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The replacement bids at least what was asked for, and only one of them is mined."""
    with anvil("--chain-id", "31337", "--no-mining") as slow:
        first = stuck(capsys, slow, journal, "--idempotency-key", "rent")
        with mining_once_replaced(slow):
            code = run(
                *("speedup", "rent", "--max-fee", "99", "--journal", journal, "--rpc-url", slow),
                *("--private-key", KEY, "--json"),
            )
        told = json.loads(capsys.readouterr().out)
        found = ask(slow, "eth_getTransactionByHash", told["tx_hash"])
        assert 0 == run("status", "rent", "--journal", journal, "--json")
        status = json.loads(capsys.readouterr().out)
        money = balance(slow, BOB)

    assert (0, "Confirmed") == (code, told["outcome"])
    assert isinstance(found, dict)
    assert (0, 99 * 10**9) == (int(found["nonce"], 16), int(found["maxFeePerGas"], 16))
    assert [first["tx_hash"], told["tx_hash"]] == [one["tx_hash"] for one in status["attempts"]]
    assert 7 == money


def test_a_cancellation_above_the_ceiling_names_what_lifts_it(
    journal: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It holds its nonce until somebody allows it to cost more, by the same command."""
    dear = ("--max-fee", "10", "--max-cost", "0.00021")
    with anvil("--chain-id", "31337", "--no-mining") as slow:
        stuck(capsys, slow, journal, "--idempotency-key", "rent", *dear)
        words = ("cancel", "rent", "--journal", journal, "--rpc-url", slow, "--private-key", KEY)
        low = run(*words, "--max-cost", "0.00021", "--wait-s", "2")
        said = capsys.readouterr().err
        hurried = run("speedup", *words[1:], "--max-fee", "20", "--max-cost", "0.00021")
        too_dear = capsys.readouterr().err
        with mining_once_replaced(slow):
            high = run(*words, "--max-cost", "0.01", "--json")
        told = json.loads(capsys.readouterr().out)
        money = balance(slow, BOB)

    assert (1, 1, 1) == (low, said.count("\n"), hurried)
    assert (
        f"its cancellation for {told['request_id']} would exceed max_cost_wei 210000000000000"
        in said
    )
    assert "open the session again with a higher max_cost_wei (--max-cost)" in said
    assert "more than max_cost_wei allows (0.00021); wait for lower fees or raise it" in too_dear
    assert (0, "Cancelled", 0) == (high, told["outcome"], money)


def test_changes_are_refused_in_one_line(
    url: str, journal: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the journal, another key's, one that is held, and what is over: nothing is sent."""
    words = ("--rpc-url", url, "--private-key", KEY)
    first = sent(capsys, "--to", BOB, "--value-wei", "7", *words, "--journal", journal)
    name, count = str(first["request_id"]), nonce(url)
    other = ("--rpc-url", url, *keyfile_options(tmp_path), "--allow-real-key")
    told = []
    for refused in (
        ("cancel", name, *words),
        ("cancel", name, *words, "--journal", str(tmp_path / "none.db")),
        ("cancel", "tx-99", *words, "--journal", journal),
        ("send", "--to", BOB, *words, "--journal", journal, "--after", "tx-99"),
        ("cancel", name, *other, "--journal", journal),
        ("speedup", name, *words, "--journal", journal, "--max-fee", "much"),
        ("speedup", name, *words, "--journal", journal),
    ):
        assert 2 == run(*refused)
        told.append(capsys.readouterr().err)
    holder = SqliteBackend(journal)
    try:
        assert 2 == run("cancel", name, *words, "--journal", journal)
        told.append(capsys.readouterr().err)
    finally:
        holder.close()

    for line, said in zip(
        (
            "no journal: give --journal FILE, the one it was sent with",
            f"no journal at {tmp_path / 'none.db'}",
            "has no request tx-99",
            "after names 'tx-99', which no request here is called",
            f"{name} is sent by {OWNER}, not by {REAL}; give its key",
            "amount 'much' is not a decimal number",
            name,
            f"journal {journal} is in use by another process",
        ),
        told,
        strict=True,
    ):
        assert line in said
        assert said.startswith("toolkit: ")
        assert 1 == said.count("\n")
    assert count == nonce(url)


def test_a_change_on_a_real_node_needs_the_explicit_words(
    url: str, journal: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dry session changes nothing, and says what to give."""
    ask(url, "anvil_setBalance", REAL, hex(10**18))
    key = keyfile_options(tmp_path)
    with posing_as_geth(url) as geth:
        words = ("--rpc-url", geth, *key, "--journal", journal)
        live = ("--live", "--chain-id", "31337")
        first = sent(capsys, "--to", BOB, *words, *live, "--visibility", "public")

        code = run("cancel", str(first["request_id"]), *words)

    said = capsys.readouterr().err
    assert (2, "toolkit: nothing is sent in DRY mode: give --live and --chain-id\n") == (code, said)


def test_a_stopped_process_is_taken_over(journal: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With --takeover a stopped sender's request is cancelled; awake, it is told that it lost."""
    with anvil("--chain-id", "31337", "--no-mining") as slow:
        words = ("--private-key", KEY, "--rpc-url", slow, "--journal", journal)
        process = command("send", "--to", BOB, "--value-wei", "7", *words)
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        name = lines[1].split()[1]
        assert 2 == run("cancel", name, *words)
        assert "is in use by another process" in capsys.readouterr().err
        with mining_once_replaced(slow):
            assert 0 == run("cancel", name, *words, "--takeover")
        process.send_signal(signal.SIGCONT)
        said, complaint = process.communicate(timeout=30)
        money = balance(slow, BOB)

    assert (1, "", 1, 0) == (process.returncode, said, complaint.count("\n"), money)
    assert f"journal {journal} was taken over by another process" in complaint


@pytest.mark.parametrize("profile", ["geth", "reth"])
@pytest.mark.parametrize(("action", "end"), [("speedup", "Confirmed"), ("cancel", "Cancelled")])
def test_changes_satisfy_each_clients_pool(
    journal: str, capsys: pytest.CaptureFixture[str], profile: str, action: str, end: str
) -> None:
    """A pool with that client's rules takes the replacement, and it is what is mined."""
    with strict(profile) as node:
        words = ("--rpc-url", node.url, "--private-key", node.accounts[0].key, "--journal", journal)
        first = sent(capsys, "--to", BOB, "--value-wei", "7", *words, "--no-wait")
        process = command(action, str(first["request_id"]), *words)
        assert process.stdout is not None
        lines = [process.stdout.readline().split() for _ in range(4)]
        node.seal()
        said, complaint = process.communicate(timeout=30)
        money = balance(node.url, BOB)

    assert ("tx_hash", "") == (lines[2][0], complaint)
    assert first["tx_hash"] != lines[2][1]
    assert ["outcome", end, "tx_hash", lines[2][1]] == said.split()[:4]
    assert (0, 7 if end == "Confirmed" else 0) == (process.returncode, money)
