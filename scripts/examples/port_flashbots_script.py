"""A script for the official flashbots client, ported: its calls are awaited, on a session."""

import asyncio
from typing import Any

import toolkit as tk


async def script(w3: Any, flashbots: Any, account: Any) -> None:
    """Send two transfers until a builder has both in a block, as that client's example does."""
    fees = {"maxFeePerGas": tk.gwei(100), "maxPriorityFeePerGas": tk.gwei(2)}
    payment = {"to": account.address, "value": 1, "gas": 21_000, **fees}
    bundle = [{"signer": account, "transaction": payment}] * 2
    result = None
    while not isinstance(result, tk.Landed):
        block = await w3.eth.block_number
        simulated = await flashbots.simulate(bundle)
        sent = await flashbots.send_bundle(bundle, target_block_number=block + 1)
        result = await sent.wait()
    used = [receipt["gasUsed"] for receipt in await sent.receipts()]
    print(f"{len(used)} receipts, {sum(used)} of {simulated['totalGasUsed']} gas simulated")


async def main() -> None:
    """Let a devnet seal a block every three seconds meanwhile."""
    async with tk.Devnet(tk.DevnetConfig(seed=1, block_time=3)) as devnet:
        blocks = asyncio.create_task(devnet.run())
        async with tk.connect(devnet.rpc_url, relays=devnet.relays) as session:
            account = session.w3.eth.account.from_key(devnet.accounts[0].key)
            flashbots = tk.Flashbots(session, guards_waived=True)  # was: flashbot(w3, key, url)
            await script(session.w3, flashbots, account)
        blocks.cancel()


if __name__ == "__main__":
    asyncio.run(main())
