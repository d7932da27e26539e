"""`toolkit tx send|status|cancel|speedup`: the scheduler from the shell."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.cli import tx_status
from toolkit.cli.account import add_account_options, add_node_options, open_session, open_signer
from toolkit.cli.ending import end_of, exit_code, facts, show

if TYPE_CHECKING:
    from toolkit.model.tx import Outcome, TransactionRequest, Visibility
    from toolkit.session import Session
    from toolkit.tx.handle import Sent

_URGENCIES = ("next-block", "soon", "relaxed")
_VISIBILITIES = ("public", "private", "private-then-public")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command group; nothing else is imported until it runs."""
    parser = subparsers.add_parser("tx", help="send a transaction and follow it to its end")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    _add_send(actions)
    tx_status.add_parser(actions)


def _add_send(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    send = actions.add_parser(
        "send",
        help="send one transaction",
        description="Send one transaction and wait for its end. On a real node this is a rehearsal "
        "unless --live is given. A deadline, a replacement or a repetition happens only while a "
        "process holds the journal.",
    )
    send.add_argument("--to", metavar="ADDRESS", help="left out: create a contract from --data")
    amount = send.add_mutually_exclusive_group()
    amount.add_argument("--value", metavar="ETHER", help="such as 0.05")
    amount.add_argument("--value-wei", metavar="WEI", type=int)
    call = send.add_mutually_exclusive_group()
    call.add_argument("--data", metavar="0x", help="call data")
    call.add_argument("--sig", metavar="F(TYPES)", help="call this function with ARGS")
    send.add_argument("arguments", nargs="*", metavar="ARGS", help="arrays and tuples: JSON lists")
    send.add_argument("--gas", type=int, metavar="N", help="limit (default: estimate and a fifth)")
    add_bid_options(send)
    send.add_argument("--deadline-blocks", type=int, metavar="N", help="give up after so many")
    send.add_argument("--idempotency-key", metavar="KEY", help="sent once, ever; with --journal")
    send.add_argument(
        "--visibility",
        choices=_VISIBILITIES,
        help="default: private with --relay, public on a development node; else it must be said",
    )
    send.add_argument(
        "--relay", action="append", default=[], metavar="URL", help="a private route (repeatable)"
    )
    send.add_argument("--wait", action=argparse.BooleanOptionalAction, default=True)
    add_wait_options(send)
    add_account_options(send)
    add_node_options(send)
    send.set_defaults(handler=_send)


def add_bid_options(parser: argparse.ArgumentParser) -> None:
    """Add what to bid."""
    parser.add_argument(
        "--urgency", choices=_URGENCIES, default="soon", help="how soon (%(default)s)"
    )
    parser.add_argument("--max-fee", metavar="GWEI", help="never more per gas unit")


def add_wait_options(parser: argparse.ArgumentParser) -> None:
    """Add how long to wait, and how deep."""
    parser.add_argument(
        "--confirmations", type=int, default=1, metavar="N", help="wait for so many (%(default)s)"
    )
    parser.add_argument(
        "--wait-s", type=float, default=300, metavar="S", help="for the block (%(default)s)"
    )


def _send(args: argparse.Namespace) -> int:
    import asyncio

    from toolkit.model.chain import Mode
    from toolkit.model.tx import Urgency
    from toolkit.model.units import gwei

    _require_journal(args)
    request = _request(args)
    max_fee = None if args.max_fee is None else gwei(args.max_fee)
    urgency = Urgency[args.urgency.replace("-", "_").upper()]
    signer = open_signer(args)

    async def send() -> int:
        async with open_session(args, signer, relays=args.relay) as session:
            sent = await session.send(
                request,
                urgency=urgency,
                max_fee_per_gas=max_fee,
                deadline_blocks=args.deadline_blocks,
                idempotency_key=args.idempotency_key,
                visibility=_visibility(args, session.mode),
            )
            about = _about(session, sent) | {"sender": signer.address}
            if not args.wait and session.mode is not Mode.DRY:
                show(args, about)
                return 0
            outcome = await _followed(args, sent, about)
            return exit_code(outcome)

    return asyncio.run(send())


def _require_journal(args: argparse.Namespace) -> None:
    """What a later process must know of is nothing without a journal."""
    from toolkit.model.errors import ConfigError

    for given, word in (
        (args.idempotency_key is not None, "--idempotency-key"),
        (not args.wait, "--no-wait"),
    ):
        if given and args.journal is None:
            raise ConfigError(f"{word} needs --journal FILE, or the next process knows nothing")


def _request(args: argparse.Namespace) -> "TransactionRequest":
    from toolkit.cli.call_data import encode_call
    from toolkit.model.chain import address
    from toolkit.model.errors import ConfigError
    from toolkit.model.tx import TransactionRequest
    from toolkit.model.units import ether

    if args.arguments and args.sig is None:
        raise ConfigError(f"{len(args.arguments)} arguments, but no --sig that takes them")
    if args.to is None and (args.data is None or args.sig is not None):
        raise ConfigError("no --to ADDRESS; only --data alone creates a contract")
    data = args.data or "0x"
    if args.sig is not None:
        data = encode_call(args.sig, args.arguments)
    return TransactionRequest(
        to=None if args.to is None else address(args.to),
        data=data,
        value=ether(args.value) if args.value is not None else args.value_wei or 0,
        gas=args.gas,
    )


def _visibility(args: argparse.Namespace, mode: object) -> "Visibility | None":
    from toolkit.model.chain import Mode
    from toolkit.model.errors import ConfigError
    from toolkit.model.tx import Visibility

    if args.visibility is not None:
        return Visibility(args.visibility.replace("-", "_"))
    if args.relay:
        return Visibility.PRIVATE
    if mode in {Mode.DEV, Mode.FORK}:
        return Visibility.PUBLIC  # nobody is there to see it
    raise ConfigError("who may see it must be said: --visibility public, or --relay URL")


def _about(session: "Session", sent: "Sent") -> dict[str, object]:
    return {"mode": session.mode.value, "request_id": sent.request_id, "tx_hash": sent.tx_hash}


async def _followed(args: argparse.Namespace, sent: "Sent", about: dict[str, object]) -> "Outcome":
    """Wait for the end and tell it; people see at once what they wait for."""
    if not args.json:
        show(args, about)
    outcome = await end_of(args, sent.wait(args.confirmations), advice=_advice(args, sent))
    ended = facts(outcome)
    show(args, {**about, **ended} if args.json else ended)
    return outcome


def _advice(args: argparse.Namespace, sent: "Sent") -> str:
    if args.journal is None:
        return f"look for {sent.tx_hash} before sending again"
    return f"ask `toolkit tx status {sent.request_id} --journal {args.journal}`"


def journal_of(args: argparse.Namespace) -> Path:
    """The journal that was named.

    Raises:
        ConfigError: none, or there is no such file.
    """
    from toolkit.model.errors import ConfigError

    if args.journal is None:
        raise ConfigError("no journal: give --journal FILE, the one it was sent with")
    path = Path(args.journal).expanduser()
    if not path.is_file():
        raise ConfigError(f"no journal at {path}; name an existing file")
    return path
