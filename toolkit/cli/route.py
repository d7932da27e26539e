"""`toolkit route`: a pools file quoted and routed exactly, offline, or held against a node."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.cli import route_check, route_find
from toolkit.cli.amounts import whole

if TYPE_CHECKING:
    from toolkit.pools.queries import Query
    from toolkit.pools.snapshot import Snapshot

# What one quote is asked with, by its place in the arguments.
_ASKED = {"pool": "--pool", "token_in": "--in", "token_out": "--out", "amount": "--amount"}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command group; nothing else is imported until it runs."""
    parser = subparsers.add_parser("route", help="quote, route or check the pools of a file")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    quote = actions.add_parser("quote", help="what a pool gives or takes, to the last unit")
    quote.add_argument("pools", type=Path, metavar="POOLS", help="a pools file (JSON)")
    quote.add_argument("--pool", metavar="ID", help="address of the pool, or its id in V4")
    quote.add_argument("--in", dest="token_in", metavar="TOKEN", help="address or symbol")
    quote.add_argument("--out", dest="token_out", metavar="TOKEN", help="address or symbol")
    quote.add_argument("--amount", type=whole, metavar="N", help="in smallest units")
    quote.add_argument(
        "--exact", choices=("in", "out"), default=None, help="which side the amount is of (in)"
    )
    quote.add_argument(
        "--sqrt-price-limit",
        "--sqrt-price-limit-x96",
        type=whole,
        metavar="X",
        help="root of the price x 2^96 at which a concentrated pool stops",
    )
    quote.add_argument(
        "--batch",
        metavar="QUERIES",
        help='a file with one query a line ({"pool","in","out","amount","exact"}), - is the input; '
        "answers are lines of JSON",
    )
    quote.add_argument("--json", action="store_true", help="one JSON document on stdout")
    quote.set_defaults(handler=run)
    swap = actions.add_parser("swap", help="the best way to swap, split over pools and paths")
    swap.add_argument("pools", type=Path, metavar="POOLS", help="a pools file (JSON)")
    route_find.add_swap_options(swap)
    swap.set_defaults(handler=lambda args: route_find.find_swap(args, _read(args.pools)))
    arbitrage = actions.add_parser("arbitrage", help="what pays from a token back to it")
    arbitrage.add_argument("pools", type=Path, metavar="POOLS", help="a pools file (JSON)")
    route_find.add_arbitrage_options(arbitrage)
    arbitrage.set_defaults(handler=lambda args: route_find.find_arbitrage(args, _read(args.pools)))
    check = actions.add_parser("check", help="whether a file's pools are as a node has them")
    check.add_argument("pools", type=Path, metavar="POOLS", help="a pools file (JSON)")
    route_check.add_options(check)
    check.set_defaults(handler=run_check)


def run(args: argparse.Namespace) -> int:
    """Quote once, or every line of a batch; 2 where a line was no query."""
    from toolkit.model.errors import ConfigError

    given = [word for name, word in _ASKED.items() if getattr(args, name) is not None]
    missing = [word for word in _ASKED.values() if word not in given]
    if args.batch is not None and (given or args.exact or args.sqrt_price_limit is not None):
        raise ConfigError("--batch has pool, tokens and amount in its lines; leave the options out")
    if args.batch is None and missing:
        raise ConfigError(f"{', '.join(missing)} missing; give them, or --batch QUERIES")
    snapshot = _read(args.pools)
    if args.batch is not None:
        from toolkit.cli.route_batch import run_batch

        return run_batch(snapshot, args.batch)
    return _quote(args, snapshot)


def run_check(args: argparse.Namespace) -> int:
    """Name all in which the file's pools differ from a node's; 1 where anything does."""
    return route_check.check_file(args, _read(args.pools))


def _read(path: Path) -> "Snapshot":
    """Read a pools file, and tell what in it nothing knows."""
    from toolkit.pools.file import read_pools

    file = read_pools(path)
    for warning in file.warnings:
        print(f"toolkit: warning: {warning}", file=sys.stderr)
    return file.snapshot


def _quote(args: argparse.Namespace, snapshot: "Snapshot") -> int:
    from toolkit.model.errors import DataError
    from toolkit.pools.queries import answer, ask

    try:
        query = ask(
            snapshot,
            args.pool,
            args.token_in,
            args.token_out,
            args.amount,
            exact_out=args.exact == "out",
            sqrt_price_limit_x96=args.sqrt_price_limit or 0,
        )
    except DataError as error:
        raise DataError(f"{args.pools}: {error}") from None
    amount = answer(snapshot, query)
    if args.json:
        print(json.dumps({"amount": str(amount)}))
    else:
        print(f"{amount} ({_in_units(snapshot, query, amount)})")
    return 0


def _in_units(snapshot: "Snapshot", query: "Query", amount: int) -> str:
    """The answer for people: whole units, and which way they go."""
    from toolkit.model.printable import printable
    from toolkit.model.units import format_units

    token = snapshot.tokens[query.token_in if query.exact_out else query.token_out]
    way = "in" if query.exact_out else "out"
    units = format_units(amount, token.decimals, places=token.decimals)
    return f"{units} {printable(token.symbol)} {way}"
