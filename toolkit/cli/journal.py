"""`toolkit journal show|verify|compact`: read a journal, also while it is written; shorten one."""

import argparse
import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from toolkit.model.printable import printable

# Fields that hold signed bytes: whoever has them can publish what was meant to stay private.
_SIGNED_FIELDS = frozenset({"raw", "transactions"})
_LONG_HEX = re.compile(r"0x[0-9a-fA-F]{120,}")
# An EIP-2718 envelope: its type, then an RLP list of more than 55 bytes.
_ENVELOPE = re.compile(r"0x0[1-4]f[89a-f]", re.IGNORECASE)
_SHORT_LIST, _LONG_LIST = 0xC0, 0xF7
_HIDDEN = "<hidden>"

# Nothing is rebuilt from these; they are there to be looked at.
_REPORTS = frozenset({"bundle_submitted", "bundle_cancelled", "bundle_result"})


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command group; nothing else is imported until it runs."""
    parser = subparsers.add_parser("journal", help="read, verify and compact a journal")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    show = actions.add_parser("show", help="print entries; signed transactions are never shown")
    show.add_argument("--kind", action="append", default=[], help="only this kind (repeatable)")
    show.add_argument("--request", metavar="ID", help="only what concerns this request")
    show.add_argument(
        "--since", "--from", dest="first", type=_count, default=1, metavar="SEQ", help="start here"
    )
    show.add_argument("--limit", type=_count, metavar="N", help="at most N entries")
    check = actions.add_parser("verify", help="check every entry and both ends of the hash chain")
    compact = actions.add_parser(
        "compact", help="drop what checkpoints cover; nobody may use the journal meanwhile"
    )
    compact.add_argument(
        "--archive", type=Path, metavar="FILE", help="put what is dropped into this new file"
    )
    for action, handler in ((show, _show), (check, _verify), (compact, _compact)):
        action.add_argument("journal", type=Path, metavar="JOURNAL", help="the journal file")
        action.add_argument("--json", action="store_true", help="one JSON document on stdout")
        action.set_defaults(handler=handler)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _verify(args: argparse.Namespace) -> int:
    from toolkit.journal.verification import verify_file

    found = verify_file(args.journal)
    base, head = found.bounds.base, found.bounds.head
    if args.json:
        document = {
            "journal": str(args.journal),
            "entries": found.entries,
            "head": head.hash,
            "last": head.seq,
            "base": {"seq": base.seq, "hash": base.hash},
            "kept": found.kept,
            "archive": found.is_archive,
        }
        print(json.dumps(document))
        return 0
    begins = "" if base.seq == 0 else f" behind {base.seq}, {found.kept} older ones kept by key"
    what = "archive, " if found.is_archive else ""
    print(f"{args.journal}: {what}{found.entries} entries{begins}, chain intact, head {head.hash}")
    return 0


def _compact(args: argparse.Namespace) -> int:
    from toolkit.journal.compaction import compact

    made = compact(args.journal, archive=args.archive, reports=_REPORTS)
    archive = None if args.archive is None or made.shortened == 0 else str(args.archive)
    base, head = made.bounds.base, made.bounds.head
    if args.json:
        document = {
            "journal": str(args.journal),
            "shortened": made.shortened,
            "dropped": made.dropped,
            "kept": made.kept,
            "base": {"seq": base.seq, "hash": base.hash},
            "last": head.seq,
            "head": head.hash,
            "archive": archive,
        }
        print(json.dumps(document))
    elif made.shortened == 0:
        print(f"{args.journal}: nothing to drop, no checkpoint is newer than entry {base.seq}")
    else:
        where = "" if archive is None else f" and are in {archive}"
        print(
            f"{args.journal}: {made.shortened} entries left the chain{where}; {made.dropped} "
            f"dropped, {made.kept} kept by key; the chain begins behind {base.seq}"
        )
    return 0


def _show(args: argparse.Namespace) -> int:
    rows = islice(_rows(args), args.limit)
    if args.json:
        print(json.dumps({"journal": str(args.journal), "entries": list(rows)}))
        return 0
    for row in rows:
        cause = "" if row["cause"] is None else f" <- {row['cause']}"
        key = "" if row["key"] is None else f" [{printable(str(row['key']))}]"
        kind = printable(str(row["kind"]))
        print(f"{row['seq']:>7}{cause} {kind}{key} {json.dumps(row['data'])}")
    return 0


def _rows(args: argparse.Namespace) -> Iterator[dict[str, object]]:
    from toolkit.journal.chain import sound
    from toolkit.journal.sqlite import read_entries

    for entry in read_entries(args.journal, *args.kind, after=args.first - 1):
        data = json.loads(sound(entry).data)
        if args.request is None or _concerns(args.request, entry.key, data):
            yield {
                "seq": entry.seq,
                "kind": entry.kind,
                "version": entry.version,
                "cause": entry.cause,
                "key": None if entry.key is None else _without_signed(entry.key),
                "hash": entry.hash,
                "data": _without_signed(data),
            }


def _concerns(request: str, key: str | None, value: object) -> bool:
    """Whether an entry is keyed by a request or names it, at whichever depth."""
    if key is not None and key.endswith(f":{request}"):
        return True
    if isinstance(value, dict):
        return value.get("request_id") == request or any(
            _concerns(request, None, item) for item in value.values()
        )
    return isinstance(value, list) and any(_concerns(request, None, item) for item in value)


def _without_signed(value: object) -> object:
    """Replace signed transactions by a note, wherever they are in an entry's data."""
    if isinstance(value, dict):
        return {
            _without_signed(key): _HIDDEN if key in _SIGNED_FIELDS else _without_signed(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_without_signed(item) for item in value]
    if isinstance(value, str):
        return _LONG_HEX.sub(lambda found: _hidden_if_signed(found[0]), value)
    return value


def _hidden_if_signed(text: str) -> str:
    """Hide what has the shape of a transaction; calldata that happens to have it is hidden too."""
    return _HIDDEN if _ENVELOPE.match(text) or _is_list(text) else text


def _is_list(text: str) -> bool:
    """Whether these are the bytes of one whole RLP list: a transaction of before EIP-2718."""
    size, first = len(text) // 2 - 1, int(text[2:4], 16)
    if first <= _LONG_LIST:
        return first >= _SHORT_LIST and size == 1 + first - _SHORT_LIST
    of_length = first - _LONG_LIST
    return size == 1 + of_length + int(text[4 : 4 + 2 * of_length], 16)
