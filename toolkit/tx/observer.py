"""What a lane needs to know about the chain as of one head."""

from collections.abc import Sequence
from typing import Any, Protocol

from toolkit.model.chain import Address, Hash, Head, Receipt
from toolkit.model.errors import CallReverted, NodeError
from toolkit.model.tx import FeeQuote, TransactionRequest
from toolkit.tx.events import Mined, Observed, Spender
from toolkit.tx.job import Job
from toolkit.tx.lane import LaneState
from toolkit.tx.tasks import together


class ChainQueries(Protocol):
    """The part of a node that the scheduler asks (`toolkit.chain.node.Node` is one)."""

    async def head(self, block: int | str = "latest") -> Head:
        """A block's header fields."""
        ...

    async def balance(self, account: Address, block: int | str = "latest") -> int:
        """Balance in wei."""
        ...

    async def nonce(self, account: Address, block: int | str = "latest") -> int:
        """Transactions that the account has sent as of a block."""
        ...

    async def call(
        self,
        *,
        to: Address | None,
        data: str = "0x",
        sender: Address | None = None,
        value: int = 0,
        block: int | str = "latest",
    ) -> str:
        """Execute without a transaction; CallReverted when it fails."""
        ...

    async def estimate_gas(self, request: TransactionRequest, *, sender: Address) -> int:
        """Gas units that the request needs now; CallReverted when it would fail."""
        ...

    async def receipt(self, tx_hash: Hash) -> Receipt | None:
        """The receipt of a mined transaction."""
        ...

    async def receipts(self, block: int | str) -> tuple[Receipt, ...]:
        """Every receipt of a block."""
        ...

    async def transaction(self, tx_hash: Hash) -> dict[str, Any] | None:
        """A transaction as the node gives it."""
        ...


async def observe(
    node: ChainQueries,
    state: LaneState,
    *,
    head: Head,
    quotes: dict[str, FeeQuote],
    reorged: bool,
) -> Observed:
    """Ask for everything that `step` must hear about `head`, and nothing else.

    Raises:
        NodeError: the node could not be asked; ask again, nothing has changed.
    """
    nonce, balance = await together(
        (node.nonce(state.lane, head.number), node.balance(state.lane, head.number))
    )
    spent = [job for job in state.in_flight() if (job.nonce or 0) < nonce]
    mined = [job for job in state.jobs.values() if reorged and job.mined is not None]
    found = await together(_mined(node, state.lane, job, head) for job in spent + mined)
    silent = [job for job, receipt in zip(spent, found, strict=False) if receipt is None]
    spenders = [await _spender(node, state, job, head) for job in silent]
    return Observed(
        lane=state.lane,
        block=head.number,
        nonce=nonce,
        balance_wei=balance,
        quotes=quotes,
        receipts=tuple(receipt for receipt in found if receipt is not None),
        spenders=tuple(spender for spender in spenders if spender is not None),
        reorged=reorged,
    )


async def _mined(node: ChainQueries, lane: Address, job: Job, head: Head) -> Mined | None:
    for receipt in await together(_receipt(node, tx_hash) for tx_hash in job.hashes()):
        # A receipt from beyond the head belongs to a block that may yet be replaced unseen.
        if receipt is not None and receipt.block_number <= head.number:
            reason = "" if receipt.succeeded else await _revert_reason(node, lane, job, receipt)
            return Mined(
                tx_hash=receipt.transaction_hash,
                block_number=receipt.block_number,
                block_hash=receipt.block_hash,
                succeeded=receipt.succeeded,
                gas_used=receipt.gas_used,
                fee_wei=receipt.fee_wei,
                reason=reason,
            )
    return None


async def _receipt(node: ChainQueries, tx_hash: Hash) -> Receipt | None:
    return await node.receipt(tx_hash)


async def _revert_reason(node: ChainQueries, lane: Address, job: Job, receipt: Receipt) -> str:
    """Why it failed, as far as repeating it on the parent block tells; it ran later than that."""
    request = job.request
    try:
        await node.call(
            to=request.to,
            data=request.data,
            sender=lane,
            value=request.value,
            block=receipt.block_number - 1,
        )
    except CallReverted as reverted:
        return reverted.reason
    except NodeError:
        return ""  # safe because the reason only informs: pruned state must not hide the outcome
    return ""


async def _spender(node: ChainQueries, state: LaneState, job: Job, head: Head) -> Spender | None:
    """Who spent the job's nonce; None while the node cannot tell."""
    nonce = job.nonce
    assert nonce is not None
    try:
        block = await _spending_block(node, state, nonce=nonce, newest=head.number)
        receipts = () if block is None else await node.receipts(block)
        by = await _with_nonce(node, state.lane, receipts, nonce)
    except NodeError:
        return None  # safe because the lane asks again at the next head, a few times
    return None if by is None else Spender(nonce=nonce, by=by)


async def _spending_block(
    node: ChainQueries, state: LaneState, *, nonce: int, newest: int
) -> int | None:
    """The first block after which the account's count is above `nonce`, by bisection."""
    low, high = max(0, min(state.block, newest) - state.limits.keep_blocks), newest
    if low and await node.nonce(state.lane, low) > nonce:
        return None
    while low < high:
        middle = (low + high) // 2
        if await node.nonce(state.lane, middle) > nonce:
            high = middle
        else:
            low = middle + 1
    return high


async def _with_nonce(
    node: ChainQueries, lane: Address, receipts: Sequence[Receipt], nonce: int
) -> Hash | None:
    for receipt in receipts:
        if receipt.sender == lane:
            transaction = await node.transaction(receipt.transaction_hash)
            if transaction is not None and int(str(transaction["nonce"]), 16) == nonce:
                return receipt.transaction_hash
    return None
