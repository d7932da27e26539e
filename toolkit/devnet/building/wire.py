"""The smallest parts of a relay's requests, each checked where it is read."""

import re
from collections.abc import Mapping
from typing import TypeGuard

from toolkit.model.chain import Address, Hash
from toolkit.model.checks import shown

INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32600, -32601, -32602
INTERNAL, CUSTOM = -32603, -32000
MAX_HASHES = 100  # in one list
_UINT64 = 2**64
_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,16}")
_HASH = re.compile(r"0x[0-9a-fA-F]{64}")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


class OrderError(Exception):
    """A request that a relay refuses, with its JSON-RPC error code.

    `plain` is the body of an answer that is no JSON-RPC, as some relays give with HTTP 400.
    """

    def __init__(self, code: int, message: str, *, plain: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.plain = plain


def one_object(params: object) -> Mapping[str, object]:
    """The single object that a method takes as its parameters.

    Raises:
        OrderError: anything else.
    """
    if isinstance(params, list) and len(params) == 1 and isinstance(params[0], dict):
        return params[0]
    raise OrderError(INVALID_PARAMS, "params must be a list of one object")


def quantity(fields: Mapping[str, object], name: str) -> int:
    """A number of 64 bits given as 0x hex, or as a JSON integer as some clients do.

    Raises:
        OrderError: missing or neither.
    """
    value = fields.get(name)
    if isinstance(value, str) and _QUANTITY.fullmatch(value):
        return int(value, 16)
    if type(value) is int and 0 <= value < _UINT64:
        return value
    said = "is missing" if value is None else f"{shown(value)} is no number of 64 bits"
    raise OrderError(INVALID_PARAMS, f"{name} {said}: give 0x hex, or a JSON integer")


def optional_quantity(fields: Mapping[str, object], name: str) -> int | None:
    """As `quantity`; None where the field is missing or null."""
    return None if fields.get(name) is None else quantity(fields, name)


def hash_list(fields: Mapping[str, object], name: str) -> tuple[Hash, ...]:
    """Transaction hashes in their order and in lower case; none where the field is missing.

    Raises:
        OrderError: no list of hashes, or too many.
    """
    value = fields.get(name)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(is_hash(each) for each in value):
        raise OrderError(INVALID_PARAMS, f"{name} is not a list of hashes")
    if len(value) > MAX_HASHES:
        raise OrderError(INVALID_PARAMS, f"{len(value)} hashes in {name}, at most {MAX_HASHES}")
    return tuple(Hash(each.lower()) for each in value)


def optional_address(fields: Mapping[str, object], name: str) -> Address | None:
    """An address in lower case; None where the field is missing or null.

    Raises:
        OrderError: anything else.
    """
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, str) and _ADDRESS.fullmatch(value):
        return Address(value.lower())
    raise OrderError(INVALID_PARAMS, f"{name} {shown(value)} is not an address")


def is_hash(value: object) -> TypeGuard[str]:
    """Whether this is a hash in 0x hex."""
    return isinstance(value, str) and _HASH.fullmatch(value) is not None
