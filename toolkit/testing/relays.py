"""Relays and the builders behind them in virtual time, and a world whose blocks those build.

What a relay is told it may take, refuse, forget, take too late, or take and not say so. A block is
built by the public node or by one relay's builder, which knows the public pool and what that relay
holds for this block.
"""

import random
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from toolkit.bundles.hashes import bundle_hash
from toolkit.bundles.profiles import PROFILES, Profile, Signature
from toolkit.bundles.relay import Relay, Sealed
from toolkit.chain.signer import decode_transaction
from toolkit.model.bundle import Bundle
from toolkit.model.chain import Address, Hash, Head, Receipt
from toolkit.model.errors import NodeError, RelayRejected, RelayUnavailable, RpcError
from toolkit.model.tx import SignedTransaction
from toolkit.testing.fakes import BatchingWorld, Block

RELAY_FAULTS: Mapping[str, float] = MappingProxyType(
    {
        "unheard": 0.12,  # a timeout, 500 or HTML, and nothing was taken
        "limited": 0.06,  # HTTP 429 or a refusal in words
        "answer lost": 0.12,  # taken, but no answer came
        "forgotten": 0.10,  # answered as if taken
        "late": 0.08,  # taken for the block after the next
    }
)
"""What goes wrong with a request, and how often; the rest is taken and said so."""

PUBLIC_BUILDER = Address("0x" + "b0" * 20)
_OVER = frozenset({"unheard", "limited", "forgotten"})


class Held(NamedTuple):
    """What a relay holds: one transaction or a bundle, for these blocks."""

    transactions: tuple[SignedTransaction, ...]
    first_block: int
    last_block: int
    uuid: str | None = None

    def is_for(self, number: int) -> bool:
        """Whether it may be in this block."""
        return self.first_block <= number <= self.last_block


class BuiltWorld(BatchingWorld):
    """A world whose blocks are built by the public node or behind one of its relays.

    It also answers what is asked about a block by its hash, as a bundle's end is.
    """

    def __init__(self, rng: random.Random, **faults: float) -> None:
        super().__init__(rng, **faults)
        self.relays: list[ModelRelay] = []
        self.builders: dict[Hash, Address] = {}
        self.rpc = _NoTraces()

    def mine(self, *, capacity: int = 4, only: Any = ()) -> Head:
        """Seal the next block, with what its builder knows and is told."""
        winner = self.rng.choice([None, *self.relays])
        if only or not capacity or winner is None:
            return super().mine(capacity=capacity, only=only)
        chosen = self._drawn(winner, capacity)
        head = super().mine(only=chosen) if chosen else super().mine(capacity=0)
        self.builders[head.hash] = winner.coinbase
        return head

    def _drawn(self, winner: "ModelRelay", capacity: int) -> list[SignedTransaction]:
        """Bundles wherever their turn comes, between them any transaction of the next nonce."""
        number, chosen = len(self.blocks), list[SignedTransaction]()
        held = [one.transactions for one in winner.held if one.is_for(number)]
        while len(chosen) < capacity and not self.strikes("skip"):
            nonce = self.spent + len(chosen)
            offers = [one for one in held if one[0].unsigned.nonce == nonce]
            offers += [(self.pool[nonce],)] if nonce in self.pool else []
            dear = [o for o in offers if all(t.unsigned.fee_cap >= self.base_fee for t in o)]
            if not dear:
                break
            chosen += self.rng.choice(dear)
        return chosen

    async def block(self, block: Hash, *, full: bool = False) -> dict[str, Any]:
        """A block by its hash, as a node gives it."""
        await self._asked()
        found = self._by_hash(block)
        return {
            "miner": self.builders.get(found.head.hash, PUBLIC_BUILDER),
            "transactions": [_told(one) if full else one.hash for one in found.transactions],
        }

    async def head(self, block: int | str = "latest") -> Head:
        """A block's header, by number or hash."""
        if isinstance(block, str) and block.startswith("0x"):
            await self._asked()
            return self._by_hash(block).head
        return await super().head(block)

    async def nonce(self, account: Address, block: int | str = "latest") -> int:
        """The account's count; by hash it is that of the very block."""
        if isinstance(block, str) and block.startswith("0x"):
            await self._asked()
            return self._by_hash(block).counts.get(account, 0)
        return await super().nonce(account, block)

    async def receipts(self, block: int | str) -> tuple[Receipt, ...]:
        """Every receipt of a block, by number or hash."""
        found = self._by_hash(block) if isinstance(block, str) else self.blocks[block]
        return await super().receipts(found.head.number)

    def _by_hash(self, block: str) -> Block:
        for found in reversed(self.blocks):
            if found.head.hash == block:
                return found
        raise NodeError(f"the node has no block {block}")


def _told(signed: SignedTransaction) -> dict[str, Any]:
    unsigned = signed.unsigned
    return {
        "hash": signed.hash,
        "from": signed.sender,
        "nonce": hex(unsigned.nonce),
        "to": unsigned.to,
        "value": hex(unsigned.value),
        "input": unsigned.data,
        "gas": hex(unsigned.gas),
        "gasPrice": hex(unsigned.fee_cap),
    }


class _NoTraces:
    """A node that knows no debug methods."""

    async def batch(self, calls: list[object]) -> list[object]:
        """Refuse each."""
        return [RpcError(-32601, "the method does not exist") for _ in calls]


class ModelRelay(Relay):
    """A relay of a world, and the builder behind it.

    Args:
        world: whose blocks it builds.
        name: of the relay.
        heard: told of everything that is handed over, before the relay makes up its mind.
    """

    def __init__(
        self,
        world: BuiltWorld,
        name: str,
        heard: "Callable[[ModelRelay, Held], None]",
    ) -> None:
        dialect = PROFILES["devnet"].dialect
        profile = Profile(name=name, host="", dialect=dialect, signature=Signature.NONE)
        self.coinbase = Address(f"0xb1{len(world.relays):038x}")
        super().__init__(
            f"http://{name}.invalid",
            name=name,
            profile=profile,
            fee_recipients=frozenset({self.coinbase}),
        )
        self.held: list[Held] = []
        self._world = world
        self._heard = heard
        world.relays.append(self)

    async def seal_bundle(self, bundle: Bundle) -> Sealed:  # noqa: ARG002 - the seam
        """Nothing is written: this relay takes values."""
        await self._world.pause()
        return Sealed(body=b"", header=None)

    async def send_bundle(
        self,
        bundle: Bundle,
        *,
        sealed: Sealed | None = None,  # noqa: ARG002 - the seam
    ) -> Hash | None:
        """Take a bundle for its block, or not; a uuid replaces what had it."""
        transactions = tuple(decode_transaction(raw) for raw in bundle.transactions)
        block = bundle.target_block
        await self._told(Held(transactions, block, block, bundle.replacement_uuid))
        return None

    async def send_private_transaction(self, raw: str, *, max_block: int) -> Hash:
        """Take a transaction up to a block, or not."""
        signed = decode_transaction(raw)
        await self._told(Held((signed,), 0, max_block))
        return signed.hash

    async def cancel_bundle(
        self,
        uuid: str,
        *,
        target_block: int | None = None,  # noqa: ARG002 - the seam
        replacement_nonce: int | None = None,  # noqa: ARG002 - the seam
    ) -> tuple[Hash, ...] | None:
        """Forget a bundle, or not hear of it."""
        await self._world.pause()
        fault = self._fault()
        if fault in {"unheard", "limited"}:
            raise RelayUnavailable(f"{self.name} is away", relay=self.name)
        gone = [one for one in self.held if one.uuid == uuid]
        self.held = [one for one in self.held if one.uuid != uuid]
        if fault == "answer lost":
            raise RelayUnavailable(f"{self.name} did not answer", relay=self.name)
        return tuple(bundle_hash(signed.hash for signed in one.transactions) for one in gone)

    async def close(self) -> None:
        """There is no connection."""

    async def _told(self, held: Held) -> None:
        await self._world.pause()
        self._heard(self, held)
        fault = self._fault()
        if fault == "limited":
            raise RelayRejected(f"{self.name} takes no more", relay=self.name)
        if fault not in _OVER:
            self._take(held._replace(first_block=self._late()) if fault == "late" else held)
        if fault in {"unheard", "answer lost"}:
            raise RelayUnavailable(f"{self.name} gave no answer", relay=self.name)

    def _late(self) -> int:
        return len(self._world.blocks) + 1

    def _take(self, held: Held) -> None:
        number = len(self._world.blocks)
        self.held = [
            one
            for one in self.held
            if one.last_block >= number and (held.uuid is None or one.uuid != held.uuid)
        ]
        self.held.append(held)
        if len(held.transactions) == 1 and held.uuid is None:
            (signed,) = held.transactions
            known = self._world.known.setdefault(signed.unsigned.nonce, [])
            if signed not in known:
                known.append(signed)

    def _fault(self) -> str:
        """What goes wrong now, if anything; nothing does once the world is healthy."""
        left = self._world.rng.random() if self._world.faults else 1.0
        for name, rate in RELAY_FAULTS.items():
            if left < rate:
                self._world.struck[name] += 1
                return name
            left -= rate
        return ""
