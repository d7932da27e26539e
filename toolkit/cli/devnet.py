"""`toolkit devnet`: the twin, its builders and its market flow, until a signal."""

import argparse
import json
from collections.abc import Mapping

from toolkit.cli import logs

EXIT_INTERRUPTED = 130
MEMPOOLS = ("geth", "reth", "none")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command; nothing heavy is imported for it."""
    parser = subparsers.add_parser(
        "devnet",
        help="offline mainnet twin with builders and a moving market",
        description="Start the devnet and print one JSON line when it is ready; runs until "
        "SIGINT or SIGTERM.",
    )
    parser.add_argument("--port", type=int, default=8545, help="of the rpc, 0: any (%(default)s)")
    parser.add_argument(
        "--block-time",
        type=float,
        default=12,
        metavar="S",
        help="seconds between blocks, 0: only on demand by evm_mine (%(default)s)",
    )
    parser.add_argument(
        "--builders",
        default="3",
        metavar="N|NAMES",
        help="how many, or which ones with commas between: titan,rsync (%(default)s)",
    )
    parser.add_argument(
        "--mempool",
        choices=MEMPOOLS,
        default="geth",
        help="whose rules the public pool has (%(default)s)",
    )
    parser.add_argument("--hardfork", default="prague", help="rules of the EVM (%(default)s)")
    parser.add_argument("--fork-url", metavar="URL", help="fork this node instead of the twin")
    parser.add_argument("--seed", type=int, default=1, help="determines everything (%(default)s)")
    parser.add_argument("--json", action="store_true", help="the same: its output is JSON anyway")
    logs.add_option(parser)
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """Run until a signal; 130 after SIGINT, 0 after SIGTERM.

    Raises:
        ConfigError: an option that cannot be right.
        DevnetError: something could not be started (a taken port) or Anvil died.
        DataError: recorded data is there but damaged.
    """
    import asyncio
    import signal

    from toolkit.devnet.devnet import Devnet, DevnetConfig
    from toolkit.devnet.service import serve_until_signal

    config = DevnetConfig(
        seed=args.seed,
        port=args.port,
        block_time=args.block_time,
        builders=_builders(args.builders),
        hardfork=args.hardfork,
        fork_url=args.fork_url,
        mempool=args.mempool,
    )
    with logs.shown(verbose=args.verbose):
        ended_by = asyncio.run(serve_until_signal(Devnet(config), _announce))
    return EXIT_INTERRUPTED if ended_by is signal.SIGINT else 0


def _builders(text: str) -> int | tuple[str, ...]:
    try:
        return int(text)
    except ValueError:
        return tuple(name.strip() for name in text.split(","))


def _announce(document: Mapping[str, object]) -> None:
    print(json.dumps(document), flush=True)
