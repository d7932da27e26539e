"""The reputation key, kept across restarts: relays rank who is known to them before strangers."""

import os
import secrets
import stat
from pathlib import Path

import orjson

from toolkit.bundles.auth import RelayAuth
from toolkit.chain.signer import LocalSigner
from toolkit.model.checks import path_of
from toolkit.model.errors import ConfigError, SignerError

FILE_NAME = "reputation.json"
_PURPOSE = "signs requests to relays and nothing else; its account needs no money"
_OTHERS = 0o077
_MAX_BYTES = 4096
_KEY_BYTES = 32


def kept_reputation(path: str | Path) -> RelayAuth:
    """The reputation key in a file, which is made (0600, with a random key) where there is none.

    Processes that start at once end up with the same key. The key is no signer of transactions:
    a relay, and whoever reads its records, learns which requests come from one hand.

    Raises:
        ConfigError: the file cannot be read or made, others than its owner may read it, or it is
            no reputation key. The message never contains the key.
    """
    file = path_of("reputation", path).expanduser()
    try:
        if not file.exists():
            _make(file)
        return RelayAuth(_read(file))
    except OSError as error:
        raise ConfigError(
            f"reputation key {file} cannot be read or made ({error.strerror or error}): name a file"
            f" (reputation=) where this user may write"
        ) from None


def _read(file: Path) -> LocalSigner:
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        content = os.read(descriptor, _MAX_BYTES) if stat.S_ISREG(status.st_mode) else b""
    finally:
        os.close(descriptor)
    if status.st_mode & _OTHERS:
        raise ConfigError(
            f"reputation key {file} may be read by others (mode {stat.S_IMODE(status.st_mode):o}):"
            f" chmod 600 it"
        )
    try:
        fields = orjson.loads(content)
        signer = LocalSigner(fields["key"])
        known = fields["address"] == signer.address and fields["purpose"] == _PURPOSE
    except (orjson.JSONDecodeError, KeyError, TypeError, SignerError):
        known = False
    if not known:
        raise ConfigError(
            f"{file} is no reputation key of this toolkit: name another file, or move it away and"
            f" a new key is made"
        )
    return signer


def _make(file: Path) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = secrets.token_bytes(_KEY_BYTES)
    content = orjson.dumps(
        {"purpose": _PURPOSE, "address": LocalSigner(key).address, "key": "0x" + key.hex()},
        option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE,
    )
    # Whole before it has its name, and only the first of several processes gives it the name.
    ours = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(ours, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as stream:  # noqa: PTH123 - of a descriptor with its mode set
            stream.write(content)
            stream.flush()
            os.fsync(descriptor)
        os.link(ours, file)
    except FileExistsError:
        pass  # safe because another process made the key a moment ago, and it is read next
    finally:
        ours.unlink(missing_ok=True)
