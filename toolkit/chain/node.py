"""A node as typed questions: integers, heads and receipts instead of hex and dictionaries."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from toolkit.chain import answers
from toolkit.chain.hashing import keccak
from toolkit.chain.node_errors import classify
from toolkit.chain.rpc import Rpc
from toolkit.chain.tx_params import access_objects, authorization_objects
from toolkit.model.chain import Address, Hash, Head, LogEntry, Receipt
from toolkit.model.errors import ConfigError, NodeError, RpcError
from toolkit.model.tx import AccessListItem, TransactionRequest

Block = int | str  # a number, a tag such as "latest", or a 32-byte hash


class FeeHistory(msgspec.Struct, frozen=True, kw_only=True):
    """`eth_feeHistory`: fees in wei, oldest block first; `base_fees` has one entry more.

    On a fork a node may return fewer blocks than `oldest_block` suggests: align from the newest
    end, whose last base fee is that of the block to come.
    """

    oldest_block: int
    base_fees: tuple[int, ...]
    gas_used_ratios: tuple[float, ...]
    rewards: tuple[tuple[int, ...], ...]


class AccountLook(NamedTuple):
    """An account as of one block, and the receipts of transactions, None where there is none."""

    nonce: int
    balance_wei: int
    receipts: tuple[Receipt | None, ...]


class Node:
    """Typed access to one endpoint. Errors are those of `Rpc`, classified where the node said no.

    Every method raises NodeTimeout, NodeUnavailable or RpcError when the node cannot be asked, and
    NodeError when its answer is not of the form the method's specification gives.
    """

    def __init__(self, rpc: Rpc) -> None:
        self.rpc = rpc

    async def chain_id(self) -> int:
        """EIP-695 chain id."""
        return answers.quantity(await self._ask("eth_chainId"))

    async def client_version(self) -> str:
        """For example `anvil/v1.7.1` or `Geth/v1.16.2-stable/linux-amd64/go1.24`."""
        return answers.text(await self._ask("web3_clientVersion"))

    async def head(self, block: Block = "latest") -> Head:
        """Read a block's header.

        Raises:
            NodeError: the node has no such block.
        """
        return answers.head(await self.block(block))

    async def block(self, block: Block = "latest", *, full: bool = False) -> dict[str, Any]:
        """Read a block as the node gives it, with whole transactions if `full`.

        Raises:
            NodeError: the node has no such block.
        """
        found = await self._ask(*block_request(block, full=full))
        if not isinstance(found, dict):
            raise NodeError(f"the node has no block {block}")
        _check_block(block, number=found.get("number"), block_hash=found.get("hash"))
        return found

    async def balance(self, account: Address, block: Block = "latest") -> int:
        """Balance in wei."""
        return answers.quantity(await self._ask("eth_getBalance", account, block_id(block)))

    async def nonce(self, account: Address, block: Block = "latest") -> int:
        """How many transactions the account has sent as of `block`."""
        return answers.count(await self._ask("eth_getTransactionCount", account, block_id(block)))

    async def code(self, account: Address, block: Block = "latest") -> str:
        """Code as 0x hex; `0x` for an account without code."""
        return answers.data(await self._ask("eth_getCode", account, block_id(block)))

    async def storage(self, account: Address, slot: int, block: Block = "latest") -> int:
        """One storage word."""
        answer = await self._ask("eth_getStorageAt", account, f"0x{slot:064x}", block_id(block))
        return answers.word(answer)

    async def call(
        self,
        *,
        to: Address | None,
        data: str = "0x",
        sender: Address | None = None,
        value: int = 0,
        gas: int | None = None,
        access_list: Sequence[AccessListItem] = (),
        block: Block = "latest",
    ) -> str:
        """Execute without a transaction and return the output as 0x hex.

        With `gas` it may use so much; clients differ in how they say that it was too little.

        Raises:
            CallReverted: with the decoded reason.
        """
        request = call_object(to=to, data=data, sender=sender, value=value)
        if gas is not None:
            request["gas"] = hex(gas)
        if access_list:
            request["accessList"] = access_objects(access_list)
        return answers.data(await self._ask("eth_call", request, block_id(block)))

    async def estimate_gas(self, request: TransactionRequest, *, sender: Address) -> int:
        """The node's estimate in gas units, on the latest block, without a margin.

        Where the request states its gas, no more than that is tried.

        Raises:
            CallReverted: the transaction would fail.
            InsufficientFunds: `sender` cannot pay `value`.
        """
        fields = call_object(to=request.to, data=request.data, sender=sender, value=request.value)
        if request.access_list:
            fields["accessList"] = access_objects(request.access_list)
        if request.gas is not None:
            fields["gas"] = hex(request.gas)
        if request.authorization_list:  # each costs gas (EIP-7702)
            fields["authorizationList"] = authorization_objects(request.authorization_list)
        return answers.count(await self._ask("eth_estimateGas", fields))

    async def fee_history(
        self, count: int, block: Block = "latest", percentiles: Sequence[float] = ()
    ) -> FeeHistory:
        """Base fees of `count` blocks up to `block`, and their tips at `percentiles`."""
        answer = await self._ask("eth_feeHistory", hex(count), block_id(block), list(percentiles))
        with answers.expecting("eth_feeHistory"):
            return FeeHistory(
                oldest_block=answers.quantity(answer["oldestBlock"]),
                base_fees=tuple(answers.quantity(fee) for fee in answer["baseFeePerGas"]),
                gas_used_ratios=tuple(float(ratio) for ratio in answer["gasUsedRatio"]),
                rewards=tuple(
                    tuple(answers.quantity(tip) for tip in row)
                    for row in answer.get("reward") or ()
                ),
            )

    async def send_raw(self, raw: str) -> Hash:
        """Broadcast signed bytes, once: never repeated here, whatever happens.

        Returns:
            The hash, computed from the bytes: it is theirs whatever the node answers.

        Raises:
            RejectedByNode: the subclass and its `recovery` say what to do.
            NodeTimeout, NodeUnavailable: the node may have taken it (unless `.sent` is False).
        """
        await self._ask("eth_sendRawTransaction", raw)
        return Hash("0x" + keccak(bytes.fromhex(raw[2:])).hex())

    async def receipt(self, tx_hash: Hash) -> Receipt | None:
        """The receipt if the transaction is in the node's canonical chain."""
        found = await self._ask("eth_getTransactionReceipt", tx_hash)
        return _receipt_of(tx_hash, found)

    async def look(
        self, account: Address, block: Block, hashes: Sequence[Hash] = ()
    ) -> AccountLook:
        """Ask for an account's nonce and balance and for receipts, in one request.

        The receipts are those of the node's present chain, which may be longer than `block`.
        """
        where = block_id(block)
        state = [
            ("eth_getTransactionCount", (account, where)),
            ("eth_getBalance", (account, where)),
        ]
        asked = [("eth_getTransactionReceipt", (tx_hash,)) for tx_hash in hashes]
        found = await self.rpc.batch([*state, *asked])
        told: list[Any] = []
        for answer in found:
            if isinstance(answer, RpcError):
                raise classify(answer.code, answer.message, answer.data) from answer
            told.append(answer)
        return AccountLook(
            nonce=answers.count(told[0]),
            balance_wei=answers.quantity(told[1]),
            receipts=tuple(
                _receipt_of(tx_hash, one) for tx_hash, one in zip(hashes, told[2:], strict=True)
            ),
        )

    async def receipts(self, block: Block) -> tuple[Receipt, ...]:
        """Every receipt of a block, in order.

        Raises:
            NodeError: the node has no such block.
        """
        found = await self._ask("eth_getBlockReceipts", block_tag(block))
        if not isinstance(found, list):
            raise NodeError(f"the node has no receipts of block {block}")
        receipts = tuple(answers.receipt(item) for item in found)
        for receipt in receipts:
            _check_block(block, number=hex(receipt.block_number), block_hash=receipt.block_hash)
        return receipts

    async def transaction(self, tx_hash: Hash) -> dict[str, Any] | None:
        """A pending or mined transaction as the node gives it; None if it knows none."""
        found = await self._ask("eth_getTransactionByHash", tx_hash)
        if found is not None and (
            not isinstance(found, dict) or str(found.get("hash")).lower() != tx_hash.lower()
        ):
            raise NodeError(f"the node answered about another transaction than {tx_hash}")
        return found

    async def logs(
        self,
        *,
        block_hash: Hash | None = None,
        from_block: Block | None = None,
        to_block: Block | None = None,
        addresses: Sequence[Address] = (),
        topics: Sequence[Hash | Sequence[Hash] | None] = (),
    ) -> tuple[LogEntry, ...]:
        """Logs of one block by hash, or of a range of numbers, in order.

        Raises:
            ConfigError: both forms at once, or neither.
        """
        ranged = from_block is not None and to_block is not None
        if (block_hash is None) is not ranged:
            raise ConfigError("logs need either block_hash, or from_block and to_block")
        where: dict[str, object] = {"blockHash": block_hash}
        if from_block is not None and to_block is not None:
            where = {"fromBlock": block_tag(from_block), "toBlock": block_tag(to_block)}
        if addresses:
            where["address"] = list(addresses)
        if topics:
            where["topics"] = list(topics)
        found = await self._ask("eth_getLogs", where)
        with answers.expecting("eth_getLogs"):
            return tuple(answers.log(item) for item in found)

    async def _ask(self, method: str, *params: object) -> Any:
        try:
            return await self.rpc.call(method, params)
        except RpcError as error:
            raise classify(error.code, error.message, error.data) from error


def _receipt_of(tx_hash: Hash, found: Any) -> Receipt | None:
    """The receipt of this transaction and of no other."""
    if found is None:
        return None
    receipt = answers.receipt(found)
    if receipt.transaction_hash != tx_hash.lower():
        raise NodeError(f"the node answered the receipt of another transaction than {tx_hash}")
    return receipt


def _check_block(asked: Block, *, number: object, block_hash: object) -> None:
    """Refuse another block than the one that was named; a tag names none."""
    if isinstance(asked, int):
        same = answers.count(number) == asked
    else:
        same = len(asked) != answers.HASH_CHARS or str(block_hash).lower() == asked.lower()
    if not same:
        raise NodeError(f"the node answered about another block than {asked}")


def block_tag(block: Block) -> str:
    """A block as methods without EIP-1898 take it: a quantity, a tag or a hash."""
    return hex(block) if isinstance(block, int) else block


def block_id(block: Block) -> str | dict[str, str]:
    """A block as state queries take it: a hash goes as an EIP-1898 object."""
    if isinstance(block, str) and len(block) == answers.HASH_CHARS:
        return {"blockHash": block}
    return block_tag(block)


def block_request(block: Block, *, full: bool = False) -> tuple[str, str, bool]:
    """The method and parameters that read a block by number, tag or hash."""
    if isinstance(block, str) and len(block) == answers.HASH_CHARS:
        return "eth_getBlockByHash", block, full
    return "eth_getBlockByNumber", block_tag(block), full


def call_object(
    *, to: Address | None, data: str = "0x", sender: Address | None = None, value: int = 0
) -> dict[str, object]:
    """The transaction object of `eth_call` and `eth_estimateGas`; `value` in wei."""
    fields: dict[str, object] = {"data": data}
    if to is not None:
        fields["to"] = to
    if sender is not None:
        fields["from"] = sender
    if value:
        fields["value"] = hex(value)
    return fields
