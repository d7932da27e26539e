"""What a session refuses, by what the node is and what was asked for (contract, section 2)."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web
from web3.types import Wei

from toolkit.bundles.auth import RelayAuth
from toolkit.bundles.flashbots import Flashbots
from toolkit.bundles.reputation import kept_reputation
from toolkit.chain.signer import LocalSigner
from toolkit.devnet.anvil import Anvil, start_anvil
from toolkit.devnet.participants import user_accounts
from toolkit.journal.memory import MemoryBackend
from toolkit.model.bundle import MissCause, Missed
from toolkit.model.chain import Address, Mode
from toolkit.model.errors import BundleRefused, ConfigError, NodeUnavailable
from toolkit.model.tx import Confirmed, DryRun, TransactionRequest, Visibility
from toolkit.model.units import ether
from toolkit.session import connect

PUBLIC_KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
OWN = LocalSigner("0x" + "4c" * 32)
OTHER = Address("0x" + "22" * 20)
PAY = TransactionRequest(to=OTHER, value=7)
GETH = "Geth/v1.16.2-stable/linux-amd64/go1.24.4"


class Front:
    """An honest node of another name: all that Anvil answers, except what only Anvil knows."""

    def __init__(self, anvil: Anvil, client: str, info: object = None) -> None:
        self.asked: list[str] = []
        self.url = ""
        self._anvil, self._client, self._info = anvil, client, info

    async def answer(self, request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        many = body if isinstance(body, list) else [body]
        answers = [await self._one(item) for item in many]
        return web.Response(body=orjson.dumps(answers if isinstance(body, list) else answers[0]))

    async def _one(self, item: dict[str, Any]) -> Any:
        method = item["method"]
        self.asked.append(method)
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": item["id"]}
        if method == "web3_clientVersion":
            return {**answer, "result": self._client}
        if method == "toolkit_info" and self._info is not None:
            return {**answer, "result": self._info}
        if method.startswith(("anvil_", "hardhat_", "evm_", "toolkit_")):
            return {**answer, "error": {"code": -32601, "message": "the method does not exist"}}
        async with (
            aiohttp.ClientSession() as session,
            session.post(self._anvil.url, json=item) as response,
        ):
            return await response.json()

    @property
    def sends(self) -> list[str]:
        """Every method that could have had an effect on a chain."""
        return [method for method in self.asked if method.startswith("eth_send")]


Serve = Callable[..., Any]


@pytest.fixture
async def anvil() -> AsyncIterator[Anvil]:
    """A fresh Anvil with our own account funded."""
    async with await start_anvil(["--chain-id", "1"]) as process:
        async with aiohttp.ClientSession() as session:
            body = {
                "jsonrpc": "2.0",
                "id": 1,
                "method": "anvil_setBalance",
                "params": [OWN.address, hex(10**20)],
            }
            async with session.post(process.url, json=body) as response:
                assert response.ok
        yield process


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start something that has `answer` and `url`."""
    runners: list[web.AppRunner] = []

    async def start(server: Any) -> Any:
        app = web.Application()
        app.router.add_post("/", server.answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return server

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def geth(anvil: Anvil, serve: Serve) -> Front:
    """A real node as far as anybody can tell."""
    front: Front = await serve(Front(anvil, GETH))
    return front


async def refused(url: str, match: str, **options: Any) -> None:
    """Assert that no session opens, for this reason, in one line."""
    with pytest.raises(ConfigError, match=match) as caught:
        async with connect(url, **options):
            pytest.fail("the session opened")

    assert "\n" not in str(caught.value)


async def test_anvil_is_dev_and_its_fork_is_fork(anvil: Anvil) -> None:
    """A development node gives DEV, one that forks another chain gives FORK."""
    fork = await start_anvil(["--fork-url", anvil.url, "--no-storage-caching"])
    async with fork, connect(anvil.url) as plain, connect(fork.url) as forked:
        assert Mode.DEV is plain.mode
        assert Mode.FORK is forked.mode
        assert repr(plain).startswith("Session(DEV, chain 1")


@pytest.mark.parametrize(
    ("info", "mode"), [({"accounts": []}, Mode.DEV), ({"fork_url": "http://x"}, Mode.FORK)]
)
async def test_a_devnet_is_known_by_toolkit_info(
    anvil: Anvil, serve: Serve, info: object, mode: Mode
) -> None:
    """What answers toolkit_info is a devnet, whatever its client calls itself."""
    front = await serve(Front(anvil, "whatever", info))

    async with connect(front.url) as session:
        assert mode is session.mode


async def test_any_other_node_is_dry(geth: Front) -> None:
    """On a real node everything is DRY unless live was asked for."""
    async with connect(geth.url, signer=OWN) as session:
        assert Mode.DRY is session.mode


async def test_live_needs_the_word_and_the_chain(geth: Front) -> None:
    """live=True with the node's chain id is LIVE; without the chain id it is refused."""
    await refused(geth.url, "live needs chain_id=1", live=True, signer=OWN)
    async with connect(geth.url, live=True, chain_id=1, signer=OWN) as session:
        assert Mode.LIVE is session.mode


@pytest.mark.parametrize("live", [True, False])
async def test_a_wrong_chain_id_is_refused_in_every_mode(
    geth: Front, anvil: Anvil, *, live: bool
) -> None:
    """A chain id that is not the node's is one clear line, live or not."""
    await refused(geth.url, "on chain 1, not on chain 5", live=live, chain_id=5)
    await refused(anvil.url, "on chain 1, not on chain 5", chain_id=5)


async def test_live_is_refused_on_a_development_node(anvil: Anvil, serve: Serve) -> None:
    """Anvil, its likes and a devnet are never live."""
    await refused(anvil.url, "is a development node", live=True, chain_id=1)
    for client in ("HardhatNetwork/2.22.1", "Ganache/v7.9.1", "EthereumJS TestRPC/v2.13"):
        front = await serve(Front(anvil, client))
        await refused(front.url, "is a development node", live=True, chain_id=1)
    front = await serve(Front(anvil, GETH, {"accounts": []}))
    await refused(front.url, "is a development node", live=True, chain_id=1)


@pytest.mark.parametrize("live", ["yes", 1, None])
async def test_live_is_a_word_and_not_a_truthy_value(geth: Front, live: object) -> None:
    """Only True and False are accepted."""
    await refused(geth.url, "must be True or False", live=live, chain_id=1)


@pytest.mark.parametrize("options", [{}, {"live": True, "chain_id": 1}, {"allow_real_key": True}])
async def test_public_keys_are_refused_on_a_real_node(geth: Front, options: dict[str, Any]) -> None:
    """What everybody has the key of never signs where money is, dry or live."""
    await refused(
        geth.url, "public Anvil and Hardhat key", signer=LocalSigner(PUBLIC_KEY), **options
    )


@pytest.mark.parametrize("options", [{}, {"live": True, "chain_id": 1}])
@pytest.mark.parametrize(("seed", "index"), [(0, 0), (1, 0), (99, 9)])
async def test_devnet_keys_are_refused_on_a_real_node(
    geth: Front, options: dict[str, Any], seed: int, index: int
) -> None:
    """A devnet's keys follow from its seed, so everybody has them, dry or live."""
    account = user_accounts(seed, 10)[index]

    await refused(geth.url, "public devnet key", signer=account.signer, **options)


async def test_a_real_key_is_refused_on_a_development_node(anvil: Anvil) -> None:
    """A key that is neither the devnet's nor public signs there only when that is said."""
    await refused(anvil.url, "allow_real_key=True", signer=OWN)
    await refused(anvil.url, "allow_real_key=True", signer=[LocalSigner(PUBLIC_KEY), OWN])
    async with connect(anvil.url, signer=OWN, allow_real_key=True) as session:
        assert Mode.DEV is session.mode


async def test_a_real_key_is_refused_on_a_fork(anvil: Anvil) -> None:
    """A fork has the real chain's id, so the same rule holds."""
    async with await start_anvil(["--fork-url", anvil.url, "--no-storage-caching"]) as fork:
        await refused(fork.url, "allow_real_key=True", signer=OWN)


async def test_a_devnets_own_accounts_may_sign(anvil: Anvil, serve: Serve) -> None:
    """The accounts that toolkit_info lists, fresh from the seed, need no further word."""
    front = await serve(Front(anvil, "anvil/v1", {"accounts": [{"address": OWN.address}]}))

    async with connect(front.url, signer=OWN) as session:
        assert (OWN,) == session.signers


async def test_a_remote_devnet_cannot_name_accounts(
    anvil: Anvil, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list of accounts counts from loopback only: a remote node could name a real one."""
    from toolkit.chain import modes
    from toolkit.chain.node import Node

    class Remote:
        url = "http://node.example:8545"

        async def call(self, method: str, *_: object, **__: object) -> Any:
            answers = {"eth_chainId": "0x1", "web3_clientVersion": "anvil/v1"}
            return answers.get(method, {"accounts": [{"address": OWN.address}]})

    identity = await modes.identify(Node(Remote()))  # type: ignore[arg-type]

    assert identity.development
    assert frozenset() == identity.accounts


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:1", True),
        ("http://127.9.9.9:1", True),
        ("http://[::1]:1", True),
        ("http://localhost:1", True),
        ("https://relay.flashbots.net", False),
        ("http://192.168.1.5", False),
        ("http://127.0.0.1.example.com", False),
        ("http://localhost.example.com", False),
        ("http://0.0.0.0", False),
        ("nonsense", False),
    ],
)
def test_loopback_is_judged_by_the_literal_host(url: str, *, local: bool) -> None:
    """Names that merely look like this machine are not it."""
    from toolkit.chain.modes import is_loopback

    assert local is is_loopback(url)


async def test_a_relay_beyond_loopback_is_refused_on_a_development_node(anvil: Anvil) -> None:
    """What is signed on a development chain must not reach a real builder."""
    real = "https://relay.flashbots.net"
    await refused(anvil.url, "relay flashbots is not on loopback", relays=[real])
    fork = await start_anvil(["--fork-url", anvil.url, "--no-storage-caching"])
    async with fork:
        await refused(fork.url, "not on loopback", relays=["http://127.0.0.1:9", real])
    async with connect(anvil.url, relays=["http://127.0.0.1:9", "http://127.0.0.1:8"]) as session:
        assert ["127.0.0.1:9", "127.0.0.1:8"] == [relay.name for relay in session.relays]


async def test_a_real_relay_is_fine_on_a_real_node(geth: Front) -> None:
    """On a real node relays may be anywhere; in a dry run none of them is even kept."""
    async with connect(geth.url, signer=OWN, relays=["https://relay.flashbots.net"]) as session:
        assert () == session.relays


async def test_relays_know_us_again_after_a_restart(
    geth: Front, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Live, all relays given by address are signed for with one key that is kept for the next
    time; a dry run makes none."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    relays = ["https://relay.flashbots.net", "https://rpc.titanbuilder.xyz"]
    kept = tmp_path / "mev-toolkit" / "reputation.json"
    async with connect(geth.url, signer=OWN, relays=relays):
        made_dry = kept.exists()

    known = set()
    for _ in range(2):
        live = connect(geth.url, signer=OWN, live=True, chain_id=1, relays=relays)
        async with live as session:
            known |= {relay.auth.address for relay in session.relays if relay.auth}

    assert not made_dry
    assert {kept_reputation(kept).address} == known


async def test_reputation_may_be_given(anvil: Anvil, tmp_path: Path) -> None:
    """A key or its file signs for relays given by address; a signer's own key is refused."""
    file, key = tmp_path / "key.json", RelayAuth(LocalSigner("0x" + "5a" * 32))
    relays = ["http://127.0.0.1:9"]
    async with connect(anvil.url, relays=relays, reputation=file) as session:
        used = [one.auth.address for one in session.relays if one.auth]
    assert [kept_reputation(file).address] == used
    async with connect(anvil.url, relays=relays, reputation=key) as session:
        assert [key] == [one.auth for one in session.relays]
    signer = LocalSigner(PUBLIC_KEY)
    await refused(anvil.url, "signs transactions too", signer=signer, reputation=RelayAuth(signer))
    await refused(anvil.url, "reputation is 5; give a path", reputation=5)


@pytest.mark.parametrize("options", [{"relays": [object()]}, {"signer": "0x" + "4c" * 32}])
async def test_things_of_another_kind_are_refused(anvil: Anvil, options: dict[str, Any]) -> None:
    """A raw key is not a signer; the error names the type and not the key."""
    with pytest.raises(ConfigError) as caught:
        async with connect(anvil.url, **options):
            pytest.fail("the session opened")

    assert "4c4c" not in str(caught.value)


async def test_a_signer_given_twice_is_refused(anvil: Anvil) -> None:
    """Two lanes of one account would take each other's nonces."""
    await refused(anvil.url, "given twice", signer=[OWN, OWN], allow_real_key=True)


@pytest.mark.parametrize(
    "cost", [None, 0, -1, True, 0.05, float("inf"), "0.05", ether(1000) + 1, 2**256]
)
async def test_an_unlimited_cost_cannot_be_expressed(anvil: Anvil, cost: object) -> None:
    """max_cost_wei is a positive integer of wei and at most 1,000 ether."""
    await refused(anvil.url, "max_cost_wei", max_cost_wei=cost)


async def test_visibility_must_be_said_without_relays(anvil: Anvil) -> None:
    """A send neither goes public by default nor private without relays."""
    async with connect(anvil.url, signer=LocalSigner(PUBLIC_KEY)) as session:
        with pytest.raises(ConfigError, match="visibility must be said"):
            await session.send(PAY)
        for visibility in (Visibility.PRIVATE, Visibility.PRIVATE_THEN_PUBLIC):
            with pytest.raises(ConfigError, match="needs relays"):
                await session.send(PAY, visibility=visibility)
        with pytest.raises(ConfigError, match="visibility is 'x'; give a member of Visibility"):
            await session.send(PAY, visibility="x")  # type: ignore[arg-type]
        assert 0 == await session.node.nonce(LocalSigner(PUBLIC_KEY).address, "pending")


async def test_sending_needs_a_signer(anvil: Anvil) -> None:
    """Without a signer a session reads, and says so when it is to send."""
    async with connect(anvil.url) as session:
        with pytest.raises(ConfigError, match="no signer"):
            await session.send(PAY, visibility=Visibility.PUBLIC)


async def test_a_dry_run_signs_and_simulates_and_sends_nothing(geth: Front) -> None:
    """DRY gives the would-be hash and cost; no eth_send*, no nonce, no relay."""
    relay = "http://127.0.0.1:9"
    async with connect(geth.url, signer=OWN, relays=[relay]) as session:
        first = await (await session.send(PAY)).wait()
        again = await (await session.send(PAY, visibility=Visibility.PUBLIC)).wait()
        with pytest.raises(ConfigError, match="go around the lane"):
            await session.w3.provider.make_request("eth_sendBundle", [{}])
        w3_hash = await session.w3.eth.send_transaction({"to": OTHER, "value": Wei(7)})
        draft = session.bundle().call(PAY)
        missed = await (await session.submit(draft, tip_wei=10**15)).wait()
        with pytest.raises(BundleRefused, match="has no guard"):
            await session.submit(draft.call(PAY))
        waived = await (await session.submit(draft.call(PAY), guards_waived=True)).wait()

    assert isinstance(waived, Missed)
    assert isinstance(first, DryRun)
    assert first == again
    assert 32 == len(w3_hash)
    assert first.tx_hash is None
    assert first.max_cost_wei > 21_000 * 10**9
    assert isinstance(missed, Missed)
    assert (MissCause.CANCELLED, "dry run") == (missed.cause, missed.evidence[:7])
    assert [] == geth.sends


async def test_a_ported_script_is_dry_too(geth: Front) -> None:
    """Calls of the official bundle client sign in DRY and reach neither relay nor chain; what would
    be refused live is, and a key that everybody has, as by `connect`."""
    fees = {"gas": 21_000, "maxFeePerGas": 10**10, "maxPriorityFeePerGas": 10**9}
    entry = {"signer": OWN, "transaction": {"to": OTHER, "value": 7, **fees}}
    async with connect(geth.url, relays=["http://127.0.0.1:9"]) as session:
        client = Flashbots(session)
        block = session.head.number + 1
        missed = await (await client.send_bundle([entry], block)).wait()
        mined = await (await client.send_private_transaction(entry)).wait()
        with pytest.raises(BundleRefused, match="no guard"):
            await client.send_bundle([entry, entry], block)
        with pytest.raises(ConfigError, match="no relay simulates for this DRY session"):
            await client.simulate([entry])
        with pytest.raises(ConfigError, match="public Anvil and Hardhat key"):
            await client.sign_bundle([entry | {"signer": LocalSigner(PUBLIC_KEY)}])

    assert isinstance(missed, Missed)
    assert not mined
    assert [] == geth.sends


async def test_a_dry_run_leaves_nothing_in_the_journal_to_resume(geth: Front) -> None:
    """A live session on the same journal finds nothing under way."""
    backend = MemoryBackend()
    async with connect(geth.url, signer=OWN, journal=backend) as session:
        await session.send(PAY, visibility=Visibility.PUBLIC)
    live = connect(geth.url, signer=OWN, live=True, chain_id=1, journal=backend)
    async with live as session:
        assert 0 == session.scheduler.statistics().open

    assert [] == geth.sends


async def test_live_really_sends(geth: Front) -> None:
    """In LIVE mode the same code sends once and the chain confirms."""
    async with connect(geth.url, signer=OWN, live=True, chain_id=1) as session:
        sent = await session.send(PAY, visibility=Visibility.PUBLIC)
        outcome = await sent.wait()

    assert isinstance(outcome, Confirmed)
    assert ["eth_sendRawTransaction"] == geth.sends


async def test_an_unreachable_node_is_one_clear_error() -> None:
    """Nothing listening is NodeUnavailable that names the endpoint."""
    with pytest.raises(NodeUnavailable, match=r"no connection to http://127\.0\.0\.1:9"):
        async with connect("http://127.0.0.1:9"):
            pytest.fail("the session opened")


@pytest.mark.parametrize("endpoint", ["ftp://x", "", 5, None, object()])
async def test_an_endpoint_of_another_kind_is_refused(endpoint: Any) -> None:
    """Only http, https, ws, wss and an AsyncWeb3 can be connected to."""
    with pytest.raises(ConfigError):
        async with connect(endpoint):
            pytest.fail("the session opened")
