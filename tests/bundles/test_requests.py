from typing import Any

import msgspec
import orjson
import pytest

from tests.bundles.dialects import PAYEE, UUID, everything, full, load, plain
from toolkit.bundles.profiles import PROFILES, RefundFields, UuidForm
from toolkit.bundles.requests import bundle_request, cancel_private_request, cancel_request
from toolkit.model.bundle import Refund
from toolkit.model.chain import Hash
from toolkit.model.errors import RelayRejected

DIALECTS = [name for name, row in PROFILES.items() if row.host]
SOME_HASH = Hash("0x" + "ab" * 32)
UUID_V5 = "d9a3ae52-79a2-5ce9-a687-e2aa4183d5c6"


async def test_every_dialect_sends_its_golden_bytes() -> None:
    """Each request of each builder is byte for byte what is committed, signature included."""
    assert load() == await everything()


def test_unset_fields_are_left_out() -> None:
    """A bundle with nothing but its block has two fields: nothing is null, zero or empty."""
    for name in DIALECTS:
        (fields,) = _objects(bundle_request(plain(), PROFILES[name]).params)

        assert 2 == len(fields), name
        assert all(fields.values()), name


def test_every_option_has_its_field() -> None:
    """What a dialect has a word for is written, each once."""
    for name in DIALECTS:
        profile = PROFILES[name]
        (fields,) = _objects(bundle_request(full(profile), profile).params)
        words = [
            value
            for field, value in msgspec.structs.asdict(profile.dialect).items()
            if field.endswith("_field") and not field.startswith(("state", "private")) and value
        ]
        refund = profile.dialect.refund
        if refund is not None:
            words += [one for one in (refund.percent, refund.recipient, refund.hashes) if one]

        assert sorted(words) == sorted(fields), name


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("flashbots", {"dropping_hashes": (SOME_HASH,)}, "flashbots does not know dropping hashes"),
        ("flashbots", {"replacement_nonce": 1}, "does not know a replacement nonce"),
        ("flashbots", {"refund": Refund(percent=9)}, "does not know a refund"),
        ("flashbots", {"replacement_uuid": "abc"}, "wants a uuid, not 'abc'"),
        ("titan", {"builders": ("rsync",)}, "titan does not know builders"),
        ("titan", {"refund": Refund(percent=9, tx_hashes=(SOME_HASH,) * 2)}, "on 1 tr.*not on 2"),
        ("rsync", {"replacement_uuid": UUID_V5}, "wants a uuid v4, and d9a3ae52"),
        ("rsync", {"refund": Refund(percent=9)}, "discards a refund without a recipient"),
        ("mevblocker", {"reverting_hashes": (SOME_HASH,)}, "does not know reverting hashes"),
        ("bloxroute", {"refund": Refund(percent=9)}, "does not know a refund"),
        (
            "builder0x69",
            {"refund": Refund(percent=9, tx_hashes=(SOME_HASH,))},
            "does not know a refund by transactions",
        ),
    ],
)
def test_what_a_dialect_cannot_say_is_refused(
    name: str, options: dict[str, Any], words: str
) -> None:
    """A bundle that a builder would misread or quietly drop is refused in one line, unsent."""
    bundle = msgspec.structs.replace(plain(), **options)

    with pytest.raises(RelayRejected, match=words) as caught:
        bundle_request(bundle, PROFILES[name])

    assert name == caught.value.relay
    assert bundle.transactions[0][2:60] not in str(caught.value)


def test_too_much_is_refused_with_its_size() -> None:
    """101 transactions, or 300,001 bytes, are refused; 100 and 300,000 are not."""
    profile, bundle = PROFILES["flashbots"], plain()
    many = msgspec.structs.replace(bundle, transactions=bundle.transactions * 51)
    hundred = msgspec.structs.replace(many, transactions=many.transactions[:100])
    fitting = msgspec.structs.replace(bundle, transactions=("0x" + "00" * 300_000,))
    large = msgspec.structs.replace(bundle, transactions=("0x" + "00" * 300_001,))

    bundle_request(hundred, profile)
    bundle_request(fitting, profile)
    with pytest.raises(RelayRejected, match="takes 100 transactions in a bundle, not 101"):
        bundle_request(msgspec.structs.replace(many, transactions=many.transactions[:101]), profile)
    with pytest.raises(RelayRejected, match="takes 300000 bytes in a bundle, not 300001"):
        bundle_request(large, profile)


def test_backrun_needs_a_target() -> None:
    """Where a bundle follows the builder's own pending transaction, one alone is refused."""
    bundle = plain()
    alone = msgspec.structs.replace(bundle, transactions=bundle.transactions[:1])

    with pytest.raises(RelayRejected, match="put its target first"):
        bundle_request(alone, PROFILES["mevblocker"])


def test_withdrawal_is_as_the_bundle_was() -> None:
    """A builder without cancellations, uuids or private withdrawals refuses in its own name."""
    silent = msgspec.structs.replace(
        PROFILES["titan"],
        dialect=msgspec.structs.replace(PROFILES["titan"].dialect, cancel_method=None),
    )
    nameless = msgspec.structs.replace(
        PROFILES["titan"],
        dialect=msgspec.structs.replace(PROFILES["titan"].dialect, uuid_field=None),
    )

    with pytest.raises(RelayRejected, match="titan does not cancel bundles"):
        cancel_request(UUID, silent)
    with pytest.raises(RelayRejected, match="titan does not know a replacement uuid"):
        cancel_request(UUID, nameless)
    with pytest.raises(RelayRejected, match="titan does not take transactions back"):
        cancel_private_request(SOME_HASH, PROFILES["titan"])
    with pytest.raises(RelayRejected, match="rsync wants a uuid v4"):
        cancel_request("not-a-uuid", PROFILES["rsync"])


def test_dialects_differ_only_as_data() -> None:
    """A dialect is a value: it can be made anew, compared, and serve as a key."""
    dialect = PROFILES["rsync"].dialect
    again = msgspec.structs.replace(
        dialect, refund=RefundFields(most_hashes=None, recipient_required=True)
    )

    assert dialect == again
    assert hash(dialect) == hash(again)
    assert UuidForm.UUID_V4 is again.uuid_form
    assert 8 <= len({PROFILES[name].dialect for name in DIALECTS})


def test_nothing_private_is_shown() -> None:
    """A request is shown by its method; its parameters hold private transactions."""
    request = bundle_request(full(PROFILES["titan"]), PROFILES["titan"])

    assert "Request(eth_sendBundle)" == repr(request)
    assert PAYEE in orjson.dumps(request.params).decode()


def _objects(params: list[Any] | dict[str, Any]) -> list[dict[str, Any]]:
    return params if isinstance(params, list) else [params]
