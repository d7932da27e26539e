"""`toolkit replay`, `why` and `whatif`: what a journal's decisions were, why, and what else."""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

from toolkit.model.printable import printable


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe both commands; nothing else is imported until one runs."""
    replay = subparsers.add_parser("replay", help="decide everything in a journal again")
    replay.add_argument("journal", type=Path, metavar="JOURNAL", help="the journal file")
    replay.add_argument(
        "--verify",
        action="store_true",
        help="only compare; exit 1 and name the first divergence and its agent",
    )
    replay.set_defaults(handler=run)
    why = subparsers.add_parser("why", help="show what a trade, bundle or intent rests on")
    why.add_argument("id", metavar="ID", help="transaction, bundle, request, verdict or intent")
    why.add_argument("--journal", type=Path, required=True, metavar="J", help="the journal file")
    why.add_argument("--full", action="store_true", help="whole hashes on a terminal too")
    why.set_defaults(handler=run_why)
    whatif = subparsers.add_parser("whatif", help="decide a block again without one agent")
    whatif.add_argument("id", metavar="ID", help="transaction, bundle, request, verdict or intent")
    whatif.add_argument("--without", required=True, metavar="AGENT", help="who says nothing")
    whatif.add_argument("--journal", type=Path, required=True, metavar="J", help="the journal file")
    whatif.set_defaults(handler=run_whatif)
    for parser in (replay, why, whatif):
        parser.add_argument("--json", action="store_true", help="one JSON document on stdout")


def run(args: argparse.Namespace) -> int:
    """Replay a journal; 1 where a comparison was asked for and a decision differs."""
    from toolkit.journal.verification import verified_entries
    from toolkit.orchestrator.audit.audit import verdicts
    from toolkit.orchestrator.audit.replay import Divergence, replay

    entries = tuple(verified_entries(args.journal))
    result = replay(entries)
    found: Divergence | None = result.divergence
    listed = (
        []
        if args.verify
        else [
            {
                "id": verdict.verdict_id,
                "decision": "approved" if verdict.cause is None else verdict.cause.value,
                "agents": list(verdict.agents),
                "intents": list(verdict.intents),
                "why": verdict.why,
            }
            for verdict in verdicts(entries)
        ]
    )
    if args.json:
        document = {
            "journal": str(args.journal),
            "identical": result.identical,
            "blocks": result.blocks,
            "decisions": result.decisions,
            "taken_as_recorded": list(result.taken_as_recorded),
            "divergence": None
            if found is None
            else {name: getattr(found, name) for name in found.__struct_fields__},
        }
        print(json.dumps(document if args.verify else {**document, "verdicts": listed}))
    else:
        for verdict in listed:
            print(
                f"{verdict['id']:>14}  {verdict['decision']:<13} {printable(str(verdict['why']))}"
            )
        kinds = Counter(str(verdict["decision"]) for verdict in listed)
        if kinds:
            print(", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())))
        print(
            f"{args.journal}: {result.blocks} blocks, {result.decisions} decisions "
            f"{'identical' if result.identical else 'identical before they diverge'}"
        )
        if result.taken_as_recorded:
            names = printable(", ".join(result.taken_as_recorded))
            print(f"taken as recorded (code not at hand): {names}")
        if found is not None:
            print(
                f"diverges at entry {found.seq} (block {found.block_number}), agent "
                f"{printable(found.agent)}:\n  recorded   {printable(found.recorded)}\n"
                f"  recomputed {printable(found.recomputed)}"
            )
    return 0 if result.identical else 1


def run_why(args: argparse.Namespace) -> int:
    """Print the tree of causes of one id."""
    from toolkit.journal.verification import verified_entries
    from toolkit.orchestrator.audit.audit import lines, why

    cause = why(verified_entries(args.journal), args.id)
    if args.json:
        import msgspec

        print(msgspec.json.encode(cause).decode())
    else:
        for line in lines(cause, short=sys.stdout.isatty() and not args.full):
            print(line)
    return 0


def run_whatif(args: argparse.Namespace) -> int:
    """Print what one block's decision was, and what it would have been without an agent."""
    from toolkit.journal.verification import verified_entries
    from toolkit.orchestrator.audit.whatif import lines, whatif

    answer = whatif(verified_entries(args.journal), args.id, without=args.without)
    if args.json:
        import msgspec

        print(msgspec.json.encode(answer).decode())
    else:
        for line in lines(answer):
            print(line)
    return 0
