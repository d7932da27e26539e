"""`toolkit tx send|status|cancel|speedup`: the scheduler from the shell."""

import argparse
from typing import TYPE_CHECKING

from toolkit.cli import tx_change, tx_status
from toolkit.cli.account import add_account_options, add_node_options, open_session, open_signer
from toolkit.cli.ending import about, add_wait_options, exit_code, followed, show
from toolkit.cli.tx_change import add_bid_options, bid_of

if TYPE_CHECKING:
    from toolkit.model.tx import TransactionRequest, Visibility

_VISIBILITIES = ("public", "private", "private-then-public")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command group; nothing else is imported until it runs."""
    parser = subparsers.add_parser("tx", help="send a transaction and follow it to its end")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    _add_send(actions)
    tx_status.add_parser(actions)
    tx_change.add_parsers(actions)


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
    add_bid_options(send, default="soon")
    send.add_argument("--deadline-blocks", type=int, metavar="N", help="give up after so many")
    send.add_argument("--idempotency-key", metavar="KEY", help="sent once, ever; with --journal")
    send.add_argument("--priority", type=int, default=0, metavar="N", help="higher goes first")
    send.add_argument("--after", metavar="ID", help="only once this request has succeeded")
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


def _send(args: argparse.Namespace) -> int:
    import asyncio

    from toolkit.model.chain import Mode

    _require_journal(args)
    request = _request(args)
    urgency, max_fee = bid_of(args)
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
                priority=args.priority,
                after=args.after,
            )
            if not args.wait and session.mode is not Mode.DRY:
                show(args, about(session, sent))
                return 0
            return exit_code(await followed(args, session, sent, sent.wait(args.confirmations)))

    return asyncio.run(send())


def _require_journal(args: argparse.Namespace) -> None:
    """What a later process must know of is nothing without a journal."""
    from toolkit.model.errors import ConfigError

    for given, word in (
        (args.idempotency_key is not None, "--idempotency-key"),
        (args.after is not None, "--after"),
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
