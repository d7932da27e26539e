"""`toolkit route quote --batch`: a line of JSON in, a line of JSON out, nothing kept between."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.model.checks import shown
from toolkit.model.errors import DataError, PoolError
from toolkit.model.printable import printable
from toolkit.pools.queries import Query, alone, read_query
from toolkit.pools.snapshot import Snapshot

if TYPE_CHECKING:
    from toolkit.pools.packed import Packed

MAX_LINE = 1 << 20
"""Bytes of one query; a line beyond them is broken, and is not kept."""
MAX_WARNINGS = 20
"""Unknown fields that are told, each once."""
CHUNK = 1 << 18
"""Bytes that are read at once, and answered together; no more is kept."""
COMPILED_FROM = 20_000
"""Lines from which on it pays to load, or even compile, the kernels."""
_EXIT_BAD_INPUT = 2


class Batch:
    """Answers lines, and counts those that were no queries."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._packed: Packed | None = None
        self._unknown: set[str] = set()
        self.lines = 0
        self.broken = 0
        self.first = ""

    def answers(self, lines: Sequence[bytes]) -> Iterator[str]:
        """Answer each line in JSON; empty lines have no answer.

        What the contract would revert on has that for its error; what is no query has the number
        of its line in it. From `COMPILED_FROM` lines on, compiled code answers.
        """
        read = [found for line in lines if (found := self._read(line)) is not None]
        queries = [found for found in read if isinstance(found, Query)]
        answered = iter(self._answered(queries))
        for found in read:
            said = next(answered) if isinstance(found, Query) else found
            name = "amount" if isinstance(said, int) else "error"
            yield json.dumps({name: str(said)})

    def _answered(self, queries: Sequence[Query]) -> Iterable[int | PoolError]:
        if self.lines < COMPILED_FROM:
            return (alone(self._snapshot, query) for query in queries)
        from toolkit.pools.batches import answer_all
        from toolkit.pools.packed import Packed

        if self._packed is None:
            self._packed = Packed.of(self._snapshot)
        return answer_all(self._packed, queries)

    def _read(self, line: bytes) -> Query | DataError | None:
        self.lines += 1
        if not line.strip():
            return None
        where = f"line {self.lines}"
        try:
            if len(line) > MAX_LINE:
                return self._broken(
                    DataError(f"{where}: is longer than {MAX_LINE} bytes; give a JSON object")
                )
            query, unknown = read_query(self._snapshot, line, where=where)
        except DataError as error:
            return self._broken(error)
        for field in unknown:
            self._warn(where, field)
        return query

    def _broken(self, error: DataError) -> DataError:
        self.broken += 1
        self.first = self.first or str(error)
        return error

    def _warn(self, where: str, field: str) -> None:
        if field not in self._unknown and len(self._unknown) < MAX_WARNINGS:
            self._unknown.add(field)
            said = printable(f"{where}: {shown(field)}: unknown field, ignored")
            print(f"toolkit: warning: {said}", file=sys.stderr)


def run_batch(snapshot: Snapshot, source: str) -> int:
    """Answer every line of a file, or of the input for "-"; 2 where some were no queries.

    What can be read is answered before more is waited for. A reader that has seen enough
    (`| head`) ends it quietly.

    Raises:
        DataError: the file cannot be read.
    """
    batch = Batch(snapshot)
    try:
        with ExitStack() as stack:
            for lines in _read(_open(stack, source)):
                for said in batch.answers(lines):
                    print(said)
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


def _open(stack: ExitStack, source: str) -> BufferedReader:
    try:
        return stack.enter_context(
            os.fdopen(0, "rb", closefd=False) if source == "-" else Path(source).open("rb")
        )
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no path"
        raise DataError(f"queries {shown(source)}: {why}; name a file or -") from None


def _read(stream: BufferedReader) -> Iterator[list[bytes]]:
    """Whatever whole lines are there; of one that is too long only enough to see that."""
    rest = b""
    while data := stream.read1(CHUNK):
        *lines, rest = (rest + data).split(b"\n")
        rest = rest[: MAX_LINE + 1]
        yield lines
    if rest:
        yield [rest]
