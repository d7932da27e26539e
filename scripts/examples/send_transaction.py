"""Send half an ether and follow it to its true end."""

import asyncio

import toolkit as tk


async def main() -> None:
    """Send on a devnet of our own, whose blocks come when we seal them."""
    async with tk.Devnet(tk.DevnetConfig(seed=1)) as devnet:
        alice, bob = devnet.accounts[:2]
        async with tk.connect(devnet.rpc_url, signer=tk.LocalSigner(alice.key)) as session:
            request = tk.TransactionRequest(to=bob.address, value=tk.ether("0.5"))
            sent = await session.send(
                request,
                visibility=tk.Visibility.PUBLIC,
                deadline_blocks=5,
                idempotency_key="rent-2026-01",  # asked for twice, paid once
            )
            await devnet.seal()
            outcome = await sent.wait()
            match outcome:
                case tk.Confirmed():
                    fee = tk.format_units(outcome.fee_wei, 18)
                    print(f"confirmed in block {outcome.block_number} for {fee} ETH")
                case _:  # Reverted, Expired, Cancelled, Replaced, DryRun: each says why
                    raise SystemExit(f"not sent: {outcome}")


if __name__ == "__main__":
    asyncio.run(main())
