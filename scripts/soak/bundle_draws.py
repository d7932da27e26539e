"""Random bundles that get into each other's way: over nonces, state, gas, money and time."""

import random
from collections.abc import Mapping, Sequence

import msgspec

from toolkit.chain.hashing import keccak
from toolkit.devnet.accounts import DevAccount
from toolkit.devnet.crowd.trades import Trade, swap_call
from toolkit.devnet.pools import POOLS
from toolkit.devnet.protocols import WETH
from toolkit.model.chain import Address, Hash
from toolkit.model.tx import SignedTransaction, UnsignedTransaction

COUNTER = Address("0x00000000000000000000000000000000c0057e12")
# counter(slot, expected): reverts unless the slot holds what is expected (all ones: anything),
# then counts it up and passes the call's value on to the block's fee recipient. It logs nothing.
COUNTER_CODE = (
    "0x60203560003580548281148319151760175760006000fd5b6001019055600060006000600034415af15000"
)
ANYTHING = 2**256 - 1
SLOTS = 6
MOST_TRANSACTIONS = 4
GWEI = 10**9
SWAP_WEI = 30 * 10**18
BLOCK_SECONDS = 12


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle as its author knows it, or a private transaction; nothing of the market's."""

    transactions: tuple[SignedTransaction, ...]
    block: int
    reverting: frozenset[Hash] = frozenset()
    dropping: frozenset[Hash] = frozenset()
    min_timestamp: int = 0
    max_timestamp: int | None = None
    refund_percent: int = 0
    refund_recipient: Address | None = None
    is_private: bool = False
    uuid: str | None = None
    builders: tuple[str, ...] = ()
    cancelled_at: tuple[str, ...] = ()

    @property
    def hashes(self) -> tuple[Hash, ...]:
        """Of its transactions, in order."""
        return tuple(each.hash for each in self.transactions)

    @property
    def bundle_hash(self) -> Hash:
        """Keccak of the hashes, joined."""
        joined = b"".join(bytes.fromhex(each[2:]) for each in self.hashes)
        return Hash("0x" + keccak(joined).hex())

    def goes_with(self, one: SignedTransaction, dropped: SignedTransaction) -> bool:
        """Whether it is left out with another that is: itself, or droppable behind its nonce."""
        behind = one.sender == dropped.sender and one.unsigned.nonce > dropped.unsigned.nonce
        return one is dropped or (behind and one.hash in self.dropping)

    def request(self) -> dict[str, object]:
        """The parameters of `eth_sendBundle`, or of `eth_sendPrivateTransaction`."""
        if self.is_private:
            return {"tx": self.transactions[0].raw, "maxBlockNumber": hex(self.block)}
        fields: dict[str, object] = {
            "txs": [each.raw for each in self.transactions],
            "blockNumber": hex(self.block),
            "revertingTxHashes": sorted(self.reverting),
            "droppingTxHashes": sorted(self.dropping),
            "minTimestamp": self.min_timestamp,
        }
        if self.max_timestamp is not None:
            fields["maxTimestamp"] = self.max_timestamp
        if self.refund_percent:
            fields["refundPercent"] = self.refund_percent
        if self.refund_recipient is not None:
            fields["refundRecipient"] = self.refund_recipient
        if self.uuid is not None:
            fields["replacementUuid"] = self.uuid
        return fields


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """What a draw may know of the world: the next block, and how things stand before it."""

    block: int
    timestamp: int
    chain_id: int
    nonces: Mapping[Address, int]
    counts: tuple[int, ...]  # of the counter's slots
    swap_out: int  # what `SWAP_WEI` of WETH buy in the first pool


class Draw:
    """A seeded source of transactions and bundles for one block.

    `accounts` have ether, WETH and an allowance to the router; the last of them has nothing.
    """

    def __init__(self, chance: random.Random, scene: Scene, accounts: Sequence[DevAccount]) -> None:
        self.chance = chance
        self.scene = scene
        self._rich, self._poor = accounts[:-1], accounts[-1]
        self._planned: dict[Address, int] = {}  # by bundles drawn so far

    def bundle(self) -> tuple[SignedTransaction, ...]:
        """One to four transactions that mostly have valid nonces."""
        chance = self.chance
        own: dict[Address, int] = {}
        # Behind what another bundle of the same account uses, or in its place.
        continues = chance.random() < 0.2  # noqa: PLR2004 - a probability
        found: list[SignedTransaction] = []
        for _ in range(chance.choice((1, 1, 2, 2, 3, 4))):
            if found and chance.random() < 0.15:  # noqa: PLR2004 - a probability
                found += self._rescue(own)
                continue
            account = chance.choice(self._rich)
            found.append(self.sign(account, self._nonce(account, own, continues=continues)))
        for address, count in own.items():
            self._planned[address] = max(self._planned.get(address, 0), count)
        return tuple(found[:MOST_TRANSACTIONS])

    def sign(self, account: DevAccount, nonce: int, **fields: int) -> SignedTransaction:
        """A transaction that does one thing of many."""
        to, data, value = self._call(account)
        gas = fields.pop("gas", 0) or self._gas()
        return _signed(
            account, self.scene, nonce, to=to, data=data, value=value, gas=gas, tip=self._tip()
        )

    def flags(
        self, transactions: Sequence[SignedTransaction]
    ) -> tuple[frozenset[Hash], frozenset[Hash]]:
        """What may revert, and what may be left out."""
        kinds = {each.hash: self.chance.random() for each in transactions}
        return (
            frozenset(each for each, kind in kinds.items() if kind < 0.12),  # noqa: PLR2004
            frozenset(each for each, kind in kinds.items() if 0.12 < kind < 0.3),  # noqa: PLR2004
        )

    def _nonce(self, account: DevAccount, own: dict[Address, int], *, continues: bool) -> int:
        address = account.address
        start = self._planned.get(address, 0) if continues else 0
        count = own.get(address, start)
        own[address] = count + 1
        slip = self.chance.choice((-1, 1)) if self.chance.random() < 0.02 else 0  # noqa: PLR2004
        return max(0, self.scene.nonces[address] + count + slip)

    def _rescue(self, own: dict[Address, int]) -> list[SignedTransaction]:
        """Ether for the account that has none, and what it then does with it."""
        giver = self.chance.choice(self._rich)
        nonce = self._nonce(giver, own, continues=False)
        tip = self._tip()
        gift = _signed(
            giver, self.scene, nonce, to=self._poor.address, data="0x", value=10**17, gas=21_000
        )
        nonce = self._nonce(self._poor, own, continues=False)
        saved = _signed(
            self._poor, self.scene, nonce, to=giver.address, data="0x", value=1, gas=21_000, tip=tip
        )
        return [gift, saved]

    def _call(self, account: DevAccount) -> tuple[Address, str, int]:
        chance, kind = self.chance, self.chance.random()
        if kind < 0.3:  # noqa: PLR2004 - a probability
            minimum = self.scene.swap_out * chance.choice((0, 0, 90, 95, 98, 99, 100, 300)) // 100
            trade = Trade(pool=POOLS[0], token_in=WETH, amount_in=SWAP_WEI)
            return *swap_call(trade, account.address, minimum_out=minimum), 0
        if kind < 0.85:  # noqa: PLR2004 - a probability
            slot = chance.randrange(SLOTS)
            near = self.scene.counts[slot] + chance.choice((0, 0, 0, 0, 0, 1, 1, 2))
            expected = chance.choice((near, near, ANYTHING))
            paid = chance.choice((0, 0, chance.randrange(10**16)))
            return COUNTER, f"0x{slot:064x}{expected:064x}", paid
        return chance.choice(self._rich).address, "0x", chance.randrange(10**15)

    def _gas(self) -> int:
        greedy = self.chance.random() < 0.1  # noqa: PLR2004 - a probability
        return self.chance.choice((9, 17, 30)) * 10**6 if greedy else 300_000

    def _tip(self) -> int:
        return self.chance.choice((0, 1, 5, 20, 50)) * GWEI + self.chance.randrange(GWEI)


def _signed(
    account: DevAccount,
    scene: Scene,
    nonce: int,
    *,
    to: Address,
    data: str,
    value: int,
    gas: int,
    tip: int = 0,
) -> SignedTransaction:
    return account.signer.sign_transaction_now(
        UnsignedTransaction(
            type=2,
            chain_id=scene.chain_id,
            nonce=nonce,
            to=to,
            value=value,
            data=data,
            gas=gas,
            max_fee_per_gas=100 * GWEI,
            max_priority_fee_per_gas=tip,
        )
    )
