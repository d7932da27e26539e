"""What a lane needs to know about the chain as of one head."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from toolkit.chain.answers import quantity
from toolkit.chain.node import AccountLook
from toolkit.model.chain import Address, Hash, Head, Receipt
from toolkit.model.errors import (
    CallReverted,
    NodeError,
    NodeTimeout,
    NodeUnavailable,
    RejectedByNode,
)
from toolkit.model.tx import FeeQuote
from toolkit.tx.authorized import KnowsBlocks, authorized_in
from toolkit.tx.events import Mined, Observed, Spender
from toolkit.tx.job import Job
from toolkit.tx.lane_spent import FALLEN_PATIENCE_HEADS
from toolkit.tx.lane_state import LaneState
from toolkit.tx.tasks import together
from toolkit.tx.trial import Tries, try_call

_ANY_NONCE = 2**64
_MORE_LOOKS = 2
_DELEGATION = "0xef0100"  # EIP-7702: what an account's code begins with, before its delegate


class ChainQueries(Tries, Protocol):
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

    async def receipt(self, tx_hash: Hash) -> Receipt | None:
        """The receipt of a mined transaction."""
        ...

    async def receipts(self, block: int | str) -> tuple[Receipt, ...]:
        """Every receipt of a block."""
        ...

    async def transaction(self, tx_hash: Hash) -> dict[str, Any] | None:
        """A transaction as the node gives it."""
        ...


@runtime_checkable
class LooksAtOnce(Protocol):
    """A node that answers all about one account in one request (`Node.look`)."""

    async def look(self, account: Address, block: int, hashes: Sequence[Hash] = ()) -> AccountLook:
        """Nonce and balance as of a block, and the receipts of these transactions."""
        ...


@runtime_checkable
class KnowsCode(Protocol):
    """A node that tells an account's code."""

    async def code(self, account: Address, block: int | str = "latest") -> str:
        """Code as 0x hex; `0x` for an account without code."""
        ...


async def runs_code(node: object, account: Address, head: Head) -> bool:
    """Whether an account is delegated to some code (EIP-7702); no, where a node cannot tell.

    Raises:
        NodeError: the node could not be asked.
    """
    if not isinstance(node, KnowsCode):
        return False
    return (await node.code(account, head.number)).startswith(_DELEGATION)


async def observe(
    node: ChainQueries,
    state: LaneState,
    *,
    head: Head,
    quotes: dict[str, FeeQuote],
    reorged: bool,
    delegated: bool = False,
) -> Observed:
    """Ask for everything that `step` must hear about `head`, and nothing else.

    Raises:
        NodeError: the node could not be asked; ask again, nothing has changed.
    """
    look, found = await _look(node, state, head, reorged=reorged)
    nonce = await _believed(node, state, head, look.nonce, reorged=reorged)
    asked = state.questions(nonce, reorged=reorged)
    receipts = [(job, _receipt_of(job, found, head)) for job in asked]
    told = await together(
        _as_mined(node, state.lane, job, receipt)
        for job, receipt in receipts
        if receipt is not None
    )
    silent = [job for job, receipt in receipts if receipt is None]
    spent = [job for job in silent if job.nonce is not None and job.nonce < nonce]
    spenders = await together(_spender(node, state, job, head) for job in spent)
    return Observed(
        lane=state.lane,
        block=head.number,
        nonce=nonce,
        balance_wei=look.balance_wei,
        quotes=quotes,
        receipts=tuple(told),
        spenders=tuple(spender for spender in spenders if spender is not None),
        reorged=reorged,
        delegated=delegated,
    )


async def _look(
    node: ChainQueries, state: LaneState, head: Head, *, reorged: bool
) -> tuple[AccountLook, Mapping[Hash, Receipt]]:
    """Nonce, balance, and every receipt that may matter: in one request, if the node can."""
    if isinstance(node, LooksAtOnce):
        # What the nonce will say is not known yet, so everything in flight is asked about.
        hashes = _hashes(state.questions(_ANY_NONCE, reorged=reorged))
        try:
            return _found(await node.look(state.lane, head.number, hashes), hashes)
        except (NodeTimeout, NodeUnavailable):
            raise
        except NodeError:
            pass  # safe because it is asked one by one below: some gateways refuse batches
    nonce, balance = await together(
        (node.nonce(state.lane, head.number), node.balance(state.lane, head.number))
    )
    hashes = _hashes(state.questions(nonce, reorged=reorged))
    receipts = tuple(await together(_receipt(node, tx_hash) for tx_hash in hashes))
    return _found(AccountLook(nonce=nonce, balance_wei=balance, receipts=receipts), hashes)


def _found(look: AccountLook, hashes: Sequence[Hash]) -> tuple[AccountLook, Mapping[Hash, Receipt]]:
    pairs = zip(hashes, look.receipts, strict=True)
    return look, {tx_hash: receipt for tx_hash, receipt in pairs if receipt is not None}


async def _believed(
    node: ChainQueries, state: LaneState, head: Head, nonce: int, *, reorged: bool
) -> int:
    """A count that has fallen, after a second and a third look: one backend may lag behind.

    Without a reorg a lane believes in it only at the last of several heads in a row; a balancer
    that lets its backends take turns can send the first question of each of them to the same one.
    """
    matters = reorged or state.fallen + 1 >= FALLEN_PATIENCE_HEADS
    for _ in range(_MORE_LOOKS):
        if not matters or nonce >= state.nonce:
            break
        nonce = max(nonce, await node.nonce(state.lane, head.number))
    return nonce


def _hashes(jobs: Sequence[Job]) -> list[Hash]:
    return [tx_hash for job in jobs for tx_hash in job.hashes()]


async def _receipt(node: ChainQueries, tx_hash: Hash) -> Receipt | None:
    return await node.receipt(tx_hash)


def _receipt_of(job: Job, found: Mapping[Hash, Receipt], head: Head) -> Receipt | None:
    for tx_hash in job.hashes():
        receipt = found.get(tx_hash)
        # A receipt from beyond the head belongs to a block that may yet be replaced unseen.
        if receipt is not None and receipt.block_number <= head.number:
            return receipt
    return None


async def _as_mined(node: ChainQueries, lane: Address, job: Job, receipt: Receipt) -> Mined:
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


async def _revert_reason(node: ChainQueries, lane: Address, job: Job, receipt: Receipt) -> str:
    """Why it failed, as far as repeating it on the parent block tells; it ran later than that."""
    attempt = job.attempt(receipt.transaction_hash)
    unsigned = (attempt or job.last).signed.unsigned
    try:
        await try_call(node, unsigned, sender=lane, block=receipt.block_number - 1)
    except CallReverted as reverted:
        return reverted.reason
    except (NodeError, RejectedByNode):
        pass  # safe because the reason only informs: pruned state must not hide the outcome
    if receipt.gas_used >= unsigned.gas:
        return f"all of its gas ({unsigned.gas}) was used: out of gas, or an invalid operation"
    return ""


async def _spender(node: ChainQueries, state: LaneState, job: Job, head: Head) -> Spender | None:
    """Who spent the job's nonce; None while the node cannot tell."""
    nonce = job.nonce
    assert nonce is not None
    try:
        block = await _spending_block(node, state, nonce=nonce, newest=head.number)
        receipts = () if block is None else await node.receipts(block)
        found = await _with_nonce(node, state.lane, receipts, job)
        if found is None and block is not None:
            found = await _authorized(node, state, nonce=nonce, block=block)
    except NodeError:
        return None  # safe because the lane asks again at the next head, a few times
    if found is None or block is None:
        return None
    by, same = found
    return Spender(nonce=nonce, by=by, block_number=block, same_payload=same)


def _does(transaction: Mapping[str, Any], job: Job) -> bool:
    """Whether somebody else's transaction does what the author asked for."""
    to, data = transaction.get("to"), transaction.get("input", transaction.get("data"))
    target = None if to is None else Address(str(to))
    return job.does(target, quantity(transaction.get("value")), str(data))


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
    node: ChainQueries, lane: Address, receipts: Sequence[Receipt], job: Job
) -> tuple[Hash, bool] | None:
    for receipt in receipts:
        if receipt.sender == lane:
            transaction = await node.transaction(receipt.transaction_hash)
            if transaction is not None and quantity(transaction.get("nonce")) == job.nonce:
                return receipt.transaction_hash, _does(transaction, job)
    return None


async def _authorized(
    node: ChainQueries, state: LaneState, *, nonce: int, block: int
) -> tuple[Hash, bool] | None:
    """Who spent the nonce by an authorization, which does nothing of what the request asks for."""
    if not isinstance(node, KnowsBlocks):
        return None
    count = await node.nonce(state.lane, max(0, block - 1))
    sealed = await node.block(block, full=True)
    by = authorized_in(sealed, state.lane, chain_id=state.chain_id, count=count, nonce=nonce)
    return None if by is None else (by, False)
