"""Which orders go into a block, and in which sequence: by value, all or nothing.

An order may be where every transaction of it succeeds, or is allowed to revert, or would revert and
may be left out; it is worth what it pays the builder there. The auction looks for the dearest block
of such orders. Each that is left out has one cause and, where there is one, a rival.
"""

from collections.abc import Mapping, Sequence

import msgspec

from toolkit.chain.rpc import Rpc
from toolkit.devnet.building.admission import Refusal, check_order
from toolkit.devnet.building.auction import Auction
from toolkit.devnet.building.inquest import Inquest
from toolkit.devnet.building.orders import Order
from toolkit.devnet.building.payouts import Due, Payouts
from toolkit.devnet.building.simulation import SlotEnv
from toolkit.devnet.building.trials import Deed, Trials
from toolkit.model.bundle import MissCause
from toolkit.model.chain import Address, Hash
from toolkit.model.tx import SignedTransaction


class Consideration(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one order in one slot.

    `value_wei` is what it pays to the builder: in its place, or alone if it has none; `refund_wei`
    what it gets back of that. `left_out` are those of its transactions that it is included without.
    """

    bundle_hash: Hash
    transactions: tuple[Hash, ...]
    owner: Address
    included: bool
    value_wei: int = 0
    cause: MissCause | None = None
    evidence: str = ""
    rival: Hash | None = None  # hash of the bundle that was in the way
    is_private_transaction: bool = False
    left_out: tuple[Hash, ...] = ()
    refund_wei: int = 0


class Merge(msgspec.Struct, frozen=True, kw_only=True):
    """The bundles' part of a block and what was said about every order."""

    transactions: tuple[SignedTransaction, ...]
    gas_used: int
    considered: tuple[Consideration, ...]
    dues: tuple[Due, ...] = ()  # what the builder owes for them, in their order


class Merger:
    """Merges the orders of one slot on the state of the chain's head."""

    def __init__(
        self,
        rpc: Rpc,
        env: SlotEnv,
        *,
        chain_id: int,
        nonces: Mapping[Address, int],
        payouts: Payouts,
    ) -> None:
        self._rpc = rpc
        self._env = env
        self._chain_id = chain_id
        self._nonces = dict(nonces)
        self._payouts = payouts

    async def merge(self, orders: Sequence[Order]) -> Merge:
        """Find the block, and say of every order what became of it."""
        trials = Trials(self._rpc, self._env, orders)
        refusals = self._refusals(orders)
        members = [number for number in range(len(orders)) if number not in refusals]
        await trials.run((number, ()) for number in members)
        auction = Auction(trials, orders, env=self._env, nonces=self._nonces, payouts=self._payouts)
        block = await auction.best(members)
        inquest = Inquest(trials, orders, block, auction)
        refusals |= await inquest.refusals([each for each in members if each not in block.orders])
        alone = {number: trials.known(number).coinbase_wei for number in members}
        there = {orders[number].bundle_hash for number in block.orders}
        lost = (
            _twin(orders[number])
            if orders[number].bundle_hash in there
            else missed(orders[number], refusals[number], value_wei=alone.get(number, 0))
            for number in sorted(refusals)
        )
        deeds = [
            (orders[number], trials.known(number, block.orders[:index]))
            for index, number in enumerate(block.orders)
        ]
        dues = [self._payouts.due(order, deed) for order, deed in deeds]
        won = (_included(order, deed, due) for (order, deed), due in zip(deeds, dues, strict=True))
        return Merge(
            transactions=trials.ahead_of(block.orders),
            gas_used=block.gas_used,
            considered=(*won, *lost),
            dues=tuple(due for due in dues if due.recipient is not None),
        )

    def _refusals(self, orders: Sequence[Order]) -> dict[int, Refusal]:
        found = {}
        for number, order in enumerate(orders):
            try:
                check_order(order, self._env, chain_id=self._chain_id, nonces=self._nonces)
            except Refusal as refusal:
                found[number] = refusal
        return found


def _included(order: Order, deed: Deed, due: Due) -> Consideration:
    return Consideration(
        bundle_hash=order.bundle_hash,
        transactions=tuple(each.hash for each in order.transactions),
        owner=order.owner,
        included=True,
        value_wei=deed.coinbase_wei,
        is_private_transaction=order.is_private_transaction,
        left_out=tuple(each.hash for each in deed.left_out(order)),
        refund_wei=due.refund_wei,
    )


def _twin(order: Order) -> Consideration:
    """What is said of an order whose transactions are in the block because of another one."""
    return Consideration(
        bundle_hash=order.bundle_hash,
        transactions=tuple(each.hash for each in order.transactions),
        owner=order.owner,
        included=True,
        evidence="the same transactions came twice",
        is_private_transaction=order.is_private_transaction,
    )


def missed(order: Order, refusal: Refusal, *, value_wei: int = 0) -> Consideration:
    """What is said of an order that is not in the block."""
    return Consideration(
        bundle_hash=order.bundle_hash,
        transactions=tuple(each.hash for each in order.transactions),
        owner=order.owner,
        included=False,
        value_wei=value_wei,
        cause=refusal.cause,
        evidence=str(refusal),
        rival=refusal.rival,
        is_private_transaction=order.is_private_transaction,
    )
