"""The main job through the real command line, and everything that can go wrong with it."""

import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.processes import anvils, wait_until_gone
from toolkit.cli import demo as demo_command
from toolkit.cli import demo_run
from toolkit.cli.main import main
from toolkit.dashboard.record import BlockRow, RunRecord
from toolkit.devnet.crowd.scenario import RECORDED_MINUTES
from toolkit.journal.log import Entry, verified
from toolkit.journal.sqlite import read_entries
from toolkit.model.decision import VetoCause
from toolkit.orchestrator import records
from toolkit.orchestrator.audit.audit import lines, verdicts, why

ROOT = Path(__file__).resolve().parents[2]
NOWHERE = "/nonexistent"
# Seeds in whose first blocks an own arbitrage trade moves the price enough for a pause, without
# recorded data; more than one, so that a changed market costs a second try and not the test.
PAUSING_SEEDS = (3, 8, 1)
BLOCKS = 9
PROTOCOLS = ("@uniswap", "@balancer-labs")
INVARIANTS = {
    *("ledger_equals_chain", "predicted_equals_realised", "no_nonce_gap"),
    *("every_transaction_terminal", "journal_verifies", "journal_replays"),
}
pytestmark = pytest.mark.timeout(180)


def environment(data: str, **changes: str) -> dict[str, str]:
    """Ours, with this recorded data."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "TOOLKIT_DATA": data, **changes}


def demo(*options: object, data: str = NOWHERE) -> "subprocess.CompletedProcess[str]":
    """Run the demo to its end."""
    return subprocess.run(
        [sys.executable, "-m", "toolkit", "demo", *map(str, options)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(data),
        check=False,
    )


@contextmanager
def running(report: Path, *, shown: int = 2) -> Iterator["subprocess.Popen[str]"]:
    """A demo that has shown some of its blocks and would go on for long."""
    command = [sys.executable, "-m", "toolkit", "demo", "--blocks", "500", "--report", str(report)]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment(NOWHERE),
        # A test run that is itself in a shell's background ignores SIGINT, and would hand that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    ) as process:
        assert process.stderr is not None
        said = [process.stderr.readline() for _ in range(1 + shown)]
        assert said[-1].startswith("[DEV] block "), said
        try:
            yield process
        finally:
            process.kill()


def journalled(report: Path) -> tuple[Entry, ...]:
    """What the journal of a run holds; its chain is verified on the way."""
    return tuple(verified(read_entries(report / "journal.db")))


def perceived(report: Path) -> int:
    """How many blocks a run has journalled."""
    return sum(entry.kind == records.PERCEIVED for entry in journalled(report))


def momentum(report: Path) -> list[tuple[int, bool, VetoCause | None, tuple[object, ...]]]:
    """Everything that was decided about momentum alone: block, approved or why not, legs."""
    return [
        (one.block_number, one.approved, one.cause, one.legs)
        for one in verdicts(journalled(report))
        if one.agents == ("momentum",)
    ]


@dataclass(frozen=True)
class Run:
    """A finished demo."""

    seed: int
    report: Path
    done: "subprocess.CompletedProcess[str]"

    @property
    def summary(self) -> dict[str, object]:
        """What it wrote for programs."""
        return dict(json.loads((self.report / "summary.json").read_text()))


@pytest.fixture(scope="module")
def paused(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with --json, without recorded data, in which momentum was paused."""
    for seed in PAUSING_SEEDS:
        report = tmp_path_factory.mktemp("runs") / str(seed)
        done = demo("--json", "--blocks", BLOCKS, "--seed", seed, "--report", report)
        assert 0 == done.returncode, done.stderr
        if any(cause is VetoCause.PAUSED for _, _, cause, _ in momentum(report)):
            return Run(seed, report, done)
    pytest.fail(f"none of seeds {PAUSING_SEEDS} pauses momentum within {BLOCKS} blocks")


@pytest.fixture(scope="module")
def unpaused(paused: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same run without pauses, and for people."""
    report = tmp_path_factory.mktemp("runs") / "no-pauses"
    done = demo("--no-pauses", "--blocks", BLOCKS, "--seed", paused.seed, "--report", report)
    return Run(paused.seed, report, done)


def test_json_is_one_document_and_nothing_else(paused: Run) -> None:
    """With --json stdout is summary.json on one line, stderr is empty, and all invariants hold."""
    document = json.loads(paused.done.stdout)

    assert (1, "") == (paused.done.stdout.count("\n"), paused.done.stderr)
    assert paused.summary == document
    assert (1, "DEV", paused.seed, BLOCKS, "seeded jump process") == tuple(
        document[key] for key in ("version", "mode", "seed", "blocks", "market")
    )
    assert dict.fromkeys(INVARIANTS, True) == document["invariants"]
    assert {"arbitrage", "momentum", "rebalancing", "reserve", "treasury"} == set(
        document["agents"]
    )
    assert document["counts"]["landed_arbitrage_bundles"] > 0


def test_the_report_is_a_page_about_this_run(paused: Run) -> None:
    """report.html is written beside the summary and the journal."""
    page = (paused.report / "report.html").read_text()

    assert page.startswith("<!doctype html>")
    assert f"seed {paused.seed} <small>[DEV]</small>" in page
    assert "BROKEN" not in page
    assert BLOCKS + 1 == perceived(paused.report)


def test_people_get_a_line_a_block_and_a_summary(unpaused: Run) -> None:
    """Without --json every line on stderr carries the mode; stdout has counts and invariants."""
    said = unpaused.done.stderr.splitlines()

    assert 0 == unpaused.done.returncode
    assert [] == [line for line in said if not line.startswith("[DEV] ")]
    assert ["building", *["block"] * BLOCKS] == [line.split()[1] for line in said]
    assert len(INVARIANTS) == len(re.findall(r"│ held +│", unpaused.done.stdout))
    assert f"[DEV] {BLOCKS} blocks, seed {unpaused.seed}, " in unpaused.done.stdout
    report, ask = unpaused.done.stdout.splitlines()[-2:]
    assert f"report: {unpaused.report / 'report.html'}" == report
    assert ask.startswith("why any of it: ")
    assert ask.endswith(f"toolkit why VERDICT --journal {unpaused.report / 'journal.db'}")


@pytest.mark.parametrize(
    ("path", "command"),
    [("/nowhere", f"{os.path.relpath(sys.executable)} -m toolkit"), (None, "toolkit")],
)
def test_what_to_type_next_can_be_typed(
    path: str | None, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the command is not on the PATH, as after `make run`, its Python is named."""
    script = tmp_path / "toolkit"
    script.write_text("")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", path or str(tmp_path))

    assert command == demo_command._command()


def test_the_readme_s_tree_is_what_a_run_says(tmp_path: Path) -> None:
    """The `why` that the README shows is seed 1's, line by line."""
    page = (ROOT / "README.md").read_text()
    (shown,) = re.findall(r"```\n(trade (\S+) landed.*?)\n```", page, re.DOTALL)
    tree, verdict_id = shown
    done = demo("--json", "--blocks", 3, "--seed", 1, "--report", tmp_path / "run")

    told = lines(why(journalled(tmp_path / "run"), verdict_id), short=True)

    assert 0 == done.returncode
    assert tree.split("\n") == list(told)


def test_turning_pauses_off_changes_a_decision_of_momentum(paused: Run, unpaused: Run) -> None:
    """With the same seed the first difference in momentum's verdicts is where it was paused."""
    with_pauses, without = momentum(paused.report), momentum(unpaused.report)
    pause = next(one for one in with_pauses if one[2] is VetoCause.PAUSED)

    assert [one for one in with_pauses if one[0] < pause[0]] == [
        one for one in without if one[0] < pause[0]
    ]
    assert pause not in without
    assert not [one for one in without if one[2] is VetoCause.PAUSED]
    assert (
        []
        == json.loads(next(e.data for e in journalled(unpaused.report) if e.kind == records.SETUP))[
            "pauses"
        ]
    )


@pytest.mark.realdata
def test_recorded_minutes_are_traded_with_data(data_dir: Path, tmp_path: Path) -> None:
    """With recorded data the market is the recording, and every invariant holds there too."""
    done = demo("--json", "--blocks", 3, "--report", tmp_path / "run", data=str(data_dir))

    document = json.loads(done.stdout)
    assert (0, "") == (done.returncode, done.stderr)
    assert Path(RECORDED_MINUTES).name in document["market"]
    assert dict.fromkeys(INVARIANTS, True) == document["invariants"]


@pytest.mark.parametrize("victim", ["twin", "fork"])
def test_an_anvil_that_dies_is_one_line_and_costs_no_entry(victim: str, tmp_path: Path) -> None:
    """Whichever Anvil dies is named, exit code 1; every block that was shown is in the journal."""
    with running(tmp_path / "run") as process:
        started = anvils(process.pid)
        dead = next(
            pid for pid, line in started.items() if ("--fork-url" in line) == (victim == "fork")
        )
        os.kill(dead, signal.SIGKILL)
        out, err = process.communicate(timeout=60)

    *shown, last = err.splitlines()
    assert (1, "") == (process.returncode, out)
    assert re.fullmatch(rf"toolkit: anvil \(pid {dead}\) died: .*signal 9.*; start again", last)
    assert [] == [line for line in shown if not line.startswith("[DEV] block ")]
    assert 2 + len(shown) <= perceived(tmp_path / "run")
    assert [] == wait_until_gone(list(started))


@pytest.mark.parametrize(("death", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_signal_leaves_no_anvil_behind(death: signal.Signals, code: int, tmp_path: Path) -> None:
    """Ctrl-C is 130 without a word, and even SIGKILL leaves no process; the journal is whole."""
    with running(tmp_path / "run") as process:
        groups = list(anvils(process.pid))
        process.send_signal(death)
        out, err = process.communicate(timeout=60)

    assert 2 == len(groups)
    assert (code, "") == (process.returncode, out)
    assert [] == [line for line in err.splitlines() if not line.startswith("[DEV] block ")]
    assert [] == wait_until_gone(groups)
    assert 2 <= perceived(tmp_path / "run")


def test_a_full_disk_ends_the_run_in_one_line(tmp_path: Path) -> None:
    """When the journal cannot grow the run stops with exit code 1; what was in it stays whole."""
    limit = 700_000  # bytes a file may have: beyond it a write fails as on a full disk
    code = (
        f"import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "from toolkit.cli.main import main; sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "demo", "--blocks", "500", "--report", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(NOWHERE),
        check=False,
    )

    first, *shown, last = done.stderr.splitlines()
    found = re.fullmatch(
        r"toolkit: journal .*: cannot write entry (\d+) \(.*\); free space .*", last
    )
    assert (1, "") == (done.returncode, done.stdout)
    assert found, last
    assert first.startswith("[DEV] building")
    assert len(shown) > 0
    assert int(found[1]) - 1 == len(journalled(tmp_path / "run"))
    # The write that failed may be one that followed from the last block.
    assert perceived(tmp_path / "run") - len(shown) in (0, 1)


def stranger(place: Path, *, packages: Sequence[str], **changes: str) -> dict[str, str]:
    """A copy of the package with these npm packages, where nothing else is installed."""
    # A copy, since the package also looks for .tools beside itself.
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "toolkit", place / "toolkit", ignore=skip)
    modules = place / ".tools" / "node_modules"
    modules.mkdir(parents=True)
    for name in packages:
        (modules / name).symlink_to(ROOT / ".tools" / "node_modules" / name)
    empty = {"PATH": str(place), "HOME": str(place), "PYTHONPATH": str(place)}
    return environment(NOWHERE, **empty, **changes)


@pytest.mark.parametrize(
    ("packages", "named", "words"),
    [
        (PROTOCOLS, "", "no anvil binary found: run `make setup`, or set ANVIL_BIN to its path"),
        (PROTOCOLS, NOWHERE, f"ANVIL_BIN={NOWHERE} is not an Anvil binary; correct or unset it"),
        ((), "", "protocol bytecode .* is not in .tools/node_modules: `make setup`"),
    ],
    ids=["no anvil", "wrong ANVIL_BIN", "no npm packages"],
)
def test_what_is_not_installed_is_one_line(
    packages: Sequence[str], named: str, words: str, tmp_path: Path
) -> None:
    """Without Anvil or npm's packages one line tells what to do; exit code 1."""
    done = subprocess.run(
        [sys.executable, "-m", "toolkit", "demo", "--json", "--report", "run"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=stranger(tmp_path, packages=packages, ANVIL_BIN=named, FOUNDRY_BIN=NOWHERE),
        check=False,
    )

    assert 1 == done.returncode
    assert re.fullmatch(f"toolkit: {words}\n", done.stderr)
    assert "DevnetError" == json.loads(done.stdout)["kind"]
    assert not (tmp_path / "run" / "journal.db").exists()


def truncated(place: Path, *, source: bytes) -> None:
    """Put the first half of a file where the whole one should be."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    place.write_bytes(source[: len(source) // 2])


def refused(capsys: pytest.CaptureFixture[str], report: Path) -> str:
    """The one line that a demo answers with when its input is bad; nothing is journalled."""
    code = main(["demo", "--json", "--report", str(report)])

    out, err = capsys.readouterr()
    assert 2 == code
    assert 1 == err.count("\n")
    assert f"toolkit: {json.loads(out)['error']}\n" == err
    assert not (report / "journal.db").exists()
    return err


def test_a_truncated_recording_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A price file that stops in the middle is bad input: one line with its path."""
    rows = "".join(f"{60 * minute},{200_000 + minute % 7}\n" for minute in range(1_000))
    place = tmp_path / "data" / RECORDED_MINUTES
    truncated(place, source=gzip.compress(f"ts,closeTick\n{rows}".encode()))
    monkeypatch.setenv("TOOLKIT_DATA", str(tmp_path / "data"))

    line = refused(capsys, tmp_path / "run")

    assert line.startswith(f"toolkit: {place} is damaged or truncated (")


@pytest.mark.realdata
@pytest.mark.parametrize("name", [RECORDED_MINUTES, "mainnet/codes_known.json.gz"])
def test_each_truncated_file_of_the_recorded_data_is_named(
    name: str,
    data_dir: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Among whole recorded files the one that was cut is named; exit code 2."""
    copy = tmp_path / "data"
    for source in data_dir.resolve().rglob("*"):
        if source.is_file():
            link = copy / source.relative_to(data_dir.resolve())
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(source)
    truncated(copy / name, source=(data_dir / name).read_bytes())
    monkeypatch.setenv("TOOLKIT_DATA", str(copy))

    line = refused(capsys, tmp_path / "run")

    assert line.startswith(f"toolkit: {copy / name} is damaged or truncated (")


def test_an_earlier_run_is_never_written_over(
    paused: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """--report into a folder with a journal is refused, exit code 2, and changes nothing in it."""
    before = {path.name: path.read_bytes() for path in paused.report.iterdir()}

    code = main(["demo", "--blocks", "1", "--report", str(paused.report)])

    out, err = capsys.readouterr()
    assert (2, "") == (code, out)
    assert (
        f"toolkit: {paused.report} holds an earlier run's journal; choose another --report\n" == err
    )
    assert before == {path.name: path.read_bytes() for path in paused.report.iterdir()}


def unwritable(tmp_path: Path) -> Iterator[Path]:
    """Places that take no report, each for another reason."""
    (tmp_path / "file").touch()
    yield tmp_path / "file"
    yield tmp_path / "file" / "below"
    yield tmp_path / ("long" * 100)
    (tmp_path / "closed").mkdir(mode=0o500)
    # Modes do not bind root; there is no file to be made in /proc for anybody.
    yield Path("/proc/self") if Path("/proc/self").is_dir() else tmp_path / "closed"


def test_a_report_that_cannot_be_written_is_refused_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A place that takes no file is bad input in one line, before anything is built."""
    for place in unwritable(tmp_path):
        code = main(["demo", "--blocks", "1", "--report", str(place)])

        out, err = capsys.readouterr()
        assert (2, "") == (code, out), place
        assert re.fullmatch(r"toolkit: cannot write to .*; choose --report\n", err), err
        assert str(place) in err


@pytest.mark.parametrize("blocks", ["0", "-3", "10001"])
def test_a_silly_number_of_blocks_is_refused(
    blocks: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--blocks outside 1 to 10000 is bad input, and no folder is made for it."""
    code = main(["demo", "--blocks", blocks, "--report", str(tmp_path / "run")])

    assert 2 == code
    assert ("", f"toolkit: --blocks {blocks} is not between 1 and 10000\n") == capsys.readouterr()
    assert not (tmp_path / "run").exists()


def quick(monkeypatch: pytest.MonkeyPatch, *, held: bool) -> None:
    """Put a finished run in the place of trading."""
    row = BlockRow(number=1, timestamp=12, base_fee_wei=10**9, price=1_500.0)
    record = RunRecord(
        mode="DEV",
        seed=1,
        market="none",
        rows=(row,),
        invariants={"no_nonce_gap": held},
        counts={},
        agents={},
    )

    async def trade(*_: object) -> RunRecord:
        return record

    monkeypatch.setattr(demo_run, "trade", trade)


@pytest.mark.parametrize(("held", "code"), [(True, 0), (False, 1)])
def test_a_broken_invariant_is_exit_code_1(
    held: bool,  # noqa: FBT001 - a parameter of the test
    code: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The run is told either way; a broken invariant makes the command fail."""
    quick(monkeypatch, held=held)

    assert code == main(["demo", "--json", "--report", str(tmp_path)])
    assert {"no_nonce_gap": held} == json.loads(capsys.readouterr().out)["invariants"]


def test_a_report_that_fails_at_the_end_still_tells_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When report.html cannot be written the summary is printed, with one line and exit code 1."""
    quick(monkeypatch, held=True)
    (tmp_path / "report.html").mkdir()

    code = main(["demo", "--json", "--report", str(tmp_path)])

    out, err = capsys.readouterr()
    assert (1, "DEV") == (code, json.loads(out)["mode"])
    assert re.fullmatch(
        rf"toolkit: cannot write {tmp_path}/report\.html: .*toolkit replay.*\n", err
    )
