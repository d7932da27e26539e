"""`toolkit executor` from the shell, against real nodes of every mode."""

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from tests.cli.nodes import (
    KEY,
    OWNER,
    REAL_KEY,
    anvil,
    ask,
    keyfile_options,
    posing_as_geth,
)
from toolkit.chain.signer import LocalSigner
from toolkit.cli.main import main

WETH = "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2"
NOTHING = "0x" + "77" * 20


@pytest.fixture
def url() -> Iterator[str]:
    """A fresh Anvil with a wrapped native token where mainnet has it."""
    document = files("toolkit.devnet").joinpath("artifacts", "StandInWeth.json").read_text()
    with anvil("--chain-id", "1", "--hardfork", "cancun") as endpoint:
        ask(endpoint, "anvil_setCode", WETH, json.loads(document)["runtime"])
        yield endpoint


@pytest.fixture
def geth(url: str) -> Iterator[str]:
    """The same node behind a front that says it is a real one."""
    with posing_as_geth(url) as front:
        yield front


@pytest.fixture
def keystore(tmp_path: Path) -> list[str]:
    """Options that open a keyfile with a real-looking key."""
    return keyfile_options(tmp_path)


def run(*argv: str) -> int:
    return main(["executor", *argv])


def deployed(url: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert 0 == run("deploy", "--rpc-url", url, "--private-key", KEY, "--json")
    return str(json.loads(capsys.readouterr().out)["executor"])


def test_deploy_and_status_on_a_dev_node(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Deploying answers with the executor, its owner and its cost; status finds it genuine."""
    code = run("deploy", "--rpc-url", url, "--private-key", KEY, "--json")
    made = json.loads(capsys.readouterr().out)

    assert 0 == code
    assert ("DEV", "Confirmed", OWNER, WETH) == (
        made["mode"],
        made["outcome"],
        made["owner"],
        made["weth"],
    )
    assert 0 == run("status", made["executor"], "--rpc", url, "--token", WETH, "--json")
    seen = json.loads(capsys.readouterr().out)
    assert seen["genuine"]
    assert (OWNER, WETH, "DEV") == (seen["owner"], seen["weth"], seen["mode"])
    assert {"0x" + "00" * 20: "0", WETH: "0"} == seen["balances"]
    assert {WETH: "0"} == seen["allowances"]


def test_withdraw_empties_it(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Native token that was forced upon an executor goes back to its owner."""
    executor = deployed(url, capsys)
    ask(url, "anvil_setBalance", executor, hex(10**18))

    code = run(
        "withdraw", executor, "--token", "native", "--rpc-url", url, "--private-key", KEY, "--json"
    )

    assert 0 == code
    assert "Confirmed" == json.loads(capsys.readouterr().out)["outcome"]
    assert "0x0" == ask(url, "eth_getBalance", executor, "latest")


def test_people_get_lines_instead_of_json(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --json the same facts come one a line, the mode first."""
    executor = deployed(url, capsys)

    assert 0 == run("status", executor, "--rpc-url", url, "--token", WETH)

    lines = capsys.readouterr().out.splitlines()
    assert ["mode", "DEV"] == lines[0].split()
    assert ["balances", WETH, "0"] in [line.split() for line in lines]


def test_the_node_may_come_from_the_environment(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """ETH_RPC_URL stands in for --rpc-url."""
    monkeypatch.setenv("ETH_RPC_URL", url)

    assert 0 == run("deploy", "--private-key", KEY, "--json")

    assert "Confirmed" == json.loads(capsys.readouterr().out)["outcome"]


def test_a_foreign_contract_fails_status(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A contract that is not ours answers `genuine: false` and exit code 1."""
    assert 1 == run("status", WETH, "--rpc-url", url, "--json")

    assert not json.loads(capsys.readouterr().out)["genuine"]


def test_a_raw_key_is_refused_on_a_fork(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A fork is not DEV: the key must come from a keystore, and nothing is sent."""
    with anvil("--fork-url", url, "--no-storage-caching") as fork:
        code = run("deploy", "--rpc-url", fork, "--private-key", KEY)
        sent = ask(fork, "eth_getTransactionCount", OWNER, "latest")

    assert (2, "0x0") == (code, sent)
    said = capsys.readouterr().err
    assert said.startswith("toolkit: --private-key is refused in FORK mode: import the key with")
    assert said.count("\n") == 1
    assert KEY[2:] not in said


@pytest.mark.parametrize("words", [[], ["--live", "--chain-id", "1"]])
def test_a_raw_key_is_refused_on_a_real_node(
    geth: str, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    """Neither a dry run nor a live one takes a raw key."""
    code = run("deploy", "--rpc-url", geth, "--private-key", REAL_KEY, *words)

    mode = "LIVE" if words else "DRY"
    said = capsys.readouterr().err
    assert 2 == code
    assert said.startswith(f"toolkit: --private-key is refused in {mode} mode")
    assert REAL_KEY[2:] not in said


def test_a_real_node_is_dry_until_live_is_asked_for(
    url: str, geth: str, keystore: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """On a real node deploying is a rehearsal; the explicit words make it real."""
    owner = LocalSigner(REAL_KEY).address
    ask(url, "anvil_setBalance", owner, hex(10**18))

    assert 0 == run("deploy", "--rpc-url", geth, *keystore, "--json")

    dry = json.loads(capsys.readouterr().out)
    assert ("DRY", "DryRun", None) == (dry["mode"], dry["outcome"], dry["executor"])
    assert "0x0" == ask(url, "eth_getTransactionCount", owner, "latest")
    assert 0 == run("deploy", "--rpc-url", geth, *keystore, "--json", "--live", "--chain-id", "1")
    assert "LIVE" == json.loads(capsys.readouterr().out)["mode"]
    assert "0x1" == ask(url, "eth_getTransactionCount", owner, "latest")


def test_status_shows_the_mode_of_a_real_node(
    url: str, geth: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Looking is possible in every mode, and says which it is."""
    executor = deployed(url, capsys)

    assert 0 == run("status", executor, "--rpc-url", geth, "--json")

    assert "DRY" == json.loads(capsys.readouterr().out)["mode"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["deploy", "--private-key", KEY], "no node: give --rpc-url or set ETH_RPC_URL"),
        (["deploy", "--rpc-url", "URL"], "no account: give --account NAME or --keystore FILE"),
        (["deploy", "--rpc-url", "URL", "--private-key", "0x12"], "key"),
        (
            ["deploy", "--rpc-url", "URL", "--private-key", KEY, "--weth", NOTHING],
            f"no contract at {NOTHING} for the wrapped native token",
        ),
        (
            ["deploy", "--rpc-url", "URL", "--private-key", KEY, "--weth", "0x12"],
            "address '0x12' is not 0x followed by 40 hex digits",
        ),
        (
            ["deploy", "--rpc-url", "URL", "--private-key", REAL_KEY],
            "is neither an account of this devnet nor a public Anvil key",
        ),
        (
            ["deploy", "--rpc-url", "URL", "--keystore", "/dev/null", "--password-file", "/gone"],
            "password file /gone cannot be read: No such file or directory; give a file with",
        ),
        (["deploy", "--rpc-url", "URL", "--account", "x"], "there is no such file"),
        (["deploy", "--rpc-url", "URL", "--keystore", "/dev/null"], "needs --password-file"),
        (["deploy", "--rpc-url", "URL", "--account", KEY], "not a private key"),
        (["deploy", "--rpc-url", "URL", "--keystore", KEY[2:]], "not a private key"),
        (["status", NOTHING, "--rpc-url", "http://[::1"], "node address is no URL"),
        (["deploy", "--rpc-url", "http://127.0.0.1:9", "--private-key", KEY], "127.0.0.1:9"),
        (["status", NOTHING, "--rpc-url", "URL"], f"no contract at {NOTHING} on this chain"),
        (["status", "0x12", "--rpc-url", "URL"], "address '0x12' is not 0x"),
        (
            ["deploy", "--rpc-url", "URL", "--private-key", KEY, "--max-cost", "0.00000001"],
            "more than max_cost_wei allows",
        ),
        (["status", KEY, "--rpc-url", "URL"], "address '0xac09'... (66 characters) is not 0x"),
        (["status", NOTHING, "--token", KEY[2:], "--rpc-url", "URL"], "(64 characters) is not 0x"),
    ],
)
def test_bad_input_is_one_line(
    url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    argv: list[str],
    message: str,
) -> None:
    """Every mistake is one line on stderr that says what to do, without a key in it."""
    monkeypatch.delenv("ETH_RPC_URL", raising=False)
    code = run(*(url if word == "URL" else word for word in argv))

    said = capsys.readouterr()
    assert code in {1, 2}
    assert message in said.err
    assert said.err.startswith("toolkit: ")
    assert said.err.count("\n") == 1
    assert KEY[2:] not in said.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--private-key", "0x12"], "private key has 1 bytes, not 32"),
        (["--private-key", KEY[:-1] + "z"], "private key is not hex"),
        (["--keystore", "/nowhere"], "keystore /nowhere cannot be read"),
        (["--keystore", "HERE"], "is not JSON"),
        (["--account", "nobody of this name"], "cannot be read"),
    ],
)
def test_a_key_that_cannot_be_opened_is_bad_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    """What was typed is wrong: one line, exit code 2, before any node is asked."""
    here = tmp_path / "password"
    here.write_text("secret")
    given = [str(here) if word == "HERE" else word for word in words]

    code = run("deploy", "--rpc-url", "http://127.0.0.1:9", "--password-file", str(here), *given)

    said = capsys.readouterr().err
    assert (2, 1) == (code, said.count("\n"))
    assert message in said
    assert KEY[2:-1] not in said
    assert "secret" not in said


def test_a_block_that_never_comes_ends_the_wait(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On a node that does not mine, the wait ends with a warning not to send it again blindly."""
    document = files("toolkit.devnet").joinpath("artifacts", "StandInWeth.json").read_text()
    with anvil("--chain-id", "1", "--no-mining") as idle:
        ask(idle, "anvil_setCode", WETH, json.loads(document)["runtime"])
        code = run("deploy", "--rpc-url", idle, "--private-key", KEY, "--wait-s", "0.3")

    assert 1 == code
    assert (
        "toolkit: not in a block after 0.3 s; it may still be: look before sending again\n"
    ) == capsys.readouterr().err


def test_help_needs_nothing_heavy() -> None:
    """Describing the command imports neither web3 nor numba nor the session."""
    script = (
        "import sys, argparse; from toolkit.cli import executor;"
        "executor.add_parser(argparse.ArgumentParser().add_subparsers());"
        "print([m for m in ('web3', 'numba', 'eth_abi', 'toolkit.session') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert "[]\n" == done.stdout
