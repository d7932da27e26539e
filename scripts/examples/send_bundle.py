"""Send a bundle: somebody's pending transaction, then a call of ours, both or neither."""

import asyncio

import toolkit as tk


async def main() -> None:
    """Back-run a transfer that its sender gave us, and pay the builder for it."""
    async with tk.Devnet(tk.DevnetConfig(seed=1)) as devnet:
        alice, bob = devnet.accounts[:2]
        signer = tk.LocalSigner(alice.key)
        async with tk.connect(devnet.rpc_url, signer=signer, relays=devnet.relays) as session:
            fields = {"to": session.w3.to_checksum_address(alice.address), "value": 1, "nonce": 0}
            fields |= {"chainId": session.chain_id, "gas": 21_000, "gasPrice": tk.gwei(20)}
            signed = session.w3.eth.account.sign_transaction(fields, bob.key)

            request = tk.TransactionRequest(to=bob.address, value=tk.ether("0.5"))
            bundle = session.bundle().include(signed.raw_transaction.to_0x_hex()).call(request)
            handle = await session.submit(bundle, blocks=3, tip_wei=tk.ether("0.001"))
            await devnet.step()  # traders and rivals act, then a builder seals the slot
            result = await handle.wait()
            match result:
                case tk.Landed():
                    fee = tk.format_units(result.fee_wei, 18)
                    print(f"landed in block {result.block_number}, our fees were {fee} ETH")
                case tk.Missed():
                    raise SystemExit(f"missed: {result.cause.value}, {result.evidence}")


if __name__ == "__main__":
    asyncio.run(main())
