"""Signing a type-2 transaction, beside eth-account; both must give the same bytes."""

from random import Random
from typing import Any

from eth_account import Account

from scripts.bench.figures import Figure, Measured
from scripts.bench.timing import medians, versions
from toolkit.chain.hashing import checksum
from toolkit.chain.signer import LocalSigner
from toolkit.model.chain import Address
from toolkit.model.tx import UnsignedTransaction

TRANSACTIONS = 20  # a round is shorter than a turn of the scheduler
CALLDATA_BYTES = 228  # a V3 exactInputSingle
US = 1e6


def _transaction(rng: Random, nonce: int) -> UnsignedTransaction:
    return UnsignedTransaction(
        type=2,
        chain_id=1,
        nonce=nonce,
        to=Address("0x" + rng.randbytes(20).hex()),
        value=rng.randrange(10**18),
        data="0x" + rng.randbytes(CALLDATA_BYTES).hex(),
        gas=rng.randrange(21_000, 1_000_000),
        max_fee_per_gas=rng.randrange(10**9, 10**11),
        max_priority_fee_per_gas=rng.randrange(1, 10**9),
    )


def _peer_fields(transaction: UnsignedTransaction) -> dict[str, Any]:
    return {
        "type": 2,
        "chainId": transaction.chain_id,
        "nonce": transaction.nonce,
        "to": checksum(str(transaction.to)),
        "value": transaction.value,
        "data": transaction.data,
        "gas": transaction.gas,
        "maxFeePerGas": transaction.max_fee_per_gas,
        "maxPriorityFeePerGas": transaction.max_priority_fee_per_gas,
    }


async def measure(seed: int) -> Measured:
    """Time signatures of random transactions with 228 bytes of calldata."""
    rng = Random(seed)  # noqa: S311 - these keys sign nothing that is sent
    key = "0x" + rng.randbytes(32).hex()
    signer, account = LocalSigner(key), Account.from_key(key)
    transactions = [_transaction(rng, nonce) for nonce in range(TRANSACTIONS)]
    fields = [_peer_fields(transaction) for transaction in transactions]
    signed: list[str] = []
    peer_signed: list[str] = []

    async def ours() -> None:
        signed[:] = [signer.sign_transaction_now(one).raw for one in transactions]

    async def theirs() -> None:
        peer_signed[:] = [
            account.sign_transaction(one).raw_transaction.to_0x_hex() for one in fields
        ]

    taken, peer_taken = await medians((ours, theirs), rounds=100, warm_up=3)
    assert peer_signed == signed
    return Measured(
        figures=(
            Figure(
                name="signing a type-2 transaction",
                unit="µs",
                target=60,
                ours=taken / TRANSACTIONS * US,
                peer=peer_taken / TRANSACTIONS * US,
                peer_name="eth-account with coincurve",
            ),
        ),
        peers=versions("eth-account", "coincurve"),
        not_covered=("keystores and remote signers",),
    )
