"""`toolkit bundle send|simulate|status|explain|cancel`: bundles from the shell."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.cli import bundle_cancel, bundle_status
from toolkit.cli.account import add_account_options, add_node_options, open_session, open_signer
from toolkit.cli.bundle_items import add_items, draft_of, items_of
from toolkit.cli.ending import add_patience_option, show

if TYPE_CHECKING:
    from toolkit.bundles.draft import BundleDraft, DryBundle
    from toolkit.bundles.submitter import BundleHandle
    from toolkit.chain.signer import Signer
    from toolkit.model.bundle import BundleResult
    from toolkit.session import Session

_GUARDS = ("block", "parent-hash", "minimum-profit")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command group; nothing else is imported until it runs."""
    parser = subparsers.add_parser("bundle", help="send bundles to relays, and follow them")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    _add_send(actions)
    _add_simulate(actions)
    bundle_status.add_parser(actions)
    bundle_cancel.add_parser(actions)


def _add_send(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    send = actions.add_parser(
        "send",
        help="send one bundle to every relay",
        description="Send transactions as one bundle for the next block and wait for its end. On a "
        "real node this is a rehearsal unless --live is given.",
    )
    add_items(send)
    _add_relays(send, required=True)
    send.add_argument(
        "--blocks", type=int, default=1, metavar="N", help="blocks to try (%(default)s)"
    )
    tip = send.add_mutually_exclusive_group()
    tip.add_argument("--tip", metavar="ETHER", help="to the builder, by the own calls' fees")
    tip.add_argument("--tip-wei", metavar="WEI", type=int)
    send.add_argument(
        "--guard",
        action="append",
        default=[],
        choices=_GUARDS,
        help="that the own calls' data enforces (repeatable)",
    )
    send.add_argument(
        "--waive-guards", action="store_true", help="send several own calls without any"
    )
    send.add_argument("--wait", action=argparse.BooleanOptionalAction, default=True)
    add_patience_option(send)
    add_account_options(send)
    add_node_options(send)
    send.set_defaults(handler=_send)


def _add_simulate(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    simulate = actions.add_parser(
        "simulate",
        help="run one bundle on the newest block; nothing is sent",
        description="Run transactions in order on top of the newest block, here or with --relay at "
        "one relay, which gets them signed. Exits 1 where one of them fails.",
    )
    add_items(simulate)
    _add_relays(simulate, required=False)
    add_account_options(simulate)
    add_node_options(simulate)
    simulate.set_defaults(handler=_simulate)


def _add_relays(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument(
        "--relay",
        action="append",
        default=[],
        required=required,
        metavar="URL",
        help="where it goes (repeatable)",
    )
    parser.add_argument(
        "--reputation", type=Path, metavar="FILE", help="the key by which relays know us"
    )


def _send(args: argparse.Namespace) -> int:
    import asyncio

    from toolkit.bundles.draft import DryBundle
    from toolkit.model.bundle import GuardKind
    from toolkit.model.errors import ConfigError
    from toolkit.model.units import ether

    if not args.wait and args.journal is None:
        raise ConfigError("--no-wait needs --journal FILE, or the next process knows nothing")
    items = items_of(args)
    tip_wei = ether(args.tip) if args.tip is not None else args.tip_wei or 0
    guards = [GuardKind(name.replace("-", "_")) for name in args.guard]
    signer = _signer(args, items)

    async def send() -> int:
        opened = open_session(args, signer, relays=args.relay, reputation=args.reputation)
        async with opened as session:
            handle = await session.submit(
                draft_of(session, items, guards),
                blocks=args.blocks,
                tip_wei=tip_wei,
                guards_waived=args.waive_guards,
            )
            dry = isinstance(handle, DryBundle)
            if not args.wait and not dry:
                show(args, _about(session, handle))
                return 0
            landed = await _followed(args, session, handle)
            return 0 if landed or dry else 1

    return asyncio.run(send())


async def _followed(
    args: argparse.Namespace, session: "Session", handle: "BundleHandle | DryBundle"
) -> bool:
    """Wait for a bundle's end and tell it; whether it landed. People see what they wait for."""
    import asyncio

    from toolkit.model.bundle import Landed
    from toolkit.model.errors import NodeTimeout

    known = _about(session, handle)
    if not args.json:
        show(args, known)
    try:
        async with asyncio.timeout(args.wait_s):
            result = await handle.wait()
    except TimeoutError:
        raise NodeTimeout(
            f"block {handle.target_block} is not there after {args.wait_s:g} s; "
            f"{_outlook(args, handle)}"
        ) from None
    await session.journal.commit()
    show(args, {**known, **_facts(result)} if args.json else _facts(result))
    return isinstance(result, Landed)


def _outlook(args: argparse.Namespace, handle: "BundleHandle | DryBundle") -> str:
    """What may become of a bundle that nobody waits for any longer, and what to do."""
    from toolkit.bundles.draft import DryBundle

    assert not isinstance(handle, DryBundle), "a rehearsal ends at once"
    if not any(answer.accepted or answer.unsure for answer in handle.answers):
        return "no relay has the bundle: it can be sent again"
    if args.journal is not None:
        status = f"toolkit bundle status {handle.bundle_hash} --journal {args.journal}"
        return f"the bundle may still land: ask `{status} --rpc-url URL` before sending again"
    return f"the bundle may still land: look for {handle.hashes[-1]} before sending again"


def _about(session: "Session", handle: "BundleHandle | DryBundle") -> dict[str, object]:
    from toolkit.bundles.draft import DryBundle

    known: dict[str, object] = {
        "mode": session.mode.value,
        "bundle_hash": handle.bundle_hash,
        "target_block": handle.target_block,
    }
    if isinstance(handle, DryBundle):
        return known
    said = {one.relay: "accepted" if one.accepted else one.why for one in handle.answers}
    return {
        **known,
        "replacement_uuid": handle.replacement_uuid,
        "hashes": list(handle.hashes),
        "answers": said,
    }


def _facts(result: "BundleResult") -> dict[str, object]:
    from enum import Enum

    fields = {name: getattr(result, name) for name in result.__struct_fields__}
    plain = {name: one.value if isinstance(one, Enum) else one for name, one in fields.items()}
    return {"outcome": type(result).__name__, **plain}


def _simulate(args: argparse.Namespace) -> int:
    import asyncio

    items = items_of(args)
    signer = _signer(args, items)

    async def simulate() -> int:
        opened = open_session(args, signer, relays=args.relay[:1], reputation=args.reputation)
        async with opened as session:
            draft = draft_of(session, items, ())
            if args.relay:
                show(args, await _at_relay(session, draft))
                return 0
            found = await _here(session, draft, signer)
            show(args, found)
            return 0 if found["succeeds"] else 1

    return asyncio.run(simulate())


async def _here(
    session: "Session", draft: "BundleDraft", signer: "Signer | None"
) -> dict[str, object]:
    from toolkit.bundles.draft import simulate
    from toolkit.model.chain import ZERO_ADDRESS
    from toolkit.model.tx import SignedTransaction

    head = session.head
    sender = ZERO_ADDRESS if signer is None else signer.address
    nonce = await session.node.nonce(sender, head.hash)
    results = await simulate(draft, session.simulator, sender=sender, nonce=nonce, head=head)
    told: dict[str, object] = {
        "mode": session.mode.value,
        "block": head.number + 1,
        "succeeds": all(one.succeeded for one in results),
        "gas_used": sum(one.gas_used for one in results),
    }
    for place, (item, result) in enumerate(zip(draft.items, results, strict=True)):
        name = item.hash if isinstance(item, SignedTransaction) else "call"
        told[f"transaction {place}"] = {
            "transaction": name,
            "succeeded": result.succeeded,
            "gas_used": result.gas_used,
            "reason": result.reason,
        }
    return told


async def _at_relay(session: "Session", draft: "BundleDraft") -> dict[str, object]:
    from toolkit.model.errors import ConfigError

    if draft.own:
        raise ConfigError(
            "a relay simulates what is signed: leave --relay out to run own calls here"
        )
    if not session.submitter.relays:
        raise ConfigError(f"{session.mode.value} mode asks no relay: give --live, or no --relay")
    bundle = draft.sealed((), target_block=session.head.number + 1)
    (relay,) = session.submitter.relays
    return {"mode": session.mode.value, **await relay.call_bundle(bundle)}


def _signer(args: argparse.Namespace, items: "list[object]") -> "Signer | None":
    """Who signs the own calls; nobody has to where others have signed everything."""
    named = (args.account, args.keystore, args.private_key, args.remote_signer)
    if all(isinstance(item, str) for item in items) and not any(named):
        return None
    return open_signer(args)
