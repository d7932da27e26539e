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
        if prices[-1] < max(prices):
            leg = tk.Leg(token_in=usdc, token_out=view.wrapped, amount_in=500 * 10**6)
            yield tk.Intent(agent=self.name, legs=(leg,), edge_wei=tk.ether("0.02"), reason="dip")


async def main() -> None:
    """Run eight blocks. Without an executor contract plans are made, but not sent."""
    async with tk.Devnet(tk.DevnetConfig(seed=1)) as devnet:
        signer = tk.LocalSigner(devnet.accounts[0].key)
        async with tk.connect(devnet.rpc_url, signer=signer, relays=devnet.relays) as session:
            past = {"price/WETH-USDC": devnet.history}
            async with tk.Orchestrator(session, agents=[BuyTheDip()], history=past) as orchestrator:
                last = (await devnet.step()).number + 7
                async for report in orchestrator.events():
                    plans = [plan.route.amount_out for plan in report.plans]
                    print(report.head.number, [v.why for v in report.verdicts], plans)
                    if report.head.number == last:
                        break
                    await devnet.step()


if __name__ == "__main__":
    asyncio.run(main())
