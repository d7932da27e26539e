"""`toolkit bundle cancel`: ask relays to forget a bundle."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.cli.account import add_account_options, add_node_options, open_session, open_signer
from toolkit.cli.ending import show

if TYPE_CHECKING:
    from toolkit.bundles.submitter import BundleHandle
    from toolkit.model.chain import Hash
    from toolkit.session import Session


def add_parser(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the action; nothing else is imported until it runs."""
    cancel = actions.add_parser(
        "cancel",
        help="ask relays to forget a bundle; it may land all the same",
        description="Withdraw a bundle by its replacement uuid, with the key that sent it. With "
        "--journal it may be named by its hash, and is not tried in any further block.",
    )
    cancel.add_argument("id", metavar="ID", help="replacement uuid; with --journal also the hash")
    cancel.add_argument(
        "--relay", action="append", required=True, metavar="URL", help="who has it (repeatable)"
    )
    cancel.add_argument(
        "--reputation",
        type=Path,
        metavar="FILE",
        help="the key that sent it (default: this user's)",
    )
    add_account_options(cancel)
    add_node_options(cancel)
    cancel.set_defaults(handler=_cancel)


def _cancel(args: argparse.Namespace) -> int:
    import asyncio

    if args.journal is None:
        return asyncio.run(_at_relays(args))
    named = (args.account, args.keystore, args.private_key, args.remote_signer)
    signer = open_signer(args) if any(named) else None

    async def cancel() -> int:
        opened = open_session(args, signer, relays=args.relay, reputation=args.reputation)
        async with opened as session:
            handle = _found(session, args.id)
            left = await handle.cancel()
            show(args, {"bundle_hash": handle.bundle_hash, "may_still_have_it": list(left)})
            return 1 if left else 0

    return asyncio.run(cancel())


def _found(session: "Session", name: str) -> "BundleHandle":
    from toolkit.model.checks import shown
    from toolkit.model.errors import ConfigError

    for handle in session.submitter.handles():
        if name.lower() in {handle.replacement_uuid, handle.bundle_hash}:
            return handle
    raise ConfigError(
        f"no live bundle is called {shown(name)} in this journal; `toolkit journal show --kind "
        "bundle_submitted` lists all that were sent"
    )


async def _at_relays(args: argparse.Namespace) -> int:
    """Ask each relay, with the kept key; 0 if all of them confirmed."""
    import asyncio
    from urllib.parse import urlsplit

    from toolkit.bundles.relay import Relay
    from toolkit.bundles.reputation import FILE_NAME, kept_reputation
    from toolkit.model.errors import RelayError
    from toolkit.tx.leases import user_directory

    auth = kept_reputation(args.reputation or user_directory() / FILE_NAME)
    relays = [Relay(url, auth=auth) for url in args.relay]
    places = [urlsplit(url).netloc.rpartition("@")[2] for url in args.relay]
    for relay, place in zip(relays, places, strict=True):
        if relay.is_loopback:
            relay.name = place  # they all speak the devnet's dialect
    try:
        answers = await asyncio.gather(
            *(relay.cancel_bundle(args.id) for relay in relays), return_exceptions=True
        )
    finally:
        for relay in relays:
            await relay.close()
    said: dict[str, object] = {}
    for place, answer in zip(places, answers, strict=True):
        if isinstance(answer, BaseException) and not isinstance(answer, RelayError):
            raise answer
        said[f"relay {place}"] = _words(answer)
    show(args, {"replacement_uuid": args.id, "answers": said})
    sure = [answer is None or (isinstance(answer, tuple) and answer != ()) for answer in answers]
    return 0 if all(sure) else 1


def _words(answer: "tuple[Hash, ...] | BaseException | None") -> str:
    if answer is None:
        return "withdrawn"
    return f"withdrew {len(answer)}" if isinstance(answer, tuple) else str(answer)
