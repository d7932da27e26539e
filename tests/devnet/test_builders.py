"""What a builder holds, head after head."""

import asyncio

import pytest

from toolkit.chain.rpc import HttpRpc
from toolkit.chain.signer import LocalSigner
from toolkit.devnet import builders
from toolkit.devnet.builders import Builder
from toolkit.devnet.building.orders import PRIVATE_BLOCKS
from toolkit.devnet.building.wire import OrderError
from toolkit.model.chain import Address, Hash, Head
from toolkit.model.tx import UnsignedTransaction

SIGNER = LocalSigner("0x" + "0a" * 32)
ME, OTHER = Address("0x" + "01" * 20), Address("0x" + "02" * 20)


def head(number: int) -> Head:
    return Head(
        number=number,
        hash=Hash(f"0x{number:064x}"),
        parent_hash=Hash(f"0x{number - 1:064x}"),
        timestamp=12 * number,
        base_fee_per_gas=10**9,
        gas_used=0,
        gas_limit=30_000_000,
    )


def raw(nonce: int) -> str:
    unsigned = UnsignedTransaction(
        type=2, chain_id=1, nonce=nonce, to=OTHER, value=0, data="0x", gas=21_000
    )
    return SIGNER.sign_transaction_now(unsigned).raw


@pytest.fixture
def builder() -> Builder:
    """A builder at block 10 that asks no node."""
    rpc = HttpRpc("http://127.0.0.1:1")
    return Builder(name="b", fee_recipient=OTHER, rpc=rpc, head=head(10))


def ask(builder: Builder, method: str, *params: object, owner: Address = ME) -> object:
    return asyncio.run(builder.handle(method, list(params), owner))


def bundle(builder: Builder, nonce: int, *, block: int, uuid: str = "") -> None:
    fields = {"txs": [raw(nonce)], "blockNumber": hex(block), "replacementUuid": uuid}
    ask(builder, "eth_sendBundle", fields)


def nonces(builder: Builder) -> list[int]:
    return [order.transactions[0].unsigned.nonce for order in builder.orders()]


def test_a_head_takes_with_it_what_can_no_longer_land(builder: Builder) -> None:
    """A bundle lives until its block, a private transaction for so many; order of arrival stays."""
    bundle(builder, 3, block=13)
    bundle(builder, 1, block=11)
    bundle(builder, 2, block=12)
    ask(builder, "eth_sendPrivateRawTransaction", raw(9))
    before = nonces(builder)
    builder.advance(head(11))
    at_once = nonces(builder)
    builder.advance(head(13))
    bundles_gone = nonces(builder)
    builder.advance(head(10 + PRIVATE_BLOCKS))

    assert ([3, 1, 2, 9], [3, 2, 9], [9]) == (before, at_once, bundles_gone)
    assert () == builder.orders()


def test_deadlines_are_judged_by_the_newest_head(builder: Builder) -> None:
    """What was in time for the head before is late for this one."""
    builder.advance(head(12))

    with pytest.raises(OrderError, match="block 12 is sealed already, the head is 12"):
        bundle(builder, 1, block=12)
    ask(builder, "eth_sendPrivateRawTransaction", raw(9))
    assert [13] == [order.first_block for order in builder.orders()]


def test_what_was_withdrawn_is_told_until_the_next_head(builder: Builder) -> None:
    """Replaced or cancelled, by its owner only; afterwards nobody asks about it."""
    bundle(builder, 1, block=12, uuid="u")
    bundle(builder, 7, block=12, uuid="v")
    ask(builder, "eth_cancelBundle", {"replacementUuid": "u"}, owner=OTHER)
    kept = nonces(builder)
    bundle(builder, 2, block=12, uuid="u")
    ask(builder, "eth_cancelBundle", {"replacementUuid": "u"})
    withdrawn = [order.transactions[0].unsigned.nonce for order in builder.cancelled()]
    builder.advance(head(11))

    assert ([1, 7], [1, 2], ()) == (kept, withdrawn, builder.cancelled())
    assert [7] == nonces(builder)


def test_a_builder_holds_only_so_many_orders(
    builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until a head makes room."""
    monkeypatch.setattr(builders, "MAX_ORDERS", 2)
    for nonce in (0, 1):
        bundle(builder, nonce, block=11)

    with pytest.raises(OrderError, match="too many orders: 2 are waiting already"):
        bundle(builder, 2, block=12)
    builder.advance(head(11))
    bundle(builder, 2, block=12)
    assert [2] == nonces(builder)
