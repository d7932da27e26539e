"""Which orders make the dearest block, and in which sequence.

Orders that have nothing to do with each other are searched apart. A few that do are tried in every
sequence; more are placed greedily, several times over. What is found is then run as a whole, and
where it does not do what was foreseen, it is built anew with nothing taken for granted.
"""

import asyncio
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
        self._are_few = len(orders) <= 2 * FEW

    async def best(self, members: Sequence[int]) -> Block:
        """The best block found from orders that were tried alone; dearest first where it can be."""
        ranked = sorted(members, key=self._rank)
        self._trials.influences = await find_influences(self._trials, self._orders, ranked)
        groups = components(self._trials.influences, ranked)
        if self._is_crowded(ranked):
            # All compete for gas: whoever has nothing else to do with each other does now.
            groups = [tuple(ranked)] if len(ranked) <= EXHAUSTIVE else groups
        most = _exhaustive_up_to(len(ranked))
        blocks = await asyncio.gather(*(self._of_group(group, most) for group in groups))
        blocks.sort(key=lambda each: -each.worth_wei)
        planned = [order for each in blocks for order in each.orders]
        block = await self._first_fit(ranked, await self._follow(planned))
        if self._is_crowded(ranked):
            block = self._better(block, await self._greedy(ranked))
        if not await self._does_as_foreseen(block):
            self._trials.influences = None
            again = await self._first_fit((*block.orders, *ranked), self._empty)
            block = self._better(again, await self._first_fit(ranked, self._empty))
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

    async def _of_group(self, group: Sequence[int], most: int) -> Block:
        return await (self._exhaustive(group) if len(group) <= most else self._greedy(group))

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
        if len(group) <= FEW and self._are_few:
            ways += [[each, *(o for o in group if o != each)] for each in group]
        best = self._empty
        # One after the other: a place is tried by who comes first, and that must not be chance.
        for way in ways:
            best = self._better(best, await self._first_fit(way, self._empty))
        return best

    def _density(self, order: int) -> int:
        gas = max(1, self._trials.known(order).gas_used)
        return self._alone_wei(order) * 10**9 // gas

    async def _follow(self, planned: Sequence[int]) -> Block:
        """Place in this sequence whatever can be placed; the places are mostly known."""
        block = self._empty
        for order in planned:
            longer = await self._extend([(block, order)])
            block = longer[0] if longer else block
        return block

    async def _first_fit(self, orders: Sequence[int], block: Block) -> Block:
        """Place one after the other what can be placed, at the end what failed on its turn."""
        waiting = [each for each in dict.fromkeys(orders) if each not in block.orders]
        failed: list[int] = []
        while chain := self._chain(block, waiting):
            doomed = await self._trials.run_chain(block.orders, chain)
            await self._trials.run([(chain[0], block.orders)])
            for order in chain:
                if not self._trials.knows(order, block.orders):
                    break
                waiting.remove(order)
                extended = self._extended(block, order)
                if extended is None:
                    failed.append(order)
                    break
                block = extended
            failed += [each for each in waiting if each in doomed]
            waiting = [each for each in waiting if each not in doomed]
        return await self._with_late_ones(block, [*waiting, *failed])

    async def _with_late_ones(self, block: Block, waiting: list[int]) -> Block:
        """Let in behind the block who can be there now, as long as there is somebody."""
        while True:
            longer = await self._extend([(block, order) for order in waiting])
            if not longer:
                return block
            block = longer[0]
            waiting.remove(block.orders[-1])

    def _chain(self, block: Block, waiting: Sequence[int]) -> list[int]:
        """Those who wait, as far as nonces let each follow the ones before.

        Behind one that may leave something out, nonces are not known.
        """
        nonces: Mapping[Address, int] = block.nonces
        chain: list[int] = []
        size = -1
        while size < len(chain):
            size = len(chain)
            for order in waiting:
                transactions = self._orders[order].transactions
                if order not in chain and nonce_fault(transactions, nonces) is None:
                    chain.append(order)
                    if self._orders[order].dropping:
                        return chain
                    nonces = following_nonces(transactions, nonces)
        return chain

    async def _extend(self, steps: Sequence[tuple[Block, int]]) -> list[Block]:
        possible = [(block, order) for block, order in steps if self._may_follow(block, order)]
        await self._trials.run([(order, block.orders) for block, order in possible])
        extended = [self._extended(block, order) for block, order in possible]
        return [each for each in extended if each is not None]

    def _may_follow(self, block: Block, order: int) -> bool:
        return nonce_fault(self._orders[order].transactions, block.nonces) is None

    def _extended(self, block: Block, order: int) -> Block | None:
        if not self._may_follow(block, order):
            return None
        deed = self._trials.known(order, block.orders)
        if deed.failure or not self.fits(block, deed):
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


def _exhaustive_up_to(orders: int) -> int:
    """How many that depend on each other are tried in every sequence: 6 are 1,956, 4 are 64."""
    if orders <= EXHAUSTIVE:
        return EXHAUSTIVE
    return EXHAUSTIVE - 1 if orders <= FEW else EXHAUSTIVE - 2
