"""A web3.py script, ported: it gets its `w3` from a session, and is otherwise as it was."""

import asyncio
from typing import Any

import toolkit as tk

WETH = "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2"
ABI: list[dict[str, Any]] = [
    {"type": "function", "name": "deposit", "inputs": [], "stateMutability": "payable"},
]


async def script(w3: Any) -> None:
    """Wrap an ether, as for any AsyncWeb3."""
    account = (await w3.eth.accounts)[0]
    weth = w3.eth.contract(WETH, abi=ABI)
    tx_hash = await weth.functions.deposit().transact({"from": account, "value": 10**18})
    receipt = await w3.eth.wait_for_transaction_receipt(tx_hash)
    print(f"status {receipt['status']} in block {receipt['blockNumber']}")


async def main() -> None:
    """Let a devnet seal a block a second meanwhile. Nonce, fees and resends are the session's."""
    async with tk.Devnet(tk.DevnetConfig(seed=1, block_time=1)) as devnet:
        blocks = asyncio.create_task(devnet.run())
        signer = tk.LocalSigner(devnet.accounts[0].key)
        async with tk.connect(devnet.rpc_url, signer=signer) as session:
            await script(session.w3)  # was: AsyncWeb3(AsyncHTTPProvider(url))
        blocks.cancel()


if __name__ == "__main__":
    asyncio.run(main())
