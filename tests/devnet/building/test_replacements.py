import pytest

from toolkit.devnet.building import replacements
from toolkit.devnet.building.replacements import BLOCKS_KEPT, Replacements
from toolkit.model.chain import Address

ME, OTHER = Address("0x" + "01" * 20), Address("0x" + "02" * 20)


def test_nonces_belong_to_one_uuid_of_one_owner() -> None:
    """What another has said, or what was said under another uuid, holds up nothing."""
    words = Replacements()
    words.admits(ME, "a", 5, head=1)

    assert not words.admits(ME, "a", 5, head=1)
    assert words.admits(ME, "a", 6, head=1)
    assert words.admits(ME, "b", 1, head=1)
    assert words.admits(OTHER, "a", 1, head=1)


def test_what_has_no_nonce_always_replaces() -> None:
    """And leaves the highest nonce as it was."""
    words = Replacements()
    words.admits(ME, "a", 5, head=1)

    assert words.admits(ME, "a", None, head=1)
    assert not words.admits(ME, "a", 4, head=1)


def test_a_closed_uuid_takes_nothing() -> None:
    """Neither without a nonce nor with the highest; another owner's is another."""
    words = Replacements()
    words.close(ME, "a", head=1)

    assert not words.admits(ME, "a", None, head=1)
    assert not words.admits(ME, "a", 99, head=1)
    assert words.admits(OTHER, "a", None, head=1)


def test_words_are_kept_for_so_many_blocks() -> None:
    """After the last one; not a block longer."""
    words = Replacements()
    words.close(ME, "a", head=1)
    words.advance(1 + BLOCKS_KEPT)
    kept = words.admits(ME, "a", None, head=1)
    words.advance(2 + BLOCKS_KEPT)

    assert not kept
    assert words.admits(ME, "a", None, head=1)


def test_only_so_many_uuids_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was spoken of longest ago goes first."""
    monkeypatch.setattr(replacements, "MAX_UUIDS", 2)
    words = Replacements()
    for uuid in ("a", "b"):
        words.close(ME, uuid, head=1)
    words.admits(ME, "a", None, head=1)
    words.close(ME, "c", head=1)

    assert not words.admits(ME, "a", None, head=1)
    assert words.admits(ME, "b", None, head=1)
