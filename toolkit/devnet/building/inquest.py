"""Why orders are not in the block that was found: the ground truth, with a rival where there is."""

from collections.abc import Iterable, Sequence

from toolkit.devnet.building.admission import Refusal, nonce_fault
from toolkit.devnet.building.auction import Auction, Block
from toolkit.devnet.building.orders import Order
from toolkit.devnet.building.trials import Deed, Trials
from toolkit.model.bundle import MissCause
from toolkit.model.chain import Hash
from toolkit.model.tx import SignedTransaction

_TRIED_AT_ONCE = 8


class Inquest:
    """Finds the cause for each of the orders that were tried and left out."""

    def __init__(
        self, trials: Trials, orders: Sequence[Order], block: Block, auction: Auction
    ) -> None:
        self._trials = trials
        self._orders = orders
        self._block = block
        self._auction = auction

    async def refusals(self, losers: Iterable[int]) -> dict[int, Refusal]:
        """One refusal for each loser, by its number."""
        found: dict[int, Refusal] = {}
        beaten = []
        for order in losers:
            refusal = self._by_itself(order) or self._by_nonce(order)
            if refusal is None:
                beaten.append(order)
            else:
                found[order] = refusal
        await self._trials.run((order, self._block.orders) for order in beaten)
        for order in beaten:
            found[order] = await self._by_place(order)
        return found

    def _by_itself(self, order: int) -> Refusal | None:
        alone = self._trials.known(order)
        if alone.failure:
            return Refusal(MissCause.REVERTED_SIM, f"on the parent's state: {alone.failure}")
        objection = self._auction.objection(order, alone)
        return Refusal(MissCause.UNDERPRICED, objection) if objection else None

    def _by_nonce(self, order: int) -> Refusal | None:
        if self._orders[order].dropping:  # what is left out does not need its nonce
            return None
        return self._of_nonce(self._orders[order].transactions)

    def _of_nonce(self, transactions: Sequence[SignedTransaction]) -> Refusal | None:
        fault = nonce_fault(transactions, self._block.nonces)
        if fault is None:
            return None
        nonce, reached = fault.unsigned.nonce, self._block.nonces[fault.sender]
        if nonce < reached:
            return Refusal(
                MissCause.OUTBID_CONFLICT,
                f"nonce {nonce} of {fault.sender} went to a bundle with which the block pays more",
                self._user_of_nonce(fault),
            )
        return Refusal(
            MissCause.STATE_CONFLICT,
            f"{fault.hash} has nonce {nonce}, the block gets only to {reached}",
        )

    async def _by_place(self, order: int) -> Refusal:
        deed = self._trials.known(order, self._block.orders)
        if deed.failure:
            return await self._by_rival(order, deed)
        refusal = self._of_nonce(deed.kept)
        if refusal is not None:
            return refusal
        if not self._auction.fits(self._block, deed):
            wanted = sum(each.unsigned.gas for each in deed.kept)
            return Refusal(
                MissCause.UNDERPRICED,
                f"the block is full: {self._block.gas_used} gas are used, it asks for {wanted}",
            )
        return Refusal(MissCause.UNDERPRICED, self._auction.objection(order, deed))

    async def _by_rival(self, order: int, deed: Deed) -> Refusal:
        rival = await self._first_in_the_way(order)
        index = self._block.orders.index(rival)
        paid = self._trials.known(rival, self._block.orders[:index]).coinbase_wei
        bid = self._trials.known(order).coinbase_wei
        name = self._orders[rival].bundle_hash
        why = f"fails behind {name}: {deed.failure}; that pays {paid} wei, this {bid}"
        if paid >= bid:
            return Refusal(MissCause.OUTBID_CONFLICT, why, name)
        return Refusal(MissCause.STATE_CONFLICT, f"{why}, but less with the others", name)

    async def _first_in_the_way(self, order: int) -> int:
        """The last of the shortest sequence from the block's start behind which the order fails."""
        before = self._trials.reduced(order, self._block.orders)
        low, high = 0, len(before)  # it does not fail behind `low`, it does behind `high`
        while high - low > 1:
            step = max(1, (high - low) // _TRIED_AT_ONCE)
            counts = list(range(low + step, high, step))
            await self._trials.run((order, before[:count]) for count in counts)
            fails = [c for c in counts if self._trials.known(order, before[:c]).failure]
            high = min(fails, default=high)
            low = max([c for c in counts if c < high], default=low)
        return before[high - 1]

    def _user_of_nonce(self, signed: SignedTransaction) -> Hash | None:
        wanted = (signed.sender, signed.unsigned.nonce)
        for index, order in enumerate(self._block.orders):
            for other in self._trials.known(order, self._block.orders[:index]).kept:
                if (other.sender, other.unsigned.nonce) == wanted:
                    return self._orders[order].bundle_hash
        return None
