"""What scripts for the official client put into a bundle, as signed transactions."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from inspect import iscoroutinefunction
from typing import Any, Protocol

from toolkit.chain import encoding
from toolkit.chain.hashing import checksum, keccak
from toolkit.chain.node import Node
from toolkit.chain.signer import decode_transaction
from toolkit.chain.tx_params import read_params
from toolkit.model.bundle import Bundle
from toolkit.model.chain import Address, address, hash32
from toolkit.model.checks import require_integer, require_text, shown
from toolkit.model.errors import ConfigError
from toolkit.model.tx import (
    DYNAMIC_FEE_TYPES,
    SignedTransaction,
    TransactionRequest,
    UnsignedTransaction,
)
from toolkit.tx.preflight import require_cost

Entry = Mapping[str, Any]
"""`{"signed_transaction"}`, `{"signer", "transaction"}`, or a transaction as a node tells it."""

_OPTIONS = {
    "minTimestamp": "min_timestamp",
    "maxTimestamp": "max_timestamp",
    "revertingTxHashes": "reverting_hashes",
    "replacementUuid": "replacement_uuid",
}
_SIGNATURE = ("r", "s", "v")
_EIP_155 = 35  # v is 0 or 1, or this and parity and twice the chain id
# Of a transaction as a node tells it, what was signed.
_SIGNED_FIELDS = frozenset(
    {
        *("accessList", "authorizationList", "chainId", "gas", "input", "nonce", "to", "type"),
        *("gasPrice", "maxFeePerGas", "maxPriorityFeePerGas", "value"),
    }
)


class Account(Protocol):
    """Whoever signs: an eth-account account, or a `Signer`."""

    @property
    def address(self) -> str:
        """Whose transactions it signs."""
        ...

    def sign_transaction(self, transaction: Any) -> Any:
        """Sign `TxParams`, or as a `Signer` does."""
        ...


class Desk:
    """Signs what scripts have not signed yet, as the official client does.

    Args:
        node: tells nonces and gas that are not named.
        chain_id: of everything signed here.
        check: raises ConfigError for an account that must not sign here.
        max_cost_wei: worst-case cost of what is signed for one bundle, gas limits x fee caps.
    """

    def __init__(
        self,
        node: Node,
        *,
        chain_id: int,
        check: Callable[[Address], Awaitable[None]],
        max_cost_wei: int,
    ) -> None:
        self._node = node
        self._chain_id = chain_id
        self._check = check
        self._max_cost_wei = max_cost_wei

    async def sign(self, entries: Sequence[Entry]) -> tuple[SignedTransaction, ...]:
        """Sign a bundle in order.

        A nonce that is not named follows the account's last one in the bundle, or else is the
        chain's count; gas that is not named is the node's estimate on the newest block.

        Raises:
            ConfigError: no such entry, fees that are not named, a key that must not sign here.
            FeeLimitReached: above `max_cost_wei`.
            CallReverted, InsufficientFunds: gas cannot be estimated.
        """
        following: dict[Address, int] = {}
        paid: list[UnsignedTransaction] = []
        found: list[SignedTransaction] = []
        for entry in _listed(entries):
            if "signed_transaction" in entry:
                signed = decode_transaction(hex_of(entry["signed_transaction"]))
            elif "signer" in entry:
                unsigned = await self._completed(entry, following)
                paid.append(unsigned)
                require_cost(paid, tip_wei=0, max_cost_wei=self._max_cost_wei)
                signed = await _signed(entry, unsigned)
            elif all(name in entry for name in _SIGNATURE):
                signed = _as_told(entry, chain_id=self._chain_id)
            else:
                raise ConfigError(
                    "a bundle's entry has neither signed_transaction, nor signer and transaction,"
                    " nor v, r and s: give one of them"
                )
            if signed.unsigned.chain_id not in {0, self._chain_id}:
                raise ConfigError(
                    f"transaction {signed.hash} is signed for chain {signed.unsigned.chain_id},"
                    f" not for chain {self._chain_id}"
                )
            following[signed.sender] = signed.unsigned.nonce + 1
            found.append(signed)
        return tuple(found)

    async def _completed(
        self, entry: Entry, following: Mapping[Address, int]
    ) -> UnsignedTransaction:
        params, sender = entry.get("transaction"), _address_of(entry["signer"])
        if not isinstance(params, Mapping):
            raise ConfigError("a bundle's entry with a signer needs a transaction: give TxParams")
        await self._check(sender)
        request, nonce = read_params(params, chain_id=self._chain_id)
        if request.sender not in {None, sender}:
            raise ConfigError(f"transaction of {request.sender} is to be signed by {sender}")
        if nonce is None:
            known = following.get(sender)
            nonce = await self._node.nonce(sender) if known is None else known
        gas = request.gas or await self._node.estimate_gas(request, sender=sender)
        return _unsigned(request, nonce=nonce, gas=gas, chain_id=self._chain_id)


def hex_of(given: object) -> str:
    """Bytes or 0x hex as 0x hex.

    Raises:
        ConfigError: neither. The message does not repeat what may be private.
    """
    if isinstance(given, bytes | bytearray):
        return "0x" + bytes(given).hex()
    if isinstance(given, str) and given.startswith("0x"):
        return given.lower()
    raise ConfigError(f"transaction or hash is a {type(given).__name__}: give bytes or 0x hex")


def bundle_of(signed: Sequence[SignedTransaction], block: int, opts: Mapping[str, Any]) -> Bundle:
    """The bundle with what its options say; what the official client sends for unset says nothing.

    Raises:
        ConfigError: a block that is no number, or an option that does not exist.
    """
    require_integer("target_block_number", block)
    unknown = [name for name in opts if name not in _OPTIONS]
    if unknown:
        raise ConfigError(f"option {unknown[0]!r} is not known; there are {', '.join(_OPTIONS)}")
    set_ones = {_OPTIONS[name]: value for name, value in opts.items() if value}
    for name in ("min_timestamp", "max_timestamp"):
        if name in set_ones:
            require_integer(name, set_ones[name])
    if "replacement_uuid" in set_ones:
        require_text("replacement uuid", set_ones["replacement_uuid"])
    if "reverting_hashes" in set_ones:
        hashes = [hash32(hex_of(one)) for one in set_ones["reverting_hashes"]]
        set_ones["reverting_hashes"] = tuple(hashes)
    return Bundle(
        transactions=tuple(one.raw for one in signed),
        hashes=tuple(one.hash for one in signed),
        target_block=block,
        **set_ones,
    )


def _listed(entries: object) -> Sequence[Entry]:
    if isinstance(entries, str | bytes) or not isinstance(entries, Sequence) or not entries:
        raise ConfigError(f"bundle is a {type(entries).__name__}: give a list of transactions")
    for each in entries:
        if not isinstance(each, Mapping):
            raise ConfigError(f"a bundle's entry is a {type(each).__name__}: give dictionaries")
    return entries


def _address_of(signer: object) -> Address:
    if not hasattr(signer, "address") or not hasattr(signer, "sign_transaction"):
        raise ConfigError(
            f"signer of a bundle's entry is a {type(signer).__name__}: give an account"
        )
    return address(str(signer.address))


async def _signed(entry: Entry, unsigned: UnsignedTransaction) -> SignedTransaction:
    """Let the entry's signer sign; what comes of it is believed by its bytes only."""
    signer: Account = entry["signer"]
    if iscoroutinefunction(signer.sign_transaction):  # a `Signer`; the others take `TxParams`
        raw = (await signer.sign_transaction(unsigned)).raw
    else:
        try:
            answer = signer.sign_transaction(_filled(entry["transaction"], unsigned))
        except (TypeError, ValueError) as error:  # eth-account's words for a field it refuses
            raise ConfigError(f"signer of a bundle's entry refuses: {shown(str(error))}") from None
        raw = getattr(answer, "raw_transaction", None) or answer.rawTransaction
    signed = decode_transaction(hex_of(raw))
    if signed.sender != _address_of(signer) or signed.unsigned != unsigned:
        raise ConfigError(f"signer {signed.sender} signed something else than it was given")
    return signed


def _filled(params: Mapping[str, Any], unsigned: UnsignedTransaction) -> dict[str, Any]:
    """The caller's own words, and what was filled in.

    Of eth-account's: addresses have checksums, and there is no type 0.
    """
    unasked = {"from", "type"} | {name for name, value in params.items() if value is None}
    asked = {name: value for name, value in params.items() if name not in unasked}
    kind = {"type": unsigned.type} if unsigned.type else {}
    filled = {"nonce": unsigned.nonce, "gas": unsigned.gas, "chainId": unsigned.chain_id}
    target = {"to": checksum(unsigned.to)} if unsigned.to else {}
    return asked | kind | target | filled


def _unsigned(
    request: TransactionRequest, *, nonce: int, gas: int, chain_id: int
) -> UnsignedTransaction:
    cap, tip = request.max_fee_per_gas, request.max_priority_fee_per_gas
    dynamic = request.type in DYNAMIC_FEE_TYPES
    if cap is None or (dynamic and tip is None):
        raise ConfigError(
            "transaction has no fees: give maxFeePerGas and maxPriorityFeePerGas, or gasPrice"
        )
    return UnsignedTransaction(
        type=request.type,
        chain_id=chain_id,
        nonce=nonce,
        to=request.to,
        value=request.value,
        data=request.data,
        gas=gas,
        max_fee_per_gas=cap if dynamic else 0,
        max_priority_fee_per_gas=(tip or 0) if dynamic else 0,
        gas_price=0 if dynamic else cap,
        access_list=request.access_list,
        authorization_list=request.authorization_list,
    )


def _as_told(told: Entry, *, chain_id: int) -> SignedTransaction:
    """The bytes of a pending transaction from what a node tells of it; its hash must be theirs."""
    fields = {name: value for name, value in told.items() if name in _SIGNED_FIELDS}
    if fields.get("maxFeePerGas") is not None:
        fields.pop("gasPrice", None)  # nodes tell there what it would pay now
    request, nonce = read_params(fields, chain_id=chain_id)
    unsigned = _unsigned(request, nonce=nonce or 0, gas=request.gas or 0, chain_id=chain_id)
    r, s, v = (_number(told, name) for name in _SIGNATURE)
    protected = unsigned.type != encoding.LEGACY or v >= _EIP_155
    if not protected:
        raise ConfigError("transaction is signed for every chain: give its bytes instead")
    parity = v if v <= 1 else (v - _EIP_155) % 2
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((parity,))
    raw = encoding.signed_bytes(unsigned, encoding.payload(unsigned), signature)
    if "hash" in told and hex_of(told["hash"]) != "0x" + keccak(raw).hex():
        raise ConfigError(
            f"transaction {hex_of(told['hash'])} is not what its fields say: give its bytes"
        )
    return decode_transaction("0x" + raw.hex())


def _number(told: Entry, name: str) -> int:
    value = told[name]
    try:
        if isinstance(value, bytes):
            number = int.from_bytes(value, "big")
        else:
            number = int(value, 16) if isinstance(value, str) else int(value)
        number.to_bytes(32, "big")
    except (ValueError, TypeError, OverflowError):
        raise ConfigError(f"{name} of a transaction is {shown(value)}: give a number") from None
    return number
