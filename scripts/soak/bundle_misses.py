"""Bundles of ours that get everywhere and nowhere: seeded scenarios for the tracker.

Each is what an author may have sent, and what may have happened to it on the way; what became of it
in the end is not known here.
"""

import random
from collections.abc import Sequence
from enum import Enum
from typing import Any

import msgspec

from scripts.soak.bundle_draws import ANYTHING, COUNTER, GWEI, Scene
from toolkit.devnet.accounts import DevAccount
from toolkit.model.bundle import Bundle, Refund
from toolkit.model.chain import Address, Hash
from toolkit.model.tx import SignedTransaction, UnsignedTransaction


class Kind(Enum):
    """What is special about a bundle."""

    PLAIN = "plain"
    CONTESTED = "contested"  # others want the same
    BACKRUN = "backrun"  # behind a public transaction that others follow too
    STALE = "stale"
    GAP = "gap"
    POOR_CAP = "poor cap"
    REVERTING = "reverting"
    DROPPING = "dropping"
    WINDOW = "window"
    CANCELLED = "cancelled"
    REPLACED = "replaced"
    LEAKED = "leaked"
    GREEDY = "greedy"
    REFUND = "refund"
    SLOW = "slow"
    UNSENT = "unsent"


WEIGHTS = {
    Kind.PLAIN: 12,
    Kind.CONTESTED: 24,
    Kind.BACKRUN: 10,
    Kind.STALE: 5,
    Kind.GAP: 5,
    Kind.POOR_CAP: 5,
    Kind.REVERTING: 6,
    Kind.DROPPING: 4,
    Kind.WINDOW: 5,
    Kind.CANCELLED: 6,
    Kind.REPLACED: 4,
    Kind.LEAKED: 6,
    Kind.GREEDY: 4,
    Kind.REFUND: 3,
    Kind.SLOW: 4,
    Kind.UNSENT: 3,
}


SINGLE = frozenset({Kind.STALE, Kind.GAP, Kind.POOR_CAP, Kind.GREEDY, Kind.PLAIN, Kind.REFUND})
"""Of one transaction, which fails in no state."""


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One bundle of ours; `signed` in order, `public` are those that anybody may mine as well."""

    kind: Kind
    bundle: Bundle
    signed: tuple[SignedTransaction, ...]
    own: DevAccount
    bid_wei: int = 0
    public: tuple[SignedTransaction, ...] = ()
    replacement: Bundle | None = None


class Miss:
    """A seeded source of our own bundles for one block."""

    def __init__(self, chance: random.Random, scene: Scene, *, rich: Address) -> None:
        self.chance = chance
        self.scene = scene
        self._rich = rich

    def draw(self, own: DevAccount, foreign: DevAccount) -> Scenario:
        """A bundle of one own account, perhaps behind one foreign transaction."""
        kind = self.chance.choices(list(WEIGHTS), weights=list(WEIGHTS.values()))[0]
        public: tuple[SignedTransaction, ...] = ()
        if kind is Kind.BACKRUN:
            public = (self.sign(foreign, 0, tip=GWEI, pays=0, slot=None),)
        signed = (*public, *self._own(kind, own))
        scenario = Scenario(
            kind=kind,
            bundle=self._bundle(kind, signed),
            signed=signed,
            own=own,
            public=signed[:1] if kind is Kind.LEAKED else public,
        )
        if kind is not Kind.REPLACED:
            return scenario
        other = self.sign(own, 0, tip=40 * GWEI, pays=10**15)
        bundle = msgspec.structs.replace(
            scenario.bundle, transactions=(other.raw,), hashes=(other.hash,)
        )
        return msgspec.structs.replace(scenario, replacement=bundle)

    def sign(
        self,
        account: DevAccount,
        ahead: int,
        *,
        tip: int | None = None,
        pays: int | None = None,
        slot: int | None = -1,
        gas: int = 200_000,
        cap: int = 300 * GWEI,
    ) -> SignedTransaction:
        """Count a slot up that has to be as it is, and pay the builder; any slot for None."""
        chance = self.chance
        number = chance.randrange(3) if slot == -1 else slot
        expected = ANYTHING if number is None else self.scene.counts[number]
        priority = chance.choice((1, 5, 20, 50)) * GWEI + chance.randrange(GWEI)
        return account.signer.sign_transaction_now(
            UnsignedTransaction(
                type=2,
                chain_id=self.scene.chain_id,
                nonce=max(0, self.scene.nonces[account.address] + ahead),
                to=COUNTER,
                value=chance.choice((0, chance.randrange(10**16))) if pays is None else pays,
                data=f"0x{5 if number is None else number:064x}{expected:064x}",
                gas=gas,
                max_fee_per_gas=cap,
                max_priority_fee_per_gas=min(cap, priority if tip is None else tip),
            )
        )

    def _own(self, kind: Kind, own: DevAccount) -> Sequence[SignedTransaction]:
        chance = self.chance
        if kind in {Kind.REVERTING, Kind.DROPPING}:
            return self._failing(own)
        if kind in SINGLE:
            ahead = {Kind.STALE: -1, Kind.GAP: 1 + chance.randrange(3)}.get(kind, 0)
            cap = chance.choice((1, 1000)) if kind is Kind.POOR_CAP else 300 * GWEI
            gas = chance.choice((20, 29, 36)) * 10**6 if kind is Kind.GREEDY else 200_000
            return (self.sign(own, ahead, cap=cap, gas=gas, slot=None),)
        count = 2 if kind is Kind.LEAKED else chance.choice((1, 1, 2))
        return tuple(self.sign(own, place) for place in range(count))

    def _failing(self, own: DevAccount) -> Sequence[SignedTransaction]:
        """The second one is wrong about its slot, if it is there at all."""
        wrong = own.signer.sign_transaction_now(
            msgspec.structs.replace(
                self.sign(own, 1).unsigned, data=f"0x{4:064x}{self.scene.counts[4] + 7:064x}"
            )
        )
        return (self.sign(own, 0), wrong)

    def _bundle(self, kind: Kind, signed: Sequence[SignedTransaction]) -> Bundle:
        chance, now = self.chance, self.scene.timestamp
        fields: dict[str, Any] = {}
        last = signed[-1].hash
        if kind is Kind.WINDOW:
            fields = chance.choice(({"max_timestamp": now - 1}, {"min_timestamp": now + 1}))
        elif kind in {Kind.CANCELLED, Kind.REPLACED}:
            fields = {
                "replacement_uuid": f"00000000-0000-4000-8000-{chance.randrange(16**12):012x}"
            }
        elif kind is Kind.REFUND:
            fields = {"refund": Refund(percent=chance.choice((1, 50, 99)), recipient=self._rich)}
        elif kind is Kind.DROPPING:
            fields = {"dropping_hashes": (last,)}
        elif kind is Kind.REVERTING and chance.random() < 0.3:  # noqa: PLR2004 - a probability
            fields = {"reverting_hashes": (last,)}
        return Bundle(
            transactions=tuple(each.raw for each in signed),
            hashes=tuple(each.hash for each in signed),
            target_block=self.scene.block,
            **fields,
        )


def hashes(signed: Sequence[SignedTransaction]) -> frozenset[Hash]:
    """Of transactions."""
    return frozenset(each.hash for each in signed)
