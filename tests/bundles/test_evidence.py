"""What is known of a submission, and what is read from the chain about it."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from tests.bundles.verdicts import COINBASE, HEAD, receipt
from toolkit.bundles.evidence import RelayAnswer, Submission, gather
from toolkit.bundles.hashes import bundle_hash
from toolkit.bundles.reenactment import BlockFacts
from toolkit.chain.signer import LocalSigner
from toolkit.model.bundle import Bundle
from toolkit.model.chain import Address
from toolkit.model.errors import NodeError, NodeTimeout, NodeUnavailable, RpcError
from toolkit.model.tx import SignedTransaction

Sign = Callable[..., SignedTransaction]
Make = Callable[..., Bundle]
PRIORITY_WEI = 100_000 * 10**9  # of one receipt
OTHER = Address("0x" + "0b" * 20)


@pytest.fixture
def submission(signer: LocalSigner, transfer: Sign, bundle_of: Make) -> Submission:
    """One of ours behind a foreign one, for block 8; relays a and b took it."""
    pair = (transfer(LocalSigner("0x" + "33" * 32)), transfer(signer))
    bundle = bundle_of(*pair, target_block=8)
    return Submission(
        bundle=bundle,
        bundle_hash=bundle_hash(bundle.hashes),
        transactions=pair,
        own=frozenset({signer.address}),
        answers=tuple(RelayAnswer(relay=one, accepted=True, head_number=7) for one in "ab"),
        fee_recipients={"a": frozenset({COINBASE}), "b": frozenset({OTHER})},
    )


def block_of(submission: Submission, *, coinbase: Address = COINBASE) -> BlockFacts:
    mined = [receipt(one.hash, one.sender) for one in submission.transactions]
    return BlockFacts(head=HEAD, coinbase=coinbase, receipts=tuple(mined))


def node_that(answer: Any) -> Any:
    """A node that traces every transaction like this, or fails like this."""

    async def batch(calls: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return [answer for _ in calls]

    return SimpleNamespace(rpc=SimpleNamespace(batch=batch))


def test_mine_is_what_no_other_bundle_has(submission: Submission, signer: LocalSigner) -> None:
    """Signed for it, or else sent by us; what its replacement repeats may land with that one."""
    foreign, mine = submission.transactions
    replace = msgspec.structs.replace

    assert (mine,) == submission.mine
    assert (foreign,) == replace(submission, leased=frozenset({foreign.hash})).mine
    assert () == replace(submission, superseded_by=frozenset({mine.hash})).mine
    assert () == replace(submission, own=frozenset()).mine


def test_builders_are_known_by_their_coinbases(submission: Submission) -> None:
    """Ours, a stranger's, or nobody can say: where a relay's coinbase is not known, or where the
    bundle was to be passed on."""
    replace = msgspec.structs.replace
    stranger = block_of(submission, coinbase=Address("0x" + "0c" * 20))
    passed_on = replace(submission, bundle=replace(submission.bundle, builders=("c",)))
    half_known = replace(submission, fee_recipients={"a": frozenset({COINBASE})})

    assert frozenset({"a"}) == submission.builders_of(block_of(submission))
    assert frozenset() == submission.builders_of(stranger)
    assert frozenset({"a"}) == half_known.builders_of(block_of(submission))
    assert half_known.builders_of(stranger) is None
    assert passed_on.builders_of(stranger) is None
    assert replace(submission, answers=()).builders_of(stranger) is None


async def test_transfers_to_the_coinbase_are_paid_however_deep(submission: Submission) -> None:
    """A call within thousands of others counts, one that failed with all beneath it does not."""
    paying = {
        "type": "CALL",
        "from": OTHER,
        "to": COINBASE.upper().replace("X", "x"),
        "value": "0x7",
    }
    failed = {"type": "CALL", "from": OTHER, "to": OTHER, "error": "reverted", "calls": [paying]}
    borrowed = {**paying, "type": "DELEGATECALL"}
    itself = {**paying, "from": COINBASE}
    frame: dict[str, Any] = {"calls": [paying, failed, borrowed, itself]}
    for _ in range(20_000):
        frame = {"type": "CALL", "from": OTHER, "to": OTHER, "value": "0x1", "calls": [frame]}

    found = await gather(node_that(frame), submission, block_of(submission))

    assert {one.hash: PRIORITY_WEI + 7 for one in submission.transactions} == found.payments


@pytest.mark.parametrize(
    "answer",
    [
        RpcError(-32601, "no such method"),
        NodeError("127.0.0.1 answered 99 bytes that are not JSON"),
    ],
)
async def test_without_traces_payments_are_lower_bounds(
    submission: Submission, answer: Exception
) -> None:
    """A node that does not trace, or whose trace cannot be read, leaves priority fees."""
    found = await gather(node_that(answer), submission, block_of(submission))

    assert {one.hash: PRIORITY_WEI for one in submission.transactions} == found.payments


@pytest.mark.parametrize("kind", [NodeTimeout, NodeUnavailable])
async def test_a_node_that_cannot_be_asked_is_asked_again(
    submission: Submission, kind: type[NodeError]
) -> None:
    """That is no evidence of anything: the error goes up, and the next head tries anew."""
    with pytest.raises(kind):
        await gather(node_that(kind("down")), submission, block_of(submission))
