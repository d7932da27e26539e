"""How a command that sent something waits for its end, and tells it."""

import argparse
import json
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolkit.model.tx import Outcome


async def end_of(
    args: argparse.Namespace,
    waiting: Awaitable["Outcome"],
    *,
    advice: str = "look before sending again",
) -> "Outcome":
    """The outcome, if it comes within --wait-s; else `advice` says what to do.

    Raises:
        NodeTimeout: it does not; what was sent may still be mined.
    """
    import asyncio

    from toolkit.model.errors import NodeTimeout

    try:
        async with asyncio.timeout(args.wait_s):
            return await waiting
    except TimeoutError:
        raise NodeTimeout(
            f"not in a block after {args.wait_s:g} s; it may still be: {advice}"
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
                print(f"{name + ' ' + part:<54} {amount}")
        elif value is not None:
            print(f"{name:<20} {value}")
