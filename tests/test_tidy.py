"""House rules that no linter knows; see CONTRIBUTING.md."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "toolkit"
SOURCES = sorted(PACKAGE.rglob("*.py"))
ALL_PYTHON = sorted(
    path
    for folder in ("toolkit", "tests", "fork_tests", "scripts")
    for path in (ROOT / folder).rglob("*.py")
)
MAX_FUNCTION_LINES = 70
MAX_FILE_LINES = 600
MAX_LINE = 100
PURE = (
    "model",
    "pools",
    "routing",
    "reasoning",
    "gas/rules.py",
    "gas/estimator.py",
    "tx/events.py",
    "tx/fees.py",
    "tx/job.py",
    "tx/lane.py",
    "tx/lane_signing.py",
    "tx/lane_spent.py",
    "tx/lane_state.py",
    "tx/progress.py",
    "execution/planner.py",
    "execution/calldata.py",
    "orchestrator/core.py",
    "orchestrator/board/blackboard.py",
    "orchestrator/board/doubts.py",
    "orchestrator/breaking/breakers.py",
    "orchestrator/breaking/facts.py",
    "orchestrator/breaking/gauges.py",
    "orchestrator/capital",
    "orchestrator/deciding",
    "orchestrator/hosting/containment.py",
    "orchestrator/hosting/roster.py",
    "orchestrator/hosting/wire.py",
    "orchestrator/pausing",
    "orchestrator/sending/merging.py",
    "orchestrator/sending/planning.py",
    "bundles/answers.py",
    "bundles/guards.py",
    "bundles/limits.py",
    "bundles/profiles.py",
    "bundles/requests.py",
    "bundles/tally.py",
    "bundles/uuids.py",
)
# pools/sync.py and what it reads by ask a node; they still have no clock and no chance.
WORLD = re.compile(
    r"\b(time\.(time|monotonic|perf_counter|sleep)|datetime\.(now|utcnow|today)|random\.\w+"
    r"|np\.random|os\.urandom|secrets\.|uuid\.uuid[14]|asyncio\.sleep)\b"
)
DEFERRED = (
    *("numba", "web3", "pyrevm", "eth", "toolkit.pools.kernels", "toolkit.routing.kernels"),
    # Of a session: whoever only sends needs neither pools nor numpy.
    *("toolkit.pools.sync", "toolkit.routing.router"),
)


def relative(path: Path) -> str:
    """Name a file as people do."""
    return path.relative_to(ROOT).as_posix()


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    body = node.body
    doc = ast.get_docstring(node, clean=False)
    first = body[1] if doc is not None and len(body) > 1 else body[0]
    return (node.end_lineno or 0) - first.lineno + 1


@pytest.mark.parametrize("path", ALL_PYTHON, ids=relative)
def test_functions_and_files_fit_their_room(path: Path) -> None:
    """No function over 70 lines of code, no file over 600, no line over 100 columns."""
    text = path.read_text()
    long_functions = [
        f"{node.name}: {code_lines(node)}"
        for node in functions(ast.parse(text))
        if code_lines(node) > MAX_FUNCTION_LINES
    ]
    long_lines = [n for n, line in enumerate(text.splitlines(), 1) if len(line) > MAX_LINE]

    assert [] == long_functions
    assert [] == long_lines
    assert len(text.splitlines()) <= MAX_FILE_LINES


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_nobody_inside_imports_the_facade(path: Path) -> None:
    """Inside the package, names come from their homes, never from `toolkit` itself."""
    facade = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.ImportFrom) and node.module == "toolkit" and _names_only(node))
        or (isinstance(node, ast.Import) and any(a.name == "toolkit" for a in node.names))
    ]

    assert [] == facade


def _names_only(node: ast.ImportFrom) -> bool:
    packages = {path.name for path in PACKAGE.iterdir() if path.is_dir()}
    return any(alias.name not in packages for alias in node.names)


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_imports_inside_functions_are_the_sanctioned_ones(path: Path) -> None:
    """Only heavy libraries and kernels load on first use; commands load what they run."""
    inside = [
        f"{node.lineno}: {name}"
        for function in functions(ast.parse(path.read_text()))
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in _imported(node)
        if not name.startswith(DEFERRED)
    ]

    if relative(path).startswith("toolkit/cli/"):
        return
    assert [] == inside


def _imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    return [alias.name for alias in node.names]


def pure_files() -> list[Path]:
    """Every file that promises to be a function of its arguments."""
    found: list[Path] = []
    for name in PURE:
        place = PACKAGE / name
        assert place.exists(), f"{name} moved: keep the list of pure modules true"
        found += sorted(place.rglob("*.py")) if place.is_dir() else [place]
    return found


@pytest.mark.parametrize("path", pure_files(), ids=relative)
def test_pure_modules_have_no_clock_and_no_chance(path: Path) -> None:
    """No wall clock, no sleep, no randomness: the same arguments give the same answer."""
    code = "\n".join(line.split("#")[0] for line in path.read_text().splitlines())

    assert None is WORLD.search(code)


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_no_module_level_randomness(path: Path) -> None:
    """A generator belongs to whoever owns the seed, never to a module."""
    module = ast.parse(path.read_text())
    made = [
        ast.unparse(node)
        for node in module.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        and re.search(r"\b(random|default_rng|urandom)\b", ast.unparse(node))
    ]

    assert [] == made


def test_money_never_meets_a_true_division() -> None:
    """No `/` on a name that carries an amount in wei, and no float() of one."""
    pattern = re.compile(r"\w*_wei\b\s*/(?!/)|float\(\w*_wei\)")
    found = [
        f"{relative(path)}:{n}"
        for path in SOURCES
        for n, line in enumerate(path.read_text().splitlines(), 1)
        if pattern.search(line.split("#")[0])
    ]

    assert [] == found


def test_nothing_unfinished_is_left_behind() -> None:
    """No TODO, FIXME or NotImplementedError hides a missing behaviour."""
    words = re.compile(r"\b(TODO|FIXME|XXX|HACK|NotImplementedError)\b")
    found = [
        relative(path)
        for path in ALL_PYTHON
        if path != Path(__file__).resolve() and words.search(path.read_text())
    ]

    assert [] == found


def test_import_is_light() -> None:
    """`import toolkit` brings in neither numba nor web3 nor numpy."""
    code = "import sys, toolkit; print([m for m in ('numba','web3','numpy') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )

    assert "[]" == done.stdout.strip()
