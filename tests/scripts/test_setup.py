"""Set-up fails with one clear line, and never uses a file it does not know."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The set-up script, with its tools kept in an empty folder."""
    spec = importlib.util.spec_from_file_location("project_setup", ROOT / "scripts" / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "TOOLS", tmp_path / ".tools")
    monkeypatch.setattr(module, "MODULES", tmp_path / ".tools" / "node_modules")
    return module


@pytest.fixture
def manifest() -> dict[str, object]:
    """The pinned packages and their hashes."""
    loaded: dict[str, object] = json.loads((ROOT / "scripts" / "tools.json").read_text())
    return loaded


def test_no_npm_is_one_clear_line(
    setup: ModuleType, manifest: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without npm the set-up stops and says what to install."""
    monkeypatch.setenv("PATH", "/nonexistent")

    with pytest.raises(setup.SetupError, match=r"npm not found.*install Node\.js"):
        setup.npm_packages("run", manifest)


def test_an_unknown_platform_needs_an_installed_foundry(
    setup: ModuleType, manifest: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A platform whose binary has no recorded sha256 gets no binary from npm."""
    monkeypatch.setattr(setup, "machine", lambda: "plan9-mips")
    monkeypatch.setattr(setup, "installed_foundry", lambda _tool: None)

    with pytest.raises(setup.SetupError, match="no sha256 is recorded for anvil on plan9-mips"):
        setup.npm_packages("run", manifest)


def test_a_changed_file_is_refused(setup: ModuleType) -> None:
    """A fetched file with other bytes than the recorded ones is named and not used."""
    path = setup.MODULES / "pkg" / "a.json"
    path.parent.mkdir(parents=True)
    path.write_text("tampered")

    with pytest.raises(setup.SetupError, match=r"pkg/a\.json has sha256"):
        setup.verify({"pkg/a.json": "0" * 64})


def test_a_missing_file_is_refused(setup: ModuleType) -> None:
    """A file that npm did not deliver is named, unless it is another platform's binary."""
    setup.verify({"@foundry-rs/anvil-other/bin/anvil": "0" * 64})

    with pytest.raises(setup.SetupError, match=r"npm did not deliver pkg/a\.json"):
        setup.verify({"pkg/a.json": "0" * 64})


def test_a_trimmed_package_keeps_what_is_used_and_its_licence(setup: ModuleType) -> None:
    """Only files with a recorded sha256, the licence and package.json stay of such a package."""
    folder = setup.MODULES / "@org" / "pkg"
    names = ["out/used.json", "out/b/other.json", "docs/a.md", "package.json", "licenses/BUSL"]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")

    setup.trim("@org/pkg", {"@org/pkg/out/used.json": "0" * 64})

    left = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    assert ["licenses/BUSL", "out/used.json", "package.json"] == left
    assert ["licenses", "out"] == sorted(p.name for p in folder.iterdir() if p.is_dir())


def test_usage_is_exit_code_2(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown level is bad usage."""
    monkeypatch.setattr(sys, "argv", ["setup.py", "everything"])

    assert setup.main() == 2
    assert "usage" in capsys.readouterr().err
