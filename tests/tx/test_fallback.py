import pytest

from toolkit.chain.signer import LocalSigner
from toolkit.model.chain import Address
from toolkit.model.errors import RelayRejected, RelayUnavailable
from toolkit.model.tx import Attempt, Exposure, UnsignedTransaction
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


def attempt(request_id: str = "a", number: int = 0) -> Attempt:
    """A try of a request."""
    return Attempt(request_id=request_id, number=number, signed=SIGNED)


async def test_the_first_blocks_are_private_and_the_rest_public() -> None:
    """For three blocks only the relays hear of a request, then the public node, per request."""
    relay, public = Route("r", Exposure.PRIVATE), Route("p", Exposure.PUBLIC)
    route = PrivateThenPublic([relay], public)
    for block in range(10, 16):
        await route.send(attempt(number=block - 10), target_block=block)
    await route.send(attempt("b"), target_block=15)

    assert [10, 11, 12, 15] == relay.targets
    assert [13, 14, 15] == public.targets
    assert PATIENCE_BLOCKS == 3
    assert Exposure.PUBLIC is route.exposure


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


async def test_a_defect_in_a_relay_is_not_swallowed() -> None:
    """Anything but a toolkit error passes, even when another relay accepted."""
    broken = Route("broken", Exposure.PRIVATE, ZeroDivisionError())
    good, public = Route("good", Exposure.PRIVATE), Route("p", Exposure.PUBLIC)

    with pytest.raises(ZeroDivisionError):
        await PrivateThenPublic([good, broken], public).send(attempt(), target_block=1)
