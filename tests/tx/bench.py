"""A lane on the bench: a signer that answers at once, and a record of what came of it."""

from collections.abc import Sequence
from typing import Any

import msgspec

from toolkit.chain.signer import LocalSigner
from toolkit.model.chain import Address, Hash
from toolkit.model.errors import Recovery
from toolkit.model.tx import (
    Exposure,
    ExternalSpend,
    FeeQuote,
    SignedTransaction,
    TransactionRequest,
    UnsignedTransaction,
    Urgency,
)
from toolkit.tx.events import (
    Accepted,
    Answered,
    Effect,
    Event,
    Fail,
    Finish,
    Halt,
    LaneLimits,
    LaneOpened,
    Leased,
    Mined,
    Observed,
    Prepared,
    Released,
    Reopen,
    ReplaceAsked,
    Send,
    Sign,
    Spender,
)
from toolkit.tx.fees import first_attempt
from toolkit.tx.lane import open_lane, step

OWNER = LocalSigner("0x" + "0a" * 32)
ME = OWNER.address
FRIEND = Address("0x" + "f1" * 20)
STRANGER = Hash("0x" + "57" * 32)
GWEI = 10**9
ETHER = 10**18
LIMITS = LaneLimits(max_cost_wei=ETHER // 100, max_in_flight=3, replace_after_blocks=2)


def quote(gwei: int, *, base_gwei: int = 1) -> FeeQuote:
    return FeeQuote(
        max_fee_per_gas=gwei * GWEI,
        max_priority_fee_per_gas=GWEI,
        base_fee_per_gas=base_gwei * GWEI,
        for_block=1,
    )


def quotes(gwei: int, *, base_gwei: int = 1) -> dict[str, FeeQuote]:
    return {urgency.name: quote(gwei, base_gwei=base_gwei) for urgency in Urgency}


class Bench:
    """A lane with a signer that answers at once; keeps what is to be sent and how things ended."""

    def __init__(self, limits: LaneLimits = LIMITS) -> None:
        opened = LaneOpened(
            lane=ME, chain_id=1, limits=limits, anchor_block=0, anchor_hash=STRANGER
        )
        self.opened = opened
        self.state = open_lane(opened)
        self.sends: list[Send] = []
        self.ends: dict[str, object] = {}
        self.reopened: list[str] = []
        self.halts: list[str] = []
        self.observe(10)

    def do(self, event: Event) -> None:
        for effect in self.step(event):
            if isinstance(effect, Sign):
                self.prepared_as(effect, OWNER.sign_transaction_now(effect.unsigned))

    def prepared_as(self, effect: Sign, signed: SignedTransaction) -> None:
        self.do(
            Prepared(
                lane=ME,
                request_id=effect.request_id,
                signed=signed,
                cancels=effect.cancels,
                version=effect.version,
            )
        )

    def step(self, event: Event) -> Sequence[Effect]:
        self.state, effects = step(self.state, event)
        for effect in effects:
            match effect:
                case Send():
                    self.sends.append(effect)
                case Finish():
                    self.ends[effect.request_id] = effect.outcome
                case Fail():
                    self.ends[effect.request_id] = effect
                case Reopen():
                    self.reopened.append(effect.request_id)
                case Halt():
                    self.halts.append(effect.reason)
        return effects

    def accept(
        self,
        name: str,
        *,
        deadline_block: int | None = None,
        gwei: int = 20,
        destinations: tuple[str, ...] = ("public",),
        priority: int = 0,
        after: str | None = None,
        requeue: bool = False,
        **fields: object,
    ) -> None:
        request = msgspec.structs.replace(TransactionRequest(to=FRIEND, gas=21_000), **fields)
        self.do(
            Accepted(
                lane=ME,
                request_id=name,
                request=request,
                urgency=Urgency.SOON,
                deadline_block=deadline_block,
                destinations=destinations,
                quote=quote(gwei),
                balance_wei=self.state.balance_wei,
                priority=priority,
                after=after,
                on_external_spend=ExternalSpend.REQUEUE if requeue else ExternalSpend.REPORT,
            )
        )

    def answer(
        self,
        name: str,
        exposure: Exposure = Exposure.PUBLIC,
        recovery: Recovery | None = None,
        number: int = -1,
        *,
        destination: str = "public",
        refusal: str = "",
    ) -> None:
        attempt = self.state.jobs[name].tries[number]
        self.do(
            Answered(
                lane=ME,
                request_id=name,
                tx_hash=attempt.signed.hash,
                destination=destination,
                exposure=exposure,
                recovery=recovery,
                message="refused",
                refusal=refusal,
            )
        )

    def replace(
        self, name: str, request: TransactionRequest | None = None, *, gwei: int = 20
    ) -> None:
        self.do(self.replaced(name, request, gwei=gwei))

    def replaced(
        self, name: str, request: TransactionRequest | None = None, *, gwei: int = 20
    ) -> ReplaceAsked:
        return ReplaceAsked(
            lane=ME,
            request_id=name,
            request=request,
            urgency=Urgency.NEXT_BLOCK,
            quote=quote(gwei),
        )

    def prepared(self, name: str, signed: SignedTransaction) -> None:
        self.do(Prepared(lane=ME, request_id=name, signed=signed))

    def release(self, name: str, *, succeeded: bool = True, reason: str = "") -> None:
        self.do(Released(lane=ME, request_id=name, succeeded=succeeded, reason=reason))

    def observe(self, block: int, **seen: Any) -> None:
        """See a head; the fields are those of `observed`."""
        self.do(self.observed(block, **seen))

    def observed(
        self,
        block: int,
        *,
        nonce: int = 0,
        gwei: int = 20,
        base_gwei: int = 1,
        balance_wei: int = ETHER,
        receipts: tuple[Mined, ...] = (),
        spenders: tuple[Spender, ...] = (),
        reorged: bool = False,
        delegated: bool = False,
    ) -> Observed:
        return Observed(
            lane=ME,
            block=block,
            nonce=nonce,
            balance_wei=balance_wei,
            quotes=quotes(gwei, base_gwei=base_gwei),
            receipts=receipts,
            spenders=spenders,
            reorged=reorged,
            delegated=delegated,
        )

    def mined(self, name: str, block: int, *, number: int = -1, succeeded: bool = True) -> Mined:
        return Mined(
            tx_hash=self.state.jobs[name].tries[number].signed.hash,
            block_number=block,
            block_hash=Hash(f"0x{block:064x}"),
            succeeded=succeeded,
            gas_used=21_000,
            fee_wei=21_000,
        )

    def cancelling(self, name: str) -> bool:
        return self.state.jobs[name].last.cancels

    def tries(self, name: str) -> int:
        return len(self.state.jobs[name].tries)

    def bid(self, name: str) -> UnsignedTransaction:
        return self.state.jobs[name].last.signed.unsigned

    def sent(self) -> list[str]:
        """Who was handed out since the last time this was asked."""
        names = [send.request_id for send in self.sends]
        self.sends.clear()
        return names

    def flying(self) -> dict[str, int | None]:
        return {job.request_id: job.nonce for job in self.state.in_flight()}

    def nonces(self) -> dict[str, int | None]:
        return {name: job.nonce for name, job in self.state.jobs.items()}

    def lease(self, name: str, *, target_block: int, count: int = 2) -> None:
        first = self.state.next_lease_nonce()
        request = TransactionRequest(to=FRIEND, gas=21_000)
        signed = tuple(
            OWNER.sign_transaction_now(first_attempt(request, quote(20), chain_id=1, nonce=nonce))
            for nonce in range(first, first + count)
        )
        self.do(Leased(lane=ME, lease_id=name, target_block=target_block, signed=signed))
