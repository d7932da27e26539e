"""A pool with funded accounts, for tests: short words for what goes in."""

from dataclasses import dataclass, field

import msgspec

from toolkit.devnet.mempool import AccountState, Added, ChainState, Mempool, PooledTransaction
from toolkit.devnet.pool_rules import PoolRules
from toolkit.model.chain import Address, Hash

GWEI = 10**9
CHAIN = ChainState(
    number=100, base_fee_wei=GWEI, blob_base_fee_wei=1, gas_limit=36_000_000, chain_id=31_337
)
ALICE = Address("0x" + "a1" * 20)
BOB = Address("0x" + "b0" * 20)
RICH = AccountState(nonce=5, balance_wei=10**20)
SMALL = {"global_slots": 4, "global_queue": 2, "subpool_slots": 6}


@dataclass
class World:
    """A pool with funded accounts at nonce 5, and short words for what goes in."""

    rules: PoolRules
    chain: ChainState = CHAIN
    account: AccountState = RICH
    pool: Mempool = field(init=False)
    made: int = 0

    def __post_init__(self) -> None:
        self.pool = Mempool(self.rules, self.chain)

    def tx(self, nonce: int = 5, **changes: object) -> PooledTransaction:
        self.made += 1
        fields: dict[str, object] = {
            "hash": Hash(f"0x{self.made:064x}"),
            "sender": ALICE,
            "nonce": nonce,
            "type": 2,
            "gas": 21_000,
            "fee_cap": 20 * GWEI,
            "tip_cap": 2 * GWEI,
            "to": BOB,
            "value": 1,
            "size": 120,
            "chain_id": CHAIN.chain_id,
        }
        return PooledTransaction(**(fields | changes))  # type: ignore[arg-type]

    def blob(self, nonce: int = 5, **changes: object) -> PooledTransaction:
        return self.tx(nonce, **({"type": 3, "blobs": 1, "blob_fee_cap": GWEI} | changes))

    def add(self, tx: PooledTransaction, **account: object) -> Added:
        return self.pool.add(tx, replace_state(self.account, **account))

    def send(self, nonce: int = 5, **changes: object) -> PooledTransaction:
        tx = self.tx(nonce, **changes)
        self.add(tx)
        return tx


def replace_state(state: AccountState, **changes: object) -> AccountState:
    return msgspec.structs.replace(state, **changes)


def small(rules: PoolRules) -> PoolRules:
    """The same rules in a pool of six."""
    kept = {name: size for name, size in SMALL.items() if getattr(rules, name) is not None}
    return msgspec.structs.replace(rules, **kept)


def replace_chain(**changes: object) -> ChainState:
    return msgspec.structs.replace(CHAIN, **changes)
