"""What makes several nodes' answers one answer: the rule of each method, as a table."""

from collections.abc import Callable, Hashable, Sequence
from enum import Enum
from typing import Any

import msgspec
import orjson

from toolkit.chain import answers, wire
from toolkit.model.errors import ConfigError, NodeError

MOVING_TAGS = frozenset({"latest", "pending", "safe", "finalized"})


class Kind(Enum):
    """How an answer is chosen."""

    SAME = "same"  # a quorum gives the same answer
    HEAD = "head"  # the highest block that a quorum has, with one hash
    REACHED = "reached"  # the highest number that a quorum says at least
    FIRST = "first"  # the first node that answers: nothing is decided by it
    BROADCAST = "broadcast"  # all are told; one that accepts is enough


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """The rule of one method; `reason` says why it is this one."""

    kind: Kind
    reason: str
    key: Callable[[Any], Hashable]  # equal where answers mean the same
    block: int | None = None  # the parameter that names a block; a moving tag may be pinned
    blend: Callable[[Sequence[Any]], Any] | None = None  # of answers that mean the same


def canonical(answer: Any) -> Hashable:
    """Any JSON, whatever the order of its fields and the case of its hex."""
    return orjson.dumps(_lower(answer), option=orjson.OPT_SORT_KEYS)


def number(answer: Any) -> Hashable:
    """A quantity by its value: one client writes 0x0, another 0x00."""
    return answers.quantity(answer)


def block(answer: Any) -> Hashable:
    """A block by its header as we read it and what its transactions do."""
    if answer is None:
        return None
    with answers.expecting("a block"):
        return answers.head(answer), tuple(_entry(one) for one in answer.get("transactions", ()))


def receipt(answer: Any) -> Hashable:
    """A receipt by what we read of it: clients add fields of their own."""
    return None if answer is None else answers.receipt(answer)


def receipts(answer: Any) -> Hashable:
    """A block's receipts, by what we read of them."""
    if answer is None:
        return None
    with answers.expecting("a block's receipts"):
        return tuple(answers.receipt(one) for one in answer)


def logs(answer: Any) -> Hashable:
    """Logs by what we read of them."""
    with answers.expecting("logs"):
        return tuple(answers.log(one) for one in answer)


def transaction(answer: Any) -> Hashable:
    """A transaction by what it does and the block that it is in, if it is in one."""
    if answer is None:
        return None
    with answers.expecting("a transaction"):
        return _entry(answer), str(answer.get("blockHash")).lower()


def base_fees(answer: Any) -> Hashable:
    """A fee history by its exact part: the tips are each client's own percentiles."""
    with answers.expecting("a fee history"):
        fees = tuple(answers.quantity(fee) for fee in answer["baseFeePerGas"])
        return answers.quantity(answer["oldestBlock"]), fees


def middle_tips(histories: Sequence[Any]) -> Any:
    """The first history with each tip the middle one (the lower of two) of all that have it."""
    rows = [history.get("reward") or [] for history in histories]
    shapes = {tuple(len(row) for row in rewards) for rewards in rows}
    if len(rows) == 1 or len(shapes) != 1:
        return histories[0]
    with answers.expecting("a fee history"):
        tips = [
            [
                hex(sorted(answers.quantity(tip) for tip in same)[(len(rows) - 1) // 2])
                for same in zip(*block_rows, strict=True)
            ]
            for block_rows in zip(*rows, strict=True)
        ]
    return {**histories[0], "reward": tips}


def _state(at: int, key: Callable[[Any], Hashable] = canonical) -> Rule:
    why = "as of one block all honest nodes say the same; one that lags does not have the block"
    return Rule(kind=Kind.SAME, reason=why, key=key, block=at)


def _same(reason: str, key: Callable[[Any], Hashable] = canonical) -> Rule:
    return Rule(kind=Kind.SAME, reason=reason, key=key)


def _first(reason: str) -> Rule:
    return Rule(kind=Kind.FIRST, reason=reason, key=canonical)


def _reached(reason: str) -> Rule:
    return Rule(kind=Kind.REACHED, reason=reason, key=number)


_PENDING_COUNT = _reached(
    "each node counts its own pool: one that lags must not give a nonce out again, nor one that"
    " lies skip some"
)
_ANY_READ = _same("a read that we do not know better is believed when a quorum says the same")
RULES: dict[str, Rule] = {
    "eth_blockNumber": Rule(
        kind=Kind.HEAD,
        reason="the head's own number, not the highest that somebody claims",
        key=number,
    ),
    "eth_getBlockByNumber": Rule(
        kind=Kind.HEAD,
        reason="a head that only one node has may be a lie, or be gone in the next second",
        key=block,
        block=0,
    ),
    "eth_getBlockByHash": _same("a hash names one block, but not everybody tells it truly", block),
    "eth_getBalance": _state(1, number),
    "eth_getTransactionCount": _state(1, number),
    "eth_getCode": _state(1),
    "eth_getStorageAt": _state(2, answers.word),
    "eth_getProof": _state(2),
    "eth_call": _state(1),
    "eth_simulateV1": _state(1),
    "eth_createAccessList": _state(1),
    "debug_traceCall": _state(1),
    "eth_feeHistory": Rule(
        kind=Kind.SAME,
        reason="base fees are exact; tips are estimates, and the middle one is nobody's lie",
        key=base_fees,
        block=1,
        blend=middle_tips,
    ),
    "eth_getBlockReceipts": _state(0, receipts),
    "eth_getTransactionReceipt": _same(
        "an end is reported by it: one node's word, or its silence, is not enough", receipt
    ),
    "eth_getTransactionByHash": _same(
        "mined when a quorum has it in the same block, and unknown when a quorum has it nowhere",
        transaction,
    ),
    "eth_getLogs": _same("a log that is missing or made up would be acted upon", logs),
    "eth_estimateGas": _reached("clients search differently; too little gas fails on chain"),
    "eth_gasPrice": _reached("an estimate: no node alone can raise it"),
    "eth_maxPriorityFeePerGas": _reached("an estimate: no node alone can raise it"),
    "eth_blobBaseFee": _reached("of each node's own newest block"),
    "web3_clientVersion": _first("nodes of different makers are what one wants"),
    "net_peerCount": _first("each node's own"),
    "net_listening": _first("each node's own"),
    "eth_syncing": _first("each node's own"),
    "eth_accounts": _first("each node's own"),
    "anvil_nodeInfo": _first("each node's own"),
    "hardhat_metadata": _first("each node's own"),
    "txpool_status": _first("each node has its own pool"),
    "txpool_content": _first("each node has its own pool"),
    "txpool_contentFrom": _first("each node has its own pool"),
    "txpool_inspect": _first("each node has its own pool"),
    "eth_sendRawTransaction": Rule(
        kind=Kind.BROADCAST,
        reason="whoever takes it makes it known; a refusal counts when a quorum refuses",
        key=canonical,
    ),
}


def rule_of(method: str, params: Sequence[Any]) -> Rule:
    """The rule of a request.

    Raises:
        ConfigError: it changes or needs one node's own state (a filter, mining, an account).
    """
    if method == "eth_getTransactionCount" and tag_of(RULES[method], params) == "pending":
        return _PENDING_COUNT
    rule = RULES.get(method)
    if rule is not None:
        return rule
    if not wire.is_idempotent(method):
        raise ConfigError(
            f"{method} is refused over several nodes: it acts on one node's own state; connect to"
            f" that node alone for it"
        )
    return _ANY_READ


def tag_of(rule: Rule, params: Sequence[Any]) -> str | None:
    """The moving tag that a request names, or means by leaving its block out."""
    if rule.block is None:
        return None
    named = params[rule.block] if len(params) > rule.block else "latest"
    return named if isinstance(named, str) and named in MOVING_TAGS else None


def pinned(rule: Rule, params: Sequence[Any], height: int) -> list[Any]:
    """The same request about the block of this number."""
    assert rule.block is not None
    given = list(params[: rule.block])
    return [*given, hex(height), *params[rule.block + 1 :]]


def unmined(found: Any) -> Any:
    """A transaction that a quorum knows, but not in one block: known, and in none yet."""
    nowhere = {"blockHash": None, "blockNumber": None, "transactionIndex": None}
    return {**found, **nowhere}


def same_transaction(answer: Any) -> Hashable:
    """As `transaction`, wherever it is."""
    return transaction({**answer, "blockHash": None}) if isinstance(answer, dict) else None


def _entry(one: Any) -> Hashable:
    """A block's entry: a hash, or a whole transaction by what it does."""
    if isinstance(one, str):
        return one.lower()
    named = ("hash", "from", "nonce", "to", "value", "input")
    signed = tuple(map(answers.authorization, one.get("authorizationList") or ()))
    return *(str(one.get(name)).lower() for name in named), signed


def _lower(value: Any) -> Any:
    match value:
        case str():
            return value.lower() if value.startswith(("0x", "0X")) else value
        case list():
            return [_lower(one) for one in value]
        case dict():
            return {name: _lower(one) for name, one in value.items()}
    return value


def key_or_error(rule: Rule, answer: Any) -> Hashable | NodeError:
    """The key of an answer; an answer that cannot be one is its node's failure."""
    try:
        return rule.key(answer)
    except NodeError as error:
        return error
