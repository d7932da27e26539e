"""One writer at a time, also when the last one was only stopped."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from toolkit.journal import hold as hold_module
from toolkit.journal.hold import hold
from toolkit.journal.log import Journal
from toolkit.journal.sqlite import SqliteBackend, read_entries
from toolkit.journal.verification import verify_file
from toolkit.model.errors import ConfigError, JournalUnavailable, LeaseLost


def test_every_opening_takes_the_next_token(tmp_path: Path) -> None:
    """No two openings of a journal share a token, so none can be taken for another."""
    tokens = []
    for _ in range(3):
        backend = SqliteBackend(tmp_path / "j.db")
        tokens.append(backend._token)
        backend.close()

    assert [1, 2, 3] == tokens


@pytest.mark.parametrize("batch", [1, 3, 3_000])
async def test_the_old_holder_cannot_write_after_a_takeover(tmp_path: Path, batch: int) -> None:
    """Whatever the size of its next write, it is refused whole and for good as LeaseLost."""
    old = Journal(SqliteBackend(tmp_path / "j.db"))
    old.append("old", {})
    await old.commit()
    new = Journal(SqliteBackend(tmp_path / "j.db", takeover=True))
    for _ in range(batch):
        old.append("old", {})

    with pytest.raises(LeaseLost, match="taken over by another process: entry 2 was not written"):
        await old.commit()

    with pytest.raises(LeaseLost, match="taken over"):
        old.append("old", {})
    new.append("new", {})
    await new.commit()
    assert ["old", "new"] == [entry.kind for entry in read_entries(tmp_path / "j.db")]
    await old.close()
    await new.close()


async def test_writes_of_two_holders_never_mix(tmp_path: Path) -> None:
    """Everyone who waits at the old holder hears it, whoever began the write."""
    old = Journal(SqliteBackend(tmp_path / "j.db"))
    new = Journal(SqliteBackend(tmp_path / "j.db", takeover=True))

    async def write(journal: Journal, kind: str) -> None:
        journal.append(kind, {})
        await journal.commit()

    results = await asyncio.gather(
        *(write(old, "old") for _ in range(5)),
        *(write(new, "new") for _ in range(5)),
        return_exceptions=True,
    )

    assert [LeaseLost] * 5 + [type(None)] * 5 == [type(result) for result in results]
    assert 5 == verify_file(tmp_path / "j.db").entries
    await old.close()
    await new.close()


async def test_a_taken_over_journal_is_locked_for_third_ones(tmp_path: Path) -> None:
    """After a takeover the lock is the new holder's: neither closing the old one nor asking frees
    it, and who asks is told its process.
    """
    old = SqliteBackend(tmp_path / "j.db")
    new = SqliteBackend(tmp_path / "j.db", takeover=True)
    old.close()

    with pytest.raises(ConfigError, match=rf"in use by another process \(pid {os.getpid()}\)"):
        SqliteBackend(tmp_path / "j.db")

    new.close()
    SqliteBackend(tmp_path / "j.db").close()


def test_a_takeover_of_nobody_is_an_opening(tmp_path: Path) -> None:
    """Takeover needs no holder: a supervisor may always ask for it."""
    SqliteBackend(tmp_path / "j.db", takeover=True).close()

    SqliteBackend(tmp_path / "j.db").close()
    assert ["j.db", "j.db.lock"] == sorted(path.name for path in tmp_path.iterdir())


def test_a_lock_that_was_replaced_while_it_was_taken_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who locks a file that somebody replaced meanwhile goes back and meets its new holder."""
    path = tmp_path / "j.db"
    locked = hold_module._locked
    taken: list[int] = []

    def slow(descriptor: int) -> bool:
        if not taken:
            taken.append(hold_module._replace(path.with_name("j.db.lock")))
        return locked(descriptor)

    monkeypatch.setattr(hold_module, "_locked", slow)

    with pytest.raises(ConfigError, match="in use by another process"):
        hold(path, takeover=False)
    os.close(taken[0])


def test_a_holder_stopped_inside_a_write_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that holds SQLite's own lock cannot be overtaken; the line says to end it."""
    monkeypatch.setattr("toolkit.journal.sqlite.BUSY_S", 0.01)
    old = SqliteBackend(tmp_path / "j.db")
    old._database.execute("BEGIN IMMEDIATE")

    with pytest.raises(JournalUnavailable, match="stopped inside a write and keeps"):
        SqliteBackend(tmp_path / "j.db", takeover=True)

    old._database.execute("ROLLBACK")
    old.close()


_CHILD = """
import asyncio, sys
from toolkit.journal.log import Journal
from toolkit.journal.sqlite import SqliteBackend
from toolkit.model.errors import LeaseLost

async def main():
    journal = Journal(SqliteBackend(sys.argv[1]))
    journal.append("child", {"n": 1})
    await journal.commit()
    print("ready", flush=True)
    sys.stdin.readline()  # stopped here, and let go on
    journal.append("child", {"n": 2})
    try:
        await journal.commit()
        print("sent", flush=True)
    except LeaseLost as error:
        print("LeaseLost", error, flush=True)
    await journal.close()

asyncio.run(main())
"""


async def _append(journal: Journal) -> None:
    journal.append("parent", {})
    await journal.commit()


def test_a_stopped_process_that_goes_on_is_fenced(tmp_path: Path) -> None:
    """SIGSTOP, takeover, SIGCONT: the child's next write is refused and it sends nothing."""
    path = tmp_path / "j.db"
    with (
        asyncio.Runner() as runner,
        subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as child,
    ):
        assert child.stdin is not None
        assert child.stdout is not None
        assert "ready" == child.stdout.readline().strip()
        child.send_signal(signal.SIGSTOP)
        os.waitpid(child.pid, os.WUNTRACED)
        with pytest.raises(ConfigError, match=rf"in use by another process \(pid {child.pid}\)"):
            SqliteBackend(path)

        journal = Journal(SqliteBackend(path, takeover=True))
        runner.run(_append(journal))
        child.send_signal(signal.SIGCONT)
        said = child.communicate("go on\n")[0]
        runner.run(_append(journal))
        runner.run(journal.close())

    assert said.startswith("LeaseLost")
    assert ["child", "parent", "parent"] == [entry.kind for entry in read_entries(path)]
    assert 3 == verify_file(path).entries
