"""What a block may and may not be, from the bundles as they were sent and the chain as it is.

Written apart from the market: it knows neither its auction nor its simulation nor its records.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from scripts.soak.bundle_draws import COUNTER, Offer
from toolkit.model.chain import Address, Hash

ELASTICITY, DENOMINATOR = 2, 8  # EIP-1559
TRANSFER_GAS = 21_000


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A block with full transactions and receipts, and its parent, as JSON-RPC gives them."""

    block: Mapping[str, Any]
    parent: Mapping[str, Any]
    receipts: Sequence[Mapping[str, Any]]
    earned_wei: int  # by its fee recipient

    @property
    def number(self) -> int:
        """Its number."""
        return int(self.block["number"], 16)

    @property
    def base_fee_wei(self) -> int:
        """What it asks for a unit of gas."""
        return int(self.block["baseFeePerGas"], 16)

    @property
    def order(self) -> tuple[Hash, ...]:
        """The hashes of its transactions."""
        return tuple(Hash(each["hash"]) for each in self.block["transactions"])


def violations(
    seen: Seen, offers: Sequence[Offer], public: frozenset[Hash]
) -> tuple[list[str], list[Offer]]:
    """What is wrong with a block, in words; and the offers that landed in it, in order."""
    wrong = _of_base_fee(seen)
    mentions = Counter(each for offer in offers for each in set(offer.hashes))
    landed: dict[int, Offer] = {}
    for offer in offers:
        start = _place(seen, offer)
        if start is not None and _is_for(offer, seen):
            wrong += _of_landed(seen, offer)
            landed[start] = offer
            continue
        own = [each for each in offer.hashes if mentions[each] == 1 and each not in public]
        if found := [each for each in own if each in seen.order]:
            wrong.append(f"{_name(offer)}: {len(found)} of {len(offer.hashes)} are in the block")
    inside = [landed[start] for start in sorted(landed)]
    return wrong + _of_order(seen, inside, public) + _of_payouts(seen, inside), inside


def _of_base_fee(seen: Seen) -> list[str]:
    base, used, limit = (
        int(seen.parent[name], 16) for name in ("baseFeePerGas", "gasUsed", "gasLimit")
    )
    target = limit // ELASTICITY
    change = base * abs(used - target) // target // DENOMINATOR
    wanted = base + (max(change, 1) if used > target else -change if used < target else 0)
    if wanted == seen.base_fee_wei:
        return []
    return [f"block {seen.number} has base fee {seen.base_fee_wei}, EIP-1559 asks {wanted}"]


def _is_for(offer: Offer, seen: Seen) -> bool:
    time = int(seen.block["timestamp"], 16)
    late = offer.max_timestamp is not None and time > offer.max_timestamp
    number_fits = seen.number <= offer.block if offer.is_private else seen.number == offer.block
    return number_fits and offer.min_timestamp <= time and not late


def _place(seen: Seen, offer: Offer) -> int | None:
    """Where the offer is as a whole: contiguous, in order, without at most what may be dropped."""
    kept = tuple(each for each in offer.hashes if each in seen.order)
    missing = set(offer.hashes) - set(kept)
    if not kept or not missing <= offer.dropping:
        return None
    start = seen.order.index(kept[0])
    return start if seen.order[start : start + len(kept)] == kept else None


def _of_landed(seen: Seen, offer: Offer) -> list[str]:
    failed = {each["transactionHash"] for each in seen.receipts if each["status"] == "0x0"}
    return [
        f"{_name(offer)}: {each} reverted and may not"
        for each in offer.hashes
        if each in failed and each not in offer.reverting
    ]


def _of_order(seen: Seen, landed: Sequence[Offer], public: frozenset[Hash]) -> list[str]:
    bundled = {each for offer in landed for each in offer.hashes}
    kinds = ["b" if each in bundled else "p" if each in public else "r" for each in seen.order]
    own = [each["from"] for each in seen.block["transactions"]]
    strangers = [
        each
        for each, kind, sender in zip(seen.order, kinds, own, strict=True)
        if kind == "r" and sender != seen.block["miner"]
    ]
    if strangers:
        return [f"{each} is in the block, and nobody sent it there" for each in strangers]
    if kinds != sorted(kinds):
        return [f"bundles, public ones and payouts are mixed: {''.join(kinds)}"]
    return []


def payments_wei(seen: Seen) -> dict[Hash, int]:
    """What each transaction paid to the fee recipient: its tip, and what the counter passed on."""
    found = {}
    for tx, receipt in zip(seen.block["transactions"], seen.receipts, strict=True):
        tip = int(receipt["effectiveGasPrice"], 16) - seen.base_fee_wei
        passed = tx["to"] == COUNTER and receipt["status"] == "0x1"
        found[Hash(tx["hash"])] = int(receipt["gasUsed"], 16) * tip + passed * int(tx["value"], 16)
    return found


def _of_payouts(seen: Seen, landed: Sequence[Offer]) -> list[str]:
    """Refunds by the rule (V - gas x base fee) x p, and what is left with the builder."""
    cost = TRANSFER_GAS * seen.base_fee_wei
    payments = payments_wei(seen)
    due: list[tuple[Address, int]] = []
    wrong = []
    for offer in landed:
        if offer.refund_percent:
            value = payments.get(offer.hashes[-1], 0)
            refund = (value - cost) * offer.refund_percent // 100
            due.append((offer.refund_recipient or offer.transactions[0].sender, refund))
            if refund <= 0:
                wrong.append(f"{_name(offer)} landed, and its refund of {refund} wei is none")
    paid = [
        (Address(each["to"]), int(each["value"], 16))
        for each in seen.block["transactions"]
        if each["from"] == seen.block["miner"]
    ]
    if due != paid:
        wrong.append(f"block {seen.number}: refunds paid {paid}, due {due}")
    spent = sum(wei for _, wei in due) + cost * len(due)
    earned = sum(payments.values()) - spent
    if earned != seen.earned_wei:
        wrong.append(
            f"block {seen.number}: its builder earned {seen.earned_wei} wei, {earned} were due"
        )
    return wrong


def _name(offer: Offer) -> str:
    kind = "private transaction" if offer.is_private else "bundle"
    return f"{kind} {offer.bundle_hash[:10]} for block {offer.block}"
