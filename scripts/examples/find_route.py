"""Quote a swap and look for arbitrage, in the pools' own integers."""

import asyncio

import toolkit as tk


async def main() -> None:
    """Ask both questions of every pool as it stands at the newest block."""
    async with (
        tk.Devnet(tk.DevnetConfig(seed=1)) as devnet,
        tk.connect(devnet.rpc_url) as session,
    ):
        weth, usdc = devnet.tokens["WETH"], devnet.tokens["USDC"]
        for _ in range(3):  # let traders push pools apart
            await devnet.step()
            await session.advance()
        router = await session.router(devnet.pools)

        swap = router.swap(weth.address, usdc.address, tk.ether(10))
        received = tk.format_units(swap.amount_out, usdc.decimals)
        print(f"10 WETH give {received} USDC over {len(swap.hops)} pool(s)")

        cycle = router.arbitrage(weth.address, max_hops=3)
        if cycle is None:
            print("no cycle gains anything")
        else:
            put_in, gained = (tk.format_units(n, 18) for n in (cycle.amount_in, cycle.profit))
            print(f"{put_in} WETH through {len(cycle.hops)} pools gain {gained} WETH before gas")


if __name__ == "__main__":
    asyncio.run(main())
