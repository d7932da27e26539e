"""A node with a real client's pool rules in a third of a second, for tests of anything that sends.

    async with open_strict_node(profile="geth") as node:
        ...  # node.rpc_url, node.ws_url
        await node.seal()

It is the devnet without its twin and its market: Anvil mines what the pool gives it, when asked.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from toolkit.chain.node import Node
from toolkit.chain.rpc import HttpRpc
from toolkit.devnet.accounts import DevAccount
from toolkit.devnet.anvil import Anvil, start_sealer
from toolkit.devnet.builders import Builder
from toolkit.devnet.building.pricing import BLOCK_SECONDS
from toolkit.devnet.building.sealing import Market
from toolkit.devnet.faults import FaultScript
from toolkit.devnet.front import Front
from toolkit.devnet.mempool import Mempool
from toolkit.devnet.participants import MAX_ACCOUNTS, user_accounts
from toolkit.devnet.public_pool import PublicPool, open_pool, rules_of
from toolkit.devnet.reorgs import ChainEdits, seal_and_reorg
from toolkit.devnet.web import listen, serve
from toolkit.model.chain import Address, Head, Mode
from toolkit.model.checks import require_integer, shown
from toolkit.model.errors import ConfigError

ACCOUNT_WEI = 10_000 * 10**18
GENESIS_TIME = 1_741_000_000
_INT64 = 2**63 - 1
_FEE_RECIPIENT = Address("0x" + "fee" * 13 + "0")


@dataclass(slots=True, kw_only=True, eq=False)
class StrictNode:
    """An Anvil behind a pool with rules; `node` goes straight to Anvil, clients use the urls."""

    rpc_url: str
    ws_url: str
    chain_id: int
    accounts: tuple[DevAccount, ...]
    anvil: Anvil
    node: Node
    faults: FaultScript
    public_pool: PublicPool = field(repr=False)
    market: Market = field(repr=False)
    edits: ChainEdits = field(repr=False)

    @property
    def pool(self) -> Mempool:
        """The pool itself."""
        return self.public_pool.mempool

    @property
    def head(self) -> Head:
        """The newest block."""
        return self.market.head

    async def seal(self, count: int = 1) -> Head:
        """Mine what the pool has, block after block; the last one's head.

        Raises:
            DevnetError: Anvil has died, or somebody mined behind our back.
        """
        for _ in range(count):
            await seal_and_reorg(self.market, self.edits, self.faults)
        return self.market.head

    async def reorg(self, depth: int = 1, transactions: Sequence[str] = ()) -> Head:
        """Replace the last `depth` blocks by as many, the first with `transactions`; the new head.

        What the old blocks held and the new ones do not goes back into the pool.

        Raises:
            RpcError: there are not so many blocks, or Anvil does not take a transaction.
        """
        await self.edits.reorg(depth, transactions)
        return self.market.head


def _require_meant(profile: object, *, seed: object, accounts: object) -> None:
    if not isinstance(profile, str):
        raise ConfigError(f"profile is {shown(profile)}; it must be a name")
    require_integer("seed", seed, least=-_INT64, most=_INT64)
    require_integer("accounts", accounts, least=1, most=MAX_ACCOUNTS)


@asynccontextmanager
async def open_strict_node(
    *,
    profile: str = "geth",
    seed: int = 1,
    accounts: int = 10,
    block_gas_limit: int = 30_000_000,
    base_fee_wei: int = 10**9,
    chain_id: int = 31_337,
    faults: FaultScript | None = None,
) -> AsyncIterator[StrictNode]:
    """Start a node whose chain and accounts are the seed's; it ends with the context.

    Args:
        profile: `geth`, `reth`, `strict` (the hardest replacement rule) or `none`.
        seed: of the accounts' keys, each of which starts with 10,000 ether.
        accounts: how many, from 1 to 100.
        block_gas_limit: in gas units.
        base_fee_wei: of the first block.
        chain_id: of the chain.
        faults: what goes wrong for clients of its urls; nothing by default.

    Raises:
        ConfigError: an unknown profile, or a number that is none or out of range.
        DevnetError: Anvil cannot be started.
    """
    _require_meant(profile, seed=seed, accounts=accounts)
    require_integer("block_gas_limit", block_gas_limit, least=1, most=_INT64)
    require_integer("base_fee_wei", base_fee_wei, most=_INT64)
    require_integer("chain_id", chain_id, least=1, most=_INT64)
    rules = rules_of(profile)
    args = {
        "--chain-id": chain_id,
        "--gas-limit": block_gas_limit,
        "--base-fee": base_fee_wei,
        "--timestamp": GENESIS_TIME,
        "--hardfork": "prague",
    }
    options = [str(part) for pair in args.items() for part in pair]
    async with AsyncExitStack() as stack:
        anvil = await start_sealer(options)
        stack.push_async_callback(anvil.stop)
        rpc = await stack.enter_async_context(HttpRpc(anvil.url))
        funded = user_accounts(seed, accounts)
        await rpc.batch(
            [("anvil_setBlockTimestampInterval", (BLOCK_SECONDS,))]
            + [("anvil_setBalance", (each.address, hex(ACCOUNT_WEI))) for each in funded]
        )
        node = Node(rpc)
        head = await node.head()
        pool = await open_pool(rpc, rules)
        market = Market(
            rpc,
            [Builder(name="miner", fee_recipient=_FEE_RECIPIENT, rpc=rpc, head=head)],
            pool=pool,
            seed=seed,
            chain_id=chain_id,
            mode=Mode.DEV,
            head=head,
        )
        info = {
            "devnet": True,
            "mode": Mode.DEV.value,
            "chain_id": chain_id,
            "seed": seed,
            "accounts": [each.address for each in funded],
            "relays": [],
            "mempool": profile,
        }
        session = await stack.enter_async_context(aiohttp.ClientSession())
        script = FaultScript(seed=seed) if faults is None else faults

        async def seal() -> None:
            await seal_and_reorg(market, front.edits, script)

        front = Front(rpc, market, seal=seal, info=info, session=session, faults=script)
        server = await serve(front.handle, listen(what="strict node's rpc"))
        stack.push_async_callback(server.close)
        yield StrictNode(
            rpc_url=server.url,
            ws_url=server.ws_url,
            chain_id=chain_id,
            accounts=funded,
            anvil=anvil,
            node=node,
            faults=script,
            public_pool=pool,
            market=market,
            edits=front.edits,
        )
