"""Simulation of ordered transactions on Anvil by `eth_simulateV1`, the way a builder needs it.

Never by mining and reverting: a speculative block is announced to subscribers, and Anvil 1.7.1
does not restore the base fee afterwards.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from toolkit.chain import wire
from toolkit.chain.call_object import call_object
from toolkit.chain.rpc import Rpc
from toolkit.model.chain import Address, Hash
from toolkit.model.errors import RpcError
from toolkit.model.tx import SignedTransaction

# The probe's code returns the coinbase's balance: COINBASE BALANCE PUSH1 0 MSTORE; 32 bytes.
_PROBE = Address("0x00000000000000000000000000000000b41a9ce5")
_PROBE_CALL: dict[str, object] = {"from": "0x" + "00" * 19 + "01", "to": _PROBE, "gas": hex(50_000)}
_PROBE_CODE = {_PROBE: {"code": "0x413160005260206000f3"}}
MOST_AT_ONCE = 200  # simulations in one request, which has to be answered within its deadline
_ERROR_STRING = "0x08c379a0"


class SlotEnv(msgspec.Struct, frozen=True, kw_only=True):
    """The block that is being built; `base_fee_per_gas` in wei."""

    number: int
    timestamp: int
    base_fee_per_gas: int
    gas_limit: int
    fee_recipient: Address

    def overrides(self) -> dict[str, str]:
        """As `blockOverrides`: without them Anvil would simulate the latest block, not the next."""
        return {
            "number": hex(self.number),
            "time": hex(self.timestamp),
            "baseFeePerGas": hex(self.base_fee_per_gas),
            "gasLimit": hex(self.gas_limit),
            "feeRecipient": self.fee_recipient,
        }


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """What one transaction did in a simulation. Equal effects are what a bundle's merge needs."""

    transaction: Hash
    succeeded: bool
    gas_used: int
    coinbase_wei: int  # change of the fee recipient's balance
    logs: tuple[tuple[str, tuple[str, ...], str], ...]
    output: str

    @property
    def reason(self) -> str:
        """Why it failed, in words where it is `Error(string)`, else the raw revert data."""
        if self.output.startswith(_ERROR_STRING):
            data = bytes.fromhex(self.output[10:])
            size = int.from_bytes(data[32:64], "big")
            return data[64 : 64 + size].decode(errors="replace")
        return self.output if self.output != "0x" else "no reason"


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """Transactions to run in order, after others that were in the block before them."""

    transactions: tuple[SignedTransaction, ...]
    before: tuple[SignedTransaction, ...] = ()


async def simulate(
    rpc: Rpc,
    env: SlotEnv,
    transactions: Sequence[SignedTransaction],
    *,
    before: Sequence[SignedTransaction] = (),
    block: str = "latest",
) -> tuple[Effect, ...]:
    """Run `transactions` in order after `before`, on the state of `block`.

    Nonces, fee caps and chain ids are not checked here: Anvil's simulation does not either.

    Raises:
        RpcError: the simulation was refused as a whole, e.g. for lack of funds.
    """
    trial = Trial(transactions=tuple(transactions), before=tuple(before))
    method, params = _request(trial, env, block)
    return _effects(trial, await rpc.call(method, params))


async def simulate_all(
    rpc: Rpc, env: SlotEnv, trials: Sequence[Trial]
) -> list[tuple[Effect, ...] | RpcError]:
    """Run each trial by itself on the latest state; the error of one concerns no other."""
    requests = [_request(each, env, "latest") for each in trials]
    answers: list[Any | RpcError] = []
    for start in range(0, len(requests), MOST_AT_ONCE):
        answers += await rpc.batch(requests[start : start + MOST_AT_ONCE])
    return [
        answer if isinstance(answer, RpcError) else _effects(trial, answer)
        for trial, answer in zip(trials, answers, strict=True)
    ]


def _request(trial: Trial, env: SlotEnv, block: str) -> wire.Call:
    calls: list[dict[str, object]] = [call_object(each) for each in trial.before]
    calls.append(_PROBE_CALL)
    for each in trial.transactions:
        calls += [call_object(each), _PROBE_CALL]
    request = {
        "blockStateCalls": [
            {"blockOverrides": env.overrides(), "stateOverrides": _PROBE_CODE, "calls": calls}
        ],
        "validation": False,
    }
    return "eth_simulateV1", (request, block)


def _effects(trial: Trial, blocks: Sequence[dict[str, Any]]) -> tuple[Effect, ...]:
    results = blocks[0]["calls"][len(trial.before) :]
    if len(results) != 1 + 2 * len(trial.transactions):
        raise RpcError(-32603, f"eth_simulateV1 answered {len(results)} calls")
    balances = [int(result["returnData"], 16) for result in results[::2]]
    return tuple(
        _effect(transaction.hash, result, after - start)
        for transaction, result, start, after in zip(
            trial.transactions, results[1::2], balances, balances[1:], strict=False
        )
    )


def _effect(transaction: Hash, result: dict[str, Any], coinbase_wei: int) -> Effect:
    return Effect(
        transaction=transaction,
        succeeded=result["status"] == "0x1",
        gas_used=int(result["gasUsed"], 16),
        coinbase_wei=coinbase_wei,
        logs=tuple((log["address"], tuple(log["topics"]), log["data"]) for log in result["logs"]),
        output=result["returnData"],
    )
