"""RLP as it is written and read here, held against pyrlp."""

import random

import pytest
import rlp
from rlp.codec import encode_raw

from tests.orchestrator.worlds import fresh_seeds
from toolkit.chain import encoding
from toolkit.chain.encoding import Item, encoded, number, read_lists, uint

BOUNDS = (0, 1, 2, 54, 55, 56, 255, 256, 65_535, 65_536)


@pytest.mark.parametrize("seed", [1, *fresh_seeds(2)], ids=lambda _: "seed")
def test_bytes_and_lists_are_what_pyrlp_writes(seed: int) -> None:
    """Around every length at which the prefix changes, in lists within lists too."""
    rng = random.Random(seed)
    for size in BOUNDS:
        blob = rng.randbytes(size)

        items: list[Item] = [blob, [blob], [blob, [], [blob, [blob]]]]
        for item in items:
            assert bytes(encode_raw(item)) == encoded(item), seed


def test_every_single_byte_is_what_pyrlp_writes() -> None:
    """The lower half of all bytes has no prefix, the upper half has."""
    for value in range(256):
        assert bytes(encode_raw(bytes((value,)))) == encoded(bytes((value,)))


def test_integers_are_what_pyrlp_writes() -> None:
    """Zero is no bytes at all, and each width up to a word has its own prefix."""
    for value in (0, 1, 127, 128, *(1 << bits for bits in range(257)), 2**256 - 1):
        assert bytes(encode_raw(uint(value))) == number(value)


def _drawn(rng: random.Random, deepest: int) -> Item:
    if deepest and rng.random() < 0.5:
        return [_drawn(rng, deepest - 1) for _ in range(rng.randrange(4))]
    return rng.randbytes(rng.choice((0, 0, 1, 1, 2, 20, 32, 54, 55, 56, 57, 255, 256, 300)))


def _read(blob: bytes) -> object:
    try:
        return read_lists(blob)
    except (ValueError, IndexError):
        return None


def _as_pyrlp(blob: bytes) -> object:
    try:
        return rlp.decode(blob, strict=True)
    except rlp.RLPException:
        return None


@pytest.mark.parametrize("seed", [1, *fresh_seeds(3)], ids=lambda _: "seed")
def test_what_pyrlp_reads_is_read_as_it_does_and_nothing_else(seed: int) -> None:
    """Whole, cut off, with bytes behind, and with one byte changed, most often of a length."""
    rng = random.Random(seed)
    refused = 0
    for _ in range(500):
        item = _drawn(rng, 4)
        blob = bytes(encode_raw(item))
        assert item == read_lists(blob), (seed, blob.hex())

        place = min(rng.randrange(len(blob)), rng.randrange(len(blob)))
        other = rng.choice((0x00, 0x37, 0x7F, 0x80, 0x81, 0xB7, 0xB8, 0xC0, 0xC1, 0xF7, 0xF8, 0xFF))
        for odd in (
            blob[:place],
            blob + b"\0",
            blob[:place] + bytes((other,)) + blob[place + 1 :],
            blob[:place] + bytes((other,)) + blob[place:],
        ):
            read = _read(odd)
            if read is None and _deep(odd):
                continue
            assert _as_pyrlp(odd) == read, (seed, odd.hex())
            refused += read is None
    assert refused > 500


@pytest.mark.parametrize(
    "blob",
    [
        b"\xb9\x00\x38" + bytes(56),
        b"\xb8\x37" + bytes(55),
        b"\xf9\x00\x38" + bytes(56),
        b"\xf8\x37" + bytes(55),
        b"\xb8",
        b"\x81",
        b"",
    ],
)
def test_a_length_has_one_form(blob: bytes) -> None:
    """No zeros in front, no long form of what is short, and all of its bytes."""
    with pytest.raises((ValueError, IndexError)):
        read_lists(blob)
    with pytest.raises(rlp.RLPException):
        rlp.decode(blob, strict=True)


def _deep(blob: bytes) -> bool:
    try:
        read_lists(blob)
    except (ValueError, IndexError) as error:
        return str(error) == "lists within lists"
    return False


def test_lists_are_read_as_deep_as_transactions_have_them() -> None:
    """Storage keys of an access list beside blobs are in the fifth list; nothing is in a sixth."""
    five: Item = [[[[[b"key"]]]]]

    assert five == read_lists(encoded(five))
    with pytest.raises(ValueError, match="lists within lists"):
        read_lists(encoded([five]))


@pytest.mark.parametrize("count", [300, 30_000])
def test_what_is_long_is_read_by_a_step_for_each_item(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And each item is looked at once: nothing that is sent keeps a reader for long."""
    looked, real = list[int](), encoding._span

    def look(blob: bytes, at: int) -> tuple[bool, int, int]:
        looked.append(at)
        return real(blob, at)

    monkeypatch.setattr(encoding, "_span", look)

    assert [b"\1"] * count == read_lists(encoded([b"\1"] * count))
    assert count + 1 == len(looked)


def test_a_negative_integer_is_none() -> None:
    """RLP knows no sign."""
    with pytest.raises(OverflowError):
        number(-1)
