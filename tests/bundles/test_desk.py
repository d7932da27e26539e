"""Entries of a script's bundle, signed as by the official client, or refused in one line."""

from collections.abc import Callable
from typing import Any

import pytest
from eth_account import Account

from toolkit.bundles.desk import Desk, bundle_of
from toolkit.chain.node import Node
from toolkit.chain.rpc import open_rpc
from toolkit.chain.signer import LocalSigner
from toolkit.model.chain import Address
from toolkit.model.errors import ConfigError, FeeLimitReached
from toolkit.model.tx import AccessListItem, SignedTransaction
from toolkit.model.units import ether, gwei

KEY = "0x" + "11" * 32
PAYEE = "0x" + "42" * 20
FEES = {"maxFeePerGas": gwei(30), "maxPriorityFeePerGas": gwei(1)}
Transfer = Callable[..., SignedTransaction]


@pytest.fixture
def desk() -> Desk:
    """A desk whose node is never asked: nonces and gas are named."""
    return made()


def made(*, refused: str = "", max_cost_wei: int = ether("0.05")) -> Desk:
    async def check(account: Address) -> None:
        if account == refused:
            raise ConfigError(f"{account} must not sign")

    node = Node(open_rpc("http://127.0.0.1:9"))
    return Desk(node, chain_id=1, check=check, max_cost_wei=max_cost_wei)


def own(**fields: Any) -> dict[str, Any]:
    params = {"to": PAYEE, "value": 1, "gas": 21_000, "nonce": 0, **FEES, **fields}
    return {"signer": Account.from_key(KEY), "transaction": params}


def told(signed: SignedTransaction, **fields: Any) -> dict[str, Any]:
    """A transaction as web3 gives it: numbers, checksums and byte strings."""
    read = Account.from_key(KEY).sign_transaction(params_of(signed))
    assert signed.raw == "0x" + read.raw_transaction.hex()
    return {
        **{name: value for name, value in params_of(signed).items() if name != "data"},
        "input": signed.unsigned.data,
        "from": signed.sender,
        "hash": signed.hash,
        "blockNumber": None,
        "r": read.r.to_bytes(32, "big"),
        "s": hex(read.s),
        "v": read.v,
        **fields,
    }


def params_of(signed: SignedTransaction) -> dict[str, Any]:
    unsigned = signed.unsigned
    fees: dict[str, Any] = {"gasPrice": unsigned.gas_price}
    if unsigned.type == 2:
        fees = {
            "maxFeePerGas": unsigned.max_fee_per_gas,
            "maxPriorityFeePerGas": unsigned.max_priority_fee_per_gas,
        }
    if unsigned.type:
        listed = [
            {"address": item.address, "storageKeys": list(item.storage_keys)}
            for item in unsigned.access_list
        ]
        fees |= {"type": unsigned.type, "accessList": listed}
    return {
        "chainId": unsigned.chain_id,
        "nonce": unsigned.nonce,
        "to": PAYEE,
        "value": unsigned.value,
        "data": unsigned.data,
        "gas": unsigned.gas,
        **fees,
    }


ITEM = AccessListItem(address=Address(PAYEE), storage_keys=())
KINDS: dict[str, dict[str, Any]] = {
    "legacy": {"type": 0, "gas_price": gwei(9), "max_fee_per_gas": 0},
    "access list": {"type": 1, "gas_price": gwei(9), "access_list": (ITEM,)},
    "dynamic fee": {"type": 2, "data": "0x1234", "gas": 30_000},
}


@pytest.mark.parametrize("fields", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("more", [{}, {"hash": None}], ids=["with its hash", "without"])
async def test_what_a_node_tells_gives_the_bytes(
    desk: Desk, transfer: Transfer, fields: dict[str, Any], more: dict[str, Any]
) -> None:
    """A transaction that a node told, of each type, is the transaction that was signed."""
    legacy = {} if fields["type"] == 2 else {"max_fee_per_gas": 0, "max_priority_fee_per_gas": 0}
    signed = transfer(LocalSigner(KEY), to=Address(PAYEE), **(fields | legacy))
    entry = told(signed, **({"gasPrice": gwei(5)} if fields["type"] == 2 else {}))
    if more:
        del entry["hash"]

    assert (signed,) == await desk.sign([entry])


async def test_changed_fields_are_not_believed(desk: Desk, transfer: Transfer) -> None:
    """A told transaction whose fields do not give its hash is refused."""
    entry = told(transfer(LocalSigner(KEY), to=Address(PAYEE)))

    with pytest.raises(ConfigError, match="is not what its fields say"):
        await desk.sign([entry | {"value": 2}])
    with pytest.raises(ConfigError, match="r of a transaction is 'x': give a number"):
        await desk.sign([entry | {"r": "x"}])
    with pytest.raises(ConfigError, match="s of a transaction is -1: give a number"):
        await desk.sign([entry | {"s": -1}])


async def test_unprotected_transaction_is_refused_as_told(desk: Desk, transfer: Transfer) -> None:
    """Without replay protection a legacy transaction cannot be told from one of another chain."""
    legacy = {"max_fee_per_gas": 0, "max_priority_fee_per_gas": 0, "gas_price": 1}
    signed = transfer(LocalSigner(KEY), **(legacy | {"type": 0, "to": Address(PAYEE)}))

    with pytest.raises(ConfigError, match="signed for every chain"):
        await desk.sign([told(signed) | {"v": 27}])


async def test_keys_of_either_kind_sign_the_same(desk: Desk) -> None:
    """An eth-account key and a signer of ours make the same bytes of the same transaction."""
    legacy = {"gasPrice": gwei(9), "maxFeePerGas": None, "maxPriorityFeePerGas": None}
    typed = {"accessList": [{"address": PAYEE, "storageKeys": ["0x" + "00" * 32]}]}
    for fields in ({}, {"type": 2}, {"type": "0x2", "from": own()["signer"].address}, typed):
        theirs = own(**fields)
        ours = theirs | {"signer": LocalSigner(KEY)}
        assert await desk.sign([theirs]) == await desk.sign([ours])
    theirs = own(**legacy)
    (signed,) = await desk.sign([theirs])

    assert (signed,) == await desk.sign([theirs | {"signer": LocalSigner(KEY)}])
    assert (0, gwei(9)) == (signed.unsigned.type, signed.unsigned.gas_price)


async def test_nonces_count_on_behind_every_kind_of_entry(desk: Desk, transfer: Transfer) -> None:
    """What is signed already counts as well; a nonce that is named is taken as it is."""
    entry = own()
    del entry["transaction"]["nonce"]
    before = transfer(LocalSigner(KEY), nonce=4)

    signed = await desk.sign([{"signed_transaction": before.raw}, entry, own(nonce=9), entry])

    assert [4, 5, 9, 10] == [one.unsigned.nonce for one in signed]
    assert "nonce" not in entry["transaction"]


async def test_a_bundle_costs_no_more_than_is_allowed() -> None:
    """All that is signed for a bundle counts together, and nothing beyond that is signed."""
    each = 21_000 * gwei(30)

    assert 2 == len(await made(max_cost_wei=2 * each).sign([own(), own(nonce=1)]))
    with pytest.raises(FeeLimitReached, match="more than max_cost_wei allows"):
        await made(max_cost_wei=2 * each - 1).sign([own(), own(nonce=1)])


async def test_a_refused_key_signs_nothing() -> None:
    """The check is asked before anything is read or signed."""
    account = own()["signer"].address.lower()

    with pytest.raises(ConfigError, match="must not sign"):
        await made(refused=account).sign([own()])


class Forger:
    """Signs another transaction than it is given."""

    address = LocalSigner(KEY).address

    def sign_transaction(self, transaction: dict[str, Any]) -> Any:
        return Account.from_key(KEY).sign_transaction(transaction | {"value": 2})


WRONG: dict[str, tuple[Any, str]] = {
    "no list": ({"signed_transaction": "0x"}, "bundle is a dict: give a list"),
    "empty": ([], "bundle is a list: give a list of transactions"),
    "no dictionary": (["0x02"], "entry is a str: give dictionaries"),
    "nothing in it": ([{}], "has neither signed_transaction, nor signer"),
    "no bytes": ([{"signed_transaction": 5}], "is a int: give bytes or 0x hex"),
    "garbage": ([{"signed_transaction": b"\x02\x01"}], "has the wrong number of fields"),
    "no signer": ([{"signer": None, "transaction": {}}], "signer of a bundle's entry is a NoneT"),
    "no transaction": ([{"signer": LocalSigner(KEY)}], "needs a transaction: give TxParams"),
    "no fees": ([own(maxFeePerGas=None)], "has no fees: give maxFeePerGas"),
    "no tip": ([own(maxPriorityFeePerGas=None)], "has no fees: give maxFeePerGas"),
    "another sender": ([own(**{"from": "0x" + "bb" * 20})], "is to be signed by"),
    "another chain": ([own(chainId=5)], "for chain 5, the session is on chain 1"),
    "another key": ([own(gasLimit=1)], "'gasLimit' is not known"),
    "a forger": ([own() | {"signer": Forger()}], "signed something else than it was given"),
}


@pytest.mark.parametrize(("entries", "why"), WRONG.values(), ids=WRONG)
async def test_what_is_no_entry_is_refused(desk: Desk, entries: Any, why: str) -> None:
    """Whatever a script hands in that cannot be signed or read is one clear line."""
    with pytest.raises(ConfigError, match=why) as caught:
        await desk.sign(entries)

    assert "\n" not in str(caught.value)


async def test_bytes_of_another_chain_are_refused(desk: Desk, transfer: Transfer) -> None:
    """Signed bytes for another chain are named by their hash."""
    other = transfer(LocalSigner(KEY), chain_id=5)

    with pytest.raises(ConfigError, match=f"{other.hash} is signed for chain 5, not for chain 1"):
        await desk.sign([{"signed_transaction": other.raw}])


def test_unset_options_say_nothing(transfer: Transfer) -> None:
    """What the official client sends where nothing is set is the same as nothing."""
    signed = (transfer(LocalSigner(KEY)),)
    unset: dict[str, Any] = {
        "minTimestamp": 0,
        "maxTimestamp": 0,
        "revertingTxHashes": [],
        "replacementUuid": None,
    }

    assert bundle_of(signed, 7, {}) == bundle_of(signed, 7, unset)


def test_options_are_carried_over(transfer: Transfer) -> None:
    """Each option of the official client arrives in the bundle; hashes may be bytes."""
    signed = (transfer(LocalSigner(KEY)),)
    given: dict[str, Any] = {
        "minTimestamp": 5,
        "maxTimestamp": 6,
        "revertingTxHashes": [bytes.fromhex(signed[0].hash[2:])],
        "replacementUuid": "u",
    }

    bundle = bundle_of(signed, 7, given)

    assert (7, 5, 6, "u") == (
        bundle.target_block,
        bundle.min_timestamp,
        bundle.max_timestamp,
        bundle.replacement_uuid,
    )
    assert (signed[0].hash,) == bundle.reverting_hashes


@pytest.mark.parametrize(
    ("block", "opts", "why"),
    [
        (-1, {}, "target_block_number is -1"),
        ("0x7", {}, "target_block_number is '0x7'"),
        (7, {"minTimestamps": 1}, "'minTimestamps' is not known; there are minTimestamp"),
        (7, {"minTimestamp": "5"}, "min_timestamp is '5'"),
        (7, {"revertingTxHashes": ["0x12"]}, "0x12"),
        (7, {"replacementUuid": 5}, "replacement uuid is 5"),
    ],
)
def test_wrong_options_are_refused(
    transfer: Transfer, block: Any, opts: dict[str, Any], why: str
) -> None:
    """An option that is none, or has a value that cannot be, is not sent to anybody."""
    with pytest.raises(ConfigError, match=why):
        bundle_of((transfer(LocalSigner(KEY)),), block, opts)
