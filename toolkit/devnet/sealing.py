from collections import deque
from collections.abc import Iterable, Sequence
from random import Random

import msgspec

from toolkit.chain.node import Node
from toolkit.chain.rpc import Rpc
from toolkit.devnet.builders import Builder
from toolkit.devnet.gate import Gate
from toolkit.devnet.merging import Consideration, Merge, Merger
from toolkit.devnet.orders import Order
from toolkit.devnet.public_pool import Pending, pack, put_back, read_pool
from toolkit.devnet.simulation import SlotEnv
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

    Every block goes through here, one at a time. The block that Anvil mined is compared with the
    plan: nothing is ever mined speculatively.
    """

    def __init__(
        self,
        rpc: Rpc,
        builders: Sequence[Builder],
        *,
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
        self.head = head
        self.slots: deque[SlotRecord] = deque(maxlen=MAX_SLOTS_KEPT)
        self.gate = Gate()
        self._log = log_of(__name__, mode)

    async def seal(self) -> Head:
        """Build and mine the next block; the new head.

        Raises:
            DevnetError: Anvil mined something else than was planned (somebody bypassed the rpc).
        """
        async with self.gate.closure():
            pool = await read_pool(self._rpc)
            await self._rpc.call("anvil_dropAllTransactions")
            try:
                slot, head = await self._seal(pool)
            except BaseException:
                await self._rpc.call("anvil_dropAllTransactions")
                await put_back(self._rpc, pool)
                raise
            mined = {
                *slot.public,
                *(h for c in slot.considered if c.included for h in c.transactions),
            }
            rest = [each for each in pool if each.hash not in mined]
            dropped = await put_back(self._rpc, rest)
            self.slots.append(msgspec.structs.replace(slot, dropped=dropped))
            self.head = head
            for builder in self.builders:
                builder.advance(head)
            bundles = sum(c.included and not c.is_private_transaction for c in slot.considered)
            self._log.info("slot_sealed", block=slot.number, builder=slot.builder, bundles=bundles)
            return head

    async def _seal(self, pool: Sequence[Pending]) -> tuple[SlotRecord, Head]:
        number = (await self._node.head()).number + 1
        builder = self._winner(number)
        env = await self._env(builder)
        orders = [each for each in builder.orders() if each.wants(env.number, env.timestamp)]
        merge, public = await self._submit(orders, pool, env)
        await self._rpc.call("anvil_setCoinbase", (builder.fee_recipient,))
        await self._rpc.call("evm_mine")
        block = await self._node.block()
        mined = tuple(block["transactions"])
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
        return slot, await self._node.head()

    def _winner(self, number: int) -> Builder:
        lottery = Random(f"slot/{self._seed}/{number}")  # noqa: S311 - a scenario, not a secret
        shares = [builder.share for builder in self.builders]
        return lottery.choices(self.builders, weights=shares)[0]

    async def _env(self, builder: Builder) -> SlotEnv:
        # Anvil's own idea of the next block: a test may have set its base fee or time.
        pending = await self._node.block("pending")
        return SlotEnv(
            number=int(pending["number"], 16),
            timestamp=int(pending["timestamp"], 16),
            base_fee_per_gas=int(pending["baseFeePerGas"], 16),
            gas_limit=int(pending["gasLimit"], 16),
            fee_recipient=builder.fee_recipient,
        )

    async def _submit(
        self, orders: Sequence[Order], pool: Sequence[Pending], env: SlotEnv
    ) -> tuple[Merge, tuple[Pending, ...]]:
        """Merge, and put the block's transactions into Anvil's empty pool in their order.

        A bundle whose transaction the pool refuses (it spends what an earlier transaction brings)
        is left out, and the rest merged anew.
        """
        refused: dict[Hash, str] = {}
        while True:
            nonces = await self._nonces(orders, pool)
            merger = Merger(self._rpc, env, chain_id=self._chain_id, nonces=nonces)
            merge = await merger.merge([o for o in orders if o.bundle_hash not in refused])
            culprit = await self._offer(merge.transactions)
            if culprit is None:
                break
            signed, message = culprit
            refused |= {o.bundle_hash: message for o in orders if signed in o.transactions}
            await self._rpc.call("anvil_dropAllTransactions")
        for signed in merge.transactions:
            nonces[signed.sender] = signed.unsigned.nonce + 1
        public = pack(
            pool,
            nonces=nonces,
            base_fee_wei=env.base_fee_per_gas,
            gas=env.gas_limit - merge.gas_used,
            taken=frozenset(each.hash for each in merge.transactions),
        )
        for each in public:
            await put_back(self._rpc, [each])
        late = tuple(
            _refused(o, refused[o.bundle_hash]) for o in orders if o.bundle_hash in refused
        )
        return msgspec.structs.replace(merge, considered=(*merge.considered, *late)), public

    async def _nonces(self, orders: Iterable[Order], pool: Iterable[Pending]) -> dict[Address, int]:
        senders = {signed.sender for order in orders for signed in order.transactions}
        senders |= {each.sender for each in pool}
        ordered = sorted(senders)
        counts = await self._rpc.batch(
            [("eth_getTransactionCount", (sender, "latest")) for sender in ordered]
        )
        return {s: int(str(count), 16) for s, count in zip(ordered, counts, strict=True)}

    async def _offer(
        self, transactions: Sequence[SignedTransaction]
    ) -> tuple[SignedTransaction, str] | None:
        for signed in transactions:
            try:
                await self._rpc.call("eth_sendRawTransaction", (signed.raw,))
            except RpcError as error:
                return signed, error.message
        return None

    def _elsewhere(self, winner: Builder, env: SlotEnv) -> list[Consideration]:
        """Orders for this slot that the winner did not have, and those that were withdrawn."""
        known = {order.bundle_hash for order in winner.orders()}
        found: dict[Hash, Consideration] = {}
        for builder in self.builders:
            for order in builder.orders():
                if order.bundle_hash not in known and order.wants(env.number, env.timestamp):
                    found[order.bundle_hash] = _missed(
                        order, MissCause.WRONG_BUILDER, f"{winner.name} built, without having it"
                    )
        for order in winner.cancelled():
            if order.bundle_hash not in known and order.wants(env.number, env.timestamp):
                found[order.bundle_hash] = _missed(order, MissCause.CANCELLED, "withdrawn in time")
        return list(found.values())


def _refused(order: Order, message: str) -> Consideration:
    return _missed(order, MissCause.REVERTED_SIM, f"refused by the node: {message}")


def _missed(order: Order, cause: MissCause, evidence: str) -> Consideration:
    return Consideration(
        bundle_hash=order.bundle_hash,
        transactions=tuple(each.hash for each in order.transactions),
        owner=order.owner,
        included=False,
        cause=cause,
        evidence=evidence,
        is_private_transaction=order.is_private_transaction,
    )
