import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from toolkit.bundles.reputation import FILE_NAME, kept_reputation
from toolkit.model.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


def key_in(file: Path) -> str:
    return str(json.loads(file.read_text())["key"])


def test_key_is_the_same_after_a_restart(tmp_path: Path) -> None:
    """The first call makes a key that only its owner can read; every later one finds it."""
    file = tmp_path / "state" / "toolkit" / FILE_NAME

    first, second = kept_reputation(file), kept_reputation(str(file))

    assert first.address == second.address
    assert 0o600 == file.stat().st_mode & 0o777
    assert 0o700 == file.parent.stat().st_mode & 0o777
    assert [FILE_NAME] == [one.name for one in file.parent.iterdir()]


def test_each_file_is_another_identity(tmp_path: Path) -> None:
    """Keys are random: two files never share one."""
    assert kept_reputation(tmp_path / "a").address != kept_reputation(tmp_path / "b").address


def test_processes_that_start_at_once_share_one_key(tmp_path: Path) -> None:
    """Of four processes that all find no key, one makes it and all use it."""
    file = tmp_path / FILE_NAME
    code = (
        "import sys; from toolkit.bundles.reputation import kept_reputation;"
        "sys.stdin.read(1); print(kept_reputation(sys.argv[1]).address)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for _ in range(4)
    ]

    for process in processes:
        assert process.stdin is not None
        process.stdin.write("x")
        process.stdin.flush()
    said = {process.communicate()[0].strip() for process in processes}

    assert {kept_reputation(file).address} == said
    assert [FILE_NAME] == [one.name for one in tmp_path.iterdir()]


def test_late_process_takes_the_key_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that saw no key, while another made one, throws its own away."""
    file = tmp_path / FILE_NAME
    first = kept_reputation(file)
    monkeypatch.setattr(Path, "exists", lambda _: False)

    second = kept_reputation(file)

    assert first.address == second.address


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    """A key that leaked to other users is nobody's reputation; the remedy is said."""
    file = tmp_path / FILE_NAME
    kept_reputation(file)
    file.chmod(mode)

    with pytest.raises(ConfigError, match=rf"may be read by others \(mode {mode:o}\): chmod 600"):
        kept_reputation(file)


@pytest.mark.parametrize(
    "change",
    [
        {"key": "0x" + "00" * 32},
        {"key": 7},
        {"key": "0x1234"},
        {"address": "0x" + "11" * 20},
        {"purpose": "trading"},
    ],
    ids=str,
)
def test_other_files_are_no_reputation_keys(tmp_path: Path, change: dict[str, object]) -> None:
    """A file that is not what this made is refused, left as it is, and not repeated."""
    file = tmp_path / FILE_NAME
    kept_reputation(file)
    secret = key_in(file)
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    before = file.read_bytes()

    with pytest.raises(ConfigError, match="is no reputation key of this toolkit") as caught:
        kept_reputation(file)

    assert before == file.read_bytes()
    assert secret[2:] not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"\xff", b"0x" + b"11" * 32])
def test_a_raw_key_or_garbage_is_none_either(tmp_path: Path, content: bytes) -> None:
    """A bare private key, which may be that of an account with money, is not taken for one."""
    file = tmp_path / FILE_NAME
    file.write_bytes(content)
    file.chmod(0o600)

    with pytest.raises(ConfigError, match="is no reputation key") as caught:
        kept_reputation(file)

    assert "1111" not in str(caught.value)


def test_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A directory that is a file, or a key that is a directory or a pipe, is one clear line."""
    (tmp_path / "file").write_text("")
    (tmp_path / "directory").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "pipe", 0o600)

    with pytest.raises(ConfigError, match="cannot be read or made"):
        kept_reputation(tmp_path / "file" / FILE_NAME)
    for name in ("directory", "pipe"):
        with pytest.raises(ConfigError, match=name):
            kept_reputation(tmp_path / name)
