"""A session with several keys, several nodes, and leases that keep other processes away."""

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from toolkit.chain.rpc import HttpRpc
from toolkit.chain.signer import LocalSigner
from toolkit.devnet.anvil import Anvil, start_anvil
from toolkit.model.chain import Address
from toolkit.model.errors import ConfigError, LeaseLost
from toolkit.model.tx import Confirmed, TransactionRequest, Visibility
from toolkit.session import connect
from toolkit.tx.key_pool import KeyPool
from toolkit.tx.leases import Leases

FIRST = LocalSigner("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
SECOND = LocalSigner("0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d")
OTHER = Address("0x" + "22" * 20)
PAY = TransactionRequest(to=OTHER, value=7)
PUBLIC = Visibility.PUBLIC


@pytest.fixture
async def anvil() -> AsyncIterator[Anvil]:
    async with await start_anvil(["--no-mining"]) as process:
        yield process


async def test_a_key_pool_spreads_what_names_no_sender(anvil: Anvil) -> None:
    """Half of it goes to each of two keys; what names its sender stays with it."""
    async with connect(anvil.url, signer=KeyPool([FIRST, SECOND])) as session:
        spread = [await session.send(PAY, visibility=PUBLIC) for _ in range(8)]
        mine = await session.send({"from": SECOND.address, "to": OTHER}, visibility=PUBLIC)
        keyed = [await session.send(PAY, visibility=PUBLIC, idempotency_key="k") for _ in range(3)]
        await session.node.rpc.call("evm_mine")
        await session.advance()
        outcomes = [await one.wait() for one in [*spread, mine, keyed[0]]]

    assert {4} == set(Counter(one.sender for one in spread).values())
    assert SECOND.address == mine.sender
    assert 1 == len({one.request_id for one in keyed})
    assert all(isinstance(outcome, Confirmed) for outcome in outcomes)


async def test_several_addresses_are_one_node(anvil: Anvil) -> None:
    """A session on three addresses sends once and hears of it."""
    port = anvil.url.rpartition(":")[2]
    urls = [anvil.url, f"http://localhost:{port}", f"ws://127.0.0.1:{port}"]
    async with connect(urls, signer=FIRST) as session, HttpRpc(anvil.url) as alone:
        sent = await session.send(PAY, visibility=PUBLIC)
        await alone.call("evm_mine")
        await session.advance()

        assert isinstance(await sent.wait(), Confirmed)
        assert 7 == await session.node.balance(OTHER)
        assert 1 == await session.node.nonce(FIRST.address)


async def test_a_leased_key_is_refused_to_others(anvil: Anvil, tmp_path: Path) -> None:
    """While one session holds a key nobody else opens it; afterwards it is free."""
    leases = tmp_path / "leases"
    async with connect(anvil.url, signer=FIRST, journal=tmp_path / "a.db", leases=leases):
        with pytest.raises(LeaseLost, match="is held by process"):
            async with connect(anvil.url, signer=FIRST, journal=tmp_path / "b.db", leases=leases):
                pytest.fail("two sessions hold one key")
        async with connect(anvil.url, signer=SECOND, journal=tmp_path / "b.db", leases=leases):
            pass

    async with connect(anvil.url, signer=FIRST, journal=tmp_path / "b.db", leases=leases):
        pass


async def test_a_lane_with_something_under_way_keeps_its_journal(
    anvil: Anvil, tmp_path: Path
) -> None:
    """The next holder must bring the journal that knows what is out."""
    leases = tmp_path / "leases"
    async with connect(
        anvil.url, signer=FIRST, journal=tmp_path / "a.db", leases=leases
    ) as session:
        await session.send(PAY, visibility=PUBLIC)

    with pytest.raises(ConfigError, match="under way"):
        async with connect(anvil.url, signer=FIRST, journal=tmp_path / "b.db", leases=leases):
            pytest.fail("another journal knows nothing of the pending transaction")
    async with connect(anvil.url, signer=FIRST, journal=tmp_path / "a.db", leases=leases):
        pass


async def test_a_session_that_was_taken_over_sends_nothing_more(
    anvil: Anvil, tmp_path: Path
) -> None:
    """Its next write is refused, so its next transaction never leaves."""
    leases, rival = Leases(tmp_path), Leases(tmp_path, takeover=True)

    async def use() -> None:
        async with connect(anvil.url, signer=FIRST, leases=leases) as session:
            rival.acquire(31337, FIRST.address, None)
            await session.send(PAY, visibility=PUBLIC)

    with pytest.raises(LeaseLost, match="sends nothing more"):
        await use()
    async with HttpRpc(anvil.url) as rpc:
        assert "0x0" == await rpc.call("eth_getTransactionCount", [FIRST.address, "pending"])
    rival.close()
    leases.close()


async def test_finality_and_window_are_settings(anvil: Anvil) -> None:
    """How many may be in flight, and when an end is final, is the author's to say."""
    async with connect(anvil.url, signer=FIRST, max_in_flight=2, finality_blocks=5) as session:
        for _ in range(3):
            await session.send(PAY, visibility=PUBLIC)
        (lane,) = session.scheduler.statistics().lanes

    assert (2, 1) == (lane.in_flight, lane.queued)
    with pytest.raises(ConfigError, match="max_in_flight is 0"):
        async with connect(anvil.url, signer=FIRST, max_in_flight=0):
            pytest.fail("a window of none")
