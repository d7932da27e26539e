"""A contract call as words of a shell: `f(uint256,address[])` and its arguments."""

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eth_abi.grammar import ABIType

_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_BARE = re.compile(r"\bu?int\b")
_SELECTOR_BYTES = 4
_KEY_DIGITS = 64


def encode_call(signature: str, words: Sequence[str]) -> str:
    """The call data, 0x hex: the selector and the ABI encoding of the words.

    Integers are decimal or 0x hex, bytes are 0x hex, booleans true or false; arrays and tuples
    are JSON lists, such as `[1, "0x02"]`.

    Raises:
        ConfigError: no signature, another number of words than it has types, or a word that is
            none of its type.
    """
    from eth_abi.abi import encode

    from toolkit.chain.hashing import keccak
    from toolkit.model.errors import ConfigError

    name, types = _parts(signature)
    if len(words) != len(types):
        raise ConfigError(f"{signature} takes {len(types)} arguments, {len(words)} were given")
    values = [_value(one, word) for one, word in zip(types, words, strict=True)]
    names = [_canonical(one) for one in types]
    selector = keccak(f"{name}({','.join(names)})".encode())[:_SELECTOR_BYTES]
    return "0x" + (selector + encode(names, values)).hex()


def _parts(signature: str) -> "tuple[str, tuple[ABIType, ...]]":
    from eth_abi.exceptions import ABITypeError, ParseError
    from eth_abi.grammar import TupleType, parse

    from toolkit.model.checks import DEEPEST, shown
    from toolkit.model.errors import ConfigError

    name, bracket, rest = signature.replace(" ", "").partition("(")
    if _NAME.fullmatch(name) and rest == ")":  # the grammar knows no empty tuple
        return name, ()
    parsed = None
    try:
        if rest.count("(") <= DEEPEST:
            parsed = parse(_BARE.sub(r"\g<0>256", bracket + rest))
            parsed.validate()
    except (ParseError, ABITypeError, ValueError, RecursionError):
        parsed = None
    if not _NAME.fullmatch(name) or not isinstance(parsed, TupleType) or parsed.arrlist:
        raise ConfigError(
            f'--sig {shown(signature)} is no signature: write it as "transfer(address,uint256)"'
        )
    return name, tuple(parsed.components)


def _canonical(one: "ABIType") -> str:
    from eth_abi.grammar import BasicType, TupleType

    sizes = "".join(f"[{size[0] if size else ''}]" for size in one.arrlist or ())
    if isinstance(one, TupleType):
        return f"({','.join(map(_canonical, one.components))}){sizes}"
    assert isinstance(one, BasicType), "a parsed type is basic or a tuple, or an array of them"
    return f"{one.base}{one.sub or ''}{sizes}"


def _value(one: "ABIType", word: str) -> object:
    from toolkit.model.checks import DEEPEST, is_deep
    from toolkit.model.errors import ConfigError

    if _is_list(one) and is_deep(word):
        raise ConfigError(
            f"argument of {len(word)} characters has more than {DEEPEST} lists within each other"
        )
    try:
        given = json.loads(word) if _is_list(one) else word
        return _converted(one, given)
    except (ValueError, TypeError):
        what = _canonical(one)
        hint = ": write it as a JSON list" if _is_list(one) else ""
        # What does not fit may be a key that landed in the wrong place.
        shown = repr(word) if len(word) < _KEY_DIGITS else f"of {len(word)} characters"
        raise ConfigError(f"argument {shown} is no {what}{hint}") from None


def _is_list(one: "ABIType") -> bool:
    from eth_abi.grammar import TupleType

    return bool(one.is_array) or isinstance(one, TupleType)


def _converted(one: "ABIType", given: object) -> object:
    from eth_abi.grammar import BasicType, TupleType

    if one.is_array:
        size = one.arrlist[-1]
        if not isinstance(given, list) or (size and len(given) != size[0]):
            raise ValueError(given)
        return [_converted(one.item_type, item) for item in given]
    if isinstance(one, TupleType):
        if not isinstance(given, list) or len(given) != len(one.components):
            raise ValueError(given)
        return tuple(map(_converted, one.components, given))
    assert isinstance(one, BasicType), "what is left when arrays and tuples are done"
    value = _basic(one.base, given)
    if isinstance(value, int) and not isinstance(value, bool):
        bits = one.sub - (one.base == "int")
        if not -(2**bits) * (one.base == "int") <= value < 2**bits:
            raise ValueError(given)
    if isinstance(value, bytes) and one.sub is not None and len(value) != one.sub:
        raise ValueError(given)  # eth-abi would fill it up
    return value


def _basic(base: str, given: object) -> object:
    from toolkit.model.chain import address

    match base, given:
        case ("bool", bool()) | ("string", str()):
            value: object = given
        case "bool", "true" | "false":
            value = given == "true"
        case "uint" | "int", int() if not isinstance(given, bool):
            value = given
        case "uint" | "int", str():
            value = int(given, 0)
        case "address", str():
            value = address(given)
        case "bytes", str() if given.startswith("0x"):
            value = bytes.fromhex(given[2:])
        case _:
            raise ValueError(given)
    return value
