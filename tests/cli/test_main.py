"""One parser, and one place where errors become a line and an exit code."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from toolkit.cli import main as command
from toolkit.cli.main import build_parser, main
from toolkit.journal.log import Journal
from toolkit.journal.sqlite import SqliteBackend
from toolkit.model.errors import ConfigError, DataError, DevnetError, ToolkitError

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("numba", "web3", "numpy", "aiohttp", "eth_account", "rich", "pyrevm", "asyncio")


def commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every parser there is, by its words."""
    yield parser.prog, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                yield from commands(one)


ALL = dict(commands(build_parser()))


def fails_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `toolkit fail` the only command, and let it raise this."""

    class Failing:
        def add_parser(
            self, subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]"
        ) -> None:
            parser = subparsers.add_parser("fail")
            parser.add_argument("--json", action="store_true")
            parser.set_defaults(handler=self.run)

        def run(self, _: argparse.Namespace) -> int:
            raise error

    monkeypatch.setattr(command, "COMMANDS", (Failing(),))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("port 70000 is not between 0 and 65535"), 2),
        (DataError("fees.csv line 7: no number"), 2),
        (DevnetError("anvil died"), 1),
        (ToolkitError("anything else"), 1),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_an_error_is_one_line_and_its_kind_the_exit_code(
    error: ToolkitError,
    code: int,
    as_json: bool,  # noqa: FBT001 - a parameter of the test
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bad input is 2, a failure 1; --json adds one document with the same words."""
    fails_with(error, monkeypatch)

    assert code == main(["fail", *(["--json"] if as_json else [])])
    out, err = capsys.readouterr()
    assert f"toolkit: {error}\n" == err
    if as_json:
        assert {"error": str(error), "kind": type(error).__name__} == json.loads(out)
    else:
        assert "" == out


def test_a_message_of_several_lines_becomes_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a library put into an error, the line on stderr stays one."""
    fails_with(DevnetError("it said:\n\n  no\tway  "), monkeypatch)

    main(["fail"])

    assert "toolkit: it said: no way\n" == capsys.readouterr().err


def test_an_error_is_inert_and_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a node or a relay puts into an error is shown; a megabyte of it is not."""
    fails_with(ToolkitError("\x1b[2J\u202e" + "x" * 10**6), monkeypatch)

    code = main(["fail"])
    (line,) = capsys.readouterr().err.splitlines()

    assert 1 == code
    assert line.startswith("toolkit: \\x1b[2J\\u202exxx")
    assert line.endswith("… (1000005 characters)")
    assert line.isprintable()
    assert len(line) < 1_100


def test_an_interrupt_is_130_without_a_word(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever pressed Ctrl-C knows why it stopped."""
    fails_with(KeyboardInterrupt(), monkeypatch)

    assert 130 == main(["fail"])
    assert ("", "") == capsys.readouterr()


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no error of ours is not dressed up as one."""
    fails_with(ZeroDivisionError("a bug"), monkeypatch)

    with pytest.raises(ZeroDivisionError):
        main(["fail"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "the following arguments are required: COMMAND; see `toolkit --help`"),
        ("nonesuch", "argument COMMAND: invalid choice: 'nonesuch' (choose from "),
        ("demo --blocks x", "argument --blocks: invalid int value: 'x'; see `toolkit demo --help`"),
        ("demo --seed", "argument --seed: expected one argument; see `toolkit demo --help`"),
        ("journal", "required: ACTION; see `toolkit journal --help`"),
        ("journal tear up", "argument ACTION: invalid choice: 'tear'"),
        ("journal show j.db --limit 0", "argument --limit: '0' is not a whole number above 0"),
        ("demo --bocks 3", "unrecognized arguments: --bocks 3; see `toolkit --help`"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_bad_usage_is_one_line_and_2(
    words: str,
    said: str,
    as_json: bool,  # noqa: FBT001 - a parameter of the test
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Bad usage is told like every other error: what, with which words, and where help is."""
    code = main([*words.split(), *(["--json"] if as_json else [])])

    out, err = capsys.readouterr()
    assert (2, 1) == (code, err.count("\n"))
    assert err.startswith("toolkit: ")
    assert said in err
    assert (as_json, not as_json) == (bool(out), out == "")
    if as_json:
        assert f"toolkit: {json.loads(out)['error']}\n" == err


def test_a_misplaced_key_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    """An argument that may be a private key does not end up in an error text."""
    key = "4f" * 32

    for words in (["demo", f"0x{key}"], ["demo", "--blocks", key], [f"0x{key.upper()}"]):
        assert 2 == main([*words, "--json"])
        assert key not in "".join(capsys.readouterr()).lower()


def test_every_command_can_be_run_and_has_json_and_help() -> None:
    """Each command that does something has a handler and --json, and each parser --help."""
    options = {
        name: {o for a in one._actions for o in a.option_strings} for name, one in ALL.items()
    }
    leaves = {name for name in ALL if not any(other.startswith(f"{name} ") for other in ALL)}

    assert {"toolkit demo", "toolkit journal verify", "toolkit executor deploy"} <= leaves
    assert [] == [name for name in leaves if ALL[name].get_default("handler") is None]
    assert [] == [name for name in leaves if "--json" not in options[name]]
    assert [] == [name for name in ALL if "--help" not in options[name]]


def test_help_of_everything_exits_0_and_loads_nothing_heavy() -> None:
    """Every --help is answered without any library that takes time to import."""
    code = (
        "import json, sys\n"
        "from toolkit.cli.main import main\n"
        "codes = {}\n"
        "for words in json.loads(sys.argv[1]):\n"
        "    try:\n"
        "        main([*words.split()[1:], '--help'])\n"
        "    except SystemExit as left:\n"
        "        codes[words] = left.code\n"
        f"heavy = [name for name in {HEAVY} if name in sys.modules]\n"
        "print(json.dumps([codes, heavy]), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(list(ALL))],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )

    codes, heavy = json.loads(done.stderr)
    assert dict.fromkeys(ALL, 0) == codes
    assert [] == heavy
    assert done.stdout.count("usage: toolkit") == len(ALL)


@pytest.fixture
async def journal(tmp_path: Path) -> Path:
    """A small journal."""
    log = Journal(SqliteBackend(tmp_path / "j.db"))
    log.append("note", {"text": "one"})
    await log.close()
    return tmp_path / "j.db"


def into_nothing(*words: object) -> "subprocess.CompletedProcess[str]":
    """Run a command whose reader has gone."""
    read, write = os.pipe()
    os.close(read)
    # Buffered as on any terminal's pipe: the write then fails only when it is flushed.
    buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    try:
        return subprocess.run(
            [sys.executable, "-m", "toolkit", *map(str, words)],
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=buffered,
            check=False,
        )
    finally:
        os.close(write)


def test_a_reader_that_left_is_one_line(journal: Path) -> None:
    """Output that nobody reads any more, as in `toolkit … | head`, is no traceback."""
    done = into_nothing("journal", "verify", journal)

    assert (1, "toolkit: nobody reads the output any more\n") == (done.returncode, done.stderr)


def test_the_module_is_the_command(journal: Path) -> None:
    """`python -m toolkit` hands its arguments and exit code through."""
    done = subprocess.run(
        [sys.executable, "-m", "toolkit", "journal", "verify", str(journal), "--json"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )

    assert (0, "", 1) == (done.returncode, done.stderr, json.loads(done.stdout)["entries"])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full here")
@pytest.mark.parametrize("action", ["show", "verify"])
def test_output_that_finds_no_room_is_one_line(journal: Path, action: str) -> None:
    """Where the disk behind stdout is full, the command says so and fails."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "toolkit", "journal", action, str(journal)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            check=False,
        )

    assert 1 == done.returncode
    assert "toolkit: the system refused: [Errno 28] No space left on device\n" == done.stderr
