"""Why a bundle landed or missed: one verdict, from the chain and from what we did ourselves; pure.

Causes are looked for in the order of five questions, and the first that holds is named:

1. What became of it?                   Landed, PARTIAL, CANCELLED, EXPIRED
2. Did who built the block have it?     LATE, WRONG_BUILDER
3. Could it have been in that block?    UNDERPRICED, NONCE_USED, REVERTED_SIM, STATE_CONFLICT
                                        (a nonce before it is not mined)
4. Who or what was there instead?       OUTBID_CONFLICT, NONCE_USED, STATE_CONFLICT, UNDERPRICED
                                        (no room for what it pays)
5. And if nothing was in its way?       WRONG_BUILDER: whoever has it includes what pays

A reorg asks all of them again, and REORGED is what landed and is gone (`bundles.tracker`). UNKNOWN
says that none of these can be shown. No builder is asked: relays no longer tell, and what they told
could not be checked.
"""

from collections.abc import Sequence
from itertools import pairwise

from toolkit.bundles.evidence import Evidence, RelayAnswer, Submission
from toolkit.bundles.guards import grants_of
from toolkit.bundles.reenactment import BlockFacts, placed
from toolkit.model.bundle import BundleResult, Landed, MissCause, Missed
from toolkit.model.chain import Address, Hash, Receipt
from toolkit.model.tx import SignedTransaction

_WHOLE = 100
_PAYOUT_GAS = 21_000


def explain(submission: Submission, evidence: Evidence) -> BundleResult:
    """Name what became of a submission; pure, exactly one cause when it missed."""
    if found := placed(submission.bundle, evidence.block):
        return _landed(submission, evidence, found)
    for question in (_ended, _undelivered, _impossible, _beaten, _ignored):
        missed = question(submission, evidence)
        if missed is not None:
            return missed
    took = any(answer.accepted for answer in submission.answers)
    return _missed(
        submission,
        MissCause.UNKNOWN,
        f"block {evidence.block.head.number} has none of it: nonces are free, the fee caps suffice,"
        f" {'a relay took it in time' if took else 'no relay is known to have taken it'}, and no"
        f" transaction touched the same contracts",
    )


def _landed(submission: Submission, evidence: Evidence, found: Sequence[Receipt]) -> Landed:
    block = evidence.block
    tips = sum(evidence.payments.values()) - sum(block.priority_wei(one) for one in found)
    return Landed(
        bundle_hash=submission.bundle_hash,
        block_number=block.head.number,
        block_hash=block.head.hash,
        builder=block.coinbase,
        fee_wei=sum(one.fee_wei for one in found),
        tip_wei=tips,
        tx_hash=submission.bundle.hashes[0],
    )


def missed_in_pieces(submission: Submission, block: BlockFacts) -> Missed:
    """Say that a block, its own or another one, has transactions of it without being its place."""
    mine = {one.hash for one in submission.mine}
    here = [one.transaction_hash for one in block.receipts if one.transaction_hash in mine]
    return _missed(
        submission,
        MissCause.PARTIAL,
        f"block {block.head.number} has {len(here)} of our {len(mine)} transactions, not the"
        f" whole bundle in its place: {', '.join(here)}",
    )


def _missed(
    submission: Submission, cause: MissCause, evidence: str, *, rival: Hash | None = None
) -> Missed:
    return Missed(
        bundle_hash=submission.bundle_hash,
        target_block=submission.bundle.target_block,
        cause=cause,
        evidence=evidence,
        rival=rival,
        tx_hash=submission.bundle.hashes[0] if submission.bundle.hashes else None,
    )


# 1. What became of it?


def _ended(submission: Submission, evidence: Evidence) -> Missed | None:
    block = evidence.block
    mine = {one.hash for one in submission.mine}
    if any(one.transaction_hash in mine for one in block.receipts):
        return missed_in_pieces(submission, block)
    if evidence.elsewhere:
        places = ", ".join(
            f"{one.transaction_hash} in block {one.block_number}" for one in evidence.elsewhere
        )
        return _missed(submission, MissCause.PARTIAL, f"mined outside the bundle: {places}")
    return _withdrawn(submission, block) or _expired(submission, block)


def _withdrawn(submission: Submission, block: BlockFacts) -> Missed | None:
    """Withdrawn where the block was built, or, built by somebody without it, everywhere."""
    if not submission.withdrawn and not submission.cancelled:
        return None
    builders = submission.builders_of(block)
    holders = {one.relay for one in submission.answers if one.accepted}
    asked = submission.withdrawn
    if asked and builders is not None:
        gone = builders <= asked if builders & holders else holders <= asked
        if not gone:
            return None
    takers = ", ".join(one.relay for one in submission.answers if one.accepted) or "no relay"
    how = "replaced by another bundle of ours" if submission.superseded_by else "cancelled by us"
    return _missed(submission, MissCause.CANCELLED, f"{how}; {takers} had taken it")


def _expired(submission: Submission, block: BlockFacts) -> Missed | None:
    bundle, head = submission.bundle, block.head
    if not any(one.accepted or one.unsure for one in submission.answers):
        return None  # nobody had what could have run out
    early = bundle.min_timestamp is not None and head.timestamp < bundle.min_timestamp
    if not early and (bundle.max_timestamp is None or head.timestamp <= bundle.max_timestamp):
        return None
    window = f"{bundle.min_timestamp or 0} to {bundle.max_timestamp or 'any'}"
    return _missed(
        submission,
        MissCause.EXPIRED,
        f"block {head.number} has timestamp {head.timestamp}, the bundle allows {window}",
    )


# 2. Did who built the block have it?


def _undelivered(submission: Submission, evidence: Evidence) -> Missed | None:
    block, answers = evidence.block, submission.answers
    target = block.head.number
    late = [one for one in answers if one.head_number >= target]
    timely = [one for one in answers if one.head_number < target]
    holders = [one for one in timely if one.accepted or one.unsure]
    if not [one for one in answers if one.accepted or one in late or one in holders]:
        said = "; ".join(f"{one.relay}: {one.why}" for one in answers) or "none asked"
        return _missed(submission, MissCause.WRONG_BUILDER, f"no relay took it ({said})")
    if all(one.unsure for one in timely) and holders:
        return None  # nobody said a word that tells
    builders = submission.builders_of(block)
    if builders is None:
        return None if holders else _late(submission, late, target)
    if builders & {one.relay for one in holders if one.accepted}:
        return None
    if builders & {one.relay for one in late} or not holders:
        return _late(submission, late, target)
    unsure = builders & {one.relay for one in holders}
    return _missed(
        submission,
        MissCause.WRONG_BUILDER,
        f"block {target} was built by {_builder(block, builders)}, which"
        f" {'did not say that it took it' if unsure else 'had not taken it'};"
        f" {_names([one for one in holders if one.accepted])} had",
    )


def _late(submission: Submission, late: Sequence[RelayAnswer], target: int) -> Missed:
    first = min(late, key=lambda one: (not one.accepted, one.head_number))
    said = "took it" if first.accepted else f"said nothing better ({first.why})"
    return _missed(
        submission,
        MissCause.LATE,
        f"block {first.head_number} was known when {first.relay} {said}, for block {target}",
    )


def _builder(block: BlockFacts, builders: frozenset[str]) -> str:
    return f"{', '.join(sorted(builders)) or 'a stranger'} ({block.coinbase})"


def _names(answers: Sequence[RelayAnswer]) -> str:
    return ", ".join(one.relay for one in answers) or "no relay"


# 3. Could it have been in that block?


def _impossible(submission: Submission, evidence: Evidence) -> Missed | None:
    head = evidence.block.head
    for one in submission.transactions:
        if one.unsigned.fee_cap < head.base_fee_per_gas:
            return _missed(
                submission,
                MissCause.UNDERPRICED,
                f"{one.hash} pays at most {one.unsigned.fee_cap} wei per gas, block {head.number}"
                f" asked {head.base_fee_per_gas}",
            )
    for one in submission.transactions:
        nonce = one.unsigned.nonce
        if evidence.nonces.get(one.sender, nonce) > nonce:
            return _missed(
                submission,
                MissCause.NONCE_USED,
                f"nonce {nonce} of {one.sender} was spent before block {head.number} by another"
                f" transaction",
            )
    failure = _failure(submission, evidence)
    if failure:
        return _missed(
            submission,
            MissCause.REVERTED_SIM,
            f"on the state before block {head.number}: {failure}",
        )
    return _gap(submission, evidence)


def _failure(submission: Submission, evidence: Evidence) -> str:
    """Why no block could hold it on the parent's state, whatever else it holds."""
    limit = evidence.block.head.gas_limit
    for one in submission.transactions:
        if one.unsigned.gas > limit:
            return f"{one.hash} asks for {one.unsigned.gas} gas, the block has {limit}"
    expected = () if submission.bundle.dropping_hashes else _expected(submission, evidence)
    for one, nonce in zip(submission.transactions, expected, strict=False):
        if nonce not in {None, one.unsigned.nonce}:
            return f"{one.hash} has nonce {one.unsigned.nonce}, its bundle needs {nonce} there"
    return evidence.reenactment.failure if evidence.reenactment else ""


def _expected(submission: Submission, evidence: Evidence) -> list[int | None]:
    """Which nonce each transaction finds because of those before it; None where none of them spends
    one of its sender's, by a transaction or by a delegation (EIP-7702) that takes effect there.
    """
    found: list[int | None] = []
    following: dict[Address, int] = {}
    for one in submission.transactions:
        found.append(following.get(one.sender))
        following[one.sender] = one.unsigned.nonce + 1
        for account, nonce in grants_of(one, submission.grants):
            if following.get(account, evidence.nonces.get(account)) == nonce:
                following[account] = nonce + 1
    return found


def _gap(submission: Submission, evidence: Evidence) -> Missed | None:
    expected = _expected(submission, evidence)
    for one, follows in zip(submission.transactions, expected, strict=True):
        nonce, count = one.unsigned.nonce, evidence.nonces.get(one.sender)
        if count is not None and follows is None and count < nonce:
            played = evidence.reenactment
            reached = evidence.spent.get(one.sender, count) == nonce
            if reached and played is not None and played.late_failure:
                continue  # the block has what it waited for, and something in its way
            return _missed(
                submission,
                MissCause.STATE_CONFLICT,
                f"nonce {nonce} of {one.sender} waits for nonce {count}, which is not mined",
            )
    return None


# 4. Who or what was there instead?


def _beaten(submission: Submission, evidence: Evidence) -> Missed | None:
    played = evidence.reenactment
    if played is None or not played.is_whole:
        return (
            _by_nonce(submission, evidence)
            or _by_logs(submission, evidence)
            or _no_room(submission, evidence)
        )
    if played.rival is not None:
        return (
            _by_nonce(submission, evidence)
            or _by_follower(submission, evidence)
            or _by_run(submission, evidence, played.rival)
        )
    return _by_follower(submission, evidence) or _no_room(submission, evidence)


def _by_nonce(submission: Submission, evidence: Evidence) -> Missed | None:
    """A nonce went to another transaction of the block, and nothing else was before that."""
    rival = evidence.reenactment.rival if evidence.reenactment else None
    for one in submission.transactions:
        nonce, block = one.unsigned.nonce, evidence.block
        spender = _spender(one, evidence)
        spent = evidence.spent.get(one.sender, nonce) > nonce
        if not spent or one.hash == spender or (rival is not None and rival != spender):
            continue
        offered = _bid_wei(submission, evidence)
        paid = _paid_by(one.sender, evidence)
        beaten = spender is not None and paid > offered
        where = f"in block {block.head.number} ({spender})" if spender else "by a delegation"
        return _missed(
            submission,
            MissCause.OUTBID_CONFLICT if beaten else MissCause.NONCE_USED,
            f"nonce {nonce} of {one.sender} was spent {where} by another transaction; its sender"
            f" paid the builder {paid} wei, {_offer(submission, evidence)}",
            rival=spender,
        )
    return None


def _spender(one: SignedTransaction, evidence: Evidence) -> Hash | None:
    """Which transaction of the block has this one's nonce."""
    block, nonce = evidence.block, one.unsigned.nonce
    for other in block.mined:
        if (other.sender, other.nonce) == (one.sender, nonce):
            return other.hash
    place = nonce - evidence.nonces.get(one.sender, nonce)
    sent = [other.transaction_hash for other in block.receipts if other.sender == one.sender]
    return sent[place] if 0 <= place < len(sent) and not block.mined else None


def _by_run(submission: Submission, evidence: Evidence, rival: Hash) -> Missed:
    """It fails behind this one and not before it."""
    played, block = evidence.reenactment, evidence.block
    assert played is not None, "a rival is found by running the block again"
    receipt = next(one for one in block.receipts if one.transaction_hash == rival)
    paid, offered = _paid_by(receipt.sender, evidence), _bid_wei(submission, evidence)
    beaten = paid >= offered
    if not beaten and _worth_wei(submission, evidence) > played.displaced_wei:
        return _missed(
            submission,
            MissCause.WRONG_BUILDER,
            f"it fails behind {rival}, but would have brought {played.bid_wei} wei for"
            f" {played.displaced_wei}: who built the block ({block.coinbase}) did not have it,"
            f" whatever was answered",
        )
    whose = "our own" if receipt.sender in submission.own else "the foreign"
    return _missed(
        submission,
        MissCause.OUTBID_CONFLICT if beaten else MissCause.STATE_CONFLICT,
        f"behind {whose} transaction {rival} of {receipt.sender} in block"
        f" {block.head.number}, {played.late_failure}; its sender paid the builder {paid} wei,"
        f" {_offer(submission, evidence)}",
        rival=rival,
    )


def _by_follower(submission: Submission, evidence: Evidence) -> Missed | None:
    """The foreign transaction that it follows is in the block, with another bundle behind it.

    What stands between the two and its rival came first, whatever the rival paid.
    """
    block, wanted = evidence.block, set(submission.bundle.hashes)
    rival = evidence.reenactment.rival if evidence.reenactment else None
    for one, following in pairwise(block.receipts):
        if rival in {one.transaction_hash, following.transaction_hash}:
            return None
        if one.transaction_hash not in wanted or following.sender == one.sender:
            continue
        paid, offered = _paid_by(following.sender, evidence), _bid_wei(submission, evidence)
        if following.transaction_hash not in wanted and paid >= offered:
            return _missed(
                submission,
                MissCause.OUTBID_CONFLICT,
                f"{one.transaction_hash} is in block {block.head.number} with"
                f" {following.transaction_hash} of {following.sender} behind it, who paid the"
                f" builder {paid} wei; {_offer(submission, evidence)}",
                rival=following.transaction_hash,
            )
    return None


def _by_logs(submission: Submission, evidence: Evidence) -> Missed | None:
    """Where the block could not be run again: who logged at the contracts that it depends on."""
    block, offered = evidence.block, _bid_wei(submission, evidence)
    foreign = _touching(submission, block, own=False)
    rival = max(foreign, key=lambda one: _paid_by(one.sender, evidence), default=None)
    paid = 0 if rival is None else _paid_by(rival.sender, evidence)
    if rival is not None and paid > offered:
        return _missed(
            submission,
            MissCause.OUTBID_CONFLICT,
            f"{rival.transaction_hash} of {rival.sender} used {_shared(submission, rival)} in block"
            f" {block.head.number} and paid the builder {paid} wei; {_offer(submission, evidence)}",
            rival=rival.transaction_hash,
        )
    before = rival or next(iter(_touching(submission, block, own=True)), None)
    if before is None:
        return None
    whose = "our own" if before.sender in submission.own else "foreign"
    return _missed(
        submission,
        MissCause.STATE_CONFLICT,
        f"{whose} transaction {before.transaction_hash} changed {_shared(submission, before)}"
        f" in block {block.head.number}",
        rival=before.transaction_hash,
    )


def _no_room(submission: Submission, evidence: Evidence) -> Missed | None:
    """The block's gas went to what pays more than the bundle does."""
    head, played = evidence.block.head, evidence.reenactment
    needed = played.gas_needed if played else sum(o.unsigned.gas for o in submission.transactions)
    used = sum(one.gas_used for one in evidence.block.receipts)
    lacking = used + needed - head.gas_limit
    if lacking <= 0 or not needed:
        return None
    price = _least_wei(evidence, lacking)
    if price < _worth_wei(submission, evidence):
        return None
    return _missed(
        submission,
        MissCause.UNDERPRICED,
        f"block {head.number} used {used} of {head.gas_limit} gas and it asks for {needed}: to"
        f" make room would have cost the builder {price} wei, {_offer(submission, evidence)}",
    )


def _least_wei(evidence: Evidence, gas: int) -> int:
    """About the least that transactions pay who together use so much gas, in wei."""
    paid = evidence.payments
    rows = [(paid.get(one.transaction_hash, 0), one.gas_used) for one in evidence.block.receipts]
    alone = [wei for wei, used in rows if used >= gas]
    total, left = 0, gas
    for wei, used in sorted(rows, key=lambda row: row[0] * 10**6 // row[1]):
        if left > 0:
            total, left = total + wei, left - used
    return min([total, *alone])


def _bid_wei(submission: Submission, evidence: Evidence) -> int:
    """What it would have added: measured where the block was run again, else as was declared."""
    played = evidence.reenactment
    if played is None or not played.paid_wei:
        return submission.bid_wei
    there = {one.transaction_hash for one in evidence.block.receipts}
    return sum(wei for name, wei in played.paid_wei.items() if name not in there)


def _offer(submission: Submission, evidence: Evidence) -> str:
    return f"we offered {submission.bid_wei or _bid_wei(submission, evidence)} wei"


def _worth_wei(submission: Submission, evidence: Evidence) -> int:
    """What the builder would have kept of that."""
    refund, paid = submission.bundle.refund, _bid_wei(submission, evidence)
    return paid if refund is None else paid * (_WHOLE - refund.percent) // _WHOLE


def _paid_by(sender: Address, evidence: Evidence) -> int:
    """What one sender paid the builder in the block, over all its transactions."""
    return sum(
        evidence.payments.get(one.transaction_hash, 0)
        for one in evidence.block.receipts
        if one.sender == sender
    )


def _touching(submission: Submission, block: BlockFacts, *, own: bool) -> list[Receipt]:
    """Receipts, in order, that logged at a contract of ours and were (not) sent by us."""
    return [
        one
        for one in block.receipts
        if (one.sender in submission.own) is own
        and not submission.touches.isdisjoint(entry.address for entry in one.logs)
    ]


def _shared(submission: Submission, receipt: Receipt) -> str:
    return ", ".join(sorted(submission.touches & {entry.address for entry in receipt.logs}))


# 5. And if nothing was in its way?


def _ignored(submission: Submission, evidence: Evidence) -> Missed | None:
    played, block = evidence.reenactment, evidence.block
    if played is None or not played.is_whole:
        return None
    refund, cost = submission.bundle.refund, _PAYOUT_GAS * block.head.base_fee_per_gas
    if refund is not None:
        shared = refund.tx_hashes or submission.bundle.hashes[-1:]
        value = sum(played.paid_wei.get(one, 0) for one in shared)
        if value * refund.percent // _WHOLE <= cost:
            return _missed(
                submission,
                MissCause.UNDERPRICED,
                f"{refund.percent} % of {value} wei do not pay for the refund itself, which costs"
                f" {cost} wei in block {block.head.number}",
            )
    return _missed(
        submission,
        MissCause.WRONG_BUILDER,
        f"it works before and behind all of block {block.head.number}, pays"
        f" {_bid_wei(submission, evidence)} wei and has room: who built it ({block.coinbase}) did"
        f" not have it, whatever was answered",
    )
