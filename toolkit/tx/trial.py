"""Payloads tried before they cost anything, and again once they failed, to learn why."""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from toolkit.model.chain import Address
from toolkit.model.errors import CallReverted, RejectedByNode, RpcError
from toolkit.model.tx import AccessListItem, TransactionRequest, UnsignedTransaction

# "out of gas", "OutOfGas", "intrinsic gas too low", "ReentrancySentryOOG": each client its own.
_OF_GAS = re.compile(r"gas|OOG", re.IGNORECASE)
_SET_CODE = 4


class Tries(Protocol):
    """The part of a node that tries payloads (`toolkit.chain.node.Node` is one)."""

    async def call(
        self,
        *,
        to: Address | None,
        data: str = "0x",
        sender: Address | None = None,
        value: int = 0,
        gas: int | None = None,
        access_list: Sequence[AccessListItem] = (),
        block: int | str = "latest",
    ) -> str:
        """Execute without a transaction; CallReverted when it fails."""
        ...

    async def estimate_gas(self, request: TransactionRequest, *, sender: Address) -> int:
        """Gas units that the request needs now; CallReverted when it would fail."""
        ...


async def try_request(node: Tries, request: TransactionRequest, *, sender: Address) -> None:
    """Execute a request that states its gas on the newest block, within that gas.

    Raises:
        CallReverted: it fails; the reason says so where more gas would have been enough.
        NodeError, RejectedByNode: the node could not be asked, or refused it.
    """
    if request.type == _SET_CODE:
        # Its delegations are in force before its call, which eth_call knows nothing of.
        async def estimate(gas: int | None) -> None:
            await node.estimate_gas(msgspec.structs.replace(request, gas=gas), sender=sender)

        await _within(request.gas, estimate)
    else:
        await try_call(node, request, sender=sender)


async def try_call(
    node: Tries,
    what: TransactionRequest | UnsignedTransaction,
    *,
    sender: Address,
    block: int | str = "latest",
) -> None:
    """Execute a payload within its gas limit on the state of a block; errors as `try_request`."""

    async def call(gas: int | None) -> None:
        await node.call(
            to=what.to,
            data=what.data,
            sender=sender,
            value=what.value,
            gas=gas,
            access_list=what.access_list,
            block=block,
        )

    await _within(what.gas, call)


async def _within(gas: int | None, attempt: Callable[[int | None], Awaitable[None]]) -> None:
    """Make the attempt; where it fails, a second one without the limit tells whether that was it.

    Clients have no common word for it, and a contract that calls others reverts in words of its
    own when one of those has run out.
    """
    try:
        await attempt(gas)
    except (CallReverted, RejectedByNode, RpcError) as error:
        speaks_of_gas = isinstance(error, CallReverted) or _OF_GAS.search(str(error))
        if gas is None or not speaks_of_gas:
            raise
        await attempt(None)
        raise CallReverted(f"out of gas: the gas limit of {gas} is too low") from None
