"""`toolkit bundle status|explain`: one bundle as its journal tells it, and its chain if asked."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.cli.account import add_node_options, node_mode, open_node
from toolkit.cli.ending import show

if TYPE_CHECKING:
    from toolkit.bundles.history import Try
    from toolkit.chain.node import Node
    from toolkit.model.bundle import BundleResult

_HASH_LETTERS = 66


def add_parser(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe both actions; nothing else is imported until one runs."""
    status = actions.add_parser(
        "status",
        help="what became of a bundle, also while another process follows it",
        description="Read one bundle's last try from a journal, and with a node also what the "
        "chain has of it.",
    )
    status.set_defaults(handler=_status)
    explain = actions.add_parser(
        "explain",
        help="why a bundle landed or missed, block by block, with the evidence",
        description="Tell of every block that a bundle was tried in who took it, what became of "
        "it, and by which evidence. With a node, a try that no process saw the end of is judged "
        "by its block. No relay is asked.",
    )
    explain.set_defaults(handler=_explain)
    for parser in (status, explain):
        parser.add_argument(
            "id", metavar="ID", help="of the bundle or of a transaction in it, or its uuid"
        )
        parser.add_argument(
            "--journal", type=Path, required=True, metavar="FILE", help="the one it was sent with"
        )
        add_node_options(parser)


def _status(args: argparse.Namespace) -> int:
    import asyncio

    last = read(args.journal, args.id)[-1]
    sent = last.submitted
    document: dict[str, object] = {
        "bundle_hash": sent.bundle_hash,
        "state": _state(last),
        "target_block": sent.target_block,
        "last_block": sent.last_block or sent.target_block,
        "replacement_uuid": sent.replacement_uuid,
        "hashes": list(sent.hashes),
        "cancel_asked": last.cancelled,
        **_facts(last.end),
    }
    if args.rpc_url:
        document |= asyncio.run(_on_chain(args, last))
    show(args, document)
    return 0


def _explain(args: argparse.Namespace) -> int:
    import asyncio

    tries = read(args.journal, args.id)
    ends = [one.end for one in tries]
    if args.rpc_url:
        ends = asyncio.run(_ends(args, tries))
    rows = [_row(one, end) for one, end in zip(tries, ends, strict=True)]
    if args.json:
        document = {"bundle_hash": tries[-1].submitted.bundle_hash, "tries": rows}
        print(json.dumps(document))
        return 0
    for one, end in zip(tries, ends, strict=True):
        show(args, _lines(one, end))
    return 0


def read(journal: Path, name: str) -> "tuple[Try, ...]":
    """Read a bundle from a journal file that somebody else may be writing.

    Raises:
        ConfigError: no journal there, or no such bundle in it.
        JournalCorrupt: an entry cannot be read.
    """
    from toolkit.bundles.history import READ, history
    from toolkit.journal.sqlite import read_entries
    from toolkit.model.checks import shown
    from toolkit.model.errors import ConfigError

    path = journal.expanduser()
    wanted = name.lower() if len(name) == _HASH_LETTERS else name
    found = history(read_entries(path, *READ), wanted)
    if not found:
        asked = name if 0 < len(name) <= _HASH_LETTERS else shown(name)
        raise ConfigError(
            f"the journal {path} has no bundle {asked}; `toolkit journal show --kind"
            " bundle_submitted` lists them"
        )
    return found


def _state(one: "Try") -> str:
    from toolkit.model.bundle import Landed

    if one.end is None:
        return "under way"
    return "landed" if isinstance(one.end, Landed) else "missed"


def _facts(end: "BundleResult | None") -> dict[str, object]:
    """An end as flat fields, the same whichever it is."""
    from toolkit.model.bundle import Landed

    if isinstance(end, Landed):
        return {
            "block_number": end.block_number,
            "block_hash": end.block_hash,
            "builder": end.builder,
            "fee_wei": end.fee_wei,
            "tip_wei": end.tip_wei,
            "cause": None,
            "evidence": None,
            "rival": None,
        }
    cause = None if end is None else end.cause.value
    return {
        "block_number": None,
        "cause": cause,
        "evidence": None if end is None else end.evidence,
        "rival": None if end is None else end.rival,
    }


def _row(one: "Try", end: "BundleResult | None") -> dict[str, object]:
    sent = one.submitted
    told = {answer.relay: answer for answer in one.answers}
    relays = [
        {
            "relay": name,
            "answer": _said(one, name),
            "head": told[name].head_number if name in told else None,
            "why": told[name].why if name in told else "",
        }
        for name in dict.fromkeys((*sent.relays, *told))
    ]
    return {
        "target_block": sent.target_block,
        "relays": relays,
        "landed": end is not None and not hasattr(end, "cause"),
        **_facts(end),
        "told_before": [_facts(each) for each in one.ends[:-1]],
    }


def _said(one: "Try", relay: str) -> str:
    answer = next((each for each in one.answers if each.relay == relay), None)
    if answer is None:
        return "unheard"
    if answer.accepted:
        return "took it"
    return "may have it" if answer.unsure else "refused"


def _lines(one: "Try", end: "BundleResult | None") -> dict[str, object]:
    """For people: one line a relay, then what became of it and why."""
    from toolkit.model.bundle import Landed

    lines: dict[str, object] = {"block": one.submitted.target_block}
    for name in dict.fromkeys((*one.submitted.relays, *(each.relay for each in one.answers))):
        why = next((each.why for each in one.answers if each.relay == name), "")
        lines[name] = f"{_said(one, name)}{': ' if why else ''}{why}"
    for before in one.ends[:-1]:
        cause = "landed" if isinstance(before, Landed) else before.cause.value
        lines["told before"] = cause
    if end is None:
        return lines | {"end": "not known; give --rpc-url to look at the chain"}
    if isinstance(end, Landed):
        return lines | {"end": f"landed in block {end.block_number} ({end.block_hash})"}
    return lines | {"end": end.cause.value, "evidence": end.evidence, "rival": end.rival}


async def _ends(args: argparse.Namespace, tries: "tuple[Try, ...]") -> "list[BundleResult | None]":
    """The ends, those that nobody saw as the chain has them."""
    async with open_node(args) as node:
        newest = (await node.head()).number
        return [
            one.end
            if one.end is not None or one.submitted.target_block > newest
            else await _judged(node, one)
            for one in tries
        ]


async def _judged(node: "Node", one: "Try") -> "BundleResult":
    """What a block did with a bundle of which only the journal's entry is left."""
    import msgspec

    from toolkit.bundles.entries import restored
    from toolkit.bundles.evidence import RelayAnswer, gather
    from toolkit.bundles.explain import explain
    from toolkit.bundles.reenactment import read_block

    sent = one.submitted
    answers = one.answers or tuple(
        RelayAnswer(relay=name, accepted=False, head_number=0, why="not heard", unsure=True)
        for name in sent.relays
    )
    submission = msgspec.structs.replace(
        restored(sent, own=frozenset(), signed={}, cancelled=one.cancelled), answers=answers
    )
    block = await read_block(node, await node.head(sent.target_block))
    return explain(submission, await gather(node, submission, block))


async def _on_chain(args: argparse.Namespace, one: "Try") -> dict[str, object]:
    """Where a node has the transactions now."""
    mode = await node_mode(args)
    async with open_node(args) as node:
        head = await node.head()
        mined = {}
        for each in one.submitted.hashes:
            receipt = await node.receipt(each)
            if receipt is not None:
                mined[each] = receipt.block_number
    return {
        "mode": mode.value,
        "chain_head": head.number,
        "chain_mined": ", ".join(f"{each} in block {number}" for each, number in mined.items())
        or None,
    }
