"""What is checked before a request gets a nonce: afterwards a refusal would cost one."""

from collections.abc import Sequence

import msgspec

from toolkit.model.chain import Address
from toolkit.model.checks import shown
from toolkit.model.errors import (
    ConfigError,
    FeeLimitReached,
    GasLimitTooHigh,
    InsufficientFunds,
)
from toolkit.model.tx import (
    DYNAMIC_FEE_TYPES,
    FeeQuote,
    TransactionRequest,
    UnsignedTransaction,
)
from toolkit.model.units import format_units
from toolkit.tx import fees
from toolkit.tx.observer import ChainQueries
from toolkit.tx.trial import try_request

_PLAIN_TRANSFER_GAS = 21_000
_LEGACY, _BLOB, _SET_CODE = 0, 3, 4
_TYPES = (0, 1, 2, _SET_CODE)


def require_sendable(request: TransactionRequest) -> None:
    """Check that a lane can send such a transaction at all.

    Raises:
        ConfigError: the type, a list that its type does not have, a tip above its fee cap, or a
            contract without code.
    """
    if request.type == _BLOB:
        raise ConfigError(
            "transaction type 3 is not supported: a pool takes blobs and other transactions only "
            "from different accounts; send blobs with another tool from a key of their own"
        )
    if request.type not in _TYPES:
        raise ConfigError(f"transaction type {request.type} is not supported; use 0, 1, 2 or 4")
    if bool(request.authorization_list) is not (request.type == _SET_CODE):
        raise ConfigError(
            f"type {request.type} with {len(request.authorization_list)} authorizations: type 4 "
            "needs at least one, and the other types have none"
        )
    if request.type == _SET_CODE and request.to is None:
        raise ConfigError("a transaction of type 4 cannot create a contract; give it a `to`")
    if request.to is None and request.data == "0x":
        raise ConfigError(
            "nothing to do: without `to` a transaction creates a contract, and that needs data; "
            "give it a `to`, or the contract's code"
        )
    cap, tip = request.max_fee_per_gas, request.max_priority_fee_per_gas
    if cap is not None and tip is not None and tip > cap and request.type in DYNAMIC_FEE_TYPES:
        raise ConfigError(
            f"max_priority_fee_per_gas {tip} is above max_fee_per_gas {cap}, of which it is a "
            "part: lower the one or raise the other"
        )
    if request.type == _LEGACY and request.access_list:
        raise ConfigError("a transaction of type 0 has no access list; use type 1 or 2")


async def with_gas(
    node: ChainQueries,
    request: TransactionRequest,
    *,
    sender: Address,
    simulate: bool,
    max_gas: int,
) -> TransactionRequest:
    """Try the request on the latest block and fill its gas limit: the estimate and a fifth.

    The margin covers state that changes before inclusion; unused gas is not charged. It ends at
    `max_gas`, so that what just fits is not refused for its margin. With
    `simulate` False a request that states its gas is taken at its word, for one that can only
    succeed after another that is still under way.

    Raises:
        CallReverted: it would fail, also for want of the gas it states; nothing was sent and no
            nonce was used.
        GasLimitTooHigh: it states more than `max_gas`.
        ConfigError: a field that cannot be right.
    """
    require_sendable(request)
    if request.gas is None:
        gas = await node.estimate_gas(request, sender=sender)
        margin = 0 if gas == _PLAIN_TRANSFER_GAS else gas // 5
        return msgspec.structs.replace(request, gas=min(gas + margin, max(gas, max_gas)))
    _require_gas(request.gas, max_gas)  # nodes refuse such a call in words of too little gas
    if simulate:
        await try_request(node, request, sender=sender)
    return request


def priced(
    request: TransactionRequest,
    quote: FeeQuote,
    *,
    chain_id: int,
    nonce: int,
    max_cost_wei: int,
    max_gas: int,
) -> UnsignedTransaction:
    """Fill in the fees and check the two ceilings, gas and worst-case cost.

    Raises:
        GasLimitTooHigh: above `max_gas`.
        FeeLimitReached: gas limit x fee cap is above `max_cost_wei`.
    """
    unsigned = fees.first_attempt(request, quote, chain_id=chain_id, nonce=nonce)
    _require_gas(unsigned.gas, max_gas)
    require_cost([unsigned], tip_wei=0, max_cost_wei=max_cost_wei)
    return unsigned


def _require_gas(gas: int, max_gas: int) -> None:
    if gas > max_gas:
        raise GasLimitTooHigh(f"gas limit {gas} is above {max_gas}; ask for less")


def require_cost(
    attempt: Sequence[UnsignedTransaction], *, tip_wei: int, max_cost_wei: int
) -> None:
    """Check what an attempt may cost at worst: gas limits x fee caps, and the tip beside them.

    Raises:
        ConfigError: a tip that is no amount.
        FeeLimitReached: above `max_cost_wei`.
    """
    if type(tip_wei) is not int or tip_wei < 0:
        raise ConfigError(f"tip_wei is {shown(tip_wei)}; it must be an integer, at least 0")
    cost = sum(one.gas * one.fee_cap for one in attempt) + tip_wei
    if cost > max_cost_wei:
        gas, cap = sum(one.gas for one in attempt), max(one.fee_cap for one in attempt)
        tip = f" and a tip of {format_units(tip_wei, 18)} ether" if tip_wei else ""
        raise FeeLimitReached(
            f"{gas} gas at up to {format_units(cap, 9)} gwei{tip} may cost "
            f"{format_units(cost, 18)} ether, more than max_cost_wei allows "
            f"({format_units(max_cost_wei, 18)}); wait for lower fees or raise it"
        )


def require_funds(needed_wei: int, available_wei: int, *, sender: Address) -> None:
    """Check that an account can pay.

    Raises:
        InsufficientFunds: it cannot.
    """
    if needed_wei > available_wei:
        raise InsufficientFunds(
            f"{sender} has {format_units(available_wei, 18)} ether at hand and needs up to "
            f"{format_units(needed_wei, 18)}; send it more or wait for what is under way"
        )
