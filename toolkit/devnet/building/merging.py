"""Which orders go into a block, and in which order: by value, all or nothing, without surprises.

An order is merged only if it does in the block exactly what it did alone on the parent's state:
same success, logs, gas, output and payment of every transaction. So no bundle can be made worse by
another one, and each that is left out has one cause and, where there is one, a rival.
"""

from collections.abc import Sequence

import msgspec

from toolkit.chain.rpc import Rpc
from toolkit.devnet.building.orders import Order
from toolkit.devnet.building.pricing import effective_tip
from toolkit.devnet.building.simulation import Effect, SlotEnv, simulate
from toolkit.model.bundle import MissCause
from toolkit.model.chain import Address, Hash
from toolkit.model.errors import RpcError
from toolkit.model.tx import SignedTransaction


class Consideration(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one order in one slot; `value_wei` is its payment alone to the builder."""

    bundle_hash: Hash
    transactions: tuple[Hash, ...]
    owner: Address
    included: bool
    value_wei: int = 0
    cause: MissCause | None = None
    evidence: str = ""
    rival: Hash | None = None  # hash of the bundle that was in the way
    is_private_transaction: bool = False


class Merge(msgspec.Struct, frozen=True, kw_only=True):
    """The bundles' part of a block and what was said about every order."""

    transactions: tuple[SignedTransaction, ...]
    gas_used: int
    considered: tuple[Consideration, ...]


class _Candidate(msgspec.Struct, kw_only=True):
    order: Order
    effects: tuple[Effect, ...]

    @property
    def value_wei(self) -> int:
        return sum(effect.coinbase_wei for effect in self.effects)

    @property
    def gas_used(self) -> int:
        return sum(effect.gas_used for effect in self.effects)


class _Refusal(Exception):
    def __init__(self, cause: MissCause, evidence: str, rival: Hash | None = None) -> None:
        super().__init__(evidence)
        self.cause = cause
        self.evidence = evidence
        self.rival = rival


class Merger:
    """Merges the orders of one slot on the state of the chain's head."""

    def __init__(
        self, rpc: Rpc, env: SlotEnv, *, chain_id: int, nonces: dict[Address, int]
    ) -> None:
        self._rpc = rpc
        self._env = env
        self._chain_id = chain_id
        self._nonces = dict(nonces)
        self._accepted: list[_Candidate] = []
        self._considered: list[Consideration] = []

    async def merge(self, orders: Sequence[Order]) -> Merge:
        """Simulate each order alone, then accept by falling value what still does the same."""
        candidates = []
        for order in orders:
            try:
                candidates.append(await self._alone(order))
            except _Refusal as refusal:
                self._note(order, refusal=refusal)
        waiting = sorted(candidates, key=lambda each: (-each.value_wei, each.order.bundle_hash))
        while waiting:
            # An order whose nonce is still ahead gets its turn after each one that is accepted:
            # the nonce before it may come from another bundle of the same account.
            chosen = next((each for each in waiting if not self._nonce_is_ahead(each)), None)
            if chosen is None:
                break
            waiting.remove(chosen)
            await self._try(chosen)
        for candidate in waiting:
            self._note(candidate.order, candidate, refusal=self._ahead(candidate))
        return Merge(
            transactions=tuple(
                each for candidate in self._accepted for each in candidate.order.transactions
            ),
            gas_used=sum(candidate.gas_used for candidate in self._accepted),
            considered=tuple(self._considered),
        )

    async def _alone(self, order: Order) -> _Candidate:
        for signed in order.transactions:
            self._check(signed)
        self._check_sequence(order)
        try:
            effects = await simulate(self._rpc, self._env, order.transactions)
        except RpcError as error:
            raise _Refusal(MissCause.REVERTED_SIM, error.message) from None
        for effect in effects:
            if not effect.succeeded and effect.transaction not in order.reverting:
                raise _Refusal(
                    MissCause.REVERTED_SIM,
                    f"{effect.transaction} reverts on the parent's state: {effect.reason}",
                )
        return _Candidate(order=order, effects=effects)

    def _check(self, signed: SignedTransaction) -> None:
        tx, base_fee = signed.unsigned, self._env.base_fee_per_gas
        if tx.chain_id not in {self._chain_id, 0}:
            raise _Refusal(MissCause.REVERTED_SIM, f"{signed.hash} is for chain {tx.chain_id}")
        if tx.fee_cap < base_fee or effective_tip(signed, base_fee) < 0:
            raise _Refusal(
                MissCause.UNDERPRICED,
                f"{signed.hash} pays at most {tx.fee_cap} wei a gas, the base fee is {base_fee}",
            )
        if tx.gas > self._env.gas_limit:
            raise _Refusal(
                MissCause.REVERTED_SIM,
                f"{signed.hash} asks for {tx.gas} gas, a block has {self._env.gas_limit}",
            )

    def _check_sequence(self, order: Order) -> None:
        following: dict[Address, int] = {}
        for signed in order.transactions:
            nonce, state = signed.unsigned.nonce, self._nonces[signed.sender]
            if nonce < state:
                raise _Refusal(
                    MissCause.NONCE_USED, f"{signed.hash} has nonce {nonce}, the next is {state}"
                )
            expected = following.get(signed.sender, nonce)
            if nonce != expected:
                raise _Refusal(
                    MissCause.REVERTED_SIM,
                    f"{signed.hash} has nonce {nonce}, its bundle needs {expected} there",
                )
            following[signed.sender] = nonce + 1

    def _nonce_is_ahead(self, candidate: _Candidate) -> bool:
        firsts: dict[Address, int] = {}
        for signed in candidate.order.transactions:
            firsts.setdefault(signed.sender, signed.unsigned.nonce)
        return any(nonce > self._nonces[sender] for sender, nonce in firsts.items())

    def _ahead(self, candidate: _Candidate) -> _Refusal:
        first = candidate.order.transactions[0]
        return _Refusal(
            MissCause.STATE_CONFLICT,
            f"{first.hash} has nonce {first.unsigned.nonce}, the block gets only to"
            f" {self._nonces[first.sender]}",
        )

    async def _try(self, candidate: _Candidate) -> None:
        try:
            self._fits(candidate)
            await self._unchanged(candidate)
        except _Refusal as refusal:
            self._note(candidate.order, candidate, refusal=refusal)
            return
        self._accepted.append(candidate)
        for signed in candidate.order.transactions:
            self._nonces[signed.sender] = signed.unsigned.nonce + 1
        self._note(candidate.order, candidate)

    def _fits(self, candidate: _Candidate) -> None:
        for signed in candidate.order.transactions:
            if signed.unsigned.nonce < self._nonces[signed.sender]:
                raise _Refusal(
                    MissCause.OUTBID_CONFLICT,
                    f"nonce {signed.unsigned.nonce} of {signed.sender} went to a bundle that"
                    f" pays more",
                    self._user_of_nonce(signed),
                )
        used = sum(each.gas_used for each in self._accepted)
        wanted = used + sum(each.unsigned.gas for each in candidate.order.transactions)
        if wanted > self._env.gas_limit:
            raise _Refusal(
                MissCause.UNDERPRICED, f"the block is full: {wanted} of {self._env.gas_limit} gas"
            )

    async def _unchanged(self, candidate: _Candidate) -> None:
        if not self._accepted or await self._same(candidate, len(self._accepted)):
            return
        count = 1
        while count < len(self._accepted) and await self._same(candidate, count):
            count += 1
        rival = self._accepted[count - 1].order.bundle_hash
        effects = await self._after(candidate, len(self._accepted))
        failed = [effect for effect in effects if not effect.succeeded]
        if not effects or any(each.transaction not in candidate.order.reverting for each in failed):
            why = failed[0].reason if failed else "lack of funds"
            raise _Refusal(
                MissCause.OUTBID_CONFLICT,
                f"fails behind {rival}, which pays more: {why}",
                rival,
            )
        raise _Refusal(
            MissCause.STATE_CONFLICT, f"does something else behind {rival}, which pays more", rival
        )

    async def _same(self, candidate: _Candidate, count: int) -> bool:
        return await self._after(candidate, count) == candidate.effects

    async def _after(self, candidate: _Candidate, count: int) -> tuple[Effect, ...]:
        before = [signed for each in self._accepted[:count] for signed in each.order.transactions]
        try:
            return await simulate(self._rpc, self._env, candidate.order.transactions, before=before)
        except RpcError:
            return ()  # safe because it compares as a conflict

    def _user_of_nonce(self, signed: SignedTransaction) -> Hash | None:
        return next(
            (
                each.order.bundle_hash
                for each in self._accepted
                for other in each.order.transactions
                if (other.sender, other.unsigned.nonce) == (signed.sender, signed.unsigned.nonce)
            ),
            None,
        )

    def _note(
        self, order: Order, candidate: _Candidate | None = None, *, refusal: _Refusal | None = None
    ) -> None:
        self._considered.append(
            Consideration(
                bundle_hash=order.bundle_hash,
                transactions=tuple(each.hash for each in order.transactions),
                owner=order.owner,
                included=refusal is None,
                value_wei=candidate.value_wei if candidate else 0,
                cause=refusal.cause if refusal else None,
                evidence=refusal.evidence if refusal else "",
                rival=refusal.rival if refusal else None,
                is_private_transaction=order.is_private_transaction,
            )
        )
