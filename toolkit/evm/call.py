"""Calls to be simulated, what becomes of them, and which of them no block could hold."""

from collections.abc import Mapping, Sequence

import msgspec

from toolkit.chain.reverts import decode_revert
from toolkit.model.chain import Address, Hash
from toolkit.model.errors import ConfigError
from toolkit.model.intrinsic import intrinsic_gas
from toolkit.model.tx import UnsignedTransaction

TYPE_DYNAMIC_FEE = 2
NO_FUNDS = "insufficient funds for gas limit x fee cap + value"

Call = tuple[Address, UnsignedTransaction]  # the sender and what it would sign


class SimulatedLog(msgspec.Struct, frozen=True, kw_only=True):
    """An event log of a transaction that is in no block; `data` and `topics` are 0x hex."""

    address: Address
    topics: tuple[Hash, ...]
    data: str


class CallResult(msgspec.Struct, frozen=True, kw_only=True):
    """How one transaction ends.

    `gas_used` is what its receipt would say: refunds and the calldata floor included. It is 0
    for a transaction that no block can hold at this place (its nonce, fees, funds or gas limit
    are wrong): `reason` says why, and the ones after it ran as if it were not there. `output` is
    0x hex, the return data or the revert data.
    """

    succeeded: bool
    output: str
    gas_used: int
    logs: tuple[SimulatedLog, ...] = ()
    reason: str = ""


class BlockEnv(msgspec.Struct, frozen=True, kw_only=True):
    """The block that the transactions are to be in; fees in wei, timestamp in seconds."""

    number: int
    timestamp: int
    base_fee_per_gas: int
    coinbase: Address
    gas_limit: int


def refuse_creations(transactions: Sequence[Call]) -> None:
    """Raise ConfigError for contract creations, which not every node can simulate."""
    for position, (_, transaction) in enumerate(transactions):
        if transaction.to is None:
            raise ConfigError(
                f"transaction {position} creates a contract; only calls can be simulated "
                "(estimate its gas instead)"
            )


def effective_gas_price(transaction: UnsignedTransaction, base_fee_per_gas: int) -> int:
    """Return what a unit of gas costs, in wei (EIP-1559)."""
    if transaction.type != TYPE_DYNAMIC_FEE:
        return transaction.gas_price
    tip = transaction.max_priority_fee_per_gas
    return min(transaction.max_fee_per_gas, base_fee_per_gas + tip)


def inadmissible(transaction: UnsignedTransaction, *, nonce: int, env: BlockEnv) -> str:
    """Say why no block like `env` can hold the transaction of an account at `nonce`; "" if one can.

    Funds are not judged here: they depend on what ran before.
    """
    least = intrinsic_gas(data=transaction.data, access_list=transaction.access_list)
    tip, cap = transaction.max_priority_fee_per_gas, transaction.fee_cap
    rules = (
        (transaction.nonce < nonce, f"nonce {transaction.nonce} is spent: the account is at"),
        (transaction.nonce > nonce, f"nonce {transaction.nonce} leaves a gap: the account is at"),
    )
    for broken, text in rules:
        if broken:
            return f"{text} {nonce}"
    if transaction.gas < least:
        return f"gas limit {transaction.gas} is below the intrinsic gas {least}"
    if transaction.gas > env.gas_limit:
        return f"gas limit {transaction.gas} is above the block's {env.gas_limit}"
    if transaction.type == TYPE_DYNAMIC_FEE and tip > cap:
        return f"priority fee {tip} wei is above the fee cap {cap} wei"
    if cap < env.base_fee_per_gas:
        return f"fee cap {cap} wei is below the base fee {env.base_fee_per_gas} wei"
    return ""


def admissions(
    transactions: Sequence[Call],
    *,
    nonces: Mapping[Address, int],
    env: BlockEnv,
    refused: Mapping[int, str],
) -> tuple[str, ...]:
    """Say for each transaction why it is inadmissible, "" if it is not, in the order they run.

    `nonces` are the senders' before the first one; an inadmissible one spends none. `refused`
    gives reasons that are known already, by position.
    """
    ahead = dict(nonces)
    verdicts = []
    for position, (sender, transaction) in enumerate(transactions):
        verdict = refused.get(position, "")
        verdict = verdict or inadmissible(transaction, nonce=ahead[sender], env=env)
        if not verdict:
            ahead[sender] += 1
        verdicts.append(verdict)
    return tuple(verdicts)


def not_run(reason: str) -> CallResult:
    """Return the result of a transaction that no block can hold."""
    return CallResult(succeeded=False, output="0x", gas_used=0, reason=reason)


def failure_reason(*, output: str, gas_used: int, gas_limit: int) -> str:
    """Say why a run failed, from what every simulator knows alike."""
    if output == "0x" and gas_used == gas_limit:
        return f"all {gas_limit} gas used: out of gas, or an invalid instruction"
    return decode_revert(output)
