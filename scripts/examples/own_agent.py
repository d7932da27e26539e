"""An agent of our own under the orchestrator, on a live market."""

import asyncio
from collections.abc import Iterable

import toolkit as tk


class BuyTheDip:
    """Wish for WETH whenever it is below the high of ten blocks."""

    name = "dip"

    def on_block(self, view: tk.View) -> Iterable[tk.Intent]:
        """Decide from the view alone: no I/O, no clock."""
        prices = view.history("price/WETH-USDC", 10)
        usdc = next(t.address for t in view.snapshot.tokens.values() if t.symbol == "USDC")
        if prices and prices[-1] < max(prices):
            leg = tk.Leg(token_in=usdc, token_out=view.wrapped, amount_in=500 * 10**6)
            yield tk.Intent(agent=self.name, legs=(leg,), edge_wei=tk.ether("0.02"), reason="dip")


async def main() -> None:
    """Deploy an executor, run some blocks, and print what was decided and what came of it."""
    async with tk.Devnet(tk.DevnetConfig(seed=1)) as devnet:
        signer = tk.LocalSigner(devnet.accounts[0].key)
        async with tk.connect(devnet.rpc_url, signer=signer, relays=devnet.relays) as session:
            deployment = await tk.deploy_executor(session)
            await devnet.seal()
            mine = {signer.address: await deployment.address()}
            async with tk.Orchestrator(session, agents=[BuyTheDip()], executors=mine) as work:
                for _ in range(16):
                    await devnet.step()
                    seen = await anext(work.events())
                    why, landed = [v.why for v in seen.verdicts], [f.landed for f in seen.fills]
                    print(seen.head.number, why, landed)


if __name__ == "__main__":
    asyncio.run(main())
