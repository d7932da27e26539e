"""The compiled contracts that ship are those of the sources."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
SHIPPED = (
    "toolkit/execution/artifacts/Executor.json",
    "toolkit/devnet/artifacts/StandInTether.json",
    "toolkit/devnet/artifacts/StandInToken.json",
    "toolkit/devnet/artifacts/StandInWeth.json",
)


def load(path: Path) -> ModuleType:
    """The script at `path` as a module, with everything it touches below its own root."""
    spec = importlib.util.spec_from_file_location("contract_artifacts", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One fresh build of the sources."""
    place = tmp_path_factory.mktemp("out")
    load(ROOT / "scripts" / "artifacts.py").compile_all(place)
    return place


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of everything the check reads, with the tools of this checkout."""
    for folder in ("contracts/src", "toolkit/execution/artifacts", "toolkit/devnet/artifacts"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    (tmp_path / "scripts").mkdir()
    for name in ("artifacts.py", "forge.py", "solc"):
        shutil.copy(ROOT / "scripts" / name, tmp_path / "scripts" / name)
    shutil.copy(ROOT / "foundry.toml", tmp_path)
    (tmp_path / ".tools").symlink_to(ROOT / ".tools")
    return tmp_path


@pytest.fixture
def script(copy: Path) -> ModuleType:
    """The script of the copy."""
    return load(copy / "scripts" / "artifacts.py")


def test_shipped_artefacts_match_their_sources() -> None:
    """A fresh build gives the bytes and the interface that ship, for every contract."""
    command = [sys.executable, str(ROOT / "scripts" / "artifacts.py"), "--check"]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (0, "4 artefacts match their sources\n") == (done.returncode, done.stdout), done.stderr


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("field", ["bytecode", "runtime"])
def test_one_other_byte_is_found(
    script: ModuleType, copy: Path, out: Path, name: str, field: str
) -> None:
    """A byte that differs fails the check, which names the file and the field."""
    path = copy / name
    artifact = json.loads(path.read_text())
    artifact[field] = artifact[field][:-2] + f"{int(artifact[field][-2:], 16) ^ 1:02x}"
    path.write_text(json.dumps(artifact))

    with pytest.raises(script.ArtifactError) as raised:
        script.check(out)

    assert (
        f"artifacts: {name} differs from contracts/src in {field}; "
        "run scripts/artifacts.py and commit the result"
    ) == str(raised.value)


def test_another_interface_is_found(script: ModuleType, copy: Path, out: Path) -> None:
    """A changed ABI fails the check, though no byte of code differs; its order does not matter."""
    path = copy / SHIPPED[0]
    artifact = json.loads(path.read_text())
    artifact["abi"].reverse()
    path.write_text(json.dumps(artifact))
    script.check(out)
    artifact["abi"].pop()
    path.write_text(json.dumps(artifact))

    with pytest.raises(script.ArtifactError, match="differs from contracts/src in abi;"):
        script.check(out)


def test_a_missing_artefact_is_found(script: ModuleType, copy: Path, out: Path) -> None:
    """An artefact that does not ship fails the check, with the remedy."""
    (copy / SHIPPED[0]).unlink()

    with pytest.raises(script.ArtifactError, match=r"is missing; run scripts/artifacts.py$"):
        script.check(out)


def test_a_truncated_artefact_is_found(script: ModuleType, copy: Path, out: Path) -> None:
    """An artefact cut short fails the check as no JSON."""
    path = copy / SHIPPED[0]
    path.write_text(path.read_text()[:1000])

    with pytest.raises(script.ArtifactError, match=r"Executor.json is not JSON"):
        script.check(out)


def test_writing_restores_what_was_edited(
    script: ModuleType, copy: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Writing puts back exactly what ships, and leaves the rest alone."""
    (copy / SHIPPED[0]).write_text("{}")

    script.write(out)

    assert f"wrote {SHIPPED[0]}\n" == capsys.readouterr().out
    assert (ROOT / SHIPPED[0]).read_bytes() == (copy / SHIPPED[0]).read_bytes()


def test_a_changed_source_is_found(copy: Path) -> None:
    """A contract that was edited without rebuilding fails the check, in one line."""
    source = copy / "contracts" / "src" / "Executor.sol"
    source.write_text(source.read_text().replace("amountIn * 1000, 997", "amountIn * 1000, 998"))
    command = [sys.executable, str(copy / "scripts" / "artifacts.py"), "--check"]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "Executor.json differs from contracts/src in bytecode, runtime;" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_source_that_does_not_compile_is_reported(copy: Path) -> None:
    """What the compiler says is shown, then one line that says so."""
    source = copy / "contracts" / "src" / "Executor.sol"
    source.write_text(source.read_text().replace("contract Executor {", "contract Executor [", 1))
    command = [sys.executable, str(copy / "scripts" / "artifacts.py"), "--check"]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr.endswith("artifacts: the contracts do not compile (see above)\n")
