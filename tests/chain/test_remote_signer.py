import random
import secrets
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from tests.chain.remote import FakeSigner, fake_signer
from toolkit.chain.remote_signer import CLEF, ETH, Dialect, RemoteSigner
from toolkit.chain.signer import LocalSigner, recover_message
from toolkit.model.chain import Address, Hash
from toolkit.model.errors import ConfigError, RemoteSignerMismatch, SignerError
from toolkit.model.tx import AccessListItem, UnsignedTransaction

KEY = "0x" + "4c" * 32
HERE = LocalSigner(KEY)
PAYMENT = UnsignedTransaction(
    type=2,
    chain_id=1,
    nonce=7,
    to=Address("0x" + "22" * 20),
    value=10**18,
    data="0x1234",
    gas=50_000,
    max_fee_per_gas=30 * 10**9,
    max_priority_fee_per_gas=10**9,
    access_list=(
        AccessListItem(address=Address("0x" + "33" * 20), storage_keys=(Hash("0x" + "01" * 32),)),
    ),
)
GRANT = HERE.sign_authorization(chain_id=1, address=Address("0x" + "33" * 20), nonce=8)
LEGACY = msgspec.structs.replace(
    PAYMENT, type=0, gas_price=5, max_fee_per_gas=0, max_priority_fee_per_gas=0, access_list=()
)
KINDS = [
    PAYMENT,
    LEGACY,
    msgspec.structs.replace(LEGACY, to=None),
    msgspec.structs.replace(LEGACY, type=1),
    msgspec.structs.replace(LEGACY, type=1, access_list=PAYMENT.access_list),
    msgspec.structs.replace(PAYMENT, access_list=(), to=None),
    msgspec.structs.replace(PAYMENT, type=4, authorization_list=(GRANT,)),
]


@pytest.fixture
async def remote() -> AsyncIterator[FakeSigner]:
    """A remote signer that has the key."""
    async with fake_signer(KEY) as fake:
        yield fake


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("dialect", [ETH, CLEF], ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("unsigned", KINDS, ids=lambda tx: f"type{tx.type}")
async def test_each_type_is_signed_as_the_key_would_here(
    remote: FakeSigner, unsigned: UnsignedTransaction, dialect: Dialect, *, wrapped: bool
) -> None:
    """Bytes, hash and sender are those of a local signer, whether bare or with `tx` beside."""
    remote.wrapped = wrapped
    async with RemoteSigner(remote.url, HERE.address, timeout_s=30, dialect=dialect) as signer:
        signed = await signer.sign_transaction(unsigned)

    assert HERE.sign_transaction_now(unsigned) == signed
    assert [dialect.sign_transaction] == [method for method, _ in remote.asked]


async def test_upper_case_hex_is_the_same_transaction(remote: FakeSigner) -> None:
    """What was asked in capitals is compared by its bytes, and given back as it was asked."""
    loud = msgspec.structs.replace(PAYMENT, data="0xABCD")
    async with RemoteSigner(remote.url, HERE.address.upper().replace("X", "x")) as signer:
        signed = await signer.sign_transaction(loud)

    remote.fault = {"value": 1}
    async with RemoteSigner(remote.url, HERE.address, timeout_s=30) as signer:
        with pytest.raises(RemoteSignerMismatch, match="differs in value where"):
            await signer.sign_transaction(loud)
    assert loud == signed.unsigned
    assert HERE.address == signer.address == signed.sender


async def test_whatever_field_the_remote_changes_is_named(remote: FakeSigner) -> None:
    """200 random changes of one field: each is a mismatch that names the field and no calldata."""
    seed = secrets.randbits(64)
    print("seed", seed)
    rng = random.Random(seed)
    changes: dict[str, Any] = {
        "chain_id": lambda: rng.randint(2, 2**40),
        "nonce": lambda: rng.randint(8, 2**40),
        "to": lambda: rng.choice((None, Address("0x" + rng.randbytes(20).hex()))),
        "value": lambda: rng.getrandbits(50),
        "data": lambda: "0x" + rng.randbytes(5).hex(),
        "gas": lambda: rng.randint(50_001, 2**40),
        "max_fee_per_gas": lambda: rng.getrandbits(30),
        "max_priority_fee_per_gas": lambda: rng.getrandbits(20),
        "access_list": lambda: (),
    }
    async with RemoteSigner(remote.url, HERE.address, timeout_s=30) as signer:
        for _ in range(200):
            field = rng.choice(list(changes))
            remote.fault = {field: changes[field]()}
            with pytest.raises(RemoteSignerMismatch, match=f"differs in {field} ") as caught:
                await signer.sign_transaction(PAYMENT)

            assert "\n" not in str(caught.value)
            assert "1234" not in str(caught.value)


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        ("other key", RemoteSignerMismatch, "answered the signature of 0x"),
        ({"type": 0, "gas_price": 9, "access_list": ()}, RemoteSignerMismatch, "differs in type"),
        ("garbage", RemoteSignerMismatch, "bytes that are no signed transaction"),
        ("null", RemoteSignerMismatch, "answered no transaction"),
        ("list", RemoteSignerMismatch, "answered no transaction"),
        ("number", RemoteSignerMismatch, "answered no transaction"),
        ("error", SignerError, "refused eth_signTransaction: Authentication needed: password or"),
        ("500", SignerError, "cannot be asked: .* HTTP 500"),
        ("html", SignerError, "cannot be asked: .* not JSON"),
        ("cut", SignerError, "cannot be asked: connection to .* was lost"),
        ("silent", SignerError, r"did not answer eth_signTransaction within 0\.1 s"),
    ],
)
async def test_what_goes_wrong_is_one_clear_line_and_asked_once(
    remote: FakeSigner, fault: Any, kind: type[Exception], said: str
) -> None:
    """F34: each fault has its type and its line, and none is answered by asking again."""
    remote.fault = fault
    timeout_s = 0.1 if fault == "silent" else 30
    async with RemoteSigner(remote.url, HERE.address, timeout_s=timeout_s) as signer:
        with pytest.raises(kind, match=said) as caught:
            await signer.sign_transaction(PAYMENT)

    assert kind is type(caught.value)
    assert "\n" not in str(caught.value)
    assert 1 == len(remote.asked)


@pytest.mark.parametrize("chain_id", [5, 10])
async def test_an_old_style_signature_for_another_chain_is_refused(
    remote: FakeSigner, chain_id: int
) -> None:
    """Type 0 has its chain in the signature only: the same fields, and valid elsewhere."""
    remote.fault = {"chain_id": chain_id}
    async with RemoteSigner(remote.url, HERE.address, timeout_s=30) as signer:
        with pytest.raises(RemoteSignerMismatch, match="differs in chain_id "):
            await signer.sign_transaction(LEGACY)


async def test_a_late_answer_is_nobodys(remote: FakeSigner) -> None:
    """After a timeout the next signature is the next transaction's, not the late one's."""
    following = msgspec.structs.replace(PAYMENT, nonce=8)
    async with RemoteSigner(remote.url, HERE.address, timeout_s=0.1) as signer:
        remote.fault = "silent"
        with pytest.raises(SignerError, match="within"):
            await signer.sign_transaction(PAYMENT)
        remote.fault = None
        remote.silence.set()
        signer._timeout_s = 30
        signed = await signer.sign_transaction(following)

    assert HERE.sign_transaction_now(following) == signed


async def test_a_signer_that_is_not_there_is_named_without_its_password() -> None:
    """A refused connection names host and port only; so does the signer itself."""
    url = "http://user:hunter2@127.0.0.1:9/apikey"
    async with RemoteSigner(url, HERE.address) as signer:
        with pytest.raises(SignerError, match=r"127\.0\.0\.1:9 cannot be asked") as caught:
            await signer.sign_transaction(PAYMENT)

        for text in (str(caught.value), repr(signer)):
            assert "hunter2" not in text
            assert "apikey" not in text


async def test_what_cannot_be_signed_is_not_asked_for(remote: FakeSigner) -> None:
    """A field out of range or type 3 is a SignerError before anything leaves."""
    async with RemoteSigner(remote.url, HERE.address, timeout_s=30) as signer:
        for change in ({"type": 3}, {"value": -1}, {"nonce": 2**64}):
            with pytest.raises(SignerError, match="cannot be signed"):
                await signer.sign_transaction(msgspec.structs.replace(PAYMENT, **change))

    assert [] == remote.asked


@pytest.mark.parametrize("wrapped", [False, True])  # v as 0 or 1
@pytest.mark.parametrize("dialect", [ETH, CLEF], ids=lambda dialect: dialect.name)
async def test_messages_are_signed_as_the_key_would_here(
    remote: FakeSigner, dialect: Dialect, *, wrapped: bool
) -> None:
    """EIP-191 in the protocol's words; v is 27 or 28 however the remote writes it."""
    remote.wrapped = wrapped
    async with RemoteSigner(remote.url, HERE.address, timeout_s=30, dialect=dialect) as signer:
        for text in (b"", b"hello", bytes(range(256))):
            signature = await signer.sign_message(text)

            assert HERE.sign_message_now(text) == signature
            assert HERE.address == recover_message(text, signature)


@pytest.mark.parametrize(
    ("fault", "said"),
    [("other key", "the signature of 0x"), ("garbage", "no signature"), ("null", "no signature")],
)
async def test_a_wrong_message_signature_is_a_mismatch(
    remote: FakeSigner, fault: str, said: str
) -> None:
    """Another key's signature, or none, is never handed on."""
    remote.fault = fault
    async with RemoteSigner(remote.url, HERE.address, timeout_s=30) as signer:
        with pytest.raises(RemoteSignerMismatch, match=said):
            await signer.sign_message(b"hello")


@pytest.mark.parametrize(
    ("url", "account", "timeout_s", "said"),
    [
        ("ftp://x", HERE.address, 5, "remote signer's address has scheme 'ftp'"),
        ("http://x", "0x1234", 5, "40 hex digits"),
        ("http://x", HERE.address, 0, "timeout_s"),
        ("http://x", HERE.address, float("nan"), "timeout_s"),
        ("http://x", HERE.address, float("inf"), "timeout_s"),
    ],
)
def test_bad_settings_are_refused_at_once(
    url: str, account: str, timeout_s: float, said: str
) -> None:
    """Scheme, account and timeout are checked before anything is asked."""
    with pytest.raises(ConfigError, match=said):
        RemoteSigner(url, account, timeout_s=timeout_s)
