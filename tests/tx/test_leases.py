"""One process at a time sends from a key."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from toolkit.model.chain import Address
from toolkit.model.errors import ConfigError, JournalUnavailable, LeaseLost
from toolkit.tx.leases import (
    FILE_NAME,
    STALE_S,
    Holder,
    Leases,
    started_at,
    started_by_ps,
    this_process,
)

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("lease_holder.py")
KEY = Address("0x" + "ab" * 20)
OTHER = Address("0x" + "cd" * 20)
SELF = this_process()
# Init lives in every namespace of processes, so it stands for a live process that is not us.
INIT = Holder(pid=1, started=started_at(1) or "", place=SELF.place)
GONE = Holder(pid=1, started="before the last boot", place=SELF.place)

Make = Callable[..., Leases]


class Clock:
    """The machine's monotonic clock, moved by hand."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(tmp_path: Path, clock: Clock) -> Iterator[Make]:
    """Leases of one directory, as seen by one process or another."""
    opened: list[Leases] = []

    def leases(holder: Holder = SELF, *, takeover: bool = False) -> Leases:
        opened.append(Leases(tmp_path, holder=holder, takeover=takeover, clock=clock))
        return opened[-1]

    yield leases
    for one in opened:
        one.close()


def test_a_live_holder_is_refused_to_others(make: Make, tmp_path: Path) -> None:
    """The refusal names the account, the process, its journal and what to do."""
    make(INIT).acquire(1, KEY, tmp_path / "a.db")

    with pytest.raises(LeaseLost) as refused:
        make().acquire(1, KEY, tmp_path / "a.db")

    assert (
        f"{KEY} on chain 1 is held by process 1 with {tmp_path / 'a.db'}; stop it, or if it hangs "
        "take over (takeover=True, --takeover), or use another key"
    ) == str(refused.value)


def test_a_process_does_not_take_its_own_lease_twice(make: Make, tmp_path: Path) -> None:
    """Two sessions of one process are two owners of the nonces as well."""
    make().acquire(1, KEY, tmp_path / "a.db")

    with pytest.raises(LeaseLost, match=f"held by process {os.getpid()}"):
        make().acquire(1, KEY, tmp_path / "a.db")


def test_leases_are_by_chain_and_account(make: Make, tmp_path: Path) -> None:
    """The same key on another chain, and another key, have lanes of their own."""
    make(INIT).acquire(1, KEY, tmp_path / "a.db")
    mine = make()

    assert (1, 1) == (
        mine.acquire(10, KEY, tmp_path / "a.db").token,
        mine.acquire(1, OTHER, tmp_path / "b.db").token,
    )


def test_a_dead_holder_is_taken_over_at_once(make: Make, tmp_path: Path, clock: Clock) -> None:
    """A process id that was given to another process since does not keep a lease alive."""
    dead = make(GONE).acquire(1, KEY, tmp_path / "a.db")

    taken = make().acquire(1, KEY, tmp_path / "a.db")

    assert (1_000.0, dead.token + 1) == (clock.now_s, taken.token)


def test_a_silent_holder_is_taken_over(make: Make, tmp_path: Path, clock: Clock) -> None:
    """A process that exists keeps its lease for as long as it beats, and a while longer."""
    holder = make(INIT)
    held = holder.acquire(1, KEY, tmp_path / "a.db")
    clock.now_s += STALE_S
    with pytest.raises(LeaseLost):
        make().acquire(1, KEY, tmp_path / "a.db")
    holder.beat()
    clock.now_s += STALE_S
    with pytest.raises(LeaseLost):
        make().acquire(1, KEY, tmp_path / "a.db")
    clock.now_s += 0.1

    taken = make().acquire(1, KEY, tmp_path / "a.db")

    assert held.token + 1 == taken.token


def test_a_holder_elsewhere_is_judged_by_its_silence(
    make: Make, tmp_path: Path, clock: Clock
) -> None:
    """The process ids of another namespace mean nothing here: it lives as long as it beats."""
    afar = msgspec.structs.replace(GONE, place="another container")
    make(afar).acquire(1, KEY, tmp_path / "a.db")
    with pytest.raises(LeaseLost):
        make().acquire(1, KEY, tmp_path / "a.db")
    clock.now_s += STALE_S + 0.1

    assert 2 == make().acquire(1, KEY, tmp_path / "a.db").token


def test_whoever_was_taken_over_is_told_at_its_next_check(make: Make, tmp_path: Path) -> None:
    """The old token is refused for good, though its holder goes on beating; the new one is not."""
    old, new = make(INIT), make(takeover=True)
    lost = old.acquire(1, KEY, tmp_path / "a.db")
    kept = old.acquire(1, OTHER, tmp_path / "a.db")
    lost.check()
    taken = new.acquire(1, KEY, tmp_path / "a.db")
    old.beat()

    with pytest.raises(LeaseLost) as told:
        lost.check()

    assert (
        f"{KEY} on chain 1 was taken over by process {os.getpid()}; this process writes and sends "
        "nothing more from it: stop it"
    ) == str(told.value)
    with pytest.raises(LeaseLost):
        old.check()
    kept.check()
    taken.check()
    new.check()


def test_a_process_that_takes_over_from_itself_is_two_holders(make: Make, tmp_path: Path) -> None:
    """The token tells them apart, not the process."""
    lost = make().acquire(1, KEY, tmp_path / "a.db")
    taken = make(takeover=True).acquire(1, KEY, tmp_path / "a.db")

    with pytest.raises(LeaseLost):
        lost.check()
    taken.check()


def test_a_holder_beats_by_itself(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An idle process keeps its lease: a thread says that it is well, until it closes."""
    monkeypatch.setattr("toolkit.tx.leases.BEAT_S", 0.001)
    asked = threading.Semaphore(0)

    def watched() -> float:
        asked.release()
        return clock()

    leases = Leases(tmp_path, clock=watched)
    leases.acquire(1, KEY, tmp_path / "a.db")
    try:
        clock.now_s += STALE_S + 1
        while asked.acquire(blocking=False):
            pass  # by whoever asked before
        assert asked.acquire(timeout=30)
        assert asked.acquire(timeout=30)  # then the beat before has been written
        with pytest.raises(LeaseLost):
            Leases(tmp_path, clock=clock).acquire(1, KEY, tmp_path / "a.db")
    finally:
        leases.close()


def test_of_those_who_ask_at_the_same_moment_one_gets_it(tmp_path: Path) -> None:
    """Looking and taking are one step: no two see the same lease free."""
    accounts = [Address(f"0x{n:040x}") for n in range(40)]
    barrier = threading.Barrier(6)
    taken: list[Address] = []

    def take_all() -> None:
        leases = Leases(tmp_path)
        for account in accounts:
            barrier.wait(timeout=30)
            with suppress(LeaseLost):
                leases.acquire(1, account, tmp_path / "a.db")
                taken.append(account)
        barrier.wait(timeout=30)
        leases.close()

    threads = [threading.Thread(target=take_all) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert accounts == sorted(taken)


def test_an_old_holder_cannot_release_what_is_not_its_own(make: Make, tmp_path: Path) -> None:
    """Its late release changes nothing for the one that took over."""
    old = make(INIT)
    lost = old.acquire(1, KEY, tmp_path / "a.db")
    taken = make(takeover=True).acquire(1, KEY, tmp_path / "a.db")

    lost.release()

    taken.check()
    with pytest.raises(LeaseLost):
        make(INIT).acquire(1, KEY, tmp_path / "a.db")


def test_a_released_lease_is_free_and_its_token_grows(make: Make, tmp_path: Path) -> None:
    """A token is never given out again, so an old one can never pass for a new one."""
    lease = make().acquire(1, KEY, tmp_path / "a.db")
    lease.check()
    lease.release()
    with pytest.raises(LeaseLost):
        lease.check()

    again = make(INIT).acquire(1, KEY, tmp_path / "a.db")

    assert lease.token + 1 == again.token


def test_a_lane_stays_with_its_journal(make: Make, tmp_path: Path) -> None:
    """What is under way is known to one journal only: without it the key is refused."""
    make(GONE).acquire(1, KEY, tmp_path / "a.db")

    with pytest.raises(ConfigError) as refused:
        make().acquire(1, KEY, tmp_path / "b.db")

    assert (
        f"{KEY} on chain 1 has its lane in {tmp_path / 'a.db'}, where transactions may be under "
        "way; open that journal, or if none can be take over (takeover=True, --takeover)"
    ) == str(refused.value)
    with pytest.raises(ConfigError):
        make().acquire(1, KEY, None)
    assert 2 == make(takeover=True).acquire(1, KEY, tmp_path / "b.db").token


def test_a_live_holder_with_another_journal_is_never_taken_over(
    make: Make, tmp_path: Path, clock: Clock
) -> None:
    """Neither the word nor silence helps: two journals of one lane would spend its nonces twice."""
    make(INIT).acquire(1, KEY, tmp_path / "a.db")
    clock.now_s += STALE_S + 1

    with pytest.raises(LeaseLost) as refused:
        make(takeover=True).acquire(1, KEY, tmp_path / "b.db")

    assert "; stop it, or use another key" in str(refused.value)


def test_one_journal_by_two_names_is_one(make: Make, tmp_path: Path) -> None:
    """A link to the journal is that journal."""
    (tmp_path / "a.db").touch()
    (tmp_path / "link.db").symlink_to(tmp_path / "a.db")
    make(GONE).acquire(1, KEY, tmp_path / "a.db")

    assert 2 == make().acquire(1, KEY, tmp_path / "link.db").token


@pytest.mark.parametrize("memory", [True, False])
def test_a_lane_with_nothing_under_way_leaves_its_journal(
    make: Make, tmp_path: Path, *, memory: bool
) -> None:
    """A journal in memory, or a settled lane, binds nobody who comes later."""
    first = make(GONE)
    first.acquire(1, KEY, None if memory else tmp_path / "a.db")
    if not memory:
        first.close(settled=True)

    assert 2 == make().acquire(1, KEY, tmp_path / "b.db").token


def test_only_the_owner_can_read_the_file(make: Make, tmp_path: Path) -> None:
    """The file and what SQLite keeps beside it have mode 0600."""
    make().acquire(1, KEY, tmp_path / "a.db")

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}

    assert FILE_NAME in modes
    assert {0o600} == set(modes.values())


def test_what_is_no_file_of_leases_is_refused(tmp_path: Path) -> None:
    """Another database, a file that is none, and a place that cannot be written: one line each."""
    other = sqlite3.connect(tmp_path / FILE_NAME)
    other.execute("CREATE TABLE t (x)")
    other.close()
    with pytest.raises(ConfigError, match="is a database but holds no leases"):
        Leases(tmp_path)
    (tmp_path / FILE_NAME).write_bytes(b"not a database, and long enough to be read as one" * 99)
    with pytest.raises(JournalUnavailable, match="cannot be used"):
        Leases(tmp_path)
    with pytest.raises(JournalUnavailable, match="cannot be used"):
        Leases(tmp_path / FILE_NAME / "below a file")


@pytest.mark.parametrize("told", [started_at, started_by_ps], ids=["proc", "ps"])
def test_a_start_is_told_of_the_living_only(told: Callable[[int], str | None]) -> None:
    """The same process has the same start; a killed one has none, reaped or still a zombie."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        first, second = told(child.pid), told(child.pid)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        zombie = told(child.pid)

    assert first is not None
    assert (first, None, None) == (second, zombie, told(child.pid))


class Process:
    """A process of its own that wants the lease."""

    def __init__(self, directory: Path, *words: str, journal: str = "a.db") -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(directory), str(directory / journal), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def says(self) -> str:
        """Its next line."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def told(self, word: str) -> str:
        """What it answers to a word."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        return self.says()

    def signal(self, number: int) -> None:
        """Send it a signal, and wait until that has taken effect."""
        self.process.send_signal(number)
        if number == signal.SIGSTOP:
            os.waitpid(self.process.pid, os.WUNTRACED)

    def end(self) -> None:
        """Kill it and take it away."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Processes that want one key, in one directory."""
    started: list[Process] = []

    def one(*words: str, journal: str = "a.db") -> Process:
        started.append(Process(tmp_path, *words, journal=journal))
        return started[-1]

    yield one
    for process in started:
        process.end()


def test_of_four_processes_one_gets_the_key(start: Callable[..., Process]) -> None:
    """All ask at once: one holds the lease, the others are refused with its process id."""
    processes = [start() for _ in range(4)]

    said = [process.says() for process in processes]

    (holder,) = [p for p, line in zip(processes, said, strict=True) if line == "token 1"]
    refused = [line for line in said if line != "token 1"]
    assert 3 == len(refused)
    assert all(f"is held by process {holder.process.pid} " in line for line in refused)
    assert all(line.startswith("LeaseLost: ") for line in refused)
    assert "done" == holder.told("check")


def test_a_killed_holder_is_followed_at_once(start: Callable[..., Process]) -> None:
    """The next process gets the lease though nobody has even reaped the killed one."""
    holder = start()
    assert "token 1" == holder.says()
    holder.process.kill()
    os.waitid(os.P_PID, holder.process.pid, os.WEXITED | os.WNOWAIT)

    assert "token 2" == start().says()


def test_a_stopped_holder_is_taken_over_by_the_word_only(start: Callable[..., Process]) -> None:
    """It keeps its lease against others; after a takeover it wakes up to a refusal."""
    holder = start()
    assert "token 1" == holder.says()
    holder.signal(signal.SIGSTOP)
    assert start().says().startswith("LeaseLost: ")
    taken = start("takeover")
    assert "token 2" == taken.says()
    holder.signal(signal.SIGCONT)

    told = holder.told("check")

    assert f"was taken over by process {taken.process.pid};" in told
    assert "done" == taken.told("check")


def test_a_holder_that_lets_go_is_followed(start: Callable[..., Process]) -> None:
    """Released, or ended in order, the lease is free for the next process with the journal."""
    first = start()
    assert ("token 1", "done") == (first.says(), first.told("release"))
    second = start()
    assert "token 2" == second.says()
    second.process.communicate("")

    assert start(journal="b.db").says().startswith("ConfigError: ")
    assert "token 3" == start().says()
