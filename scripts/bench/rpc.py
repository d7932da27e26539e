"""JSON-RPC against Anvil: one call, and a batch of 1,000, beside web3."""

from random import Random
from typing import Any

from web3 import AsyncHTTPProvider, AsyncWeb3

from scripts.bench.figures import Figure, Measured
from scripts.bench.timing import medians, versions
from toolkit.chain.rpc import HttpRpc
from toolkit.devnet.anvil import start_anvil

BATCH = 1_000
CALLS_A_ROUND = 5  # a round is shorter than a turn of the scheduler
MS = 1e3
US = 1e6


async def measure(seed: int) -> Measured:
    """Time eth_getBalance of random accounts over one kept connection each."""
    rng = Random(seed)  # noqa: S311 - no secrets
    accounts = [AsyncWeb3.to_checksum_address(rng.randbytes(20)) for _ in range(BATCH)]
    async with await start_anvil() as anvil, HttpRpc(anvil.url) as rpc:
        web3 = AsyncWeb3(AsyncHTTPProvider(anvil.url))

        async def our_calls() -> None:
            for account in accounts[:CALLS_A_ROUND]:
                await rpc.call("eth_getBalance", [account, "latest"])

        async def their_calls() -> None:
            for account in accounts[:CALLS_A_ROUND]:
                await web3.eth.get_balance(account)

        async def our_batch() -> None:
            answers = await rpc.batch(
                [("eth_getBalance", [account, "latest"]) for account in accounts]
            )
            assert all(answer == "0x0" for answer in answers)

        async def their_batch() -> None:
            async with web3.batch_requests() as batch:
                for account in accounts:
                    batch.add(web3.eth.get_balance(account))
                answers: list[Any] = await batch.async_execute()
            assert not any(answers)

        call, their_call = await medians((our_calls, their_calls), rounds=150, warm_up=5)
        batched, their_batched = await medians((our_batch, their_batch), rounds=11)
        await web3.provider.disconnect()
    return Measured(
        figures=(
            Figure(
                name="one call",
                unit="ms",
                target=0.4,
                ours=call / CALLS_A_ROUND * MS,
                peer=their_call / CALLS_A_ROUND * MS,
                peer_name="web3 AsyncHTTPProvider",
            ),
            Figure(
                name=f"an item of a batch of {BATCH:,}",
                unit="µs",
                target=40,
                ours=batched / BATCH * US,
                peer=their_batched / BATCH * US,
                peer_name="web3 batch_requests",
            ),
        ),
        peers=versions("web3", "aiohttp"),
        not_covered=("calls over a network, over WebSocket, or through the devnet's front",),
    )
