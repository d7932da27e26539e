"""web3's `TxParams` dictionaries as requests, and back; a key that we would ignore is an error."""

from collections.abc import Mapping, Sequence
from typing import Any

from toolkit.model.chain import Address, address, hash32
from toolkit.model.checks import shown
from toolkit.model.errors import ConfigError
from toolkit.model.tx import (
    DYNAMIC_FEE_TYPES,
    AccessListItem,
    Authorization,
    SignedTransaction,
    TransactionRequest,
)

_KNOWN = frozenset(
    {
        "accessList",
        "authorizationList",
        "chainId",
        "data",
        "from",
        "gas",
        "gasPrice",
        "input",
        "maxFeePerGas",
        "maxPriorityFeePerGas",
        "nonce",
        "to",
        "type",
        "value",
    }
)
_WORD = 2**256 - 1
_ACCESS_LIST, _DYNAMIC_FEE, _SET_CODE = 1, 2, 4


def read_params(
    params: Mapping[str, Any], *, chain_id: int
) -> tuple[TransactionRequest, int | None]:
    """Turn `TxParams` into a request and the nonce they name, if they name one.

    Quantities may be integers or 0x hex, data bytes or 0x hex, as web3 passes them around.

    Raises:
        ConfigError: an unknown key, a malformed value, another chain's id, data and input that
            differ, or two kinds of fees.
    """
    unknown = [name for name in params if name not in _KNOWN]
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise ConfigError(
            f"transaction parameter {shown(unknown[0])}{more} is not known: leave it out; known are"
            f" {', '.join(sorted(_KNOWN))}"
        )
    given = _quantity(params, "chainId")
    if given is not None and given != chain_id:
        raise ConfigError(f"transaction is for chain {given}, the session is on chain {chain_id}")
    price = _quantity(params, "gasPrice")
    cap, tip = _quantity(params, "maxFeePerGas"), _quantity(params, "maxPriorityFeePerGas")
    if price is not None and (cap is not None or tip is not None):
        raise ConfigError("transaction names gasPrice beside maxFeePerGas: give one kind of fees")
    items = _access_list(params.get("accessList") or ())
    grants = _authorizations(params.get("authorizationList") or ())
    kind = _quantity(params, "type")
    if kind is None:
        legacy = _ACCESS_LIST if items else 0
        kind = _DYNAMIC_FEE if price is None else legacy
        kind = _SET_CODE if grants else kind
    if (price if kind in DYNAMIC_FEE_TYPES else cap or tip) is not None:
        raise ConfigError(f"transaction of type {kind} has the fees of another type")
    request = TransactionRequest(
        type=kind,
        to=_account(params.get("to")),
        sender=_account(params.get("from")),
        data=_data(params),
        value=_quantity(params, "value") or 0,
        gas=_quantity(params, "gas"),
        max_fee_per_gas=cap if price is None else price,
        max_priority_fee_per_gas=tip,
        access_list=items,
        authorization_list=grants,
    )
    return request, _quantity(params, "nonce")


def request_of(signed: SignedTransaction) -> TransactionRequest:
    """What a signed transaction asks for, without its nonce."""
    unsigned = signed.unsigned
    return TransactionRequest(
        type=unsigned.type,
        to=unsigned.to,
        sender=signed.sender,
        data=unsigned.data,
        value=unsigned.value,
        gas=unsigned.gas,
        max_fee_per_gas=unsigned.fee_cap,
        max_priority_fee_per_gas=(
            unsigned.max_priority_fee_per_gas if unsigned.type in DYNAMIC_FEE_TYPES else None
        ),
        access_list=unsigned.access_list,
        authorization_list=unsigned.authorization_list,
    )


def access_objects(items: Sequence[AccessListItem]) -> list[dict[str, object]]:
    """An access list as the execution APIs write it."""
    return [{"address": item.address, "storageKeys": list(item.storage_keys)} for item in items]


def authorization_objects(grants: Sequence[Authorization]) -> list[dict[str, object]]:
    """Authorizations as the execution APIs write them."""
    return [
        {
            "chainId": hex(grant.chain_id),
            "address": grant.address,
            "nonce": hex(grant.nonce),
            "yParity": hex(grant.y_parity),
            "r": hex(grant.r),
            "s": hex(grant.s),
        }
        for grant in grants
    ]


def _quantity(params: Mapping[str, Any], name: str) -> int | None:
    value = params.get(name)
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = int(value, 16) if value.startswith("0x") else None
        except ValueError:
            value = None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _WORD:
        raise ConfigError(
            f"transaction parameter {name} is {shown(params[name])}: give a non-negative integer"
            f" of 256 bits in the smallest unit, or 0x hex"
        )
    return value


def _account(value: object) -> Address | None:
    if value is None or value in ("", "0x", b""):
        return None
    if isinstance(value, bytes | bytearray):
        return address("0x" + bytes(value).hex())
    return address(shown(value) if isinstance(value, int) else str(value))


def _data(params: Mapping[str, Any]) -> str:
    data, other = _hex(params.get("data")), _hex(params.get("input"))
    if data is not None and other is not None and data != other:
        raise ConfigError("transaction parameters data and input differ: give one of them")
    return data or other or "0x"


def _hex(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bytes | bytearray):
        return "0x" + bytes(value).hex()
    text = value.lower() if isinstance(value, str) else ""
    try:
        if text.startswith("0x"):
            return "0x" + bytes.fromhex(text[2:]).hex()
    except ValueError:
        pass  # safe because it is reported below
    raise ConfigError("transaction parameter data is neither bytes nor 0x hex")


def _access_list(items: Sequence[Mapping[str, Any]]) -> tuple[AccessListItem, ...]:
    try:
        return tuple(
            AccessListItem(
                address=address(item["address"]),
                storage_keys=tuple(
                    hash32("0x" + key.hex() if isinstance(key, bytes) else key)
                    for key in item["storageKeys"]
                ),
            )
            for item in items
        )
    except (KeyError, TypeError, AttributeError):
        raise ConfigError(
            "transaction parameter accessList is not a list of address and storageKeys"
        ) from None


def _authorizations(items: Sequence[Any]) -> tuple[Authorization, ...]:
    """Signed authorizations as eth-account and nodes give them: its own model, or mappings."""
    try:
        listed = [item if isinstance(item, Mapping) else _dumped(item) for item in items]
        return tuple(
            Authorization(
                chain_id=_given(item, "chainId"),
                address=address(str(_hex(item["address"]))),
                nonce=_given(item, "nonce"),
                y_parity=_given(item, "yParity"),
                r=_given(item, "r"),
                s=_given(item, "s"),
            )
            for item in listed
        )
    except (KeyError, TypeError, AttributeError):
        raise ConfigError(
            "transaction parameter authorizationList is not a list of chainId, address, nonce,"
            " yParity, r and s"
        ) from None


def _dumped(item: Any) -> Mapping[str, Any]:
    dumped: Mapping[str, Any] = item.model_dump(by_alias=True)
    return dumped


def _given(item: Mapping[str, Any], name: str) -> int:
    """A quantity that must be there: a chain id left out would be every chain's."""
    value = _quantity(item, name)
    if value is None:
        raise KeyError(name)
    return value
