"""The `toolkit` command: one parser, one place where errors become one line and an exit code."""

import argparse
import io
import json
import os
import re
import sys
from collections.abc import Sequence
from typing import NoReturn, Protocol

from toolkit.cli import bundle, ctl, demo, devnet, executor, journal, replay, route, tx, warmup
from toolkit.cli.logs import compiling_shown
from toolkit.model.errors import ConfigError, DataError, ToolkitError
from toolkit.model.printable import printable

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130

_KEY = re.compile(r"(0x)?[0-9a-fA-F]{64}")


class Command(Protocol):
    """One command group: it describes itself, and imports what it needs only when it runs."""

    def add_parser(self, subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
        """Add the command's parser; set `handler` to a function of the parsed arguments."""


class Parser(argparse.ArgumentParser):
    """Tells bad usage as every other error is told, not over several lines."""

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments; what may be a key is not repeated."""
        raise ConfigError(f"{_KEY.sub('<hidden>', message)}; see `{self.prog} --help`")


COMMANDS: tuple[Command, ...] = (
    bundle,
    ctl,
    demo,
    devnet,
    executor,
    journal,
    replay,
    route,
    tx,
    warmup,
)


def build_parser() -> argparse.ArgumentParser:
    """Build the whole command line; nothing heavier than argparse is imported for it."""
    parser: argparse.ArgumentParser = Parser(
        prog="toolkit",
        description="MEV-aware on-chain execution with an embedded orchestrator of agents.",
    )
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; every error is one line on stderr (also JSON on stdout with --json)."""
    _write_whatever_comes()
    words = sys.argv[1:] if argv is None else argv
    args = argparse.Namespace(json="--json" in words)
    try:
        args = build_parser().parse_args(words)
        with compiling_shown():
            code = int(args.handler(args))
        sys.stdout.flush()
    except ToolkitError as error:
        bad_input = isinstance(error, ConfigError | DataError)
        return _fail(args, error, EXIT_BAD_INPUT if bad_input else EXIT_FAILED)
    except OSError as error:  # none of ours, which may be OSErrors too
        # What is still buffered would fail again when the interpreter flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        gone = isinstance(error, BrokenPipeError)
        what = (
            "nobody reads the output any more"
            if gone
            else f"the system refused: {printable(str(error))}"
        )
        print(f"toolkit: {what}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return code


def _write_whatever_comes() -> None:
    """Write what the terminal's own encoding lacks as an escape: no name is worth a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _fail(args: argparse.Namespace, error: ToolkitError, code: int) -> int:
    line = " ".join(str(error).split())
    print(f"toolkit: {line}", file=sys.stderr)
    if getattr(args, "json", False):
        print(json.dumps({"error": line, "kind": type(error).__name__}))
    return code
