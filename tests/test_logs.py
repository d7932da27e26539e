"""What a listener hears of a run, what it must never hear, and that nobody is made to listen."""

import logging
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.orchestrator.worlds import DAI_CAPITAL, DAI_MARKET, random_market
from toolkit import logs
from toolkit.bundles.submitter import BundleHandle
from toolkit.chain.signer import LocalSigner
from toolkit.devnet.crowd.rivals import RivalConfig
from toolkit.devnet.devnet import Devnet, DevnetConfig
from toolkit.model.bundle import Landed, Missed
from toolkit.model.chain import Mode
from toolkit.model.decision import Intent
from toolkit.model.printable import LONGEST
from toolkit.model.tx import Confirmed, TransactionRequest, Visibility
from toolkit.reasoning.agent import View
from toolkit.session import Session, connect
from toolkit.testing.decide import decide

ROOT = Path(__file__).resolve().parent.parent
ROW = re.compile(r"^ +(?:INFO|WARNING|ERROR)? +(\w+) {2,}(\w+(?:, \w+)*)$", re.MULTILINE)
CALL = re.compile(r"_?log(?:_of\([^)]*\))?\.(debug|info|warning|error|critical)\(\s*\"(\w+)\"")
DOCUMENTED = {name: set(fields.split(", ")) for name, fields in ROW.findall(logs.__doc__ or "")}


def heard(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Every event of ours that reached the standard library's logging."""
    ours = [one for one in caplog.records if one.name.startswith("toolkit.")]
    assert all(isinstance(one.msg, dict) for one in ours)
    return [dict(one.msg) for one in ours if isinstance(one.msg, dict)]


def of(events: Iterable[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """The events of one name, without it."""
    return [
        {key: value for key, value in one.items() if key != "event"}
        for one in events
        if one["event"] == name
    ]


async def private_call(session: Session, *, tip_wei: int) -> BundleHandle:
    """Submit a bundle of one transfer to ourselves."""
    request = TransactionRequest(to=session.signers[0].address, value=1)
    handle = await session.submit(session.bundle().call(request), tip_wei=tip_wei)
    assert isinstance(handle, BundleHandle)
    return handle


async def test_a_run_is_told_with_its_mode_and_fields_and_without_secrets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A send and a bundle on the devnet: each event, as documented, and no bytes and no key."""
    caplog.set_level(logging.INFO, "toolkit")
    config = DevnetConfig(seed=3, builders=2, flow=False, rivals=RivalConfig(count=0))
    async with Devnet(config) as devnet:
        account = devnet.accounts[0]
        signer = LocalSigner(account.key)
        async with connect(devnet.rpc_url, signer=signer, relays=devnet.relays) as session:
            lane = session.signers[0].address
            sent = await session.send(
                TransactionRequest(to=devnet.accounts[1].address, value=7),
                visibility=Visibility.PUBLIC,
            )
            first = await devnet.seal()
            await session.advance()
            outcome = await sent.wait()
            handle = await private_call(session, tip_wei=10**15)
            raw = handle._live.submission.bundle.transactions
            second = await devnet.seal()
            await session.advance()
            result = await handle.wait()
    assert isinstance(outcome, Confirmed)
    assert isinstance(result, Landed)
    events = heard(caplog)
    text = "".join(map(repr, events)).lower()
    base = {"mode": "DEV"}
    opened = base | {"chain_id": 1, "accounts": [lane]}
    mined = base | {"lane": lane, "hash": outcome.tx_hash}
    bundle = base | {"bundle": handle.bundle_hash, "block": second.number}
    names = tuple(relay.name for relay in devnet.relays)

    assert [opened] == of(events, "session_opened")
    assert [mined | {"nonce": 0, "destination": "public"}] == of(events, "attempt_broadcast")
    ended = mined | {"request": sent.request_id, "outcome": "Confirmed"}
    assert [ended] == of(events, "request_ended")
    assert [bundle | {"relays": names}] == of(events, "bundle_submitted")
    assert [bundle | {"result": "Landed", "cause": None}] == of(events, "bundle_ended")
    assert [(first.number, 0), (second.number, 1)] == [
        (one["block"], one["bundles"]) for one in of(events, "slot_sealed")
    ]
    as_documented(events)
    assert len(raw) == 1
    for secret in (raw[0], account.key, *(relay.url for relay in devnet.relays), devnet.rpc_url):
        assert str(secret).lower().removeprefix("0x") not in text


def as_documented(events: Iterable[dict[str, Any]]) -> None:
    """Check that each event is in the module's table: its fields and, if it has one, the mode."""
    for event in events:
        mode = set() if event["event"].startswith(("kernel_", "pool_")) else {"mode"}
        assert {"event"} | mode | DOCUMENTED[event["event"]] == set(event)


def test_every_event_that_is_logged_is_in_the_table_at_its_level() -> None:
    """No part of the toolkit tells an event that nobody who configures logging knows of."""
    told: dict[str, set[str]] = {}
    for path in sorted((ROOT / "toolkit").rglob("*.py")):
        for level, name in CALL.findall(path.read_text()):
            told.setdefault(name, set()).add(level.upper())
    table: dict[str, set[str]] = {}
    level = ""
    for line in (logs.__doc__ or "").splitlines():
        if ROW.match(line):
            first, second = line.split()[:2]
            if first in {"INFO", "WARNING", "ERROR"}:
                level, first = first, second
            table[first] = {level}

    assert told == table


async def test_a_missed_bundle_is_told_with_its_cause(caplog: pytest.LogCaptureFixture) -> None:
    """Where a bundle misses, the line says why in the vocabulary of causes."""
    caplog.set_level(logging.INFO, "toolkit.bundles")
    config = DevnetConfig(seed=3, builders=1, flow=False, rivals=RivalConfig(count=0))
    async with Devnet(config) as devnet:
        signer = LocalSigner(devnet.accounts[0].key)
        async with connect(devnet.rpc_url, signer=signer, relays=devnet.relays) as session:
            handle = await private_call(session, tip_wei=0)
            # Its nonce goes to nobody: what was signed can never be mined.
            await devnet.node.rpc.call("anvil_setNonce", (signer.address, "0x5"))
            await devnet.seal()
            await session.advance()
            result = await handle.wait()
    assert isinstance(result, Missed)
    events = heard(caplog)

    assert [("Missed", result.cause.value)] == [
        (one["result"], one["cause"]) for one in of(events, "bundle_ended")
    ]


class Broken:
    """An agent that always fails."""

    name = "broken"

    def on_block(self, view: View) -> list[Intent]:
        raise ValueError(f"no idea\nat {view.wrapped}")


def test_each_decided_block_and_each_quarantine_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """One line a block with its counts; an agent that failed is a warning, once, with why."""
    caplog.set_level(logging.INFO, "toolkit")
    blocks = random_market(3, blocks=3, gap=0.0)
    decide([Broken()], blocks, capital=DAI_CAPITAL, market=DAI_MARKET)
    events = heard(caplog)
    as_documented(events)
    warnings = [one for one in caplog.records if one.levelno == logging.WARNING]
    base = {"mode": "DRY", "intents": 0, "approved": 0, "plans": 0}

    # The veto is that of whatever the agent would have wanted when it failed.
    assert [
        base | {"block": one.head.number, "vetoed": vetoed}
        for one, vetoed in zip(blocks, (1, 0, 0), strict=True)
    ] == of(events, "block_decided")
    assert [("DRY", "broken")] == [
        (one["mode"], one["agent"]) for one in of(events, "agent_quarantined")
    ]
    assert "raised ValueError: no idea" in of(events, "agent_quarantined")[0]["why"]
    assert 1 == len(warnings)


def python(code: str) -> "subprocess.CompletedProcess[str]":
    """Run a few lines in a process whose logging nobody has touched."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )


SPEAK = (
    "from toolkit.logs import log_of\n"
    "from toolkit.model.chain import Mode\n"
    "log = log_of('toolkit.somewhere', Mode.LIVE)\n"
    "log.info('a_thing', block=7)\n"
    "log.warning('a_worse_thing', block=8)\n"
)


def test_without_configuration_nothing_is_printed_and_nothing_installed() -> None:
    """A program that configures no logging hears nothing, also no warning."""
    done = python(
        f"import logging\n{SPEAK}"
        "assert not logging.getLogger().handlers\n"
        "assert not logging.getLogger('toolkit').handlers\n"
    )

    assert ("", "") == (done.stdout, done.stderr)


def test_the_standard_librarys_configuration_is_all_it_takes() -> None:
    """With `logging.basicConfig` each line shows event, mode and fields; levels are obeyed."""
    loud = python(f"import logging; logging.basicConfig(level='INFO')\n{SPEAK}").stderr
    quiet = python(f"import logging; logging.basicConfig()\n{SPEAK}").stderr

    assert 2 == loud.count("'mode': 'LIVE'")
    assert ("a_thing" in loud, "'block': 7" in loud) == (True, True)
    assert ("a_thing" in quiet, "a_worse_thing" in quiet) == (False, True)


def test_what_is_light_stays_without_structlog() -> None:
    """Neither `import toolkit` nor `toolkit --help` loads structlog."""
    code = (
        "import sys, toolkit\n"
        "from toolkit.cli.main import main\n"
        "try:\n"
        "    main(['demo', '--help'])\n"
        "except SystemExit:\n"
        "    print('structlog' in sys.modules, file=sys.stderr)\n"
    )

    assert "False\n" == python(code).stderr


def test_the_mode_is_bound_to_each_logger_alone() -> None:
    """Two sessions of one process do not lend each other their mode."""
    dry, live = logs.log_of("toolkit.one", Mode.DRY), logs.log_of("toolkit.one", Mode.LIVE)

    assert ["DRY", "LIVE"] == [one._bound["mode"] for one in (dry, live)]


def test_a_text_in_an_event_is_one_line_that_only_shows(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever a reason repeats of others, whoever listens can write it anywhere."""
    caplog.set_level(logging.INFO, "toolkit")

    logs.log_of("toolkit.x", Mode.DEV).warning("agent_quarantined", why="\x1b[2J\n" + "x" * 10**6)

    (event,) = of(heard(caplog), "agent_quarantined")
    assert event["why"].startswith("\\x1b[2J xxx")
    assert event["why"].endswith("… (1000005 characters)")
    assert len(event["why"]) == LONGEST
