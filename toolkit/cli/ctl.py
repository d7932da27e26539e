"""`toolkit ctl`: speak to a running orchestrator over its socket, which is its owner's alone."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.model.printable import printable

if TYPE_CHECKING:
    from toolkit.orchestrator.breaking.control import Answer, Status

_PLACES = ("*.ctl", "*/*.ctl", "runs/*/*.ctl")
"""Where a running orchestrator's socket is looked for when none is named."""
_NO_REASON = "by toolkit ctl"


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command; nothing else is imported until it runs."""
    parser = subparsers.add_parser(
        "ctl",
        help="look at a running orchestrator, stop it or let it go on",
        description="Each command but status is journalled, and in force from the next block on; "
        "a halt also keeps back what is not sent yet.",
    )
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    status = verbs.add_parser("status", help="what may be done, by whom, and why not")
    pause = verbs.add_parser("pause", help="stop one agent")
    pause.add_argument("target", metavar="AGENT", help="its name")
    resume = verbs.add_parser("resume", help="let an agent go on that was stopped by `pause`")
    resume.add_argument("target", metavar="AGENT", help="its name")
    halt = verbs.add_parser("halt", help="begin nothing new, until `reset halt`")
    halt.add_argument(
        "--cancel-pending", action="store_true", help="also take back what is on its way"
    )
    reset = verbs.add_parser("reset", help="close a breaker; it opens again where evidence lasts")
    reset.add_argument("target", metavar="BREAKER", help="its name as in status, or all")
    for verb, one in (
        ("status", status),
        ("pause", pause),
        ("resume", resume),
        ("halt", halt),
        ("reset", reset),
    ):
        if verb in {"pause", "halt"}:
            one.add_argument("--why", default=_NO_REASON, help="for the journal (%(default)s)")
        one.add_argument("--chain", default="", metavar="NAME", help="one of several, else all")
        where = one.add_mutually_exclusive_group()
        where.add_argument("--journal", type=Path, metavar="J", help="the orchestrator's journal")
        where.add_argument("--socket", type=Path, metavar="PATH", help="its socket")
        one.add_argument("--json", action="store_true", help="one JSON document on stdout")
        one.set_defaults(handler=run, verb=verb)


def run(args: argparse.Namespace) -> int:
    """Ask, and print what came back.

    Raises:
        ConfigError: no orchestrator to ask, or it refused.
    """
    import msgspec

    from toolkit.model.errors import ConfigError
    from toolkit.orchestrator.breaking.control import Asked, asked_of

    asked = Asked(
        verb=args.verb,
        target=printable(getattr(args, "target", "")),
        why=_reason(args.why) if hasattr(args, "why") else "",
        cancel_pending=getattr(args, "cancel_pending", False),
        chain=printable(args.chain),
    )
    answer = asked_of(_socket(args.journal, args.socket), asked)
    if answer.error:
        raise ConfigError(answer.error)
    if args.json:
        sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
    else:
        print("\n".join(map(printable, _lines(answer))))
    return 0


def _reason(text: str) -> str:
    """One line, cut where it is longer than an order takes: nothing said may keep a halt back."""
    from toolkit.orchestrator.breaking.orders import MAX_WHY

    return printable(text.strip(), most=MAX_WHY) or _NO_REASON


def _socket(journal: Path | None, named: Path | None) -> Path:
    from toolkit.model.errors import ConfigError
    from toolkit.orchestrator.breaking.control import is_left_behind, socket_path

    if named is not None:
        return named
    if journal is not None:
        return socket_path(journal)
    # Relative: the system takes only short names of sockets.
    sockets = {one for place in _PLACES for one in Path().glob(place) if one.is_socket()}
    found = sorted(one for one in sockets if not is_left_behind(one))
    if len(found) != 1:
        raise ConfigError(
            f"several orchestrators run here ({', '.join(map(str, found))}): name one by --socket"
            if found
            else f"no orchestrator runs below {Path.cwd()}: start one, or give --journal or "
            "--socket"
        )
    return found[0]


def _lines(answer: "Answer") -> list[str]:
    lines = [] if answer.status is None else _status_lines(answer.status)
    for name, status in answer.chains.items():
        first, *rest = _status_lines(status)
        lines += [f"{name}: {first}", *rest]
        if name in answer.refused:
            lines.append(f"  not there: {answer.refused[name]}")
    if (back := answer.withdrawn) is not None:
        lines.append(
            f"  {back.requests} requests asked to be cancelled; {back.plans} plans taken back from "
            f"the relays; {back.at_large} may still land in their one block"
        )
    return lines


def _status_lines(status: "Status") -> list[str]:
    from toolkit.orchestrator.breaking.breakers import told
    from toolkit.orchestrator.breaking.hazards import Hazard

    at = "no block yet" if status.block_number is None else f"block {status.block_number}"
    lines = [f"[{status.mode}] {status.state.value} as of {at}; {status.underway} plans under way"]
    lines += [
        f"  {told(one)}" if one.hazard is not Hazard.HALT else f"  halt: {told(one)}"
        for one in status.breakers
    ]
    lines += [
        f"  {agent.name}: {agent.state}{f', {agent.why}' if agent.why else ''}"
        for agent in status.agents
    ]
    return [*lines, *_waiting(status)]


def _waiting(status: "Status") -> list[str]:
    return [
        f"  from the next block on: {' '.join(filter(None, (one.verb, one.target)))}"
        f"{f' ({one.why})' if one.why else ''}"
        for one in status.waiting
    ]
