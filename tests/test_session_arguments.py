"""Arguments that cannot be meant: each is one line of bearable length, and never a traceback."""

from pathlib import Path

import msgspec
import pytest

from toolkit.chain.quorum import QuorumRpc
from toolkit.chain.remote_signer import RemoteSigner
from toolkit.chain.tx_params import read_params
from toolkit.cli.main import main
from toolkit.journal.sqlite import SqliteBackend
from toolkit.model.chain import Address
from toolkit.model.errors import ConfigError
from toolkit.model.tx import TransactionRequest
from toolkit.model.units import ether
from toolkit.session import connect
from toolkit.tx.key_pool import KeyPool
from toolkit.tx.leases import Leases

NODE = "http://127.0.0.1:1"
NODES = [f"http://127.0.0.1:{port}" for port in (1, 2, 3)]
FRIEND = "0x" + "b0" * 20
LINE = 400
PAYMENT = TransactionRequest(to=Address(FRIEND), value=1)
HUGE = 10**5_000
NAN = float("nan")
NO_PATHS: list[object] = [5, [], b"x", "", "\0"]
NO_TIMES: list[object] = [NAN, float("inf"), -1, 0, "5", None, True, 10**400]
NO_LISTS: list[object] = [None, 5, "http://x", {"a": 1}]


def _short(error: ConfigError) -> bool:
    return len(str(error)) < LINE and "\n" not in str(error)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("journal", value) for value in NO_PATHS),
        *(("leases", value) for value in NO_PATHS),
        *(("timeout_s", value) for value in NO_TIMES),
        *(("relays", value) for value in NO_LISTS),
        *(("chain_id", value) for value in (True, "1", 31337.0, -1)),
        *(("max_cost_wei", value) for value in (NAN, "1", -1, 10**60)),
        *(("max_in_flight", value) for value in (NAN, "3", 0, 2**70)),
        *(("confirmations", value) for value in (0, True)),
        *(("private_blocks", value) for value in (0, 2.0, True, 10**9)),
        ("live", "yes"),
        ("allow_real_key", "no"),
        ("signer", KeyPool),
    ],
)
async def test_an_argument_of_connect_that_cannot_be_meant(name: str, value: object) -> None:
    """It is named in one line, before any node is asked."""
    arguments: dict[str, object] = {name: value}

    with pytest.raises(ConfigError, match=name.removesuffix("s")) as refused:
        async with connect(NODE, **arguments):  # type: ignore[arg-type]
            pass
    assert _short(refused.value)


@pytest.mark.parametrize(
    "name", ["max_cost_wei", "max_in_flight", "confirmations", "finality_blocks", "chain_id"]
)
async def test_a_number_that_cannot_even_be_written(name: str) -> None:
    """An integer of 5,000 digits is refused in words."""
    arguments: dict[str, object] = {name: HUGE}

    with pytest.raises(ConfigError, match=f"{name} is a int that is too long") as refused:
        async with connect(NODE, **arguments):  # type: ignore[arg-type]
            pass
    assert _short(refused.value)


@pytest.mark.parametrize(
    "name", ["value", "gas", "max_fee_per_gas", "max_priority_fee_per_gas", "type"]
)
def test_a_quantity_that_cannot_even_be_written(name: str) -> None:
    """Nor can it be a field of a request; where it can be written, it is written in short."""
    for value, why in ((HUGE, "is a int that is too long"), (10**4_000, r"\(4001 characters\)")):
        with pytest.raises(ConfigError, match=f"{name} .*{why}") as refused:
            msgspec.structs.replace(PAYMENT, **{name: value})
        assert _short(refused.value)


@pytest.mark.parametrize("name", ["chainId", "nonce", "value", "gasPrice", "from", "to"])
def test_a_parameter_of_web3_that_cannot_even_be_written(name: str) -> None:
    """A dictionary that is ported from elsewhere is read as carefully."""
    for value in (HUGE, "9" * 5_000, "0x" + "f" * 5_000, 10**4_000):
        with pytest.raises(ConfigError) as refused:
            read_params({name: value}, chain_id=1)
        assert _short(refused.value)


@pytest.mark.parametrize(
    ("nodes", "arguments"),
    [
        (5, {}),
        (NODES[0], {}),
        ([5], {}),
        *((NODES, {"quorum": value}) for value in ("2", NAN, 2.5, True)),
        *((NODES, {"timeout_s": value}) for value in ("1", NAN, 0)),
        *((NODES, {"patience_s": value}) for value in ("1", NAN, -1, None)),
        (NODES, {"send_only": "http://x"}),
        (NODES, {"send_only": [5]}),
    ],
)
def test_a_quorum_of_nothing(nodes: object, arguments: dict[str, object]) -> None:
    """Nodes, quorum and times are checked when they are given."""
    with pytest.raises(ConfigError) as refused:
        QuorumRpc(nodes, **arguments)  # type: ignore[arg-type]
    assert _short(refused.value)


@pytest.mark.parametrize("arguments", [{"timeout_s": "5"}, {"timeout_s": None}, {"dialect": "eth"}])
def test_a_remote_signer_that_cannot_be_asked(arguments: dict[str, object]) -> None:
    """Its time and its dialect, too."""
    with pytest.raises(ConfigError):
        RemoteSigner(NODE, FRIEND, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "arguments", [{"takeover": "no"}, {"stale_s": NAN}, {"stale_s": "5"}, {"stale_s": -1}]
)
def test_leases_that_cannot_be_meant(tmp_path: Path, arguments: dict[str, object]) -> None:
    """A takeover in quotes would be one, whatever it says."""
    with pytest.raises(ConfigError):
        Leases(tmp_path, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("signers", [None, 5, [KeyPool]])
def test_a_pool_of_no_signers(signers: object) -> None:
    """It holds a list of things that sign."""
    with pytest.raises(ConfigError, match="key pool"):
        KeyPool(signers)  # type: ignore[arg-type]


def test_a_directory_is_no_journal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is bad input, of which the exit code tells."""
    with pytest.raises(ConfigError, match="is a directory; give a file in it"):
        SqliteBackend(tmp_path)
    assert 2 == main(["journal", "show", str(tmp_path)])
    capsys.readouterr()


@pytest.mark.parametrize("amount", ["1e999", "1e900000"])
def test_an_amount_that_nobody_has(amount: str) -> None:
    """It is refused as it was typed, not with all its digits."""
    with pytest.raises(ConfigError, match=f"amount '{amount}' is more than any account") as refused:
        ether(amount)
    assert _short(refused.value)
