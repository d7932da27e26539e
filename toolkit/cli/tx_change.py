"""`toolkit tx cancel|speedup`: change a request that is under way, and wait for its end."""

import argparse
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from toolkit.cli.account import add_account_options, add_node_options, open_session, open_signer
from toolkit.cli.ending import add_wait_options, exit_code, followed
from toolkit.cli.tx_status import read

if TYPE_CHECKING:
    from toolkit.model.tx import Outcome, Urgency
    from toolkit.tx.handle import Sent

_URGENCIES = ("next-block", "soon", "relaxed")


def add_parsers(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe both actions; nothing else is imported until one runs."""
    cancel = actions.add_parser(
        "cancel",
        help="ask that a request not happen",
        description="Take the journal over, ask that the request not happen, and wait for what "
        "the chain makes of it: exit code 0 only where it did not happen.",
    )
    speed_up = actions.add_parser(
        "speedup",
        help="bid higher for a request",
        description="Take the journal over, replace the request's transaction by one that bids "
        "higher at the same nonce, and wait for the end.",
    )
    add_bid_options(speed_up, default="next-block")
    for action, handler in ((cancel, _cancel), (speed_up, _speed_up)):
        action.add_argument("id", metavar="ID", help="request, transaction hash or idempotency key")
        action.add_argument(
            "--relay", action="append", default=[], metavar="URL", help="those it was sent with"
        )
        add_wait_options(action)
        add_account_options(action)
        add_node_options(action)
        action.set_defaults(handler=handler)


def add_bid_options(parser: argparse.ArgumentParser, *, default: str) -> None:
    """Add what to bid."""
    parser.add_argument(
        "--urgency", choices=_URGENCIES, default=default, help="how soon (%(default)s)"
    )
    parser.add_argument("--max-fee", metavar="GWEI", help="never more per gas unit")


def bid_of(args: argparse.Namespace) -> "tuple[Urgency, int | None]":
    """What --urgency and --max-fee say, the fee in wei.

    Raises:
        ConfigError: the fee is no amount.
    """
    from toolkit.model.tx import Urgency
    from toolkit.model.units import gwei

    max_fee = None if args.max_fee is None else gwei(args.max_fee)
    return Urgency[args.urgency.replace("-", "_").upper()], max_fee


def _cancel(args: argparse.Namespace) -> int:
    import asyncio

    from toolkit.model.tx import Cancelled, Expired

    async def ask(sent: "Sent") -> None:
        await sent.cancel()

    outcome = asyncio.run(_changed(args, ask))
    return 0 if isinstance(outcome, Cancelled | Expired) else 1


def _speed_up(args: argparse.Namespace) -> int:
    import asyncio

    urgency, max_fee = bid_of(args)

    async def ask(sent: "Sent") -> None:
        await sent.speed_up(urgency=urgency, max_fee_per_gas=max_fee)

    return exit_code(asyncio.run(_changed(args, ask)))


async def _changed(args: argparse.Namespace, ask: "Callable[[Sent], Awaitable[None]]") -> "Outcome":
    from toolkit.model.chain import Mode
    from toolkit.model.errors import ConfigError

    if args.journal is None:
        raise ConfigError("no journal: give --journal FILE, the one it was sent with")
    found = read(args.journal, args.id)
    signer = open_signer(args)
    if signer.address != found.sender:
        raise ConfigError(
            f"{found.request_id} is sent by {found.sender}, not by {signer.address}; give its key"
        )
    async with open_session(args, signer, relays=args.relay) as session:
        if session.mode is Mode.DRY:
            raise ConfigError("nothing is sent in DRY mode: give --live and --chain-id")
        sent = session.sent(found.request_id)
        await ask(sent)
        session.follow()
        return await followed(args, session, sent, sent.wait(args.confirmations))
