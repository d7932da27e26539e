"""Several nodes as one: told everything, believed by quorum."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from toolkit.chain import answers, wire
from toolkit.chain.broadcast import Broadcaster
from toolkit.chain.quorum_poll import NodeRecord, Peer, Poll, Vote, ask_all, settled
from toolkit.chain.quorum_rules import (
    Kind,
    Rule,
    pinned,
    rule_of,
    same_transaction,
    tag_of,
    unmined,
)
from toolkit.chain.rpc import Rpc, open_rpc
from toolkit.model.chain import Hash
from toolkit.model.checks import require_integer, require_seconds, shown
from toolkit.model.errors import ConfigError, NodeError, NodeUnavailable, RpcError

_PATIENCE_S = 0.3
_TRIES = 3
_DOWN_BLOCKS = 8  # how far below the newest block nodes may have parted and still be one chain


class QuorumRpc:
    """An `Rpc` over several nodes, so that `Node(QuorumRpc([...]))` is a node like any other.

    A transaction goes to all of them. A read is asked of all voters and answered when a quorum
    (more than half of them) says the same; what each method needs is in `quorum_rules.RULES`. So
    with three nodes, one that lies, lags or is dead changes nothing. Nodes that do not agree are
    asked again a few times; then it is a NodeError, never a guess.

    Args:
        nodes: addresses or clients; each has one vote.
        send_only: nodes that get transactions and are asked nothing else.
        quorum: how many must agree; more than half of the voters, which is the default.
        timeout_s: deadline of one request to one node, for nodes given by address.
        patience_s: how long the others are waited for once a quorum has answered, and how long
            it takes until nodes that disagree are asked again.

    Raises:
        ConfigError: no node, the same address twice, or a quorum that is none.
    """

    def __init__(
        self,
        nodes: Sequence[Rpc | str],
        *,
        send_only: Sequence[Rpc | str] = (),
        quorum: int | None = None,
        timeout_s: float = 10.0,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        for name, given in (("nodes", nodes), ("send_only", send_only)):
            if isinstance(given, str | bytes) or not isinstance(given, Sequence):
                raise ConfigError(f"{name} is {shown(given)}; give a list, also of one")
        require_seconds("timeout_s", timeout_s)
        require_seconds("patience_s", patience_s, zero=True)
        if quorum is not None:
            require_integer("quorum", quorum)
        least = len(nodes) // 2 + 1
        self.quorum = least if quorum is None else quorum
        if not nodes or not least <= self.quorum <= len(nodes):
            raise ConfigError(
                f"a quorum of {self.quorum} of {len(nodes)} nodes is refused: give at least one"
                f" node, and a quorum of {least} to {len(nodes)}, since fewer could contradict"
                f" each other"
            )
        for one in (*nodes, *send_only):
            if not hasattr(one, "batch") and not isinstance(one, str):
                raise ConfigError(f"a node is {shown(one)}; give an address or a client")
        clients = [
            open_rpc(one, timeout_s=timeout_s) if isinstance(one, str) else one
            for one in (*nodes, *send_only)
        ]
        self.urls = tuple(client.url for client in clients)
        if len(set(self.urls)) < len(self.urls):
            raise ConfigError("the same node address is given twice: it would have two votes")
        peers = [
            Peer(client, f"node {place} ({wire.public_url(client.url)})")
            for place, client in enumerate(clients, 1)
        ]
        self._all, self._voters = peers, peers[: len(nodes)]
        self._broadcaster = Broadcaster(self._voters, peers[len(nodes) :], quorum=self.quorum)
        self._patience_s = patience_s

    def __repr__(self) -> str:
        """Name the nodes without their credentials."""
        return f"QuorumRpc({self.quorum} of {', '.join(peer.name for peer in self._voters)})"

    @property
    def url(self) -> str:
        """The first node's address."""
        return self.urls[0]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self.close()

    async def call(
        self, method: str, params: Sequence[object] = (), *, timeout_s: float | None = None
    ) -> Any:
        """As `Rpc.call`, by the method's rule.

        Raises:
            RpcError: a quorum answered with an error.
            NodeUnavailable: too few answered; the error names those that did not.
            NodeError: they answered, and disagree.
            ConfigError: the method acts on one node's own state.
        """
        rule = rule_of(method, params)
        if rule.kind is Kind.BROADCAST:
            raw = str(params[0]) if params else ""
            return await self._broadcaster.send(raw, timeout_s=timeout_s)
        last: NodeError | None = None
        for attempt in range(_TRIES):
            if attempt:
                await asyncio.sleep(self._patience_s)
            try:
                return await self._answer(rule, method, params, timeout_s)
            except _Disagreement as error:
                last = error
        assert last is not None
        raise NodeError(str(last)) from None

    async def batch(
        self, calls: Sequence[wire.Call], *, timeout_s: float | None = None
    ) -> list[Any | RpcError]:
        """As `Rpc.batch`: each item by its own rule; one that is not agreed is asked again alone.

        Raises:
            NodeUnavailable, NodeError: as `call`, for any of the items.
        """
        rules = [rule_of(method, params) for method, params in calls]
        if any(rule.kind is Kind.BROADCAST for rule in rules):
            raise ConfigError("eth_sendRawTransaction in a batch is refused: send it alone")
        polls = [Poll(rule, self.quorum) for rule in rules]

        def taken(peer: Peer, found: Any) -> bool:
            for place, poll in enumerate(polls):
                poll.add(peer, found if isinstance(found, NodeError) else found[place])
            return all(poll.agreed() for poll in polls)

        if calls:
            await ask_all(
                self._voters,
                lambda rpc: rpc.batch(calls, timeout_s=timeout_s),
                taken,
                quorum=self.quorum,
                patience_s=self._patience_s,
            )
        return [
            await self._item(poll, method, params, timeout_s)
            for poll, (method, params) in zip(polls, calls, strict=True)
        ]

    async def each(self, method: str, params: Sequence[object] = ()) -> dict[str, Any | NodeError]:
        """Every node's own answer to a read, or its failure; by name, send-only nodes included."""
        rule_of(method, params)
        asked = [settled(peer.rpc.call(method, params)) for peer in self._all]
        found = await asyncio.gather(*asked)
        return {peer.name: answer for peer, answer in zip(self._all, found, strict=True)}

    def verdicts(self, tx_hash: Hash) -> dict[str, str]:
        """What each node said to a transaction, by its name; of the last thousand broadcasts."""
        return self._broadcaster.verdicts(tx_hash)

    async def drain(self) -> None:
        """Wait until every node has answered to every broadcast, or let its deadline pass."""
        await self._broadcaster.drain()

    def statistics(self) -> tuple[NodeRecord, ...]:
        """What each node did since the start."""
        return tuple(peer.record() for peer in self._all)

    async def close(self) -> None:
        """Close every connection; broadcasts that are still being answered are let go."""
        await self._broadcaster.close()
        for peer in self._all:
            await peer.rpc.close()

    async def _item(
        self, poll: Poll, method: str, params: Sequence[object], timeout_s: float | None
    ) -> Any | RpcError:
        rule = poll.rule
        exact = rule.kind in {Kind.SAME, Kind.HEAD} and rule.blend is None
        plain = exact and method != "eth_blockNumber" and tag_of(rule, params) != "pending"
        agreed = poll.agreed() if plain else []
        try:
            if agreed:
                return self._outcome(poll, agreed)
            return await self.call(method, params, timeout_s=timeout_s)
        except RpcError as error:
            return error

    async def _answer(
        self, rule: Rule, method: str, params: Sequence[object], timeout_s: float | None
    ) -> Any:
        tag = tag_of(rule, params)
        if method == "eth_blockNumber":
            return (await self._head("latest", timeout_s=timeout_s))["number"]
        if rule.kind is Kind.HEAD and tag is not None:
            full = bool(params[1]) if len(params) > 1 else False
            return await self._head(tag, full=full, timeout_s=timeout_s)
        if rule.kind is Kind.SAME and tag == "pending":
            tag, params = "latest", self._latest(rule, params)
        poll = await self._poll(rule, method, params, timeout_s)
        if agreed := poll.agreed():
            return self._outcome(poll, agreed)
        self._require_answers(poll, method)
        if tag is not None:  # they may be at different blocks: ask about one that a quorum has
            height = answers.quantity((await self._head(tag, timeout_s=timeout_s))["number"])
            return await self._answer(rule, method, pinned(rule, params, height), timeout_s)
        return self._chosen(poll, method)

    def _chosen(self, poll: Poll, method: str) -> Any:
        """What a rule makes of answers that are not the same."""
        if poll.rule.kind is Kind.FIRST:
            return self._outcome(poll, poll.votes[:1])
        if poll.rule.kind is Kind.REACHED:
            numbers = [vote.key for vote in poll.votes if isinstance(vote.key, int)]
            if len(numbers) >= self.quorum:  # else some say a number, some that it would fail
                return hex(sorted(numbers, reverse=True)[self.quorum - 1])
        if method == "eth_getTransactionByHash":
            known = poll.agreed(lambda vote: same_transaction(vote.answer))
            if known and isinstance(known[0].answer, dict):
                return unmined(known[0].answer)
        raise _Disagreement(poll, method)

    async def _head(
        self, tag: str, *, full: bool = False, timeout_s: float | None = None
    ) -> dict[str, Any]:
        """The highest block that a quorum has, with one hash, at or below its own `tag`."""
        method = "eth_getBlockByNumber"
        asked = "latest" if tag == "pending" else tag
        rule = rule_of(method, [asked])
        poll = await self._poll(rule, method, [asked, full], timeout_s)
        if agreed := poll.agreed():
            return self._block(self._outcome(poll, agreed), method)
        self._require_answers(poll, method)
        heights = sorted(
            (
                answers.quantity(vote.answer["number"])
                for vote in poll.votes
                if isinstance(vote.answer, dict)
            ),
            reverse=True,
        )
        if len(heights) < self.quorum:
            raise _Disagreement(poll, method)
        # So many of them have come this far; where they parted is at most a few blocks below.
        top = heights[self.quorum - 1]
        for height in range(top, max(-1, top - _DOWN_BLOCKS), -1):
            poll = await self._poll(rule, method, [hex(height), full], timeout_s)
            if agreed := poll.agreed():
                return self._block(self._outcome(poll, agreed), method)
        raise _Disagreement(poll, method)

    def _block(self, found: Any, method: str) -> dict[str, Any]:
        if not isinstance(found, dict):
            raise NodeError(f"a quorum of the nodes answered {method} without a block")
        return found

    def _latest(self, rule: Rule, params: Sequence[object]) -> list[object]:
        """The same request about the newest block: no node's pool speaks for the others'."""
        assert rule.block is not None
        return [*params[: rule.block], "latest", *params[rule.block + 1 :]]

    async def _poll(
        self, rule: Rule, method: str, params: Sequence[object], timeout_s: float | None
    ) -> Poll:
        poll = Poll(rule, self.quorum)
        # An estimate is better made of everybody's: of two, a lie may be the middle one.
        early = rule.kind is not Kind.REACHED and rule.blend is None

        def taken(peer: Peer, found: Any) -> bool:
            poll.add(peer, found)
            return bool(early and poll.agreed()) or bool(rule.kind is Kind.FIRST and poll.votes)

        await ask_all(
            self._voters,
            lambda rpc: rpc.call(method, params, timeout_s=timeout_s),
            taken,
            quorum=self.quorum,
            patience_s=self._patience_s,
        )
        return poll

    def _outcome(self, poll: Poll, agreed: list[Vote]) -> Any:
        for vote in poll.votes:
            if vote.key != agreed[0].key:
                vote.peer.counts["outvoted"] += 1
        answer = agreed[0].answer
        if isinstance(answer, RpcError):
            raise answer
        blend = poll.rule.blend
        return answer if blend is None else blend([vote.answer for vote in agreed])

    def _require_answers(self, poll: Poll, method: str) -> None:
        """Errors of a quorum are the answer; too few answers are none."""
        if len(poll.errors) >= self.quorum:
            raise poll.errors[0][1]
        if len(poll.votes) + len(poll.errors) < self.quorum and poll.rule.kind is not Kind.FIRST:
            raise NodeUnavailable(
                f"{len(poll.failures)} of {len(self._voters)} nodes did not answer {method}, and"
                f" {self.quorum} must: {'; '.join(poll.failed())}"
            )
        if poll.rule.kind is Kind.FIRST and not poll.votes:
            if poll.errors:
                raise poll.errors[0][1]
            raise NodeUnavailable(f"no node answered {method}: {'; '.join(poll.failed())}")


class _Disagreement(NodeError):
    """The nodes answered, and not the same; asking again may help."""

    def __init__(self, poll: Poll, method: str) -> None:
        super().__init__(f"the nodes disagree about {method}: {poll.told()}; ask again")
