"""Spread payments over several keys: each once, in order where it matters, faster when asked."""

import asyncio

import toolkit as tk


async def main() -> None:
    """Pay from three keys of a devnet, whose blocks come when we seal them."""
    async with tk.Devnet(tk.DevnetConfig(seed=1)) as devnet:
        *payers, bob = devnet.accounts[:4]
        keys = tk.KeyPool([tk.LocalSigner(one.key) for one in payers])
        async with tk.connect(devnet.rpc_url, signer=keys) as session:

            async def pay(name: str, after: tk.Sent | None = None) -> tk.Sent:
                return await session.send(
                    tk.TransactionRequest(to=bob.address, value=tk.ether("0.1")),
                    visibility=tk.Visibility.PUBLIC,
                    idempotency_key=name,  # asked for twice, paid once
                    after=after,  # only if that one succeeded
                )

            rents = await asyncio.gather(*(pay(f"rent-{month}") for month in range(1, 7)))
            bonus = await pay("bonus", after=rents[0])
            again = await pay("rent-3")
            await rents[5].speed_up(max_fee_per_gas=tk.gwei(90))  # at the same nonce

            for _ in range(2):
                await devnet.seal()
                await session.advance()
            ends = [await one.wait() for one in (*rents, bonus)]
            paid = [end.block_number for end in ends if isinstance(end, tk.Confirmed)]
            used, once = {one.sender for one in rents}, again.tx_hash == rents[2].tx_hash
            print(f"{len(paid) - 1} payments by {len(used)} keys,", end=" ")
            print(f"asked for twice and sent once: {once}, in order: {paid[-1] > paid[0]}")


if __name__ == "__main__":
    asyncio.run(main())
