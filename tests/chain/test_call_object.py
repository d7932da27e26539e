"""What a node is asked to run is what was signed."""

from typing import Any

import msgspec
import pytest

from toolkit.chain.call_object import call_object
from toolkit.chain.signer import LocalSigner
from toolkit.model.chain import Address, Hash
from toolkit.model.tx import AccessListItem, UnsignedTransaction

SIGNER = LocalSigner("0x" + "11" * 32)
OTHER = Address("0x" + "aa" * 20)
COMMON = {"from": SIGNER.address, "gas": "0x5208", "value": "0x7", "input": "0x12", "nonce": "0x3"}
GRANT = SIGNER.sign_authorization(chain_id=1, address=OTHER, nonce=4)
KEY = Hash("0x" + "01" * 32)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"type": 0, "gas_price": 9}, {"to": OTHER, "gasPrice": "0x9"}),
        (
            {
                "type": 1,
                "gas_price": 9,
                "access_list": (AccessListItem(address=OTHER, storage_keys=(KEY,)),),
            },
            {
                "to": OTHER,
                "gasPrice": "0x9",
                "accessList": [{"address": OTHER, "storageKeys": [KEY]}],
            },
        ),
        (
            {"type": 2, "max_fee_per_gas": 9, "max_priority_fee_per_gas": 2, "to": None},
            {"maxFeePerGas": "0x9", "maxPriorityFeePerGas": "0x2"},
        ),
        (
            {"type": 4, "max_fee_per_gas": 9, "authorization_list": (GRANT,)},
            {
                "to": OTHER,
                "maxFeePerGas": "0x9",
                "maxPriorityFeePerGas": "0x0",
                "authorizationList": [
                    {
                        "chainId": "0x1",
                        "address": OTHER,
                        "nonce": "0x4",
                        "yParity": hex(GRANT.y_parity),
                        "r": hex(GRANT.r),
                        "s": hex(GRANT.s),
                    }
                ],
            },
        ),
    ],
)
def test_each_type_is_written_with_its_own_fields(
    fields: dict[str, Any], expected: dict[str, object]
) -> None:
    """A creation has no target, an old type a gas price, and lists are there only if they are."""
    plain = UnsignedTransaction(
        type=2, chain_id=1, nonce=3, to=OTHER, value=7, data="0x12", gas=21_000
    )

    signed = SIGNER.sign_transaction_now(msgspec.structs.replace(plain, **fields))

    assert COMMON | expected == call_object(signed)
