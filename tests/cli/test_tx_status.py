"""`toolkit tx status`: one request as its journal and its chain tell it."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.cli.nodes import (
    KEY,
    anvil,
    ask,
)
from tests.cli.shell import BOB, run, sent, stuck
from toolkit.chain.signer import LocalSigner
from toolkit.journal.compaction import compact
from toolkit.journal.sqlite import SqliteBackend, read_entries
from toolkit.session import connect
from toolkit.tx.recovery import Fold, checkpoint, recover


def test_status_while_another_process_runs_it(
    journal: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A request is found by its id, its key and its hash, with what the chain says if asked."""
    with anvil("--chain-id", "31337", "--no-mining") as idle:
        told = sent(
            capsys,
            *("--to", BOB, "--value-wei", "7", "--rpc-url", idle, "--private-key", KEY),
            *("--journal", journal, "--idempotency-key", "rent", "--no-wait"),
        )
        holder = SqliteBackend(journal)
        try:
            seen = {}
            for name in ("rent", str(told["request_id"]), str(told["tx_hash"])):
                assert 0 == run("status", name, "--journal", journal, "--json")
                seen[name] = json.loads(capsys.readouterr().out)
            assert 0 == run("status", "rent", "--journal", journal, "--rpc-url", idle, "--json")
            waiting = json.loads(capsys.readouterr().out)
            ask(idle, "evm_mine")
            assert 0 == run("status", "rent", "--journal", journal, "--rpc-url", idle, "--json")
            mined = json.loads(capsys.readouterr().out)
        finally:
            holder.close()

    (one,) = {json.dumps(document) for document in seen.values()}
    document = json.loads(one)
    assert ("broadcast", 0, None, 7) == (
        document["state"],
        document["nonce"],
        document["outcome"],
        document["value_wei"],
    )
    (attempt,) = document["attempts"]
    assert (told["tx_hash"], "public", 0) == (
        attempt["tx_hash"],
        attempt["exposure"],
        attempt["version"],
    )
    assert (0, [told["tx_hash"]], None) == (
        waiting["chain_nonce"],
        waiting["chain_pending"],
        waiting["chain_mined"],
    )
    assert (1, [], told["tx_hash"], True) == (
        mined["chain_nonce"],
        mined["chain_pending"],
        mined["chain_mined"],
        mined["chain_succeeded"],
    )


def test_status_shows_no_signed_bytes(
    url: str, journal: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither form of it contains what could be published, and people get lines."""
    words = ("--rpc-url", url, "--private-key", KEY, "--journal", journal)
    told = sent(capsys, "--to", BOB, "--data", "0x" + "ab" * 200, *words)
    assert 0 == run("status", str(told["request_id"]), "--journal", journal, "--json")
    document = capsys.readouterr().out
    assert 0 == run("status", str(told["request_id"]), "--journal", journal)
    lines = capsys.readouterr().out

    assert "abab" not in document + lines
    assert f"attempt 0            {told['tx_hash']} nonce" in lines
    assert ["state", "confirmed"] == lines.splitlines()[1].split()


def test_status_of_what_is_not_there(
    url: str, journal: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No journal, no such request, and a node of another chain: one line each, exit code 2."""
    told = sent(capsys, "--to", BOB, "--rpc-url", url, "--private-key", KEY, "--journal", journal)
    name = str(told["request_id"])

    assert 2 == run("status", "tx-99", "--journal", journal)
    assert f"the journal {journal} has no request tx-99; " in capsys.readouterr().err
    for name_, shown in (("", "''"), ("x" * 999, "x… (1001 characters)")):
        assert 2 == run("status", name_, "--journal", journal)
        assert f"{shown}; `toolkit journal show" in capsys.readouterr().err
    assert 2 == run("status", name, "--journal", str(tmp_path / "none.db"))
    assert f"no journal at {tmp_path / 'none.db'}" in capsys.readouterr().err
    with anvil("--chain-id", "7") as other:
        assert 2 == run("status", name, "--journal", journal, "--rpc-url", other)
    assert f"{name} is of chain 31337, the node is on chain 7" in capsys.readouterr().err


def test_status_reads_a_compacted_journal(journal: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What a checkpoint stands for is told as before, open or over, by any of its names."""
    with anvil("--chain-id", "31337", "--no-mining") as slow:
        over = stuck(capsys, slow, journal, "--idempotency-key", "over")
        ask(slow, "evm_mine")
        waiting = stuck(capsys, slow, journal, "--idempotency-key", "open")
        before = {}
        for name in ("over", "open", str(waiting["tx_hash"])):
            assert 0 == run("status", name, "--journal", journal, "--json")
            before[name] = json.loads(capsys.readouterr().out)
        asyncio.run(checkpointed(slow, journal))
        compact(Path(journal), reports={"tx.outcome"})
        with pytest.raises(StopIteration):
            next(iter(read_entries(Path(journal), "tx.request")))
        after = {}
        for name in before:
            assert 0 == run("status", name, "--journal", journal, "--json")
            after[name] = json.loads(capsys.readouterr().out)

    assert "confirmed" == after["over"]["state"]
    assert (over["tx_hash"], 7) == (after["over"]["tx_hash"], after["over"]["value_wei"])
    assert before["open"] == after["open"] == after[str(waiting["tx_hash"])]


async def checkpointed(url: str, journal: str) -> None:
    """Let a session fold its journal, as a long run does from time to time."""
    async with connect(url, signer=LocalSigner(KEY), journal=journal) as session:
        await session.advance()
        log = session.journal
        recovered = recover(log)
        fold = Fold(opening=recovered.opening, lanes=recovered.lanes, seqs=recovered.seqs)
        checkpoint(log, fold)
        await log.commit()
