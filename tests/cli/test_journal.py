import argparse
import json
from pathlib import Path

import pytest

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


def test_bad_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing file is a ConfigError, a silly limit bad usage."""
    with pytest.raises(ConfigError, match="no journal at"):
        _run("show", str(tmp_path / "absent.db"))
    with pytest.raises(SystemExit):
        _run("show", str(tmp_path / "absent.db"), "--limit", "0")
    assert "'0' is not a whole number above 0" in capsys.readouterr().err
