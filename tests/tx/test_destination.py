import pytest

from toolkit.model.errors import (
    AlreadyKnown,
    CallReverted,
    GasLimitTooHigh,
    InsufficientFunds,
    NodeTimeout,
    NodeUnavailable,
    NonceTooHigh,
    NonceTooLow,
    Recovery,
    RelayRejected,
    RelayUnavailable,
    RpcError,
    Underpriced,
)
from toolkit.model.tx import Attempt, Exposure, UnsignedTransaction
from toolkit.testing.fakes import FRIEND, OWNER
from toolkit.tx.destination import hand_over

ATTEMPT = Attempt(
    request_id="tx-1",
    number=0,
    signed=OWNER.sign_transaction_now(
        UnsignedTransaction(type=2, chain_id=1, nonce=0, to=FRIEND, value=0, data="0x", gas=21_000)
    ),
    since_block=7,
)


class Place:
    name = "place"
    exposure = Exposure.PUBLIC

    def __init__(self, error: Exception | None) -> None:
        self._error = error

    async def send(self, attempt: Attempt, *, target_block: int) -> None:
        assert (ATTEMPT, 7) == (attempt, target_block)
        if self._error is not None:
            raise self._error


@pytest.mark.parametrize(
    ("error", "exposure", "recovery"),
    [
        (None, Exposure.PUBLIC, None),
        (AlreadyKnown("already known"), Exposure.PUBLIC, Recovery.TREAT_AS_SENT),
        (NonceTooLow("nonce too low"), Exposure.UNKNOWN, Recovery.RESYNC),
        (NonceTooHigh("nonce too high"), Exposure.NONE, Recovery.FILL_GAP),
        (Underpriced("underpriced"), Exposure.NONE, Recovery.RAISE_FEES),
        (InsufficientFunds("insufficient funds"), Exposure.NONE, Recovery.WAIT),
        (GasLimitTooHigh("exceeds block gas limit"), Exposure.NONE, Recovery.FAIL),
        (NodeTimeout("no answer"), Exposure.UNKNOWN, Recovery.WAIT),
        (NodeUnavailable("refused", sent=False), Exposure.NONE, Recovery.WAIT),
        (NodeUnavailable("lost", sent=True), Exposure.UNKNOWN, Recovery.WAIT),
        (RpcError(-32603, "internal error"), Exposure.UNKNOWN, Recovery.WAIT),
        (CallReverted("already known"), Exposure.UNKNOWN, Recovery.WAIT),  # code 3 of a liar
        (RelayRejected("no", relay="r"), Exposure.NONE, Recovery.WAIT),
        (RelayUnavailable("no answer", relay="r"), Exposure.UNKNOWN, Recovery.WAIT),
    ],
)
async def test_what_each_answer_says_about_who_has_the_bytes(
    error: Exception | None, exposure: Exposure, recovery: Recovery | None
) -> None:
    """Only a clear refusal, or a connection that never opened, leaves an attempt unexposed."""
    answer = await hand_over(Place(error), ATTEMPT, target_block=7)

    assert (exposure, recovery, error) == (answer.exposure, answer.recovery, answer.error)
