import random

import msgspec
import pytest

from toolkit.model.chain import ZERO_HASH, Address
from toolkit.model.errors import CallReverted, ConfigError, GasLimitTooHigh, InsufficientFunds
from toolkit.model.tx import AccessListItem, Authorization, FeeQuote, TransactionRequest
from toolkit.testing.fakes import ETHER, FRIEND, GWEI, OWNER, REVERTING, World
from toolkit.tx.config import SchedulerConfig, gas_cap
from toolkit.tx.preflight import priced, require_funds, require_sendable, with_gas

GRANT = Authorization(chain_id=1, address=FRIEND, nonce=0, y_parity=0, r=1, s=1)
LIST = (AccessListItem(address=FRIEND, storage_keys=(ZERO_HASH,)),)
PAYMENT = TransactionRequest(to=FRIEND, value=1)
QUOTE = FeeQuote(max_fee_per_gas=GWEI, max_priority_fee_per_gas=1, base_fee_per_gas=1, for_block=1)


@pytest.mark.parametrize(
    "request_",
    [
        PAYMENT,
        msgspec.structs.replace(PAYMENT, type=0),
        msgspec.structs.replace(PAYMENT, max_fee_per_gas=5, max_priority_fee_per_gas=5),
        msgspec.structs.replace(PAYMENT, max_fee_per_gas=5),
        msgspec.structs.replace(PAYMENT, max_priority_fee_per_gas=5),
        msgspec.structs.replace(PAYMENT, type=1, access_list=LIST),
        msgspec.structs.replace(PAYMENT, type=4, authorization_list=(GRANT,)),
    ],
)
def test_types_that_a_lane_sends(request_: TransactionRequest) -> None:
    """Types 0, 1, 2 and 4 with the lists they have."""
    require_sendable(request_)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type": 3}, "type 3 is not supported: a pool takes blobs"),
        ({"type": 5}, "type 5 is not supported"),
        ({"type": 4}, "type 4 with 0 authorizations"),
        ({"authorization_list": (GRANT,)}, "type 2 with 1 authorizations"),
        ({"type": 4, "authorization_list": (GRANT,), "to": None}, "cannot create a contract"),
        ({"to": None}, "nothing to do: .* needs data"),
        ({"to": None, "value": 0}, "nothing to do: .* needs data"),
        ({"type": 0, "access_list": LIST}, "type 0 has no access list"),
        (
            {"max_fee_per_gas": 5, "max_priority_fee_per_gas": 6},
            "max_priority_fee_per_gas 6 is above max_fee_per_gas 5, .+: lower the one or raise",
        ),
    ],
)
def test_what_a_lane_cannot_send(change: dict[str, object], message: str) -> None:
    """Each is refused with one line before anything is asked of a node."""
    with pytest.raises(ConfigError, match=message):
        require_sendable(msgspec.structs.replace(PAYMENT, **change))


@pytest.mark.parametrize(
    ("max_gas", "gas"), [(100_000, 72_000), (72_000, 72_000), (65_000, 65_000), (60_000, 60_000)]
)
async def test_the_margin_of_an_estimate_ends_at_the_cap(max_gas: int, gas: int) -> None:
    """An estimate just below the cap is taken with what margin there is room for."""
    call = TransactionRequest(to=FRIEND, data="0x01")

    filled = await with_gas(
        World(random.Random(1)), call, sender=OWNER.address, simulate=True, max_gas=max_gas
    )
    assert gas == filled.gas


async def test_an_estimate_above_the_cap_is_refused_as_it_is() -> None:
    """By the estimate itself, which says how much is too much."""
    call = TransactionRequest(to=FRIEND, data="0x01")
    filled = await with_gas(
        World(random.Random(1)), call, sender=OWNER.address, simulate=True, max_gas=59_999
    )

    with pytest.raises(GasLimitTooHigh, match="gas limit 60000 is above 59999"):
        priced(filled, QUOTE, chain_id=1, nonce=0, max_cost_wei=ETHER, max_gas=59_999)


async def test_delegations_are_simulated_with_the_call() -> None:
    """A type 4 request that states its gas is tried by estimate, which knows its delegations."""
    asked: list[TransactionRequest] = []

    class Asked(World):
        async def estimate_gas(self, request: TransactionRequest, *, sender: Address) -> int:
            asked.append(request)
            return await super().estimate_gas(request, sender=sender)

    world = Asked(random.Random(1))
    request = TransactionRequest(
        to=FRIEND, data="0x01", gas=90_000, type=4, authorization_list=(GRANT,)
    )
    assert request == await with_gas(
        world, request, sender=OWNER.address, simulate=True, max_gas=2**24
    )
    assert [request] == asked

    reverting = msgspec.structs.replace(request, data=REVERTING)
    with pytest.raises(CallReverted, match="says the contract"):
        await with_gas(world, reverting, sender=OWNER.address, simulate=True, max_gas=2**24)


async def test_an_estimate_gets_a_fifth_more_except_of_a_plain_transfer() -> None:
    """State may change before inclusion; a transfer's cost does not."""
    world = World(random.Random(1))
    plain = await with_gas(world, PAYMENT, sender=OWNER.address, simulate=True, max_gas=2**24)
    call = await with_gas(
        world,
        msgspec.structs.replace(PAYMENT, data="0x01"),
        sender=OWNER.address,
        simulate=True,
        max_gas=2**24,
    )

    assert (21_000, 72_000) == (plain.gas, call.gas)


@pytest.mark.parametrize(
    ("chain_id", "cap"), [(1, 2**24), (31337, 2**24), (42161, 32_000_000), (137, 32_000_000)]
)
def test_the_gas_cap_is_the_chains(chain_id: int, cap: int) -> None:
    """2**24 by EIP-7825, or what the chain says; the author may say otherwise."""
    request = msgspec.structs.replace(PAYMENT, gas=cap + 1)
    config = SchedulerConfig(max_cost_wei=100 * ETHER)

    assert cap == gas_cap(chain_id) == config.gas_limit(chain_id)
    with pytest.raises(GasLimitTooHigh, match=f"{cap + 1} is above {cap}"):
        priced(
            request,
            QUOTE,
            chain_id=chain_id,
            nonce=0,
            max_cost_wei=100 * ETHER,
            max_gas=config.gas_limit(chain_id),
        )
    assert 7 == msgspec.structs.replace(config, max_gas=7).gas_limit(chain_id)


def test_funds_are_needed_for_the_worst_case() -> None:
    """The message names what is there and what is needed, in ether."""
    require_funds(5, 5, sender=FRIEND)

    with pytest.raises(InsufficientFunds, match=r"has 0\.5 ether at hand and needs up to 1"):
        require_funds(ETHER, ETHER // 2, sender=FRIEND)
