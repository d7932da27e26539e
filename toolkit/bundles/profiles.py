"""Builders and their dialects, as rows of data."""

from enum import Enum
from urllib.parse import urlsplit

import msgspec

from toolkit.bundles.limits import Rate, Rates

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_BUNDLE = "eth_sendBundle"
_RAW = "eth_sendPrivateRawTransaction"
_CANCEL_PRIVATE = "eth_cancelPrivateTransaction"
_DROPPING = "droppingTxHashes"


class Signature(Enum):
    """Whether a builder wants to know who asks, by `X-Flashbots-Signature`."""

    REQUIRED = "required"
    OPTIONAL = "optional"  # signed wherever there is a key: replacement uuids belong to somebody
    NONE = "none"


class UuidForm(Enum):
    """Which texts a builder takes as replacement uuid."""

    TEXT = "text"  # any
    UUID = "uuid"
    UUID_V4 = "uuid v4"


class RefundFields(msgspec.Struct, frozen=True, kw_only=True):
    """How a refund is asked for; `hashes` is None where the last transaction's payment is meant."""

    percent: str = "refundPercent"
    recipient: str = "refundRecipient"
    hashes: str | None = "refundTxHashes"
    most_hashes: int | None = 1
    recipient_required: bool = False


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """How requests are written. Equal dialects share one body and one signature.

    A field that is None is not known there, a method that is None not offered. Where the methods
    to send and to cancel are the same, an empty bundle with the uuid cancels.

    Args:
        listed: whether `params` is a list of one object, or that object itself.
        prefixed: whether raw transactions start with 0x.
        target_by_hash: whether the first transaction is the builder's own pending one, and named
            by its hash.
        builders_mapped: whether builders are keys, each with a signature, instead of a list.
        private_field: None where the parameters are the raw transaction alone.
        most_bytes: of all raw transactions of a bundle together.
    """

    listed: bool = True
    prefixed: bool = True
    target_by_hash: bool = False
    send_method: str = _BUNDLE
    transactions_field: str = "txs"
    block_field: str = "blockNumber"
    reverting_field: str | None = "revertingTxHashes"
    dropping_field: str | None = None
    min_timestamp_field: str | None = "minTimestamp"
    max_timestamp_field: str | None = "maxTimestamp"
    uuid_field: str | None = "replacementUuid"
    uuid_form: UuidForm = UuidForm.TEXT
    nonce_field: str | None = None
    refund: RefundFields | None = None
    builders_field: str | None = None
    builders_mapped: bool = False
    cancel_method: str | None = "eth_cancelBundle"
    simulate_method: str | None = "eth_callBundle"
    state_field: str = "stateBlockNumber"
    private_method: str | None = "eth_sendPrivateTransaction"
    private_field: str | None = "tx"
    private_block_field: str | None = "maxBlockNumber"
    cancel_private_method: str | None = None
    most_transactions: int | None = None
    most_bytes: int | None = None


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """A builder or relay: name, public endpoint, dialect, who it must know, how often it listens.

    `authorized` says that it wants an `Authorization` header, which comes with an account there.
    """

    name: str
    host: str  # of the public endpoint; empty when it has none
    signature: Signature = Signature.REQUIRED
    authorized: bool = False
    dialect: Dialect = Dialect()
    rates: Rates = Rates()

    @property
    def url(self) -> str:
        """The public endpoint, or an empty string."""
        return f"https://{self.host}" if self.host else ""


# Sources: each builder's documentation of eth_sendBundle, as of 2025-11: docs.flashbots.net,
# buildernet.org/docs/api (methods and the nonce's type: buildernet-orderflow-proxy, go-utils),
# docs.titanbuilder.xyz, rsync-builder.xyz/docs, docs.mevblocker.io, docs.bloxroute.com,
# docs.builder0x69.io; beaverbuild.org/docs.html by way of github.com/sigp/ethereum_apis.
PROFILES = {
    row.name: row
    for row in (
        Profile(
            name="flashbots",
            host="relay.flashbots.net",
            dialect=Dialect(
                uuid_form=UuidForm.UUID,
                builders_field="builders",
                cancel_private_method=_CANCEL_PRIVATE,
                most_transactions=100,
                most_bytes=300_000,
            ),
            rates=Rates(
                bundles=Rate(requests=1800, seconds=60),
                cancels=Rate(requests=600, seconds=60),
                simulations=Rate(requests=300, seconds=60),
                others=Rate(requests=120, seconds=60),
            ),
        ),
        Profile(
            name="buildernet",
            host="rpc.buildernet.org",
            dialect=Dialect(
                dropping_field=_DROPPING,
                uuid_form=UuidForm.UUID,
                nonce_field="replacementNonce",
                refund=RefundFields(),
                cancel_method=_BUNDLE,
                simulate_method=None,
                private_method="eth_sendRawTransaction",
                private_field=None,
                most_transactions=100,
            ),
        ),
        Profile(
            name="titan",
            host="rpc.titanbuilder.xyz",
            signature=Signature.OPTIONAL,
            dialect=Dialect(
                dropping_field=_DROPPING,
                nonce_field="replacementSeqNumber",
                refund=RefundFields(),
                simulate_method=None,
            ),
            # 50 a second for all methods together.
            rates=Rates(
                bundles=Rate(requests=35, seconds=1),
                cancels=Rate(requests=10, seconds=1),
                others=Rate(requests=5, seconds=1),
            ),
        ),
        Profile(
            name="rsync",
            host="rsync-builder.xyz",
            signature=Signature.NONE,
            dialect=Dialect(
                dropping_field=_DROPPING,
                uuid_form=UuidForm.UUID_V4,
                refund=RefundFields(most_hashes=None, recipient_required=True),
                simulate_method=None,
                private_method=_RAW,
                private_field=None,
            ),
        ),
        Profile(
            name="beaverbuild",
            host="rpc.beaverbuild.org",
            signature=Signature.NONE,
            dialect=Dialect(
                dropping_field=_DROPPING,
                uuid_field="uuid",
                refund=RefundFields(most_hashes=None),
                cancel_method=_BUNDLE,
                simulate_method=None,
                private_method=_RAW,
                private_field=None,
            ),
        ),
        Profile(
            name="mevblocker",
            host="rpc.mevblocker.io",
            signature=Signature.NONE,
            dialect=Dialect(
                target_by_hash=True,
                reverting_field=None,
                cancel_method=_BUNDLE,
                simulate_method=None,
                private_method=None,
            ),
        ),
        Profile(
            name="bloxroute",
            host="api.blxrbdn.com",
            signature=Signature.NONE,
            authorized=True,
            dialect=Dialect(
                listed=False,
                prefixed=False,
                send_method="blxr_submit_bundle",
                transactions_field="transaction",
                block_field="block_number",
                reverting_field="reverting_hashes",
                dropping_field="dropping_hashes",
                min_timestamp_field="min_timestamp",
                max_timestamp_field="max_timestamp",
                uuid_field="uuid",
                uuid_form=UuidForm.UUID,
                builders_field="mev_builders",
                builders_mapped=True,
                cancel_method="blxr_submit_bundle",
                simulate_method="blxr_simulate_bundle",
                state_field="state_block_number",
                private_method="blxr_private_tx",
                private_field="transaction",
                private_block_field=None,
            ),
        ),
        Profile(
            name="builder0x69",
            host="builder0x69.io",
            signature=Signature.OPTIONAL,
            dialect=Dialect(
                uuid_field="uuid",
                refund=RefundFields(hashes=None),
                cancel_method=_BUNDLE,
                simulate_method=None,
                private_method=None,
            ),
        ),
        Profile(
            name="devnet",
            host="",
            dialect=Dialect(
                dropping_field=_DROPPING,
                nonce_field="replacementNonce",
                refund=RefundFields(),
                builders_field="builders",
                cancel_private_method=_CANCEL_PRIVATE,
            ),
        ),
    )
}


def profile_for(url: str, *, name: str = "") -> Profile:
    """Recognise a builder by its host or domain; an unknown host speaks as Flashbots' relay.

    Several hosts of one builder (regions, test networks) are several relays: all but the one in
    its row are called by their host.

    On loopback everything is the devnet's, where a relay that is called `titan` or `titan-2`
    speaks as Titan, and any other in the devnet's own dialect.
    """
    host = urlsplit(url).hostname or ""
    if host in _LOOPBACK:
        style, _, number = name.rpartition("-")
        known = PROFILES.get(style if number.isdecimal() else name)
        return known or PROFILES["devnet"]
    rows = (row for row in PROFILES.values() if row.host and _in_domain(host, row.host))
    found = next(rows, PROFILES["flashbots"])
    return found if found.host == host else msgspec.structs.replace(found, name=host, host=host)


def _in_domain(host: str, other: str) -> bool:
    """Whether both are of one owner: each builder has a second-level domain of its own."""
    return host.split(".")[-2:] == other.split(".")[-2:]


def is_loopback(url: str) -> bool:
    """Whether the endpoint is on this machine, so that nothing leaves it."""
    return urlsplit(url).hostname in _LOOPBACK
