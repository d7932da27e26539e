"""A public transaction as a pool holds it, and how signed bytes become one."""

from collections.abc import Mapping

import msgspec

from toolkit.chain.blob import BLOB_GAS, decode_blob, is_blob
from toolkit.chain.signer import authorities, decode_transaction
from toolkit.model.chain import Address, Hash
from toolkit.model.intrinsic import calldata_floor, prepaid_gas
from toolkit.model.tx import DYNAMIC_FEE_TYPES, AccessListItem

BLOB_TYPE, SET_CODE_TYPE = 3, 4


class PooledTransaction(msgspec.Struct, frozen=True, kw_only=True):
    """One public transaction; fees in wei per unit of gas, `size` in bytes, `data` 0x hex.

    `tip_cap` and `fee_cap` are both the gas price of types 0 and 1. `raw` are the signed bytes;
    an impersonated account's transaction has a `call` (of `eth_sendTransaction`) instead.
    `chain_id` 0 has no replay protection (EIP-155); None is not checked. `authorizations` counts
    the tuples of type 4, `authorities` names the accounts whose signature on one is valid.
    """

    hash: Hash
    sender: Address
    nonce: int
    type: int
    gas: int
    fee_cap: int
    tip_cap: int
    blob_fee_cap: int = 0
    blobs: int = 0
    to: Address | None
    value: int
    size: int
    data: str = "0x"
    access_list: tuple[AccessListItem, ...] = ()
    authorizations: int = 0
    authorities: tuple[Address, ...] = ()
    chain_id: int | None = None
    raw: str | None = None
    call: Mapping[str, object] | None = None

    def __repr__(self) -> str:
        """Name the transaction without its bytes."""
        return f"PooledTransaction({self.hash}, {self.sender}, nonce={self.nonce})"

    @property
    def worst_cost_wei(self) -> int:
        """What the sender must hold: gas and blob gas at their caps, and the value."""
        return self.gas * self.fee_cap + self.blobs * BLOB_GAS * self.blob_fee_cap + self.value

    @property
    def is_blob(self) -> bool:
        """Whether it belongs to the blob pool."""
        return self.type == BLOB_TYPE

    @property
    def prepaid_gas(self) -> int:
        """Gas charged before the first instruction (EIP-2028, 2930, 3860, 7702)."""
        return prepaid_gas(
            data=self.data,
            creates=self.to is None,
            access_list=self.access_list,
            authorizations=self.authorizations,
        )

    @property
    def floor_gas(self) -> int:
        """The least gas its calldata pays (EIP-7623)."""
        return calldata_floor(self.data)

    def tip(self, base_fee_wei: int) -> int:
        """What a unit of gas pays the builder, in wei; negative if it cannot be mined."""
        return min(self.tip_cap, self.fee_cap - base_fee_wei)


class Held(msgspec.Struct, frozen=True):
    """A transaction in a pool, the block at which it came, and its place among all that came."""

    tx: PooledTransaction
    block: int
    order: int


def pooled(raw: str) -> PooledTransaction:
    """Read signed bytes of type 0 to 4, blobs with or without their sidecar.

    Raises:
        ConfigError: not a signed transaction; the message does not contain the bytes.
    """
    return _pooled_blob(raw) if is_blob(raw) else _pooled_plain(raw)


def _pooled_plain(raw: str) -> PooledTransaction:
    signed = decode_transaction(raw)
    tx = signed.unsigned
    return PooledTransaction(
        hash=signed.hash,
        sender=signed.sender,
        nonce=tx.nonce,
        type=tx.type,
        gas=tx.gas,
        fee_cap=tx.fee_cap,
        tip_cap=tx.max_priority_fee_per_gas if tx.type in DYNAMIC_FEE_TYPES else tx.gas_price,
        to=tx.to,
        value=tx.value,
        size=len(signed.raw) // 2 - 1,
        data=tx.data,
        access_list=tx.access_list,
        authorizations=len(tx.authorization_list),
        authorities=authorities(tx),
        chain_id=tx.chain_id,
        raw=signed.raw,
    )


def _pooled_blob(raw: str) -> PooledTransaction:
    tx = decode_blob(raw)
    return PooledTransaction(
        hash=tx.hash,
        sender=tx.sender,
        nonce=tx.nonce,
        type=BLOB_TYPE,
        gas=tx.gas,
        fee_cap=tx.max_fee_per_gas,
        tip_cap=tx.max_priority_fee_per_gas,
        blob_fee_cap=tx.max_fee_per_blob_gas,
        blobs=tx.blobs,
        to=tx.to,
        value=tx.value,
        size=len(raw) // 2 - 1,
        data=tx.data,
        access_list=tx.access_list,
        chain_id=tx.chain_id,
        raw=raw,
    )
