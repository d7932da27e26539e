"""`toolkit journal show|verify`: read a journal, also while its owner writes it."""

import argparse
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

# Fields that hold signed bytes: whoever has them can publish what was meant to stay private.
_SIGNED_FIELDS = frozenset({"raw", "transactions"})
_SHORTEST_SIGNED = 2 + 2 * 60


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command group; nothing else is imported until it runs."""
    parser = subparsers.add_parser("journal", help="read and verify a journal")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    show = actions.add_parser("show", help="print entries; signed transactions are never shown")
    show.add_argument("--kind", action="append", default=[], help="only this kind (repeatable)")
    show.add_argument(
        "--from", dest="first", type=_count, default=1, metavar="SEQ", help="start here"
    )
    show.add_argument("--limit", type=_count, metavar="N", help="at most N entries")
    check = actions.add_parser("verify", help="check the whole hash chain")
    for action, handler in ((show, _show), (check, _verify)):
        action.add_argument("journal", type=Path, metavar="JOURNAL", help="the journal file")
        action.add_argument("--json", action="store_true", help="one JSON document on stdout")
        action.set_defaults(handler=handler)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _verify(args: argparse.Namespace) -> int:
    from toolkit.journal.log import GENESIS, verified
    from toolkit.journal.sqlite import read_entries

    count, head = 0, GENESIS
    for entry in verified(read_entries(args.journal)):
        count, head = entry.seq, entry.hash
    if args.json:
        print(json.dumps({"journal": str(args.journal), "entries": count, "head": head}))
    else:
        print(f"{args.journal}: {count} entries, chain intact, head {head}")
    return 0


def _show(args: argparse.Namespace) -> int:
    rows = islice(_rows(args), args.limit)
    if args.json:
        print(json.dumps({"journal": str(args.journal), "entries": list(rows)}))
        return 0
    for row in rows:
        cause = "" if row["cause"] is None else f" <- {row['cause']}"
        print(f"{row['seq']:>7}{cause} {row['kind']} {json.dumps(row['data'])}")
    return 0


def _rows(args: argparse.Namespace) -> Iterator[dict[str, object]]:
    from toolkit.journal.log import verified
    from toolkit.journal.sqlite import read_entries

    for entry in verified(read_entries(args.journal)):
        if entry.seq >= args.first and (not args.kind or entry.kind in args.kind):
            yield {
                "seq": entry.seq,
                "kind": entry.kind,
                "version": entry.version,
                "cause": entry.cause,
                "hash": entry.hash,
                "data": _without_signed(json.loads(entry.data)),
            }


def _without_signed(value: object) -> object:
    """Replace signed transactions by a note, wherever they are in an entry's data."""
    if isinstance(value, dict):
        return {
            key: "<hidden>" if key in _SIGNED_FIELDS else _without_signed(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_without_signed(item) for item in value]
    return "<hidden>" if isinstance(value, str) and _is_signed(value) else value


def _is_signed(text: str) -> bool:
    from toolkit.chain.signer import decode_transaction
    from toolkit.model.errors import ConfigError

    if len(text) < _SHORTEST_SIGNED or not text.startswith("0x"):
        return False
    try:
        decode_transaction(text)
    except ConfigError:
        return False
    return True
