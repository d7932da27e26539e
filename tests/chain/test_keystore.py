import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from Crypto.Cipher import AES
from eth_keyfile.keyfile import create_keyfile_json

from toolkit.chain.hashing import checksum, keccak
from toolkit.chain.keystore import KeystoreSigner
from toolkit.chain.signer import LocalSigner
from toolkit.model.chain import Address
from toolkit.model.errors import SignerError
from toolkit.model.tx import UnsignedTransaction

KEY = "0x" + "4c" * 32
HERE = LocalSigner(KEY)
PASSWORD = "open sesame ☃"
TRANSFER = UnsignedTransaction(
    type=2,
    chain_id=1,
    nonce=7,
    to=Address("0x" + "22" * 20),
    value=1,
    data="0x",
    gas=21_000,
    max_fee_per_gas=3,
    max_priority_fee_per_gas=1,
)
# The vectors of the Web3 Secret Storage definition, version 3.
# https://ethereum.org/en/developers/docs/data-structures-and-encoding/web3-secret-storage/
PUBLISHED_KEY = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d"
PUBLISHED_PBKDF2 = {
    "crypto": {
        "cipher": "aes-128-ctr",
        "cipherparams": {"iv": "6087dab2f9fdbbfaddc31a909735c1e6"},
        "ciphertext": "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46",
        "kdf": "pbkdf2",
        "kdfparams": {
            "c": 262144,
            "dklen": 32,
            "prf": "hmac-sha256",
            "salt": "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd",
        },
        "mac": "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2",
    },
    "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
    "version": 3,
}
PUBLISHED_SCRYPT = {
    "crypto": {
        "cipher": "aes-128-ctr",
        "cipherparams": {"iv": "83dbcc02d8ccb40e466191a123791e0e"},
        "ciphertext": "d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c",
        "kdf": "scrypt",
        "kdfparams": {
            "dklen": 32,
            "n": 262144,
            "r": 1,
            "p": 8,
            "salt": "ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19",
        },
        "mac": "2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097",
    },
    "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
    "version": 3,
}


def foundry_file() -> dict[str, Any]:
    """As `cast wallet import` writes: scrypt with n 8192, and no address in the file."""
    salt, iv = bytes(range(32)), bytes(range(16))
    derived = hashlib.scrypt(PASSWORD.encode(), salt=salt, n=8192, r=8, p=1, dklen=32)
    cipher = AES.new(derived[:16], AES.MODE_CTR, nonce=b"", initial_value=iv)
    ciphertext = cipher.encrypt(bytes.fromhex(KEY[2:]))
    return {
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": {"iv": iv.hex()},
            "ciphertext": ciphertext.hex(),
            "kdf": "scrypt",
            "kdfparams": {"dklen": 32, "n": 8192, "p": 1, "r": 8, "salt": salt.hex()},
            "mac": keccak(derived[16:32] + ciphertext).hex(),
        },
        "id": "3f1aa2cd-5d40-4c2b-9e0c-0d7f6b3fd0a1",
        "version": 3,
    }


def geth_file() -> dict[str, Any]:
    """As `geth account new` writes it, with a cheaper n: the address without 0x."""
    content = create_keyfile_json(
        bytes.fromhex(KEY[2:]), PASSWORD.encode(), kdf="scrypt", iterations=2
    )
    return {**content, "address": HERE.address[2:]}


def pbkdf2_file() -> dict[str, Any]:
    """As eth-keyfile writes it by default, with fewer rounds: a checksummed address."""
    content = create_keyfile_json(bytes.fromhex(KEY[2:]), PASSWORD.encode(), iterations=2)
    assert checksum(HERE.address)[2:] == content["address"]
    return content


def older_file() -> dict[str, Any]:
    """As an old geth wrote it: `Crypto`, and 0x in front of the address."""
    content = geth_file()
    content["Crypto"] = content.pop("crypto")
    return {**content, "address": HERE.address}


def written(path: Path, content: object) -> Path:
    """A file with this content."""
    file = path / "bot"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


@pytest.mark.parametrize("make", [foundry_file, geth_file, pbkdf2_file, older_file])
async def test_a_keyfile_of_each_program_signs_as_its_key(make: Any, tmp_path: Path) -> None:
    """Foundry's, geth's and eth-keyfile's files open with their password; no repr has the key."""
    signer = await KeystoreSigner.open(written(tmp_path, make()), PASSWORD)

    assert HERE.sign_transaction_now(TRANSFER) == await signer.sign_transaction(TRANSFER)
    assert KEY[2:] not in repr(signer)


@pytest.mark.parametrize("content", [PUBLISHED_PBKDF2, PUBLISHED_SCRYPT], ids=["pbkdf2", "scrypt"])
def test_the_published_vectors_open(content: object, tmp_path: Path) -> None:
    """The definition's own files give the definition's own key."""
    signer = KeystoreSigner(written(tmp_path, content), "testpassword")

    assert LocalSigner(PUBLISHED_KEY).address == signer.address


def broken(**changes: Any) -> dict[str, Any]:
    """A geth file with other top-level fields; `crypto__x` and `kdfparams__x` go inside."""
    content = geth_file()
    for name, value in changes.items():
        place, _, inner = name.rpartition("__")
        section = {
            "": content,
            "crypto": content["crypto"],
            "kdfparams": content["crypto"]["kdfparams"],
            "cipherparams": content["crypto"]["cipherparams"],
        }[place]
        section[inner] = value
    return content


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("not json", "is not JSON"),
        ("", "is not JSON"),
        ('{"version": 3, "id": "', "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "it holds no JSON object"),
        ("{}", "its version is 'None'"),
        (broken(version=9), "its version is '9'"),
        (broken(version="3"), "its version is '3'"),
        (broken(version=True), "its version is 'True'"),
        (broken(version=4), "version 4 holds a validator's key"),
        (broken(crypto=None), "no crypto section"),
        (broken(crypto__cipher="aes-256-gcm"), "its cipher is 'aes-256-gcm'"),
        (broken(crypto__kdf="argon2"), "its kdf is 'argon2'"),
        (broken(crypto__kdfparams=None), "has no kdfparams"),
        (broken(crypto__cipherparams=[]), "has no cipherparams"),
        (broken(crypto__mac="zz"), "its mac is not hex of 32 bytes"),
        (broken(crypto__ciphertext="00" * 31), "its ciphertext is not hex of 32 bytes"),
        (broken(cipherparams__iv="00"), "its iv is not hex of 16 bytes"),
        (broken(kdfparams__salt=5), "its salt is not hex"),
        (broken(kdfparams__n=2**40), "scrypt with n 1099511627776"),
        (broken(kdfparams__n=3), "scrypt with n 3"),
        (broken(kdfparams__p=2**30), "out of bounds"),
        (broken(kdfparams__r=2**23), "out of bounds"),
        (broken(kdfparams__n=0), "its n is no positive integer"),
        (broken(kdfparams__n="8"), "its n is no positive integer"),
        (broken(kdfparams__dklen=16), "its dklen is 16"),
        (broken(crypto__kdf="pbkdf2", kdfparams__c=2**40, kdfparams__prf="hmac-sha256"), "rounds"),
        (broken(crypto__kdf="pbkdf2", kdfparams__c=5, kdfparams__prf="md5"), "'md5'"),
        (broken(address="0x1234"), "its address is not 40 hex digits"),
        (broken(address=5), "its address is not 40 hex digits"),
        (broken(address="22" * 20), "says it is of 0x2222"),
    ],
)
def test_a_file_that_is_no_keystore_says_what_is_wrong(
    content: object, said: str, tmp_path: Path
) -> None:
    """One clear line names the file and the reason, never the key or the password."""
    file = written(tmp_path, content)
    with pytest.raises(SignerError, match=said) as caught:
        KeystoreSigner(file, PASSWORD)

    text = str(caught.value)
    assert str(file) in text
    for secret in ("\n", PASSWORD, KEY[2:]):
        assert secret not in text


@pytest.mark.parametrize("make", [foundry_file, geth_file, pbkdf2_file])
def test_a_wrong_password_says_so(make: Any, tmp_path: Path) -> None:
    """The file is named, the password is not."""
    with pytest.raises(SignerError, match="the password does not open it") as caught:
        KeystoreSigner(written(tmp_path, make()), "hunter2")

    assert "hunter2" not in str(caught.value)


def test_a_missing_keystore_says_so(tmp_path: Path) -> None:
    """The path and the system's reason are in the error, for a directory too."""
    with pytest.raises(SignerError, match="cannot be read: No such file"):
        KeystoreSigner(tmp_path / "absent", "x")
    with pytest.raises(SignerError, match="cannot be read: Is a directory"):
        KeystoreSigner(tmp_path, "x")
