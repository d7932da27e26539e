"""A key that is kept elsewhere: asked over JSON-RPC, and believed only after verification."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import msgspec

from toolkit.chain import encoding, wire
from toolkit.chain.rpc import open_rpc
from toolkit.chain.signer import decode_transaction, recover_message
from toolkit.chain.tx_params import access_objects, authorization_objects
from toolkit.model.chain import Address, address
from toolkit.model.checks import require_seconds, shown
from toolkit.model.errors import (
    ConfigError,
    NodeError,
    NodeTimeout,
    RemoteSignerMismatch,
    RpcError,
    SignerError,
)
from toolkit.model.tx import DYNAMIC_FEE_TYPES, SignedTransaction, UnsignedTransaction

_SHOWN = 200
_SIGNATURE_CHARS = 132
_NAMES = ("type", "chain_id", "nonce", "to", "value", "data", "gas", "access_list")
_FEES = ("gas_price", "max_fee_per_gas", "max_priority_fee_per_gas", "authorization_list")


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """How a remote signer is asked: the two methods and the message's parameters."""

    name: str
    sign_transaction: str
    sign_message: str
    message_params: Callable[[Address, str], list[object]]


# https://docs.web3signer.consensys.io/reference/api/json-rpc (eth_signTransaction, eth_sign); geth
# answers the same methods from its own accounts or from clef behind it (`--signer`).
ETH = Dialect(
    name="eth",
    sign_transaction="eth_signTransaction",
    sign_message="eth_sign",
    message_params=lambda account, text: [account, text],
)
# https://geth.ethereum.org/docs/tools/clef/apis (external API)
CLEF = Dialect(
    name="clef",
    sign_transaction="account_signTransaction",
    sign_message="account_signData",
    message_params=lambda account, text: ["text/plain", account, text],
)


class RemoteSigner:
    """Signs by asking web3signer, geth or clef; what comes back is checked before anyone uses it.

    Each signature is asked for once. A repetition could come after the fields have changed, and
    then two different transactions of one nonce would be signed; so whoever wants another try
    says so by calling again. A signature whose answer was lost is known to the remote only.

    Args:
        url: http(s) or ws(s); a user and password in it are used, and never shown.
        account: whose key is asked to sign.
        timeout_s: how long one signature may take; a signer that asks a person needs minutes.
        dialect: ETH for web3signer and for geth, CLEF for clef itself.

    Raises:
        ConfigError: the address of the signer or of the account cannot be read, or the timeout is
            not above zero.
    """

    def __init__(
        self, url: str, account: str, *, timeout_s: float = 5.0, dialect: Dialect = ETH
    ) -> None:
        require_seconds("timeout_s of a remote signer", timeout_s)
        if not isinstance(dialect, Dialect):
            raise ConfigError(f"dialect is {shown(dialect)}; give ETH or CLEF")
        self.address = address(account)
        self._rpc = open_rpc(url, timeout_s=timeout_s, what="the remote signer's address")
        self._dialect = dialect
        self._timeout_s = timeout_s
        self._where = f"remote signer at {wire.public_url(url)}"

    def __repr__(self) -> str:
        """Name the account and the host, without the credentials to reach it."""
        return f"RemoteSigner({self.address}, {wire.public_url(self._rpc.url)})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; a later signature opens a new one."""
        await self._rpc.close()

    async def sign_transaction(self, unsigned: UnsignedTransaction) -> SignedTransaction:
        """Have a transaction signed, and verify every field, the chain and the signature.

        Raises:
            SignerError: it cannot be signed at all; or the signer refused, was not reached, or did
                not answer in time. Nothing of it was sent.
            RemoteSignerMismatch: something else came back: other fields, another key's signature,
                or no transaction.
        """
        wanted = encoding.payload(unsigned)  # what cannot be encoded is not asked for
        answer = await self._ask(self._dialect.sign_transaction, [_asked(unsigned, self.address)])
        raw = answer.get("raw") if isinstance(answer, dict) else answer
        if not isinstance(raw, str):
            raise self._mismatch(unsigned, "no transaction")
        try:
            signed = decode_transaction(raw)
        except ConfigError:
            raise self._mismatch(unsigned, "bytes that are no signed transaction") from None
        found = signed.unsigned
        same = (found.type, found.chain_id) == (unsigned.type, unsigned.chain_id)
        if not same or encoding.payload(found) != wanted:
            what = ", ".join(_differing(unsigned, found))
            raise self._mismatch(unsigned, f"another transaction: it differs in {what}")
        if signed.sender != self.address:
            raise self._mismatch(unsigned, f"the signature of {signed.sender}")
        # Upper-case hex in the request is the same transaction; the caller's form is kept.
        return msgspec.structs.replace(signed, unsigned=unsigned)

    async def sign_message(self, text: bytes) -> str:
        """Have `text` signed per EIP-191, and verify it; r, s and v (27 or 28) as 0x hex.

        Raises:
            SignerError, RemoteSignerMismatch: as `sign_transaction`.
        """
        params = self._dialect.message_params(self.address, "0x" + text.hex())
        answer = await self._ask(self._dialect.sign_message, params)
        signature = answer.lower() if isinstance(answer, str) else ""
        try:
            sized = len(signature) == _SIGNATURE_CHARS
            signer = recover_message(text, signature) if sized else None
        except SignerError:
            signer = None
        if signer != self.address:
            whose = "no signature" if signer is None else f"the signature of {signer}"
            raise RemoteSignerMismatch(
                f"{self._where} answered {whose} for a message that {self.address} was to sign"
            )
        v = int(signature[-2:], 16)
        return f"{signature[:-2]}{v if v >= 27 else v + 27:02x}"  # noqa: PLR2004 - 0 and 1 are old

    async def _ask(self, method: str, params: list[object]) -> Any:
        """Ask once: no signing method is one that the client below would repeat."""
        try:
            return await self._rpc.call(method, params, timeout_s=self._timeout_s)
        except NodeTimeout:
            raise SignerError(
                f"{self._where} did not answer {method} within {self._timeout_s:g} s; nothing was"
                f" sent: see that it is up and approves by itself, or raise timeout_s"
            ) from None
        except RpcError as error:
            said = _line(error.message)
            raise SignerError(f"{self._where} refused {method}: {said}") from None
        except NodeError as error:
            raise SignerError(f"{self._where} cannot be asked: {_line(str(error))}") from None

    def _mismatch(self, unsigned: UnsignedTransaction, what: str) -> RemoteSignerMismatch:
        return RemoteSignerMismatch(
            f"{self._where} answered {what} where {self.address} was to sign nonce"
            f" {unsigned.nonce} on chain {unsigned.chain_id}; nothing was sent"
        )


def _asked(tx: UnsignedTransaction, sender: Address) -> dict[str, object]:
    """The transaction as the execution APIs write one; every field is named, none left to fill."""
    fields: dict[str, object] = {
        "from": sender,
        "nonce": hex(tx.nonce),
        "gas": hex(tx.gas),
        "value": hex(tx.value),
        "data": tx.data,
        "chainId": hex(tx.chain_id),
    }
    if tx.to is not None:
        fields["to"] = tx.to
    if tx.type in DYNAMIC_FEE_TYPES:
        fields["maxFeePerGas"] = hex(tx.max_fee_per_gas)
        fields["maxPriorityFeePerGas"] = hex(tx.max_priority_fee_per_gas)
    else:
        fields["gasPrice"] = hex(tx.gas_price)
    if tx.type != encoding.LEGACY:  # geth tells types apart by which fields are there
        fields["accessList"] = access_objects(tx.access_list)
    if tx.authorization_list:
        fields["authorizationList"] = authorization_objects(tx.authorization_list)
    return fields


def _differing(asked: UnsignedTransaction, found: UnsignedTransaction) -> list[str]:
    """Names, without values: calldata may be private."""
    both = [(name, getattr(asked, name), getattr(found, name)) for name in _NAMES + _FEES]
    names = [name for name, one, other in both if str(one).lower() != str(other).lower()]
    return names or ["its encoding"]


def _line(text: str) -> str:
    """A stranger's words in one line of bearable length."""
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else line[:_SHOWN] + "..."
