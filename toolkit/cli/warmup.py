"""`toolkit warmup`: compile the numeric kernels now, so that the first quote does not wait."""

import argparse
import json
import time
from collections.abc import Callable
from functools import partial


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command; nothing else is imported until it runs."""
    parser = subparsers.add_parser("warmup", help="compile the numeric kernels into the cache")
    parser.add_argument(
        "--only",
        metavar="FAMILY",
        action="append",
        help="cycles, splits, networks, constant_product or concentrated; may be given again (all)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """Compile the kernels asked for, or load them from the cache; say how long each took."""
    from toolkit.model.checks import shown
    from toolkit.model.errors import ConfigError
    from toolkit.pools import warm
    from toolkit.routing.warm import QUESTIONS

    works: dict[str, Callable[[], None]] = dict(QUESTIONS)
    works |= {family: partial(warm.warm_up, family) for family in warm.FAMILIES}
    for name in args.only or ():
        if name not in works:
            raise ConfigError(f"--only {shown(name)}: give one of {', '.join(works)}")
    took: dict[str, float] = {}
    for name in dict.fromkeys(args.only or works):
        begun = time.perf_counter()
        works[name]()
        took[name] = round(time.perf_counter() - begun, 2)
        if not args.json:
            print(f"{name}: ready in {took[name]} s", flush=True)
    if args.json:
        total = round(sum(took.values()), 2)
        print(json.dumps({"kernels": list(took), "seconds": total, "each": took}))
    return 0
