"""`toolkit tx send` from the shell, against real nodes of every mode."""

import json
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.nodes import (
    KEY,
    OWNER,
    REAL_KEY,
    answering,
    anvil,
    ask,
    keyfile_options,
    posing_as_geth,
)
from tests.cli.shell import BOB, REAL, balance, command, nonce, run, sent, stuck
from toolkit.chain.signer import LocalSigner, decode_transaction
from toolkit.journal.sqlite import SqliteBackend, read_entries
from toolkit.model.tx import UnsignedTransaction

# Returns its first word where that is not zero, and reverts with "no" otherwise.
PICKY = "0x6000356000811160245762461bcd60e51b60005260206004526002602452616e6f60f01b60445260646000fd"
PICKY += "5b60005260206000f3"


def test_send_waits_for_the_end(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A transfer answers with mode, request, hash, sender and outcome; the money has arrived."""
    before, first = balance(url, BOB), nonce(url)

    told = sent(capsys, "--to", BOB, "--value", "0.1", "--rpc-url", url, "--private-key", KEY)

    assert ("DEV", "Confirmed", OWNER) == (told["mode"], told["outcome"], told["sender"])
    assert before + 10**17 == balance(url, BOB)
    assert first + 1 == nonce(url)
    receipt = ask(url, "eth_getTransactionReceipt", told["tx_hash"])
    assert isinstance(receipt, dict)
    assert int(receipt["blockNumber"], 16) == told["block_number"]


@pytest.mark.parametrize(
    ("option", "word"),
    [
        ("confirmations", "0"),
        ("confirmations", "65"),
        ("confirmations", "x"),
        ("wait-s", "nan"),
        ("wait-s", "-1"),
        ("wait-s", "inf"),
        ("wait-s", "soon"),
    ],
)
def test_how_to_wait_is_refused_before_anything_is_sent(
    url: str, capsys: pytest.CaptureFixture[str], option: str, word: str
) -> None:
    """Exit code 2 says that nothing was sent: whoever corrects the word and repeats pays once."""
    before = nonce(url)
    words = ("--to", BOB, "--value-wei", "1", "--rpc-url", url, "--private-key", KEY)

    assert 2 == run("send", *words, f"--{option}={word}")
    assert before == nonce(url)
    assert f"--{option}: '{word}' is no " in capsys.readouterr().err


def test_people_see_at_once_what_they_wait_for(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --json the facts come one a line: mode, request and hash first, then the outcome."""
    assert 0 == run("send", "--to", BOB, "--value-wei", "1", "--rpc", url, "--private-key", KEY)

    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert ["mode", "request_id", "tx_hash", "sender", "outcome"] == names[:5]


def test_send_calls_a_function(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """--sig with its arguments is the call data; --data is taken as it stands."""
    ask(url, "anvil_setCode", BOB, "0x00")
    words = ("--rpc-url", url, "--private-key", KEY, "--to", BOB)
    by_name = sent(capsys, *words, "--sig", "transfer(address,uint)", OWNER, "0x10")
    by_data = sent(capsys, *words, "--data", "0xa9059cbb")
    ask(url, "anvil_setCode", BOB, "0x")

    inputs = []
    for told in (by_name, by_data):
        found = ask(url, "eth_getTransactionByHash", told["tx_hash"])
        assert isinstance(found, dict)
        inputs.append(found["input"])
    assert [f"0xa9059cbb{OWNER[2:]:0>64}{16:064x}", "0xa9059cbb"] == inputs


def test_data_alone_creates_a_contract(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --to the data is what a contract is made of."""
    told = sent(capsys, "--data", "0x60006000f3", "--rpc-url", url, "--private-key", KEY)

    receipt = ask(url, "eth_getTransactionReceipt", told["tx_hash"])
    assert isinstance(receipt, dict)
    assert receipt["contractAddress"] is not None


def test_an_idempotency_key_is_sent_once(
    url: str, journal: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same key and payload in a later process is the same transaction; another is refused."""
    words = ("--to", BOB, "--rpc-url", url, "--private-key", KEY, "--journal", journal)
    first = sent(capsys, *words, "--value-wei", "1", "--idempotency-key", "rent")
    count = nonce(url)
    again = sent(capsys, *words, "--value-wei", "1", "--idempotency-key", "rent")
    other = sent(capsys, *words, "--value-wei", "2", "--idempotency-key", "rent", code=1)

    assert (first["request_id"], first["tx_hash"]) == (again["request_id"], again["tx_hash"])
    assert "IdempotencyConflict" == other["kind"]
    assert count == nonce(url)


def test_a_real_node_is_dry_until_live_is_asked_for(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """There sending is a rehearsal that needs no waiting; the explicit words make it real."""
    ask(url, "anvil_setBalance", REAL, hex(10**18))
    count = nonce(url, REAL)
    with posing_as_geth(url) as geth:
        words = ("--to", BOB, "--value", "0.01", "--rpc-url", geth, *keyfile_options(tmp_path))
        public = ("--visibility", "public")
        dry = sent(capsys, *words, *public)
        assert count == nonce(url, REAL)
        live = sent(capsys, *words, *public, "--live", "--chain-id", "31337")
        unsaid = sent(capsys, *words, code=2)
        wrong = sent(capsys, *words, *public, "--live", "--chain-id", "1", code=2)

    assert ("DRY", "DryRun", None) == (dry["mode"], dry["outcome"], dry["tx_hash"])
    assert str(dry["would_be_hash"]).startswith("0x")
    assert ("LIVE", "Confirmed") == (live["mode"], live["outcome"])
    assert "who may see it must be said: --visibility public, or --relay URL" == unsaid["error"]
    assert "the node is on chain 31337, not on chain 1" in str(wrong["error"])
    assert count + 1 == nonce(url, REAL)


def test_a_reverted_end_fails(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is mined and reverts is told with its outcome, and exit code 1."""
    picky = "0x" + "c1" * 20
    with anvil("--chain-id", "31337", "--block-time", "1") as slow:
        ask(slow, "anvil_setCode", picky, "0x00")
        process = command(
            "send", "--to", picky, "--rpc-url", slow, "--private-key", KEY, "--gas", "50000"
        )
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        ask(slow, "anvil_setCode", picky, "0xfe")
        said, _ = process.communicate(timeout=30)

    assert lines[1].startswith("request_id")
    assert (1, True) == (process.returncode, "Reverted" in said)


def test_an_interrupt_ends_the_wait_and_not_the_request(journal: str) -> None:
    """SIGINT is exit code 130 without a word; the journal knows what is under way."""
    with anvil("--chain-id", "31337", "--no-mining") as idle:
        process = command(
            *("send", "--to", BOB, "--value-wei", "1", "--rpc-url", idle, "--private-key", KEY),
            *("--journal", journal),
        )
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=30)

    assert (130, "") == (process.returncode, complaint)
    assert lines[1].split()[1] in {
        json.loads(entry.data)["request_id"]
        for entry in read_entries(Path(journal))
        if entry.kind == "tx.prepared"
    }


def test_a_block_that_never_comes_ends_the_wait(
    journal: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The wait ends with what to ask, and the request can still be asked about."""
    with anvil("--chain-id", "31337", "--no-mining") as idle:
        words = ("--to", BOB, "--rpc-url", idle, "--private-key", KEY, "--wait-s", "0.3")
        assert 1 == run("send", *words, "--journal", journal)
        said = capsys.readouterr()
        name = said.out.splitlines()[1].split()[1]
        assert 1 == run("send", *words)
        without = capsys.readouterr()

    assert (
        "toolkit: not in a block after 0.3 s; it may still be: ask "
        f"`toolkit tx status {name} --journal {journal}`\n"
    ) == said.err
    tx_hash = without.out.splitlines()[2].split()[1]
    assert f"look for {tx_hash} before sending again\n" in without.err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--to", "0x12"], 2, "address '0x12' is not 0x followed by 40 hex digits"),
        ([], 2, "no --to ADDRESS; only --data alone creates a contract"),
        (["--to", BOB, "--value", "much"], 2, "amount 'much' is not a decimal number"),
        (["--to", BOB, "--value-wei", "-1"], 2, "value is -1: give an integer from 0 to 2**256-1"),
        (["--to", BOB, "--data", "0x1"], 2, "data is not 0x followed by whole bytes of hex"),
        (["--to", BOB, "--sig", "f("], 2, "--sig 'f(' is no signature"),
        (["--to", BOB, "5"], 2, "1 arguments, but no --sig that takes them"),
        (["--to", BOB, "--deadline-blocks", "0"], 2, "deadline_blocks is 0"),
        (["--to", BOB, "--idempotency-key", "k"], 2, "--idempotency-key needs --journal FILE"),
        (["--to", BOB, "--no-wait"], 2, "--no-wait needs --journal FILE"),
        (["--to", BOB, "--visibility", "private"], 2, "visibility private needs relays"),
        (
            ["--to", BOB, "--relay", "https://relay.example"],
            2,
            "is not on loopback, refused in DEV",
        ),
        (["--to", BOB, "--from", BOB], 2, f"--from is {BOB}, but the key given is that of {OWNER}"),
        (["--to", BOB, "--gas", "16777217"], 1, "gas limit 16777217 is above 16777216; ask for"),
        (["--to", BOB, "--gas", "40000000"], 1, "gas limit 40000000 is above 16777216; ask for"),
        (["--to", BOB, "--value", "99999"], 1, "send it more or wait for what is under way"),
        (["--to", "PICKY"], 1, "call would revert: no"),
        (["--to", "PICKY", "--gas", "50000"], 1, "call would revert: no"),
        (["--to", BOB, "--max-cost", "0.00000001"], 1, "more than max_cost_wei allows"),
    ],
)
def test_bad_input_is_one_line_and_no_nonce(
    url: str, capsys: pytest.CaptureFixture[str], words: list[str], code: int, message: str
) -> None:
    """Each mistake is one line on stderr that says what to do, and the account's nonce stays."""
    picky = "0x" + "c2" * 20
    ask(url, "anvil_setCode", picky, PICKY)
    count = nonce(url)

    given = [picky if word == "PICKY" else word for word in words]
    assert code == run("send", *given, "--rpc-url", url, "--private-key", KEY)

    said = capsys.readouterr()
    assert said.err.startswith("toolkit: ")
    assert (1, True) == (said.err.count("\n"), message in said.err)
    assert count == nonce(url)


def test_an_unfunded_account_cannot_send(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told what is missing, whether or not the gas is stated; no nonce is used."""
    ask(url, "anvil_setBalance", REAL, "0x0")
    words = ("--to", BOB, "--value", "1", "--rpc-url", url, *keyfile_options(tmp_path))
    count = nonce(url, REAL)

    for gas in ([], ["--gas", "21000"]):
        told = sent(capsys, *words, "--allow-real-key", *gas, code=1)
        assert "InsufficientFunds" == told["kind"]
    assert count == nonce(url, REAL)


@pytest.mark.parametrize(
    ("key", "message"),
    [("0x12", "private key has 1 bytes, not 32"), (KEY[:-1] + "z", "private key is not hex")],
)
def test_a_malformed_key_is_bad_input(
    url: str, capsys: pytest.CaptureFixture[str], key: str, message: str
) -> None:
    """The line says what is wrong with it and does not contain it."""
    assert 2 == run("send", "--to", BOB, "--rpc-url", url, "--private-key", key)

    said = capsys.readouterr().err
    assert said.startswith(f"toolkit: {message}")
    assert KEY[2:-1] not in said


def test_a_journal_of_another_chain_is_refused(
    url: str, journal: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its nonces are not this chain's: nothing is sent."""
    words = ("--to", BOB, "--private-key", KEY, "--journal", journal)
    sent(capsys, *words, "--rpc-url", url)
    with anvil("--chain-id", "31337") as other:
        assert 2 == run("send", *words, "--rpc-url", other)
        count = nonce(other)

    said = capsys.readouterr().err
    assert said.startswith("toolkit: the journal was written on another chain (id 31337, block ")
    assert (0, 1) == (count, said.count("\n"))


def test_a_corrupt_journal_is_refused(
    url: str, journal: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first bad entry is named, and nothing is sent."""
    words = ("--to", BOB, "--private-key", KEY, "--rpc-url", url, "--journal", journal)
    sent(capsys, *words)
    count = nonce(url)
    database = sqlite3.connect(journal)
    with database:
        database.execute(
            "UPDATE entry SET data = CAST(replace(data, 'b0', 'b1') AS BLOB) WHERE seq = 3"
        )
    database.close()

    told = sent(capsys, *words, code=1)

    assert "JournalCorrupt" == told["kind"]
    assert str(told["error"]).startswith("journal entry 3 (tx.request) does not match its hash")
    assert count == nonce(url)


def test_a_journal_in_use_is_refused(
    url: str, journal: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """While one process holds it, a second one is told so in one line."""
    holder = SqliteBackend(journal)
    try:
        code = run(
            *("send", "--to", BOB, "--private-key", KEY, "--rpc-url", url, "--journal", journal)
        )
    finally:
        holder.close()

    said = capsys.readouterr().err
    assert said.startswith(f"toolkit: journal {journal} is in use by another process")
    assert (2, 1) == (code, said.count("\n"))


def test_an_unreachable_node_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody listens there: the line names the place."""
    assert 1 == run("send", "--to", BOB, "--rpc-url", "http://127.0.0.1:9", "--private-key", KEY)

    said = capsys.readouterr().err
    assert "127.0.0.1:9" in said
    assert 1 == said.count("\n")


def signing(key: str, **changed: int) -> Iterator[str]:
    """A remote signer that changes these fields before it signs."""
    signer = LocalSigner(key)

    def answer(body: bytes) -> bytes:
        asked = json.loads(body)
        (given,) = asked["params"]
        unsigned = UnsignedTransaction(
            type=2,
            chain_id=int(given["chainId"], 16),
            nonce=changed.get("nonce", int(given["nonce"], 16)),
            to=given["to"],
            value=changed.get("value", int(given["value"], 16)),
            data=given["data"],
            gas=int(given["gas"], 16),
            max_fee_per_gas=int(given["maxFeePerGas"], 16),
            max_priority_fee_per_gas=int(given["maxPriorityFeePerGas"], 16),
        )
        raw = signer.sign_transaction_now(unsigned).raw
        assert decode_transaction(raw).sender == signer.address
        result = {"raw": raw, "tx": {}}
        return json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}).encode()

    with answering(answer) as endpoint:
        yield endpoint


def test_a_remote_signer_signs(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The account that --from names sends with what the remote signer signed."""
    for endpoint in signing(KEY):
        told = sent(
            capsys,
            *("--to", BOB, "--value-wei", "3", "--rpc-url", url),
            *("--remote-signer", endpoint, "--from", OWNER),
        )

    assert ("Confirmed", OWNER) == (told["outcome"], told["sender"])


@pytest.mark.parametrize(
    ("key", "changed"),
    [(KEY, {"value": 10**18}), (KEY, {"nonce": 999}), (REAL_KEY, {})],
    ids=["another value", "another nonce", "another key"],
)
def test_a_remote_signer_that_answers_wrong_is_refused(
    url: str, capsys: pytest.CaptureFixture[str], key: str, changed: dict[str, int]
) -> None:
    """What came back is not what was asked for: one line, no nonce used, nothing sent."""
    count, money = nonce(url), balance(url, BOB)
    for endpoint in signing(key, **changed):
        told = sent(
            capsys,
            *("--to", BOB, "--value-wei", "3", "--rpc-url", url),
            *("--remote-signer", endpoint, "--from", OWNER),
            code=1,
        )

    assert "RemoteSignerMismatch" == told["kind"]
    assert (count, money) == (nonce(url), balance(url, BOB))


def test_a_remote_signer_that_is_not_there_is_one_line(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody listens, and nobody said which account: each is told, nothing is sent."""
    count = nonce(url)
    words = ("send", "--to", BOB, "--rpc-url", url, "--remote-signer", "http://127.0.0.1:9")

    assert 1 == run(*words, "--from", OWNER)
    assert "remote signer at http://127.0.0.1:9 cannot be asked" in capsys.readouterr().err
    assert 2 == run(*words)
    assert "--remote-signer needs --from ADDRESS" in capsys.readouterr().err
    assert count == nonce(url)


def test_a_live_key_stays_with_its_journal(
    url: str, journal: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a real node a second journal for a key is refused, until the word is given."""
    ask(url, "anvil_setBalance", REAL, hex(10**18))
    with posing_as_geth(url) as geth:
        words = ("--to", BOB, "--rpc-url", geth, *keyfile_options(tmp_path), "--live")
        more = ("--chain-id", "31337", "--visibility", "public")
        sent(capsys, *words, *more, "--journal", journal)
        count = nonce(url, REAL)
        refused = sent(capsys, *words, *more, "--journal", f"{journal}-2", code=2)
        assert count == nonce(url, REAL)
        sent(capsys, *words, *more, "--journal", f"{journal}-2", "--takeover")

    assert f"{REAL} on chain 31337 has its lane in {journal}, where" in str(refused["error"])
    assert count + 1 == nonce(url, REAL)


def test_a_follower_waits_for_its_predecessor(
    journal: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """--after holds a request back until the named one has succeeded."""
    with anvil("--chain-id", "31337", "--no-mining") as slow:
        first = stuck(capsys, slow, journal)
        second = stuck(capsys, slow, journal, "--after", str(first["request_id"]))
        assert 1 == nonce(slow)
        ask(slow, "evm_setIntervalMining", 1)
        words = ("--private-key", KEY, "--rpc-url", slow, "--journal", journal)
        third = sent(capsys, "--to", BOB, *words, "--after", str(second["request_id"]))
        money = balance(slow, BOB)

    assert None is second["tx_hash"]
    assert ("Confirmed", 14) == (third["outcome"], money)


def test_several_nodes_are_asked_together(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of three real ones one may be dead; and one address given twice would be two votes."""
    ask(url, "anvil_setBalance", REAL, hex(10**18))
    before = balance(url, BOB)
    with posing_as_geth(url) as geth:
        other = geth.replace("127.0.0.1", "localhost")
        words = ("--to", BOB, "--value-wei", "2", "--visibility", "public", "--rpc-url", geth)
        key = (*keyfile_options(tmp_path), "--live", "--chain-id", "31337")

        told = sent(capsys, *words, "--rpc-url", other, "--rpc-url", "http://127.0.0.1:9", *key)
        twice = sent(capsys, *words, "--rpc-url", geth, *key, code=2)

    assert ("Confirmed", before + 2) == (told["outcome"], balance(url, BOB))
    assert "the same node address is given twice: it would have two votes" == twice["error"]
