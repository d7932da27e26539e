"""What a script that signs for itself may repeat, in whichever process."""

from pathlib import Path

from eth_account import Account

from toolkit.devnet.strict_node import open_strict_node
from toolkit.session import connect

FRIEND = "0x" + "f1" * 20


async def test_the_same_signed_bytes_are_the_same_transaction_after_a_restart(
    tmp_path: Path,
) -> None:
    """While they are under way and once they are mined, a later process answers with their hash."""
    async with open_strict_node(seed=5, accounts=1) as node:
        owner = node.accounts[0]
        signed = Account.from_key(owner.key).sign_transaction(
            {
                "to": bytes.fromhex(FRIEND[2:]),
                "value": 3,
                "gas": 21_000,
                "nonce": 0,
                "chainId": node.chain_id,
                "maxFeePerGas": 10**10,
                "maxPriorityFeePerGas": 10**9,
            }
        )

        async def send() -> bytes:
            async with connect(
                node.rpc_url,
                signer=owner.signer,
                journal=tmp_path / "journal.db",
                allow_real_key=True,
            ) as session:
                return bytes(await session.w3.eth.send_raw_transaction(signed.raw_transaction))

        first, again = await send(), await send()
        await node.seal()
        mined = await send()

        assert [signed.hash] * 3 == [first, again, mined]
        assert 1 == await node.node.nonce(owner.address)
