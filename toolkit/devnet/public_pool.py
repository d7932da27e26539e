"""The devnet's public pool: what nodes hold between a broadcast and a block.

The rules are the pure `Mempool`'s; this gives it the chain it needs to know about, and tells
listeners what has become executable. Anvil has no part in it: it is given the next block's
transactions when that block is sealed, and nothing before.
"""

import asyncio
import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from toolkit.chain.rpc import Rpc
from toolkit.chain.signer import decode_transaction
from toolkit.devnet import entries
from toolkit.devnet.mempool import AccountState, ChainState, Mempool, PooledTransaction, PoolRefusal
from toolkit.devnet.pool_rules import GETH, Bump, PoolRules, Reason, Rounding, pool_rules
from toolkit.model.chain import Address, Hash
from toolkit.model.errors import ConfigError, RpcError
from toolkit.model.tx import SignedTransaction

BLOBS_PER_BLOCK = 9  # EIP-7691, Prague
_MANY = 10**9  # more than any run sends
_DELEGATION = "0xef0100"  # EIP-7702's designator, in front of the delegate's address
_PER_ACCOUNT = ("eth_getTransactionCount", "eth_getBalance", "eth_getCode")

# No client's pool: what can be executed some day is taken and kept, and the last of one nonce is
# the one that counts, unless its fees are lower.
_NO_RULES = msgspec.structs.replace(
    GETH,
    name="none",
    rpc_checks=(),
    checks=(
        Reason.ALREADY_KNOWN,
        Reason.TIP_ABOVE_CAP,
        Reason.WRONG_CHAIN,
        Reason.GAS_ABOVE_BLOCK,
        Reason.INTRINSIC_GAS,
        Reason.NONCE_TOO_LOW,
        Reason.FUNDS,
        Reason.REPLACEMENT,
        Reason.BLOB_REPLACEMENT,
    ),
    bump=Bump(rounding=Rounding.CEIL, percent=0, blob_percent=0),
    guaranteed_slots=_MANY,
    global_slots=_MANY,
    account_queue=_MANY,
    global_queue=_MANY,
    lifetime_blocks=_MANY,
)

Listener = Callable[[PooledTransaction], None]


class PublicPool:
    """A `Mempool` kept in step with the chain of one node; `open_pool` makes it.

    `auto_impersonate` is set while the node acts for every account, of which it keeps no list.
    """

    def __init__(self, rpc: Rpc, mempool: Mempool) -> None:
        self.mempool = mempool
        self.auto_impersonate = False
        self._rpc = rpc
        self._accounts = _AccountReader(rpc)
        self._listeners: list[Listener] = []
        self._announced: set[Hash] = set()
        self._filling = asyncio.Lock()

    async def send_raw(self, raw: object) -> PooledTransaction:
        """Take signed bytes.

        Raises:
            EntryError: they are no transaction.
            PoolRefusal: the rules refuse it, in the words of the client that has them.
        """
        return await self._admit(entries.from_raw(raw))

    async def send_all(self, transactions: Iterable[SignedTransaction]) -> int:
        """Take what is signed, in order; how many of them were not refused."""
        found = [entries.from_raw(each.raw) for each in transactions]
        results = await asyncio.gather(
            *(self._admit(each) for each in found), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, PoolRefusal):
                raise result
        return sum(isinstance(result, PooledTransaction) for result in results)

    async def send_call(self, request: Mapping[str, Any]) -> PooledTransaction:
        """Take what an account sends that the node acts for: impersonated, or with its key.

        Raises:
            RpcError: the node does not act for the account, or cannot fill the transaction.
            EntryError, PoolRefusal: as `send_raw`.
        """
        async with self._filling:  # or two at once would be given the same nonce
            return await self._send_filled(await self.fill(request))

    async def fill(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """A transaction with what its sender left open, as `eth_fillTransaction` answers it.

        The nonce is the pool's next one, the rest the node's choice.

        Raises:
            RpcError: the node cannot fill it, e.g. because it would fail.
        """
        if request.get("nonce") is None and isinstance(request.get("from"), str):
            nonce = await self.next_nonce(Address(str(request["from"]).lower()))
            request = {**request, "nonce": hex(nonce)}
        filled: dict[str, Any] = await self._rpc.call("eth_fillTransaction", (request,))
        return filled

    async def next_nonce(self, sender: Address) -> int:
        """What `eth_getTransactionCount(sender, "pending")` is: behind all executable ones."""
        return (await self.next_nonces([sender]))[sender]

    async def next_nonces(self, senders: Sequence[Address]) -> dict[Address, int]:
        """`next_nonce` of many."""
        counts = await self._rpc.batch(
            [("eth_getTransactionCount", (each, "latest")) for each in senders]
        )
        return {
            each: self.mempool.pending_nonce(each, int(_found(count), 16))
            for each, count in zip(senders, counts, strict=True)
        }

    async def renew(
        self, *, mined: Iterable[Hash] = (), returned: Iterable[PooledTransaction] = ()
    ) -> tuple[Hash, ...]:
        """Bring the pool in step with the node's head; the hashes that it no longer holds for it.

        Args:
            mined: what is in blocks since the last time.
            returned: what a reorg took out of blocks.
        """
        returned = tuple(returned)
        held = (*self.mempool.pending(), *self.mempool.queued(), *returned)
        senders = dict.fromkeys(each.sender for each in held)
        chain = await read_chain(self._rpc)
        accounts = await self._accounts.read_all(list(senders))
        dropped = self.mempool.advance(chain, accounts, mined=mined, returned=returned)
        self._announced = {each for each in self._announced if self.mempool.get(each)}
        for sender in senders:
            self._announce(sender)
        return tuple(dropped)

    def signed(self, tx_hash: Hash) -> SignedTransaction | None:
        """The signed bytes of a pooled transaction; None where there are none to be had."""
        found = self.mempool.get(tx_hash)
        if found is None or found.raw is None or found.is_blob:
            return None
        return decode_transaction(found.raw)

    def remove(self, tx_hash: Hash) -> bool:
        """Forget a transaction; whether it was there."""
        found = self.mempool.get(tx_hash)
        if found is not None:
            self.mempool.remove(tx_hash)
            self._announced.discard(tx_hash)
        return found is not None

    def clear(self) -> None:
        """Forget all transactions, as a node does that restarts without a journal."""
        self.mempool.clear()
        self._announced.clear()

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Be told of each transaction that becomes executable; call the result to end that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def _send_filled(self, filled: Mapping[str, Any]) -> PooledTransaction:
        call = entries.as_call(filled["tx"])
        try:
            raw = await self._rpc.call("eth_signTransaction", (call,))
        except RpcError:
            if not await self._acts_for(str(call["from"])):
                raise
            tx = entries.from_node(filled["tx"], filled["raw"])
        else:
            tx = entries.from_raw(raw)
        return await self._admit(tx, local=True)

    async def _admit(self, tx: PooledTransaction, *, local: bool = False) -> PooledTransaction:
        account = await self._accounts.read(tx.sender)
        added = self.mempool.add(tx, account, local=local)
        if added.replaced is not None:
            self._announced.discard(added.replaced)
        self._announced.difference_update(added.evicted)
        self._announce(tx.sender)
        return tx

    def _announce(self, sender: Address) -> None:
        for each in self.mempool.pending(sender):
            if each.hash not in self._announced:
                self._announced.add(each.hash)
                for listener in tuple(self._listeners):
                    listener(each)

    async def _acts_for(self, sender: str) -> bool:
        return self.auto_impersonate or sender in await self._rpc.call("eth_accounts")


def _found(answer: Any | RpcError) -> Any:
    if isinstance(answer, RpcError):
        raise answer
    return answer


def rules_of(mempool: str) -> PoolRules:
    """The rules of a profile by name, `none` included.

    Raises:
        ConfigError: no such profile.
    """
    if mempool == _NO_RULES.name:
        return _NO_RULES
    try:
        return pool_rules(mempool)
    except ConfigError as error:
        raise ConfigError(f"{error}, or {_NO_RULES.name}") from None


async def open_pool(rpc: Rpc, rules: PoolRules) -> PublicPool:
    """An empty pool at the node's head."""
    return PublicPool(rpc, Mempool(rules, await read_chain(rpc)))


async def read_chain(rpc: Rpc) -> ChainState:
    """The head's number and gas limit, and the fees of the block after it."""
    pending, chain_id, blob_fee = await rpc.batch(
        [("eth_getBlockByNumber", ("pending", False)), ("eth_chainId", ()), ("eth_blobBaseFee", ())]
    )
    pending = _found(pending)
    return ChainState(
        number=int(pending["number"], 16) - 1,
        base_fee_wei=int(pending["baseFeePerGas"], 16),
        # A fork before EIP-4844 has no blobs and no fee for them.
        blob_base_fee_wei=1 if isinstance(blob_fee, RpcError) else int(blob_fee, 16),
        gas_limit=int(pending["gasLimit"], 16),
        chain_id=int(_found(chain_id), 16),
    )


class _AccountReader:
    """Reads accounts at the head; questions that come together go out as one batch.

    Nothing is kept: tests change accounts behind every cache's back. Answers come in the order of
    the questions, so that what was sent first is admitted first.
    """

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc
        self._turn = asyncio.Lock()
        self._waiting: dict[Address, None] = {}
        self._batch: asyncio.Future[Mapping[Address, AccountState]] | None = None

    async def read(self, account: Address) -> AccountState:
        self._waiting[account] = None
        if self._batch is None:
            self._batch = asyncio.get_running_loop().create_task(self._flush())
        return (await asyncio.shield(self._batch))[account]

    async def read_all(self, accounts: Sequence[Address]) -> dict[Address, AccountState]:
        calls = [(method, (each, "latest")) for each in accounts for method in _PER_ACCOUNT]
        answers = [_found(each) for each in await self._rpc.batch(calls)]
        counts, balances, codes = answers[::3], answers[1::3], answers[2::3]
        return {
            account: AccountState(
                nonce=int(count, 16),
                balance_wei=int(balance, 16),
                delegated=code.startswith(_DELEGATION),
            )
            for account, count, balance, code in zip(accounts, counts, balances, codes, strict=True)
        }

    async def _flush(self) -> Mapping[Address, AccountState]:
        async with self._turn:
            waiting, self._waiting, self._batch = list(self._waiting), {}, None
            return await self.read_all(waiting)


def pack(
    pool: Iterable[PooledTransaction],
    *,
    nonces: Mapping[Address, int],
    base_fee_wei: int,
    gas: int,
    taken: frozenset[Hash],
    blobs: int = BLOBS_PER_BLOCK,
) -> tuple[PooledTransaction, ...]:
    """The public part of a block: by falling tip, in nonce order for each account.

    Args:
        pool: candidates.
        nonces: the next nonce of each account after the bundles.
        base_fee_wei: of the block.
        gas: what the bundles left; limits count, not use, as nothing is simulated here.
        taken: hashes that are in the block already, within bundles.
        blobs: how many a block may carry.
    """
    by_sender: dict[Address, dict[int, PooledTransaction]] = {}
    for each in pool:
        if each.hash not in taken:
            by_sender.setdefault(each.sender, {})[each.nonce] = each
    ready: list[tuple[int, Hash, PooledTransaction]] = []

    def offer(sender: Address, nonce: int) -> None:
        found = by_sender[sender].get(nonce)
        if found is not None and found.tip(base_fee_wei) >= 0:
            heapq.heappush(ready, (-found.tip(base_fee_wei), found.hash, found))

    for sender in by_sender:
        offer(sender, nonces.get(sender, 0))
    packed = []
    while ready:
        _, _, best = heapq.heappop(ready)
        if best.gas <= gas and best.blobs <= blobs:
            packed.append(best)
            gas -= best.gas
            blobs -= best.blobs
            offer(best.sender, best.nonce + 1)
    return tuple(packed)
