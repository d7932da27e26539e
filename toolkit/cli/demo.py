"""`toolkit demo`: the main job on the embedded devnet, with a live table and a report."""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from toolkit.cli import logs
from toolkit.model.errors import ConfigError

MAX_BLOCKS = 10_000


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "demo",
        help="arbitrage, momentum and rebalancing agents trade on the embedded devnet",
        description="Trade for some blocks on an offline mainnet twin, then check every invariant "
        "and write report.html and summary.json.",
    )
    parser.add_argument("--blocks", type=int, default=60, help="how many blocks (default 60)")
    parser.add_argument("--seed", type=int, default=1, help="of market, rivals and keys (1)")
    parser.add_argument("--report", type=Path, help="folder of the report (runs/<id>)")
    parser.add_argument("--no-pauses", action="store_true", help="declare no pauses")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON only")
    logs.add_option(parser)
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """Run the demo; exit code 1 if an invariant broke."""
    if not 1 <= args.blocks <= MAX_BLOCKS:
        raise ConfigError(f"--blocks {args.blocks} is not between 1 and {MAX_BLOCKS}")
    folder = _folder(args.report, args.seed)
    import asyncio

    from rich.console import Console

    from toolkit.cli.demo_run import DemoConfig, trade
    from toolkit.dashboard.report import render
    from toolkit.dashboard.terminal import LiveTable, print_summary

    config = DemoConfig(
        journal=folder / "journal.db",
        blocks=args.blocks,
        seed=args.seed,
        pauses=not args.no_pauses,
    )
    console = Console(stderr=True, quiet=args.json)
    console.print(f"[DEV] building the mainnet twin, seed {args.seed}", markup=False)
    table = LiveTable(mode="DEV", console=console)
    with table, logs.shown(verbose=args.verbose):
        record = asyncio.run(trade(config, table.add))
    files = {"report.html": render(record).encode(), "summary.json": record.summary()}
    written = _write(folder, files)
    if args.json:
        sys.stdout.write(json.dumps(json.loads(record.summary())) + "\n")
    else:
        print_summary(
            record,
            console=Console(),
            report=str(folder / "report.html"),
            ask=f"{_command()} why VERDICT --journal {folder / 'journal.db'}",
        )
    return 0 if written and all(record.invariants.values()) else 1


def _command() -> str:
    """How this command is called again from here: `make run` needs no activated environment."""
    if shutil.which("toolkit"):
        return "toolkit"
    return f"{os.path.relpath(sys.executable)} -m toolkit"


def _write(folder: Path, files: Mapping[str, bytes]) -> bool:
    """Write the files; where that fails the run is still told, and its journal is whole."""
    try:
        for name, content in files.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        print(
            f"toolkit: cannot write {error.filename or folder}: {error.strerror}; free space and "
            f"run again, or read {folder / 'journal.db'} with `toolkit replay`",
            file=sys.stderr,
        )
        return False
    return True


def _folder(asked: Path | None, seed: int) -> Path:
    from tempfile import TemporaryFile

    folder = asked or Path("runs") / f"{time.strftime('%Y%m%d-%H%M%S')}-seed{seed}"
    try:
        if (folder / "journal.db").exists():
            raise ConfigError(f"{folder} holds an earlier run's journal; choose another --report")
        folder.mkdir(parents=True, exist_ok=True)
        # Before the twin is built: a folder may be there and still take no file.
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(f"cannot write to {folder}: {error.strerror}; choose --report") from None
    return folder
