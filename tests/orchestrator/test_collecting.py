"""Searches for garbage are put off, and taken up again however it ends."""

import gc

import pytest

from toolkit.orchestrator.collecting import uncollected


def test_they_are_put_off_until_the_end() -> None:
    """Inside there are none, also not in an inner one's rest; behind it there are."""
    with uncollected():
        with uncollected():
            inner = gc.isenabled()
        between = gc.isenabled()

    assert (False, False, True) == (inner, between, gc.isenabled())


def test_an_error_does_not_end_them() -> None:
    """What breaks off leaves them on."""
    with pytest.raises(RuntimeError), uncollected():
        raise RuntimeError

    assert gc.isenabled()


def test_who_turned_them_off_finds_them_off() -> None:
    """They are not turned on for somebody who wants none."""
    gc.disable()
    try:
        with uncollected():
            pass

        assert not gc.isenabled()
    finally:
        gc.enable()
