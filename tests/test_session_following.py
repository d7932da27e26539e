"""A session finds what an earlier one sent, and follows it to its end without sending."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.test_session_ending import KEY, PAY
from toolkit.chain.node import Node
from toolkit.chain.rpc import HttpRpc
from toolkit.chain.signer import LocalSigner
from toolkit.devnet.anvil import Anvil, start_anvil
from toolkit.model.errors import ConfigError, JournalCorrupt
from toolkit.model.tx import Confirmed, Visibility
from toolkit.session import connect


@pytest.fixture
async def anvil() -> AsyncIterator[Anvil]:
    async with await start_anvil(["--no-mining"]) as process:
        yield process


async def test_a_former_request_is_found_and_followed_to_its_end(
    anvil: Anvil, tmp_path: Path
) -> None:
    """The next process gives its id, follows, and is told its end; an unknown id is refused."""
    signer, path = LocalSigner(KEY), tmp_path / "journal.db"
    async with connect(anvil.url, signer=signer, journal=path) as session:
        former = await session.send(PAY, visibility=Visibility.PUBLIC)
    async with (
        connect(anvil.url, signer=signer, journal=path) as session,
        HttpRpc(anvil.url) as rpc,
    ):
        sent = session.sent(former.request_id)
        session.follow()
        await Node(rpc).rpc.call("evm_mine")
        outcome = await asyncio.wait_for(sent.wait(), 20)
        with pytest.raises(ConfigError, match="no request here is called 'tx-99'"):
            session.sent("tx-99")

    assert isinstance(outcome, Confirmed)
    assert former.tx_hash == outcome.tx_hash


async def test_a_corrupt_journal_is_refused_and_held_by_nobody(
    anvil: Anvil, tmp_path: Path
) -> None:
    """It is refused for what it is, as often as one tries: it is never said to be in use."""
    path = tmp_path / "journal.db"
    async with connect(anvil.url, signer=LocalSigner(KEY), journal=path) as session:
        await session.send(PAY, visibility=Visibility.PUBLIC)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE entry SET data = ? WHERE seq = 2", (b"{}",))

    for _ in range(2):
        with pytest.raises(JournalCorrupt, match="entry 2"):
            async with connect(anvil.url, signer=LocalSigner(KEY), journal=path):
                pass
