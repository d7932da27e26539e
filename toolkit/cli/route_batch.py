"""`toolkit route quote --batch`: a line of JSON in, a line of JSON out, nothing kept between."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from toolkit.model.checks import shown
from toolkit.model.errors import DataError, PoolError
from toolkit.model.printable import printable
from toolkit.pools.queries import Query, answer, read_query
from toolkit.pools.snapshot import Snapshot

MAX_LINE = 1 << 20
"""Bytes of one query; a line beyond them is broken, and is not kept."""
MAX_WARNINGS = 20
"""Unknown fields that are told, each once."""
_EXIT_BAD_INPUT = 2


class Batch:
    """Answers lines, and counts those that were no queries."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._unknown: set[str] = set()
        self.lines = 0
        self.broken = 0
        self.first = ""

    def answer(self, line: bytes) -> str | None:
        """Return the answer to one line, in JSON; None to an empty one.

        What the contract would revert on has that for its error; what is no query has the number
        of its line in it.
        """
        self.lines += 1
        if not line.strip():
            return None
        where = f"line {self.lines}"
        try:
            query, unknown = self._read(line, where)
        except DataError as error:
            self.broken += 1
            self.first = self.first or str(error)
            return json.dumps({"error": str(error)})
        for field in unknown:
            self._warn(where, field)
        try:
            return json.dumps({"amount": str(answer(self._snapshot, query))})
        except PoolError as error:
            return json.dumps({"error": str(error)})

    def _read(self, line: bytes, where: str) -> tuple[Query, tuple[str, ...]]:
        if len(line) > MAX_LINE:
            raise DataError(f"{where}: is longer than {MAX_LINE} bytes; give a JSON object")
        return read_query(self._snapshot, line, where=where)

    def _warn(self, where: str, field: str) -> None:
        if field not in self._unknown and len(self._unknown) < MAX_WARNINGS:
            self._unknown.add(field)
            said = printable(f"{where}: {shown(field)}: unknown field, ignored")
            print(f"toolkit: warning: {said}", file=sys.stderr)


def run_batch(snapshot: Snapshot, source: str) -> int:
    """Answer every line of a file, or of the input for "-"; 2 where some were no queries.

    Each answer from the input is out before the next line is read. A reader that has seen enough
    (`| head`) ends it quietly.

    Raises:
        DataError: the file cannot be read.
    """
    batch = Batch(snapshot)
    try:
        with ExitStack() as stack:
            for line in _lines(_open(stack, source)):
                said = batch.answer(line)
                if said is not None:
                    print(said, flush=source == "-")
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still buffered would fail again when the interpreter flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if not batch.broken:
        return 0
    print(
        f"toolkit: {batch.broken} of {batch.lines} lines of {source} are no queries of these "
        f"pools; the first: {batch.first}",
        file=sys.stderr,
    )
    return _EXIT_BAD_INPUT


def _open(stack: ExitStack, source: str) -> BinaryIO:
    if source == "-":
        return sys.stdin.buffer
    try:
        return stack.enter_context(Path(source).open("rb"))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no path"
        raise DataError(
            f"queries {shown(source)}: {why}; name a file, or - for the input"
        ) from None


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Every line; of one that is too long only enough to see that."""
    while line := stream.readline(MAX_LINE + 1):
        yield line
        while len(line) > MAX_LINE and not line.endswith(b"\n"):
            line = stream.readline(MAX_LINE + 1)
