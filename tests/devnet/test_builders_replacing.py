from typing import Any

import pytest

from tests.devnet.building.conftest import HEAD, NEXT, SIGNER, builder_of, moved, signed
from tests.devnet.conftest import ACCOUNTS
from toolkit.devnet import builders
from toolkit.devnet.builders import Builder
from toolkit.devnet.building.failures import FailureMode
from toolkit.devnet.building.orders import MAX_ORDERS, read_bundle
from toolkit.devnet.building.replacements import BLOCKS_KEPT
from toolkit.devnet.building.wire import OrderError
from toolkit.model.chain import Address, Hash

UUID = "3f2c1a52-9c1b-4d6a-8a63-0c9d3cf0a111"
OTHER = ACCOUNTS[1].address


async def send(builder: Builder, nonce: int = 0, **fields: Any) -> object:
    params = {"txs": [signed(nonce).raw], "blockNumber": NEXT, **fields}
    return await builder.handle("eth_sendBundle", [params], SIGNER.address)


async def cancel(builder: Builder, owner: Address = SIGNER.address) -> object:
    return await builder.handle("eth_cancelBundle", [{"replacementUuid": UUID}], owner)


def held(builder: Builder) -> list[Hash]:
    return [order.transactions[0].hash for order in builder.orders()]


def dropped(builder: Builder) -> list[Hash]:
    return [order.transactions[0].hash for order in builder.cancelled()]


async def test_the_same_request_again_is_one_order() -> None:
    """A repeated send changes nothing; another second, or another sender, is another order."""
    builder = builder_of()
    first = await send(builder)
    again = await send(builder)
    await send(builder, minTimestamp=1)
    params = {"txs": [signed().raw], "blockNumber": NEXT}
    await builder.handle("eth_sendBundle", [params], OTHER)

    assert first == again
    assert len(builder.orders()) == 3


async def test_a_withdrawn_request_may_be_sent_again() -> None:
    """Only what is still held is a repetition."""
    builder = builder_of()
    await send(builder, replacementUuid=UUID)
    await cancel(builder)
    await send(builder, replacementUuid=UUID)

    assert [signed().hash] == held(builder)


async def test_the_highest_nonce_of_a_uuid_wins_in_any_order() -> None:
    """An older bundle that arrives later is superseded, and nobody is told."""
    builder = builder_of()
    await send(builder, 1, replacementUuid=UUID, replacementNonce=1)
    await send(builder, 3, replacementUuid=UUID, replacementNonce=3)
    late = await send(builder, 2, replacementUuid=UUID, replacementNonce=2)

    assert isinstance(late, dict)
    assert [signed(3).hash] == held(builder)
    assert [signed(1).hash, signed(2).hash] == dropped(builder)


async def test_a_nonce_of_zero_is_a_nonce() -> None:
    """Nonces start at zero, and what has the same one does not come after it."""
    builder = builder_of()
    await send(builder, 1, replacementUuid=UUID, replacementNonce=0)
    await send(builder, 2, replacementUuid=UUID, replacementNonce=0)

    assert [signed(1).hash] == held(builder)


async def test_an_empty_bundle_with_a_later_nonce_withdraws() -> None:
    """Then an older bundle does not come back."""
    builder = builder_of()
    await send(builder, 1, replacementUuid=UUID, replacementNonce=1)
    await send(builder, txs=[], replacementUuid=UUID, replacementNonce=3)
    await send(builder, 2, replacementUuid=UUID, replacementNonce=2)

    assert held(builder) == []


@pytest.mark.parametrize("name", ["jetbldr", "buildernet"])
async def test_a_bundle_without_transactions_withdraws_only_where_it_may(name: str) -> None:
    """Elsewhere it is a bundle with nothing in it."""
    builder = builder_of(name)
    await send(builder, replacementUuid=UUID)
    refused = ""
    try:
        await send(builder, txs=[], replacementUuid=UUID)
    except OrderError as error:
        refused = str(error)

    assert (name == "jetbldr") is ("txs is empty" in refused)
    assert (name == "jetbldr") is bool(held(builder))


@pytest.mark.parametrize(
    ("name", "method", "answer"),
    [
        ("flashbots", "eth_cancelBundle", []),
        ("buildernet", "eth_cancelBundle", 200),
        ("titan", "eth_cancelBundle", 200),
        ("rsync", "eth_cancelBundle", None),
        ("beaverbuild", "eth_cancelBundle", 200),
        ("builder0x69", "eth_cancelBundle", 200),
        ("jetbldr", "eth_cancelBundle", 200),
        ("blink", "eth_cancelBundle", 200),
    ],
)
async def test_cancelling_nothing_is_answered_as_cancelling(
    name: str, method: str, answer: object
) -> None:
    """Before the bundle, after its block, and of another signer: no error, and nothing happens."""
    builder = builder_of(name)
    params = [{"replacementUuid": UUID}]
    before = await builder.handle(method, params, SIGNER.address)
    if name != "buildernet":
        await send(builder, replacementUuid=UUID)
    stranger = await builder.handle(method, params, OTHER)
    held_before = len(held(builder))
    moved(builder)
    after = await builder.handle(method, params, SIGNER.address)

    assert [answer] * 3 == [before, stranger, after]
    assert (name != "buildernet") == held_before


async def test_a_cancellation_is_final_where_the_builder_says_so() -> None:
    """What arrives after it under the same uuid of the same signer never lands."""
    builder = builder_of("buildernet")
    await cancel(builder)
    await send(builder, 1, replacementUuid=UUID)
    await send(builder, 2, replacementUuid=UUID, replacementNonce=9)
    superseded = dropped(builder)
    params = {"txs": [signed(3).raw], "blockNumber": NEXT, "replacementUuid": UUID}
    await builder.handle("eth_sendBundle", [params], OTHER)

    assert [signed(1).hash, signed(2).hash] == superseded
    assert [signed(3).hash] == held(builder)


async def test_a_uuid_is_forgotten_in_the_end() -> None:
    """A builder does not keep what was said a hundred blocks ago."""
    builder = builder_of("buildernet")
    await cancel(builder)
    moved(builder, BLOCKS_KEPT + 1)
    number = hex(builder.head.number + 1)

    await send(builder, blockNumber=number, replacementUuid=UUID)

    assert [signed().hash] == held(builder)


async def test_a_private_transaction_sent_again_has_its_new_last_block() -> None:
    """One transaction is one order; the newest word on it holds."""
    builder = builder_of()
    for last in (110, 105):
        params = [{"tx": signed().raw, "maxBlockNumber": last}]
        await builder.handle("eth_sendPrivateTransaction", params, SIGNER.address)

    assert [105] == [order.last_block for order in builder.orders()]


async def test_a_uuid_is_its_owners_own() -> None:
    """Another signer's bundle under the same uuid replaces nothing, nor does its nonce count."""
    builder = builder_of()
    await send(builder, 1, replacementUuid=UUID, replacementNonce=1)
    params = {"txs": [signed(2).raw], "blockNumber": NEXT, "replacementUuid": UUID}
    await builder.handle("eth_sendBundle", [params | {"replacementNonce": 9}], OTHER)
    await send(builder, 3, replacementUuid=UUID, replacementNonce=2)

    assert [signed(2).hash, signed(3).hash] == held(builder)


async def test_a_private_transaction_is_withdrawn_by_who_sent_it() -> None:
    """Its sender hears true, another one false, and so does who comes too late."""
    builder = builder_of()
    params = [{"txHash": signed().hash.upper().replace("0X", "0x")}]
    await builder.handle("eth_sendPrivateRawTransaction", [signed().raw], SIGNER.address)
    stranger = await builder.handle("eth_cancelPrivateTransaction", params, OTHER)
    own = await builder.handle("eth_cancelPrivateTransaction", params, SIGNER.address)
    again = await builder.handle("eth_cancelPrivateTransaction", params, SIGNER.address)

    assert [False, True, False] == [stranger, own, again]
    assert held(builder) == []


async def test_a_late_order_does_not_push_a_builder_over_its_limit() -> None:
    """Its sender was told long ago; nobody hears that there was no room."""
    builder = builder_of()
    second = hex(HEAD.number + 2)
    params = {"txs": [signed().raw], "blockNumber": second}
    await builder.handle("eth_sendBundle", [params], SIGNER.address, failure=FailureMode.LATE)
    for index in range(MAX_ORDERS):
        await send(builder, blockNumber=second, minTimestamp=index + 1)

    moved(builder)

    assert MAX_ORDERS == len(builder.orders())
    assert all(order.min_timestamp for order in builder.orders())


async def test_orders_that_do_not_come_over_the_wire_need_no_dialect() -> None:
    """A searcher of the devnet's own reaches every builder."""
    builder = builder_of("bloxroute")
    params = [{"txs": [signed().raw], "blockNumber": NEXT}]
    order = read_bundle(params, owner=OTHER, head=HEAD.number)

    builder.offer(order)

    assert [order] == list(builder.orders())


async def test_a_bundle_is_passed_on_to_the_builders_it_names() -> None:
    """Whatever their dialect; replaced and withdrawn here, it is so there, and nothing else is."""
    relay, titan, bloxroute = (builder_of(name) for name in ("flashbots", "titan", "bloxroute"))
    relay.partners = (titan, bloxroute)
    await send(titan, 5, replacementUuid=UUID)
    await send(relay, 1, replacementUuid=UUID, builders=["Titan", "bloXroute", "nobody"])
    first = [held(each) for each in (relay, titan, bloxroute)]
    await send(relay, 2, replacementUuid=UUID, builders=["bloxroute"])
    second = [held(each) for each in (relay, titan, bloxroute)]
    await cancel(relay)

    one, two, five = ([signed(nonce).hash] for nonce in (1, 2, 5))
    assert [one, five + one, one] == first
    assert [two, five, two] == second
    assert [[], five, []] == [held(each) for each in (relay, titan, bloxroute)]


async def test_what_a_relay_forgets_it_does_not_pass_on() -> None:
    """And what is late is passed on late."""
    relay, titan = builder_of(), builder_of("titan")
    relay.partners = (titan,)
    heard = []
    for nonce, failure in ((1, FailureMode.FORGET), (2, FailureMode.LATE)):
        params = {"txs": [signed(nonce).raw], "blockNumber": "0x66", "builders": ["titan"]}
        await relay.handle("eth_sendBundle", [params], SIGNER.address, failure=failure)
        heard.append(held(titan))
    moved(relay)

    assert [[], []] == heard
    assert [signed(2).hash] == held(titan)


async def test_a_full_partner_costs_a_bundle_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The relay that was asked has it all the same."""
    relay, titan = builder_of(), builder_of("titan")
    relay.partners = (titan,)
    await send(titan)
    monkeypatch.setattr(builders, "MAX_ORDERS", 1)

    await send(relay, 1, builders=["titan"])

    assert [[signed(1).hash], [signed().hash]] == [held(relay), held(titan)]


async def test_a_word_on_a_uuid_keeps_it() -> None:
    """A uuid is remembered from the last word on it, not from the first."""
    builder = builder_of("buildernet")
    await cancel(builder)
    moved(builder, BLOCKS_KEPT // 2)
    await cancel(builder)
    moved(builder, BLOCKS_KEPT // 2 + 1)

    await send(builder, blockNumber=hex(builder.head.number + 1), replacementUuid=UUID)

    assert held(builder) == []


async def test_nothing_private_is_shown() -> None:
    """Neither a builder nor its orders show a transaction or a key."""
    builder = builder_of()
    builder.signer = SIGNER
    await send(builder)

    shown = repr(builder) + repr(builder.orders())
    assert signed().raw[2:] not in shown
    assert ACCOUNTS[0].key[2:] not in shown
