"""Everything that is needed to act on one chain with one set of signers, put together once."""

import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable
from urllib.parse import urlsplit

import msgspec

from toolkit.bundles.auth import RelayAuth
from toolkit.bundles.draft import BundleDraft, DryBundle, fee_for, priced_requests, rehearse
from toolkit.bundles.relay import Relay
from toolkit.bundles.reputation import FILE_NAME as REPUTATION_FILE
from toolkit.bundles.reputation import kept_reputation
from toolkit.bundles.submitter import BundleHandle, Submitter
from toolkit.chain.driver import HeadDriver
from toolkit.chain.hashing import checksum
from toolkit.chain.heads import HeadFollower
from toolkit.chain.modes import check_relays, check_signers, choose_mode, identify
from toolkit.chain.node import Node
from toolkit.chain.signer import LocalSigner, Signer
from toolkit.chain.web3_bridge import Bridge, open_web3, rpc_of
from toolkit.evm.simulator import Simulator, open_simulator
from toolkit.gas.oracle import GasOracle
from toolkit.journal.log import Backend, Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.journal.sqlite import SqliteBackend
from toolkit.logs import log_of
from toolkit.model.chain import ZERO_ADDRESS, Address, Head, HeadChange, Mode
from toolkit.model.checks import path_of, require_flag, require_integer, require_seconds, shown
from toolkit.model.errors import ConfigError
from toolkit.model.tx import ExternalSpend, TransactionRequest, Urgency, Visibility
from toolkit.model.units import ether, format_units
from toolkit.tx.config import SchedulerConfig
from toolkit.tx.destination import Destination, PublicNode
from toolkit.tx.fallback import MOST_PATIENCE_BLOCKS, PATIENCE_BLOCKS, PrivateThenPublic
from toolkit.tx.intake import Intake, Sendable
from toolkit.tx.key_hold import KeyHold
from toolkit.tx.key_pool import KeyPool
from toolkit.tx.leases import Leases, user_directory
from toolkit.tx.scheduler import Sent, TransactionScheduler
from toolkit.tx.web3_sends import Web3Sends

T = TypeVar("T")

if TYPE_CHECKING:
    from web3 import AsyncWeb3

    from toolkit.pools.snapshot import PoolSpec
    from toolkit.routing.router import Router

MOST_COST_WEI = ether(1_000)
"""The highest `max_cost_wei` that can be asked for: one attempt never costs more than that."""

ANSWER_PATIENCE_S = 2.0
"""How long opening, and a head moved by hand, wait for answers of nodes and relays."""


@runtime_checkable
class RelayAddress(Protocol):
    """A relay as a devnet lists it; `fee_recipients`, where it has any, are those of `Relay`."""

    @property
    def name(self) -> str:
        """For people and journals."""
        ...

    @property
    def url(self) -> str:
        """Its endpoint."""
        ...


class Session:
    """One chain, one set of signers, one mode; made by `connect`.

    A session follows the chain by itself from its first send on. Whoever calls `advance` or
    `on_head` takes the wheel instead: from then on nothing happens between their calls.
    """

    def __init__(
        self,
        node: Node,
        *,
        chain_id: int,
        mode: Mode,
        signers: Sequence[Signer],
        relays: Sequence[Relay],
        journal: Journal,
        config: SchedulerConfig,
        like: "AsyncWeb3[Any] | None" = None,
        private_blocks: int = PATIENCE_BLOCKS,
    ) -> None:
        self.node = node
        self.mode = mode
        self.chain_id = chain_id
        self.signers = signers if isinstance(signers, KeyPool) else tuple(signers)
        # Without relays nothing can reach one, whatever is asked of the submitter.
        self.relays = () if mode is Mode.DRY else tuple(relays)
        self.journal = journal
        self.oracle = GasOracle(node)
        self.simulator: Simulator = open_simulator(node)
        self.public = PublicNode(node)
        self._private = tuple(relays)
        # Recovery must not find a route that has lost its private half.
        self._fallback: list[Destination] = []
        if relays:
            route = PrivateThenPublic(self._private, self.public, patience_blocks=private_blocks)
            self._fallback.append(route)
        self.scheduler = TransactionScheduler(
            node,
            signers=self.signers,
            journal=journal,
            oracle=self.oracle,
            chain_id=self.chain_id,
            mode=mode,
            config=config,
            public=self.public,
            destinations=(*relays, *self._fallback),
        )
        self.submitter = Submitter(
            self.relays,
            node=node,
            scheduler=self.scheduler,
            journal=journal,
            mode=mode,
            own=frozenset(signer.address for signer in signers),
            simulator=self.simulator,
        )
        self.scheduler.delegations.bundled = self.submitter.spending
        self._like = like
        self._w3: AsyncWeb3[Any] | None = None
        self._intake = Intake(
            node,
            chain_id=chain_id,
            accounts=[signer.address for signer in signers],
            pooled=isinstance(signers, KeyPool),
            next_nonce=self.scheduler.next_nonce,
        )
        self._follower = HeadFollower(node)
        self._driver = HeadDriver(self._follower, self._digest)

    def __repr__(self) -> str:
        """Show the mode first; no keys, no address of the node."""
        accounts = ", ".join(signer.address for signer in self.signers) or "no signer"
        return f"Session({self.mode.value}, chain {self.chain_id}, {accounts})"

    @property
    def head(self) -> Head:
        """The newest head this session has seen."""
        head = self._follower.head
        assert head is not None, "connect polls the head before it hands the session out"
        return head

    @property
    def w3(self) -> "AsyncWeb3[Any]":
        """An AsyncWeb3 on the same connection; whatever it sends goes through the lane.

        Its sends are private where relays are given, and public otherwise, as they say.
        """
        if self._w3 is None:
            sends = Web3Sends(self.node, self._intake, self._send_for_web3, self.scheduler.find)
            self._w3 = open_web3(Bridge(self.node.rpc, sends), like=self._like)
            if self.signers:
                first = checksum(self.signers[0].address)
                self._w3.eth.default_account = first  # type: ignore[assignment]
        return self._w3

    async def send(
        self,
        what: Sendable,
        *,
        urgency: Urgency = Urgency.SOON,
        max_fee_per_gas: int | None = None,
        deadline_blocks: int | None = None,
        idempotency_key: str | None = None,
        visibility: Visibility | None = None,
        simulate: bool = True,
        priority: int = 0,
        after: Sent | str | None = None,
        on_external_spend: ExternalSpend | str = ExternalSpend.REPORT,
    ) -> Sent:
        """Send a request, `TxParams`, or a web3 contract function with its arguments.

        Args:
            what: unset fields are filled; where no sender is named, the first signer sends, or of
                a key pool the one with the most room.
            urgency: how soon it should be mined.
            max_fee_per_gas: never pay more per gas unit, in wei.
            deadline_blocks: give up, truthfully, after so many blocks.
            idempotency_key: the same key and payload are the same transaction, ever.
            visibility: who may see it before it is mined; private by default where relays are
                given, and without relays it must be said.
            simulate: try it first; off for one that can only succeed after one under way.
            priority: of an account's requests that wait, a higher one goes first.
            after: a request, or its id, without whose success this one is not sent; if that one
                does not succeed, this one ends as Cancelled.
            on_external_spend: what to do when somebody else spends the nonce on something else:
                "report" it, or once that is final "requeue" on a new nonce.

        Raises:
            ConfigError: no signer, no visibility, private without relays, or a malformed field.
            ToolkitError: as `TransactionScheduler.send`; no nonce was used.
        """
        async with self._intake.turn(what):
            request = await self._intake.request(what)
            if max_fee_per_gas is not None:
                request = msgspec.structs.replace(request, max_fee_per_gas=max_fee_per_gas)
            sent = await self.scheduler.send(
                request,
                urgency=urgency,
                deadline_blocks=deadline_blocks,
                idempotency_key=idempotency_key,
                destinations=self._destinations(visibility),
                simulate=simulate,
                priority=priority,
                after=after,
                on_external_spend=on_external_spend,
            )
        self._follow_if_sent()
        return sent

    def sent(self, request_id: str) -> Sent:
        """The handle of a request, also of one that an earlier process sent with this journal.

        Raises:
            ConfigError: nothing here is called so, or its account has no signer here.
        """
        return self.scheduler.request(request_id)

    def follow(self) -> None:
        """Follow the chain from now on, as the first send does by itself.

        What was under way when the session opened is bid up, cancelled and told only then. For
        whoever has taken the wheel, with `advance` or `on_head`, this changes nothing.
        """
        self._driver.start()

    def bundle(self) -> BundleDraft:
        """An empty bundle to add transactions to."""
        return BundleDraft(chain_id=self.chain_id)

    async def submit(
        self,
        draft: BundleDraft,
        *,
        blocks: int = 1,
        tip_wei: int = 0,
        guards_waived: bool = False,
    ) -> BundleHandle | DryBundle:
        """Sign a draft's own calls on consecutive nonces, and send the whole to every relay.

        Args:
            draft: foreign transactions and own calls, in order.
            blocks: how many blocks to try, from the next one on.
            tip_wei: what the builder is to earn from the own calls, beyond the base fee.
            guards_waived: send several own calls without a guard, though they may be mined apart.

        Raises:
            CallReverted: one of the own calls fails in this order on the newest block.
            BundleRefused, ConfigError, FeeLimitReached, InsufficientFunds: nothing was sent.
        """
        require_flag("guards_waived", guards_waived)
        head = self.head
        # What others signed needs nobody here to sign.
        sender = self._intake.account(draft.sender) if draft.own else ZERO_ADDRESS
        quote = await self.oracle.quote(Urgency.NEXT_BLOCK, head=head)
        nonce = await self.node.nonce(sender, head.hash)
        gas_used = await rehearse(draft, self.simulator, sender=sender, nonce=nonce, head=head)
        requests = priced_requests(draft, gas_used, sender=sender)
        fee = fee_for(quote, tip_wei=tip_wei, gas_used=sum(gas_used), blocks=blocks)
        lease = None
        if requests:
            lease = await self.scheduler.lease_bundle(
                requests, sender=sender, target_block=head.number + blocks, fee=fee
            )
        bundle = draft.sealed(
            lease.signed if lease else (),
            target_block=head.number + 1,
            replaceable=self.submitter.replaceable,
        )
        waived = guards_waived or draft.is_indivisible
        if self.mode is Mode.DRY:
            self.submitter.checked(bundle, lease=lease, blocks=blocks, guards_waived=waived)
            return DryBundle(bundle)
        handle = await self.submitter.submit(
            bundle,
            lease=lease,
            blocks=blocks,
            guards_waived=waived,
            bid_wei=tip_wei,
        )
        self._follow_if_sent()
        return handle

    async def router(self, pools: "Sequence[PoolSpec]") -> "Router":
        """Read the pools' state at the newest head and return a router over it."""
        # Loaded by who trades: whoever only sends needs neither pools nor numpy.
        from toolkit.pools.sync import load  # noqa: PLC0415 - on first use
        from toolkit.routing.router import Router  # noqa: PLC0415 - on first use

        return Router(await load(self.node, pools, head=self.head), clock=time.monotonic)

    async def on_head(self, change: HeadChange) -> None:
        """Let one step of the chain take effect on transactions and bundles.

        Raises:
            NodeError: the node could not be asked; the same change may be given again.
            JournalUnavailable: nothing leaves this process any more.
        """
        await self._driver.digest_now(change)

    async def advance(self) -> HeadChange | None:
        """Ask for the head once and let what changed take effect; None if nothing did.

        Raises:
            NodeError: the node could not be asked.
        """
        return await self._driver.advance()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        """Recover what a former process left under way, run, and stop; `connect` does this.

        What is under way at the end is in the journal and goes on at the next start.
        """
        try:
            async with self._driver.owned():
                await self.scheduler.start(patience_s=ANSWER_PATIENCE_S)
                if self.mode is not Mode.DRY:
                    await self.submitter.recover()
                change = await self._follower.poll()
                if change is not None:
                    await self.submitter.on_head(change)
                yield
        finally:
            await self.submitter.close()
            await self.scheduler.close()

    async def _send_for_web3(
        self, request: TransactionRequest, *, idempotency_key: str | None = None
    ) -> Sent:
        visibility = Visibility.PRIVATE if self._private else Visibility.PUBLIC
        return await self.send(request, visibility=visibility, idempotency_key=idempotency_key)

    def _follow_if_sent(self) -> None:
        if self.mode is not Mode.DRY:  # a dry run has nothing to wait for
            self._driver.start()

    async def _digest(self, change: HeadChange) -> None:
        # Who drives by hand looks for what was sent; who follows must not miss the next head.
        patience_s = ANSWER_PATIENCE_S if self._driver.by_hand else 0.0
        await self.scheduler.on_head(change, patience_s=patience_s)
        await self.submitter.on_head(change)

    def _destinations(self, visibility: Visibility | None) -> tuple[Destination, ...]:
        if visibility is not None and not isinstance(visibility, Visibility):
            raise ConfigError(f"visibility is {shown(visibility)}; give a member of Visibility")
        if visibility is None and not self._private:
            raise ConfigError(
                "visibility must be said where no relays are given: visibility="
                "Visibility.PUBLIC sends to the public mempool, or give connect relays"
            )
        if visibility is Visibility.PUBLIC:
            return (self.public,)
        if not self._private:
            raise ConfigError(
                f"visibility {Visibility(visibility).value} needs relays: give connect relays, or"
                f" Visibility.PUBLIC"
            )
        routes: dict[Visibility | None, tuple[Destination, ...]] = {
            Visibility.PRIVATE_THEN_PUBLIC: tuple(self._fallback),
            Visibility.PRIVATE: self._private,
            None: self._private,
        }
        return routes[visibility]


@asynccontextmanager
async def connect(
    endpoint: "str | Sequence[str] | AsyncWeb3[Any]",
    *,
    signer: Signer | Sequence[Signer] | None = None,
    relays: Sequence[Relay | RelayAddress | str] = (),
    journal: str | Path | Backend | None = None,
    leases: str | Path | Leases | None = None,
    reputation: RelayAuth | str | Path | None = None,
    live: bool = False,
    chain_id: int | None = None,
    allow_real_key: bool = False,
    max_cost_wei: int = ether("0.05"),
    max_in_flight: int = 16,
    confirmations: int = 1,
    finality_blocks: int = 64,
    private_blocks: int = PATIENCE_BLOCKS,
    timeout_s: float = 10.0,
) -> AsyncGenerator[Session, None]:
    """Open a session on a node; what it may do follows from what the node is (`Session.mode`).

    Args:
        endpoint: http(s) or ws(s) address, or an AsyncWeb3 that is connected to the node. Several
            addresses are told everything and believed by quorum: with three of them one may lie,
            lag or be dead.
        signer: one or several, of which the first is the default sender; or a `KeyPool`, over
            which requests without a sender are spread.
        relays: where bundles and private transactions go, by address or as `Relay`.
        journal: file of the append-only log, or a backend; in memory if None, and then a restart
            knows nothing of what was sent.
        leases: a directory on this machine, or `Leases`, by which every process that uses these
            keys makes sure that it is alone with them; None trusts the caller.
        reputation: the key by which relays given by address know us, or the file it is kept in
            and made in when there is none; None is this user's own file when live, and a fresh
            key otherwise.
        live: on a real node, the explicit word without which nothing is sent.
        chain_id: the chain that is meant; must be the node's, and be given to go live.
        allow_real_key: let a key that is no development key sign on a development node, though
            its signatures may be valid on the real chain.
        max_cost_wei: worst-case cost of one attempt, gas limit x max fee, and of one bundle with
            its tip; at most 1,000 ether.
        max_in_flight: nonces of one account that may be pending at once; pools promise to keep 16.
        confirmations: blocks under which an end is told.
        finality_blocks: blocks under which it is final: a reorg that takes such an end back halts
            the account's lane.
        private_blocks: how many blocks a request is private that then goes public.
        timeout_s: deadline of one request to the node.

    Raises:
        ConfigError: a refusal of the node's mode, another chain, a bound that is none.
        NodeError: the node cannot be asked.
        JournalCorrupt, JournalUnavailable: the journal cannot be read or written.
        LeaseLost: another process holds one of the keys, or the journal.
    """
    _check_cost(max_cost_wei)
    require_seconds("timeout_s", timeout_s)
    if chain_id is not None:
        require_integer("chain_id", chain_id, least=1)
    require_integer("private_blocks", private_blocks, least=1, most=MOST_PATIENCE_BLOCKS)
    require_flag("live", live)
    require_flag("allow_real_key", allow_real_key)
    if not isinstance(journal, Backend | None):
        journal = path_of("journal", journal)
    if not isinstance(leases, Leases | None):
        leases = path_of("leases", leases)
    config = SchedulerConfig(
        max_cost_wei=max_cost_wei,
        max_in_flight=max_in_flight,
        confirmations=confirmations,
        finality_blocks=finality_blocks,
    )
    signers = _listed(signer)
    async with AsyncExitStack() as stack:
        fresh = _reputation(reputation, signers)
        known = [_relay(one, fresh) for one in _several("relays", relays)]
        for one in known:
            stack.push_async_callback(one.close)
        rpc = rpc_of(endpoint, timeout_s=timeout_s)
        stack.push_async_callback(rpc.close)
        node = Node(rpc)
        identity = await identify(node)
        mode = choose_mode(identity, live=live, chain_id=chain_id)
        accounts = [one.address for one in signers]
        check_signers(accounts, identity, mode=mode, allow_real_key=allow_real_key)
        check_relays([(one.name, one.is_loopback) for one in known], mode=mode)
        if reputation is None and mode is Mode.LIVE:
            _introduce(known, instead_of=fresh)
        hold = None
        if leases is not None and mode is not Mode.DRY:
            path = _path_of(journal)
            hold = KeyHold(leases, chain_id=identity.chain_id, accounts=accounts, journal=path)
            stack.enter_context(hold)
        log = Journal(_backend(journal), guard=None if hold is None else hold.check)
        stack.push_async_callback(log.close)
        session = Session(
            node,
            chain_id=identity.chain_id,
            mode=mode,
            signers=signers,
            relays=known,
            journal=log,
            config=config,
            like=None if isinstance(endpoint, str | Sequence) else endpoint,
            private_blocks=private_blocks,
        )
        async with session.running():
            log_of(__name__, mode).info(
                "session_opened", chain_id=identity.chain_id, accounts=accounts
            )
            yield session
        if hold is not None:
            hold.unsettled = session.scheduler.unsettled()


def _check_cost(max_cost_wei: object) -> None:
    whole = max_cost_wei if isinstance(max_cost_wei, int) else 0
    if isinstance(max_cost_wei, bool) or not 0 < whole <= MOST_COST_WEI:
        raise ConfigError(
            f"max_cost_wei is {shown(max_cost_wei)}: give an integer of wei, above 0 and at most"
            f' {format_units(MOST_COST_WEI, 18)} ether, such as ether("0.05")'
        )


def _several(name: str, given: Sequence[T]) -> Sequence[T]:
    if isinstance(given, str | bytes) or not isinstance(given, Sequence):
        raise ConfigError(f"{name} is {shown(given)}; give a list, also of one")
    return given


def _listed(signer: Signer | Sequence[Signer] | None) -> Sequence[Signer]:
    if signer is None:
        return ()
    if isinstance(signer, KeyPool):
        return signer
    listed = tuple(signer) if isinstance(signer, Sequence) else (signer,)
    for one in listed:
        if isinstance(one, type) or not hasattr(one, "sign_transaction"):
            raise ConfigError(
                f"signer is a {type(one).__name__}: give a LocalSigner, a KeystoreSigner, or"
                f" several"
            )
    return listed


def _reputation(given: RelayAuth | str | Path | None, signers: Sequence[Signer]) -> RelayAuth:
    if given is None:
        return RelayAuth(LocalSigner(secrets.token_bytes(32)))
    auth = given if isinstance(given, RelayAuth) else kept_reputation(given)
    if auth.address in {one.address for one in signers}:
        raise ConfigError(
            f"reputation key {auth.address} signs transactions too: give relays one of their own"
        )
    return auth


def _introduce(relays: Sequence[Relay], *, instead_of: RelayAuth) -> None:
    """Let this user's kept key sign where so far a key does that nobody knows."""
    strangers = [relay for relay in relays if relay.auth is instead_of]
    if strangers:
        auth = kept_reputation(user_directory() / REPUTATION_FILE)
        for relay in strangers:
            relay.auth = auth


def _relay(given: Relay | RelayAddress | str, auth: RelayAuth) -> Relay:
    if isinstance(given, Relay):
        return given
    if isinstance(given, str):
        relay = Relay(given, auth=auth)
        if relay.is_loopback:
            # All on loopback speak the devnet's dialect; its port tells one from the next.
            parts = urlsplit(given)
            relay.name = f"{parts.hostname}:{parts.port}"
        return relay
    if isinstance(given, RelayAddress):
        paid: frozenset[Address] = getattr(given, "fee_recipients", frozenset())
        return Relay(given.url, name=given.name, auth=auth, fee_recipients=paid)
    raise ConfigError(f"relay is a {type(given).__name__}: give an address or a Relay")


def _path_of(journal: str | Path | Backend | None) -> Path | None:
    """The file that leases are bound to; None for a journal in memory."""
    if isinstance(journal, SqliteBackend):
        return journal.path
    return Path(journal) if isinstance(journal, str | Path) else None


def _backend(journal: str | Path | Backend | None) -> Backend:
    if journal is None:
        return MemoryBackend()
    return SqliteBackend(Path(journal)) if isinstance(journal, str | Path) else journal
