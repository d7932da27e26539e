"""The part of a block's state that a simulation reads, fetched in batches and kept by block."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from toolkit.chain import answers
from toolkit.chain.node import Node, block_id
from toolkit.model.chain import Address, Hash
from toolkit.model.errors import RpcError

Slot = tuple[Address, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account's balance in wei, nonce, and code."""

    balance: int = 0
    nonce: int = 0
    code: bytes = b""


@dataclass(slots=True, kw_only=True)
class Prestate:
    """Accounts and storage words after the block with hash `block`, as far as they were read.

    What is not there is unknown, not empty: a simulation that read it must be run again after
    `fetch`.
    """

    block: Hash
    accounts: dict[Address, Account] = field(default_factory=dict)
    slots: dict[Slot, int] = field(default_factory=dict)

    async def fetch(self, node: Node, accounts: Iterable[Address], slots: Iterable[Slot]) -> None:
        """Read from the node what is asked for and not yet known, in one batch.

        Raises:
            NodeError: the node cannot be asked, or does not have the block's state.
        """
        new_accounts = [account for account in accounts if account not in self.accounts]
        new_slots = [slot for slot in slots if slot not in self.slots]
        at = block_id(self.block)
        calls: list[tuple[str, list[object]]] = []
        for account in new_accounts:
            calls += [
                ("eth_getBalance", [account, at]),
                ("eth_getTransactionCount", [account, at]),
                ("eth_getCode", [account, at]),
            ]
        calls += [("eth_getStorageAt", [a, f"0x{key:064x}", at]) for a, key in new_slots]
        found = iter([_checked(item) for item in await node.rpc.batch(calls)] if calls else [])
        with answers.expecting("state reads"):
            for account in new_accounts:
                balance, nonce = answers.quantity(next(found)), answers.quantity(next(found))
                code = bytes.fromhex(answers.text(next(found))[2:])
                self.accounts[account] = Account(balance=balance, nonce=nonce, code=code)
            for slot in new_slots:
                self.slots[slot] = answers.word(next(found))

    def part(self, accounts: Iterable[Address], slots: Iterable[Slot]) -> "Prestate":
        """Return a copy of the named part, all of which must be known."""
        return Prestate(
            block=self.block,
            accounts={account: self.accounts[account] for account in accounts},
            slots={slot: self.slots[slot] for slot in slots},
        )


def _checked(item: Any) -> Any:
    if isinstance(item, RpcError):
        raise item
    return item
