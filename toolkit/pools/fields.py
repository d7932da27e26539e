"""One object of a JSON file, field by field: exact integers, and errors that name the place.

Every field is taken once, by its name and with what it must be; what nobody took is unknown.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import NoReturn, TypeVar

import msgspec
import orjson

from toolkit.model.chain import Address, Hash, address, hash32
from toolkit.model.checks import shown
from toolkit.model.errors import ConfigError, DataError

MAX_DIGITS = 78  # of a uint256; what is longer is not even read as a number
MAX_COUNT = 2**63 - 1
_INTEGER = re.compile(rf"-?[0-9]{{1,{MAX_DIGITS}}}")
_PLACE = re.compile(r" - at `\$(.*)`$")
_LONG_NUMBER = re.compile(rb"[0-9]{300,}")
_TOO_LONG = re.compile(rb'(?<![0-9"-])-?([0-9]{4301,})')  # for the interpreter, bare
_INDEX = re.compile(r"\[([0-9]+)\]")
_T = TypeVar("_T")
_Number = int | str

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_number = msgspec.json.Decoder(_Number)
_numbers = msgspec.json.Decoder(list[_Number])
_pairs = msgspec.json.Decoder(list[tuple[_Number, _Number]])
_text = msgspec.json.Decoder(str)
_texts = msgspec.json.Decoder(list[str])
_flag = msgspec.json.Decoder(bool)
_list = msgspec.json.Decoder(list[msgspec.Raw])
_anything = msgspec.json.Decoder()

NUMBER = "a decimal string or an integer"


def checked(data: bytes, *, where: str) -> bytes:
    """Return the data if it is JSON that can be decoded safely.

    msgspec's depth is bounded by the interpreter's limit only, which some libraries raise beyond
    what the stack holds (py-ecc: 100,000). orjson's own is 1,024.

    Raises:
        DataError: no JSON, no UTF-8, or nested too deeply; names line (of several) and column.
    """
    try:
        try:
            orjson.loads(data)
        except orjson.JSONDecodeError as error:
            if not error.msg.startswith("number is infinity"):
                raise
            orjson.loads(_LONG_NUMBER.sub(b"0", data))  # the field's own reader will name it
    except orjson.JSONDecodeError as error:
        line = f"line {error.lineno}, " if b"\n" in data else ""
        raise DataError(f"{where}: is no JSON at {line}column {error.colno}: {error.msg}") from None
    return data


class Fields:
    """The fields of one JSON object.

    Args:
        where: what every error begins with, such as `pools.json: pool 0x…`.
        raw: the object as it is written; `checked` if it comes from outside.

    Raises:
        DataError: no object. Each reader: the field is missing or something else.
    """

    def __init__(self, where: str, raw: bytes | msgspec.Raw) -> None:
        self.where = where
        try:
            self._left = _object.decode(raw)
        except (msgspec.DecodeError, RecursionError):
            raise DataError(f"{where}: is {_written(raw)}; give a JSON object") from None
        try:
            twice = _given_twice(raw, self._left)
        except RecursionError:
            raise DataError(f"{where}: is nested too deeply; give a JSON object") from None
        if twice is not None:
            self.refuse(shown(twice), "is given twice, which says two things; give it once")

    def has(self, name: str) -> bool:
        """Tell whether a field is there and was not taken yet."""
        return name in self._left

    @property
    def unknown(self) -> tuple[str, ...]:
        """The fields that nobody took."""
        return tuple(self._left)

    def integer(self, name: str) -> int:
        """Take one exact integer."""
        return self._exact(name, self._take(name, _number, NUMBER))

    def count(self, name: str, *, most: int = MAX_COUNT) -> int:
        """Take one integer from 0 to `most`."""
        value = self.integer(name)
        if not 0 <= value <= most:
            self.refuse(name, f"{shown(value)} is not between 0 and {most}")
        return value

    def integers(self, name: str, *, count: int | None = None) -> tuple[int, ...]:
        """Take a list of exact integers, of so many if `count` is given."""
        many = "" if count is None else f"{count} "
        values = self._take(name, _numbers, f"a list of {many}decimal strings or integers")
        self._check_count(name, len(values), count)
        return tuple(self._exact(f"{name}[{place}]", value) for place, value in enumerate(values))

    def pairs(self, name: str) -> tuple[tuple[int, int], ...]:
        """Take a list of pairs of exact integers."""
        values = self._take(name, _pairs, "a list of pairs of decimal strings or integers")
        return tuple(
            (self._exact(f"{name}[{place}][0]", one), self._exact(f"{name}[{place}][1]", other))
            for place, (one, other) in enumerate(values)
        )

    def text(self, name: str) -> str:
        """Take a text."""
        return self._take(name, _text, "a text")

    def flag(self, name: str) -> bool:
        """Take true or false."""
        return self._take(name, _flag, "true or false")

    def items(self, name: str) -> list[msgspec.Raw]:
        """Take a list of whatever."""
        return self._take(name, _list, "a list")

    def part(self, name: str) -> "Fields":
        """Take an object within this one."""
        raw = self._left.pop(name, None)
        if raw is None:
            self.refuse(name, "is missing; give a JSON object")
        return Fields(f"{self.where}: {name}", raw)

    def peek(self, name: str) -> str | None:
        """Look at a text without taking it; None where it is none."""
        try:
            return _text.decode(self._left.get(name, b""))
        except (msgspec.DecodeError, RecursionError):
            return None

    def address(self, name: str) -> Address:
        """Take a 20-byte address, of any case."""
        return self._named(name, self._take(name, _text, "an address"), address)

    def hash(self, name: str) -> Hash:
        """Take a 32-byte hash, of any case."""
        return self._named(name, self._take(name, _text, "a 32-byte hash"), hash32)

    def addresses(self, name: str, *, count: int) -> tuple[Address, ...]:
        """Take a list of so many addresses, none twice."""
        values = self._take(name, _texts, f"a list of {count} addresses")
        self._check_count(name, len(values), count)
        found = tuple(
            self._named(f"{name}[{place}]", value, address) for place, value in enumerate(values)
        )
        if len(set(found)) != count:
            self.refuse(name, f"name one token twice: {', '.join(found)}")
        return found

    def refuse(self, field: str, why: str) -> NoReturn:
        """Raise the error of one field."""
        raise DataError(f"{self.where}: {field}: {why}")

    def _take(self, name: str, decoder: "msgspec.json.Decoder[_T]", wanted: str) -> _T:
        raw = self._left.pop(name, None)
        if raw is None:
            self.refuse(name, f"is missing; give {wanted}")
        try:
            return decoder.decode(raw)
        except (msgspec.DecodeError, RecursionError) as error:
            found = _PLACE.search(str(error))
            place = found[1] if found else ""
            self.refuse(name + place, f"is {_written(raw, place)}; give {wanted}")

    def _exact(self, field: str, value: _Number) -> int:
        fits = _INTEGER.fullmatch(value) if isinstance(value, str) else abs(value) < 10**MAX_DIGITS
        if not fits:
            self.refuse(field, f"is {shown(value)}; give {NUMBER} of up to {MAX_DIGITS} digits")
        return int(value)

    def _named(self, field: str, value: str, read: Callable[[str], _T]) -> _T:
        try:
            return read(value)
        except ConfigError as error:
            self.refuse(field, str(error))

    def _check_count(self, name: str, count: int, wanted: int | None) -> None:
        if wanted is not None and count != wanted:
            self.refuse(name, f"has {count} items; give {wanted}")


def _given_twice(raw: bytes | msgspec.Raw, fields: Mapping[str, msgspec.Raw]) -> str | None:
    """Name a field that an object has more than once, of which decoding keeps the last.

    Every pair has a colon, and those of the values that were kept are known: where there are no
    more of them, nothing was dropped. Only otherwise are all names looked at.
    """
    text = bytes(raw)
    colons = text.count(b":")
    if colons == len(fields):
        return None
    kept = b"".join(map(bytes, fields.values())).count(b":") + len(fields)
    return None if colons == kept else _first_twice(text)


def _first_twice(text: bytes) -> str | None:
    names: list[str] = []

    def note(pairs: list[tuple[str, object]]) -> None:
        names[:] = [name for name, _ in pairs]  # the outermost object comes last

    json.loads(text, object_pairs_hook=note, parse_int=len, parse_float=len)
    return next((name for name, times in Counter(names).items() if times > 1), None)


def _written(raw: bytes | msgspec.Raw, place: str = "") -> str:
    """What stands there, as an error shows it."""
    try:
        value: object = _anything.decode(raw)
    except RecursionError:
        return "nested too deeply"
    except msgspec.DecodeError:
        number = _TOO_LONG.search(raw)
        return f"an integer of {len(number[1])} digits" if number else "no JSON"
    for index in _INDEX.findall(place):
        if not isinstance(value, list):
            break
        value = value[int(index)]
    if value is None:
        return "null"
    return f"{shown(value)}, a float" if isinstance(value, float) else shown(value)
