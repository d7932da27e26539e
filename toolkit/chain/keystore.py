"""Keys in version 3 keyfiles, such as those of `cast wallet import`."""

import asyncio
import json
from pathlib import Path

from eth_keyfile.keyfile import decode_keyfile_json

from toolkit.chain.signer import LocalSigner
from toolkit.model.errors import SignerError


class KeystoreSigner(LocalSigner):
    """The key in a version 3 keyfile, such as those in `~/.foundry/keystores`.

    Opening takes as long as the file's scrypt parameters ask for, about a second.

    Raises:
        SignerError: the file is missing, is no keyfile, or the password does not open it.
    """

    __slots__ = ()

    def __init__(self, path: str | Path, password: str) -> None:
        super().__init__(_open_keyfile(Path(path).expanduser(), password))

    @classmethod
    async def open(cls, path: str | Path, password: str) -> "KeystoreSigner":
        """Open without blocking the event loop."""
        return await asyncio.to_thread(cls, path, password)


def _open_keyfile(path: Path, password: str) -> bytes:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise SignerError(f"keystore {path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise SignerError(f"keystore {path} is not JSON") from None
    try:
        return bytes(decode_keyfile_json(content, password.encode()))
    except ValueError as error:
        reason = "the password does not open it" if "MAC" in str(error) else "no version 3 keyfile"
        raise SignerError(f"keystore {path}: {reason}") from None
    except (KeyError, TypeError, RuntimeError, AttributeError):
        raise SignerError(f"keystore {path}: no version 3 keyfile") from None
