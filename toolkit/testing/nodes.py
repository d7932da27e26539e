"""Several nodes, some of which lie, lag or are dead, behind one quorum."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from toolkit.chain.hashing import keccak
from toolkit.chain.node import Node
from toolkit.chain.quorum import QuorumRpc
from toolkit.chain.wire import Call
from toolkit.model.chain import Address, Hash
from toolkit.model.errors import ConfigError, NodeError, NodeUnavailable, RpcError
from toolkit.model.tx import TransactionRequest
from toolkit.testing.coverage import Coverage

ACCOUNT = Address("0x" + "aa" * 20)
_GAS = 21_000
_LIE = 1_000_000
_LATE = 5  # blocks that a node may be behind


class Chain:
    """What is true: the account's count as of each block, and the block of each transaction."""

    def __init__(self, rng: random.Random, height: int) -> None:
        self.counts = [0]
        self.mined: dict[Hash, int] = {}
        for number in range(1, height + 1):
            spent = rng.randrange(3)
            self.counts.append(self.counts[-1] + spent)
            for index in range(spent):
                self.mined[_hash(f"transaction {number} {index}")] = number

    @property
    def height(self) -> int:
        """The newest block."""
        return len(self.counts) - 1


class Peer:
    """One node (`toolkit.chain.rpc.Rpc`): honest, `behind`, `dead`, or telling the common lie."""

    def __init__(self, chain: Chain, name: str) -> None:
        self.url = f"http://{name}.example"
        self.behind = 0
        self.dead = self.lies = False
        self.turns = 0  # of the loop until it answers
        self._chain = chain

    async def call(
        self,
        method: str,
        params: Sequence[Any] = (),
        *,
        timeout_s: float | None = None,  # noqa: ARG002 - it has no clock
    ) -> Any:
        """Answer after a few turns of the loop."""
        for _ in range(1 + self.turns):
            await asyncio.sleep(0)
        if self.dead:
            raise NodeUnavailable("connection refused", sent=False)
        return self._answer(method, list(params))

    async def batch(
        self, calls: Sequence[Call], *, timeout_s: float | None = None
    ) -> list[Any | RpcError]:
        """Answer one by one."""
        return [await self.call(method, params, timeout_s=timeout_s) for method, params in calls]

    async def close(self) -> None:
        """Nothing to close."""

    def _answer(self, method: str, params: list[Any]) -> Any:
        match method:
            case "eth_blockNumber":
                return hex(self._head())
            case "eth_getBlockByNumber":
                return self._block(self._number(params[0]))
            case "eth_getTransactionCount":
                count = self._chain.counts[self._known(params[1])]
                return hex(count + _LIE if self.lies else count)
            case "eth_estimateGas":
                return hex(_GAS * 100 if self.lies else _GAS)
            case "eth_getTransactionReceipt":
                return self._receipt(params[0])
        raise RpcError(-32601, f"the method {method} does not exist")

    def _head(self) -> int:
        return self._chain.height + _LIE if self.lies else self._chain.height - self.behind

    def _number(self, tag: str) -> int:
        return self._head() if tag in {"latest", "pending"} else int(tag, 16)

    def _known(self, tag: str) -> int:
        number = self._number(tag)
        if self.lies:
            return min(number, self._chain.height)
        if number > self._head():
            raise RpcError(-32000, "header not found")
        return number

    def _block(self, number: int) -> dict[str, Any] | None:
        if number > self._head():
            return None
        fork = "lie" if self.lies else "block"
        return {
            "number": hex(number),
            "hash": _hash(f"{fork} {number}"),
            "parentHash": _hash(f"{fork} {number - 1}"),
            "timestamp": hex(12 * number),
            "baseFeePerGas": "0x7",
            "gasLimit": "0x1c9c380",
            "gasUsed": "0x0",
            "transactions": [],
        }

    def _receipt(self, tx_hash: Hash) -> dict[str, Any] | None:
        number = self._chain.mined.get(tx_hash)
        if self.lies:
            number = self._chain.height if number is None else None
        if number is None or (number > self._head()):
            return None
        return {
            "transactionHash": tx_hash,
            "blockNumber": hex(number),
            "blockHash": _hash(f"block {number}"),
            "transactionIndex": "0x0",
            "from": ACCOUNT,
            "to": ACCOUNT,
            "status": "0x1",
            "gasUsed": hex(_GAS),
            "effectiveGasPrice": "0x1",
            "logs": [],
        }


def live_with_nodes(seed: int, *, steps: int = 12) -> Coverage:
    """One seeded life behind a quorum of which fewer lie than it takes.

    Raises:
        AssertionError: a lie was believed, or too few answers passed for one.
    """
    return asyncio.run(_NodesLife(seed).run(steps))


class _NodesLife:
    def __init__(self, seed: int) -> None:
        self.seed, self.coverage = seed, Coverage()
        self.rng = random.Random(seed)  # noqa: S311 - a life is drawn, not a secret
        self.chain = Chain(self.rng, self.rng.randint(12, 16))
        self.peers = [Peer(self.chain, name) for name in "abcde"[: self.rng.choice([3, 4, 5])]]

    async def run(self, steps: int) -> Coverage:
        nodes, quorum = list(self.peers), None
        if self.rng.random() < 0.3:  # noqa: PLR2004 - now and then somebody sets it up wrongly
            quorum = self.rng.randint(1, len(nodes))
        if self.rng.random() < 0.2:  # noqa: PLR2004 - and gives a node two votes
            nodes[1] = Peer(self.chain, "a")
        try:
            rpc = QuorumRpc(nodes, quorum=quorum, patience_s=0)
        except ConfigError:
            self.coverage.ends["set-up refused"] += 1
            self.coverage.close(most_in_flight=0, faults=0)
            return self.coverage
        try:
            for _ in range(steps):
                await self._step(Node(rpc), nodes, rpc.quorum)
        except AssertionError as error:
            error.add_note(f"seed {self.seed}")
            raise
        finally:
            await rpc.close()
        self.coverage.close(most_in_flight=len(nodes), faults=self.coverage.faults.total())
        return self.coverage

    async def _step(self, node: Node, nodes: list[Peer], quorum: int) -> None:
        """Somebody lies, lags or dies: fewer of those that were named than half."""
        for peer in nodes:
            peer.lies, peer.dead, peer.behind = False, False, 0
            peer.turns = self.rng.randrange(4)
        hosts = sorted({peer.url for peer in nodes})
        few = self.rng.randint(0, (len(nodes) - 1) // 2)
        bad = set(self.rng.sample(hosts, min(few, len(hosts))))
        fault = self.rng.choice(["lies", "lies", "dead", "behind"])
        for peer in nodes:
            if peer.url in bad:
                self.coverage.faults[fault] += 1
                setattr(peer, fault, self.rng.randint(1, _LATE) if fault == "behind" else True)
        most_dead = self.rng.random() < 0.15  # noqa: PLR2004 - now and then most are gone
        if most_dead:
            for peer in self.rng.sample(nodes, len(nodes) - quorum + 1):
                peer.dead = True
        self.coverage.events += 1
        if self.rng.random() < 0.4:  # noqa: PLR2004 - blocks reach nodes one after the other
            for peer in nodes:
                peer.behind = peer.behind or self.rng.randint(0, 2)
        gone = sum(one.dead for one in nodes) > len(nodes) - quorum
        well = [one for one in nodes if not (one.dead or one.lies)]
        level = not any(one.behind for one in nodes)
        await self._ask(node, gone=gone, well=len(well) >= quorum, level=level)

    async def _ask(self, node: Node, *, gone: bool, well: bool, level: bool) -> None:
        asked = self.rng.choice([self._count, self._height, self._head, self._gas, self._receipt])
        self.coverage.actions[asked.__name__.removeprefix("_")] += 1
        well = well and (level or asked in {self._height, self._head})
        end = "answered"
        try:
            await asked(node)
        except NodeUnavailable:
            end = "too few answered"
        except NodeError:
            end = "no agreement"
        self.coverage.ends[end] += 1
        assert not gone or end == "too few answered", f"most nodes are gone, and it says: {end}"
        assert not well or end == "answered", f"a quorum is well, and it says: {end}"

    async def _count(self, node: Node) -> None:
        block = self.rng.randrange(self.chain.height + 1)
        found = await node.nonce(ACCOUNT, block)
        assert found == self.chain.counts[block], f"count {found} as of block {block}"

    async def _height(self, node: Node) -> None:
        found = int(await node.rpc.call("eth_blockNumber"), 16)
        assert found <= self.chain.height, f"block {found} is nobody's but a liar's"

    async def _head(self, node: Node) -> None:
        head = await node.head()
        assert head.hash == _hash(f"block {head.number}"), f"head {head.number} is a lie"

    async def _gas(self, node: Node) -> None:
        found = await node.estimate_gas(TransactionRequest(to=ACCOUNT), sender=ACCOUNT)
        assert found == _GAS, f"{found} gas"

    async def _receipt(self, node: Node) -> None:
        old = [tx for tx, block in self.chain.mined.items() if block <= self.chain.height - _LATE]
        known = self.rng.choice([*old, _hash("nothing")])
        receipt = await node.receipt(known)
        block = self.chain.mined.get(known)
        told = None if receipt is None else receipt.block_number
        assert told == block, f"{known} is in {block}, and said to be in {told}"


def _hash(text: str) -> Hash:
    return Hash("0x" + keccak(text.encode()).hex())
