"""Simulation by py-evm: an independent implementation to compare with, not a fast one."""

import importlib
from collections.abc import Sequence
from typing import Any

from toolkit.chain.node import Node
from toolkit.evm.call import (
    NO_FUNDS,
    TYPE_DYNAMIC_FEE,
    BlockEnv,
    Call,
    CallResult,
    SimulatedLog,
    failure_reason,
    inadmissible,
    not_run,
    refuse_creations,
)
from toolkit.evm.prestate import Prestate, Slot
from toolkit.model.chain import Address, Hash, Head
from toolkit.model.errors import NodeError
from toolkit.model.tx import UnsignedTransaction

_MAX_ROUNDS = 64
_TYPE_ACCESS_LIST = 1


class PyEvmSimulator:
    """Simulates with py-evm under Prague's rules; some 50 times slower than the others.

    Runs on the state known so far show what else was read; that is fetched in one batch and the
    run repeated until nothing is missing. Of earlier blocks only the parent's hash is known.

    Args:
        node: where state is read, pinned to the parent's hash.
    """

    def __init__(self, node: Node) -> None:
        self._node = node

    async def simulate(
        self, transactions: Sequence[Call], *, parent: Head, env: BlockEnv
    ) -> tuple[CallResult, ...]:
        """As `Simulator.simulate`."""
        refuse_creations(transactions)
        prestate = Prestate(block=parent.hash)
        accounts, slots = {sender for sender, _ in transactions}, set[Slot]()
        for _ in range(_MAX_ROUNDS):
            await prestate.fetch(self._node, accounts, slots)
            results, accounts, slots = _run(prestate, transactions, env)
            if accounts <= prestate.accounts.keys() and slots <= prestate.slots.keys():
                return results
        raise NodeError(
            f"py-evm still found unread state of block {parent.number} after {_MAX_ROUNDS} rounds"
        )


def _run(
    prestate: Prestate, transactions: Sequence[Call], env: BlockEnv
) -> tuple[tuple[CallResult, ...], set[Address], set[Slot]]:
    vm = importlib.import_module("eth.vm.forks.prague").PragueVM  # slow to import: at first use
    chain_id = transactions[0][1].chain_id if transactions else 0
    state = _open(vm, prestate, env, chain_id)
    results = []
    accounts, slots = set[Address](), set[Slot]()
    for sender, transaction in transactions:
        account = _bytes(sender)
        reason = inadmissible(transaction, nonce=state.get_nonce(account), env=env)
        if not reason and state.get_balance(account) < transaction.worst_cost_wei:
            reason = NO_FUNDS
        if reason:
            results.append(not_run(reason))
            continue
        results.append(_execute(vm, state, sender, transaction))
        witness = state.persist()
        state.lock_changes()  # ends the transaction: everything is cold again
        for queried in witness.accounts_queried:
            address = Address("0x" + queried.hex())
            accounts.add(address)
            slots |= {(address, key) for key in witness.get_slots_queried(queried)}
    return tuple(results), accounts, slots


def _open(vm: Any, prestate: Prestate, env: BlockEnv, chain_id: int) -> Any:
    context = importlib.import_module("eth.vm.execution_context").ExecutionContext(
        coinbase=_bytes(env.coinbase),
        timestamp=env.timestamp,
        block_number=env.number,
        difficulty=0,
        mix_hash=bytes(32),
        gas_limit=env.gas_limit,
        prev_hashes=(_bytes(prestate.block),),
        chain_id=chain_id,
        base_fee_per_gas=env.base_fee_per_gas,
        excess_blob_gas=0,
    )
    database = importlib.import_module("eth.db.atomic").AtomicDB()
    empty_root = importlib.import_module("eth.constants").BLANK_ROOT_HASH
    state = vm.get_state_class()(database, context, empty_root)
    for address, account in prestate.accounts.items():
        state.set_balance(_bytes(address), account.balance)
        state.set_nonce(_bytes(address), account.nonce)
        state.set_code(_bytes(address), account.code)
    for (address, key), value in prestate.slots.items():
        state.set_storage(_bytes(address), key, value)
    state.persist()
    return state


def _execute(vm: Any, state: Any, sender: Address, transaction: UnsignedTransaction) -> CallResult:
    spoof = importlib.import_module("eth.vm.spoof").SpoofTransaction
    unsigned = spoof(_unsigned(vm.get_transaction_builder(), transaction), from_=_bytes(sender))
    run = state.apply_transaction(unsigned)
    output = "0x" + run.output.hex()
    gas_used = vm.finalize_gas_used(unsigned, run)
    reason = ""
    if run.is_error:
        reason = failure_reason(output=output, gas_used=gas_used, gas_limit=transaction.gas)
    logs = [] if run.is_error else run.get_log_entries()
    return CallResult(
        succeeded=not run.is_error,
        output=output,
        gas_used=gas_used,
        logs=tuple(_log(*entry) for entry in logs),
        reason=reason,
    )


def _unsigned(builder: Any, transaction: UnsignedTransaction) -> Any:
    fields: dict[str, object] = {
        "nonce": transaction.nonce,
        "gas": transaction.gas,
        "to": _bytes(transaction.to or "0x"),
        "value": transaction.value,
        "data": _bytes(transaction.data),
    }
    if transaction.type == TYPE_DYNAMIC_FEE:
        fields["max_fee_per_gas"] = transaction.max_fee_per_gas
        fields["max_priority_fee_per_gas"] = transaction.max_priority_fee_per_gas
    else:
        fields["gas_price"] = transaction.gas_price
    if transaction.type in (_TYPE_ACCESS_LIST, TYPE_DYNAMIC_FEE):
        fields["chain_id"] = transaction.chain_id
        fields["access_list"] = [
            (_bytes(item.address), [int(key, 16) for key in item.storage_keys])
            for item in transaction.access_list
        ]
    make = {
        TYPE_DYNAMIC_FEE: builder.new_unsigned_dynamic_fee_transaction,
        _TYPE_ACCESS_LIST: builder.new_unsigned_access_list_transaction,
    }.get(transaction.type, builder.create_unsigned_transaction)
    return make(**fields)


def _log(address: bytes, topics: Sequence[int], data: bytes) -> SimulatedLog:
    return SimulatedLog(
        address=Address("0x" + address.hex()),
        topics=tuple(Hash(f"0x{topic:064x}") for topic in topics),
        data="0x" + data.hex(),
    )


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text[2:])
