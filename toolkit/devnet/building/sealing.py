from collections import deque
from collections.abc import Iterable, Sequence
from random import Random
from urllib.parse import urlsplit

import msgspec

from toolkit.chain.node import Node
from toolkit.chain.rpc import Rpc
from toolkit.chain.wire import Call
from toolkit.devnet.builders import Builder
from toolkit.devnet.building.admission import Refusal, accounts_of
from toolkit.devnet.building.merging import Consideration, Merge, Merger, missed
from toolkit.devnet.building.orders import Order
from toolkit.devnet.building.pipeline import in_order
from toolkit.devnet.building.simulation import SlotEnv
from toolkit.devnet.gate import Gate
from toolkit.devnet.mempool import PooledTransaction
from toolkit.devnet.public_pool import PublicPool, pack
from toolkit.logs import log_of
from toolkit.model.bundle import MissCause
from toolkit.model.chain import Address, Hash, Head, Mode
from toolkit.model.errors import DevnetError, RpcError
from toolkit.model.tx import SignedTransaction

MAX_SLOTS_KEPT = 10_000


class SlotRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The truth about one slot: who built it, and what became of every order for it."""

    number: int
    block_hash: Hash
    builder: str
    fee_recipient: Address
    considered: tuple[Consideration, ...]
    public: tuple[Hash, ...]  # mined from the public pool, in order
    dropped: tuple[Hash, ...] = ()  # public ones the pool no longer holds


class Market:
    """Builders that compete for slots by a seeded lottery, and the sealing of the winner's block.

    Every block goes through here, one at a time. Anvil's pool is empty but for the moment in which
    a block is sealed: it is given that block's transactions, in their order. The block it mined is
    compared with the plan: nothing is ever mined speculatively.
    """

    def __init__(
        self,
        rpc: Rpc,
        builders: Sequence[Builder],
        *,
        pool: PublicPool,
        seed: int,
        chain_id: int,
        mode: Mode,
        head: Head,
    ) -> None:
        self._rpc = rpc
        self._node = Node(rpc)
        self._seed = seed
        self._chain_id = chain_id
        self.builders = tuple(builders)
        self.pool = pool
        self.first = self.head = head
        self.slots: deque[SlotRecord] = deque(maxlen=MAX_SLOTS_KEPT)
        self.gate = Gate()
        self._log = log_of(__name__, mode)

    async def seal(self) -> Head:
        """Build and mine the next block; the new head.

        Raises:
            DevnetError: Anvil mined something else than was planned (somebody bypassed the rpc).
        """
        async with self.gate.closure():
            # What somebody sent straight to Anvil went round the pool's rules.
            await self._rpc.call("anvil_dropAllTransactions")
            try:
                slot, mined = await self._seal()
            except BaseException:
                await self._rpc.call("anvil_dropAllTransactions")
                raise
            dropped = await self.pool.renew(mined=mined)
            self.slots.append(msgspec.structs.replace(slot, dropped=dropped))
            await self.follow()
            bundles = sum(c.included and not c.is_private_transaction for c in slot.considered)
            self._log.info("slot_sealed", block=slot.number, builder=slot.builder, bundles=bundles)
            return self.head

    async def follow(self) -> Head:
        """Take the node's head for the market's, after it moved in whatever way."""
        self.head = await self._node.head()
        for builder in self.builders:
            builder.advance(self.head)
        return self.head

    async def _seal(self) -> tuple[SlotRecord, tuple[Hash, ...]]:
        env, builder = await self._slot()
        orders = [each for each in builder.orders() if each.wants(env.number, env.timestamp)]
        merge, public = await self._submit(orders, env)
        await self._rpc.call("anvil_setCoinbase", (builder.fee_recipient,))
        await self._rpc.call("evm_mine")
        block = await self._node.block()
        mined: tuple[Hash, ...] = tuple(block["transactions"])
        bundled = tuple(each.hash for each in merge.transactions)
        # Anvil skips a public transaction that turned out unaffordable; a bundle never.
        rest = iter(each.hash for each in public)
        if mined[: len(bundled)] != bundled or not all(
            each in rest for each in mined[len(bundled) :]
        ):
            raise DevnetError(
                f"block {env.number} is not the planned one: {len(mined)} transactions mined,"
                f" {len(bundled) + len(public)} planned; send and mine through the devnet's rpc"
            )
        slot = SlotRecord(
            number=env.number,
            block_hash=block["hash"],
            builder=builder.name,
            fee_recipient=builder.fee_recipient,
            considered=(*merge.considered, *self._elsewhere(builder, env)),
            public=mined[len(bundled) :],
        )
        return slot, mined

    async def _slot(self) -> tuple[SlotEnv, Builder]:
        # Anvil's own idea of the next block: a test may have set its base fee or time.
        pending = await self._node.block("pending")
        number = int(pending["number"], 16)
        builder = self._winner(number)
        env = SlotEnv(
            number=number,
            timestamp=int(pending["timestamp"], 16),
            base_fee_per_gas=int(pending["baseFeePerGas"], 16),
            gas_limit=int(pending["gasLimit"], 16),
            fee_recipient=builder.fee_recipient,
        )
        return env, builder

    def _winner(self, number: int) -> Builder:
        lottery = Random(f"slot/{self._seed}/{number}")  # noqa: S311 - a scenario, not a secret
        shares = [builder.share for builder in self.builders]
        return lottery.choices(self.builders, weights=shares)[0]

    async def _submit(
        self, orders: Sequence[Order], env: SlotEnv
    ) -> tuple[Merge, tuple[PooledTransaction, ...]]:
        """Merge, and put the block's transactions into Anvil's empty pool in their order.

        A bundle whose transaction Anvil refuses (it spends what an earlier transaction brings) is
        left out, and the rest merged anew.
        """
        candidates = tuple(self.pool.mempool.candidates(env.base_fee_per_gas))
        refused: dict[int, Refusal] = {}
        while True:
            nonces = await self._nonces(orders, candidates)
            merger = Merger(self._rpc, env, chain_id=self._chain_id, nonces=nonces)
            left = [number for number in range(len(orders)) if number not in refused]
            merge = await merger.merge([orders[number] for number in left])
            culprit = await self._offer(merge.transactions)
            if culprit is None:
                break
            signed, message = culprit
            refusal = Refusal(MissCause.REVERTED_SIM, f"refused by the node: {message}")
            refused |= {number: refusal for number in left if signed in orders[number].transactions}
            await self._rpc.call("anvil_dropAllTransactions")
        for signed in merge.transactions:
            nonces[signed.sender] = signed.unsigned.nonce + 1
        public = pack(
            candidates,
            nonces=nonces,
            base_fee_wei=env.base_fee_per_gas,
            gas=env.gas_limit - merge.gas_used,
            taken=frozenset(each.hash for each in merge.transactions),
        )
        await self._fill([_sending(each) for each in public])
        late = (missed(orders[number], refusal) for number, refusal in refused.items())
        return msgspec.structs.replace(merge, considered=(*merge.considered, *late)), public

    async def _nonces(
        self, orders: Iterable[Order], pool: Iterable[PooledTransaction]
    ) -> dict[Address, int]:
        senders = accounts_of(orders) | {each.sender for each in pool}
        ordered = sorted(senders)
        counts = await self._rpc.batch(
            [("eth_getTransactionCount", (sender, "latest")) for sender in ordered]
        )
        return {s: int(str(count), 16) for s, count in zip(ordered, counts, strict=True)}

    async def _offer(
        self, transactions: Sequence[SignedTransaction]
    ) -> tuple[SignedTransaction, str] | None:
        answers = await self._fill([("eth_sendRawTransaction", (t.raw,)) for t in transactions])
        for signed, answer in zip(transactions, answers, strict=True):
            if isinstance(answer, RpcError):
                return signed, answer.message
        return None

    async def _fill(self, calls: Sequence[Call]) -> list[object]:
        return await in_order(urlsplit(self._rpc.url).port or 0, calls)

    def _elsewhere(self, winner: Builder, env: SlotEnv) -> list[Consideration]:
        """Orders for this slot that the winner did not have, and those that were withdrawn."""
        known = {order.bundle_hash for order in winner.orders()}
        found: dict[Hash, Consideration] = {}
        for builder in self.builders:
            for order in builder.orders():
                if order.bundle_hash not in known and order.wants(env.number, env.timestamp):
                    refusal = Refusal(
                        MissCause.WRONG_BUILDER, f"{winner.name} built, without having it"
                    )
                    found[order.bundle_hash] = missed(order, refusal)
        for order in winner.cancelled():
            if order.bundle_hash not in known and order.wants(env.number, env.timestamp):
                refusal = Refusal(MissCause.CANCELLED, "withdrawn in time")
                found[order.bundle_hash] = missed(order, refusal)
        return list(found.values())


def _sending(tx: PooledTransaction) -> Call:
    if tx.call is not None:
        return "eth_sendTransaction", (tx.call,)
    return "eth_sendRawTransaction", (tx.raw,)
