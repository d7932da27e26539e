import asyncio
import contextlib
import os
import platform
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import aiohttp

from toolkit.model.errors import ConfigError, DevnetError

# The shell becomes Anvil (exec keeps the pid), after leaving a watcher behind that reads a pipe
# whose only writer is us. A word on the pipe releases the watcher; end of file means that we died,
# by whatever signal, and Anvil goes too. Unlike PR_SET_PDEATHSIG this works on macOS as well and
# does not depend on which of our threads started the process.
_LAUNCH = (
    'exec 3<&0; (read -r _ <&3 || kill -KILL $$) >/dev/null 2>&1 & exec 3<&-; exec "$@" </dev/null'
)
_LISTENING = re.compile(rb"^Listening on [^\s:]+:(\d+)", re.MULTILINE)
_PENNILESS = "--disable-pool-balance-checks"
_POLL_S = 0.005
_DYING_POLLS = 40
_STOP_S = 3.0
_TAIL_BYTES = 4096


def find_anvil() -> Path:
    """Find the Anvil binary: ANVIL_BIN, FOUNDRY_BIN, PATH, ~/.foundry/bin, .tools/, in this order.

    npm's `anvil` is a Node script that starts the real binary as a grandchild, which would then
    survive our signals; such scripts are passed over.

    Raises:
        DevnetError: ANVIL_BIN names no executable, or there is no Anvil anywhere.
    """
    named = os.environ.get("ANVIL_BIN")
    if named:
        path = Path(named).expanduser()
        if not _runnable(path):
            raise DevnetError(f"ANVIL_BIN={named} is not an Anvil binary; correct or unset it")
        return path
    for path in _candidates():
        if _runnable(path):
            return path
    raise DevnetError("no anvil binary found: run `make setup`, or set ANVIL_BIN to its path")


def _candidates() -> Iterator[Path]:
    foundry = os.environ.get("FOUNDRY_BIN")
    if foundry:
        yield Path(foundry).expanduser() / "anvil"
        yield Path(foundry).expanduser()
    for directory in os.environ.get("PATH", "").split(os.pathsep):
        if directory:
            yield Path(directory) / "anvil"
    yield Path.home() / ".foundry" / "bin" / "anvil"
    system = platform.system().lower()
    machine = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}.get(
        platform.machine().lower(), platform.machine().lower()
    )
    package = Path("node_modules", "@foundry-rs", f"anvil-{system}-{machine}", "bin", "anvil")
    for root in (Path.cwd(), Path(__file__).resolve().parents[2]):
        yield root / ".tools" / package
        yield root / ".tools" / "bin" / "anvil"


def _runnable(path: Path) -> bool:
    if not (path.is_file() and os.access(path, os.X_OK)):
        return False
    with path.open("rb") as file:
        first = file.readline(200)
    return not (first.startswith(b"#!") and b"node" in first)


@dataclass(slots=True, kw_only=True, eq=False)
class Anvil:
    """A running Anvil process of ours; it ends with `stop()`, or when this process dies."""

    binary: Path
    port: int
    process: subprocess.Popen[bytes] = field(repr=False)
    leash: int = field(repr=False)
    stdout: IO[bytes] = field(repr=False)
    stderr: IO[bytes] = field(repr=False)

    @property
    def url(self) -> str:
        """The HTTP JSON-RPC endpoint."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        """The WebSocket JSON-RPC endpoint (the same port)."""
        return f"ws://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process id of Anvil itself, also its process group's id."""
        return self.process.pid

    def check(self) -> None:
        """Make sure that the process still runs.

        Raises:
            DevnetError: it died; with its exit code and last words.
        """
        code = self.process.poll()
        if code is not None:
            raise DevnetError(
                f"anvil (pid {self.pid}) died: {_ending(code, self.stderr)}; start again"
            )

    async def check_soon(self) -> None:
        """As `check`, for when it did not answer: a dying process closes its sockets first.

        Raises:
            DevnetError: it died.
        """
        for _ in range(_DYING_POLLS):
            self.check()
            await asyncio.sleep(_POLL_S)

    async def stop(self) -> None:
        """End the process and wait until it is gone; a second call does nothing."""
        if self.leash < 0:
            return
        await _end(self.process)
        _close(self.leash, self.stdout, self.stderr)
        self.leash = -1

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()


async def start_anvil(
    args: Sequence[str] = (), *, binary: Path | None = None, port: int = 0, timeout_s: float = 30.0
) -> Anvil:
    """Start Anvil in its own process group and return once it answers JSON-RPC.

    Args:
        args: further command line arguments.
        binary: the platform binary; found by `find_anvil` if None.
        port: TCP port on loopback; 0 lets the system choose.
        timeout_s: until the first answer (a fork of a remote node has to fetch a block first).

    Raises:
        DevnetError: not found, not startable, died early (a taken port, a bad argument), or mute.
    """
    anvil = _spawn(binary or find_anvil(), args, port=port)
    try:
        anvil.port = await _ready(anvil, timeout_s=timeout_s)
    except BaseException:
        await anvil.stop()
        raise
    return anvil


async def start_sealer(args: Sequence[str] = ()) -> Anvil:
    """Start an Anvil that mines nothing by itself, and what it is given in that order.

    Its pool does not ask whether an account can pay already: an earlier transaction of the same
    block may bring what a later one spends. An older Anvil that cannot be told so is started all
    the same; a bundle that lives on it is refused there.

    Raises:
        DevnetError: as `start_anvil`.
    """
    sealing = ("--no-mining", "--order", "fifo", "--accounts", "0", *args)
    try:
        return await start_anvil((*sealing, _PENNILESS))
    except DevnetError as error:
        if _PENNILESS not in str(error):
            raise
    return await start_anvil(sealing)


def _spawn(binary: Path, args: Sequence[str], *, port: int) -> Anvil:
    read_end, leash = os.pipe()
    stdout = tempfile.TemporaryFile()  # noqa: SIM115 - closed by Anvil.stop
    stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by Anvil.stop
    command = [str(binary), "--port", str(port), "--color", "never", *args]
    try:
        process = subprocess.Popen(
            ["/bin/sh", "-c", _LAUNCH, "sh", *command],
            stdin=read_end,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    finally:
        os.close(read_end)
    return Anvil(
        binary=binary, port=port, process=process, leash=leash, stdout=stdout, stderr=stderr
    )


async def _ready(anvil: Anvil, *, timeout_s: float) -> int:
    deadline = time.monotonic() + timeout_s
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_s)) as session:
        while time.monotonic() < deadline:
            code = anvil.process.poll()
            if code is not None:
                where = f" on port {anvil.port}" if anvil.port else ""
                ending = _ending(code, anvil.stderr)
                # Which hardforks there are depends on the binary, so its own word decides.
                kind = ConfigError if "Unknown hardfork" in ending else DevnetError
                raise kind(f"anvil did not start{where}: {ending}")
            found = _LISTENING.search(os.pread(anvil.stdout.fileno(), 1 << 16, 0))
            if found and await _silenced(session, int(found.group(1))):
                return int(found.group(1))
            await asyncio.sleep(_POLL_S)
    raise DevnetError(f"anvil gave no answer within {timeout_s:g} s; see `anvil --help`")


async def _silenced(session: aiohttp.ClientSession, port: int) -> bool:
    # Anvil logs every request; with --silent it would not tell its port either.
    body = {"jsonrpc": "2.0", "id": 1, "method": "anvil_setLoggingEnabled", "params": [False]}
    try:
        async with session.post(f"http://127.0.0.1:{port}", json=body) as response:
            await response.read()
            return response.ok
    except aiohttp.ClientConnectionError:
        return False


async def _end(process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _STOP_S
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    while process.poll() is None:
        if time.monotonic() > deadline:
            process.kill()
        await asyncio.sleep(_POLL_S)


def _close(leash: int, *files: IO[bytes]) -> None:
    # The word releases the watcher: end of file alone would make it kill a pid that is free again.
    with contextlib.suppress(BrokenPipeError):  # safe because the watcher is then gone already
        os.write(leash, b"\n")
    os.close(leash)
    for file in files:
        file.close()


def _ending(code: int, stderr: IO[bytes]) -> str:
    size = os.fstat(stderr.fileno()).st_size
    tail = os.pread(stderr.fileno(), _TAIL_BYTES, max(0, size - _TAIL_BYTES))
    lines = [line.strip() for line in tail.decode(errors="replace").splitlines() if line.strip()]
    first = next((line for line in lines if line.lower().startswith("error")), "")
    lines = [line for line in lines if not line.startswith("note:")]  # Rust's advice, no cause
    words = first or (lines[-1] if lines else "no message")
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return f"{words} ({how})"
