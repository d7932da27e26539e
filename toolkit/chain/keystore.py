"""Keys in version 3 keyfiles, as geth, `cast wallet import` and eth-keyfile write them."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
from eth_keyfile.keyfile import decode_keyfile_json

from toolkit.chain.signer import KEY_BYTES, LocalSigner
from toolkit.model.chain import address
from toolkit.model.errors import ConfigError, SignerError

_VERSION = 3
_IV_BYTES, _MAC_BYTES = 16, 32
# geth's own files ask scrypt for 256 MiB; more than this is a mistake or an attack.
_SCRYPT_BYTES = 2**30
_SCRYPT_WORK = 2**26  # n x r x p; geth's is 2**21
_PBKDF2_ROUNDS = 2**25
_SHORTEST_DERIVED = 32  # half of it encrypts, half goes into the MAC


class KeystoreSigner(LocalSigner):
    """The key in a version 3 keyfile, such as those in `~/.foundry/keystores`.

    Opening takes as long as the file's parameters ask for: about a second for geth's.

    Raises:
        SignerError: the file is missing, is no keyfile of version 3, names another account than
            its key's, or the password does not open it.
    """

    __slots__ = ()

    def __init__(self, path: str | Path, password: str) -> None:
        file = Path(path).expanduser()
        content = _read(file)
        super().__init__(_decrypt(file, content, password))
        _check_account(file, content, self.address)

    @classmethod
    async def open(cls, path: str | Path, password: str) -> "KeystoreSigner":
        """Open without blocking the event loop."""
        return await asyncio.to_thread(cls, path, password)


class _Unreadable(Exception):
    """What is wrong with a keyfile, in words; never leaves this module."""


def _read(path: Path) -> dict[str, Any]:
    try:
        content = orjson.loads(path.read_bytes())
    except OSError as error:
        raise SignerError(f"keystore {path} cannot be read: {error.strerror}") from None
    except orjson.JSONDecodeError:
        raise SignerError(
            f"keystore {path} is not JSON: give a file of geth or of `cast wallet import`"
        ) from None
    if not isinstance(content, dict):
        raise SignerError(f"keystore {path}: no version 3 keyfile: it holds no JSON object")
    return {str(name).lower(): value for name, value in content.items()}  # geth wrote "Crypto" once


def _decrypt(path: Path, content: dict[str, Any], password: str) -> bytes:
    try:
        _check_version(content)
        _check_crypto(content.get("crypto"))
        secret = bytes(decode_keyfile_json(content, password.encode()))
    except _Unreadable as error:
        raise SignerError(f"keystore {path}: no version 3 keyfile: {error}") from None
    except ValueError as error:
        known = "MAC" in str(error)
        reason = "the password does not open it" if known else "no version 3 keyfile"
        raise SignerError(f"keystore {path}: {reason}") from None
    except (KeyError, TypeError, RuntimeError, AttributeError, OverflowError):
        raise SignerError(f"keystore {path}: no version 3 keyfile") from None
    if len(secret) != KEY_BYTES:
        raise SignerError(f"keystore {path} holds a key of {len(secret)} bytes, not {KEY_BYTES}")
    return secret


def _check_version(content: dict[str, Any]) -> None:
    version = content.get("version")
    if version == 4 and type(version) is int:  # noqa: PLR2004 - EIP-2335
        raise _Unreadable("version 4 holds a validator's key, which signs no transactions")
    if version != _VERSION or type(version) is not int:
        raise _Unreadable(f"its version is {str(version)[:20]!r}")


def _check_crypto(crypto: object) -> None:
    """Refuse what would be guessed at, or would take all memory, before the password is used."""
    if not isinstance(crypto, dict):
        raise _Unreadable("it has no crypto section")
    parts = {str(name).lower(): value for name, value in crypto.items()}
    if parts.get("cipher") != "aes-128-ctr":
        raise _Unreadable(f"its cipher is {str(parts.get('cipher'))[:20]!r}, not 'aes-128-ctr'")
    _check_kdf(parts.get("kdf"), _section(parts, "kdfparams"))
    _check_hex("iv", _section(parts, "cipherparams").get("iv"), _IV_BYTES)
    _check_hex("ciphertext", parts.get("ciphertext"), KEY_BYTES)
    _check_hex("mac", parts.get("mac"), _MAC_BYTES)


def _check_kdf(kdf: object, params: dict[str, Any]) -> None:
    if kdf == "scrypt":
        n, r, p = (_number(params, name) for name in ("n", "r", "p"))
        power_of_two = n > 1 and not n & (n - 1)  # RFC 7914
        if not power_of_two or 128 * n * r > _SCRYPT_BYTES or n * r * p > _SCRYPT_WORK:
            raise _Unreadable(f"scrypt with n {n}, r {r}, p {p} is out of bounds")
    elif kdf == "pbkdf2":
        rounds = _number(params, "c")
        if rounds > _PBKDF2_ROUNDS or params.get("prf") != "hmac-sha256":
            raise _Unreadable(f"pbkdf2 with {rounds} rounds of {str(params.get('prf'))[:20]!r}")
    else:
        raise _Unreadable(f"its kdf is {str(kdf)[:20]!r}, not 'scrypt' or 'pbkdf2'")
    if _number(params, "dklen") < _SHORTEST_DERIVED:
        raise _Unreadable(f"its dklen is {params['dklen']}, below {_SHORTEST_DERIVED}")
    _check_hex("salt", params.get("salt"))


def _section(parts: dict[str, Any], name: str) -> dict[str, Any]:
    section = parts.get(name)
    if not isinstance(section, dict):
        raise _Unreadable(f"it has no {name}")
    return {str(key).lower(): value for key, value in section.items()}


def _number(params: dict[str, Any], name: str) -> int:
    value = params.get(name)
    if type(value) is not int or value < 1:
        raise _Unreadable(f"its {name} is no positive integer")
    return value


def _check_hex(name: str, value: object, size: int | None = None) -> None:
    try:
        blob = bytes.fromhex(value.removeprefix("0x")) if isinstance(value, str) else b""
    except ValueError:
        blob = b""
    if not blob or (size is not None and len(blob) != size):
        raise _Unreadable(f"its {name} is not hex" + (f" of {size} bytes" if size else ""))


def _check_account(path: Path, content: dict[str, Any], account: str) -> None:
    """Believe no name: geth's files say whose key they hold, Foundry's need not."""
    named = content.get("address")
    if named is None or named == "":
        return
    try:
        known = address("0x" + str(named).lower().removeprefix("0x"))
    except ConfigError:
        raise SignerError(
            f"keystore {path}: its address is not 40 hex digits; its key is that of {account}"
        ) from None
    if known != account:
        raise SignerError(f"keystore {path} says it is of {known}, but its key is of {account}")
