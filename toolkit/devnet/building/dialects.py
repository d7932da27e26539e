"""Builders as rows of data: what each takes, how it answers, and what goes wrong with it.

The market's own table, on purpose apart from the relay client's: one checks the other.
"""

from collections.abc import Mapping, Sequence
from enum import Enum

import msgspec

from toolkit.devnet.building.failures import FailureMode
from toolkit.devnet.building.refunds import Formula, RefundRule
from toolkit.model.checks import is_finite, require_integer, require_text, shown
from toolkit.model.errors import ConfigError

MAX_BUILDERS = 16
MAX_LATENCY_MS = 60_000


class Operation(Enum):
    """What a method does, whatever a builder calls it."""

    SEND_BUNDLE = "send_bundle"
    CALL_BUNDLE = "call_bundle"
    CANCEL_BUNDLE = "cancel_bundle"
    SEND_PRIVATE = "send_private"
    SEND_PRIVATE_RAW = "send_private_raw"
    CANCEL_PRIVATE = "cancel_private"


class SignatureRule(Enum):
    """Who a request comes from."""

    REQUIRED = "required"  # X-Flashbots-Signature, or nothing is done
    OPTIONAL = "optional"  # the same, but anybody may come without
    NONE = "none"  # the header is not looked at
    AUTHORIZATION = "authorization"  # an Authorization header names an account


class Answer(Enum):
    """What a builder answers to a bundle or a cancellation that it takes."""

    OBJECT = "object"  # {"bundleHash": ...}
    OBJECT_OR_NULL = "object_or_null"  # null for a bundle with a uuid
    STRING = "string"  # the bare hash
    OK = "ok"  # 200
    NULL = "null"
    HASHES = "hashes"  # a list of the hashes that are withdrawn


class UuidForm(Enum):
    """Which replacement uuids a builder takes."""

    TEXT = "text"  # any
    UUID = "uuid"
    UUID_V4 = "uuid_v4"


FLASHBOTS_PER_MINUTE: Mapping[Operation, int] = {
    Operation.SEND_BUNDLE: 1800,
    Operation.CANCEL_BUNDLE: 600,
    Operation.CALL_BUNDLE: 300,
    Operation.SEND_PRIVATE: 120,
    Operation.SEND_PRIVATE_RAW: 120,
    Operation.CANCEL_PRIVATE: 120,
}
"""What Flashbots publish for one address (docs.flashbots.net, rate limits), for `Limits`."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Of one bundle, how many blocks ahead it may aim, and how often who asks may ask.

    `per_minute` is counted by the clock, not by blocks, so that no row has it by itself: what a
    devnet does must not depend on how fast the machine is.
    """

    transactions: int = 100
    size_bytes: int = 300_000
    blocks_ahead: int = 100
    per_minute: Mapping[Operation, int] = {}


_STANDARD = {
    "eth_sendBundle": Operation.SEND_BUNDLE,
    "eth_cancelBundle": Operation.CANCEL_BUNDLE,
    "eth_sendPrivateTransaction": Operation.SEND_PRIVATE,
    "eth_sendPrivateRawTransaction": Operation.SEND_PRIVATE_RAW,
    "eth_cancelPrivateTransaction": Operation.CANCEL_PRIVATE,
}
_SIMULATING = {**_STANDARD, "eth_callBundle": Operation.CALL_BUNDLE}
_BUNDLES = {
    "eth_sendBundle": Operation.SEND_BUNDLE,
    "eth_cancelBundle": Operation.CANCEL_BUNDLE,
}
_BASIC = ("minTimestamp", "maxTimestamp", "revertingTxHashes", "replacementUuid")
_REFUND = ("refundPercent", "refundRecipient", "refundTxHashes", "delayedRefund")
_LATER = ("droppingTxHashes", "replacementNonce", *_REFUND)  # than the first Flashbots relay
_STATISTICS = (
    *("flashbots_getUserStats", "flashbots_getUserStatsV2", "flashbots_getBundleStats"),
    *("flashbots_getBundleStatsV2", "flashbots_getSbundleStats"),
)


class BuilderProfile(msgspec.Struct, frozen=True, kw_only=True):
    """One builder; change a row of `PROFILES` with `msgspec.structs.replace`.

    Args:
        name: also of its relay.
        share: of the slots, relative to the other builders'.
        latency_ms: between a request's arrival and its being looked at.
        failure: what always goes wrong.
        methods: the offered ones, by the names this builder gives them.
        dead_methods: once offered; answered with HTTP 403.
        fields: optional fields of a bundle that it takes, in Flashbots' names.
        renamed: fields of a bundle by its own names, with Flashbots' names for them.
        block_required: otherwise a missing, null, empty or zero block is the next one.
        hex_prefix: whether raw transactions start with 0x, or never do.
        target_hash: whether `txs[0]` may be the hash of a public transaction.
        bare_params: whether `params` is an object instead of a list of one.
        maps_builders: whether builders are named by the keys of an object, not in a list.
        refund: its rule; None where a refund cannot be asked for.
        empty_cancels: whether a uuid with no transactions withdraws its bundle.
        cancel_is_final: whether a withdrawn uuid stays withdrawn, also for what arrives later.
        hash_covers_block: whether the hash it answers is one of transactions and block.
        plain_decode_error: whether a simulation of garbage is answered outside JSON-RPC.

    Raises:
        ConfigError: a name, share or latency that cannot be right.
    """

    name: str
    share: float = 1.0
    latency_ms: int = 0
    failure: FailureMode = FailureMode.NONE
    methods: Mapping[str, Operation] = msgspec.field(default_factory=lambda: _BUNDLES)
    dead_methods: tuple[str, ...] = ()
    fields: tuple[str, ...] = _BASIC
    renamed: Mapping[str, str] = {}
    block_required: bool = True
    hex_prefix: bool = True
    target_hash: bool = False
    bare_params: bool = False
    maps_builders: bool = False
    signature: SignatureRule = SignatureRule.REQUIRED
    uuid_form: UuidForm = UuidForm.TEXT
    refund: RefundRule | None = None
    empty_cancels: bool = True
    cancel_is_final: bool = False
    answer: Answer = Answer.OBJECT
    cancel_answer: Answer = Answer.OK
    hash_covers_block: bool = False
    plain_decode_error: bool = False
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        """Check what a caller may set."""
        require_text("name of a builder", self.name)
        if not is_finite(self.share) or self.share <= 0:
            raise ConfigError(f"share of {self.name} is {shown(self.share)}; give one above 0")
        if not isinstance(self.failure, FailureMode):
            raise ConfigError(f"failure of {self.name} is {shown(self.failure)}; give a mode")
        require_integer(f"latency_ms of {self.name}", self.latency_ms, most=MAX_LATENCY_MS)
        for operation, most in self.limits.per_minute.items():
            if not isinstance(operation, Operation):
                raise ConfigError(f"per_minute of {self.name} has {shown(operation)}; no Operation")
            require_integer(f"{operation.value} per minute of {self.name}", most, least=1)


# Sources: each builder's own page on eth_sendBundle, as of 2025-11; BuilderNet's and the fields
# that Flashbots' page leaves out: go-utils rpctypes, buildernet-orderflow-proxy; MEV Blocker:
# docs.cow.fi; beaverbuild: its page as github.com/sigp/ethereum_apis quotes it.
PROFILES: Mapping[str, BuilderProfile] = {
    row.name: row
    for row in (
        BuilderProfile(
            name="flashbots",
            methods=_SIMULATING,
            dead_methods=_STATISTICS,
            fields=(*_BASIC, "uuid", *_LATER, "builders", "version", "signingAddress"),
            refund=RefundRule(),
            cancel_answer=Answer.HASHES,
            plain_decode_error=True,
        ),
        BuilderProfile(
            name="buildernet",
            methods={**_BUNDLES, "eth_sendRawTransaction": Operation.SEND_PRIVATE_RAW},
            fields=(*_BASIC, "uuid", *_LATER, "version", "signingAddress"),
            block_required=False,
            uuid_form=UuidForm.UUID,
            refund=RefundRule(),
            cancel_is_final=True,
        ),
        BuilderProfile(
            name="titan",
            methods=_STANDARD,
            fields=(*_BASIC, *_LATER),
            renamed={"replacementSeqNumber": "replacementNonce"},
            block_required=False,
            signature=SignatureRule.OPTIONAL,
            refund=RefundRule(),
        ),
        BuilderProfile(
            name="rsync",
            methods={**_BUNDLES, "eth_sendPrivateRawTransaction": Operation.SEND_PRIVATE_RAW},
            fields=(*_BASIC, "droppingTxHashes", *_REFUND),
            block_required=False,
            signature=SignatureRule.NONE,
            uuid_form=UuidForm.UUID_V4,
            refund=RefundRule(most_percent=100, most_hashes=None, recipient_required=True),
            answer=Answer.NULL,
            cancel_answer=Answer.NULL,
        ),
        BuilderProfile(
            name="beaverbuild",
            methods={**_BUNDLES, "eth_sendPrivateRawTransaction": Operation.SEND_PRIVATE_RAW},
            fields=(*_BASIC, "uuid", "droppingTxHashes", *_REFUND),
            block_required=False,
            signature=SignatureRule.NONE,
            refund=RefundRule(formula=Formula.SHARED_NET, most_hashes=None),
        ),
        BuilderProfile(
            name="mevblocker",
            methods={"eth_sendBundle": Operation.SEND_BUNDLE},
            signature=SignatureRule.NONE,
            target_hash=True,
        ),
        BuilderProfile(
            name="bloxroute",
            methods={"blxr_submit_bundle": Operation.SEND_BUNDLE},
            fields=(*_BASIC, "droppingTxHashes", "builders"),
            renamed={
                "transaction": "txs",
                "block_number": "blockNumber",
                "min_timestamp": "minTimestamp",
                "max_timestamp": "maxTimestamp",
                "reverting_hashes": "revertingTxHashes",
                "dropping_hashes": "droppingTxHashes",
                "uuid": "replacementUuid",
                "mev_builders": "builders",
            },
            hex_prefix=False,
            bare_params=True,
            maps_builders=True,
            signature=SignatureRule.AUTHORIZATION,
            uuid_form=UuidForm.UUID,
            answer=Answer.OBJECT_OR_NULL,
        ),
        BuilderProfile(
            name="builder0x69",
            fields=(*_BASIC, "uuid", *_REFUND),
            signature=SignatureRule.OPTIONAL,
            refund=RefundRule(kept_when_small=True),
        ),
        BuilderProfile(
            name="jetbldr",
            fields=(*_BASIC, *_REFUND),
            signature=SignatureRule.OPTIONAL,
            empty_cancels=False,
            refund=RefundRule(kept_when_small=True),
            hash_covers_block=True,
        ),
        BuilderProfile(
            name="blink",
            block_required=False,
            signature=SignatureRule.NONE,
            target_hash=True,
            answer=Answer.STRING,
        ),
    )
}


def builder_profiles(wanted: int | Sequence[str | BuilderProfile]) -> tuple[BuilderProfile, ...]:
    """Read who is to build: a number of builders in Flashbots' style, or names and rows.

    A name that comes again gets a number: titan, titan-2.

    Raises:
        ConfigError: no such builder, two of one name, none at all, or more than `MAX_BUILDERS`.
    """
    if type(wanted) is int:
        _check_count(wanted)
        row = PROFILES["flashbots"]
        return tuple(
            msgspec.structs.replace(row, name=f"builder-{number}")
            for number in range(1, wanted + 1)
        )
    if isinstance(wanted, str) or not isinstance(wanted, Sequence):
        raise ConfigError(f"builders is {shown(wanted)}; give a number, or names and profiles")
    _check_count(len(wanted))
    found: dict[str, BuilderProfile] = {}
    for each in wanted:
        row = each if isinstance(each, BuilderProfile) else _row(each)
        count = sum(other == each for other in wanted[: len(found)])
        if count:
            row = msgspec.structs.replace(row, name=f"{row.name}-{count + 1}")
        if row.name in found:
            raise ConfigError(f"two builders are called {row.name}; give each a name of its own")
        found[row.name] = row
    return tuple(found.values())


def _check_count(count: int) -> None:
    if not 1 <= count <= MAX_BUILDERS:
        raise ConfigError(f"builders {shown(count)} is not between 1 and {MAX_BUILDERS}")


def _row(name: object) -> BuilderProfile:
    row = PROFILES.get(name) if isinstance(name, str) else None
    if row is None:
        raise ConfigError(f"builders names {shown(name)}; there are {', '.join(sorted(PROFILES))}")
    return row
