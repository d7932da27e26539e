"""One process at a time: a lock in a file beside the journal, which dies with the process."""

import fcntl
import os
from pathlib import Path

from toolkit.model.errors import ConfigError, JournalUnavailable


def hold(path: Path, *, takeover: bool) -> int:
    """Lock the journal at `path` and return the lock's descriptor; closing it lets go.

    Args:
        path: the journal.
        takeover: replace a lock that somebody holds. Its holder, who may only be stopped, does not
            notice; the token in the journal is what refuses his next write.

    Raises:
        ConfigError: another process holds it, and it is not to be taken over.
        JournalUnavailable: the directory cannot be written.
    """
    beside = path.with_name(f"{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if not _locked(descriptor):
                try:
                    if not takeover:
                        raise _in_use(path, descriptor)
                finally:
                    os.close(descriptor)
                descriptor = _replace(beside)
            elif not _is(beside, descriptor):  # replaced between opening and locking it
                os.close(descriptor)
                continue
            _sign(descriptor)
            return descriptor
    except OSError as error:
        raise JournalUnavailable(
            f"journal {path}: cannot create {beside.name} ({error.strerror}); "
            "choose a directory that can be written"
        ) from None


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _replace(beside: Path) -> int:
    # Locked under another name first: at no time is there a lock file that nobody holds.
    ours = beside.with_name(f"{beside.name}.{os.getpid()}")
    ours.unlink(missing_ok=True)
    descriptor = os.open(ours, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    ours.replace(beside)
    return descriptor


def _sign(descriptor: int) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)


def _in_use(path: Path, descriptor: int) -> ConfigError:
    holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
    return ConfigError(
        f"journal {path} is in use by another process (pid {holder or 'unknown'}); "
        "stop it or choose another file"
    )
