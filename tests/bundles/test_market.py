"""Our dialects at the devnet's builders, whose own table is written apart from ours."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from tests.bundles.dialects import BLOCK, KEY, UUID, full, plain, transactions
from toolkit.bundles.auth import RelayAuth
from toolkit.bundles.hashes import bundle_hash
from toolkit.bundles.profiles import PROFILES
from toolkit.bundles.relay import Relay
from toolkit.bundles.uuids import uuid_v1, uuid_v2
from toolkit.chain.rpc import open_rpc
from toolkit.chain.signer import LocalSigner
from toolkit.devnet.builders import Builder
from toolkit.devnet.building.dialects import PROFILES as MARKET
from toolkit.devnet.building.failures import FailureMode
from toolkit.devnet.building.relay_server import serve_relay
from toolkit.model.bundle import Bundle
from toolkit.model.chain import ZERO_ADDRESS, Address, Hash, Head
from toolkit.model.errors import RelayError, RelayRejected, RelayUnavailable

BUILDERS = [name for name, row in PROFILES.items() if row.host]
BY_PRIVATE_TRANSACTION = ["flashbots", "buildernet", "titan", "rsync", "beaverbuild"]
HEAD = Head(
    number=BLOCK - 1,
    hash=Hash("0x" + "01" * 32),
    parent_hash=Hash("0x" + "02" * 32),
    timestamp=1_730_000_000,
    base_fee_per_gas=10**9,
    gas_limit=30_000_000,
    gas_used=0,
)


@asynccontextmanager
async def at_the_market(name: str) -> AsyncIterator[tuple[Relay, Builder]]:
    """One builder of the devnet, and our client that speaks as that builder's row says."""
    public = {one.hash: one for one in transactions()}
    builder = Builder(
        name=name,
        fee_recipient=Address("0x" + "fe" * 20),
        rpc=open_rpc("http://127.0.0.1:1"),  # no simulation is asked for
        head=HEAD,
        profile=MARKET[name],
        known=public.get,
    )
    server = await serve_relay(builder)
    relay = Relay(
        server.url, name=name, auth=RelayAuth(LocalSigner(KEY)), authorization="account:secret"
    )
    try:
        yield relay, builder
    finally:
        await relay.close()
        await server.close()


def asked_for(name: str) -> Bundle:
    """The bundle with every option of a dialect, which drops one of its own transactions."""
    bundle = full(PROFILES[name])
    dropping = bundle.hashes[1:] if bundle.dropping_hashes else ()
    return msgspec.structs.replace(bundle, dropping_hashes=dropping)


@pytest.mark.parametrize("name", BUILDERS)
async def test_builder_understands_the_whole_bundle(name: str) -> None:
    """Each option of each dialect arrives as it was meant, and so does the submission's name."""
    bundle = asked_for(name)
    async with at_the_market(name) as (relay, builder):
        await relay.send_bundle(bundle)
        (order,) = builder.orders()

    assert bundle.transactions == tuple(one.raw for one in order.transactions)
    assert bundle.target_block == order.first_block == order.last_block
    assert set(bundle.reverting_hashes) == order.reverting
    assert set(bundle.dropping_hashes) == order.dropping
    assert bundle.min_timestamp == order.min_timestamp
    assert bundle.max_timestamp == order.max_timestamp
    assert bundle.replacement_uuid == order.replacement_uuid
    assert bundle.replacement_nonce == order.replacement_nonce
    assert bundle.builders == order.builders
    assert (bundle.refund is None) is (order.refund is None)
    assert order.uuid in {str(uuid_v1(bundle)), str(uuid_v2(bundle))}
    if bundle.refund is not None and order.refund is not None:
        assert bundle.refund.percent == order.refund.percent
        assert bundle.refund.recipient == order.refund.recipient


@pytest.mark.parametrize("name", BUILDERS)
async def test_builder_understands_the_cancellation(name: str) -> None:
    """What was sent with a uuid is withdrawn by it, in each dialect's own way."""
    async with at_the_market(name) as (relay, builder):
        await relay.send_bundle(asked_for(name))
        before = len(builder.orders())
        await relay.cancel_bundle(UUID)

        assert (1, ()) == (before, builder.orders())


@pytest.mark.parametrize("name", BY_PRIVATE_TRANSACTION)
async def test_builder_takes_single_transactions(name: str) -> None:
    """A private transaction arrives whole, with its bound where the dialect has one."""
    one = transactions()[0]
    async with at_the_market(name) as (relay, builder):
        known = await relay.send_private_transaction(one.raw, max_block=BLOCK + 3)
        (order,) = builder.orders()

    assert one.hash == known == order.transactions[0].hash
    assert order.is_private_transaction
    if PROFILES[name].dialect.private_field is not None:
        assert BLOCK + 3 == order.last_block


@pytest.mark.parametrize("name", BUILDERS)
async def test_builders_know_us_by_the_signature_they_want(name: str) -> None:
    """Where a builder looks at signatures, the bundle belongs to our reputation key."""
    async with at_the_market(name) as (relay, builder):
        await relay.send_bundle(plain())
        (order,) = builder.orders()

    known = relay.auth.address if relay.auth else ZERO_ADDRESS
    if not PROFILES[name].authorized:
        assert known == order.owner


@pytest.mark.parametrize(
    ("failure", "expected", "taken"),
    [
        (FailureMode.HANG, RelayUnavailable, 0),
        (FailureMode.LOST, RelayUnavailable, 1),
        (FailureMode.HTTP_500, RelayUnavailable, 0),
        (FailureMode.HTTP_500_TAKEN, RelayUnavailable, 1),
        (FailureMode.HTML, RelayUnavailable, 0),
        (FailureMode.TEXT, RelayRejected, 0),
        (FailureMode.TOO_MANY_REQUESTS, RelayRejected, 0),
        (FailureMode.NULL, None, 1),
        (FailureMode.FORGET, None, 0),
        (FailureMode.LATE, None, 0),
        (FailureMode.WRONG_HASH, None, 1),
    ],
    ids=lambda one: getattr(one, "value", ""),
)
async def test_whatever_goes_wrong_is_told_for_what_it_is(
    failure: FailureMode, expected: type[RelayError] | None, taken: int
) -> None:
    """A refusal is certain: nobody has the bundle. Whatever may have been taken is unavailable."""
    async with at_the_market("titan") as (relay, builder):
        relay.timeout_s = 1 if failure in {FailureMode.HANG, FailureMode.LOST} else 30
        builder.failures.next(failure)
        try:
            await relay.send_bundle(plain())
            said = None
        except RelayError as error:
            said = type(error)

        assert expected is said
        assert taken == len(builder.orders())


@pytest.mark.parametrize("name", ["flashbots", "buildernet", "titan"])
async def test_a_strangers_uuid_withdraws_nothing(name: str) -> None:
    """Who signs with another key cannot cancel or replace our bundle by its uuid."""
    bundle = msgspec.structs.replace(plain(), replacement_uuid=UUID)
    async with at_the_market(name) as (relay, builder):
        stranger = Relay(relay._url, name=name, auth=RelayAuth(LocalSigner("0x" + "99" * 32)))
        await relay.send_bundle(bundle)
        withdrawn = await stranger.cancel_bundle(UUID, target_block=BLOCK)
        await stranger.close()

        assert not withdrawn
        assert [relay.auth and relay.auth.address] == [one.owner for one in builder.orders()]


@pytest.mark.parametrize("name", ["flashbots", "titan"])
async def test_cancelling_what_never_was_is_no_error(name: str) -> None:
    """A cancellation before its bundle, or twice, is answered; the relay object stays usable."""
    async with at_the_market(name) as (relay, builder):
        early = await relay.cancel_bundle(UUID)
        await relay.send_bundle(msgspec.structs.replace(plain(), replacement_uuid=UUID))
        first, second = await relay.cancel_bundle(UUID), await relay.cancel_bundle(UUID)

        assert not early
        assert not second
        assert first == ((bundle_hash(plain().hashes),) if name == "flashbots" else None)
        assert () == builder.orders()


@pytest.mark.parametrize(
    "raw", ["0x", "0x00", "0x02c0", "0x" + "ff" * 100, "0xzz", plain().transactions[0][:-2]]
)
async def test_garbage_is_refused_and_not_repeated(raw: str) -> None:
    """Bytes that are no transaction are refused by every builder, in words without the bytes."""
    for name in ("flashbots", "bloxroute"):
        async with at_the_market(name) as (relay, builder):
            with pytest.raises(RelayRejected) as caught:
                await relay.send_bundle(msgspec.structs.replace(plain(), transactions=(raw,)))

            assert () == builder.orders()
            assert "ff" * 40 not in str(caught.value)


async def test_refusal_of_a_builder_is_its_own_words() -> None:
    """A block that is sealed already is refused by the builder, and the error says so."""
    async with at_the_market("titan") as (relay, _):
        with pytest.raises(RelayRejected, match=r"titan.*sealed already"):
            await relay.send_bundle(msgspec.structs.replace(plain(), target_block=BLOCK - 1))
