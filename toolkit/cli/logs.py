"""`--verbose`: the toolkit's events on stderr, while a command runs."""

import argparse
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress


def add_option(parser: argparse.ArgumentParser) -> None:
    """Offer -v."""
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="log events to stderr, each with the mode"
    )


@contextmanager
def shown(*, verbose: bool) -> Iterator[None]:
    """Show events where that is asked for: key=value on a terminal, else a JSON line each."""
    if not verbose:
        yield
        return
    logger, handler = logging.getLogger("toolkit"), _Stderr()
    handler.setFormatter(_formatter(for_people=sys.stderr.isatty()))
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)


@contextmanager
def compiling_shown() -> Iterator[None]:
    """Say on stderr that numeric kernels are compiled: it takes seconds, once a machine."""
    logger, handler = logging.getLogger("toolkit.pools.kernels"), _Compiling()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)


class _Compiling(logging.Handler):
    """A line as a kernel's module begins to be compiled, one as it is done."""

    def __init__(self) -> None:
        super().__init__()
        self._began: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line; a stderr that nobody reads any more does not stop a command."""
        if not isinstance(record.msg, dict) or _events_are_shown():
            return
        kernel = str(record.msg["kernel"])
        if record.msg["event"] == "kernel_compiling":
            self._began[kernel] = record.created
            self._say(f"compiling {kernel}, kept for the next time ...")
        else:
            seconds = record.created - self._began.pop(kernel, record.created)
            self._say(f"compiled {kernel} in {seconds:.1f} s")

    def _say(self, line: str) -> None:
        with suppress(OSError):
            print(f"toolkit: {line}", file=sys.stderr, flush=True)


def _events_are_shown() -> bool:
    """Whether `--verbose` tells of kernels already, on lines that somebody may read as JSON."""
    return any(isinstance(one, _Stderr) for one in logging.getLogger("toolkit").handlers)


class _Stderr(logging.Handler):
    """Whatever stderr is at the time: a live table takes its place while it is on screen."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; a stderr that nobody reads any more does not stop a run."""
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except OSError:
            self.handleError(record)


def _formatter(*, for_people: bool) -> logging.Formatter:
    from structlog.processors import JSONRenderer, LogfmtRenderer, TimeStamper
    from structlog.stdlib import ProcessorFormatter, add_log_level

    first = ["timestamp", "level", "event", "mode"]
    return ProcessorFormatter(
        processors=[
            ProcessorFormatter.remove_processors_meta,
            add_log_level,
            TimeStamper(fmt="iso", utc=True),
            LogfmtRenderer(key_order=first) if for_people else JSONRenderer(),
        ]
    )
