import random
from typing import Any

import pytest

from tests.tx.desk import PAYMENT, Desk
from toolkit.chain.signer import LocalSigner
from toolkit.model.chain import Address
from toolkit.model.errors import ConfigError, RelayRejected, RelayUnavailable
from toolkit.model.tx import Attempt, Confirmed, Exposure, UnsignedTransaction
from toolkit.testing.fakes import Mempool, World
from toolkit.tx.destination import hand_over
from toolkit.tx.fallback import PATIENCE_BLOCKS, PrivateThenPublic

SIGNED = LocalSigner("0x" + "4c" * 32).sign_transaction_now(
    UnsignedTransaction(
        type=2, chain_id=1, nonce=0, to=Address("0x" + "22" * 20), value=1, data="0x", gas=21_000
    )
)


class Route:
    """A destination that takes everything, or raises what it is told to."""

    def __init__(self, name: str, exposure: Exposure, error: Exception | None = None) -> None:
        self.name, self.exposure, self.error = name, exposure, error
        self.targets: list[int] = []

    async def send(self, attempt: Attempt, *, target_block: int) -> None:
        assert attempt.signed == SIGNED
        self.targets.append(target_block)
        if self.error is not None:
            raise self.error


def attempt(number: int = 0, since_block: int = 1) -> Attempt:
    """A try of a request."""
    return Attempt(request_id="a", number=number, signed=SIGNED, since_block=since_block)


async def test_the_first_blocks_are_private_and_the_rest_public() -> None:
    """For three blocks only the relays hear of a request, then the public node, per request."""
    relay, public = Route("r", Exposure.PRIVATE), Route("p", Exposure.PUBLIC)
    route = PrivateThenPublic([relay], public)
    for block in range(10, 16):
        await route.send(attempt(number=block - 10, since_block=10), target_block=block)
    await route.send(attempt(since_block=15), target_block=15)

    assert [10, 11, 12, 15] == relay.targets
    assert [13, 14, 15] == public.targets
    assert PATIENCE_BLOCKS == 3
    assert Exposure.PUBLIC is route.exposure


async def test_a_restart_changes_no_deadline() -> None:
    """Each block asks another object for the route, and none of them begins the blocks anew."""
    relay, public = Route("r", Exposure.PRIVATE), Route("p", Exposure.PUBLIC)
    for block in range(10, 15):
        restarted = PrivateThenPublic([relay], public, patience_blocks=2)
        await restarted.send(attempt(since_block=10), target_block=block)

    assert [10, 11] == relay.targets
    assert [12, 13, 14] == public.targets


class Heard(Mempool):
    """The public pool, with the targets it was asked for."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.targets: list[int] = []

    async def send(self, attempt: Attempt, *, target_block: int) -> None:
        self.targets.append(target_block)
        await super().send(attempt, target_block=target_block)


class Kept(Route):
    """A relay that takes everything and includes nothing."""

    async def send(self, attempt: Attempt, *, target_block: int) -> None:  # noqa: ARG002
        self.targets.append(target_block)


async def test_a_process_that_dies_in_every_block_goes_public_in_the_same_one() -> None:
    """Only the journal knows when the private blocks began; the nonce is spent once."""
    desk = Desk(World(random.Random(1)))
    desk.public = public = Heard(desk.world)
    relay = Kept("r", Exposure.PRIVATE)
    await open_with_fallback(desk, relay)
    sent = await desk.scheduler.send(PAYMENT, destinations=desk.others)
    for _ in range(PATIENCE_BLOCKS + 1):
        await desk.close()
        await open_with_fallback(desk, relay)
        await desk.mine()
    outcome = await desk.scheduler.request(sent.request_id).wait()

    assert PATIENCE_BLOCKS == max(relay.targets)
    assert PATIENCE_BLOCKS + 1 == min(public.targets)
    assert isinstance(outcome, Confirmed)
    assert (1, [sent.tx_hash]) == (desk.world.spent, [*desk.world.mined()])
    await desk.close()


async def open_with_fallback(desk: Desk, relay: Kept) -> None:
    """Start a process with a route of its own."""
    desk.others = [PrivateThenPublic([relay], desk.public)]
    await desk.open()


@pytest.mark.parametrize("blocks", [0, -1, 1.5, True, 10_001])
def test_private_blocks_are_a_number_of_them(blocks: Any) -> None:
    """None at all would be public from the start, and without an end it would never be."""
    relay = Route("r", Exposure.PRIVATE)
    with pytest.raises(ConfigError, match="private_blocks is"):
        PrivateThenPublic([relay], relay, patience_blocks=blocks)


def test_without_relays_there_is_no_private_route() -> None:
    """It would be public only, under a name that says otherwise."""
    with pytest.raises(ConfigError, match="needs relays"):
        PrivateThenPublic([], Route("p", Exposure.PUBLIC))


async def test_one_relay_that_takes_it_is_enough() -> None:
    """A refusal of one relay is no failure while another accepts."""
    bad = Route("bad", Exposure.PRIVATE, RelayRejected("no"))
    good, public = Route("good", Exposure.PRIVATE), Route("p", Exposure.PUBLIC)

    await PrivateThenPublic([bad, good], public).send(attempt(), target_block=1)

    assert ([1], [1], []) == (bad.targets, good.targets, public.targets)


async def test_without_any_relay_that_takes_it_the_error_is_told_and_nothing_goes_public() -> None:
    """Inside the private blocks a failure never becomes public."""
    first = Route("one", Exposure.PRIVATE, RelayUnavailable("away"))
    second = Route("two", Exposure.PRIVATE, RelayRejected("no"))
    public = Route("p", Exposure.PUBLIC)

    with pytest.raises(RelayUnavailable, match="away"):
        await PrivateThenPublic([first, second], public).send(attempt(), target_block=1)
    assert [] == public.targets


async def test_a_silent_relay_counts_for_more_than_one_that_refuses() -> None:
    """It may have the bytes: to say that nobody has them would let their nonce be used again."""
    no = Route("no", Exposure.PRIVATE, RelayRejected("no"))
    silent = Route("silent", Exposure.PRIVATE, RelayUnavailable("away"))
    route = PrivateThenPublic([no, silent], Route("p", Exposure.PUBLIC))

    answer = await hand_over(route, attempt(), target_block=1)

    assert Exposure.UNKNOWN is answer.exposure


async def test_a_defect_in_a_relay_is_not_swallowed() -> None:
    """Anything but a toolkit error passes, even when another relay accepted."""
    broken = Route("broken", Exposure.PRIVATE, ZeroDivisionError())
    good, public = Route("good", Exposure.PRIVATE), Route("p", Exposure.PUBLIC)

    with pytest.raises(ZeroDivisionError):
        await PrivateThenPublic([good, broken], public).send(attempt(), target_block=1)
