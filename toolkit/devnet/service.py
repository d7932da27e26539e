"""A devnet as a service: announced once it is ready, and served until a signal."""

import asyncio
import signal
from collections.abc import Callable, Mapping

from toolkit.devnet.devnet import Devnet
from toolkit.devnet.pools import POOLS

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


async def serve_until_signal(
    devnet: Devnet, announce: Callable[[Mapping[str, object]], None]
) -> signal.Signals:
    """Open the devnet, announce it, seal its blocks; the signal that ended it.

    Raises:
        DevnetError: it could not be opened, or Anvil died.
    """
    loop = asyncio.get_running_loop()
    work = asyncio.create_task(_serve(devnet, announce))
    received: list[signal.Signals] = []

    def stop(one: signal.Signals) -> None:
        received.append(one)
        work.cancel()

    for each in _SIGNALS:
        loop.add_signal_handler(each, stop, each)
    try:
        await work
    except asyncio.CancelledError:
        if not received:
            raise
    finally:
        for each in _SIGNALS:
            loop.remove_signal_handler(each)
    return received[0]


def announcement(devnet: Devnet) -> Mapping[str, object]:
    """What a client needs; the keys are worth nothing anywhere else."""
    return {
        "rpc": devnet.rpc_url,
        "ws": devnet.ws_url,
        "anvil": devnet.anvil_url,
        "relays": [{"name": each.name, "url": each.url} for each in devnet.relays],
        "chain_id": devnet.chain_id,
        "accounts": [{"address": each.address, "key": each.key} for each in devnet.accounts],
        "tokens": [
            {"address": each.address, "symbol": each.symbol, "decimals": each.decimals}
            for each in devnet.tokens.values()
        ],
        "pools": [
            {
                "id": pool.address,
                "name": pool.name,
                "kind": pool.spec.kind.value,
                "tokens": [pool.spec.token0, pool.spec.token1],
                "fee_ppm": pool.spec.fee_ppm,
                "tick_spacing": pool.spec.tick_spacing,
            }
            for pool in POOLS
        ],
    }


async def _serve(devnet: Devnet, announce: Callable[[Mapping[str, object]], None]) -> None:
    async with devnet:
        announce(announcement(devnet))
        await devnet.run()
