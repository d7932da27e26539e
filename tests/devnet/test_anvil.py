import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import pytest

from toolkit.devnet.anvil import find_anvil, start_anvil, start_sealer
from toolkit.model.errors import DevnetError

ROOT = Path(__file__).resolve().parents[2]

PARENT = """
import asyncio
from toolkit.devnet.anvil import start_anvil

async def main():
    anvil = await start_anvil()
    print(anvil.pid, flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""


def group_members(group: int) -> list[str]:
    listing = subprocess.run(
        ["ps", "-eo", "pgid=,stat=,pid=,command="], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split(None, 3) for line in listing.splitlines()]
    return [" ".join(row) for row in rows if row[0] == str(group) and not row[1].startswith("Z")]


def wait_until_gone(group: int, *, seconds: float = 10) -> list[str]:
    deadline = time.monotonic() + seconds
    while (left := group_members(group)) and time.monotonic() < deadline:
        os.sched_yield()
    return left


async def client_version(url: str) -> str:
    body = {"jsonrpc": "2.0", "id": 1, "method": "web3_clientVersion", "params": []}
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
        return str((await response.json())["result"])


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


async def test_it_answers_on_a_port_the_system_chose_and_leaves_nothing_behind() -> None:
    """A started Anvil answers at once, in its own group, and stop() removes all of it."""
    async with await start_anvil() as first, await start_anvil() as second:
        versions = [await client_version(node.url) for node in (first, second)]
        groups = [os.getpgid(node.pid) for node in (first, second)]

    assert all(version.startswith("anvil/") for version in versions)
    assert first.port != second.port
    assert [first.pid, second.pid] == groups
    assert [wait_until_gone(group) for group in groups] == [[], []]


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM])
def test_no_anvil_outlives_its_parent(death: signal.Signals) -> None:
    """Whatever kills the parent, SIGKILL included, Anvil and its watcher are gone soon after."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as parent:
        assert parent.stdout is not None
        group = int(parent.stdout.readline())
        before = group_members(group)
        parent.send_signal(death)

    assert before
    assert wait_until_gone(group) == []


async def test_a_thread_that_started_it_may_end() -> None:
    """Anvil lives as long as the process, not as long as the thread that started it."""
    anvil = await asyncio.to_thread(lambda: asyncio.run(start_anvil()))
    async with anvil:
        assert (await client_version(anvil.url)).startswith("anvil/")


async def test_stopping_twice_is_harmless() -> None:
    """stop() may be called again after the process is gone."""
    anvil = await start_anvil()
    await anvil.stop()
    await anvil.stop()

    assert anvil.process.returncode is not None


async def test_a_taken_port_is_one_clear_line() -> None:
    """A port in use is named in the error, with Anvil's own words."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(DevnetError, match=f"port {port}.*in use") as raised:
            await start_anvil(port=port)

    assert "\n" not in str(raised.value)


async def test_a_refused_argument_is_one_clear_line() -> None:
    """What Anvil says on stderr reaches the author."""
    with pytest.raises(DevnetError, match="--no-such-thing") as raised:
        await start_anvil(["--no-such-thing"])

    assert "\n" not in str(raised.value)


async def test_an_older_anvil_seals_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that does not know how to leave balances to the block is started without that."""
    refusal = "error: unexpected argument '--disable-pool-balance-checks' found"
    older = executable(
        tmp_path / "anvil",
        f'#!/bin/sh\ncase "$*" in *pool-balance*) echo "{refusal}" >&2; exit 2;; esac\n'
        f'exec "{find_anvil()}" "$@"\n',
    )
    monkeypatch.setenv("ANVIL_BIN", str(older))

    async with await start_sealer() as anvil:
        anvil.check()

        assert older == anvil.binary


async def test_a_death_in_mid_run_is_told_with_its_signal() -> None:
    """check() passes while the process runs and names the signal once it was killed."""
    async with await start_anvil() as anvil:
        anvil.check()
        os.kill(anvil.pid, signal.SIGKILL)
        anvil.process.wait()

        with pytest.raises(DevnetError, match=r"died: .*signal 9"):
            anvil.check()


async def test_a_runtimes_advice_is_not_taken_for_the_cause(tmp_path: Path) -> None:
    """After a panic the last line advises on backtraces; the one before says what happened."""
    said = "panicked at x.rs:1\nnote: run with RUST_BACKTRACE=1"
    panicking = executable(tmp_path / "anvil", f"#!/bin/sh\nprintf '{said}\n' >&2\nexit 101\n")

    with pytest.raises(DevnetError, match=r"panicked at x\.rs:1 \(exit code 101\)"):
        await start_anvil(binary=panicking)


async def test_a_program_that_never_answers_is_given_up(tmp_path: Path) -> None:
    """A binary that prints no port within the limit is ended and reported."""
    mute = executable(tmp_path / "anvil", "#!/bin/sh\nexec sleep 100\n")

    with pytest.raises(DevnetError, match="no answer within"):
        await start_anvil(binary=mute, timeout_s=0.1)


def test_search_order_is_the_documented_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ANVIL_BIN beats FOUNDRY_BIN beats PATH beats ~/.foundry/bin beats .tools."""
    home, path, foundry = (tmp_path / name for name in ("home", "path", "foundry"))
    named = executable(tmp_path / "named", "#!/bin/sh\n")
    wanted = [
        named,
        executable(foundry / "anvil", "#!/bin/sh\n"),
        executable(path / "anvil", "#!/bin/sh\n"),
        executable(home / ".foundry/bin/anvil", "#!/bin/sh\n"),
    ]
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", str(path))
    monkeypatch.setenv("FOUNDRY_BIN", str(foundry))
    monkeypatch.setenv("ANVIL_BIN", str(named))

    found = []
    for variable in ("ANVIL_BIN", "FOUNDRY_BIN", "PATH", "HOME"):
        found.append(find_anvil())
        monkeypatch.setenv(variable, "")

    assert wanted == found


def test_the_node_shim_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """npm's Node script is no Anvil: the next place is searched instead."""
    executable(tmp_path / "shim/anvil", "#!/usr/bin/env node\n")
    real = executable(tmp_path / "real/anvil", "#!/bin/sh\n")
    monkeypatch.delenv("ANVIL_BIN", raising=False)
    monkeypatch.delenv("FOUNDRY_BIN", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}/shim{os.pathsep}{tmp_path}/real")

    assert real == find_anvil()


def test_without_any_anvil_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing found says what to run; a wrong ANVIL_BIN names itself."""
    for variable in ("ANVIL_BIN", "FOUNDRY_BIN", "PATH"):
        monkeypatch.setenv(variable, "")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("toolkit.devnet.anvil.__file__", str(tmp_path / "a/b/c/anvil.py"))

    with pytest.raises(DevnetError, match="make setup"):
        find_anvil()
    monkeypatch.setenv("ANVIL_BIN", str(tmp_path / "nothing"))
    with pytest.raises(DevnetError, match=r"ANVIL_BIN=.*nothing"):
        find_anvil()
