"""`toolkit tx status`: one request as its journal and its chain tell it."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.cli.account import add_node_options, node_mode, open_node
from toolkit.cli.ending import facts, show

if TYPE_CHECKING:
    from toolkit.journal.log import Entry
    from toolkit.tx.history import PastAttempt, RequestHistory

_HASH_LETTERS = 66


def add_parser(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the action; nothing else is imported until it runs."""
    parser = actions.add_parser(
        "status",
        help="what became of a request, also while another process runs it",
        description="Read one request from a journal, and with a node also what the chain says.",
    )
    parser.add_argument("id", metavar="ID", help="request, transaction hash or idempotency key")
    parser.add_argument(
        "--journal", type=Path, required=True, metavar="FILE", help="the one it was sent with"
    )
    add_node_options(parser)
    parser.set_defaults(handler=_status)


def _status(args: argparse.Namespace) -> int:
    import asyncio

    found = read(args.journal, args.id)
    document = _document(found)
    if args.rpc_url:
        document |= asyncio.run(_on_chain(args, found))
    if not args.json:
        for number, attempt in enumerate(found.attempts):
            document[f"attempt {number}"] = _line(attempt)
        del document["attempts"]
    show(args, document)
    return 0


def read(journal: Path, name: str) -> "RequestHistory":
    """Read a request from a journal file that somebody else may be writing.

    Raises:
        ConfigError: no journal there, or no such request in it.
        JournalCorrupt: an entry cannot be read.
    """
    from toolkit.model.checks import shown
    from toolkit.model.errors import ConfigError
    from toolkit.tx.history import first_entry, history, request_named

    path = journal.expanduser()
    wanted = name.lower() if len(name) == _HASH_LETTERS else name
    request_id = request_named(_entries(path, after=0), wanted)
    found = None
    if request_id is not None:
        found = history(_entries(path, after=first_entry(request_id) - 1), request_id)
    if found is None:
        asked = name if 0 < len(name) <= _HASH_LETTERS else shown(name)
        raise ConfigError(
            f"the journal {path} has no request {asked}; `toolkit journal show --kind tx.request` "
            "lists them"
        )
    return found


def _entries(path: Path, *, after: int) -> "Iterator[Entry]":
    """What concerns requests; what compaction left of older ones comes first."""
    import sqlite3
    from contextlib import closing

    from toolkit.journal.layout import SCHEMA_VERSION, holder_of, require_journal, unreadable
    from toolkit.journal.sqlite import open_to_read, read_entries
    from toolkit.journal.verification import kept_entries
    from toolkit.tx.history import READ

    with closing(open_to_read(path)) as database:
        try:
            if require_journal(database, path) == SCHEMA_VERSION:
                base = holder_of(database, path).bounds.base
                yield from (one for one in kept_entries(database, path, base) if one.kind in READ)
        except sqlite3.DatabaseError as error:
            raise unreadable(path, 1, error) from None
    yield from read_entries(path, *READ, after=after)


def _document(found: "RequestHistory") -> dict[str, object]:
    asked: dict[str, object] = {}
    if found.request is not None:
        asked = {
            "to": found.request.to,
            "value_wei": found.request.value,
            "idempotency_key": found.idempotency_key,
            "after": found.after,
            "deadline_block": found.deadline_block,
            "cancel_asked": found.cancel_asked,
        }
    ended: dict[str, object] = {"outcome": None}
    if found.outcome is not None:
        ended = facts(found.outcome)
    return {
        "request_id": found.request_id,
        "state": found.state,
        "sender": found.sender,
        "nonce": found.nonce,
        **ended,
        "tx_hash": found.tx_hash,
        "failure": found.failure or None,
        **asked,
        "attempts": [_attempt(one) for one in found.attempts],
    }


def _attempt(one: "PastAttempt") -> dict[str, object]:
    fields: dict[str, object] = {name: getattr(one, name) for name in one.__struct_fields__}
    return {**fields, "exposure": one.exposure.name.lower(), "answers": list(one.answers)}


def _line(one: "PastAttempt") -> str:
    from toolkit.model.units import format_units

    what = "cancels" if one.cancels else f"payload {one.version}"
    fee, tip = (
        format_units(wei, 9, places=9)
        for wei in (one.max_fee_per_gas, one.max_priority_fee_per_gas)
    )
    said = "".join(f"; {answer}" for answer in one.answers)
    return (
        f"{one.tx_hash} nonce {one.nonce}, {what}, up to {fee} gwei with a tip of {tip}, "
        f"{one.exposure.name.lower()}{said}"
    )


async def _on_chain(args: argparse.Namespace, found: "RequestHistory") -> dict[str, object]:
    """What a node knows of the attempts, and how many transactions it counts of the account."""
    from toolkit.model.errors import ConfigError

    mode = await node_mode(args)
    async with open_node(args) as node:
        chain_id, head = await node.chain_id(), await node.head()
        if found.chain_id not in {None, chain_id}:
            raise ConfigError(
                f"{found.request_id} is of chain {found.chain_id}, the node is on chain {chain_id};"
                " give a node of that chain"
            )
        mined, pending = None, []
        for one in found.attempts:
            receipt = await node.receipt(one.tx_hash)
            if receipt is not None:
                mined = receipt
            elif await node.rpc.call("eth_getTransactionByHash", [one.tx_hash]) is not None:
                pending.append(one.tx_hash)
        chain: dict[str, object] = {
            "mode": mode.value,
            "chain_head": head.number,
            "chain_nonce": await node.nonce(found.sender),
            "chain_mined": None,
            "chain_pending": pending,
        }
    if mined is not None:
        chain["chain_mined"] = mined.transaction_hash
        chain["chain_block"] = mined.block_number
        chain["chain_succeeded"] = mined.succeeded
        chain["chain_confirmations"] = head.number - mined.block_number + 1
    return chain
