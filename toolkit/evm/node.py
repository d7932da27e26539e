"""Simulation by the node itself (eth_simulateV1): slower than in-process, and the reference."""

from collections.abc import Sequence
from typing import Any

from toolkit.chain import answers
from toolkit.chain.node import Node, block_id
from toolkit.chain.node_errors import classify
from toolkit.evm.call import (
    NO_FUNDS,
    TYPE_DYNAMIC_FEE,
    BlockEnv,
    Call,
    CallResult,
    SimulatedLog,
    admissions,
    failure_reason,
    not_run,
    refuse_creations,
)
from toolkit.model.chain import Address, Hash, Head
from toolkit.model.errors import InsufficientFunds, RpcError
from toolkit.model.tx import UnsignedTransaction


class NodeSimulator:
    """Simulates through a node's eth_simulateV1, pinned to a block hash.

    The node's own defaults are never used: an Anvil simulates at the latest block's number and
    time. Nor are its checks: Anvil 1.7.1 accepts any nonce, a fee cap below the base fee and a
    gas limit above the block's, and refuses all transactions when one lacks funds; so admission
    is judged here, and a transaction short of funds is found and left out.
    """

    def __init__(self, node: Node) -> None:
        self._node = node

    async def simulate(
        self, transactions: Sequence[Call], *, parent: Head, env: BlockEnv
    ) -> tuple[CallResult, ...]:
        """As `Simulator.simulate`.

        Raises:
            ConfigError: a contract creation.
            NodeError: the node has no eth_simulateV1 or no such block, or cannot be asked.
        """
        refuse_creations(transactions)
        senders = list(dict.fromkeys(sender for sender, _ in transactions))
        nonces = {sender: await self._node.nonce(sender, parent.hash) for sender in senders}
        refused: dict[int, str] = {}
        # Each pass either gives the results or refuses one transaction more, so this ends.
        while True:
            verdicts = admissions(transactions, nonces=nonces, env=env, refused=refused)
            positions = [i for i, verdict in enumerate(verdicts) if not verdict]
            run = [transactions[i] for i in positions]
            try:
                results = iter(await self._run(run, parent, env))
            except InsufficientFunds:
                refused[positions[await self._funded(run, parent, env)]] = NO_FUNDS
            else:
                return tuple(not_run(v) if v else next(results) for v in verdicts)

    async def _funded(self, run: Sequence[Call], parent: Head, env: BlockEnv) -> int:
        """Count the transactions before the first that lacks funds."""
        for length in range(1, len(run)):
            try:
                await self._run(run[:length], parent, env)
            except InsufficientFunds:
                return length - 1
        return len(run) - 1

    async def _run(self, run: Sequence[Call], parent: Head, env: BlockEnv) -> list[CallResult]:
        if not run:
            return []
        request = {
            "blockStateCalls": [
                {"blockOverrides": _overrides(env), "calls": [_request(*one) for one in run]}
            ],
            "validation": True,
            "traceTransfers": False,
            "returnFullTransactions": False,
        }
        try:
            answer = await self._node.rpc.call("eth_simulateV1", [request, block_id(parent.hash)])
        except RpcError as error:
            raise classify(error.code, error.message, error.data) from error
        with answers.expecting("eth_simulateV1"):
            ended = zip(answer[0]["calls"], run, strict=True)
            return [_result(call, transaction) for call, (_, transaction) in ended]


def _overrides(env: BlockEnv) -> dict[str, str]:
    return {
        "number": hex(env.number),
        "time": hex(env.timestamp),
        "gasLimit": hex(env.gas_limit),
        "feeRecipient": env.coinbase,
        "baseFeePerGas": hex(env.base_fee_per_gas),
    }


def _request(sender: Address, transaction: UnsignedTransaction) -> dict[str, object]:
    fields: dict[str, object] = {
        "type": hex(transaction.type),
        "chainId": hex(transaction.chain_id),
        "from": sender,
        "to": transaction.to,
        "nonce": hex(transaction.nonce),
        "gas": hex(transaction.gas),
        "value": hex(transaction.value),
        "input": transaction.data,
    }
    if transaction.type == TYPE_DYNAMIC_FEE:
        fields["maxFeePerGas"] = hex(transaction.max_fee_per_gas)
        fields["maxPriorityFeePerGas"] = hex(transaction.max_priority_fee_per_gas)
    else:
        fields["gasPrice"] = hex(transaction.gas_price)
    if transaction.access_list:
        fields["accessList"] = [
            {"address": item.address, "storageKeys": list(item.storage_keys)}
            for item in transaction.access_list
        ]
    return fields


def _result(call: dict[str, Any], transaction: UnsignedTransaction) -> CallResult:
    succeeded = answers.quantity(call["status"]) == 1
    output = answers.text(call["returnData"])
    gas_used = answers.quantity(call["gasUsed"])
    reason = ""
    if not succeeded:
        reason = failure_reason(output=output, gas_used=gas_used, gas_limit=transaction.gas)
    return CallResult(
        succeeded=succeeded,
        output=output,
        gas_used=gas_used,
        logs=tuple(_log(entry) for entry in call["logs"]),
        reason=reason,
    )


def _log(entry: dict[str, Any]) -> SimulatedLog:
    return SimulatedLog(
        address=Address(answers.text(entry["address"]).lower()),
        topics=tuple(Hash(answers.text(topic).lower()) for topic in entry["topics"]),
        data=answers.text(entry["data"]).lower(),
    )
