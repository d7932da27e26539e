"""Recorded mainnet states as pools files; the recordings are read where they lie, never copied."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from toolkit.model.chain import Address, Hash
from toolkit.model.market import PoolId, Token
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.file import decode, encode
from toolkit.pools.snapshot import Snapshot

pytestmark = pytest.mark.realdata


def recorded(data_dir: Path, name: str) -> Any:
    return json.loads(gzip.decompress((data_dir / "pools" / name).read_bytes()))["data"]


def snapshot(pools: list[dict[str, Any]], symbols: dict[str, str] | None = None) -> Snapshot:
    """Read pools from a file of them; nothing in it is warned of."""
    names = {token for pool in pools for token in pool["tokens"]}
    document = {
        "version": 1,
        "block": {"number": 1, "hash": "0x" + "00" * 32, "timestamp": 0},
        "tokens": [
            {"address": name, "symbol": (symbols or {}).get(name, name), "decimals": 18}
            for name in sorted(names)
        ],
        "pools": pools,
    }
    file = decode(json.dumps(document).encode(), name="recorded.json")

    assert () == file.warnings
    assert file.snapshot == decode(encode(file.snapshot), name="again.json").snapshot
    return file.snapshot


def concentrated(pool: dict[str, Any], ticks: list[list[Any]], **fields: Any) -> dict[str, Any]:
    kept = ("tick_spacing", "sqrt_price_x96", "tick", "liquidity")
    return {
        "kind": "concentrated",
        **{name: pool[name] for name in kept},
        "ticks": sorted(ticks),
        **fields,
    }


def test_a_recorded_route_gives_its_recorded_amounts(data_dir: Path) -> None:
    """A bot's real path through V2, V4 and V3 pools: each hop's output, to the unit."""
    data = recorded(data_dir, "real_path5000_v2v4v3_block25704509.json.gz")
    pair, managed, pool = (data["pools"][name] for name in ("v2_0", "v4", "v3_2"))
    protocol = managed["protocol_fee"]  # 12 bits for each direction
    taken = snapshot(
        [
            {
                "id": pair["address"],
                "kind": "constant_product",
                "tokens": [pair["token0"], pair["token1"]],
                "reserves": [pair["reserve0"], pair["reserve1"]],
                "fee_ppm": pair["fee_token0"] * 1000,
            },
            concentrated(
                managed,
                [[int(tick), at["liquidity_net"]] for tick, at in managed["tick_data"].items()],
                id=managed["pool_id"],
                variant="v4",
                tokens=[managed["currency0"], managed["currency1"]],
                fee_ppm=managed["lp_fee"],
                protocol_fee_ppm=[protocol % 2**12, protocol >> 12],
            ),
            concentrated(
                pool,
                [[int(tick), at["liquidity_net"]] for tick, at in pool["tick_data"].items()],
                id=pool["address"],
                tokens=[pool["token0"], pool["token1"]],
                fee_ppm=pool["fee_token0"],
            ),
        ]
    )
    first, second, third = map(int, data["recorded_solve"]["hop_outputs"])
    before = int(data["recorded_solve"]["optimal_input"])
    into = (pair["token1"], managed["currency1"], pool["token0"])
    ids: tuple[PoolId, ...] = (
        Address(pair["address"].lower()),
        Hash(managed["pool_id"]),
        Address(pool["address"].lower()),
    )
    hops = zip(ids, into, (before, first, second), strict=True)

    assert [first, second, third] == [
        taken.quote_in(of, Address(token.lower()), amount) for of, token, amount in hops
    ]


def test_recorded_pools_with_all_their_ticks_are_quoted_both_ways(data_dir: Path) -> None:
    """Seventeen V3 pools, up to 1,415 ticks deep, and two V2: what is bought costs no more."""
    pools = []
    for place, pool in enumerate(recorded(data_dir, "tycho_v3_full_ticks_2026-01.json.gz")):
        made = {
            "id": f"0x{place + 1:040x}",
            "tokens": [token["address"] for token in pool["tokens"]],
            "fee_ppm": pool["fee"],
        }
        if pool["kind"] == "v3":
            pools.append(concentrated(pool, pool["ticks"], **made))
        else:
            reserves = [pool["reserve0"], pool["reserve1"]]
            pools.append({"kind": "constant_product", "reserves": reserves, **made})
    taken = snapshot(pools)

    assert len(taken.pools) == 19
    for pool in taken.pools.values():
        for token, other in ((pool.token0, pool.token1), (pool.token1, pool.token0)):
            paid = 10**6
            given = taken.quote_in(pool.id, token, paid)

            assert given == 0 or taken.quote_out(pool.id, other, given) <= paid


def test_recorded_pairs_are_read_whole(data_dir: Path) -> None:
    """A bot's 155 V2 pairs of one block, the reserves to the unit."""
    pairs = [
        pool
        for pool in recorded(data_dir, "mainnet_18806161_mixed.json.gz")
        if pool["kind"] == "v2"
    ]
    taken = snapshot(
        [
            {
                "id": pair["address"],
                "kind": "constant_product",
                "tokens": [pair["token0"], pair["token1"]],
                "reserves": [pair["reserve0"], pair["reserve1"]],
                "fee_ppm": round(float(pair["fee"]) * 10**6),
            }
            for pair in pairs
        ]
    )

    assert 155 == len(taken.pools)
    assert taken.tokens[Address(pairs[0]["token0"].lower())] == Token(
        address=Address(pairs[0]["token0"].lower()), symbol=pairs[0]["token0"], decimals=18
    )
    for pair in pairs:
        state = taken.pool(Address(pair["address"].lower()))
        assert isinstance(state, ConstantProduct)
        reserves = dict(
            zip(
                (pair["token0"].lower(), pair["token1"].lower()),
                (pair["reserve0"], pair["reserve1"]),
                strict=True,
            )
        )

        assert {state.token0: str(state.reserve0), state.token1: str(state.reserve1)} == reserves
