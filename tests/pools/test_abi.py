import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from toolkit.pools import abi


@pytest.mark.parametrize("signature", sorted(abi.SELECTORS))
def test_selectors_are_those_of_their_signatures(signature: str) -> None:
    """Each selector is the first four bytes of the signature's hash."""
    assert abi.SELECTORS[signature] == "0x" + keccak(text=signature)[:4].hex()


@pytest.mark.parametrize("event", sorted(abi.TOPICS))
def test_topics_are_those_of_their_events(event: str) -> None:
    """Each topic is the hash of the event's signature."""
    assert abi.TOPICS[event] == "0x" + keccak(text=event).hex()


@pytest.mark.parametrize("value", [0, 1, -1, 887272, -887272, -(2**255), 2**255 - 1])
def test_integers_survive_two_complement(value: int) -> None:
    """A negative argument is written and read as two's complement."""
    data = abi.call_with("ticks(int24)", value)

    assert data[:10] == abi.SELECTORS["ticks(int24)"]
    assert abi.signed(abi.words("0x" + data[10:])[0]) == value


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("0x" + encode(["string"], ["WETH"]).hex(), "WETH"),
        ("0x" + encode(["string"], ["a symbol of more than thirty-two letters"]).hex(),
         "a symbol of more than thirty-two letters"),
        ("0x" + b"MKR".ljust(32, b"\0").hex(), "MKR"),
        ("0x" + encode(["string"], ["tab\tline\n"]).hex(), ""),
        ("0x", ""),
        (None, ""),
        ("0x1234", ""),
    ],
)  # fmt: skip
def test_symbols_are_strings_or_bytes32(answer: str | None, expected: str) -> None:
    """Old tokens answer bytes32; control characters and no answer read as no symbol."""
    assert abi.text(answer) == expected


def test_addresses_are_the_low_twenty_bytes() -> None:
    """An address word keeps its leading zeros."""
    assert abi.to_address(5) == "0x" + "0" * 39 + "5"
