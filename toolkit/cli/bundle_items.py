"""What a bundle on the command line consists of: signed transactions and own calls, in order."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolkit.bundles.draft import BundleDraft
    from toolkit.model.bundle import GuardKind
    from toolkit.model.tx import TransactionRequest
    from toolkit.session import Session

_FIELDS = frozenset({"to", "value", "value_wei", "data", "gas"})


def add_items(parser: argparse.ArgumentParser) -> None:
    """Add the positional words."""
    parser.add_argument(
        "items",
        nargs="+",
        metavar="ITEM",
        help='a signed transaction as 0x hex, an own call as JSON ({"to", "value" in ether, or '
        '"value_wei", "data", "gas"}), or @FILE with one of them a line (@- reads the input)',
    )


def items_of(args: argparse.Namespace) -> list[object]:
    """Each item: 0x hex as it stands, or the request that an own call is.

    Raises:
        ConfigError: an item that is neither, or a file that cannot be read. A signed transaction
            may be private, so that no error repeats an item.
    """
    items: list[object] = []
    for place, word in enumerate(_words(args.items)):
        items.append(word if word.startswith("0x") else _call(place, word))
    return items


def draft_of(
    session: "Session", items: Sequence[object], guards: "Sequence[GuardKind]"
) -> "BundleDraft":
    """Put the items into a draft of this session's chain.

    Raises:
        ConfigError: a signed transaction that is none, or of another chain.
    """
    from toolkit.model.tx import TransactionRequest

    draft = session.bundle()
    for item in items:
        if isinstance(item, TransactionRequest):
            draft = draft.call(item, guards=guards)
        else:
            draft = draft.include(str(item))
    return draft


def _words(given: Sequence[str]) -> Iterator[str]:
    for word in given:
        if word.startswith("@"):
            yield from (line.strip() for line in _lines(word[1:]) if line.strip())
        else:
            yield word


def _lines(name: str) -> list[str]:
    from toolkit.model.errors import ConfigError

    if name == "-":
        return sys.stdin.read().splitlines()
    try:
        return Path(name).expanduser().read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError(f"bundle file {name} cannot be read: {why}; name another") from None


def _call(place: int, word: str) -> "TransactionRequest":
    from toolkit.model.chain import address
    from toolkit.model.checks import is_deep
    from toolkit.model.errors import ConfigError
    from toolkit.model.tx import TransactionRequest
    from toolkit.model.units import ether

    try:
        given = None if is_deep(word) else json.loads(word)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise ConfigError(
            f"item {place} of the bundle is neither 0x hex nor a JSON object: give a signed "
            'transaction, or a call such as {"to": "0x…", "data": "0x…"}'
        )
    if unknown := sorted(given.keys() - _FIELDS):
        raise ConfigError(
            f"item {place} of the bundle has {', '.join(unknown)}; a call has"
            f" {', '.join(sorted(_FIELDS))}"
        )
    if "value" in given and "value_wei" in given:
        raise ConfigError(f"item {place} of the bundle has value and value_wei: give one of them")
    value = given.get("value_wei", 0)
    if not isinstance(given.get("value", ""), str):
        raise ConfigError(f'item {place} of the bundle: value is ether in quotes, such as "0.05"')
    return TransactionRequest(
        to=None if given.get("to") is None else address(given["to"]),
        data=given.get("data", "0x"),
        value=ether(given["value"]) if "value" in given else value,
        gas=given.get("gas"),
    )
