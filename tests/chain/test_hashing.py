import pytest
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak as reference_keccak
from hypothesis import given
from hypothesis import strategies as st
from rlp import encode

from toolkit.chain.hashing import checksum, contract_address, keccak, selector
from toolkit.model.chain import Address
from toolkit.model.errors import ConfigError


@given(st.binary(max_size=400))
def test_keccak_is_the_reference_keccak(data: bytes) -> None:
    """The hash equals eth-utils' for any input."""
    assert reference_keccak(data) == keccak(data)


@given(st.binary(min_size=20, max_size=20))
def test_checksums_are_those_of_eip_55(account: bytes) -> None:
    """The mixed case equals eth-utils' for any address, in whatever case it came."""
    text = "0x" + account.hex()

    assert to_checksum_address(text) == checksum(text)
    assert to_checksum_address(text) == checksum(text.upper().replace("0X", "0x"))


def test_a_checksum_of_something_else_is_refused() -> None:
    """An address of the wrong length is a clear ConfigError."""
    with pytest.raises(ConfigError, match="40 hex digits"):
        checksum("0x1234")


def test_selectors_are_the_known_ones() -> None:
    """ERC-20's transfer has its famous selector."""
    assert selector("transfer(address,uint256)") == "0xa9059cbb"


@given(st.binary(min_size=20, max_size=20), st.integers(0, 2**64 - 1))
def test_contract_addresses_hash_sender_and_nonce(account: bytes, nonce: int) -> None:
    """CREATE's address is the tail of keccak(rlp([sender, nonce])) for any nonce."""
    size = (nonce.bit_length() + 7) // 8
    expected = reference_keccak(encode([account, nonce.to_bytes(size, "big")]))[12:]

    assert "0x" + expected.hex() == contract_address(Address("0x" + account.hex()), nonce)
