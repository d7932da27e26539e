"""A block run again with a bundle in it: where it would have failed, and what it would have paid.

By `eth_simulateV1`, never by mining: at the block's own number, time, base fee and coinbase, on its
parent's state. A run that does not repeat what the block's receipts say is not believed.
"""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec

from toolkit.bundles.guards import spent_by
from toolkit.chain import answers
from toolkit.chain.call_object import call_object
from toolkit.chain.node import Node, block_id
from toolkit.chain.node_errors import classify
from toolkit.chain.reverts import decode_revert
from toolkit.model.bundle import Bundle
from toolkit.model.chain import Address, Hash, Head, Receipt
from toolkit.model.errors import (
    CallReverted,
    NodeError,
    NodeTimeout,
    NodeUnavailable,
    RejectedByNode,
    RpcError,
)
from toolkit.model.tx import SignedTransaction

Request = Mapping[str, object]

# Where `traceTransfers` logs what moved in wei, as if it were a token (execution-apis).
_WEI_LOGS = "0xeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"
_ANSWERS_OF_A_TRANSFER = 3
_CALL_FIELDS = (
    *("from", "to", "gas", "value", "input", "nonce", "type", "chainId", "accessList"),
    *("authorizationList", "blobVersionedHashes", "maxFeePerBlobGas"),
)


class MinedTransaction(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction of a block, with the request that runs it again."""

    hash: Hash
    sender: Address
    nonce: int
    gas: int
    request: Request


class BlockFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A block with its receipts in order, as the chain tells them."""

    head: Head
    coinbase: Address
    receipts: tuple[Receipt, ...]
    mined: tuple[MinedTransaction, ...] = ()

    def priority_wei(self, receipt: Receipt) -> int:
        """What a transaction paid to the coinbase by its fees."""
        return receipt.gas_used * (receipt.effective_gas_price - self.head.base_fee_per_gas)


class Reenactment(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle would have done in a block, and what the block's transactions paid.

    Args:
        failure: why it fails on the parent's state; "" if it does not.
        paid_wei: what it pays the builder there, transaction by transaction.
        late_failure: why it fails behind the last transaction of the block.
        rival: the first transaction behind which it fails.
        displaced_wei: what the block's transactions would have paid less behind the bundle.
        payments: what each transaction of the block paid.
        gas_needed: how much gas has to be left in the block when it begins.
        is_whole: whether the block could be run again; else only the first two are known.
    """

    failure: str = ""
    paid_wei: Mapping[Hash, int] = {}
    late_failure: str = ""
    rival: Hash | None = None
    displaced_wei: int = 0
    payments: Mapping[Hash, int] = {}
    gas_needed: int = 0
    is_whole: bool = False

    @property
    def bid_wei(self) -> int:
        """What it pays the builder on the parent's state."""
        return sum(self.paid_wei.values())


class ReceiptsLate(NodeError):
    """The node has a block, and not all of its receipts yet."""


async def read_block(node: Node, head: Head) -> BlockFacts:
    """Read the block of `head` with its receipts, pinned to its hash.

    Raises:
        ReceiptsLate: the node has the block, but not all of its receipts yet.
        NodeError: it has no such block.
    """
    block, receipts = await asyncio.gather(
        node.block(head.hash, full=True), node.receipts(head.hash), return_exceptions=True
    )
    if isinstance(block, BaseException):
        raise block
    mined = tuple(_mined(one) for one in block["transactions"])
    if isinstance(receipts, NodeError) and not isinstance(receipts, NodeTimeout | NodeUnavailable):
        raise ReceiptsLate(str(receipts)) from receipts
    if isinstance(receipts, BaseException):
        raise receipts
    if tuple(one.hash for one in mined) != tuple(one.transaction_hash for one in receipts):
        raise ReceiptsLate(
            f"the node has {len(receipts)} of {len(mined)} receipts of block {head.number} so far"
        )
    coinbase = Address(str(block["miner"]).lower())
    return BlockFacts(head=head, coinbase=coinbase, receipts=receipts, mined=mined)


def placed(bundle: Bundle, block: BlockFacts) -> tuple[Receipt, ...]:
    """The bundle's receipts if it is in the block: in one piece and in order; () otherwise.

    Only what may be left out may be missing, and not all of it.
    """
    wanted = set(bundle.hashes)
    places = [i for i, one in enumerate(block.receipts) if one.transaction_hash in wanted]
    found = tuple(block.receipts[place] for place in places)
    hashes = [one.transaction_hash for one in found]
    there = set(hashes)
    kept = [one for one in bundle.hashes if one in there or one not in bundle.dropping_hashes]
    if not places or hashes != kept or places[-1] - places[0] != len(places) - 1:
        return ()
    return found


async def reenact(
    node: Node, bundle: Bundle, transactions: Sequence[SignedTransaction], block: BlockFacts
) -> Reenactment | None:
    """Run a bundle that is not in a block there; None where the node cannot, or not truly.

    Raises:
        NodeError: the node could not be asked.
    """
    stage = _Stage(node, bundle, transactions, block)
    try:
        alone = await stage.place(0)
        if alone.failure:
            return Reenactment(failure=alone.failure)
        paid = {one: effect.paid_wei for one, effect in alone.own.items()}
        payments = await stage.payments()
        if payments is None:
            return Reenactment(paid_wei=paid)
        behind = await stage.place(len(block.mined))
        return Reenactment(
            paid_wei=paid,
            late_failure=behind.failure,
            rival=await stage.first_rival() if behind.failure else None,
            displaced_wei=await stage.displaced(alone, payments),
            payments=payments,
            gas_needed=stage.gas_needed(alone),
            is_whole=True,
        )
    except RpcError:  # safe because nothing is claimed of what could not be run
        return None


class _Effect(NamedTuple):
    succeeded: bool
    gas_used: int
    paid_wei: int
    output: str


class _Run(NamedTuple):
    """What the bundle's transactions did in a place, and why it cannot be there."""

    own: Mapping[Hash, _Effect]
    failure: str


class _Stage:
    """One block, on which one bundle is tried in places."""

    def __init__(
        self,
        node: Node,
        bundle: Bundle,
        transactions: Sequence[SignedTransaction],
        block: BlockFacts,
    ) -> None:
        self._node = node
        self._bundle = bundle
        self._transactions = tuple(transactions)
        self._block = block

    async def place(self, count: int) -> _Run:
        """Behind the block's first `count`; what those contain of it is not run twice."""
        before = self._block.mined[:count]
        there = {one.hash for one in before}
        spent = {(one.sender, one.nonce): one.hash for one in before}
        rest = [one for one in self._transactions if one.hash not in there]
        for one in rest:
            other = spent.get((one.sender, one.unsigned.nonce))
            if other is not None:
                return _Run({}, f"{other} has its nonce {one.unsigned.nonce}")
        return await self._without_drops(before, rest)

    def gas_needed(self, alone: _Run) -> int:
        """A transaction needs its whole limit, and leaves what it does not use to the next."""
        needed = used = 0
        for one in self._transactions:
            if one.hash in alone.own:
                needed = max(needed, used + one.unsigned.gas)
                used += alone.own[one.hash].gas_used
        return needed

    async def first_rival(self) -> Hash:
        """The first of the block behind which it fails, where it does so behind the last."""
        low, high = 0, len(self._block.mined)
        while high - low > 1:
            middle = (low + high) // 2
            failed = bool((await self.place(middle)).failure)
            low, high = (low, middle) if failed else (middle, high)
        return self._block.mined[high - 1].hash

    async def displaced(self, alone: _Run, payments: Mapping[Hash, int]) -> int:
        """What the block would have paid less, had the bundle come first, in wei.

        Who then fails would have been left out, with what its sender has next to it: a bundle is
        all or nothing.
        """
        kept = [one for one in self._transactions if one.hash in alone.own]
        hashes = {one.hash for one in kept}
        nonces = {(one.sender, one.unsigned.nonce) for one in kept}
        others = [one for one in self._block.mined if one.hash not in hashes]
        lost = {one.hash for one in others if (one.sender, one.nonce) in nonces}
        # Who follows the same transaction has it in a bundle of its own.
        behind = (after for one, after in pairwise(self._block.mined) if one.hash in hashes)
        lost |= {one.hash for one in behind if one.hash not in hashes}
        going = [one for one in others if one.hash not in lost]
        try:
            after = (await self._effects((), kept, behind=going))[0]
        except RpcError:  # safe because nothing is claimed of what could not be run
            return sum(payments.values())
        succeeded = {one.transaction_hash: one.succeeded for one in self._block.receipts}
        lost |= {one.hash for one in going if succeeded[one.hash] and not after[one.hash].succeeded}
        return sum(payments[one] for one in _with_neighbours(self._block.mined, lost))

    async def payments(self) -> Mapping[Hash, int] | None:
        """What each of the block's transactions paid; None if they do not do again what they did.

        Then the node's rules, or its state, are not those of the block.
        """
        try:
            found, _ = await self._effects(self._block.mined, ())
        except RpcError:  # safe because nothing is claimed of what could not be run
            return None
        same = (
            found[one.transaction_hash][:2] == (one.succeeded, one.gas_used)
            for one in self._block.receipts
        )
        return {name: effect.paid_wei for name, effect in found.items()} if all(same) else None

    async def _without_drops(
        self, before: Sequence[MinedTransaction], rest: list[SignedTransaction]
    ) -> _Run:
        """Leave out what would revert and may be left out, and what of that follows its nonce."""
        gone: list[SignedTransaction] = []
        dropping = self._bundle.dropping_hashes
        while True:
            try:
                _, own = await self._effects(before, rest)
            except RpcError as error:
                found = classify(error.code, error.message, error.data)
                if isinstance(found, RejectedByNode | CallReverted):
                    return _Run({}, str(found))
                raise
            guilty = next((one for one in rest if self._is_fault(one, own[one.hash])), None)
            if guilty is None:
                stranded = next((one for one in rest if _is_stranded(one, gone)), None)
                return _Run(own, f"{stranded.hash} has no valid nonce" if stranded else "")
            gone.append(guilty)
            for one in rest:
                if one.hash in dropping and _is_stranded(one, gone):
                    gone.append(one)
            left = [one for one in rest if one not in gone]
            if guilty.hash not in dropping or not left:
                return _Run(own, f"{guilty.hash} fails: {decode_revert(own[guilty.hash].output)}")
            rest = left

    def _is_fault(self, one: SignedTransaction, effect: _Effect) -> bool:
        return not effect.succeeded and one.hash not in self._bundle.reverting_hashes

    async def _effects(
        self,
        before: Sequence[MinedTransaction],
        ours: Sequence[SignedTransaction],
        *,
        behind: Sequence[MinedTransaction] = (),
    ) -> tuple[dict[Hash, _Effect], dict[Hash, _Effect]]:
        """What others do and what ours do, in this order."""
        names = [
            *(one.hash for one in before),
            *(one.hash for one in ours),
            *(one.hash for one in behind),
        ]
        requests = [
            *(one.request for one in before),
            *(call_object(one) for one in ours),
            *(one.request for one in behind),
        ]
        if not requests:
            return {}, {}
        told = await self._simulate(requests)
        effects = {
            name: self._effect(request, answer)
            for name, request, answer in zip(names, requests, told, strict=True)
        }
        own = {one.hash: effects.pop(one.hash) for one in ours}
        return effects, own

    async def _simulate(self, requests: Sequence[Request]) -> Sequence[dict[str, Any]]:
        head = self._block.head
        asked = {
            "blockStateCalls": [
                {
                    "blockOverrides": {
                        "number": hex(head.number),
                        "time": hex(head.timestamp),
                        "gasLimit": hex(head.gas_limit),
                        "feeRecipient": self._block.coinbase,
                        "baseFeePerGas": hex(head.base_fee_per_gas),
                    },
                    "calls": requests,
                }
            ],
            "validation": False,
            "traceTransfers": True,
        }
        found = await self._node.rpc.call("eth_simulateV1", [asked, block_id(head.parent_hash)])
        with answers.expecting("eth_simulateV1"):
            told: Sequence[dict[str, Any]] = found[0]["calls"]
        if len(told) != len(requests):
            raise NodeError(f"eth_simulateV1 ran {len(told)} of {len(requests)} transactions")
        return told

    def _effect(self, request: Request, told: Mapping[str, Any]) -> _Effect:
        with answers.expecting("eth_simulateV1"):
            succeeded = answers.quantity(told["status"]) == 1
            gas_used = answers.quantity(told["gasUsed"])
            paid = gas_used * _tip(request, self._block.head.base_fee_per_gas)
            if succeeded:
                paid += sum(_moved(one, self._block.coinbase) for one in told["logs"])
            return _Effect(succeeded, gas_used, paid, answers.text(told["returnData"]))


def _is_stranded(one: SignedTransaction, gone: Sequence[SignedTransaction]) -> bool:
    """Whether its nonce is not reached without those that are left out."""
    nonce = one.unsigned.nonce
    spent = (each for other in gone for each in spent_by(other))
    return any(account == one.sender and before < nonce for account, before in spent)


def _with_neighbours(mined: Sequence[MinedTransaction], lost: set[Hash]) -> set[Hash]:
    """Those that are lost, and all that their sender has directly before and behind them."""
    found = set(lost)
    for order in (mined, mined[::-1]):
        for one, following in pairwise(order):
            if one.hash in found and following.sender == one.sender:
                found.add(following.hash)
    return found


def _moved(entry: Mapping[str, Any], coinbase: Address) -> int:
    """Wei that one transfer brought to the coinbase."""
    topics = entry["topics"]
    if str(entry["address"]).lower() != _WEI_LOGS or len(topics) != _ANSWERS_OF_A_TRANSFER:
        return 0
    origin, target = (f"0x{str(topic)[-40:].lower()}" for topic in topics[1:])
    return int(str(entry["data"]), 16) if target == coinbase != origin else 0


def _tip(request: Request, base_fee_wei: int) -> int:
    """What a unit of gas pays the builder, in wei (EIP-1559)."""
    if "maxFeePerGas" in request:
        cap, tip = (
            int(str(request[name]), 16) for name in ("maxFeePerGas", "maxPriorityFeePerGas")
        )
        return min(tip, cap - base_fee_wei)
    return int(str(request["gasPrice"]), 16) - base_fee_wei


def _mined(told: Mapping[str, Any]) -> MinedTransaction:
    with answers.expecting("eth_getBlockByHash"):
        request = {name: told[name] for name in _CALL_FIELDS if told.get(name) is not None}
        capped = told.get("maxFeePerGas") is not None
        fees = ("maxFeePerGas", "maxPriorityFeePerGas") if capped else ("gasPrice",)
        return MinedTransaction(
            hash=Hash(answers.text(told["hash"]).lower()),
            sender=Address(answers.text(told["from"]).lower()),
            nonce=answers.quantity(told["nonce"]),
            gas=answers.quantity(told["gas"]),
            request=request | {name: told[name] for name in fees},
        )
