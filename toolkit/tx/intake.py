"""What authors and web3 hand in, as requests of accounts that can sign."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from inspect import isawaitable
from typing import Any, Protocol, runtime_checkable

import msgspec

from toolkit.chain.hashing import checksum
from toolkit.chain.node import Node
from toolkit.chain.signer import decode_transaction
from toolkit.chain.tx_params import read_params, request_of
from toolkit.model.chain import Address
from toolkit.model.errors import ConfigError
from toolkit.model.tx import TransactionRequest


@runtime_checkable
class ContractCall(Protocol):
    """A web3 contract function with its arguments bound, such as `token.functions.transfer(…)`."""

    def build_transaction(self, transaction: Any) -> Any:
        """Return it as `TxParams`, or an awaitable of them."""
        ...


Sendable = TransactionRequest | Mapping[str, Any] | ContractCall


class Intake:
    """Reads what is to be sent, and refuses what this set of accounts cannot send.

    `next_nonce` is what the lane of an account would give out; the node may not know of it. With
    `pooled` accounts whoever names none leaves the choice open.
    """

    def __init__(
        self,
        node: Node,
        *,
        chain_id: int,
        accounts: Sequence[Address],
        next_nonce: Callable[[Address], int],
        pooled: bool = False,
    ) -> None:
        self._node = node
        self._chain_id = chain_id
        self._next_nonce = next_nonce
        self._turn = asyncio.Lock()
        self._pooled = pooled
        self.accounts = tuple(accounts)

    def turn(self, what: object) -> AbstractAsyncContextManager[object]:
        """Hold this from reading `what` until it is accepted.

        A nonce that `what` names is only refused to the next one once the lane has given it out.
        """
        named = isinstance(what, Mapping) and what.get("nonce") is not None
        return self._turn if named or isinstance(what, str) else nullcontext()

    async def request(self, what: Sendable) -> TransactionRequest:
        """Read a request, `TxParams`, or a contract function; its sender is set, or left open.

        Raises:
            ConfigError: none of these, a malformed field, or a sender that cannot sign here.
        """
        if isinstance(what, ContractCall):
            what = await self._built(what)
        if isinstance(what, Mapping):
            request, nonce = read_params(what, chain_id=self._chain_id)
            if nonce is not None:
                sender = self.account(request.sender)
                await self._check_nonce(sender, nonce)
                request = msgspec.structs.replace(request, sender=sender)
        elif isinstance(what, TransactionRequest):
            request = what
        else:
            raise ConfigError(
                f"cannot send {type(what).__name__}: give a TransactionRequest, TxParams or a"
                f" contract function"
            )
        if self._pooled and request.sender is None:
            return request
        return msgspec.structs.replace(request, sender=self.account(request.sender))

    async def signed(self, raw: str) -> TransactionRequest:
        """Read what a transaction asks for that one of the accounts has signed.

        Raises:
            ConfigError: another account signed it, for another chain, or on a nonce that is not
                the next.
        """
        signed = decode_transaction(raw)
        if signed.unsigned.chain_id != self._chain_id:
            raise ConfigError(
                f"transaction {signed.hash} is signed for chain {signed.unsigned.chain_id}, the"
                f" session is on chain {self._chain_id}"
            )
        await self._check_nonce(self.account(signed.sender), signed.unsigned.nonce)
        return request_of(signed)

    def account(self, sender: Address | None) -> Address:
        """The account that sends: the one named, or the first.

        Raises:
            ConfigError: there is none, or the one named is not here.
        """
        if not self.accounts:
            raise ConfigError("this session has no signer: give connect a signer to send")
        if sender is None:
            return self.accounts[0]
        if sender not in self.accounts:
            own = ", ".join(self.accounts)
            raise ConfigError(f"{sender} is not a signer of this session; it has {own}")
        return sender

    async def _check_nonce(self, sender: Address, nonce: int) -> None:
        """A nonce may be named, as ported scripts do, if it is the one that would come next."""
        # Not "pending": some nodes never take a dropped transaction off that count, and what relays
        # hold is not in it. An idle lane has not looked for a while, hence the chain's own count.
        following = max(await self._node.nonce(sender), self._next_nonce(sender))
        if nonce != following:
            raise ConfigError(
                f"nonce {nonce} cannot be chosen: the lane of {sender} owns its nonces and the"
                f" next is {following}; leave it out"
            )

    async def _built(self, call: ContractCall) -> dict[str, Any]:
        # Every field that web3 would ask the node for is given, so that it asks for none; those
        # that the lane fills better are dropped again.
        filled = {"nonce": 0, "gas": 1, "maxFeePerGas": 1, "maxPriorityFeePerGas": 1}
        sender = checksum(self.account(None))
        params = call.build_transaction(
            {"from": sender, "chainId": self._chain_id, "value": 0, **filled}
        )
        if isawaitable(params):  # a function of the blocking Web3 answers at once
            params = await params
        unasked = {"from", *filled} if self._pooled else filled
        return {name: value for name, value in params.items() if name not in unasked}
