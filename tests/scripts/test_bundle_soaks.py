"""The market's blocks against an oracle, and the oracle against blocks that are wrong."""

import random
from typing import Any

import pytest
from msgspec.structs import replace

from scripts.soak import bundle_blocks, bundle_optimum, bundle_tracker
from scripts.soak.__main__ import AREAS
from scripts.soak.bundle_draws import COUNTER, Offer
from scripts.soak.bundle_oracle import Seen, readings, violations
from toolkit.devnet.participants import user_accounts
from toolkit.model.chain import Address, Hash
from toolkit.model.tx import SignedTransaction, UnsignedTransaction

ACCOUNTS = user_accounts(1, 3)
MINER = "0x" + "fe" * 20
BASE_FEE = 100
TIP = 7
GAS = 50_000


def signed(nonce: int, *, value: int = 0, who: int = 0) -> SignedTransaction:
    return ACCOUNTS[who].signer.sign_transaction_now(
        UnsignedTransaction(
            type=2,
            chain_id=1,
            nonce=nonce,
            to=COUNTER,
            value=value,
            data="0x",
            gas=GAS,
            max_fee_per_gas=10**9,
            max_priority_fee_per_gas=TIP,
        )
    )


def header(number: int, *, base_fee: int = BASE_FEE, used: int = 0) -> dict[str, Any]:
    return {
        "number": hex(number),
        "timestamp": hex(1_000 + number),
        "baseFeePerGas": hex(base_fee),
        "gasUsed": hex(used),
        "gasLimit": hex(30_000_000),
        "miner": MINER,
    }


def seen(*transactions: SignedTransaction, failed: tuple[Hash, ...] = (), paid: int = 0) -> Seen:
    """Block 10 with these transactions, whose builder kept all but `paid` wei of what they pay."""
    receipts = [
        {
            "transactionHash": each.hash,
            "status": "0x0" if each.hash in failed else "0x1",
            "gasUsed": hex(GAS),
            "effectiveGasPrice": hex(BASE_FEE + TIP),
        }
        for each in transactions
    ]
    rows = [
        {"hash": each.hash, "from": each.sender, "to": COUNTER, "value": hex(each.unsigned.value)}
        for each in transactions
    ]
    earned = sum(
        GAS * TIP + each.unsigned.value * (each.hash not in failed) for each in transactions
    )
    parent = header(9, used=15_000_000)
    block = header(10) | {"transactions": rows}
    return Seen(block=block, parent=parent, receipts=receipts, earned_wei=earned - paid)


A, B, C = signed(0, value=5), signed(1), signed(0, who=1)
BUNDLE = Offer(transactions=(A, B), block=10)
NOTHING: frozenset[Hash] = frozenset()


def test_a_right_block_has_no_violation() -> None:
    """A whole bundle, then a public transaction: it landed, and nothing is wrong."""
    assert ([], [BUNDLE]) == violations(seen(A, B, C), [BUNDLE], frozenset({C.hash}))


@pytest.mark.parametrize(
    ("block", "offer", "words"),
    [
        (seen(A, C), BUNDLE, "1 of 2"),
        (seen(B, A), BUNDLE, "2 of 2"),
        (seen(A, C, B), BUNDLE, "2 of 2"),
        (seen(C, A, B), BUNDLE, "mixed"),
        (seen(A, B, failed=(A.hash,)), BUNDLE, "reverted and may not"),
        (
            seen(A, B, failed=(A.hash,)),
            replace(BUNDLE, dropping=frozenset({A.hash})),
            "reverted and may not",
        ),
        (seen(A, B), replace(BUNDLE, block=11), "2 of 2"),
        (seen(A, B), replace(BUNDLE, max_timestamp=1_009), "2 of 2"),
        (seen(A, B), replace(BUNDLE, refund_percent=50), "due"),
        (seen(A, B, signed(0, who=2)), BUNDLE, "nobody sent"),
        (seen(A, B, paid=1), BUNDLE, "earned"),
        (replace(seen(A, B), parent=header(9)), BUNDLE, "EIP-1559"),
    ],
)
def test_each_wrong_block_is_noticed(block: Seen, offer: Offer, words: str) -> None:
    """Torn, out of order, too late, reverted, unpaid, wrong fee: each has its violation."""
    wrong, _ = violations(block, [offer], frozenset({C.hash}))

    assert any(words in each for each in wrong)


def test_what_may_be_dropped_or_revert_is_no_violation() -> None:
    """A bundle without its listed drop is whole, as is one with its listed revert."""
    dropped = replace(BUNDLE, dropping=frozenset({B.hash}))
    reverted = replace(BUNDLE, reverting=frozenset({A.hash}))

    assert ([], [dropped]) == violations(seen(A), [dropped], NOTHING)
    assert ([], [reverted]) == violations(seen(A, B, failed=(A.hash,)), [reverted], NOTHING)


def test_what_two_bundles_share_is_there_for_one_of_them() -> None:
    """One that is in the block but for its drops has not landed if another one has it there."""
    shares = Offer(transactions=(signed(0, who=2), B), block=10, refund_percent=50)
    left = replace(shares, dropping=frozenset({shares.hashes[0]}))

    assert ([], [BUNDLE]) == violations(seen(A, B), [left, BUNDLE], NOTHING)
    assert ([], [BUNDLE]) == violations(seen(A, B), [BUNDLE, left], NOTHING)
    assert ([], []) == violations(seen(C, B), [left], frozenset({B.hash, C.hash}))
    assert violations(seen(B, C), [left], NOTHING)[0]


def test_what_one_bundle_leaves_out_may_be_there_for_another() -> None:
    """Behind it or apart from it, in another bundle or the public part: the bundle is whole."""
    drops = replace(BUNDLE, dropping=frozenset({B.hash}))
    other = Offer(transactions=(B, signed(2)), block=10)
    (_, last) = other.transactions

    assert ([], [drops, other]) == violations(seen(A, B, last), [other, drops], NOTHING)
    assert ([], [drops]) == violations(seen(A, C, B), [drops], frozenset({B.hash, C.hash}))
    assert violations(seen(A, C, B), [drops], frozenset({C.hash}))[0]


def test_a_refund_is_of_what_landed_with_the_bundle() -> None:
    """What its last transaction pays in another one's place is not the bundle's to share."""
    drops = replace(BUNDLE, dropping=frozenset({B.hash}), refund_percent=50)
    other = Offer(transactions=(B, signed(2)), block=10)
    cost = 21_000 * BASE_FEE

    told = readings(seen(A, B, other.transactions[1]), [drops, other], NOTHING)
    (both,) = (wrong for wrong, landed in told if landed == [drops, other])

    assert any(f"its refund of -{cost // 2} wei" in each for each in both)


@pytest.mark.parametrize("dropping", [frozenset[Hash](), frozenset({B.hash})])
def test_of_two_bundles_with_the_same_transactions_one_landed(dropping: frozenset[Hash]) -> None:
    """Each of them explains the block, and never both together."""
    first = replace(BUNDLE, dropping=dropping)
    second = replace(first, min_timestamp=1)

    told = readings(seen(A, B), [first, second], NOTHING)

    assert [[first], [second]] == [landed for wrong, landed in told if not wrong]


def test_a_refund_that_is_paid_is_what_the_rule_says() -> None:
    """(V - gas x base fee) x p of the last transaction's payment, from the builder's account."""
    last = signed(2, value=10**9)
    offer = replace(BUNDLE, transactions=(B, last), refund_percent=50)
    whole = seen(B, last)
    cost = 21_000 * BASE_FEE
    refund = (GAS * TIP + 10**9 - cost) * 50 // 100
    payout = {"hash": "0x01", "from": MINER, "to": ACCOUNTS[0].address, "value": hex(refund)}
    receipt = {
        "transactionHash": "0x01",
        "status": "0x1",
        "gasUsed": hex(21_000),
        "effectiveGasPrice": hex(BASE_FEE),
    }
    paid = replace(
        whole,
        block={**whole.block, "transactions": [*whole.block["transactions"], payout]},
        receipts=[*whole.receipts, receipt],
        earned_wei=whole.earned_wei - refund - cost,
    )

    assert ([], [offer]) == violations(paid, [offer], NOTHING)
    assert violations(replace(paid, earned_wei=0), [offer], NOTHING)[0]


def test_an_offer_asks_for_what_it_says() -> None:
    """The request has the fields that are set, a private transaction its own form."""
    offer = replace(BUNDLE, refund_percent=9, refund_recipient=Address(MINER), uuid="u")

    assert {"refundPercent", "refundRecipient", "replacementUuid"} < set(offer.request())
    assert {"tx", "maxBlockNumber"} == set(replace(offer, is_private=True).request())


def test_bundles_are_soaked_part_by_part() -> None:
    """The area runs blocks, optimum and tracker among its parts."""
    assert {"bundles-blocks", "bundles-optimum", "bundles-tracker"} <= set(AREAS["bundles"])


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_no_block_breaks_a_bundle() -> None:
    """200 random blocks on one devnet, none with a violation, and every head heard of once."""
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")

    counts, wrong = await bundle_blocks.live(seed, 200)

    assert [] == wrong
    assert min(counts["bundles landed"], counts["missed: outbid_conflict"]) > 50


@pytest.mark.parametrize("seed", [37522])
async def test_what_was_once_misread_is_not_any_more(seed: int) -> None:
    """A bundle that another one carried past its drops and its refund."""
    _, wrong = await bundle_blocks.live(seed, 1)

    assert [] == wrong


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_ends_are_told_as_the_market_has_them() -> None:
    """Of some 200 ends at most one in fifty is not the market's: scenarios may hide what nobody
    outside can see, and the full size is held to one in a hundred."""
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")

    counts, wrong = await bundle_tracker.live(seed, 125)

    print(*wrong, sep="\n")
    assert counts["told"] > 180
    assert len(wrong) <= counts["told"] // 50
    assert min(counts[f"truth: {cause}"] for cause in ("landed", "partial", "late")) > 0


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_few_bundles_are_sealed_as_dearly_as_can_be() -> None:
    """Every sequence of them mined by brute force, none is worth more than what was sealed."""
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")

    counts, wrong = await bundle_optimum.live(seed, 200, most=3)

    assert [] == wrong
    assert counts["sequences mined by the search"] > 200


@pytest.mark.parametrize("seed", [115, 249, 5059, 5143, 539581, 575393, 783636])
async def test_what_once_fell_short_does_not_any_more(seed: int) -> None:
    """Drops whose nonce others use or leave out, or that two others together make worth keeping."""
    _, wrong = await bundle_optimum.live(seed, 1)

    assert [] == wrong
