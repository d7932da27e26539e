"""A process that opens a session as any bot does, and goes on until somebody ends it.

`python -m scripts.bench.restarted` with what to open as JSON on stdin. It loads nothing but what a
bot would: whatever else it loaded would be part of the time that `restart` takes of it.
"""

import asyncio
import json
import sys

import toolkit as tk

HEAVY = ("numba", "numpy", "web3", "pyrevm", "rich")
LATEST_S = 60.0


async def start(rpc_url: str, journal: str, keys: list[str]) -> None:
    """Open the session, and say how much of what nobody needs in order to send was loaded."""
    signers = [tk.LocalSigner(key) for key in keys]
    async with tk.connect(rpc_url, signer=signers, journal=journal) as session:
        session.follow()
        print(sum(name in sys.modules for name in HEAVY), flush=True)
        await asyncio.sleep(LATEST_S)


if __name__ == "__main__":
    asyncio.run(start(**json.load(sys.stdin)))
