"""Pool states held against a real node; whole markets are in `test_sync` and `test_sync_v4`."""

import msgspec
import pytest

from tests.pools.test_apart import INVALID, REVERT, Place, answering
from tests.pools.venue import Venue
from toolkit.chain.node import Node
from toolkit.pools.abi import SELECTORS
from toolkit.pools.checking import Difference, check
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.sync import load


@pytest.fixture(scope="module")
def place(twin: tuple[str, Venue]) -> Place:
    return Place(twin[1])


@pytest.mark.parametrize("code", ["0x", f"0x{REVERT}", f"0x{INVALID}", "stable()"])
async def test_a_pool_that_is_none_there_is_named_beside_what_differs(
    code: str, place: Place, node: Node
) -> None:
    """What cannot be read says why, and the others are compared all the same."""
    taken = await load(node, place.specs, head=await node.head())
    pool = taken.pools[place.pools[500]]
    assert isinstance(pool, Concentrated)
    off = msgspec.structs.replace(pool, liquidity=pool.liquidity + 1)
    wrong = msgspec.structs.replace(taken, pools=taken.pools | {pool.id: off})
    beside = "0x" + "5a" * 20
    place.machine.rpc("anvil_setCode", beside, place.code)
    put = answering(SELECTORS[code], beside) if code in SELECTORS else code
    place.machine.rpc("anvil_setCode", place.pair, put)
    place.machine.rpc("evm_mine")
    try:
        found = await check(node, msgspec.structs.replace(wrong, block=await node.head()))
    finally:
        place.machine.rpc("anvil_setCode", place.pair, place.code)

    of_pair = next(one for one in found if one.pool == place.pair)
    fields = {f"0x{INVALID}": "contract", "stable()": "kind"}
    ours = {"token0": place.venue.token0}.get(of_pair.field, "a constant_product pool")
    assert {place.pair, pool.id} == {one.pool for one in found}
    assert len(found) == 2
    assert (fields.get(code, "token0"), ours) == (of_pair.field, of_pair.ours)
    assert (
        Difference(
            pool=pool.id,
            field="liquidity",
            ours=str(pool.liquidity + 1),
            nodes=str(pool.liquidity),
        )
        in found
    )
