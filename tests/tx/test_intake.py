# ruff: noqa: ARG002 - the fakes take what the real ones take
from typing import Any, cast

import pytest

from toolkit.chain.node import Node
from toolkit.model.chain import Address
from toolkit.model.errors import ConfigError
from toolkit.tx.intake import Intake

ME, FRIEND = Address("0x" + "11" * 20), Address("0x" + "22" * 20)


class Pinned:
    """A node whose pending count never falls, though the pool is empty."""

    async def nonce(self, account: Address, block: int | str = "latest") -> int:
        return 3 if block == "latest" else 99


def _intake(*, following: int, pooled: bool = False) -> Intake:
    return Intake(
        cast("Node", Pinned()),
        chain_id=1,
        accounts=[ME, FRIEND],
        next_nonce=lambda _: following,
        pooled=pooled,
    )


@pytest.mark.parametrize(("lane", "following"), [(0, 3), (3, 3), (7, 7)])
async def test_a_pending_count_is_never_trusted(lane: int, following: int) -> None:
    """What comes next is what the chain has spent and the lane has given out, and nothing else."""
    params: dict[str, Any] = {"to": FRIEND, "value": 1, "nonce": following}
    request = await _intake(following=lane).request(params)

    assert ME == request.sender
    with pytest.raises(ConfigError, match=f"the next is {following}"):
        await _intake(following=lane).request({**params, "nonce": 99})


async def test_a_pool_leaves_the_sender_open_unless_a_nonce_is_named() -> None:
    """A nonce is some account's: the first one's, where none is named."""
    intake = _intake(following=0, pooled=True)

    assert (await intake.request({"to": FRIEND})).sender is None
    assert (await intake.request({"to": FRIEND, "from": FRIEND})).sender == FRIEND
    assert (await intake.request({"to": FRIEND, "nonce": 3})).sender == ME
