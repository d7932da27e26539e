"""Write pool states to a file, and quote from it without a chain."""

import asyncio
import tempfile
from pathlib import Path

import toolkit as tk


async def record(path: Path) -> tuple[str, ...]:
    """Write every pool of a devnet to a file; return the ids."""
    async with tk.Devnet(tk.DevnetConfig(seed=1)) as devnet, tk.connect(devnet.rpc_url) as session:
        router = await session.router(devnet.pools)
        tk.write_pools(path, router.snapshot)
        return tuple(sorted(router.snapshot.pools))


def show(path: Path, pool: str) -> None:
    """Say what one whole token gives, and what that would cost as an exact output."""
    snapshot = tk.read_pools(path).snapshot
    state = snapshot.pools[tk.address(pool)]
    one, other = snapshot.tokens[state.token0], snapshot.tokens[state.token1]
    given = snapshot.quote_in(state.id, one.address, 10**one.decimals)
    cost = snapshot.quote_out(state.id, other.address, given)
    paid, got = tk.format_units(cost, one.decimals), tk.format_units(given, other.decimals)
    print(f"{state.kind.value}: {paid} {one.symbol} buy {got} {other.symbol}")


def main() -> None:
    """Record once, then quote offline."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pools.json"
        for pool in asyncio.run(record(path)):
            show(path, pool)


if __name__ == "__main__":
    main()
