"""Carries plans out as private bundles, and reads back what the chain did with them."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

from toolkit.bundles.hashes import replacement_uuid
from toolkit.bundles.submitter import BundleHandle, Submitter
from toolkit.chain.multicall import aggregate
from toolkit.chain.node import Node
from toolkit.evm.simulator import BlockEnv, CallResult, Simulator
from toolkit.execution.calldata import (
    ALLOWANCE,
    BALANCE_OF,
    encode_address_call,
    encode_approvals,
    encode_batch,
    encode_plan,
    explain_revert,
)
from toolkit.execution.fills import token_changes
from toolkit.execution.lookup import mined_plans
from toolkit.execution.merging import (
    expected_changes,
    merged_gas_limit,
    pulls,
    require_mergeable,
)
from toolkit.execution.outcome import filled, lost
from toolkit.execution.planner import APPROVE_GAS, FlashSource, paid_tip_wei, pair_sources
from toolkit.execution.strays import Strays
from toolkit.gas.oracle import GasOracle
from toolkit.model.bundle import Bundle, GuardKind, MissCause, Missed
from toolkit.model.chain import (
    MAINNET_WETH,
    ZERO_ADDRESS,
    Address,
    Head,
    HeadChange,
    Mode,
    Receipt,
)
from toolkit.model.decision import Fill, Plan, VetoCause
from toolkit.model.errors import (
    BundleRefused,
    ConfigError,
    FeeLimitReached,
    GasLimitTooHigh,
    InsufficientFunds,
    NodeError,
    RelayError,
)
from toolkit.model.market import FundingKind
from toolkit.model.tx import FeeQuote, TransactionRequest, UnsignedTransaction, Urgency
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.snapshot import Snapshot
from toolkit.tx.handle import BundleLease

BALANCER_VAULT = Address("0xba12222222228d8ba445958a75a0704d566bf2c8")
SLOT_S = 12
_GUARDS = (GuardKind.BLOCK, GuardKind.PARENT_HASH, GuardKind.MINIMUM_PROFIT)
_SLOT0 = "0x3850c7bd"  # slot0() of UniswapV3Pool.sol; its first word is sqrtPriceX96


class NonceOwner(Protocol):
    """The part of the transaction scheduler that signs bundles (`TransactionScheduler` is one)."""

    async def lease_bundle(
        self,
        requests: Sequence[TransactionRequest],
        *,
        sender: Address,
        target_block: int,
        fee: FeeQuote,
        tip_wei: int = 0,
    ) -> BundleLease:
        """Sign consecutive nonces and hold them until the target block."""
        ...


class Trading(Protocol):
    """The part of a session that executes plans."""

    @property
    def node(self) -> Node:
        """The node that is read."""
        ...

    @property
    def mode(self) -> Mode:
        """DRY stops before the first signature."""
        ...

    @property
    def chain_id(self) -> int:
        """Of the node's chain."""
        ...

    @property
    def oracle(self) -> GasOracle:
        """Where fees come from."""
        ...

    @property
    def simulator(self) -> Simulator:
        """Where a plan is tried first."""
        ...

    @property
    def scheduler(self) -> NonceOwner:
        """Who owns the nonces."""
        ...

    @property
    def submitter(self) -> Submitter:
        """Who talks to the relays."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class InFlight:
    """A plan that was handed to the relays; `bid_wei` is what its builder earns from it alone.

    Plans that share transactions share all but `plan`; `plans` are all of them, in order.
    """

    plan: Plan
    plans: tuple[Plan, ...]
    sender: Address
    handle: BundleHandle
    lease: BundleLease
    requests: tuple[TransactionRequest, ...] = field(repr=False)
    bid_wei: int


class _Refusal(NamedTuple):
    """Why plans were not sent; `apart` if each of several may still be tried alone."""

    why: str
    apart: bool = False


class Gateway:
    """Executes plans through on-chain executors, each owned by the signer that calls it.

    A plan is simulated on its parent block; only one that succeeds there and gives at least the
    planned result is signed, and it goes to the relays as a guarded bundle, never to the public
    pool. A further plan of the same sender for the same block stands on the nonces of those before
    it: its bundle repeats their transactions ahead of its own, so that it can land with them, while
    each of theirs can still land without it. Plans given together go in one transaction, with one
    approval for each token, and land together or not at all.

    Args:
        session: see `Trading`.
        executors: by signer. The first signer holds the capital. Flash-funded plans, which may
            lose their auction, go from the others where there are any, so that a lost one never
            stands in front of a capital trade.
        wrapped: the wrapped native token.
        vault: the Balancer vault to borrow from.

    Raises:
        ConfigError: no executor is given.
    """

    def __init__(
        self,
        session: Trading,
        executors: Mapping[Address, Address],
        *,
        wrapped: Address = MAINNET_WETH,
        vault: Address = BALANCER_VAULT,
    ) -> None:
        if not executors:
            raise ConfigError("no executor: deploy one with `toolkit executor deploy`")
        self._session = session
        self._executors = dict(executors)
        self._wrapped = wrapped
        self._vault = vault
        self._flying: list[InFlight] = []
        self._strays = Strays(session.node)
        # One at a time for each sender: a plan stands on the nonces of those before it.
        self._turns = {sender: asyncio.Lock() for sender in executors}
        self.own = frozenset(executors) | frozenset(executors.values())
        session.submitter.add_own(self.own)

    async def execute(self, plan: Plan, *, fee: FeeQuote | None = None) -> Fill:
        """Submit and wait; for a chain whose heads somebody else feeds to the session."""
        in_flight = await self.submit(plan, fee=fee)
        if isinstance(in_flight, Fill):
            return in_flight
        await in_flight.handle.wait()
        return await self._fill(in_flight)

    async def submit(self, plan: Plan, *, fee: FeeQuote | None = None) -> InFlight | Fill:
        """Simulate, sign and send a plan; a Fill, with its veto in `missed`, if nothing was sent.

        Args:
            plan: for the block after the chain's head.
            fee: for that block; asked from the oracle if None.

        Raises:
            NodeError: the chain could not be read.
            SignerError, LaneHalted, JournalUnavailable: nothing was sent.
        """
        parent = await self._session.node.head(plan.parent_hash)
        quote = fee or await self._session.oracle.quote(Urgency.NEXT_BLOCK, head=parent)
        sender = self._sender(plan)
        async with self._turns[sender]:
            answer = await self._submit((plan,), sender, parent, quote)
        return answer if isinstance(answer, InFlight) else lost(plan, answer.why)

    async def submit_merged(
        self, plans: Sequence[Plan], *, fee: FeeQuote | None = None
    ) -> tuple[InFlight | Fill, ...] | None:
        """Send plans in one transaction; the answer to each, in order, as `submit` gives it.

        None if simulation or a limit refuses the merged form: nothing was signed, and each of the
        plans may still do alone.

        Raises:
            ConfigError: the plans must not share a transaction (`merging.require_mergeable`).
            NodeError: the chain could not be read.
            SignerError, LaneHalted, JournalUnavailable: nothing was sent.
        """
        merged = tuple(plans)
        require_mergeable(merged)
        parent = await self._session.node.head(merged[0].parent_hash)
        quote = fee or await self._session.oracle.quote(Urgency.NEXT_BLOCK, head=parent)
        sender = self._sender(merged[0])
        async with self._turns[sender]:
            answer = await self._submit(merged, sender, parent, quote)
        if isinstance(answer, InFlight):
            return tuple(replace(answer, plan=plan) for plan in merged)
        return None if answer.apart else tuple(lost(plan, answer.why) for plan in merged)

    async def rehearse(
        self, plans: Sequence[Plan], *, fee: FeeQuote | None = None
    ) -> tuple[CallResult, ...]:
        """Simulate plans on their parent as they would be sent together; nothing is signed.

        Returns what each transaction does: the approvals, then the one that trades.

        Raises:
            ConfigError: several that must not share a transaction.
            NodeError: the chain could not be read.
        """
        tried = tuple(plans)
        parent = await self._session.node.head(tried[0].parent_hash)
        quote = fee or await self._session.oracle.quote(Urgency.NEXT_BLOCK, head=parent)
        sender = self._sender(tried[0])
        requests = await self._requests(tried, sender)
        return await self._simulate((), requests, sender, parent, quote)

    async def settle(self, in_flight: InFlight, change: HeadChange) -> Fill:
        """Tell what became of a plan, once its target block is among the heads of `change`.

        The session need not have seen the change yet; it may.

        Raises:
            ConfigError: the change does not reach the target block.
            NodeError: the chain could not be read.
        """
        if not in_flight.handle.done:
            await self._session.submitter.on_head(change)
        if not in_flight.handle.done:
            newest = max((head.number for head in change.added), default=0)
            raise ConfigError(
                f"head {newest} does not reach block {in_flight.plan.target_block}: settle later"
            )
        return await self._fill(in_flight)

    async def recover(self, plans: Sequence[Plan], change: HeadChange) -> tuple[Fill, ...]:
        """Tell what became of an earlier process's plans for one block, by that block alone.

        Args:
            plans: of one target block, among the heads of `change` or before them.
            change: up to where the chain is known.

        Raises:
            ConfigError: the change does not reach the target block.
            NodeError: the chain could not be read.
        """
        newest = max((head.number for head in change.added), default=0)
        if newest < plans[0].target_block:
            raise ConfigError(
                f"head {newest} does not reach block {plans[0].target_block}: settle later"
            )
        fills = {plan.verdict_id: lost(plan, "not in its block") for plan in plans}
        for together, mined in await mined_plans(self._session.node, plans, self._executors):
            for plan in together:
                fills[plan.verdict_id] = await self._told(plan, together, mined)
        return tuple(fills[plan.verdict_id] for plan in plans)

    async def strays(self, change: HeadChange) -> tuple[Fill, ...]:
        """Tell what blocks hold of bundles that have ended as if they did not, each block once.

        What returned to the public pool with a reorg, leaked or was torn apart fails by its guards
        and costs its gas.

        Raises:
            NodeError: the chain could not be read; all of it is told the next time.
        """
        news = await self._strays.mined(change)
        fills = [
            await self._told(plan, one.plans, one.receipts, whole=one.whole)
            for one in news
            for plan in one.plans
        ]
        self._strays.told(news)
        return tuple(fills)

    async def withdraw(self) -> tuple[str, ...]:
        """Ask the relays to forget what is on its way; names the verdicts that cannot land now.

        A plan can as long as one relay has not confirmed for one of the bundles that carry its
        transactions. What lands all the same is told as such.
        """
        flying = [one for one in self._flying if not one.handle.done]
        kept = await asyncio.gather(*(_kept(one.handle) for one in flying))
        at_large = {
            hash_
            for one, keeps in zip(flying, kept, strict=True)
            if keeps
            for hash_ in one.handle.hashes
        }
        return tuple(
            plan.verdict_id
            for one in flying
            if at_large.isdisjoint(signed.hash for signed in one.lease.signed)
            for plan in one.plans
        )

    async def flash_sources(
        self, snapshot: Snapshot, *, token: Address | None = None
    ) -> tuple[FlashSource, ...]:
        """Read who lends `token` (the wrapped native one by default) as of the snapshot.

        Of Balancer's vault all else that the pools trade is told too: it lends several at once.
        """
        asset = token or self._wrapped
        pools = [
            pool
            for _, pool in sorted(snapshot.pools.items())
            if isinstance(pool, Concentrated) and asset in {pool.token0, pool.token1}
        ]
        ends = (end for pool in snapshot.pools.values() for end in (pool.token0, pool.token1))
        lent = sorted({asset, *ends} - {ZERO_ADDRESS})
        held = [*((one, self._vault) for one in lent), *((asset, pool.id) for pool in pools)]
        calls = [(one, encode_address_call(BALANCE_OF, holder)) for one, holder in held]
        balances = await aggregate(self._session.node, calls, block=snapshot.block.hash)
        amounts = [int(balance or "0x0", 16) for balance in balances]
        lenders = [
            FlashSource(
                kind=FundingKind.V3_FLASH,
                lender=pool.id,
                token=asset,
                available=balance,
                fee_ppm=pool.fee_ppm,
            )
            for pool, balance in zip(pools, amounts[len(lent) :], strict=True)
        ]
        vault = [
            FlashSource(kind=FundingKind.BALANCER, lender=self._vault, token=one, available=amount)
            for one, amount in zip(lent, amounts, strict=False)
            if amount
        ]
        return (*pair_sources(snapshot, asset), *lenders, *vault)

    async def _submit(
        self, plans: tuple[Plan, ...], sender: Address, parent: Head, quote: FeeQuote
    ) -> InFlight | _Refusal:
        """Simulate, sign and send what goes into one transaction."""
        session, target = self._session, plans[0].target_block
        requests = await self._requests(plans, sender)
        ahead = self._ahead(target, sender)
        results = await self._simulate(ahead, requests, sender, parent, quote)
        refusal = self._judged(plans, results)
        if refusal:
            return _Refusal(f"{VetoCause.SIMULATION.value}: {refusal}", apart=True)
        if session.mode is Mode.DRY:
            return _Refusal("dry run: simulated, not sent")
        headroom = quote.max_fee_per_gas - quote.base_fee_per_gas
        gas_price = max(0, min(quote.max_priority_fee_per_gas, headroom))
        tips = sum(plan.tip_wei for plan in plans)
        bid_wei = tips + gas_price * sum(result.gas_used for result in results)
        try:
            lease = await session.scheduler.lease_bundle(
                requests,
                sender=sender,
                target_block=target,
                fee=quote,
                tip_wei=sum(map(paid_tip_wei, plans)),
            )
        except (FeeLimitReached, GasLimitTooHigh, InsufficientFunds) as error:
            return _Refusal(f"{VetoCause.LIMIT.value}: {error}", apart=True)
        try:
            handle = await self._send(plans, ahead, lease, bid_wei)
        except BundleRefused as error:
            return _Refusal(f"refused: {error}")  # not apart: the nonces are held for this block
        in_flight = InFlight(
            plan=plans[0],
            plans=plans,
            sender=sender,
            handle=handle,
            lease=lease,
            requests=requests,
            bid_wei=bid_wei,
        )
        self._flying.append(in_flight)
        return in_flight

    def _sender(self, plan: Plan) -> Address:
        capital, *others = self._executors
        if plan.funding.kind is FundingKind.OWN or not others:
            return capital
        busy = {one.sender for one in self._flying if not one.handle.done}
        return next((one for one in others if one not in busy), others[0])

    def _ahead(self, target_block: int, sender: Address) -> tuple[InFlight, ...]:
        """Live plans whose nonces come before this one's in the same block, in order."""
        return tuple(
            one
            for one in self._flying
            if one.sender == sender
            and one.plan.target_block == target_block
            and not one.handle.done
        )

    async def _requests(
        self, plans: Sequence[Plan], sender: Address
    ) -> tuple[TransactionRequest, ...]:
        """Approve exactly what is taken of each token, then carry out one plan or all of them."""
        executor, parent = self._executors[sender], plans[0].parent_hash
        approvals: list[TransactionRequest] = []
        for token, amount in pulls(plans):
            allowance = await self._session.node.call(
                to=token, data=encode_address_call(ALLOWANCE, sender, executor), block=parent
            )
            steps = encode_approvals(token, executor, amount=amount, current=int(allowance, 16))
            approvals += (
                TransactionRequest(to=token, data=data, gas=APPROVE_GAS, sender=sender)
                for data in steps
            )
        one = len(plans) == 1
        call = TransactionRequest(
            to=executor,
            data=encode_plan(plans[0], executor) if one else encode_batch(plans, executor),
            value=sum(map(paid_tip_wei, plans)),
            gas=merged_gas_limit(plans),
            sender=sender,
        )
        return (*approvals, call)

    async def _simulate(
        self,
        ahead: Sequence[InFlight],
        requests: Sequence[TransactionRequest],
        sender: Address,
        parent: Head,
        fee: FeeQuote,
    ) -> tuple[CallResult, ...]:
        """Run `requests` on the parent, after those ahead of them; their own results only."""
        session = self._session
        before = [request for one in ahead for request in one.requests]
        # The nonce of the state, not the lane's: what is still in flight is not on the parent.
        nonce = await session.node.nonce(sender, parent.hash)
        unsigned = [
            UnsignedTransaction(
                type=2,
                chain_id=session.chain_id,
                nonce=nonce + index,
                to=request.to,
                value=request.value,
                data=request.data,
                gas=request.gas or 0,
                max_fee_per_gas=fee.max_fee_per_gas,
                max_priority_fee_per_gas=fee.max_priority_fee_per_gas,
            )
            for index, request in enumerate([*before, *requests])
        ]
        env = BlockEnv(
            number=parent.number + 1,
            timestamp=parent.timestamp + SLOT_S,
            base_fee_per_gas=fee.base_fee_per_gas,
            coinbase=ZERO_ADDRESS,
            gas_limit=parent.gas_limit,
        )
        results = await session.simulator.simulate(
            [(sender, one) for one in unsigned], parent=parent, env=env
        )
        return results[len(before) :]

    def _judged(self, plans: Sequence[Plan], results: Sequence[CallResult]) -> str:
        """Why what was simulated must not be sent; "" if it may."""
        for index, result in enumerate(results):
            if not result.succeeded:
                told = explain_revert(result.output) if len(result.output) > len("0x") else ""
                return f"transaction {index} of {len(results)}: {told or result.reason}"
        logs = [log for result in results for log in result.logs]
        changes = token_changes(logs, own=self.own, wrapped=self._wrapped)
        for token, wanted in _wanted(plans).items():
            realised = changes.get(token, 0)
            if realised < wanted:
                return f"result {realised} is below the planned {wanted}"
        return ""

    async def _send(
        self, plans: Sequence[Plan], ahead: Sequence[InFlight], lease: BundleLease, bid_wei: int
    ) -> BundleHandle:
        signed = [*(tx for one in ahead for tx in one.lease.signed), *lease.signed]
        hashes = tuple(one.hash for one in signed)
        named = self._session.submitter.replaceable
        bundle = Bundle(
            transactions=tuple(one.raw for one in signed),
            hashes=hashes,
            replacement_uuid=replacement_uuid(hashes) if named else None,
            target_block=plans[0].target_block,
            guards=_GUARDS,
        )
        return await self._session.submitter.submit(
            bundle,
            lease=lease,
            touches={hop.contract for plan in plans for hop in plan.route.hops},
            bid_wei=bid_wei + sum(one.bid_wei for one in ahead),
        )

    async def _fill(self, in_flight: InFlight) -> Fill:
        plan, plans = in_flight.plan, in_flight.plans
        result = await in_flight.handle.wait()
        self._flying = [one for one in self._flying if one.lease is not in_flight.lease]
        if isinstance(result, Missed):
            self._strays.watch(plans, in_flight.lease.signed)
            return lost(plan, f"{result.cause.value}: {result.evidence}")
        node = self._session.node
        hashes = tuple(one.hash for one in in_flight.lease.signed)
        receipts = await asyncio.gather(*(node.receipt(one) for one in hashes))
        # Where its block was reverted, the one in its place may hold them just as well.
        mined = tuple(one for one in receipts if one)
        if len(mined) != len(hashes) or len({one.block_hash for one in mined}) > 1:
            there = await node.head(result.block_number)
            if there.hash != result.block_hash:
                self._strays.watch(plans, in_flight.lease.signed)
                return lost(plan, f"{MissCause.REORGED.value}: block {result.block_hash} is gone")
            raise NodeError(f"the node has no receipts of {', '.join(hashes)} yet: ask again")
        self._strays.watch(plans, in_flight.lease.signed, mined=mined[0].block_hash)
        return await self._told(plan, plans, mined)

    async def _told(
        self, plan: Plan, plans: Sequence[Plan], mined: Sequence[Receipt], *, whole: bool = True
    ) -> Fill:
        node, own, wrapped = self._session.node, self.own, self._wrapped
        return await filled(node, plan, plans, mined, own=own, wrapped=wrapped, whole=whole)


def _wanted(plans: Sequence[Plan]) -> dict[Address, int]:
    """Return the least that our accounts must gain of each token, a loss being negative."""
    if len(plans) == 1:
        return {plans[0].route.token_out: plans[0].minimum_profit}
    wanted: dict[Address, int] = {}
    for plan in plans:
        for token, change in expected_changes(plan).items():
            wanted[token] = wanted.get(token, 0) + change
    return wanted


async def _kept(handle: BundleHandle) -> bool:
    """Ask for a bundle back; whether some relay may keep it."""
    try:
        return bool(await handle.cancel())
    except (ConfigError, RelayError):  # safe because it counts as not withdrawn
        return True
