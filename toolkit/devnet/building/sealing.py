from collections import deque
from collections.abc import Sequence
from random import Random

import msgspec

from toolkit.chain.node import Node
from toolkit.chain.rpc import Rpc
from toolkit.devnet.builders import Builder
from toolkit.devnet.building.absence import absent
from toolkit.devnet.building.block_plan import Planner
from toolkit.devnet.building.merging import Consideration
from toolkit.devnet.building.simulation import SlotEnv
from toolkit.devnet.gate import Gate
from toolkit.devnet.public_pool import PublicPool
from toolkit.logs import log_of
from toolkit.model.chain import Address, Hash, Head, Mode
from toolkit.model.errors import DevnetError

MAX_SLOTS_KEPT = 10_000


class SlotRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The truth about one slot: who built it, and what became of every order for it."""

    number: int
    block_hash: Hash
    builder: str
    fee_recipient: Address
    considered: tuple[Consideration, ...]
    public: tuple[Hash, ...]  # mined from the public pool, in order
    payouts: tuple[Hash, ...] = ()  # the builder's transfers behind those, in order
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
        self._planner = Planner(rpc, pool, chain_id=chain_id)
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
                for builder in self.builders:
                    builder.reopen()
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
        for each in self.builders:
            each.close(env.number)
        orders = [each for each in builder.orders() if each.wants(env.number, env.timestamp)]
        plan = await self._planner.fill(orders, env, builder)
        await self._rpc.call("anvil_setCoinbase", (builder.fee_recipient,))
        await self._rpc.call("evm_mine")
        block = await self._node.block()
        mined: tuple[Hash, ...] = tuple(block["transactions"])
        public = plan.public_part(mined)
        if public is None:
            raise DevnetError(
                f"block {env.number} is not the planned one: {len(mined)} transactions mined,"
                f" {plan.size} planned; send and mine through the devnet's rpc"
            )
        slot = SlotRecord(
            number=env.number,
            block_hash=block["hash"],
            builder=builder.name,
            fee_recipient=builder.fee_recipient,
            considered=(*plan.considered, *absent(self.builders, builder, env, built=orders)),
            public=public,
            payouts=tuple(each.hash for each in plan.payouts),
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
