"""Official clients come as their lock files say, from whatever registry is configured."""

import json
from pathlib import Path

import pytest

from scripts.conformance import clients, environments
from scripts.conformance.golden import CLIENTS

LOCK = environments.ETHERS / "package-lock.json"


def test_every_client_is_put_through_and_recorded() -> None:
    """Whoever has recordings can be started."""
    assert all(callable(getattr(clients, name)) for name in CLIENTS)


def test_the_lock_file_names_bytes_and_no_registry() -> None:
    """Every package is held to its hash, and none to an address."""
    packages = json.loads(LOCK.read_text())["packages"]
    fetched = [row for name, row in packages.items() if name]

    assert fetched
    assert all(row["integrity"].startswith("sha512-") for row in fetched)
    assert not any("resolved" in row for row in fetched)


def test_the_lock_file_is_of_the_package_file() -> None:
    """What is asked for and what is locked are the same versions."""
    asked = json.loads((environments.ETHERS / "package.json").read_text())["dependencies"]
    packages = json.loads(LOCK.read_text())["packages"]

    assert asked == packages[""]["dependencies"]
    assert asked == {name: packages[f"node_modules/{name}"]["version"] for name in asked}


def test_no_npm_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without npm the client is not installed, and it is said what to install."""
    monkeypatch.setenv("PATH", "/nonexistent")

    with pytest.raises(environments.EnvironmentFailed, match=r"npm not found: install Node\.js"):
        environments.ethers()


def test_what_is_installed_is_not_installed_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """npm runs once for a lock file, and again once that has changed or did not end well."""
    ran: list[Path] = []

    def npm(_command: list[str], _what: str, *, folder: Path) -> None:
        ran.append(folder)

    monkeypatch.setattr(environments, "ROOT", tmp_path)
    monkeypatch.setattr(environments, "_run", npm)
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")

    place = environments.ethers()
    environments.ethers()
    (place / ".stamp").write_text("another lock file")
    environments.ethers()

    assert [place, place] == ran
    assert LOCK.read_bytes() == (place / "package-lock.json").read_bytes()
