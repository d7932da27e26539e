"""`toolkit warmup`: compile the numeric kernels now, so that the first search does not wait."""

import argparse
import json
import time


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command; nothing else is imported until it runs."""
    parser = subparsers.add_parser("warmup", help="compile the numeric kernels into the cache")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """Compile every kernel in use, or load it from the cache, and say how long it took."""
    from toolkit.routing.search import warm_up

    if not args.json:
        print("compiling the cycle search (a few seconds the first time)...", flush=True)
    begun = time.perf_counter()
    warm_up()
    seconds = round(time.perf_counter() - begun, 2)
    print(json.dumps({"kernels": ["cycles"], "seconds": seconds}) if args.json else f"{seconds} s")
    return 0
