import random
import secrets

import pytest

from toolkit.chain.node_errors import classify, meanings
from toolkit.chain.reverts import decode_revert
from toolkit.devnet.pool_rules import GETH as GETH_RULES
from toolkit.devnet.pool_rules import RETH as RETH_RULES
from toolkit.devnet.pool_rules import STRICT as STRICT_RULES
from toolkit.devnet.pool_rules import Reason
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
    ("authority already reserved", AlreadyReserved),
    ("intrinsic gas too low: gas 20000, minimum needed 21000", RejectedByNode),
    ("invalid sender: invalid chain id for signer: have 1 want 5", RejectedByNode),
    ("only replay-protected (EIP-155) transactions allowed over RPC", RejectedByNode),
    ("max priority fee per gas higher than max fee per gas", RejectedByNode),
    ("max fee per gas less than block base fee: address 0x1, maxFeePerGas: 1", Underpriced),
    ("max fee per blob gas less than block blob gas fee: address 0x1", Underpriced),
    ("gas uint64 overflow", RejectedByNode),
    ("nonce has max value: address 0x1, nonce: 18446744073709551615", RejectedByNode),
    ("gas required exceeds allowance (21000)", RejectedByNode),
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
# Nethermind.TxPool/AcceptTxResult.cs before and TxPoolErrorMessages.cs since 2026.
NETHERMIND = [
    ("AlreadyKnown", AlreadyKnown),
    ("FailedToResolveSender", RejectedByNode),
    ("FeeTooLow, EffectivePriorityFeePerGas needs to be higher than 5", Underpriced),
    ("FeeTooLowToCompete", Underpriced),
    ("GasLimitExceeded, Gas limit: 30000000, gas limit of rejected tx: 5", GasLimitTooHigh),
    ("InsufficientFunds, Account balance: 0, cumulative cost: 5", InsufficientFunds),
    ("Int256Overflow", RejectedByNode),
    ("Invalid, InvalidTxSignature: Signature is invalid.", RejectedByNode),
    ("NonceGap, Future nonce. Expected nonce: 5", NonceTooHigh),
    ("OldNonce, Current nonce: 5, nonce of rejected tx: 3", NonceTooLow),
    ("ReplacementNotAllowed", ReplacementUnderpriced),
    ("SenderIsContract", RejectedByNode),
    ("PendingTxsOfOtherType", AlreadyReserved),
    ("PendingTxsOfConflictingType", AlreadyReserved),
    ("NonceTooFarInFuture", NonceTooHigh),
    ("NotSupportedTxType", RejectedByNode),
    ("NotCurrentNonceForDelegation", NonceTooHigh),
    ("DelegatorHasPendingTx", AlreadyReserved),
    ("already known", AlreadyKnown),
    ("transaction underpriced, needs 5", Underpriced),
    ("replacement transaction underpriced", ReplacementUnderpriced),
    ("gas limit reached", GasLimitTooHigh),
    ("insufficient funds for gas * price + value", InsufficientFunds),
    ("nonce too high", NonceTooHigh),
    ("nonce too low", NonceTooLow),
    ("sender not an eoa", RejectedByNode),
    ("failed to recover sender", RejectedByNode),
    ("transaction cost overflow", RejectedByNode),
    ("transaction invalid", RejectedByNode),
    ("nonce too far in future", NonceTooHigh),
    ("pending transaction type conflict", AlreadyReserved),
    ("unsupported transaction type", RejectedByNode),
    ("transaction too large", RejectedByNode),
    ("delegation nonce gap", NonceTooHigh),
    ("delegation authority has pending transaction", AlreadyReserved),
]
# Besu jsonrpc/internal/response/RpcErrorType.java.
BESU = [
    ("Known transaction", AlreadyKnown),
    ("Replacement transaction underpriced", ReplacementUnderpriced),
    ("Nonce too low", NonceTooLow),
    ("Invalid signature", RejectedByNode),
    ("Invalid transaction type", RejectedByNode),
    ("Intrinsic gas exceeds gas limit", RejectedByNode),
    ("Upfront cost exceeds account balance", InsufficientFunds),
    ("Transaction gas limit exceeds block gas limit", GasLimitTooHigh),
    ("Nonce too high", NonceTooHigh),
    ("Sender account not authorized to send transactions", RejectedByNode),
    ("Gas price below configured minimum gas price", Underpriced),
    ("Gas price below current base fee", Underpriced),
    ("blob gas price below current blob base fee", Underpriced),
    ("Wrong chainId", RejectedByNode),
    ("ChainId not supported", RejectedByNode),
    ("ChainId is required", RejectedByNode),
    ("Transaction fee cap exceeded", RejectedByNode),
    ("Max priority fee per gas exceeds max fee per gas", RejectedByNode),
    ("Transaction nonce is too distant from current sender nonce", NonceTooHigh),
    ("An invalid transaction with a lower nonce exists", NonceTooHigh),
    ("Total blob gas too high", RejectedByNode),
    ("Invalid blob count (blob transactions must have at least one blob)", RejectedByNode),
    ("Plugin has marked the transaction as invalid", RejectedByNode),
]
# Erigon txnprovider/txpool/txpoolcfg/txpoolcfg.go, as its RPC daemon wraps them.
ERIGON = [
    ("already known", AlreadyKnown),
    ("replaced by transaction with higher tip", ReplacementUnderpriced),
    ("underpriced", Underpriced),
    ("replacement transaction underpriced", ReplacementUnderpriced),
    ("fee too low", Underpriced),
    ("oversized data", RejectedByNode),
    ("invalid sender", RejectedByNode),
    ("negative value", RejectedByNode),
    ("spammer", AccountLimit),
    ("pending sub-pool is full", PoolFull),
    ("baseFee sub-pool is full", PoolFull),
    ("queued sub-pool is full", PoolFull),
    ("GasUintOverflow", RejectedByNode),
    ("IntrinsicGas", RejectedByNode),
    ("RLPTooLong", RejectedByNode),
    ("nonce too low", NonceTooLow),
    ("insufficient funds", InsufficientFunds),
    ("could not replace existing tx", ReplacementUnderpriced),
    ("INTERNAL_ERROR: existing tx with same hash", AlreadyKnown),
    ("existing txn with same hash", AlreadyKnown),
    ("initcode too large", RejectedByNode),
    ("fork supporting this transaction type is not activated yet", RejectedByNode),
    (
        "EIP-4844 & 7702 transactions cannot have the form of a create transaction",
        RejectedByNode,
    ),
    ("blob transactions must have at least one blob", RejectedByNode),
    ("max number of blobs exceeded", RejectedByNode),
    ("can't replace blob-txn with a non-blob-txn", AlreadyReserved),
    ("blobs limit in txpool is full", PoolFull),
    ("EIP-7702 transactions with an empty authorization list are invalid", RejectedByNode),
    ("gas limit is too high", GasLimitTooHigh),
    ("KZGcommitments must match the corresponding blobs and proofs", RejectedByNode),
    ("EIP-7702 transaction with authority already reserved", AlreadyReserved),
]
# What our own pool's refusals mean for a lane; every other reason there ends the request.
MEANT = {
    Reason.ALREADY_KNOWN: AlreadyKnown,
    Reason.NONCE_TOO_LOW: NonceTooLow,
    Reason.BLOB_NONCE_GAP: NonceTooHigh,
    Reason.DELEGATED_GAP: NonceTooHigh,
    Reason.FUTURE_REPLACES_PENDING: NonceTooHigh,
    Reason.MINIMUM_TIP: Underpriced,
    Reason.MINIMUM_FEE_CAP: Underpriced,
    Reason.MINIMUM_BLOB_FEE: Underpriced,
    Reason.POOL_UNDERPRICED: Underpriced,
    Reason.REPLACEMENT: ReplacementUnderpriced,
    Reason.BLOB_REPLACEMENT: ReplacementUnderpriced,
    Reason.BLOB_REPLACEMENT_EQUAL: ReplacementUnderpriced,
    Reason.FUNDS: InsufficientFunds,
    Reason.OVERDRAFT: InsufficientFunds,
    Reason.REPLACEMENT_OVERDRAFT: InsufficientFunds,
    Reason.BLOB_OVERDRAFT: InsufficientFunds,
    Reason.POOL_FULL: PoolFull,
    Reason.ACCOUNT_SLOTS: PoolFull,
    Reason.BLOB_ACCOUNT_SLOTS: AccountLimit,
    Reason.DELEGATED_LIMIT: AccountLimit,
    Reason.OTHER_TYPE_POOLED: AlreadyReserved,
    Reason.AUTHORITY_BUSY: AlreadyReserved,
    Reason.GAS_ABOVE_BLOCK: GasLimitTooHigh,
    Reason.GAS_ABOVE_CAP: GasLimitTooHigh,
}
POOLS = [
    (refusal.text, MEANT.get(reason, RejectedByNode))
    for rules in (GETH_RULES, RETH_RULES, STRICT_RULES)
    for reason, refusal in rules.refusals.items()
]
KNOWN: list[tuple[str, type[RejectedByNode]]] = [
    *GETH,
    *RETH,
    *ANVIL,
    *NETHERMIND,
    *BESU,
    *ERIGON,
    *POOLS,
]


@pytest.mark.parametrize(("message", "expected"), sorted(set(KNOWN), key=str))
def test_no_text_of_the_table_means_something_else_too(
    message: str, expected: type[RejectedByNode]
) -> None:
    """Each text is known to the rows of one class only, so the rows' order decides nothing."""
    assert [expected] == meanings(message)


def test_what_is_put_around_a_text_does_not_change_it() -> None:
    """300 random texts, codes, prefixes and letter cases: the class stays that of the text."""
    seed = secrets.randbits(64)
    print("seed", seed)
    rng = random.Random(seed)
    prefixes = ("", "err: ", "RPC error -32603: ", "Internal error: ", "[0xabcd]: ")
    for _ in range(300):
        message, expected = rng.choice(KNOWN)
        if message[0].islower():
            message = rng.choice((message, message.capitalize()))
        prefix = "" if message.startswith("Invalid,") else rng.choice(prefixes)
        code = rng.choice((-32000, -32603, -32003, -32010, 0, 4001))

        error = classify(code, prefix + message, rng.choice((None, "0x", {})))
        assert expected is type(error), (seed, message)


def test_every_text_that_a_contract_quotes_is_a_revert() -> None:
    """F28: in each client's words for a revert, any text of the table is the contract's."""
    for message, _ in KNOWN:
        for code, said in (
            (3, f"execution reverted: {message}"),
            (-32000, f"execution reverted: {message}"),
            (-32000, f"Execution reverted: {message}"),
            (-32603, f"VM Exception while processing transaction: revert {message}"),
            (-32603, f"VM Exception: reverted with reason string '{message}'"),
            (3, message),
        ):
            error = classify(code, said)

            assert isinstance(error, CallReverted), said
            assert message == error.reason


def test_a_revert_in_the_data_only_is_a_revert() -> None:
    """Nethermind says "VM execution error." and puts the revert, in words, into the data."""
    data = "0x08c379a0" + word(32) + word(2) + "6e6f" + "00" * 30

    error = classify(-32015, "VM execution error.", f"Reverted {data}")

    assert isinstance(error, CallReverted)
    assert ("no", data) == (error.reason, error.data)


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        (-32603, "nonce too low", NonceTooLow),  # the code says "internal error"
        (-32603, "Internal error: already known", AlreadyKnown),
        (-32000, "unknown transaction", RpcError),  # contains "known transaction"
        (-32000, "Unknown transaction", RpcError),
        (-32000, "Transaction not found", RpcError),
        (-32000, "authority nonce too low", RejectedByNode),  # contains "nonce too low"
        (-32005, "limit exceeded", RpcError),  # of a provider, not of a pool
        (-32005, "daily request count exceeded, request rate limited", RpcError),
        (-32005, "Number of requests exceeds max batch size", RpcError),
        (-32602, "Invalid params", RpcError),
        (-32601, "the method eth_sendRawTransaction does not exist/is not available", RpcError),
        (-32000, "missing trie node 0xabc (path )", RpcError),
        (-32002, "Transaction pool not enabled. (Either txpool explicitly disabled)", RpcError),
        (-32000, "node is syncing", RpcError),
        (-32000, "", RpcError),
    ],
)
def test_the_pitfalls_of_other_tables(code: int, message: str, expected: type[Exception]) -> None:
    """Codes mislead and texts contain each other; each case that cost somebody a nonce is a row."""
    assert expected is type(classify(code, message))


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
