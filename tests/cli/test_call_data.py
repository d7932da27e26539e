"""A contract call as words of a shell."""

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from toolkit.cli.call_data import encode_call
from toolkit.model.errors import ConfigError

ACCOUNT = "0x" + "ab" * 20


@pytest.mark.parametrize(
    ("signature", "words", "canonical", "types", "values"),
    [
        ("f()", [], "f()", [], []),
        ("g(uint)", ["0x10"], "g(uint256)", ["uint256"], [16]),
        ("g(int8,uint8)", ["-128", "255"], "g(int8,uint8)", ["int8", "uint8"], [-128, 255]),
        ("_h$(bool, bool)", ["true", "false"], "_h$(bool,bool)", ["bool"] * 2, [True, False]),
        ("p(address,string)", [ACCOUNT, "hi"], "p(address,string)", ["address", "string"], 0),
        ("b(bytes4,bytes)", ["0x01020304", "0x"], "b(bytes4,bytes)", ["bytes4", "bytes"], 0),
        (
            "t((uint,bool)[],int[2])",
            ["[[1,true],[2,false]]", '["0x2",-3]'],
            "t((uint256,bool)[],int256[2])",
            ["(uint256,bool)[]", "int256[2]"],
            [[(1, True), (2, False)], [2, -3]],
        ),
    ],
)
def test_words_become_call_data(
    signature: str, words: list[str], canonical: str, types: list[str], values: list[object]
) -> None:
    """The selector of the canonical signature, then the words as eth-abi encodes their values."""
    given = values or [bytes.fromhex(w[2:]) if w[2:].isdigit() or w == "0x" else w for w in words]
    expected = keccak(text=canonical)[:4] + encode(types, given)

    assert "0x" + expected.hex() == encode_call(signature, words)


@pytest.mark.parametrize(
    ("signature", "word", "message"),
    [
        ("f(uint8)", "256", "argument '256' is no uint8"),
        ("f(uint8)", "-1", "argument '-1' is no uint8"),
        ("f(int8)", "128", "argument '128' is no int8"),
        ("f(int8)", "-129", "argument '-129' is no int8"),
        ("f(uint256)", "1.5", "argument '1.5' is no uint256"),
        ("f(uint256)", "ether", "argument 'ether' is no uint256"),
        ("f(address)", "0x12", "argument '0x12' is no address"),
        ("f(bytes4)", "0x01", "argument '0x01' is no bytes4"),
        ("f(bytes)", "ff", "argument 'ff' is no bytes"),
        ("f(bool)", "1", "argument '1' is no bool"),
        ("f(uint[2])", "[1]", "argument '[1]' is no uint256[2]: write it as a JSON list"),
        ("f(uint[])", "[true]", "argument '[true]' is no uint256[]: write it as a JSON list"),
        ("f((uint,bool))", "1", "argument '1' is no (uint256,bool): write it as a JSON list"),
        ("f((uint,bool))", "[1]", "argument '[1]' is no (uint256,bool): write it as a JSON list"),
        ("f(uint[])", "[", "argument '[' is no uint256[]: write it as a JSON list"),
        ("f(uint8)", "0x" + "5a" * 32, "argument of 66 characters is no uint8"),
        ("f()", "1", "f() takes 0 arguments, 1 were given"),
    ],
)
def test_a_word_of_another_type_is_refused(signature: str, word: str, message: str) -> None:
    """The word and what it should have been, unless it is long enough to be a key."""
    with pytest.raises(ConfigError) as refused:
        encode_call(signature, [word])

    assert message == str(refused.value)


@pytest.mark.parametrize(
    "signature", ["", "f", "f(", "(uint256)", "f(uint7)", "f(uint256)[]", "f(uint256,)", "1f()"]
)
def test_what_is_no_signature_is_refused(signature: str) -> None:
    """Bad grammar and types that do not exist are one line with an example."""
    with pytest.raises(ConfigError, match='is no signature: write it as "transfer'):
        encode_call(signature, ["1"])
