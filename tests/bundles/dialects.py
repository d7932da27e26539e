"""The same bundle in every dialect: what is sent for it, to be compared with committed bytes."""

import json
from pathlib import Path

import msgspec

from toolkit.bundles.auth import RelayAuth
from toolkit.bundles.profiles import PROFILES, Profile, Signature
from toolkit.bundles.relay import seal
from toolkit.bundles.requests import (
    Request,
    bundle_request,
    cancel_request,
    private_request,
    simulation_request,
)
from toolkit.chain.signer import LocalSigner
from toolkit.model.bundle import Bundle, Refund
from toolkit.model.chain import Address, Hash
from toolkit.model.tx import SignedTransaction, UnsignedTransaction

PATH = Path(__file__).with_name("golden") / "dialects.json"
KEY = "0x" + "11" * 32
UUID = "6f1f4a9e-5d54-4d8c-8f1e-0c6b4a5d2e11"
BLOCK = 21_000_000
PAYEE = Address("0x" + "aa" * 20)


def transactions() -> tuple[SignedTransaction, SignedTransaction]:
    """A transfer, and a transaction of type 4 that delegates its sender (EIP-7702)."""
    signer = LocalSigner(KEY)
    grant = signer.sign_authorization(chain_id=1, address=PAYEE, nonce=9)
    transfer = UnsignedTransaction(
        type=2, chain_id=1, nonce=7, to=PAYEE, value=1, data="0x", gas=100_000
    )
    delegating = msgspec.structs.replace(transfer, type=4, nonce=8, authorization_list=(grant,))
    return signer.sign_transaction_now(transfer), signer.sign_transaction_now(delegating)


def plain() -> Bundle:
    """The bundle with nothing but its block."""
    signed = transactions()
    return Bundle(
        transactions=tuple(one.raw for one in signed),
        hashes=tuple(one.hash for one in signed),
        target_block=BLOCK,
    )


def full(profile: Profile) -> Bundle:
    """The bundle with every option that a dialect has a word for."""
    dialect, first = profile.dialect, transactions()[0].hash
    refund = None
    if dialect.refund is not None:
        hashes = (first,) if dialect.refund.hashes else ()
        refund = Refund(percent=90, recipient=PAYEE, tx_hashes=hashes)
    second = (Hash("0x" + "cd" * 32),)
    return msgspec.structs.replace(
        plain(),
        reverting_hashes=(first,) if dialect.reverting_field else (),
        dropping_hashes=second if dialect.dropping_field else (),
        min_timestamp=1_730_000_000 if dialect.min_timestamp_field else None,
        max_timestamp=1_730_000_012 if dialect.max_timestamp_field else None,
        replacement_uuid=UUID if dialect.uuid_field else None,
        replacement_nonce=3 if dialect.nonce_field else None,
        refund=refund,
        builders=("flashbots", "titan") if dialect.builders_field else (),
    )


def requests(profile: Profile) -> dict[str, Request]:
    """Everything that a builder can be asked, by what it is for."""
    dialect = profile.dialect
    found = {
        "plain bundle": bundle_request(plain(), profile),
        "full bundle": bundle_request(full(profile), profile),
        "cancellation": cancel_request(UUID, profile, target_block=BLOCK, replacement_nonce=4),
    }
    if dialect.simulate_method:
        found["simulation"] = simulation_request(
            plain(), profile, state_block=BLOCK - 1, timestamp=1_730_000_012
        )
    if dialect.private_method:
        raw = transactions()[0].raw
        found["private transaction"] = private_request(raw, profile, max_block=BLOCK + 25)
    return found


async def written(profile: Profile) -> dict[str, dict[str, str | None]]:
    """The bytes of each request, with the signature of the golden key where one is wanted."""
    wanted = profile.signature is not Signature.NONE
    auth = RelayAuth(LocalSigner(KEY)) if wanted else None
    sealed = {name: await seal(one, auth=auth) for name, one in requests(profile).items()}
    return {name: {"body": one.body.decode(), "header": one.header} for name, one in sealed.items()}


async def everything() -> dict[str, dict[str, dict[str, str | None]]]:
    """What `golden/dialects.json` holds."""
    return {name: await written(row) for name, row in PROFILES.items()}


def load() -> dict[str, dict[str, dict[str, str | None]]]:
    """Read the committed bytes."""
    return dict(json.loads(PATH.read_text()))
