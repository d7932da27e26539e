"""Simulation in this process by revm, on state read in batches and kept by block."""

import importlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeVar

from toolkit.chain.node import Node
from toolkit.evm.call import (
    NO_FUNDS,
    BlockEnv,
    Call,
    CallResult,
    SimulatedLog,
    effective_gas_price,
    failure_reason,
    inadmissible,
    not_run,
    refuse_creations,
)
from toolkit.evm.node import NodeSimulator
from toolkit.evm.prestate import Account, Prestate, Slot
from toolkit.model.chain import Address, Hash, Head
from toolkit.model.intrinsic import calldata_floor
from toolkit.model.tx import UnsignedTransaction

# Each round reveals what the state read in the last one led to: a V3 swap takes about ten.
_MAX_ROUNDS = 64
_KEPT_BLOCKS = 2
_KEPT_READS = 256

# pyrevm forces the base fee to 0, and neither it nor we know a future block's other two.
_PREVRANDAO, _BASEFEE, _BLOBBASEFEE = 0x44, 0x48, 0x4A
_UNKNOWN_OPCODES = frozenset((_PREVRANDAO, _BASEFEE, _BLOBBASEFEE))
_JUMPDEST, _PUSH1, _PUSH32 = 0x5B, 0x60, 0x7F
_ENDS = frozenset((0x00, 0x56, 0xF3, 0xFD, 0xFE, 0xFF))  # STOP JUMP RETURN REVERT INVALID and so on
_CBOR_MAPS = range(0xA1, 0xA5)
_DELEGATION = b"\xef\x01\x00"

# revm's state has no other interface than its text; whatever does not fit is left to the node.
# Most of that text is code in hex, so it is searched for markers, not matched as a whole.
_JOURNAL = ("journaled_state: JournaledState { state: {", "}, transient_storage: {")
_DATABASE = ("db: Memory(CacheDB { accounts: {", "}, contracts: {")
_BLOCK_HASHES = ("block_hashes: {", "}")
_TOUCHED, _READ = ": Account { info: AccountInfo { ", ": DbAccount { info: AccountInfo { "
_HEAD = re.compile(r"balance: (\d+), nonce: (\d+), ")
_STORAGE = {_TOUCHED: ("storage: {", "}, status: AccountStatus("), _READ: ("storage: {", "}")}
_WORD = re.compile(
    r"(\d+): StorageSlot \{ previous_or_original_value: \d+, present_value: (\d+) \}"
)
_KEY = re.compile(r"(\d+): ")
_FAILURE = re.compile(
    r"Revert \{ gas_used: \d+, output: (0x[0-9a-f]*) \}|Halt \{ reason: .*, gas_used: \d+ \}"
)


class _Unfaithful(Exception):
    """pyrevm cannot tell what the chain would do; the node can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reads:
    accounts: frozenset[Address]
    slots: frozenset[Slot]

    def __or__(self, other: "_Reads") -> "_Reads":
        return _Reads(accounts=self.accounts | other.accounts, slots=self.slots | other.slots)

    def __le__(self, other: "_Reads") -> bool:
        return self.accounts <= other.accounts and self.slots <= other.slots


class RevmSimulator:
    """Simulates with pyrevm, and hands to the node what pyrevm cannot do faithfully.

    pyrevm's own fork mode is not used: it reads state one word at a time while it holds the
    interpreter lock, which stops every other task, and for ever if the node is served by this
    process. Instead a run on the known state shows what else it read; that is fetched in one
    batch, and the run repeated until nothing is missing. A run has no I/O and takes a fraction of
    a millisecond; being CPU work under the lock, it would gain nothing from another thread.

    Every transaction gets a fresh EVM on the state that the ones before it left, so that
    addresses and slots are cold again, as in a block. Left to the node: code with BASEFEE,
    PREVRANDAO or BLOBBASEFEE in it, runs that use BLOCKHASH, contracts that self-destruct, and
    senders whose funds are less than twice the worst cost of the gas.

    Args:
        node: where state is read, pinned to the parent's hash.
        hardfork: the rules, by revm's name of them.
    """

    def __init__(self, node: Node, *, hardfork: str = "Prague") -> None:
        self._node = node
        self._fallback = NodeSimulator(node)
        self._hardfork = hardfork
        self._prestates: dict[Hash, Prestate] = {}
        # What runs of the same senders and targets read last time saves most of the rounds.
        self._reads: dict[frozenset[Address], _Reads] = {}
        # What was left to the node once is left to it at once from then on.
        self._left: dict[frozenset[Address], None] = {}

    async def simulate(
        self, transactions: Sequence[Call], *, parent: Head, env: BlockEnv
    ) -> tuple[CallResult, ...]:
        """As `Simulator.simulate`."""
        refuse_creations(transactions)
        named = _named(transactions, env)
        if named.accounts in self._left:
            return await self._fallback.simulate(transactions, parent=parent, env=env)
        prestate, reads = self._prestate(parent), named | self._reads.get(named.accounts, named)
        try:
            for _ in range(_MAX_ROUNDS):
                await prestate.fetch(self._node, reads.accounts, reads.slots)
                state = prestate.part(reads.accounts, reads.slots)
                results, read = _run(state, transactions, env, self._hardfork)
                if read <= reads:
                    _keep(self._reads, named.accounts, reads, limit=_KEPT_READS)
                    return results
                reads |= read
        except _Unfaithful:
            _keep(self._left, named.accounts, None, limit=_KEPT_READS)
        return await self._fallback.simulate(transactions, parent=parent, env=env)

    def _prestate(self, parent: Head) -> Prestate:
        prestate = self._prestates.get(parent.hash) or Prestate(block=parent.hash)
        _keep(self._prestates, parent.hash, prestate, limit=_KEPT_BLOCKS)
        return prestate


_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


def _keep(kept: dict[_Key, _Value], key: _Key, value: _Value, *, limit: int) -> None:
    """Put a value last, and drop the first ones beyond the limit."""
    kept.pop(key, None)
    kept[key] = value
    while len(kept) > limit:
        del kept[next(iter(kept))]


def _named(transactions: Sequence[Call], env: BlockEnv) -> _Reads:
    """Collect what the transactions name themselves."""
    accounts, slots = {env.coinbase}, set()
    for sender, transaction in transactions:
        accounts |= {sender, *(item.address for item in transaction.access_list)}
        if transaction.to is not None:
            accounts.add(transaction.to)
        for item in transaction.access_list:
            slots |= {(item.address, int(key, 16)) for key in item.storage_keys}
    return _Reads(accounts=frozenset(accounts), slots=frozenset(slots))


def _run(
    state: Prestate, transactions: Sequence[Call], env: BlockEnv, hardfork: str
) -> tuple[tuple[CallResult, ...], _Reads]:
    """Run transactions on a state that is changed by them; return also what they read of it."""
    results = []
    reads = _Reads(accounts=frozenset(), slots=frozenset())
    for sender, transaction in transactions:
        account = state.accounts[sender]
        reason = inadmissible(transaction, nonce=account.nonce, env=env)
        if not reason and account.balance < transaction.worst_cost_wei:
            reason = NO_FUNDS
        if reason:
            results.append(not_run(reason))
            continue
        result, read = _execute(state, sender, transaction, env, hardfork)
        results.append(result)
        reads |= read
    return tuple(results), reads


def _execute(
    state: Prestate, sender: Address, transaction: UnsignedTransaction, env: BlockEnv, hardfork: str
) -> tuple[CallResult, _Reads]:
    price = effective_gas_price(transaction, env.base_fee_per_gas)
    prepaid = transaction.gas * price
    payer = state.accounts[sender]
    # pyrevm does not deduct the prepaid gas, so we do; but it asks for it all the same, and
    # refuses a sender that has it only once.
    state.accounts[sender] = Account(
        balance=payer.balance - prepaid, nonce=payer.nonce + 1, code=payer.code
    )
    evm = _evm(state, transaction, env, hardfork)
    output, succeeded = _call(evm, sender, transaction, price)
    text = str(evm)
    reads = _reads(state, evm, text)
    _absorb(state, evm, text)
    # pyrevm knows refunds, but predates the calldata floor.
    gas_used = max(evm.result.gas_used, calldata_floor(transaction.data))
    _credit(state, sender, (transaction.gas - gas_used) * price)
    _credit(state, env.coinbase, gas_used * (price - env.base_fee_per_gas))
    reason = ""
    if not succeeded:
        reason = failure_reason(output=output, gas_used=gas_used, gas_limit=transaction.gas)
    logs = tuple(_log(entry) for entry in evm.result.logs) if succeeded else ()
    result = CallResult(
        succeeded=succeeded, output=output, gas_used=gas_used, logs=logs, reason=reason
    )
    return result, reads


def _evm(state: Prestate, transaction: UnsignedTransaction, env: BlockEnv, hardfork: str) -> Any:
    pyrevm: Any = importlib.import_module("pyrevm")  # optional: loaded at first use
    chain = pyrevm.CfgEnv(chain_id=transaction.chain_id)
    evm = pyrevm.EVM(pyrevm.Env(cfg=chain), spec_id=hardfork, gas_limit=env.gas_limit)
    evm.set_block_env(
        pyrevm.BlockEnv(number=env.number, timestamp=env.timestamp, coinbase=env.coinbase)
    )
    keys = [
        (item.address, [int(key, 16) for key in item.storage_keys])
        for item in transaction.access_list
    ]
    evm.set_tx_env(pyrevm.TxEnv(access_list=keys))
    for address, account in state.accounts.items():
        info = pyrevm.AccountInfo(
            balance=account.balance, nonce=account.nonce, code=account.code or None
        )
        evm.insert_account_info(address, info)
    for (address, key), value in state.slots.items():
        # Inserting a word loads its account, which would make it warm; reverting cools it again
        # and leaves the word in the database below.
        before = evm.snapshot()
        evm.insert_account_storage(address, key, value)
        evm.revert(before)
    return evm


def _call(
    evm: Any, sender: Address, transaction: UnsignedTransaction, price: int
) -> tuple[str, bool]:
    data = bytes.fromhex(transaction.data[2:])
    try:
        output = evm.message_call(
            sender,
            transaction.to,
            data,
            value=transaction.value,
            gas=transaction.gas,
            gas_price=price,
        )
    except RuntimeError as error:
        failure = _FAILURE.fullmatch(str(error))
        if failure is None or evm.result is None:
            raise _Unfaithful from error
        return failure[1] or "0x", False
    return "0x" + output.hex(), True


def _reads(state: Prestate, evm: Any, text: str) -> _Reads:
    """List what the run asked the database for, reverted frames included."""
    if _between(text, 0, _BLOCK_HASHES)[0]:
        raise _Unfaithful  # BLOCKHASH ran, and the database below does not have the chain's
    accounts, slots = set(), set()
    for address, _, words, _ in _entries(_between(text, 0, _DATABASE)[0], _READ):
        if _has_unknown_opcode(state.accounts.get(address, Account()).code):
            raise _Unfaithful
        accounts.add(address)
        slots |= {(address, int(key)) for key in _KEY.findall(words)}
    if len(accounts) != len(evm.db_accounts):
        raise _Unfaithful
    return _Reads(accounts=frozenset(accounts), slots=frozenset(slots))


def _absorb(state: Prestate, evm: Any, text: str) -> None:
    """Write into the state what the run left in revm's journal."""
    touched = list(_entries(_between(text, 0, _JOURNAL)[0], _TOUCHED))
    if len(touched) != len(evm.journal_state):
        raise _Unfaithful
    for address, head, words, status in touched:
        code = state.accounts.get(address, Account()).code
        if "Created" in status:
            code = bytes(evm.get_code(address) or b"")
        if "SelfDestructed" in status or _has_unknown_opcode(code):
            raise _Unfaithful
        state.accounts[address] = Account(balance=int(head[1]), nonce=int(head[2]), code=code)
        for key, value in _WORD.findall(words):
            state.slots[address, int(key)] = int(value)


def _entries(section: str, marker: str) -> Iterator[tuple[Address, re.Match[str], str, str]]:
    """Find accounts in the text: address, balance and nonce, storage, and the status after it."""
    found = section.find(marker)
    while found >= 0:
        head = _HEAD.match(section, found + len(marker))
        if head is None:
            raise _Unfaithful
        words, end = _between(section, head.end(), _STORAGE[marker])
        yield (
            Address(section[found - 42 : found]),
            head,
            words,
            section[end : section.find(")", end)],
        )
        found = section.find(marker, end)


def _between(text: str, start: int, ends: tuple[str, str]) -> tuple[str, int]:
    """Cut what lies between two markers, and tell where the text goes on."""
    first = text.find(ends[0], start)
    last = text.find(ends[1], first + len(ends[0]))
    if first < 0 or last < 0:
        raise _Unfaithful
    return text[first + len(ends[0]) : last], last + len(ends[1])


def _credit(state: Prestate, address: Address, amount: int) -> None:
    account = state.accounts[address]
    state.accounts[address] = replace(account, balance=account.balance + amount)


@lru_cache(maxsize=512)
def _has_unknown_opcode(code: bytes) -> bool:
    if code.startswith(_DELEGATION):
        return True  # the delegate's code runs, and pyrevm's revm predates the final EIP-7702
    program = _without_metadata(code)
    position, live = 0, True  # data lies between an instruction that ends a run and a JUMPDEST
    while position < len(program):
        opcode = program[position]
        live = opcode == _JUMPDEST or (live and opcode not in _ENDS)
        if live and opcode in _UNKNOWN_OPCODES:
            return True
        position += 1 + (opcode - _PUSH1 + 1 if _PUSH1 <= opcode <= _PUSH32 else 0)
    return False


def _without_metadata(code: bytes) -> bytes:
    """Cut solc's trailer: a CBOR map of one to four entries, and its length in two bytes."""
    start = len(code) - 2 - int.from_bytes(code[-2:], "big")
    return code[:start] if start > 0 and code[start] in _CBOR_MAPS else code


def _log(entry: Any) -> SimulatedLog:
    topics, data = entry.data
    return SimulatedLog(
        address=Address(entry.address.lower()),
        topics=tuple(Hash("0x" + bytes(topic).hex()) for topic in topics),
        data="0x" + bytes(data).hex(),
    )
