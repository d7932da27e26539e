"""The `toolkit` command: one parser, one place where errors become one line and an exit code."""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Protocol

from toolkit.cli import demo, devnet, executor, journal, replay, warmup
from toolkit.model.errors import ConfigError, DataError, ToolkitError

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


class Command(Protocol):
    """One command group: it describes itself, and imports what it needs only when it runs."""

    def add_parser(self, subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
        """Add the command's parser; set `handler` to a function of the parsed arguments."""


COMMANDS: tuple[Command, ...] = (demo, devnet, executor, journal, replay, warmup)


def build_parser() -> argparse.ArgumentParser:
    """Build the whole command line; nothing heavier than argparse is imported for it."""
    parser = argparse.ArgumentParser(
        prog="toolkit",
        description="MEV-aware on-chain execution with an embedded orchestrator of agents.",
    )
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; every error is one line on stderr (also JSON on stdout with --json)."""
    args = build_parser().parse_args(argv)
    try:
        return int(args.handler(args))
    except ToolkitError as error:
        bad_input = isinstance(error, ConfigError | DataError)
        return _fail(args, error, EXIT_BAD_INPUT if bad_input else EXIT_FAILED)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _fail(args: argparse.Namespace, error: ToolkitError, code: int) -> int:
    line = " ".join(str(error).split())
    print(f"toolkit: {line}", file=sys.stderr)
    if getattr(args, "json", False):
        print(json.dumps({"error": line, "kind": type(error).__name__}))
    return code
