"""From approved rulings to plans that hold their capital and gas."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from toolkit.execution.planner import (
    Declined,
    FlashSource,
    expected_gas_price,
    pair_sources,
    plan,
    worst_gas_wei,
)
from toolkit.model.chain import ZERO_ADDRESS, Address
from toolkit.model.decision import Reading, Reservation, VetoCause
from toolkit.model.market import FundingKind, PoolId, PoolKind, has_contract
from toolkit.orchestrator import records
from toolkit.orchestrator.block import Sitting
from toolkit.orchestrator.capital.ledger import Ledger, Share
from toolkit.orchestrator.deciding.arbitration import Ruling
from toolkit.orchestrator.deciding.waste import saved_gas
from toolkit.orchestrator.market import whole
from toolkit.orchestrator.pausing.impact import log_moves
from toolkit.orchestrator.records import Planned, Setup
from toolkit.pools.snapshot import PoolSpec
from toolkit.routing.router import Router


class Planner:
    """Plans one block's rulings, best first; pools that one uses are closed to the next.

    Args:
        free: what may be promised of a token.
    """

    def __init__(
        self, setup: Setup, ledger: Ledger, now: Sitting, free: Callable[[Address], int]
    ) -> None:
        self._setup = setup
        self._ledger = ledger
        self._now = now
        self._free = free
        self._open = now.snapshot
        self._router = now.ways.router
        self._used: set[PoolId] = set()  # pools that are still to be closed
        self._lenders = lenders(setup, now.newest, now.seen.head.number)

    def plan(self, ruling: Ruling) -> tuple[Ruling, Planned | None]:
        """Plan an approved ruling and reserve what it needs, or veto it."""
        if self._used:
            self._close()
        fee, wrapped = self._now.seen.fee, self._setup.market.wrapped
        answer = plan(
            ruling.verdict,
            snapshot=self._open,
            router=self._router,
            fee=fee,
            wrapped=wrapped,
            sources=(*self._lenders, *pair_sources(self._open, wrapped)),
            tip=self._setup.tip,
            limits=self._setup.plan_limits,
        )
        if isinstance(answer, Declined):
            return declined(ruling, answer), None
        own = answer.funding.kind is FundingKind.OWN
        reservation = Reservation(
            verdict_id=answer.verdict_id,
            token=answer.route.token_in,
            amount=answer.route.amount_in if own else 0,
            gas_wei=worst_gas_wei(answer, fee),
            expires_block=answer.target_block,
        )
        refused = self._reserve(reservation, ruling.shares)
        if refused is not None:
            return declined(ruling, refused), None
        moves = log_moves(self._now.snapshot, answer.route, self._setup.market.prices)
        planned = Planned(plan=answer, reservation=reservation, log_moves=moves)
        self._used.update([hop.pool for hop in answer.route.hops])
        if answer.funding.lender is not None:
            self._used.add(answer.funding.lender)
        return ruling, planned

    def saving(self, ruling: Ruling, planned: Planned | None) -> Ruling:
        """Say what gas netting saved, by what is planned of a ruling in the end."""
        if not ruling.inside and len(ruling.shares) <= 1:
            return ruling
        gas = saved_gas(
            ruling.inside,
            ruling.shares,
            None if planned is None else planned.plan,
            ways=self._now.ways,
            swap_tip_wei=self._setup.tip.swap_wei,
        )
        told = gas * expected_gas_price(self._now.seen.fee)
        verdict = msgspec.structs.replace(ruling.verdict, saved_gas_wei=told)
        return msgspec.structs.replace(ruling, verdict=verdict)

    def _close(self) -> None:
        """Leave out the pools that the plans before use: only where there is another to plan."""
        pools = self._open.pools.items()
        self._open = msgspec.structs.replace(
            self._open, pools={key: pool for key, pool in pools if key not in self._used}
        )
        self._used = set()
        self._router = Router(self._open, native=self._setup.market.wrapped)

    def _reserve(self, reservation: Reservation, shares: Sequence[Share]) -> Declined | None:
        """Hold what a plan needs, within the limit on gas and what the chain confirms."""
        limit = self._setup.limits.max_gas_wei
        held = self._ledger.promised(ZERO_ADDRESS)
        if held + reservation.gas_wei > limit:
            why = f"worst-case gas {held + reservation.gas_wei} wei, at most {limit}"
            return Declined(VetoCause.LIMIT, why)
        gas_free, token_free = self._free(ZERO_ADDRESS), self._free(reservation.token)
        if reservation.gas_wei > gas_free or reservation.amount > token_free:
            why = (
                f"needs {reservation.amount} of {reservation.token} and {reservation.gas_wei} wei "
                f"for gas; {token_free} and {gas_free} are free"
            )
            return Declined(VetoCause.NO_CAPITAL, why)
        reserved = self._ledger.reserve(reservation, shares)
        assert reserved
        return None


def lenders(setup: Setup, readings: Mapping[str, Reading], block: int) -> tuple[FlashSource, ...]:
    """Return the configured lenders with what they were last seen to have, if that is fresh."""
    found: list[FlashSource] = []
    for lender in setup.lenders:
        reading = readings.get(records.flash_key(lender))
        if reading is None:
            continue
        if block - reading.block_number <= reading.max_age_blocks:
            found.append(
                FlashSource(
                    kind=lender.kind,
                    lender=lender.lender,
                    token=lender.token,
                    available=whole(reading.value),
                    fee_ppm=lender.fee_ppm,
                )
            )
    return tuple(found)


def flash_lenders(
    pools: Sequence[PoolSpec], token: Address, *, vault: Address | None = None
) -> tuple[FlashSource, ...]:
    """Return who may lend: V3 pools that hold `token`, and a Balancer vault if one is named.

    The vault is asked for every token of the pools: it lends an order that spends what a later hop
    brings all of it at once. V2 pairs need not be listed: what they have is in every snapshot.
    """
    found = [
        FlashSource(
            kind=FundingKind.V3_FLASH,
            lender=spec.id,
            token=token,
            available=0,
            fee_ppm=spec.fee_ppm,
        )
        for spec in sorted(pools, key=lambda spec: spec.id)
        if has_contract(spec.id)
        and spec.kind is PoolKind.CONCENTRATED
        and token in {spec.token0, spec.token1}
    ]
    if vault is not None:
        traded = {token, *(side for spec in pools for side in (spec.token0, spec.token1))}
        found += [
            FlashSource(kind=FundingKind.BALANCER, lender=vault, token=one, available=0)
            for one in sorted(traded - {ZERO_ADDRESS})
        ]
    return tuple(found)


def declined(ruling: Ruling, answer: Declined) -> Ruling:
    """Veto an approved verdict that cannot be executed; what changed hands inside stays."""
    verdict = ruling.verdict
    why = f"{verdict.why}; {answer.why}" if ruling.transfers else answer.why
    return msgspec.structs.replace(
        ruling,
        verdict=msgspec.structs.replace(
            verdict, approved=False, legs=(), cause=answer.cause, why=why
        ),
        shares=(),
        tried=tuple(sorted({share.agent for share in ruling.shares})),
    )
