"""Bundles in several builders' dialects on the whole devnet: whoever wins the slot understood."""

import pytest

from toolkit.bundles.submitter import BundleHandle
from toolkit.chain.signer import LocalSigner
from toolkit.devnet.crowd.rivals import RivalConfig
from toolkit.devnet.devnet import Devnet, DevnetConfig
from toolkit.model.bundle import Landed
from toolkit.model.chain import Address
from toolkit.model.tx import TransactionRequest, UnsignedTransaction
from toolkit.model.units import gwei
from toolkit.session import connect

BUILDERS = ("titan", "rsync", "buildernet", "beaverbuild")
PAYEE = Address("0x" + "42" * 20)
CODE = Address("0x" + "c0de" * 10)


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_bundle_lands_in_every_dialect() -> None:
    """A bundle with a delegating transaction (EIP-7702) and an own call is taken by builders of
    four dialects, lands in three slots in a row, and delegates the account."""
    config = DevnetConfig(
        seed=3, builders=BUILDERS, flow=False, accounts=3, rivals=RivalConfig(count=0)
    )
    async with Devnet(config) as devnet:
        us, friend, other = (LocalSigner(account.key) for account in devnet.accounts)
        async with connect(devnet.rpc_url, signer=us, relays=devnet.relays) as session:
            for nonce in range(3):
                grant = other.sign_authorization(chain_id=1, address=CODE, nonce=nonce)
                delegating = friend.sign_transaction_now(
                    UnsignedTransaction(
                        type=4,
                        chain_id=1,
                        nonce=nonce,
                        to=PAYEE,
                        value=1,
                        data="0x",
                        gas=80_000,
                        max_fee_per_gas=gwei(100),
                        max_priority_fee_per_gas=gwei(1),
                        authorization_list=(grant,),
                    )
                )
                draft = session.bundle().include(delegating.raw)
                draft = draft.call(TransactionRequest(to=PAYEE, value=2))
                handle = await session.submit(draft, tip_wei=10**12)
                assert isinstance(handle, BundleHandle)
                await devnet.seal()
                await session.advance()
                result = await handle.wait()

                assert isinstance(result, Landed), result
                assert {(name, True) for name in BUILDERS} == {
                    (answer.relay, answer.accepted) for answer in handle.answers
                }
            code = await session.node.code(other.address)
            paid = await session.node.balance(PAYEE)

    assert "0xef0100" + CODE[2:] == code
    assert 3 * (1 + 2) == paid
