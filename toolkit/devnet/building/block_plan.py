"""What a block is to contain, in order, and Anvil's pool filled with exactly that."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import urlsplit

import msgspec

from toolkit.chain.rpc import Rpc
from toolkit.chain.wire import Call
from toolkit.devnet.builders import Builder
from toolkit.devnet.building.admission import Refusal, accounts_of, following_nonces
from toolkit.devnet.building.merging import Consideration, Merge, Merger, missed
from toolkit.devnet.building.orders import Order
from toolkit.devnet.building.payouts import Payouts, payout_gas, recipient_of, sign_payouts
from toolkit.devnet.building.pipeline import in_order
from toolkit.devnet.building.simulation import SlotEnv
from toolkit.devnet.mempool import PooledTransaction
from toolkit.devnet.public_pool import PublicPool, pack
from toolkit.model.bundle import MissCause
from toolkit.model.chain import Address, Hash
from toolkit.model.errors import RpcError
from toolkit.model.tx import SignedTransaction


class BlockPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Bundles first, then public transactions, then what the builder gives back."""

    bundled: tuple[SignedTransaction, ...]
    public: tuple[PooledTransaction, ...]
    payouts: tuple[SignedTransaction, ...]
    considered: tuple[Consideration, ...]

    @property
    def size(self) -> int:
        """How many transactions it has."""
        return len(self.bundled) + len(self.public) + len(self.payouts)

    def public_part(self, mined: Sequence[Hash]) -> tuple[Hash, ...] | None:
        """The public transactions of the block that was mined; None if it is not this plan's.

        Anvil skips a public transaction that turned out unaffordable; a bundle or payout never.
        """
        first, last = len(self.bundled), len(mined) - len(self.payouts)
        middle = tuple(mined[first:last])
        own = (*mined[:first], *mined[max(first, last) :])
        rest = iter(each.hash for each in self.public)
        if own != tuple(each.hash for each in (*self.bundled, *self.payouts)):
            return None
        return middle if all(each in rest for each in middle) else None


class Planner:
    """Plans blocks and fills Anvil's pool, which is empty before.

    Args:
        rpc: straight to Anvil.
        pool: of public transactions.
        chain_id: of the chain.
    """

    def __init__(self, rpc: Rpc, pool: PublicPool, *, chain_id: int) -> None:
        self._rpc = rpc
        self._pool = pool
        self._chain_id = chain_id

    async def fill(self, orders: Sequence[Order], env: SlotEnv, builder: Builder) -> BlockPlan:
        """Plan a builder's block of these orders and hand it to Anvil.

        A bundle whose transaction Anvil refuses is left out, and the rest planned anew.
        """
        payouts = await self._payouts(orders, env, builder)
        candidates = self._pool.mempool.candidates(env.base_fee_per_gas)
        nonces = await self._nonces(orders, candidates, builder)
        refused: dict[int, Refusal] = {}
        while True:
            left = [number for number in range(len(orders)) if number not in refused]
            merger = Merger(self._rpc, env, chain_id=self._chain_id, nonces=nonces, payouts=payouts)
            merge = await merger.merge([orders[number] for number in left])
            plan = self._plan(merge, candidates, nonces, env, builder)
            culprit = await self._offer(plan, nonces)
            if culprit is None:
                late = (missed(orders[number], refusal) for number, refusal in refused.items())
                return msgspec.structs.replace(plan, considered=(*plan.considered, *late))
            signed, message = culprit
            refusal = Refusal(MissCause.REVERTED_SIM, f"refused by the node: {message}")
            refused |= {
                number: refusal
                for number in left
                if signed in orders[number].transactions
                or (signed in plan.payouts and orders[number].refund is not None)
            }
            await self._rpc.call("anvil_dropAllTransactions")

    def _plan(
        self,
        merge: Merge,
        candidates: Iterable[PooledTransaction],
        nonces: dict[Address, int],
        env: SlotEnv,
        builder: Builder,
    ) -> BlockPlan:
        following = following_nonces(merge.transactions, nonces)
        payer = builder.fee_recipient if merge.dues else None
        public = pack(
            (each for each in candidates if each.sender != payer),
            nonces=following,
            base_fee_wei=env.base_fee_per_gas,
            gas=env.gas_limit - merge.gas_used - sum(due.gas for due in merge.dues),
            taken=frozenset(each.hash for each in merge.transactions),
        )
        payouts: tuple[SignedTransaction, ...] = ()
        if builder.signer is not None and merge.dues:
            payouts = sign_payouts(
                merge.dues,
                builder.signer,
                env,
                chain_id=self._chain_id,
                nonce=following[builder.fee_recipient],
            )
        return BlockPlan(
            bundled=merge.transactions, public=public, payouts=payouts, considered=merge.considered
        )

    async def _payouts(self, orders: Sequence[Order], env: SlotEnv, builder: Builder) -> Payouts:
        """The builder's refunds; one without a key gives nothing back."""
        rule = builder.profile.refund if builder.signer is not None else None
        if rule is None or not any(each.refund for each in orders):
            return Payouts(None, env, {})
        found = {recipient_of(each, rule) for each in orders}
        recipients = [each for each in found if each is not None]
        gas = await payout_gas(self._rpc, builder.fee_recipient, recipients)
        return Payouts(rule, env, gas)

    async def _nonces(
        self, orders: Iterable[Order], pool: Iterable[PooledTransaction], builder: Builder
    ) -> dict[Address, int]:
        senders = accounts_of(orders) | {each.sender for each in pool} | {builder.fee_recipient}
        ordered = sorted(senders)
        counts = await self._rpc.batch(
            [("eth_getTransactionCount", (sender, "latest")) for sender in ordered]
        )
        return {s: int(str(count), 16) for s, count in zip(ordered, counts, strict=True)}

    async def _offer(
        self, plan: BlockPlan, nonces: Mapping[Address, int]
    ) -> tuple[SignedTransaction, str] | None:
        """Hand over the plan; the first transaction of a bundle or payout that is refused, why."""
        own = {each.hash: each for each in (*plan.bundled, *plan.payouts)}
        calls: list[Call] = []
        offered: dict[int, SignedTransaction] = {}
        following = dict(nonces)
        for sender, nonce, name, call in _in_order(plan):
            # Anvil queues what stands behind a gap, and knows no delegation (EIP-7702) that closes
            # it within the block: to its pool the account is moved on, and back again.
            bridged = nonce > following[sender]
            if bridged:
                calls.append(("anvil_setNonce", (sender, hex(nonce))))
            if name in own:
                offered[len(calls)] = own[name]
            calls.append(call)
            if bridged:
                calls.append(("anvil_setNonce", (sender, hex(nonces[sender]))))
            following[sender] = nonce + 1
        answers = await in_order(urlsplit(self._rpc.url).port or 0, calls)
        for place, signed in offered.items():
            answer = answers[place]
            if isinstance(answer, RpcError):
                return signed, answer.message
        return None


def _in_order(plan: BlockPlan) -> Iterator[tuple[Address, int, Hash, Call]]:
    """Sender, nonce and hash of each transaction, and how it is handed to Anvil."""
    for signed in plan.bundled:
        yield signed.sender, signed.unsigned.nonce, signed.hash, _raw(signed.raw)
    for each in plan.public:
        call = _raw(each.raw) if each.call is None else ("eth_sendTransaction", (each.call,))
        yield each.sender, each.nonce, each.hash, call
    for signed in plan.payouts:
        yield signed.sender, signed.unsigned.nonce, signed.hash, _raw(signed.raw)


def _raw(raw: str | None) -> Call:
    return "eth_sendRawTransaction", (raw,)
