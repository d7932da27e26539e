from collections.abc import Sequence

import pytest

from tests.devnet.conftest import GWEI, OWNER, Wallet
from toolkit.devnet.builders import Builder
from toolkit.devnet.building.block_plan import BlockPlan
from toolkit.devnet.building.failures import FailureMode
from toolkit.devnet.building.orders import Order
from toolkit.devnet.building.sealing import Market
from toolkit.devnet.building.simulation import SlotEnv
from toolkit.model.bundle import MissCause
from toolkit.model.errors import DevnetError


async def send(
    market: Market,
    wallet: Wallet,
    *,
    to: Sequence[Builder],
    failure: FailureMode = FailureMode.NONE,
    **fields: object,
) -> None:
    """Give one bundle for the next block to some builders, as a failing relay would."""
    target = hex(market.head.number + 1)
    bundle = {"txs": [wallet.sign(nonce=10).raw], "blockNumber": target, **fields}
    for builder in to:
        await builder.handle("eth_sendBundle", [bundle], OWNER, failure=failure)


def winner_and_loser(market: Market) -> tuple[Builder, Builder]:
    name = market._winner(market.head.number + 1).name
    one, other = market.builders
    return (one, other) if one.name == name else (other, one)


@pytest.mark.parametrize(
    ("failure", "cause", "words"),
    [
        (FailureMode.LATE, MissCause.LATE, "only after the slot"),
        (FailureMode.FORGET, MissCause.WRONG_BUILDER, "forgot"),
    ],
)
async def test_what_the_winner_never_looked_at_has_the_relays_own_cause(
    market: Market, wallets: list[Wallet], failure: FailureMode, cause: MissCause, words: str
) -> None:
    """Taken too late or forgotten: one cause, whatever the other builder did with it."""
    await send(market, wallets[1], to=market.builders, failure=failure)

    await market.seal()

    (missed,) = market.slots[-1].considered
    assert (cause, False) == (missed.cause, missed.included)
    assert words in missed.evidence


async def test_what_is_asked_while_a_block_is_built_is_too_late(
    market: Market, wallets: list[Wallet], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle that comes then is late, one that is withdrawn then lands; each has one end."""
    fill = market._planner.fill

    async def busy(orders: Sequence[Order], env: SlotEnv, builder: Builder) -> BlockPlan:
        await send(market, wallets[2], to=market.builders)
        for each in market.builders:
            await each.handle("eth_cancelBundle", [{"replacementUuid": "mine"}], OWNER)
        return await fill(orders, env, builder)

    monkeypatch.setattr(market._planner, "fill", busy)
    await send(market, wallets[1], to=market.builders, replacementUuid="mine")

    await market.seal()
    await send(market, wallets[3], to=market.builders)

    landed, late = market.slots[-1].considered
    assert (True, None) == (landed.included, landed.cause)
    assert (MissCause.LATE, False) == (late.cause, late.included)
    assert [1, 1] == [len(each.orders()) for each in market.builders]


async def test_a_block_that_was_not_built_takes_orders_again(
    market: Market, wallets: list[Wallet], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sent after a failure is in time for the next try."""

    async def fails(*_: object) -> BlockPlan:
        raise DevnetError("no block")

    with monkeypatch.context() as broken:
        broken.setattr(market._planner, "fill", fails)
        with pytest.raises(DevnetError, match="no block"):
            await market.seal()
    await send(market, wallets[1], to=market.builders)

    await market.seal()

    assert [True] == [each.included for each in market.slots[-1].considered]


async def test_a_window_that_closed_is_told_where_the_bundle_was(
    market: Market, wallets: list[Wallet]
) -> None:
    """The block's time is outside the bundle's bounds, and its last block is this one."""
    await send(market, wallets[1], to=market.builders, maxTimestamp=market.head.timestamp + 1)

    await market.seal()

    (missed,) = market.slots[-1].considered
    assert MissCause.EXPIRED is missed.cause
    assert str(market.head.timestamp) in missed.evidence


async def test_the_winners_reason_comes_first(market: Market, wallets: list[Wallet]) -> None:
    """Withdrawn at the winner and waiting at the loser, it was withdrawn; not the reverse."""
    winner, loser = winner_and_loser(market)
    for wallet, uuid in ((wallets[1], "first"), (wallets[2], "second")):
        await send(market, wallet, to=market.builders, replacementUuid=uuid)
    await winner.handle("eth_cancelBundle", [{"replacementUuid": "first"}], OWNER)
    await loser.handle("eth_cancelBundle", [{"replacementUuid": "second"}], OWNER)

    await market.seal()

    landed, missed = market.slots[-1].considered
    assert landed.included
    assert MissCause.CANCELLED is missed.cause
    assert landed.value_wei > GWEI
