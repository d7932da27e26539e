"""Lists within lists by the hundred thousand: one line, where parsers would exhaust the stack."""

import subprocess
import sys
from pathlib import Path

import pytest

from toolkit.journal.chain import GENESIS, chained
from toolkit.journal.sqlite import SqliteBackend

DEEP = "[" * 99_000 + "]" * 99_000  # what a stack of 8 MiB does not hold
# The second is what py-ecc sets at import, which keystores and web3 bring along.
LIMITS = pytest.mark.parametrize("limit", [1_000, 100_000])
TO = ("--to", "0x" + "b0" * 20)


def _journal(path: Path, kind: str) -> Path:
    backend = SqliteBackend(path)
    entry = chained(1, kind, 1, None, f'{{"request_id":"x","deep":{DEEP}}}'.encode(), GENESIS)
    backend.write([entry])
    backend.close()
    return path


def _said(limit: int, *argv: str) -> tuple[int, str]:
    """How a command ends under a recursion limit, and its one line."""
    code = (
        f"import sys; sys.setrecursionlimit({limit}); from toolkit.cli.main import main;"
        "sys.exit(main(sys.stdin.read().split()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=" ".join(argv),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert "" == done.stdout
    (line,) = done.stderr.splitlines()
    return done.returncode, line


@LIMITS
@pytest.mark.parametrize(
    ("kind", "argv"),
    [
        ("note", "journal show {}"),
        ("note", "journal verify {}"),
        ("note", "journal compact {}"),
        ("tx.request", "tx status x --journal {}"),
        ("bundle_submitted", "bundle status x --journal {}"),
        ("run_started", "replay {} --verify"),
        ("run_started", "why x --journal {}"),
    ],
)
def test_a_journal_that_nobody_wrote(tmp_path: Path, kind: str, argv: str, limit: int) -> None:
    """A file from elsewhere, sound by its hashes: exit code and one line, whatever reads it and
    whatever limit other packages have set."""
    journal = _journal(tmp_path / "j.db", kind)

    code, line = _said(limit, *argv.format(journal).split())

    assert 1 == code
    assert "entry 1 cannot be read (it has more than 500 lists within each other)" in line


@LIMITS
@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("tx", "send", *TO, "--sig", "f(uint256[])", DEEP), "more than 500 lists within each"),
        (("tx", "send", *TO, "--sig", f"f({'(' * 12_000}bool{')' * 12_000})", "1"), "is no sig"),
        (("tx", "send", *TO, "--sig", f"f({'(' * 400}bool{')' * 400})", "1"), " is no "),
        (("bundle", "simulate", DEEP), "neither 0x hex nor a JSON object"),
    ],
    ids=["argument", "signature", "tuples", "item"],
)
def test_a_word_that_nobody_would_type(argv: tuple[str, ...], message: str, limit: int) -> None:
    """Bad usage, in one line of bounded length."""
    code, line = _said(limit, *argv)

    assert 2 == code
    assert message in line
    assert 2_000 > len(line)
