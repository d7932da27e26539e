"""Nonces for bundles: checked, priced and signed together."""

from collections.abc import Callable, Iterable, Sequence

from toolkit.model.chain import Hash
from toolkit.model.errors import ConfigError
from toolkit.model.tx import FeeQuote, TransactionRequest, UnsignedTransaction
from toolkit.tx.config import SchedulerConfig
from toolkit.tx.handle import BundleLease
from toolkit.tx.lane_state import LaneState
from toolkit.tx.preflight import require_cost, require_funds
from toolkit.tx.runner import LaneRunner, signed_as_asked

Pricing = Callable[[TransactionRequest, FeeQuote, int], UnsignedTransaction]
"""Fills in fees at a nonce, and checks the ceilings of one transaction."""


def require_bundle(requests: Sequence[TransactionRequest], *, target_block: int, head: int) -> None:
    """Check what a bundle must have before anything is asked or signed.

    Raises:
        ConfigError: nothing to sign, no gas, or a target that is past.
    """
    if not requests or any(request.gas is None for request in requests):
        raise ConfigError("a bundle needs at least one request, and each must state its gas")
    if target_block <= head:
        raise ConfigError(f"target block {target_block} is not after head {head}")


def require_one_block(state: LaneState, *, target_block: int) -> None:
    """Check that no live bundle of the lane is meant for another block.

    Raises:
        ConfigError: one is, and it would decide over the nonces of this one.
    """
    for live in state.leases.values():
        if live.target_block != target_block:
            raise ConfigError(
                f"{state.lane} has a live bundle for block {live.target_block}; "
                f"settle it before leasing for block {target_block}"
            )


def live_lease(states: Iterable[LaneState], lease_id: str) -> BundleLease | None:
    """The lease of this name whose nonces a lane still holds, if any does."""
    for state in states:
        if (held := state.leases.get(lease_id)) is not None:
            return BundleLease(
                lease_id=lease_id,
                sender=state.lane,
                signed=held.signed,
                target_block=held.target_block,
            )
    return None


def spenders(state: LaneState, nonce: int) -> frozenset[Hash]:
    """What a lane has signed for a nonce that it holds, for bundles and requests."""
    leased = (tx for lease in state.leases.values() for tx in lease.signed)
    found = {tx.hash for tx in leased if tx.unsigned.nonce == nonce}
    if nonce in state.slots:
        found |= {one.signed.hash for one in state.jobs[state.slots[nonce]].tries}
    return frozenset(found)


async def sign_lease(
    runner: LaneRunner,
    requests: Sequence[TransactionRequest],
    *,
    name: str,
    first: int,
    target_block: int,
    fee: FeeQuote,
    tip_wei: int,
    balance_wei: int,
    config: SchedulerConfig,
    pricing: Pricing,
) -> BundleLease:
    """Sign requests on consecutive nonces from `first` on.

    Raises:
        FeeLimitReached, GasLimitTooHigh, InsufficientFunds, SignerError: nothing was leased.
    """
    sender = runner.signer.address
    asked = [pricing(request, fee, first + index) for index, request in enumerate(requests)]
    require_cost(asked, tip_wei=tip_wei, max_cost_wei=config.max_cost_wei)
    left = balance_wei - runner.state.reserved_wei()
    require_funds(sum(tx.worst_cost_wei for tx in asked), left, sender=sender)
    return BundleLease(
        lease_id=name,
        sender=sender,
        signed=tuple([await signed_as_asked(runner.signer, unsigned) for unsigned in asked]),
        target_block=target_block,
    )
