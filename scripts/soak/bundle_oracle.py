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


class Landing(msgspec.Struct, frozen=True, kw_only=True):
    """An offer and where it is in a block: from `start` on, `stop` excluded."""

    offer: Offer
    start: int
    stop: int


Reading = tuple[list[str], list[Offer]]


def violations(seen: Seen, offers: Sequence[Offer], public: frozenset[Hash]) -> Reading:
    """What is wrong with a block, in words; and the offers that landed in it, in order."""
    return readings(seen, offers, public)[0]


def readings(seen: Seen, offers: Sequence[Offer], public: frozenset[Hash]) -> list[Reading]:
    """Every way to tell what landed, with what is wrong then; that with the fewest wrongs first.

    A transaction is in a block once, and may be in several offers: where what each may do without
    is missing, the block does not tell which of them it is there for.
    """
    mentions = Counter(each for offer in offers for each in set(offer.hashes))
    shared = frozenset(each for each, count in mentions.items() if count > 1) | public
    found: list[Reading] = []
    for inside in _choices(seen, offers, shared, public):
        landed = [each.offer for each in inside]
        wrong = _of_base_fee(seen) + [
            each for landing in inside for each in _of_landed(seen, landing)
        ]
        for offer in offers:
            own = [each for each in offer.hashes if each in seen.order and each not in shared]
            if own and not any(offer is each for each in landed):
                wrong.append(f"{_name(offer)}: {len(own)} of {len(offer.hashes)} are in the block")
        wrong += _of_order(seen, inside, public) + _of_payouts(seen, inside)
        found.append((wrong, landed))
    return sorted(found, key=lambda each: len(each[0]))


def _choices(
    seen: Seen, offers: Sequence[Offer], shared: frozenset[Hash], public: frozenset[Hash]
) -> list[list[Landing]]:
    """The landings that may have been together, in order; only what is shared leaves a choice."""
    places = [_places(seen, offer, shared) if _is_for(offer, seen) else [] for offer in offers]
    holders = Counter(
        index
        for each in places
        for index in {index for one in each for index in range(one.start, one.stop)}
    )
    found: list[list[Landing]] = [[]]
    for alike in places:
        if not alike:
            continue
        (first, *others) = alike
        inside = range(first.start, first.stop)
        is_sure = not others and all(holders[index] == 1 for index in inside)
        is_sure &= not public.issuperset(seen.order[first.start : first.stop])
        longer = [[*taken, one] for taken in found for one in alike if _is_free(one, taken)]
        found = longer if is_sure else found + longer
    return [sorted(each, key=lambda one: one.start) for each in found]


def _is_free(one: Landing, taken: Sequence[Landing]) -> bool:
    return all(one.stop <= each.start or each.stop <= one.start for each in taken)


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


def _places(seen: Seen, offer: Offer, shared: frozenset[Hash]) -> list[Landing]:
    """Where the offer may be: contiguous, in order, without at most what may be dropped.

    What it may drop and others have too may be at its edge, and theirs.
    """
    needed = set(offer.hashes) - offer.dropping
    loose = offer.dropping & shared
    found = []
    for start, stop in _runs(seen.order, offer.hashes):
        run = seen.order[start:stop]
        head = next((index for index, each in enumerate(run) if each not in loose), len(run) - 1)
        tail = next((index for index in reversed(range(len(run))) if run[index] not in loose), 0)
        found += [
            Landing(offer=offer, start=start + left, stop=start + right)
            for left in range(head + 1)
            for right in range(max(left, tail) + 1, len(run) + 1)
            if needed <= set(run[left:right])
        ]
    return found


def _runs(order: Sequence[Hash], hashes: Sequence[Hash]) -> list[tuple[int, int]]:
    """The longest stretches of a block that these follow each other in."""
    rank = {each: index for index, each in enumerate(hashes)}
    found: list[tuple[int, int]] = []
    for index, each in enumerate(order):
        if each not in rank:
            continue
        if found and found[-1][1] == index and rank[order[index - 1]] < rank[each]:
            found[-1] = (found[-1][0], index + 1)
        else:
            found.append((index, index + 1))
    return found


def _of_landed(seen: Seen, landing: Landing) -> list[str]:
    failed = {each["transactionHash"] for each in seen.receipts if each["status"] == "0x0"}
    return [
        f"{_name(landing.offer)}: {each} reverted and may not"
        for each in seen.order[landing.start : landing.stop]
        if each in failed and each not in landing.offer.reverting
    ]


def _of_order(seen: Seen, landed: Sequence[Landing], public: frozenset[Hash]) -> list[str]:
    bundled = {index for each in landed for index in range(each.start, each.stop)}
    kinds = [
        "b" if index in bundled else "p" if each in public else "r"
        for index, each in enumerate(seen.order)
    ]
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


def _of_payouts(seen: Seen, landed: Sequence[Landing]) -> list[str]:
    """Refunds by the rule (V - gas x base fee) x p, and what is left with the builder."""
    cost = TRANSFER_GAS * seen.base_fee_wei
    payments = payments_wei(seen)
    due: list[tuple[Address, int]] = []
    wrong = []
    for landing in landed:
        offer = landing.offer
        if offer.refund_percent:
            inside = seen.order[landing.start : landing.stop]
            value = payments[inside[-1]] if inside[-1] == offer.hashes[-1] else 0
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
