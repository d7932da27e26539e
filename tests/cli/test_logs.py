"""`--verbose`: on stderr only, for people or for machines, and gone when the command is."""

import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from toolkit.cli.logs import compiling_shown, shown
from toolkit.logs import log_of
from toolkit.model.chain import Mode

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "TOOLKIT_DATA": "/nonexistent"}
pytestmark = pytest.mark.timeout(180)


def speak() -> None:
    """Say one thing."""
    log_of("toolkit.somewhere", Mode.FORK).info("a_thing", block=7, why="it is so")


def test_lines_are_json_where_no_terminal_reads(capsys: pytest.CaptureFixture[str]) -> None:
    """On a pipe each event is one JSON object, on stderr alone."""
    with shown(verbose=True):
        speak()
    out, err = capsys.readouterr()
    said = json.loads(err)

    assert ("", "a_thing", "FORK", "info", 7) == (
        out,
        *(said[key] for key in ("event", "mode", "level", "block")),
    )
    assert said["timestamp"].endswith("Z")


def test_lines_are_key_value_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """People read key=value, with the mode up front."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with shown(verbose=True):
        speak()
    out, err = capsys.readouterr()

    assert ("", 1) == (out, err.count("\n"))
    assert err.endswith('level=info event=a_thing mode=FORK block=7 why="it is so"\n')


def test_nothing_is_said_unasked_or_afterwards(capsys: pytest.CaptureFixture[str]) -> None:
    """Without -v nothing is printed, and the handler goes with its command."""
    with shown(verbose=False):
        speak()
    with shown(verbose=True):
        pass
    speak()

    assert ("", "") == capsys.readouterr()
    assert [] == logging.getLogger("toolkit").handlers


def test_a_stderr_that_is_gone_does_not_stop_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that cannot be written never becomes an error between a journal and a send."""

    class Gone:
        def isatty(self) -> bool:
            return False

        def write(self, _: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(logging, "raiseExceptions", False)
    monkeypatch.setattr(sys, "stderr", Gone())
    with shown(verbose=True):
        speak()


def test_where_events_are_lines_of_json_a_compiled_kernel_is_one_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What compiles is told once: as an event with --verbose, else as a line for people."""
    log = log_of("toolkit.pools.kernels.somewhere")
    with compiling_shown():
        log.info("kernel_compiling", kernel="curves")
        people = capsys.readouterr().err
        with shown(verbose=True):
            log.info("kernel_compiling", kernel="curves")
    said = json.loads(capsys.readouterr().err)

    assert "toolkit: compiling curves, kept for the next time ...\n" == people
    assert ("kernel_compiling", "curves") == (said["event"], said["kernel"])


@pytest.mark.parametrize("option", ["-v", None])
def test_the_demo_prints_one_document_and_logs_beside_it(
    tmp_path: Path, option: str | None
) -> None:
    """stdout of --json stays one document; stderr has events with -v and nothing without."""
    words = ["demo", "--blocks", "2", "--json", "--report", str(tmp_path / "run")]
    done = subprocess.run(
        [sys.executable, "-m", "toolkit", *words, *([option] if option else [])],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=ENVIRONMENT,
        check=False,
    )
    events = [json.loads(line) for line in done.stderr.splitlines()]

    assert (0, 1) == (done.returncode, len(done.stdout.splitlines()))
    assert isinstance(json.loads(done.stdout), dict)
    assert bool(option) == bool(events)
    if option:
        assert {"DEV"} == {one["mode"] for one in events}
        assert {"session_opened", "block_decided"} <= {one["event"] for one in events}


def test_a_devnet_tells_each_slot() -> None:
    """`toolkit devnet -v` logs what it seals, and its one line on stdout stays one."""
    words = ["devnet", "--port", "0", "--block-time", "0.2", "--verbose"]
    with subprocess.Popen(
        [sys.executable, "-m", "toolkit", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=ENVIRONMENT,
    ) as process:
        assert process.stderr is not None
        said = json.loads(process.stderr.readline())
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)

    assert ("slot_sealed", "DEV") == (said["event"], said["mode"])
    assert 1 == len(out.splitlines())
