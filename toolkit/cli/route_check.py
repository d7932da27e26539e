"""`toolkit route check`: a pools file held against a node, pool by pool and field by field."""

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from toolkit.cli.account import add_node_options, node_mode, open_node

if TYPE_CHECKING:
    from toolkit.chain.node import Node
    from toolkit.model.chain import Head, Mode
    from toolkit.pools.checking import Difference
    from toolkit.pools.snapshot import Snapshot


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add against what the file is held."""
    parser.add_argument(
        "--latest",
        action="store_true",
        help="the node's newest block instead of the file's own",
    )
    add_node_options(parser)


def check_file(args: argparse.Namespace, snapshot: "Snapshot") -> int:
    """Name all in which a file's pools differ from a node's; 1 where anything does.

    Raises:
        NodeError: the node cannot be asked, or does not have the block.
        DataError: the block of the file's hash has another number.
    """
    import asyncio

    from msgspec.structs import replace

    from toolkit.pools.checking import check

    async def compare() -> int:
        mode = await node_mode(args)
        async with open_node(args) as node:
            head = await _head(args, node, snapshot)
            found = await check(node, replace(snapshot, block=head))
        _show(args, mode, head, snapshot, found)
        return 1 if found else 0

    return asyncio.run(compare())


async def _head(args: argparse.Namespace, node: "Node", snapshot: "Snapshot") -> "Head":
    from toolkit.model.errors import DataError, NodeError, NodeTimeout, NodeUnavailable

    block = snapshot.block
    if args.latest:
        return await node.head()
    try:
        head = await node.head(block.hash)
    except (NodeTimeout, NodeUnavailable):
        raise
    except NodeError as error:
        raise NodeError(
            f"{error}, which {args.pools} is of; ask a node of that chain that keeps it, or hold "
            "the file against the newest block (--latest)"
        ) from None
    if head.number != block.number:
        raise DataError(
            f"{args.pools}: block: number: is {block.number}, but the block of this hash is "
            f"{head.number}; write the pools anew"
        )
    return head


def _show(
    args: argparse.Namespace,
    mode: "Mode",
    head: "Head",
    snapshot: "Snapshot",
    found: Sequence["Difference"],
) -> None:
    from toolkit.model.printable import printable

    differing, count = len({one.pool for one in found}), len(snapshot.pools)
    if args.json:
        block = {"number": head.number, "hash": head.hash}
        fields = [{name: getattr(one, name) for name in one.__struct_fields__} for one in found]
        document = {"mode": mode.value, "block": block, "pools": count, "differences": fields}
        print(json.dumps(document))
        return
    for one in found:
        told = f"pool {one.pool}: {one.field}: is {one.ours} in the file, at the node {one.nodes}"
        print(printable(told))
    told = f"{differing} of {count} pools differ from" if found else f"all {count} pools are as at"
    print(f"{mode.value}: {told} block {head.number} {head.hash}")
