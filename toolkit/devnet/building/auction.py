"""Which orders make the dearest block, and in which sequence.

Orders that have nothing to do with each other are searched apart. Up to six that do are tried in
every sequence; more are placed greedily, several times over. What is found is then run as a whole,
and where it does not do what was foreseen, it is built anew with nothing taken for granted.
"""

from collections.abc import Mapping, Sequence

import msgspec

from toolkit.devnet.building.admission import following_nonces, nonce_fault
from toolkit.devnet.building.influence import EXHAUSTIVE, FEW, components, find_influences
from toolkit.devnet.building.orders import Order
from toolkit.devnet.building.payouts import Payouts
from toolkit.devnet.building.simulation import SlotEnv
from toolkit.devnet.building.trials import Deed, Trials
from toolkit.model.chain import Address


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A sequence of orders that can be mined, and what it is worth to its builder in wei."""

    orders: tuple[int, ...] = ()
    nonces: Mapping[Address, int]
    gas_used: int = 0
    worth_wei: int = 0


class Auction:
    """The search for one slot.

    Args:
        trials: what orders do where.
        orders: all of them; an order's number is its place here.
        env: the block.
        nonces: every account's next one on the parent's state.
        payouts: what the builder gives back of what they pay.
    """

    def __init__(
        self,
        trials: Trials,
        orders: Sequence[Order],
        *,
        env: SlotEnv,
        nonces: Mapping[Address, int],
        payouts: Payouts,
    ) -> None:
        self._trials = trials
        self._orders = orders
        self._payouts = payouts
        self._gas = env.gas_limit - payouts.most_gas(orders)
        self._empty = Block(nonces=nonces)

    async def best(self, members: Sequence[int]) -> Block:
        """The best block found from orders that were tried alone; dearest first where it can be."""
        ranked = sorted(members, key=self._rank)
        self._trials.influences = await find_influences(self._trials, self._orders, ranked)
        groups = components(self._trials.influences, ranked)
        if self._is_crowded(ranked):
            # All compete for gas: whoever has nothing else to do with each other does now.
            groups = [tuple(ranked)] if len(ranked) <= EXHAUSTIVE else groups
        blocks = [await self._of_group(group) for group in groups]
        blocks.sort(key=lambda each: -each.worth_wei)
        planned = [order for each in blocks for order in each.orders]
        block = await self._first_fit(planned, ranked)
        if self._is_crowded(ranked):
            block = self._better(block, await self._greedy(ranked))
        if not await self._does_as_foreseen(block):
            self._trials.influences = None
            block = await self._first_fit(block.orders, ranked)
        return block

    def objection(self, order: int, deed: Deed) -> str:
        """Why the builder does not want what an order does; "" if he does."""
        return self._payouts.due(self._orders[order], deed).objection

    def fits(self, block: Block, deed: Deed) -> bool:
        """Whether there is gas for it: each transaction needs its limit when its turn comes."""
        used = block.gas_used
        gas = {each.transaction: each.gas_used for each in deed.effects}
        for signed in deed.kept:
            if used + signed.unsigned.gas > self._gas:
                return False
            used += gas.get(signed.hash, signed.unsigned.gas)
        return True

    def _rank(self, order: int) -> tuple[int, str, int]:
        return (-self._alone_wei(order), self._orders[order].bundle_hash, order)

    def _worth(self, order: int, deed: Deed) -> int | None:
        return self._payouts.worth(self._orders[order], deed)

    def _alone_wei(self, order: int) -> int:
        deed = self._trials.known(order)
        return 0 if deed.failure else self._worth(order, deed) or 0

    def _is_crowded(self, members: Sequence[int]) -> bool:
        limits = [
            sum(signed.unsigned.gas for signed in self._orders[each].transactions)
            for each in members
        ]
        return sum(limits) > self._gas

    async def _of_group(self, group: Sequence[int]) -> Block:
        if len(group) <= EXHAUSTIVE:
            return await self._exhaustive(group)
        return await self._greedy(group)

    async def _exhaustive(self, group: Sequence[int]) -> Block:
        """Every sequence of every subset, one length after the other."""
        best, level = self._empty, [self._empty]
        while level:
            steps = [
                (block, order) for block in level for order in group if order not in block.orders
            ]
            level = await self._extend(steps)
            for block in level:
                best = self._better(best, block)
        return best

    async def _greedy(self, group: Sequence[int]) -> Block:
        """The best of several first fits: by value, by value a gas, and each of a few first."""
        dense = sorted(group, key=lambda each: (-self._density(each), self._rank(each)))
        ways = [list(group), dense]
        if len(group) <= FEW:
            ways += [[each, *(o for o in group if o != each)] for each in group]
        best = self._empty
        for way in ways:
            best = self._better(best, await self._first_fit(way, ()))
        return best

    def _density(self, order: int) -> int:
        gas = max(1, self._trials.known(order).gas_used)
        return self._alone_wei(order) * 10**9 // gas

    async def _first_fit(self, planned: Sequence[int], rest: Sequence[int]) -> Block:
        """Place one after the other what can be placed; again, as long as that lets another in."""
        block = self._empty
        waiting = [*planned, *(each for each in rest if each not in planned)]
        progress = True
        while progress:
            progress = False
            for order in tuple(waiting):
                extended = await self._extend([(block, order)])
                if extended:
                    block, progress = extended[0], True
                    waiting.remove(order)
        return block

    async def _extend(self, steps: Sequence[tuple[Block, int]]) -> list[Block]:
        possible = [(block, order) for block, order in steps if self._may_follow(block, order)]
        await self._trials.run([(order, block.orders) for block, order in possible])
        extended = [self._extended(block, order) for block, order in possible]
        return [each for each in extended if each is not None]

    def _may_follow(self, block: Block, order: int) -> bool:
        one = self._orders[order]
        return bool(one.dropping) or nonce_fault(one.transactions, block.nonces) is None

    def _extended(self, block: Block, order: int) -> Block | None:
        if not self._may_follow(block, order):
            return None
        deed = self._trials.known(order, block.orders)
        if deed.failure or nonce_fault(deed.kept, block.nonces) or not self.fits(block, deed):
            return None
        worth = self._worth(order, deed)
        if worth is None:
            return None
        return Block(
            orders=(*block.orders, order),
            nonces=following_nonces(deed.kept, block.nonces),
            gas_used=block.gas_used + deed.gas_used,
            worth_wei=block.worth_wei + worth,
        )

    def _better(self, one: Block, other: Block) -> Block:
        """The dearer, then the one with more orders, then the one with the dearest first."""

        def key(block: Block) -> tuple[int, int, list[tuple[int, str, int]]]:
            ranks = [self._rank(each) for each in block.orders]
            return (-block.worth_wei, -len(block.orders), ranks)

        return min(one, other, key=key)

    async def _does_as_foreseen(self, block: Block) -> bool:
        if len(block.orders) < 2:  # noqa: PLR2004 - it was tried alone
            return True
        deeds = [
            self._trials.known(order, block.orders[:index])
            for index, order in enumerate(block.orders)
        ]
        (result,) = await self._trials.together([[deed.kept for deed in deeds]])
        return result == [deed.effects for deed in deeds]
