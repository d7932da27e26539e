import pytest

from toolkit.chain.node_errors import classify
from toolkit.chain.reverts import decode_revert
from toolkit.model.errors import (
    AccountLimit,
    AlreadyKnown,
    AlreadyReserved,
    CallReverted,
    GasLimitTooHigh,
    InsufficientFunds,
    NonceTooHigh,
    NonceTooLow,
    PoolFull,
    RejectedByNode,
    ReplacementUnderpriced,
    RpcError,
    Underpriced,
)

GETH = [
    ("already known", AlreadyKnown),
    ("nonce too low: address 0x71, tx: 3 state: 5", NonceTooLow),
    ("nonce too high", NonceTooHigh),
    ("gapped-nonce tx from delegated accounts", NonceTooHigh),
    ("future transaction tries to replace pending", NonceTooHigh),
    (
        "replacement transaction underpriced: new tx gas fee cap 1 <= 2 queued",
        ReplacementUnderpriced,
    ),
    ("transaction underpriced: tip needed 1, tip permitted 0", Underpriced),
    ("insufficient funds for gas * price + value: balance 0, tx cost 5", InsufficientFunds),
    ("insufficient funds for transfer", InsufficientFunds),
    ("txpool is full", PoolFull),
    ("account limit exceeded", AccountLimit),
    ("in-flight transaction limit reached for delegated accounts", AccountLimit),
    ("address already reserved", AlreadyReserved),
    ("exceeds block gas limit", GasLimitTooHigh),
    ("transaction gas limit too high (cap: 16777216, tx: 17000000)", GasLimitTooHigh),
    ("tx fee (2.00 ether) exceeds the configured cap (1.00 ether)", RejectedByNode),
    ("authority nonce too low", RejectedByNode),
    ("authority already reserved", RejectedByNode),
    ("intrinsic gas too low: gas 20000, minimum needed 21000", RejectedByNode),
    ("invalid sender: invalid chain id for signer: have 1 want 5", RejectedByNode),
    ("only replay-protected (EIP-155) transactions allowed over RPC", RejectedByNode),
    ("max priority fee per gas higher than max fee per gas", RejectedByNode),
]
RETH = [
    ("nonce too low: next nonce 5, tx nonce 3", NonceTooLow),
    ("insufficient funds for gas * price + value: have 1 want 2", InsufficientFunds),
    ("exceeds max transaction gas limit", GasLimitTooHigh),
    ("gas limit too high", GasLimitTooHigh),
    ("transaction priority fee below minimum required priority fee 5", Underpriced),
    ("max fee per gas less than block base fee", Underpriced),
    ("tx fee (9 wei) exceeds the configured cap (1 wei)", RejectedByNode),
    ("sender is not an EOA", RejectedByNode),
]
ANVIL = [
    ("transaction already imported", AlreadyKnown),
    ("Nonce too high", NonceTooHigh),
    ("Insufficient funds for gas * price + value", InsufficientFunds),
    ("intrinsic gas too high -- tx.gas_limit > env.block.gas_limit", GasLimitTooHigh),
    (
        "Transaction gas limit is greater than the block gas limit, gas_limit: 2, cap: 1",
        GasLimitTooHigh,
    ),
    ("replacement transaction underpriced", ReplacementUnderpriced),
    ("Failed to decode signed transaction", RejectedByNode),
]


@pytest.mark.parametrize(("message", "expected"), GETH + RETH + ANVIL)
def test_each_known_text_has_its_one_meaning(message: str, expected: type[Exception]) -> None:
    """geth, reth and anvil texts become the class that says what to do; the text survives."""
    error = classify(-32000, message)

    assert expected is type(error)
    assert message == str(error)


@pytest.mark.parametrize(
    "quoted", ["nonce too low", "insufficient funds", "already known", "replacement transaction"]
)
def test_a_revert_that_quotes_a_pool_error_is_a_revert(quoted: str) -> None:
    """A contract's words never pass for the node's."""
    error = classify(3, f"execution reverted: {quoted}", None)

    assert isinstance(error, CallReverted)
    assert quoted == error.reason


@pytest.mark.parametrize("message", ["unknown transaction", "header not found", "", "rate limited"])
def test_the_unknown_stays_unknown(message: str) -> None:
    """A text that is not in the table is an RpcError with everything the node said."""
    error = classify(-32005, message, {"a": 1})

    assert isinstance(error, RpcError)
    assert (-32005, message, {"a": 1}) == (error.code, error.message, error.data)


def word(number: int) -> str:
    """One ABI word."""
    return f"{number:064x}"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("0x", "no reason given"),
        (None, "no reason given"),
        ("0x08c379a0" + word(32) + word(2) + "6e6f" + "00" * 30, "no"),
        ("0x4e487b71" + word(0x11), "panic 0x11: arithmetic overflow or underflow"),
        ("0x4e487b71" + word(0x99), "panic 0x99: unknown"),
        ("0x12345678", "custom error 0x12345678"),
        ("0x12345678" + word(5), "custom error 0x12345678 with 0x" + word(5)),
        ("0x08c379a0zz", "custom error 0x08c379a0 with 0xzz"),
        ("0x08c379a0" + word(32) + word(2**200), ""),
    ],
)
def test_revert_data_always_becomes_one_line(data: object, reason: str) -> None:
    """Error strings and panics are decoded, custom errors shown, and nothing can break it."""
    assert reason == decode_revert(data)


def test_reverts_carry_their_data() -> None:
    """The error keeps the raw data beside the decoded reason."""
    data = "0x08c379a0" + word(32) + word(2) + "6e6f" + "00" * 30

    error = classify(3, "execution reverted", data)

    assert isinstance(error, CallReverted)
    assert ("no", data) == (error.reason, error.data)
