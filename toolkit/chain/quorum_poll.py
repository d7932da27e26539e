"""Asking several nodes the same, and what their answers come to."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any, NamedTuple

import msgspec

from toolkit.chain.node_errors import classify
from toolkit.chain.quorum_rules import Rule, key_or_error
from toolkit.chain.rpc import Rpc
from toolkit.model.errors import CallReverted, NodeError, RejectedByNode, RpcError

_SHOWN = 120


class NodeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What one of the nodes did: `outvoted` counts answers that a quorum contradicted."""

    name: str
    answered: int
    failed: int
    outvoted: int
    last_failure: str


class Peer:
    """One node, and what it has done."""

    def __init__(self, rpc: Rpc, name: str) -> None:
        self.rpc, self.name = rpc, name
        self.counts: Counter[str] = Counter()
        self.last_failure = ""

    def record(self) -> NodeRecord:
        """A snapshot."""
        return NodeRecord(
            name=self.name,
            answered=self.counts["answered"],
            failed=self.counts["failed"],
            outvoted=self.counts["outvoted"],
            last_failure=self.last_failure,
        )

    def heard(self, found: object) -> bool:
        """Take down whether it answered, be it with an error object; returns that."""
        dead = isinstance(found, NodeError) and not isinstance(found, RpcError)
        self.counts["failed" if dead else "answered"] += 1
        if dead:
            self.last_failure = line(found)
        return not dead


class Vote(NamedTuple):
    """One node's answer to one request; `key` is equal where answers mean the same."""

    peer: Peer
    answer: Any
    key: Hashable


class Poll:
    """The votes on one request as they come in."""

    def __init__(self, rule: Rule, quorum: int) -> None:
        self.rule, self.quorum = rule, quorum
        self.votes: list[Vote] = []
        self.errors: list[tuple[Peer, RpcError]] = []
        self.failures: list[tuple[Peer, NodeError]] = []

    def add(self, peer: Peer, answer: Any) -> None:
        """Take an answer, an error object (a value here), or the failure to get one."""
        if isinstance(answer, RpcError):
            verdict = classify(answer.code, answer.message, answer.data)
            if isinstance(verdict, CallReverted | RejectedByNode):
                self.votes.append(Vote(peer, answer, _meaning(verdict)))
            else:
                self.errors.append((peer, answer))
            return
        key = answer if isinstance(answer, NodeError) else key_or_error(self.rule, answer)
        if isinstance(key, NodeError):
            self.failures.append((peer, key))
        else:
            self.votes.append(Vote(peer, answer, key))

    def agreed(self, key: Callable[[Vote], Hashable] = lambda vote: vote.key) -> list[Vote]:
        """The votes of a quorum that says the same; none while there is no such quorum."""
        groups: dict[Hashable, list[Vote]] = {}
        for vote in self.votes:
            groups.setdefault(key(vote), []).append(vote)
        best = max(groups.values(), key=len, default=[])
        return best if len(best) >= self.quorum else []

    def told(self) -> str:
        """What each node said, in one line."""
        said = [f"{vote.peer.name} says {_brief(vote.answer)}" for vote in self.votes]
        said += [f"{peer.name} refused: {line(error)}" for peer, error in self.errors]
        return "; ".join(sorted([*said, *self.failed()]))

    def failed(self) -> list[str]:
        """Who gave no answer, and why."""
        return sorted(f"{peer.name}: {line(error)}" for peer, error in self.failures)


async def ask_all(
    peers: Sequence[Peer],
    once: Callable[[Rpc], Awaitable[Any]],
    taken: Callable[[Peer, Any], bool],
    *,
    quorum: int,
    patience_s: float,
) -> None:
    """Ask all at once until `taken` is content, or patience with the rest is at an end.

    Patience begins when a quorum has answered: a dead node costs no more than that.
    """
    tasks = {asyncio.create_task(settled(once(peer.rpc))): peer for peer in peers}
    waiting, answered = set(tasks), 0
    try:
        while waiting:
            done, waiting = await asyncio.wait(
                waiting,
                timeout=patience_s if answered >= quorum else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not done:
                return
            content = False
            for task in [one for one in tasks if one in done]:  # in the nodes' order
                found, peer = task.result(), tasks[task]
                answered += peer.heard(found)
                content = taken(peer, found) or content
            if content:
                return
    finally:
        for task in waiting:
            task.cancel()
        if waiting:
            await asyncio.wait(waiting)


async def settled(asked: Awaitable[Any]) -> Any:
    """An answer or a node's failure, as a value."""
    try:
        return await asked
    except NodeError as error:
        return error


def line(error: object) -> str:
    """A stranger's words in one line of bearable length."""
    text = " ".join(str(error).split())
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _meaning(verdict: CallReverted | RejectedByNode) -> Hashable:
    """Equal where two nodes' errors say the same, whatever their words."""
    if isinstance(verdict, CallReverted):
        return "reverted", verdict.data if verdict.data != "0x" else verdict.reason
    return "rejected", type(verdict).__name__


def _brief(answer: Any) -> str:
    """An answer in a few words: of a block, its number and hash."""
    if isinstance(answer, dict):
        parts = [answer.get("number") or answer.get("blockNumber"), answer.get("hash")]
        return " ".join(str(part)[:20] for part in parts if part) or "an object"
    return line(answer)[:40]
