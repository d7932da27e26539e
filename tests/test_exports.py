"""The façade names exactly what it promises."""

import ast
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
