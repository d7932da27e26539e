"""The check of what a lane told, given requests as a journal would."""

import pytest

from toolkit.chain.signer import LocalSigner
from toolkit.model.tx import (
    Cancelled,
    Expired,
    FeeQuote,
    Outcome,
    SignedTransaction,
    TransactionRequest,
    UnsignedTransaction,
    Urgency,
)
from toolkit.testing.coverage import Coverage
from toolkit.testing.truth import Story, Told
from toolkit.tx.events import Accepted, Prepared

SIGNER = LocalSigner(b"\1" * 32)
LANE = SIGNER.address
QUOTE = FeeQuote(max_fee_per_gas=9, max_priority_fee_per_gas=1, base_fee_per_gas=4, for_block=8)
EMPTY = SIGNER.sign_transaction_now(
    UnsignedTransaction(type=2, chain_id=1, nonce=5, to=LANE, value=0, data="0x", gas=21_000)
)


def cancelled(name: str, seq: int, end: Outcome, signed: SignedTransaction = EMPTY) -> Told:
    """A request whose only attempt is a cancellation, in entry `seq`; ended in the next."""
    accepted = Accepted(
        lane=LANE,
        request_id=name,
        request=TransactionRequest(to=LANE, value=1, gas=21_000),
        urgency=Urgency.SOON,
        deadline_block=None,
        destinations=("public",),
        quote=QUOTE,
        balance_wei=1,
    )
    attempt = Prepared(lane=LANE, request_id=name, signed=signed, cancels=True)
    return Told(accepted=accepted, attempts=[(seq, attempt)], end=end, end_seq=seq + 1)


def story(**requests: Told) -> Story:
    """What a journal with these requests would be folded into."""
    told = Story.__new__(Story)
    told.requests, told.halted, told.confirmed = requests, False, set()
    told._fillers, told._coverage = {}, Coverage()
    told._ends = {name: one.end_seq or 0 for name, one in requests.items()}
    return told


def test_the_same_bytes_of_two_holders_are_the_later_ones() -> None:
    """The first one's end, without a hash, is true: nobody ever had its cancellation."""
    first = cancelled("a", 3, Expired(last_block=7))
    later = cancelled("b", 8, Cancelled(tx_hash=EMPTY.hash, block_number=9))

    story(a=first, b=later).check({EMPTY.hash: 9}, {}, ())


def test_a_holder_alone_must_tell_what_was_mined() -> None:
    """What is its own and in the chain is its end."""
    untold = cancelled("a", 3, Expired(last_block=7))

    with pytest.raises(AssertionError, match="a: Expired"):
        story(a=untold).check({EMPTY.hash: 9}, {}, ())
