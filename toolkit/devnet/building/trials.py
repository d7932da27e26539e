"""What each order does in its place: simulated once, remembered, and asked for in batches."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product

import msgspec

from toolkit.chain.rpc import Rpc
from toolkit.devnet.building.admission import strands
from toolkit.devnet.building.orders import Order
from toolkit.devnet.building.simulation import Effect, SlotEnv, Trial, simulate_all
from toolkit.model.errors import RpcError
from toolkit.model.tx import SignedTransaction

Place = tuple[int, tuple[int, ...]]
"""An order and those before it in the block, in order; orders go by their numbers."""


MOST_SORTED = 12


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """What an order does in a place: what is kept of it, and with which effects.

    Transactions are left out only where the bundle allows it and they would revert; `failure` says
    why the order cannot be there ("" where it can).
    """

    kept: tuple[SignedTransaction, ...]
    effects: tuple[Effect, ...] = ()
    failure: str = ""
    coinbase_wei: int = 0
    gas_used: int = 0

    def left_out(self, order: Order) -> tuple[SignedTransaction, ...]:
        """Those of the order's transactions that are not kept."""
        if len(self.kept) == len(order.transactions):
            return ()
        return tuple(each for each in order.transactions if each not in self.kept)

    def is_like(self, other: "Deed") -> bool:
        """Whether both are the same doing, whatever was around them."""
        return self.effects == other.effects and self.failure == other.failure


class Trials:
    """Simulations of orders in places of one block.

    `influences` says whose being there may change what an order does; None: anybody's. Places
    that differ only in others are the same place.
    """

    def __init__(self, rpc: Rpc, env: SlotEnv, orders: Sequence[Order]) -> None:
        self.influences: Mapping[int, frozenset[int]] | None = None
        self._rpc = rpc
        self._env = env
        self._orders = orders
        self._known: dict[Place, Deed] = {}

    def reduced(self, order: int, before: Sequence[int]) -> tuple[int, ...]:
        """Those of `before` that matter to the order, themselves or through others."""
        if self.influences is None:
            return tuple(before)
        wanted = set(self.influences[order])
        kept: list[int] = []
        for each in reversed(before):
            if each in wanted:
                kept.append(each)
                wanted |= self.influences[each]
        kept.reverse()
        return tuple(kept) if len(kept) > MOST_SORTED else self._sorted(kept)

    def known(self, order: int, before: Sequence[int] = ()) -> Deed:
        """What the order does there; the place must have been tried."""
        return self._known[order, self.reduced(order, before)]

    def knows(self, order: int, before: Sequence[int]) -> bool:
        """Whether the place was tried."""
        return (order, self.reduced(order, before)) in self._known

    async def run(self, places: Iterable[Place]) -> None:
        """Try what is not known yet; those before an order must have been tried in their places."""
        wanted = {(order, self.reduced(order, before)) for order, before in places}
        waiting = {
            place: self._orders[place[0]].transactions
            for place in sorted(wanted - self._known.keys())
        }
        while waiting:
            trials = [
                Trial(transactions=kept, before=self.ahead_of(before))
                for (_, before), kept in waiting.items()
            ]
            results = await simulate_all(self._rpc, self._env, trials)
            again: dict[Place, tuple[SignedTransaction, ...]] = {}
            for (place, kept), result in zip(waiting.items(), results, strict=True):
                order = self._orders[place[0]]
                fewer = _without_drops(order, kept, result)
                if fewer:
                    again[place] = fewer
                else:
                    self._known[place] = _deed(order, kept, result)
            waiting = again

    async def run_chain(self, before: Sequence[int], chain: Sequence[int]) -> frozenset[int]:
        """Try orders behind each other at once, as far as each does what it may.

        Beyond the first that does not, nothing is known, but it is told who will probably fail.
        """
        if all(self.knows(each, (*before, *chain[:i])) for i, each in enumerate(chain)):
            return frozenset()
        orders = [self._orders[each] for each in chain]
        sequence = [each.transactions for each in orders]
        trial = Trial(
            transactions=tuple(signed for each in sequence for signed in each),
            before=self.ahead_of(before),
        )
        (result,) = await simulate_all(self._rpc, self._env, [trial])
        if isinstance(result, RpcError):
            return frozenset()
        doomed, is_true = set(), True
        for index, (order, effects) in enumerate(
            zip(orders, _split(result, sequence), strict=True)
        ):
            is_true = is_true and not _without_drops(order, order.transactions, effects)
            deed = _deed(order, order.transactions, effects)
            if is_true:
                place = chain[index], self.reduced(chain[index], (*before, *chain[:index]))
                self._known.setdefault(place, deed)
            elif deed.failure and not order.dropping:
                doomed.add(chain[index])
            is_true = is_true and not deed.failure
        return frozenset(doomed)

    def ahead_of(self, sequence: Sequence[int]) -> tuple[SignedTransaction, ...]:
        """The transactions of a sequence whose places are known."""
        return tuple(
            signed
            for index, order in enumerate(sequence)
            for signed in self.known(order, sequence[:index]).kept
        )

    def _sorted(self, sequence: list[int]) -> tuple[int, ...]:
        """The one sequence that stands for all those which only swap who does not care."""
        assert self.influences is not None
        left, found = list(sequence), []
        while left:
            free = min(
                each
                for index, each in enumerate(left)
                if not any(
                    other in self.influences[each] or each in self.influences[other]
                    for other in left[:index]
                )
            )
            left.remove(free)
            found.append(free)
        return tuple(found)

    async def together(
        self, sequences: Sequence[Sequence[tuple[SignedTransaction, ...]]]
    ) -> list[list[tuple[Effect, ...]] | None]:
        """Run whole sequences of orders' transactions; None where one of them is refused."""
        results = await simulate_all(
            self._rpc,
            self._env,
            [
                Trial(transactions=tuple(signed for kept in each for signed in kept))
                for each in sequences
            ],
        )
        return [
            None if isinstance(result, RpcError) else _split(result, each)
            for each, result in zip(sequences, results, strict=True)
        ]


def _without_drops(
    order: Order, kept: tuple[SignedTransaction, ...], result: tuple[Effect, ...] | RpcError
) -> tuple[SignedTransaction, ...]:
    """What is left without the first one that reverts, where it may be left out; () otherwise.

    Who may be left out goes with it where it has no valid nonce without it.
    """
    if isinstance(result, RpcError):
        return ()
    for signed, effect in zip(kept, result, strict=True):
        if effect.succeeded or signed.hash in order.reverting:
            continue
        if signed.hash in order.dropping:
            return _remaining(order, kept, signed)
        return ()
    return ()


def _remaining(
    order: Order, kept: tuple[SignedTransaction, ...], dropped: SignedTransaction
) -> tuple[SignedTransaction, ...]:
    gone = [dropped]
    for each in kept:
        if each.hash in order.dropping and any(strands(other, each) for other in gone):
            gone.append(each)
    return tuple(each for each in kept if each not in gone)


def _deed(
    order: Order, kept: tuple[SignedTransaction, ...], result: tuple[Effect, ...] | RpcError
) -> Deed:
    if isinstance(result, RpcError):
        return Deed(kept=kept, failure=result.message)
    return Deed(
        kept=kept,
        effects=result,
        failure=_failure(order, kept, result),
        coinbase_wei=sum(each.coinbase_wei for each in result),
        gas_used=sum(each.gas_used for each in result),
    )


def _failure(order: Order, kept: tuple[SignedTransaction, ...], effects: tuple[Effect, ...]) -> str:
    for effect in effects:
        if effect.succeeded or effect.transaction in order.reverting:
            continue
        if effect.transaction in order.dropping:
            return f"all of it would be left out: {effect.transaction} reverts: {effect.reason}"
        return f"{effect.transaction} reverts: {effect.reason}"
    gone = [each for each in order.transactions if each not in kept]
    for dropped, signed in product(gone, kept):
        if strands(dropped, signed):
            return f"without {dropped.hash}, which reverts, {signed.hash} has no valid nonce"
    return ""


def _split(
    effects: tuple[Effect, ...], sequence: Sequence[tuple[SignedTransaction, ...]]
) -> list[tuple[Effect, ...]]:
    found, start = [], 0
    for kept in sequence:
        found.append(effects[start : start + len(kept)])
        start += len(kept)
    return found
