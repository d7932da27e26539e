"""How a command that sent something waits for its end, and tells it."""

import argparse
import json
from collections.abc import Awaitable, Callable, Mapping
from math import inf
from typing import TYPE_CHECKING

from toolkit.model.printable import printable

if TYPE_CHECKING:
    from toolkit.model.tx import Outcome
    from toolkit.session import Session
    from toolkit.tx.handle import Sent


def add_wait_options(parser: argparse.ArgumentParser) -> None:
    """Add how long to wait, and how deep."""
    parser.add_argument(
        "--confirmations",
        type=_depth,
        default=1,
        metavar="N",
        help="wait for so many (%(default)s)",
    )
    add_patience_option(parser)


def add_patience_option(parser: argparse.ArgumentParser) -> None:
    """Add how long to wait."""
    parser.add_argument(
        "--wait-s", type=_seconds, default=300, metavar="S", help="for the block (%(default)s)"
    )


def _depth(text: str) -> int:
    """Refused while nothing is sent: later it would look as if nothing had been."""
    from toolkit.tx.config import KEEP_BLOCKS

    if not text.isdecimal() or not 1 <= int(text) <= KEEP_BLOCKS:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 to {KEEP_BLOCKS}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return seconds


def about(session: "Session", sent: "Sent") -> dict[str, object]:
    """What is known of a request before its end."""
    return {
        "mode": session.mode.value,
        "request_id": sent.request_id,
        "tx_hash": sent.tx_hash,
        "sender": sent.sender,
    }


async def followed(
    args: argparse.Namespace, session: "Session", sent: "Sent", waiting: Awaitable["Outcome"]
) -> "Outcome":
    """Wait for a request's end and tell it; people see at once what they wait for.

    Raises:
        NodeTimeout: it does not come within --wait-s.
        LeaseLost, JournalUnavailable: it could not be written down.
    """
    advice = f"look for {sent.tx_hash} before sending again"
    if args.journal is not None:
        advice = f"ask `toolkit tx status {sent.request_id} --journal {args.journal}`"
    known = about(session, sent)
    if not args.json:
        show(args, known)
    outcome = await end_of(args, waiting, advice=advice, why=lambda: sent.status().waiting_for)
    # Whoever was overtaken meanwhile may have misread the successor's work: that is not told.
    await session.journal.commit()
    show(args, {**known, **facts(outcome)} if args.json else facts(outcome))
    return outcome


async def end_of(
    args: argparse.Namespace,
    waiting: Awaitable["Outcome"],
    *,
    advice: str = "look before sending again",
    why: Callable[[], str] = str,
) -> "Outcome":
    """The outcome, if it comes within --wait-s; else `why` it waits, and `advice` what to do.

    Raises:
        NodeTimeout: it does not; what was sent may still be mined.
    """
    import asyncio

    from toolkit.model.errors import NodeTimeout

    try:
        async with asyncio.timeout(args.wait_s):
            return await waiting
    except TimeoutError:
        reason = f", {said}" if (said := why()) else ""
        raise NodeTimeout(
            f"not in a block after {args.wait_s:g} s{reason}; it may still be: {advice}"
        ) from None


def facts(outcome: "Outcome") -> dict[str, object]:
    """An outcome's kind, as `outcome`, and its fields."""
    fields = {name: getattr(outcome, name) for name in outcome.__struct_fields__}
    return {"outcome": type(outcome).__name__, **fields}


def exit_code(outcome: "Outcome") -> int:
    """0 where what was asked for happened, or would have."""
    from toolkit.model.tx import Confirmed, DryRun

    return 0 if isinstance(outcome, Confirmed | DryRun) else 1


def show(args: argparse.Namespace, document: Mapping[str, object]) -> None:
    """Print the document as JSON, or its facts one a line for people."""
    if args.json:
        print(json.dumps(document))
        return
    for name, value in document.items():
        if isinstance(value, dict):
            for part, amount in value.items():
                print(f"{name + ' ' + part:<54} {printable(str(amount))}")
        elif value is not None:
            print(f"{name:<20} {printable(str(value))}")
