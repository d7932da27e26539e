"""The on-chain executor's life: put on the chain, looked at, emptied."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from toolkit.chain.multicall import aggregate
from toolkit.chain.node import Node
from toolkit.execution.calldata import (
    ALLOWANCE,
    BALANCE_OF,
    OWNER,
    UNLIMITED_ALLOWANCE,
    WETH,
    creation_code,
    encode_address_call,
    encode_withdraw,
    load_artifact,
)
from toolkit.model.chain import MAINNET_WETH, ZERO_ADDRESS, Address, address
from toolkit.model.errors import CallReverted, ConfigError, NodeError
from toolkit.model.tx import Confirmed, Outcome, TransactionRequest, Urgency, Visibility
from toolkit.tx.handle import Sent

WRAPPED_NATIVE = {1: MAINNET_WETH}
"""The wrapped native token by chain id, where nobody names another."""


class Sender(Protocol):
    """The part of a session that executors need."""

    @property
    def node(self) -> Node:
        """The node that is read."""
        ...

    async def send(
        self,
        what: TransactionRequest,
        *,
        urgency: Urgency = Urgency.SOON,
        visibility: Visibility | None = None,
    ) -> Sent:
        """Send one transaction and follow it."""
        ...


class ExecutorStatus(msgspec.Struct, frozen=True, kw_only=True):
    """An executor as of one block. Between plans every balance and every allowance is zero.

    `genuine` tells whether the code there is the one that ships with this toolkit; `balances` are
    what the executor holds, in smallest units with the native token as the zero address;
    `allowances` what its owner lets it take.
    """

    executor: Address
    block_number: int
    genuine: bool
    owner: Address | None = None
    weth: Address | None = None
    unlimited_allowance: bool = False
    balances: dict[Address, int] = {}
    allowances: dict[Address, int] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A deployment under way."""

    node: Node
    sent: Sent

    async def outcome(self) -> Outcome:
        """Wait for its end; a dry run has one at once."""
        return await self.sent.wait()

    async def address(self) -> Address:
        """Wait for the contract and return where it is.

        Raises:
            NodeError: it ended without a contract, or the node has no receipt of it.
        """
        outcome = await self.sent.wait()
        if not isinstance(outcome, Confirmed):
            raise NodeError(f"the executor was not deployed: {outcome}")
        receipt = await self.node.receipt(outcome.tx_hash)
        if receipt is None or receipt.contract_address is None:
            raise NodeError(f"the node has no receipt of the deployment {outcome.tx_hash}")
        return receipt.contract_address


async def deploy_executor(
    session: Sender,
    *,
    weth: Address = MAINNET_WETH,
    signer: Address | None = None,
    visibility: Visibility = Visibility.PUBLIC,
) -> Deployment:
    """Send the creation of an executor and return at once; its sender will be its owner.

    Args:
        session: where it is sent from.
        weth: the wrapped native token, mainnet's unless given; can never be changed.
        signer: who sends and owns it; the session's first signer if None.
        visibility: there is nothing to hide in a creation, so public unless said otherwise.

    Raises:
        ConfigError: there is no contract at `weth`.
        ToolkitError: as `Session.send`; nothing was sent.
    """
    if await session.node.code(address(weth)) == "0x":
        raise ConfigError(f"no contract at {weth} for the wrapped native token on this chain")
    request = TransactionRequest(data=creation_code(weth), sender=signer)
    sent = await session.send(request, urgency=Urgency.NEXT_BLOCK, visibility=visibility)
    return Deployment(node=session.node, sent=sent)


async def status(
    node: Node, executor: Address, *, tokens: Sequence[Address] = ()
) -> ExecutorStatus:
    """Read an executor, and its balances and allowances of `tokens`, at the newest block.

    Raises:
        ConfigError: there is no code at `executor`, or one of `tokens` is no token.
        NodeError: the node could not be asked.
    """
    head = await node.head()
    code = await node.code(executor, head.hash)
    if code == "0x":
        raise ConfigError(f"no contract at {executor} on this chain at block {head.number}")
    if not load_artifact().is_code_of(code):
        return ExecutorStatus(executor=executor, block_number=head.number, genuine=False)
    own = [(executor, selector) for selector in (OWNER, WETH, UNLIMITED_ALLOWANCE)]
    words = [_word(answer, executor) for answer in await aggregate(node, own, block=head.hash)]
    owner = _address(words[0])
    asked = [(token, encode_address_call(BALANCE_OF, executor)) for token in tokens]
    asked += [(token, encode_address_call(ALLOWANCE, owner, executor)) for token in tokens]
    answers = await aggregate(node, asked, block=head.hash)
    amounts = [_word(out, token) for (token, _), out in zip(asked, answers, strict=True)]
    native = await node.balance(executor, head.hash)
    return ExecutorStatus(
        executor=executor,
        block_number=head.number,
        genuine=True,
        owner=owner,
        weth=_address(words[1]),
        unlimited_allowance=words[2] != 0,
        balances={ZERO_ADDRESS: native, **dict(zip(tokens, amounts, strict=False))},
        allowances=dict(zip(tokens, amounts[len(tokens) :], strict=True)),
    )


async def withdraw(
    session: Sender,
    executor: Address,
    *,
    token: Address,
    signer: Address | None = None,
    visibility: Visibility = Visibility.PUBLIC,
) -> Sent:
    """Send the executor's whole balance of `token` (zero address: native) to its owner.

    Plans leave nothing behind, so this is for what strangers sent there by mistake.

    Raises:
        ConfigError: there is no executor of this toolkit at the address, or nothing to withdraw.
        CallReverted: the sender is not its owner.
        ToolkitError: as `Session.send`; nothing was sent.
    """
    tokens = () if token == ZERO_ADDRESS else (token,)
    seen = await status(session.node, executor, tokens=tokens)
    if not seen.genuine:
        raise ConfigError(f"the contract at {executor} is not an executor of this toolkit")
    if seen.balances[token] == 0:
        what = "native token" if token == ZERO_ADDRESS else f"token {token}"
        raise ConfigError(f"executor {executor} holds nothing of {what}: nothing to withdraw")
    if signer is not None and signer != seen.owner:
        raise CallReverted(f"executor {executor} belongs to {seen.owner}, not to {signer}")
    request = TransactionRequest(to=executor, data=encode_withdraw(token), sender=signer)
    return await session.send(request, urgency=Urgency.NEXT_BLOCK, visibility=visibility)


def _word(output: str | None, contract: Address) -> int:
    try:
        (value,) = decode(["uint256"], bytes.fromhex((output or "0x")[2:]))
    except (DecodingError, ValueError):
        raise ConfigError(f"the contract at {contract} does not answer as a token does") from None
    return int(value)


def _address(word: int) -> Address:
    return Address(f"0x{word:040x}")
