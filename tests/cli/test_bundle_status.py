"""`toolkit bundle status|explain`: one bundle as its journal and its chain tell it."""

import argparse
import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.cli.nodes import KEY, anvil, ask
from toolkit.bundles.entries import (
    CANCELLED,
    RESULT,
    SUBMITTED,
    BundleCancelled,
    BundleEnded,
    BundleSubmitted,
    Claim,
)
from toolkit.bundles.evidence import RelayAnswer
from toolkit.chain.signer import LocalSigner
from toolkit.cli import bundle_status
from toolkit.journal.log import Journal
from toolkit.journal.sqlite import SqliteBackend
from toolkit.model.bundle import Landed, MissCause, Missed
from toolkit.model.chain import Address, Hash
from toolkit.model.errors import ConfigError, JournalCorrupt

NAME, FIRST, SECOND, RIVAL = (Hash("0x" + digit * 64) for digit in "abcd")
OWNER = LocalSigner(KEY).address
TOOK = RelayAnswer(relay="titan", accepted=True, head_number=6)
REFUSED = RelayAnswer(relay="rsync", accepted=False, head_number=6, why="rsync: too big")


def submission(block: int, **more: Any) -> BundleSubmitted:
    fields: dict[str, Any] = {
        "bundle_hash": NAME,
        "hashes": (FIRST, SECOND),
        "target_block": block,
        "relays": ("titan", "rsync"),
        "lease_id": None,
        "guards": (),
        "bid_wei": 5,
        "last_block": 8,
        "replacement_uuid": "mine",
    }
    return BundleSubmitted(**(fields | more))


def missed(block: int, cause: MissCause = MissCause.OUTBID_CONFLICT) -> Missed:
    return Missed(
        bundle_hash=NAME, target_block=block, cause=cause, evidence="9 wei for 5", rival=RIVAL
    )


def landed(block: int) -> Landed:
    return Landed(
        bundle_hash=NAME,
        block_number=block,
        block_hash=Hash("0x" + "ee" * 32),
        builder=Address("0x" + "cb" * 20),
        fee_wei=3,
        tip_wei=2,
    )


@pytest.fixture
def written(journal: str) -> Callable[..., str]:
    """Write (kind, data, cause) entries into a journal file."""

    def write(*entries: tuple[str, Any, int | None]) -> str:
        async def fill() -> None:
            log = Journal(SqliteBackend(journal))
            for kind, data, cause in entries:
                log.append(kind, data, cause=cause)
            await log.commit()
            await log.close()

        asyncio.run(fill())
        return journal

    return write


@pytest.fixture
def two_tries(written: Callable[..., str]) -> str:
    """Missed in block 7; landed in block 8, and taken back by a reorg."""
    answers = (TOOK, REFUSED)
    return written(
        (SUBMITTED, submission(7), None),
        (RESULT, BundleEnded(result=missed(7), answers=answers), 1),
        (SUBMITTED, submission(8), None),
        (RESULT, BundleEnded(result=landed(8), answers=answers), 3),
        (RESULT, BundleEnded(result=missed(8, MissCause.REORGED), answers=answers), 3),
        (SUBMITTED, submission(7, bundle_hash=RIVAL, hashes=(RIVAL,), replacement_uuid="b"), None),
    )


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    bundle_status.add_parser(parser.add_subparsers())
    args = parser.parse_args(words)
    return int(args.handler(args))


@pytest.mark.parametrize("name", [NAME, FIRST, SECOND, SECOND.upper().replace("X", "x"), "mine"])
def test_explain_tells_each_block(
    two_tries: str, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """By whatever name: who took it, the cause with evidence and rival, and what was told before
    it; another bundle of the same journal has no part in it."""
    assert 0 == run("explain", name, "--journal", two_tries, "--json")

    document = json.loads(capsys.readouterr().out)
    first, second = document["tries"]
    assert (NAME, 7, 8) == (document["bundle_hash"], first["target_block"], second["target_block"])
    assert ["took it", "refused"] == [each["answer"] for each in first["relays"]]
    assert ("outbid_conflict", "9 wei for 5", RIVAL) == (
        first["cause"],
        first["evidence"],
        first["rival"],
    )
    assert ("reorged", False) == (second["cause"], second["landed"])
    assert [8] == [each["block_number"] for each in second["told_before"]]


def test_explain_is_readable(two_tries: str, capsys: pytest.CaptureFixture[str]) -> None:
    """For people the same in lines: relays with their words, the cause and why."""
    assert 0 == run("explain", NAME, "--journal", two_tries)

    said = capsys.readouterr().out
    for words in ("rsync: too big", "took it", "outbid_conflict", "9 wei for 5", "reorged"):
        assert words in said


def test_status_is_the_last_word(two_tries: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Of several tries and ends the last one holds."""
    assert 0 == run("status", NAME, "--journal", two_tries, "--json")

    document = json.loads(capsys.readouterr().out)
    assert ("missed", "reorged", 8, "mine") == (
        document["state"],
        document["cause"],
        document["target_block"],
        document["replacement_uuid"],
    )


def test_status_of_what_landed_and_what_is_under_way(
    written: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A landing has block, builder and money; what has no end yet is under way, asked back."""
    other = Hash("0x" + "99" * 32)
    wish = BundleCancelled(bundle_hash=other, replacement_uuid="b")
    path = written(
        (SUBMITTED, submission(7), None),
        (RESULT, BundleEnded(result=landed(7), answers=(TOOK,)), 1),
        (SUBMITTED, submission(9, bundle_hash=other, hashes=(other,)), None),
        (CANCELLED, wish, 3),
    )
    found = []
    for name in (NAME, other):
        assert 0 == run("status", name, "--journal", path, "--json")
        found.append(json.loads(capsys.readouterr().out))

    assert ("landed", 7, 2, 3) == tuple(
        found[0][name] for name in ("state", "block_number", "tip_wei", "fee_wei")
    )
    assert ("under way", True) == (found[1]["state"], found[1]["cancel_asked"])


def test_a_try_without_an_end_is_judged_by_its_block(
    written: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the process died first, the journal's nonces and caps and the chain are enough: here
    the nonce was spent by somebody else before."""
    with anvil("--chain-id", "31337") as url:
        for _ in range(2):
            sent = {"from": OWNER, "to": OWNER, "value": "0x1"}
            ask(url, "eth_sendTransaction", sent)
        claim = Claim(hash=FIRST, sender=OWNER, nonce=0, fee_cap=10**12, to=OWNER, leased=True)
        ours = submission(2, hashes=(FIRST,), claims=(claim,), last_block=2)
        path = written((SUBMITTED, ours, None))
        assert 0 == run("explain", NAME, "--journal", path, "--rpc-url", url, "--json")
        (one,) = json.loads(capsys.readouterr().out)["tries"]
        assert 0 == run("status", NAME, "--journal", path, "--rpc-url", url, "--json")
        status = json.loads(capsys.readouterr().out)

    assert "nonce_used" == one["cause"]
    assert ["unheard", "unheard"] == [each["answer"] for each in one["relays"]]
    assert (2, None, "under way") == (
        status["chain_head"],
        status["chain_mined"],
        status["state"],
    )


@pytest.mark.parametrize("action", ["status", "explain"])
def test_what_is_not_there_is_said(two_tries: str, action: str) -> None:
    """A name that the journal does not have is refused with what lists those that it has."""
    with pytest.raises(ConfigError, match=r"has no bundle nobody; .*bundle_submitted"):
        run(action, "nobody", "--journal", two_tries)
    with pytest.raises(ConfigError, match="journal"):
        run(action, NAME, "--journal", two_tries + ".none")


def test_an_entry_that_is_none_is_named(written: Callable[..., str]) -> None:
    """A journal whose entry has another shape is not read over."""
    path = written((SUBMITTED, {"bundle_hash": 1}, None))

    with pytest.raises(JournalCorrupt, match=r"entry 1 \(bundle_submitted\)"):
        run("explain", NAME, "--journal", path)
