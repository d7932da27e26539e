"""`toolkit route swap|arbitrage`: what a pools file's pools give together, offline and exact."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.cli.amounts import whole

if TYPE_CHECKING:
    from toolkit.model.chain import Address
    from toolkit.model.market import Hop, Route
    from toolkit.pools.snapshot import Snapshot
    from toolkit.routing.router import Router

_MOST_SHOWN = 30  # hops, for people
_NAME = "address or symbol"


def add_swap_options(parser: argparse.ArgumentParser) -> None:
    """Add what one order is asked with."""
    parser.add_argument("--in", dest="token_in", metavar="TOKEN", required=True, help=_NAME)
    parser.add_argument("--out", dest="token_out", metavar="TOKEN", required=True, help=_NAME)
    parser.add_argument(
        "--amount", type=whole, metavar="N", required=True, help="in smallest units"
    )
    parser.add_argument(
        "--exact", choices=("in", "out"), default="in", help="which side the amount is of (in)"
    )
    parser.add_argument(
        "--max-hops", type=whole, default=2, metavar="H", help="pools one after the other (2)"
    )
    _add_common_options(parser)


def add_arbitrage_options(parser: argparse.ArgumentParser) -> None:
    """Add what an arbitrage is asked with."""
    parser.add_argument("--token", metavar="TOKEN", required=True, help=_NAME)
    parser.add_argument(
        "--max-hops",
        type=whole,
        metavar="H",
        help="the best single cycle of at most so many pools, instead of all pools at once",
    )
    parser.add_argument(
        "--max-input", type=whole, metavar="N", help="the most that may go in, in smallest units"
    )
    _add_common_options(parser)


def _add_common_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--gas-price", type=whole, default=0, metavar="WEI", help="per gas unit (0: gas is free)"
    )
    parser.add_argument(
        "--native", metavar="TOKEN", help="the wrapped native token, in which gas is paid (WETH9)"
    )
    parser.add_argument(
        "--picture", type=Path, metavar="FILE", help="also draw the route into an SVG file"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")


def find_swap(args: argparse.Namespace, snapshot: "Snapshot") -> int:
    """Answer with the best route for one order.

    Raises:
        DataError: a token that the file does not have, or a symbol of several.
        NoRoute: no way takes the whole amount.
    """
    from toolkit.pools.queries import token_named

    token_in, token_out = (
        token_named(snapshot, field, name)
        for field, name in (("--in", args.token_in), ("--out", args.token_out))
    )
    router = _router(args, snapshot)
    ask = router.swap_exact_out if args.exact == "out" else router.swap
    route = ask(
        token_in, token_out, args.amount, max_hops=args.max_hops, gas_price_wei=args.gas_price
    )
    gas_wei = route.gas_units * args.gas_price
    return _show(args, snapshot, route, -router.gas_cost(token_in, gas_wei))


def find_arbitrage(args: argparse.Namespace, snapshot: "Snapshot") -> int:
    """Answer with what pays most from a token back to it; with no hops where nothing pays.

    Raises:
        DataError: a token that the file does not have, or a symbol of several.
        NoRoute: gas cannot be priced in the token.
    """
    from toolkit.pools.queries import token_named

    token = token_named(snapshot, "--token", args.token)
    router = _router(args, snapshot)
    asked = {"gas_price_wei": args.gas_price, "max_input": args.max_input}
    if args.max_hops is None:
        route = router.network(token, **asked)
    else:
        route = router.arbitrage(token, max_hops=args.max_hops, **asked) or _idle(
            router, token, args.gas_price
        )
    return _show(args, snapshot, route, route.net)


def _idle(router: "Router", token: "Address", gas_price_wei: int) -> "Route":
    """Doing nothing, beside what all pools together could pay."""
    from toolkit.model.market import Route

    block = router.snapshot.block
    return Route(
        token_in=token,
        token_out=token,
        amount_in=0,
        amount_out=0,
        hops=(),
        block_hash=block.hash,
        block_number=block.number,
        bound=router.bound(token, gas_price_wei),
    )


def _router(args: argparse.Namespace, snapshot: "Snapshot") -> "Router":
    from toolkit.pools.queries import token_named
    from toolkit.routing.router import Router

    if args.native is None:
        return Router(snapshot)
    return Router(snapshot, native=token_named(snapshot, "--native", args.native))


def _show(args: argparse.Namespace, snapshot: "Snapshot", route: "Route", net_profit: int) -> int:
    if args.picture is not None:
        from toolkit.dashboard.flow import route_picture

        args.picture.write_text(route_picture(route, snapshot.tokens, alone=True))
    if args.json:
        print(json.dumps(document(route, net_profit)))
    else:
        print("\n".join(_lines(snapshot, route)))
    return 0


def document(route: "Route", net_profit: int) -> dict[str, object]:
    """Return a route as programs read it; `net_profit` in the token that goes in, after gas."""
    return {
        "amount_in": str(route.amount_in),
        "amount_out": str(route.amount_out),
        "net_profit": str(net_profit),
        "gas": route.gas_units,
        "bound": None if route.bound is None else str(route.bound),
        "gap_bps": None if route.gap_bps is None else round(route.gap_bps, 6),
        "hops": [
            {
                "pool": hop.pool,
                "token_in": hop.token_in,
                "token_out": hop.token_out,
                "amount_in": str(hop.amount_in),
                "amount_out": str(hop.amount_out),
            }
            for hop in route.hops
        ],
        "flags": list(route.flags),
    }


def _lines(snapshot: "Snapshot", route: "Route") -> list[str]:
    """The same for people: what it comes to, how good that is, and every hop."""
    from toolkit.model.market import BEST_SO_FAR, FLASH

    start, end = (
        _units(snapshot, token, amount)
        for token, amount in (
            (route.token_in, route.amount_in),
            (route.token_out, route.amount_out),
        )
    )
    if not route.hops:
        return [f"nothing pays{_possible(snapshot, route)}"]
    gas = f"about {route.gas_units:,} gas"
    if route.gas_cost:
        gas += f" ({_units(snapshot, route.token_out, route.gas_cost)})"
    if route.is_cycle:
        told = f"{start} earns {_units(snapshot, route.token_out, route.net)} after {gas}"
    else:
        told = f"{start} gives {end} for {gas}"
    lines = [told + _possible(snapshot, route)]
    lines += [f"  {_hop(snapshot, hop)}" for hop in route.hops[:_MOST_SHOWN]]
    if len(route.hops) > _MOST_SHOWN:
        lines.append(f"  and {len(route.hops) - _MOST_SHOWN} more (--json has them all)")
    notes = {
        FLASH: "some hop spends what a later one brings: only a flash loan runs it",
        BEST_SO_FAR: "the search ended before its answer was final",
    }
    return lines + [f"  note: {notes[flag]}" for flag in route.flags]


def _possible(snapshot: "Snapshot", route: "Route") -> str:
    if route.bound is None or route.gap_bps is None:
        return ""
    most = _units(snapshot, route.token_out, max(route.bound, 0))
    after = " after gas" if route.gas_cost and not route.is_cycle else ""
    gap = f", {route.gap_bps:.4g} bps above" if route.hops else ""
    return f"; at most {most} is possible{after}{gap}"


def _hop(snapshot: "Snapshot", hop: "Hop") -> str:
    paid = _units(snapshot, hop.token_in, hop.amount_in)
    got = _units(snapshot, hop.token_out, hop.amount_out)
    return f"{hop.pool} ({hop.fee_ppm / 10_000:g} %): {paid} to {got}"


def _units(snapshot: "Snapshot", token: "Address", amount: int) -> str:
    """An amount in whole units, as far as the file knows the token."""
    from toolkit.model.printable import printable
    from toolkit.model.units import format_units

    known = snapshot.tokens.get(token)
    if known is None:
        return f"{amount} of {token}"
    return (
        f"{format_units(amount, known.decimals, places=known.decimals)} {printable(known.symbol)}"
    )
