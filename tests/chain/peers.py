"""One small chain, and nodes on it that are honest until a knob says otherwise."""

import asyncio
import re
from collections.abc import Sequence
from typing import Any

from toolkit.chain.hashing import keccak
from toolkit.chain.node import Node
from toolkit.chain.quorum import QuorumRpc
from toolkit.chain.signer import LocalSigner, decode_transaction
from toolkit.model.chain import Address, Hash
from toolkit.model.errors import NodeUnavailable, RpcError
from toolkit.model.tx import UnsignedTransaction

OWNER = Address("0x" + "aa" * 20)
PATIENCE_S = 0.02
# The first of Anvil's public accounts: known to everybody, worth nothing.
SIGNER = LocalSigner("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
RAW = SIGNER.sign_transaction_now(
    UnsignedTransaction(
        type=2,
        chain_id=31337,
        nonce=0,
        to=Address("0x" + "22" * 20),
        value=1,
        data="0x",
        gas=21_000,
        max_fee_per_gas=3 * 10**9,
        max_priority_fee_per_gas=10**9,
    )
)


def quiet(number: int) -> str:
    """The hash of a block of the common chain."""
    return "0x" + keccak(f"block {number}".encode()).hex()


class Chain:
    """What is true: the owner's count after each block, and the block of each transaction."""

    def __init__(self, height: int = 10) -> None:
        self.nonces = [0] * (height + 1)
        self.mined: dict[str, int] = {}

    @property
    def height(self) -> int:
        return len(self.nonces) - 1

    def mine(self, *hashes: str) -> None:
        """One more block with these transactions of the owner."""
        self.nonces.append(self.nonces[-1] + len(hashes))
        self.mined.update(dict.fromkeys(hashes, self.height))


class Peer:
    """A node (`toolkit.chain.rpc.Rpc`): `behind` blocks late, on another `fork` from a block on.

    `lies` maps a method to what it answers instead: a value, an exception, or a function of the
    honest answer. `dead` refuses connections, `silent` never answers.
    """

    def __init__(self, chain: Chain, name: str) -> None:
        self.chain, self.url = chain, f"http://{name}.example/secret-key"
        self.behind = 0
        self.fork: int | None = None
        self.lies: dict[str, Any] = {}
        self.dead = self.silent = False
        self.pool: list[str] = []
        self.asked: list[str] = []
        self.closed = False

    async def call(
        self,
        method: str,
        params: Sequence[Any] = (),
        *,
        timeout_s: float | None = None,  # noqa: ARG002 - it has no clock
    ) -> Any:
        self.asked.append(method)
        await asyncio.sleep(0)
        if self.dead:
            raise NodeUnavailable(f"no connection to {self.url[:16]}", sent=False)
        if self.silent:
            await asyncio.Event().wait()
        lie = self.lies.get(method)
        if isinstance(lie, Exception):
            raise lie
        if lie is not None and not callable(lie):
            return lie
        name = re.sub("[A-Z]", lambda found: "_" + found[0].lower(), method.partition("_")[2])
        answer = getattr(self, "_" + name)(*params)
        return lie(answer) if callable(lie) else answer

    async def batch(
        self, calls: Sequence[Any], *, timeout_s: float | None = None
    ) -> list[Any | RpcError]:
        found: list[Any | RpcError] = []
        for method, params in calls:
            try:
                found.append(await self.call(method, params, timeout_s=timeout_s))
            except RpcError as error:
                found.append(error)
        return found

    async def close(self) -> None:
        self.closed = True

    @property
    def head(self) -> int:
        """The newest block it has."""
        return self.chain.height - self.behind

    def hash_of(self, number: int) -> str:
        """Its block of this number."""
        forked = self.fork is not None and number >= self.fork
        return (
            "0x" + keccak(f"fork {self.url} {number}".encode()).hex() if forked else quiet(number)
        )

    def _at(self, where: Any) -> int:
        if isinstance(where, dict):
            numbers = [n for n in range(self.head + 1) if self.hash_of(n) == where["blockHash"]]
            number = numbers[0] if numbers else self.head + 1
        else:
            number = self.head if where in {"latest", "pending"} else int(where, 16)
        if number > self.head:
            raise RpcError(-32000, "header not found")
        return number

    def _chain_id(self) -> str:
        return "0x1"

    def _client_version(self) -> str:
        return f"Geth/{self.url[7]}"

    def _block_number(self) -> str:
        return hex(self.head)

    def _get_block_by_number(self, where: str, *_: Any) -> Any:
        number = self.head if where in {"latest", "pending"} else int(where, 16)
        return self.block(number) if number <= self.head else None

    def _get_block_by_hash(self, block_hash: str, *_: Any) -> Any:
        found = [n for n in range(self.head + 1) if self.hash_of(n) == block_hash]
        return self.block(found[0]) if found else None

    def block(self, number: int) -> dict[str, Any]:
        return {
            "number": hex(number),
            "hash": self.hash_of(number),
            "parentHash": self.hash_of(number - 1),
            "timestamp": hex(12 * number),
            "baseFeePerGas": "0x7",
            "gasLimit": "0x10000",
            "gasUsed": "0x0",
            "transactions": [h for h, n in self.chain.mined.items() if n == number],
        }

    def _get_transaction_count(self, account: str, where: Any = "latest") -> str:
        known = self.chain.nonces[self._at(where)] if account == OWNER else 0
        return hex(known + (len(self.pool) if where == "pending" else 0))

    def _get_balance(self, _: str, where: Any = "latest") -> str:
        return hex(10**18 - self._at(where))

    def _get_code(self, _: str, where: Any = "latest") -> str:
        return "0x" if self._at(where) < 11 else "0xEF0100"

    def _get_transaction_receipt(self, tx_hash: str) -> Any:
        number = self.chain.mined.get(tx_hash, self.head + 1)
        if number > self.head:
            return None
        return {
            "transactionHash": tx_hash,
            "blockNumber": hex(number),
            "blockHash": self.hash_of(number),
            "transactionIndex": "0x0",
            "from": OWNER,
            "to": OWNER.upper().replace("X", "x"),
            "status": "0x1",
            "gasUsed": "0x5208",
            "effectiveGasPrice": "0x1",
            "logs": [],
            f"extra-{self.url[7]}": "a client's own",
        }

    def _get_transaction_by_hash(self, tx_hash: str) -> Any:
        number = self.chain.mined.get(tx_hash, self.head + 1)
        if number > self.head and tx_hash not in self.pool:
            return None
        mined = number <= self.head
        return {
            "hash": tx_hash,
            "from": OWNER,
            "nonce": "0x0",
            "to": OWNER,
            "value": "0x1",
            "input": "0x",
            "blockHash": self.hash_of(number) if mined else None,
            "blockNumber": hex(number) if mined else None,
            "transactionIndex": "0x0" if mined else None,
        }

    def _estimate_gas(self, _: Any) -> str:
        return hex(21_000)

    def _gas_price(self) -> str:
        return hex(100)

    def _fee_history(self, _: str, where: Any, *__: Any) -> Any:
        number = self._at(where)
        return {
            "oldestBlock": hex(number),
            "baseFeePerGas": ["0x7", "0x8"],
            "gasUsedRatio": [0.5],
            "reward": [[hex(50)]],
        }

    def _send_raw_transaction(self, raw: str) -> str:
        tx_hash = decode_transaction(raw).hash
        if tx_hash in self.pool:
            raise RpcError(-32000, "already known")
        self.pool.append(tx_hash)
        return tx_hash


def as_hash(text: str) -> Hash:
    """Any hash."""
    return Hash("0x" + keccak(text.encode()).hex())


class Trio:
    """Three nodes on one chain, and the quorum of them."""

    def __init__(self, count: int = 3) -> None:
        self.chain = Chain()
        self.peers = [Peer(self.chain, name) for name in "abcde"[:count]]
        self.rpc = QuorumRpc(self.peers, patience_s=PATIENCE_S)
        self.node = Node(self.rpc)
