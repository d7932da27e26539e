"""Why orders are not in the block that was found: the ground truth, with a rival where there is."""

from collections.abc import Iterable, Sequence

from toolkit.devnet.building.admission import Refusal, nonce_fault
from toolkit.devnet.building.auction import Auction, Block
from toolkit.devnet.building.orders import Order
from toolkit.devnet.building.trials import Trials
from toolkit.model.bundle import MissCause
from toolkit.model.chain import Hash
from toolkit.model.tx import SignedTransaction


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
        rivals = await self._rivals(
            [order for order in beaten if self._trials.known(order, self._block.orders).failure]
        )
        for order in beaten:
            rival = rivals.get(order)
            found[order] = self._by_place(order) if rival is None else self._by_rival(order, rival)
        return found

    def _by_itself(self, order: int) -> Refusal | None:
        alone = self._trials.known(order)
        if alone.failure:
            return Refusal(MissCause.REVERTED_SIM, f"on the parent's state: {alone.failure}")
        objection = self._auction.objection(order, alone)
        return Refusal(MissCause.UNDERPRICED, objection) if objection else None

    def _by_nonce(self, order: int) -> Refusal | None:
        fault = nonce_fault(self._orders[order].transactions, self._block.nonces)
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

    def _by_place(self, order: int) -> Refusal:
        deed = self._trials.known(order, self._block.orders)
        if not self._auction.fits(self._block, deed):
            wanted = sum(each.unsigned.gas for each in deed.kept)
            return Refusal(
                MissCause.UNDERPRICED,
                f"the block is full: {self._block.gas_used} gas are used, it asks for {wanted}",
            )
        return Refusal(MissCause.UNDERPRICED, self._auction.objection(order, deed))

    def _by_rival(self, order: int, rival: int) -> Refusal:
        failure = self._trials.known(order, self._block.orders).failure
        index = self._block.orders.index(rival)
        paid = self._trials.known(rival, self._block.orders[:index]).coinbase_wei
        bid = self._trials.known(order).coinbase_wei
        name = self._orders[rival].bundle_hash
        why = f"fails behind {name}: {failure}; that pays {paid} wei, this {bid}"
        if paid >= bid:
            return Refusal(MissCause.OUTBID_CONFLICT, why, name)
        return Refusal(MissCause.STATE_CONFLICT, f"{why}, but less with the others", name)

    async def _rivals(self, losers: Iterable[int]) -> dict[int, int]:
        """For each the last of a shortest start of the block behind which it fails.

        From the front in growing steps, then by halves; everybody's next try goes out at once.
        """
        before = {each: self._ahead(each) for each in losers}
        works = dict.fromkeys(before, 0)  # it works behind so many, and fails behind:
        fails = {each: len(ahead) for each, ahead in before.items()}
        while open_ones := [each for each in before if fails[each] - works[each] > 1]:
            tries = {
                each: 2 * works[each] or 1
                if 2 * works[each] < fails[each] == len(before[each])
                else (works[each] + fails[each]) // 2
                for each in open_ones
            }
            await self._trials.run((each, before[each][:count]) for each, count in tries.items())
            for each, count in tries.items():
                if self._trials.known(each, before[each][:count]).failure:
                    fails[each] = count
                else:
                    works[each] = count
        return {each: ahead[fails[each] - 1] for each, ahead in before.items()}

    def _ahead(self, order: int) -> tuple[int, ...]:
        """Those that matter to an order, as they come in the block: whoever reads it sees this."""
        matters = set(self._trials.reduced(order, self._block.orders))
        return tuple(each for each in self._block.orders if each in matters)

    def _user_of_nonce(self, signed: SignedTransaction) -> Hash | None:
        wanted = (signed.sender, signed.unsigned.nonce)
        for index, order in enumerate(self._block.orders):
            for other in self._trials.known(order, self._block.orders[:index]).kept:
                if (other.sender, other.unsigned.nonce) == wanted:
                    return self._orders[order].bundle_hash
        return None
