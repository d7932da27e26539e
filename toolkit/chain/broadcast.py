"""Telling several nodes of a transaction, and what their verdicts come to."""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Sequence

from toolkit.chain.hashing import keccak
from toolkit.chain.node_errors import classify
from toolkit.chain.quorum_poll import Peer, line
from toolkit.chain.rpc import Rpc
from toolkit.model.chain import Hash
from toolkit.model.errors import (
    AlreadyKnown,
    ConfigError,
    NodeError,
    NodeUnavailable,
    Recovery,
    RejectedByNode,
    RpcError,
    ToolkitError,
)

_REMEMBERED = 1024
_LATE = 256
_GRACE_S = 0.5
# Where as many refuse for one reason as for another, what can be taken back is done first.
_CAUTION = (
    Recovery.RESYNC,
    Recovery.WAIT,
    Recovery.FILL_GAP,
    Recovery.RAISE_FEES,
    Recovery.FAIL,
)
_Verdict = NodeError | RejectedByNode | None  # None: it has the bytes


class Broadcaster:
    """Hands signed bytes to every node; one that accepts is enough.

    Each node is told exactly once per `send`: nothing below a lane repeats a transaction. A node
    that is slower than the first to accept is told all the same, and its verdict remembered.
    """

    def __init__(self, voters: Sequence[Peer], others: Sequence[Peer], *, quorum: int) -> None:
        self._voters, self._all, self._quorum = tuple(voters), (*voters, *others), quorum
        self._verdicts: OrderedDict[Hash, dict[str, str]] = OrderedDict()
        self._late: set[asyncio.Task[None]] = set()

    async def send(self, raw: str, *, timeout_s: float | None) -> Hash:
        """Tell all nodes, and return the bytes' hash as soon as one accepts.

        "Already known" is an acceptance. A node that answers with anything but the bytes' own
        hash has not accepted.

        Raises:
            RpcError: nobody accepted, and a quorum of the voters refuses; a refusal that would
                end the request for good counts only when no node may hold the bytes.
            NodeUnavailable: nobody accepted, and too few are known to refuse; names each node.
            ConfigError: the bytes are no hex.
        """
        tx_hash = _hash_of(raw)
        remembered = self._remember(tx_hash)
        found: dict[Peer, _Verdict] = {}
        accepted = asyncio.Event()

        async def tell(peer: Peer) -> None:
            found[peer] = verdict = await _verdict(peer.rpc, raw, tx_hash, timeout_s)
            remembered[peer.name] = "accepted" if verdict is None else line(verdict)
            peer.heard(verdict)
            if verdict is None:
                accepted.set()

        tasks = {asyncio.create_task(tell(peer), name="broadcast") for peer in self._all}
        for task in tasks:
            self._late.add(task)
            task.add_done_callback(self._late.discard)
        await _first(accepted, tasks)
        while len(self._late) > _LATE:
            await asyncio.wait(self._late, return_when=asyncio.FIRST_COMPLETED)
        if accepted.is_set():
            return tx_hash
        raise self._refused(found)

    def verdicts(self, tx_hash: Hash) -> dict[str, str]:
        """What each node said to a transaction, by its name; of the last thousand."""
        return dict(self._verdicts.get(tx_hash, {}))

    async def drain(self) -> None:
        """Wait until every node that was told has answered, or has let its deadline pass."""
        while self._late:
            await asyncio.wait(self._late)

    async def close(self) -> None:
        """Give slow nodes a moment to take what they were told, then let go of them."""
        if self._late:
            await asyncio.wait(self._late, timeout=_GRACE_S)
        for task in tuple(self._late):
            task.cancel()
        if self._late:
            await asyncio.wait(self._late)

    def _refused(self, found: dict[Peer, _Verdict]) -> NodeError:
        refusals = [
            error for peer in self._voters if isinstance(error := found[peer], RejectedByNode)
        ]
        silent = [error for error in found.values() if isinstance(error, NodeError)]
        may_have_it = any(getattr(error, "sent", True) for error in silent)
        if len(refusals) >= self._quorum:
            counts = Counter(error.recovery for error in refusals)
            likely = max(_CAUTION, key=lambda one: counts[one])  # the first of the most frequent
            # A request that ends as refused must not be mined after all.
            if likely is not Recovery.FAIL or not may_have_it:
                first = next(error for error in refusals if error.recovery is likely)
                return RpcError(first.code, first.args[0])
        said = "; ".join(f"{peer.name}: {line(error)}" for peer, error in found.items())
        return NodeUnavailable(
            f"no node took the transaction, and no quorum of {self._quorum} is known to refuse it"
            f" for good: {said}",
            sent=may_have_it,
        )

    def _remember(self, tx_hash: Hash) -> dict[str, str]:
        verdicts = self._verdicts.setdefault(tx_hash, {})
        self._verdicts.move_to_end(tx_hash)
        while len(self._verdicts) > _REMEMBERED:
            self._verdicts.popitem(last=False)
        return verdicts


def _hash_of(raw: str) -> Hash:
    try:
        blob = bytes.fromhex(raw.removeprefix("0x"))
    except ValueError:
        blob = b""
    if not blob:
        raise ConfigError("raw transaction is no hex: give signed bytes as 0x hex")
    return Hash("0x" + keccak(blob).hex())


async def _verdict(rpc: Rpc, raw: str, tx_hash: Hash, timeout_s: float | None) -> _Verdict:
    try:
        answer = await rpc.call("eth_sendRawTransaction", [raw], timeout_s=timeout_s)
    except RpcError as error:
        verdict = classify(error.code, error.message, error.data)
        if isinstance(verdict, AlreadyKnown):
            return None
        return verdict if isinstance(verdict, RejectedByNode) else error
    except NodeError as error:
        return error
    except ToolkitError as error:
        return NodeUnavailable(str(error), sent=False)
    if isinstance(answer, str) and answer.lower() == tx_hash:
        return None
    return NodeError("it answered with something other than the transaction's hash")


async def _first(accepted: asyncio.Event, tasks: set["asyncio.Task[None]"]) -> None:
    """Wait until one accepted or all have answered."""
    waiting = set(tasks)
    while waiting and not accepted.is_set():
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
