"""The façade names exactly what it promises."""

import ast
import subprocess
import sys
from pathlib import Path

import toolkit

ROOT = Path(__file__).resolve().parent.parent


def test_all_is_sorted_and_every_name_loads() -> None:
    """`__all__` is sorted, unique, and each name resolves to a real object of its own home."""
    names = list(toolkit.__all__)

    assert sorted(set(names)) == names
    for name in names:
        assert getattr(toolkit, name) is not None, name


def test_type_checkers_see_the_same_names_as_programs() -> None:
    """The names imported for type checkers are those that are loaded lazily, no more, no less."""
    tree = ast.parse((ROOT / "toolkit" / "__init__.py").read_text())
    seen = {
        alias.asname
        for block in tree.body
        if isinstance(block, ast.If)
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }

    assert {*seen, "__version__"} == set(toolkit.__all__)


def test_unknown_names_are_attribute_errors() -> None:
    """A name that is not public fails as on any module."""
    message = ""
    try:
        toolkit.no_such_name  # noqa: B018 (the access is the test)
    except AttributeError as error:
        message = str(error)

    assert "no_such_name" in message


def test_version_matches_the_distribution() -> None:
    """`__version__` is the version in pyproject.toml."""
    text = (ROOT / "pyproject.toml").read_text()

    assert f'version = "{toolkit.__version__}"' in text


def test_the_offline_orchestrator_is_called_through_the_facade() -> None:
    """`tk.testing.decide` is the function, also after its module was imported by name."""
    code = (
        "import toolkit as tk\n"
        "assert callable(tk.testing.decide)\n"
        "import toolkit.testing.decide, toolkit.testing.invariants\n"
        "from toolkit.testing.decide import decide, given\n"
        "assert tk.testing.decide is decide and callable(given)\n"
    )

    for order in (code, f"import toolkit.testing.decide\n{code}"):
        done = subprocess.run(
            [sys.executable, "-c", order], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert (0, "") == (done.returncode, done.stderr)
