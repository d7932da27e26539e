import argparse
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import rlp

from toolkit.chain.signer import LocalSigner
from toolkit.cli import journal as command
from toolkit.journal.log import Journal
from toolkit.journal.sqlite import SqliteBackend
from toolkit.model.chain import Address
from toolkit.model.errors import ConfigError, JournalCorrupt
from toolkit.model.tx import SignedTransaction, UnsignedTransaction


def _run(*argv: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers(required=True))
    args = parser.parse_args(["journal", *argv])
    return int(args.handler(args))


def _signed() -> SignedTransaction:
    unsigned = UnsignedTransaction(
        type=2,
        chain_id=1,
        nonce=0,
        to=Address("0x" + "11" * 20),
        value=1,
        data="0x",
        gas=21_000,
        max_fee_per_gas=1,
    )
    return LocalSigner("0x" + "42" * 32).sign_transaction_now(unsigned)


async def _journal(path: Path) -> SignedTransaction:
    signed = _signed()
    journal = Journal(SqliteBackend(path))
    journal.append("tx.prepared", {"signed": signed, "request_id": "tx-1"})
    journal.append("bundle.sent", {"transactions": [signed.raw]}, cause=1)
    journal.append("note", {"unnamed": {"deep": ["0x", signed.raw]}}, cause=2)
    await journal.close()
    return signed


@pytest.mark.parametrize("as_json", [False, True])
async def test_show_never_prints_signed_bytes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *, as_json: bool
) -> None:
    """Signed bytes are hidden under every name and depth; their hash stays."""
    signed = await _journal(tmp_path / "j.db")

    code = _run("show", str(tmp_path / "j.db"), *(["--json"] if as_json else []))

    printed = capsys.readouterr().out
    assert 0 == code
    assert signed.raw not in printed
    assert signed.raw[2:] not in printed
    assert signed.hash in printed
    assert 3 == printed.count("<hidden>")


async def test_show_filters_and_is_one_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--kind, --from and --limit choose entries; --json prints one document with cause and hash."""
    await _journal(tmp_path / "j.db")

    _run("show", str(tmp_path / "j.db"), "--json", "--from", "2", "--limit", "1")

    entries = json.loads(capsys.readouterr().out)["entries"]
    assert [(2, "bundle.sent", 1)] == [(e["seq"], e["kind"], e["cause"]) for e in entries]
    _run("show", str(tmp_path / "j.db"), "--kind", "note", "--json")
    assert [3] == [e["seq"] for e in json.loads(capsys.readouterr().out)["entries"]]


async def test_verify_counts_a_good_chain_and_names_a_bad_entry(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A good journal gives its length and head, a changed one the first bad entry."""
    path = tmp_path / "j.db"
    await _journal(path)

    _run("verify", str(path), "--json")

    assert 3 == json.loads(capsys.readouterr().out)["entries"]
    backend = SqliteBackend(path)
    with backend._database:
        backend._database.execute("UPDATE entry SET kind = 'x' WHERE seq = 2")
    backend.close()
    with pytest.raises(JournalCorrupt, match=r"entry 2 \(x\)"):
        _run("verify", str(path))


async def test_a_journal_in_use_can_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Verifying does not need the journal's owner to stop."""
    journal = Journal(SqliteBackend(tmp_path / "j.db"))
    journal.append("note", {})
    await journal.commit()

    _run("verify", str(tmp_path / "j.db"))

    assert "1 entries, chain intact" in capsys.readouterr().out
    await journal.close()


@pytest.mark.parametrize("type_", [0, 1, 2, 3, 4])
def test_every_type_of_transaction_is_hidden_wherever_it_is(type_: int) -> None:
    """The shape alone hides it, in a list, a text or a name, whether or not we could decode it."""
    fields = [b"\x01", b"", b"\x02" * 9, b"\x03" * 20, b"\x04" * 300, [], b"\x05" * 32]
    raw = "0x" + ((bytes([type_]) if type_ else b"") + rlp.encode(fields)).hex()

    shown = command._without_signed(
        {"deep": [{"name": raw}, [raw.upper().replace("X", "x")]], "said": f"no: {raw}!", raw: 1}
    )

    assert {
        "deep": [{"name": "<hidden>"}, ["<hidden>"]],
        "said": "no: <hidden>!",
        "<hidden>": 1,
    } == shown


def test_what_is_no_transaction_is_shown() -> None:
    """Hashes, addresses and calldata of ordinary functions stay readable."""
    data = {"hash": "0x" + "f8" * 32, "data": "0xa9059cbb" + "02" * 64, "to": "0x" + "11" * 20}

    assert data == command._without_signed(data)


async def test_show_chooses_what_concerns_a_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--request chooses by key and by any request_id in the data, --since a number to begin at."""
    path = tmp_path / "j.db"
    journal = Journal(SqliteBackend(path))
    journal.append("tx.request", {"request_id": "tx-1"})
    journal.append("tx.request", {"request_id": "tx-11"})
    journal.append("a", {"all": [{"request_id": "tx-1"}]})
    journal.append("tx.outcome", {"x": 1}, key="end:tx-1")
    await journal.close()

    _run("show", str(path), "--request", "tx-1", "--json")
    first = json.loads(capsys.readouterr().out)["entries"]
    _run("show", str(path), "--request", "tx-1", "--since", "2")

    assert [1, 3, 4] == [entry["seq"] for entry in first]
    assert "end:tx-1" == first[-1]["key"]
    printed = capsys.readouterr().out.splitlines()
    assert ["3 a", "4 tx.outcome [end:tx-1]"] == [line.split(" {")[0].strip() for line in printed]


async def test_show_names_an_altered_entry(tmp_path: Path) -> None:
    """What is shown is what was written."""
    path = tmp_path / "j.db"
    await _journal(path)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE entry SET data = x'7b7d' WHERE seq = 2")

    with pytest.raises(JournalCorrupt, match=r"entry 2 \(bundle\.sent\)"):
        _run("show", str(path))


async def test_compact_tells_what_it_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Dropped, kept and where the chain begins, for people and as one document; verify agrees."""
    path, archive = tmp_path / "j.db", tmp_path / "old.db"
    journal = Journal(SqliteBackend(path))
    journal.append("tx.request", {"n": 1}, key="idempotency:a")
    journal.append("tx.request", {"n": 2})
    journal.append("bundle_submitted", {"bundle": 1})
    journal.checkpoint("tx", {})
    await journal.close()

    code = _run("compact", str(path), "--archive", str(archive), "--json")
    told = json.loads(capsys.readouterr().out)
    _run("compact", str(path))
    again = capsys.readouterr().out
    _run("verify", str(path), "--json")
    verified = json.loads(capsys.readouterr().out)
    _run("verify", str(archive))

    assert (0, 2, 1, 3) == (code, told["dropped"], told["kept"], told["base"]["seq"])
    assert str(archive) == told["archive"]
    assert "nothing to drop" in again
    assert (told["head"], told["base"], 2) == (
        verified["head"],
        verified["base"],
        verified["entries"],
    )
    assert "archive, 3 entries, chain intact" in capsys.readouterr().out


async def test_compact_tells_what_left_the_chain_though_all_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where every entry is kept for its key, the archive is named all the same."""
    path, archive = tmp_path / "j.db", tmp_path / "old.db"
    journal = Journal(SqliteBackend(path))
    journal.append("tx.request", {}, key="idempotency:a")
    journal.checkpoint("tx", {})
    await journal.close()

    _run("compact", str(path), "--archive", str(archive))

    printed = capsys.readouterr().out
    assert f"1 entries left the chain and are in {archive}; 0 dropped, 1 kept by key" in printed


async def test_compact_refuses_what_is_still_needed(tmp_path: Path) -> None:
    """A kind without a checkpoint is named and nothing is changed."""
    path = tmp_path / "j.db"
    journal = Journal(SqliteBackend(path))
    journal.append("orchestrator.setup", {})
    await journal.close()

    with pytest.raises(ConfigError, match=r"orchestrator\.setup .* still needed"):
        _run("compact", str(path))


def test_bad_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing file is a ConfigError, a silly limit bad usage."""
    with pytest.raises(ConfigError, match="no journal at"):
        _run("show", str(tmp_path / "absent.db"))
    with pytest.raises(SystemExit):
        _run("show", str(tmp_path / "absent.db"), "--limit", "0")
    assert "'0' is not a whole number above 0" in capsys.readouterr().err
