"""A window is told by what it keeps, and what is new in it."""

import pytest

from toolkit.orchestrator.audit.splices import Splice, spliced


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("", "", None),
        ("abc", "abc", None),
        ("", "ab", (0, 0, "ab")),
        ("abc", "", (3, 3, "")),
        ("abc", "bcd", (1, 3, "d")),
        ("abc", "abd", (0, 2, "d")),
        ("abc", "ab", (0, 2, "")),
        ("abc", "xyz", (3, 3, "xyz")),
        ("abc", "bx", (1, 2, "x")),
    ],
)
def test_a_window_is_its_own_past_and_what_is_new(
    old: str, new: str, expected: tuple[int, int, str] | None
) -> None:
    """Of what is still there nothing is said again."""
    splice = spliced(tuple(old), tuple(new))

    assert splice == (None if expected is None else Splice(*expected[:2], tuple(expected[2])))
    assert list(new) == (list(old) if splice is None else splice.of(tuple(old)))


def test_numbers_that_are_written_otherwise_are_another_item() -> None:
    """1, 1.0 and True are equal, and not the same bytes."""
    assert Splice(2, 2, (1.0, 2)) == spliced((1, 2), (1.0, 2))
    assert Splice(1, 1, (True,)) == spliced((1,), (True,))
