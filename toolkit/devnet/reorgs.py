"""What tests do to the chain behind everybody's back, with the public pool kept true to it.

A reorg or a rollback puts the transactions of the blocks it takes off back into the pool, as every
node does that sees one; a snapshot takes the pool with it, which no node does, so that a test that
reverts finds everything as it was. After any other change (a balance, a nonce, code) the pool
reads its accounts again.
"""

from collections.abc import Sequence
from typing import Any

from toolkit.chain.rpc import Rpc
from toolkit.devnet import entries
from toolkit.devnet.building.sealing import Market
from toolkit.devnet.faults import FaultScript
from toolkit.devnet.mempool import PooledTransaction
from toolkit.model.errors import RpcError

MAX_SNAPSHOTS = 10_000
_REORG, _ROLLBACK = "anvil_reorg", "anvil_rollback"
_SNAPSHOT = frozenset({"evm_snapshot", "anvil_snapshot"})
_REVERT = frozenset({"evm_revert", "anvil_revert"})
_AUTO = frozenset({"anvil_autoImpersonateAccount", "hardhat_autoImpersonateAccount"})
_PREFIXES = ("anvil_", "evm_", "hardhat_", "tenderly_")
_HARMLESS = frozenset(
    {
        *("anvil_nodeInfo", "anvil_metadata", "hardhat_metadata", "anvil_dumpState"),
        *("anvil_getAutomine", "hardhat_getAutomine", "anvil_getIntervalMining"),
        *("anvil_impersonateAccount", "anvil_stopImpersonatingAccount"),
        *("hardhat_impersonateAccount", "hardhat_stopImpersonatingAccount"),
    }
)


class ChainEdits:
    """Carries such requests out at the market's Anvil, while nobody else asks anything."""

    def __init__(self, rpc: Rpc, market: Market) -> None:
        self._rpc = rpc
        self._market = market
        self._pool = market.pool
        self._snapshots: dict[str, tuple[PooledTransaction, ...]] = {}

    def concerns(self, method: str) -> bool:
        """Whether a request may change the chain or an account."""
        return method.startswith(_PREFIXES) and method not in _HARMLESS

    async def apply(self, method: str, params: Sequence[Any]) -> object:
        """Carry out a request; its result.

        Raises:
            RpcError: Anvil refused it, and nothing changed.
        """
        async with self._market.gate.closure():
            if method in {_REORG, _ROLLBACK}:
                return await self._reorg(method, params)
            result = await self._rpc.call(method, params)
            if method in _SNAPSHOT:
                self._keep(str(result))
            elif method in _REVERT and result:
                await self._revert(str(params[0]) if params else "")
            else:
                if method in _AUTO:
                    self._pool.auto_impersonate = bool(params and params[0])
                await self._pool.renew()
                await self._market.follow()
            return result

    async def reorg(self, depth: int, transactions: Sequence[str] = ()) -> None:
        """Replace the last `depth` blocks; the first of the new ones holds these signed bytes.

        Raises:
            RpcError: Anvil refused it (more blocks than there are), and nothing changed.
        """
        await self.apply(_REORG, [depth, [[raw, 0] for raw in transactions]])

    async def _reorg(self, method: str, params: Sequence[Any]) -> object:
        head = int(await self._rpc.call("eth_blockNumber"), 16)
        depth = params[0] if params and type(params[0]) is int else 1
        depth = max(0, min(depth, head))
        old = await self._transactions(head - depth + 1, head)
        result = await self._rpc.call(method, params)
        number = int(await self._rpc.call("eth_blockNumber"), 16)
        new = await self._hashes(head - depth + 1, number)
        await self._pool.renew(mined=new, returned=old)
        await self._market.follow()
        return result

    async def _transactions(self, first: int, last: int) -> list[PooledTransaction]:
        """What these blocks hold, as the pool can take it."""
        blocks = await self._blocks(first, last, full=True)
        found = [each for block in blocks for each in block["transactions"]]
        raws = await self._rpc.batch(
            [("eth_getRawTransactionByHash", (each["hash"],)) for each in found]
        )
        return [entries.from_node(each, raw) for each, raw in zip(found, raws, strict=True)]

    async def _hashes(self, first: int, last: int) -> list[Any]:
        blocks = await self._blocks(first, last, full=False)
        return [each for block in blocks for each in block["transactions"]]

    async def _blocks(self, first: int, last: int, *, full: bool) -> list[Any]:
        numbers = range(first, last + 1)
        blocks = await self._rpc.batch(
            [("eth_getBlockByNumber", (hex(number), full)) for number in numbers]
        )
        for each in blocks:
            if isinstance(each, RpcError):
                raise each
        return blocks

    def _keep(self, name: str) -> None:
        mempool = self._pool.mempool
        self._snapshots[name] = (*mempool.pending(), *mempool.queued())
        if len(self._snapshots) > MAX_SNAPSHOTS:
            del self._snapshots[next(iter(self._snapshots))]

    async def _revert(self, name: str) -> None:
        held = self._snapshots.pop(name, None)
        if held is not None:
            self._pool.clear()
        await self._pool.renew(returned=held or ())
        await self._market.follow()


async def seal_and_reorg(market: Market, edits: ChainEdits, faults: FaultScript) -> None:
    """Seal the next slot, and let the reorg follow that the script has there.

    Raises:
        DevnetError: as `Market.seal`.
    """
    head = await market.seal()
    # Anvil cannot go back to the block that it forked.
    most = head.number - market.first.number - 1
    if depth := min(faults.reorg_due(head.number), most):
        await edits.reorg(depth)
