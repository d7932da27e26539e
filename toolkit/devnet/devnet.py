import asyncio
import socket
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from types import TracebackType
from typing import Self

import aiohttp
import msgspec

from toolkit.chain.node import Node
from toolkit.chain.rpc import HttpRpc
from toolkit.devnet.accounts import DevAccount, derive_account
from toolkit.devnet.anvil import Anvil, start_sealer
from toolkit.devnet.builders import Builder
from toolkit.devnet.building.dialects import BuilderProfile, builder_profiles
from toolkit.devnet.building.failures import Failures
from toolkit.devnet.building.relay_server import serve_relay
from toolkit.devnet.building.sealing import Market, SlotRecord
from toolkit.devnet.crowd.flow import BITCOIN_PER_ETHER, Flow
from toolkit.devnet.crowd.rivals import RivalConfig, Rivals
from toolkit.devnet.crowd.scenario import PricePoint, Scenario, ScenarioConfig, load_scenario
from toolkit.devnet.crowd.trades import FlowConfig
from toolkit.devnet.editor import ChainEditor
from toolkit.devnet.faults import FaultScript
from toolkit.devnet.front import Front
from toolkit.devnet.mempool import Mempool
from toolkit.devnet.participants import (
    ACCOUNT_UNITS,
    MAX_ACCOUNTS,
    market_funding,
    user_accounts,
    user_funding,
)
from toolkit.devnet.pools import POOLS
from toolkit.devnet.public_pool import PublicPool, open_pool, rules_of
from toolkit.devnet.reorgs import seal_and_reorg
from toolkit.devnet.tokens import TOKENS, TokenLevel
from toolkit.devnet.twin import BLOCK_SECONDS, Twin, TwinConfig, build_twin, fork_twin, fund
from toolkit.devnet.web import listen, serve
from toolkit.model.chain import Address, Head, Mode
from toolkit.model.checks import shown
from toolkit.model.errors import ConfigError, NodeError
from toolkit.model.market import Token
from toolkit.pools.history import Followed
from toolkit.pools.snapshot import PoolSpec, Snapshot
from toolkit.pools.sync import follow, load

MAX_BLOCK_TIME_S = 86_400
_WATCH_S = 0.5
_INT64 = 2**63 - 1
_SYMBOLS = ", ".join(TOKENS)


class RelayInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A builder's relay endpoint, and the accounts that its blocks pay."""

    name: str
    url: str
    fee_recipients: frozenset[Address] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class DevnetConfig:
    """What a devnet is like. The same config gives the same chain, block by block.

    `port` of the rpc (0: any free one); `block_time` in seconds between blocks that `run()` seals
    (0: only on demand); `fork_url` forks that node instead of the offline twin, and then there is
    no market flow: its prices and pools are that chain's own. `funding` is what each account
    starts with, in whole units by symbol. `mempool` is the client whose pool rules the public
    pool has: geth, reth, strict (geth's, with the hardest rule on replacements) or none.
    `builders` is how many build in Flashbots' style, or the names or profiles of those that do.
    """

    seed: int = 1
    port: int = 0
    block_time: float = 0
    builders: int | tuple[str | BuilderProfile, ...] = 3
    fork_url: str | None = None
    hardfork: str = "prague"
    flow: bool = True
    accounts: int = 10
    funding: Mapping[str, int] = field(default_factory=lambda: ACCOUNT_UNITS)
    mempool: str = "geth"
    depth_percent: int = 100
    traders: FlowConfig = field(default_factory=FlowConfig)
    rivals: RivalConfig = field(default_factory=RivalConfig)
    scenario: ScenarioConfig = field(default_factory=ScenarioConfig)

    def __post_init__(self) -> None:
        for name in ("seed", "port", "accounts", "depth_percent"):
            if type(value := getattr(self, name)) is not int or abs(value) > _INT64:
                raise ConfigError(f"{name} is {shown(value)}; it must be an integer of 64 bits")
        seconds = self.block_time
        if type(seconds) not in {int, float} or (type(seconds) is int and abs(seconds) > _INT64):
            raise ConfigError(f"block_time is {shown(seconds)}; it must be a number of seconds")
        for name in ("hardfork", "mempool"):
            if not isinstance(value := getattr(self, name), str):
                raise ConfigError(f"{name} is {shown(value)}; it must be a name")
        rules_of(self.mempool)
        builder_profiles(self.builders)
        if not 1 <= self.accounts <= MAX_ACCOUNTS:
            raise ConfigError(f"accounts {self.accounts} is not between 1 and {MAX_ACCOUNTS}")
        if unknown := sorted(set(self.funding) - {"ETH", *TOKENS}):
            raise ConfigError(f"funding names {', '.join(unknown)}; there are ETH and {_SYMBOLS}")
        if min(self.funding.values(), default=0) < 0:
            raise ConfigError("funding cannot be negative")
        if not 0 <= self.block_time <= MAX_BLOCK_TIME_S:  # NaN is not
            raise ConfigError(
                f"block_time {self.block_time:g} s is not between 0 (on demand) and"
                f" {MAX_BLOCK_TIME_S}"
            )
        if not 0 <= self.port <= 65_535:  # noqa: PLR2004 - 16 bits
            raise ConfigError(f"port {self.port} is not between 0 and 65535")


class Devnet:
    """Twin, sealing chain, builders with relays, and market flow; open it with `async with`.

    The twin stays as it was built; the run's blocks are sealed on a fork of it. Entering raises
    DevnetError when something cannot be built and DataError for damaged recorded data; `seal` and
    `step` raise DevnetError once Anvil has died.
    """

    rpc_url: str
    ws_url: str
    anvil_url: str
    chain_id: int
    relays: tuple[RelayInfo, ...]
    node: Node  # straight to Anvil; clients use rpc_url

    def __init__(self, config: DevnetConfig | None = None) -> None:
        self.config = config or DevnetConfig()
        self.mode = Mode.DEV if self.config.fork_url is None else Mode.FORK
        self.accounts: tuple[DevAccount, ...] = user_accounts(
            self.config.seed, self.config.accounts
        )
        self.tokens: dict[str, Token] = dict(TOKENS)
        self.pools: tuple[PoolSpec, ...] = tuple(pool.spec for pool in POOLS)
        self.prices: list[PricePoint] = []  # one per block that `step` sealed
        self.history: tuple[PricePoint, ...] = ()
        self.level: TokenLevel | None = None
        self.faults = FaultScript(seed=self.config.seed)
        self._stack = AsyncExitStack()
        self._twin: Anvil | None = None
        self._stepping = asyncio.Lock()
        self._flow: Flow | None = None
        self._rivals: Rivals | None = None
        self._followed: Followed | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    @property
    def head(self) -> Head:
        """The newest block."""
        return self._market.head

    @property
    def slots(self) -> tuple[SlotRecord, ...]:
        """The truth about every slot so far: who built it and what became of each bundle."""
        return tuple(self._market.slots)

    @property
    def market_source(self) -> str:
        """Where prices come from, in words."""
        if self.config.fork_url is not None:
            return "the forked chain"
        return self._scenario.source

    @property
    def builders(self) -> tuple[Builder, ...]:
        """The builders behind the relays, in the same order."""
        return self._market.builders

    @property
    def mempool(self) -> Mempool:
        """The public pool."""
        return self._market.pool.mempool

    @property
    def anvil(self) -> Anvil:
        """The process on which blocks are sealed."""
        return self._anvil

    async def seal(self) -> Head:
        """Seal the next slot with what is in the public pool and at the winning builder.

        Raises:
            DevnetError: Anvil has died.
        """
        try:
            await seal_and_reorg(self._market, self._front.edits, self.faults)
            return self._market.head
        except NodeError:
            await self.check_alive()
            raise

    async def step(self) -> Head:
        """Let traders and rivals act for the next slot, then seal it.

        Bundles for the slot must have been sent before. Without flow, and on a fork of a given
        node, this is `seal`.

        Raises:
            DevnetError: Anvil has died.
        """
        async with self._stepping:
            if self._flow is None or self._rivals is None:
                return await self.seal()
            price = next(self._scenario.future)
            try:
                snapshot = await self.snapshot()
                async with self._market.gate.passage():
                    await self._flow.act(snapshot, weth_usd=price)
                await self._rivals.bid(snapshot, self._market.builders)
            except NodeError:
                await self.check_alive()
                raise
            head = await self.seal()
            self.prices.append(PricePoint(timestamp=head.timestamp, price=price))
            return head

    async def run(self) -> None:
        """Step every `block_time` seconds; with 0 only watch over Anvil. Until cancelled.

        Raises:
            DevnetError: Anvil has died.
        """
        while True:
            await asyncio.sleep(self.config.block_time or _WATCH_S)
            self._check()
            if self.config.block_time:
                await self.step()

    async def check_alive(self) -> None:
        """Make sure that both Anvils live; for when a node did not answer.

        Raises:
            DevnetError: one has died.
        """
        # The twin first: a fork soon dies of its upstream's death.
        for anvil in (self._twin, self._anvil):
            if anvil is not None:
                await anvil.check_soon()

    async def snapshot(self) -> Snapshot:
        """All pools at the head."""
        head = await self.node.head()
        if self._followed is None:
            loaded = await load(self.node, self.pools, self.tokens.values(), head=head)
            self._followed = Followed(snapshot=loaded)
        else:
            self._followed = await follow(self.node, self._followed, head=head)
        return self._followed.snapshot

    def _check(self) -> None:
        # The twin first: a fork soon dies of its upstream's death.
        for anvil in (self._twin, self._anvil):
            if anvil is not None:
                anvil.check()

    async def _open(self) -> None:
        config = self.config
        listener = self._stack.enter_context(listen(port=config.port, what="devnet's rpc"))
        if config.fork_url is None:
            self._scenario = load_scenario(config.seed, config.scenario)
            self._anvil = await fork_twin(await self._build_twin(self._scenario))
        else:
            self._anvil = await self._start_fork(config.fork_url)
        self._stack.push_async_callback(self._anvil.stop)
        self.anvil_url = self._anvil.url
        rpc = await self._stack.enter_async_context(HttpRpc(self.anvil_url))
        self.node = Node(rpc)
        self.chain_id = await self.node.chain_id()
        editor = ChainEditor(rpc)
        await editor.apply([("anvil_setBlockTimestampInterval", (BLOCK_SECONDS,))])
        if config.fork_url is not None:
            await fund(editor, user_funding(config.seed, config.accounts, config.funding))
        head = await self.node.head()
        if config.fork_url is None:
            self.history = _dated(self._scenario.history, head)
        await self._open_market(rpc, head)
        if config.fork_url is None and config.flow:
            self._open_flow(rpc)
        await self._open_front(rpc, listener)

    async def _build_twin(self, scenario: Scenario) -> Twin:
        config = self.config
        price = Fraction(round(scenario.history[-1] * 10**6), 10**6)
        users = user_funding(config.seed, config.accounts, config.funding)
        market = market_funding(config.seed, rival_count=config.rivals.count)
        twin = await build_twin(
            TwinConfig(
                seed=config.seed,
                weth_usd=price,
                wbtc_usd=price * Fraction(BITCOIN_PER_ETHER),
                depth_percent=config.depth_percent,
                hardfork=config.hardfork,
                funded=(*users, *market) if config.flow else users,
            )
        )
        self._stack.push_async_callback(twin.anvil.stop)
        self._twin = twin.anvil
        self.level = twin.level
        return twin

    async def _start_fork(self, url: str) -> Anvil:
        options = ("--fork-url", url, "--no-storage-caching", "--hardfork", self.config.hardfork)
        return await start_sealer(options)

    def _open_flow(self, rpc: HttpRpc) -> None:
        config = self.config
        self._flow = Flow(
            self._market.pool,
            seed=config.seed,
            config=config.traders,
            depth_percent=config.depth_percent,
        )
        self._rivals = Rivals(rpc, seed=config.seed, config=config.rivals)

    async def _open_market(self, rpc: HttpRpc, head: Head) -> None:
        pool = await open_pool(rpc, rules_of(self.config.mempool))
        profiles = builder_profiles(self.config.builders)
        builders = [
            self._builder(index, profile, rpc, pool, head)
            for index, profile in enumerate(profiles, start=1)
        ]
        for builder in builders:
            builder.partners = tuple(each for each in builders if each is not builder)
        self._market = Market(
            rpc,
            builders,
            pool=pool,
            seed=self.config.seed,
            chain_id=self.chain_id,
            mode=self.mode,
            head=head,
        )
        relays = []
        for builder in builders:
            server = await serve_relay(builder)
            self._stack.push_async_callback(server.close)
            paid = frozenset({builder.fee_recipient})
            relays.append(RelayInfo(name=builder.name, url=server.url, fee_recipients=paid))
        self.relays = tuple(relays)

    def _builder(
        self, index: int, profile: BuilderProfile, rpc: HttpRpc, pool: PublicPool, head: Head
    ) -> Builder:
        account = derive_account(self.config.seed, "builder", index)
        return Builder(
            name=profile.name,
            fee_recipient=account.address,
            signer=account.signer,
            rpc=rpc,
            head=head,
            share=profile.share,
            profile=profile,
            chain_id=self.chain_id,
            known=pool.signed,
            failures=Failures(profile.failure),
        )

    async def _open_front(self, rpc: HttpRpc, listener: socket.socket) -> None:
        session = await self._stack.enter_async_context(aiohttp.ClientSession())
        self._front = Front(
            rpc,
            self._market,
            seal=self.seal,
            session=session,
            faults=self.faults,
            info={
                "devnet": True,
                "mode": self.mode.value,
                "chain_id": self.chain_id,
                "seed": self.config.seed,
                "accounts": [account.address for account in self.accounts],
                "relays": [{"name": each.name, "url": each.url} for each in self.relays],
                "mempool": self.config.mempool,
            },
        )
        server = await serve(self._front.handle, listener)
        self._stack.push_async_callback(server.close)
        self.rpc_url, self.ws_url = server.url, server.ws_url


def _dated(prices: Sequence[float], head: Head) -> tuple[PricePoint, ...]:
    """Past prices in the chain's time: one a block, the last of them at the head."""
    first = head.timestamp - BLOCK_SECONDS * (len(prices) - 1)
    return tuple(
        PricePoint(timestamp=first + BLOCK_SECONDS * index, price=price)
        for index, price in enumerate(prices)
    )
