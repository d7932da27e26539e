"""What every command is run with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.nodes import anvil


@pytest.fixture(autouse=True)
def state_of_its_own(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """No test finds, or leaves, a lease in the home of whoever runs it."""
    directory = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("XDG_STATE_HOME", str(directory))
    return directory


@pytest.fixture(scope="module")
def shared() -> Iterator[str]:
    """One Anvil whose accounts' nonces only these tests move."""
    with anvil("--chain-id", "31337") as endpoint:
        yield endpoint


@pytest.fixture
def url(shared: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same, named by --rpc-url only."""
    monkeypatch.delenv("ETH_RPC_URL", raising=False)
    return shared


@pytest.fixture
def journal(tmp_path: Path) -> str:
    return str(tmp_path / "journal.db")
