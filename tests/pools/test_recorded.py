"""Pools from recorded blocks: what is recorded is exact, and what is not is never guessed."""

import gzip
import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from eth_utils.crypto import keccak

from tests.pools.test_events import HEAD
from tests.pools.venue import SPACINGS, AnvilMachine, Venue, calldata, scatter
from toolkit.chain.node import Node
from toolkit.model.chain import Address
from toolkit.model.errors import DataError, PoolError
from toolkit.model.market import PoolKind, Token
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.concentrated_v4 import ConcentratedV4, pool_id
from toolkit.pools.file import read_pools, write_pools
from toolkit.pools.recorded import Recording, load, read_recording
from toolkit.pools.snapshot import PoolSpec
from toolkit.pools.sync import load as load_from
from toolkit.pools.ticks import MAX_TICK, MIN_TICK

A, B, PAIR = (Address("0x" + digit * 40) for digit in "ab1")
PARENT = "0x" + "11" * 32


def spec_of(venue: Venue, pool: Address, fee: int) -> PoolSpec:
    spacing = SPACINGS.get(fee, 0)
    return PoolSpec(
        id=pool,
        kind=PoolKind.CONCENTRATED if spacing else PoolKind.CONSTANT_PRODUCT,
        token0=venue.token0,
        token1=venue.token1,
        fee_ppm=fee if spacing else 3000,
        tick_spacing=spacing,
    )


def recorded(path: Path, number: int, pre: dict[str, Any]) -> Recording:
    """Write what a block found as recordings have it, words of 0 left out, and read it."""
    words = {
        account: {
            **held,
            "storage": {
                slot: word for slot, word in held.get("storage", {}).items() if int(word, 16)
            },
        }
        for account, held in pre.items()
    }
    document = {"number": number, "header": {"parentHash": PARENT}, "pre": words}
    path.write_bytes(gzip.compress(json.dumps(document).encode()))
    return read_recording(path)


async def test_what_a_swap_looked_at_quotes_it(
    twin: tuple[str, Venue], node: Node, tmp_path: Path, seed: int
) -> None:
    """Of each swap's own prestate: the quote is the contract's, and others are, or are refused."""
    venue, rng = twin[1], random.Random(seed)
    assert isinstance(venue.machine, AnvilMachine)
    pools = {fee: venue.make_pool(fee, 777) for fee in SPACINGS}
    for fee in pools:
        venue.mint(fee, -6000, 6000, 10**20)
        scatter(venue, fee, 777, rng, 8)
    refused = 0
    for _ in range(24):
        fee = rng.choice(list(SPACINGS))
        spec = spec_of(venue, pools[fee], fee)
        forward, amount = rng.random() < 0.5, int(10 ** rng.uniform(6, 20))
        token = (venue.token0, venue.token1)[:: 1 if forward else -1][0]
        whole = await load_from(node, [spec], head=await node.head())
        wanted = whole.quote_in(spec.id, token, amount)
        venue.swap3(fee, token, amount, exact_in=True)
        head = await node.head()
        block = await node.block(head.number)
        pre = venue.machine.rpc(
            "debug_traceTransaction", block["transactions"][0], {"tracer": "prestateTracer"}
        )
        recording = recorded(tmp_path / "block.json.gz", head.number, pre)
        assert wanted == load(recording, [spec], replayed=True).quote_in(spec.id, token, amount)
        try:
            taken = load(recording, [spec])
        except PoolError as error:  # a word of 0, which no recording has
            assert "ticks: the word of the bitmap at its price" in str(error)  # noqa: PT017
            continue
        for _ in range(12):
            side = rng.choice([venue.token0, venue.token1])
            other = int(10 ** rng.uniform(3, 22))
            try:
                assert whole.quote_in(spec.id, side, other) == taken.quote_in(spec.id, side, other)
            except PoolError as error:
                assert "known" in str(error)  # noqa: PT017 - some are refused, none is wrong
                refused += 1
    assert 0 < refused < 24 * 12


async def test_a_pair_is_its_word_of_reserves(
    twin: tuple[str, Venue], tmp_path: Path, node: Node
) -> None:
    """Both reserves to the unit, as they were before the block; a file of them can be written."""
    venue = twin[1]
    assert isinstance(venue.machine, AnvilMachine)
    pair = venue.make_pair(10**21, 3 * 10**20)
    before = venue.read_pair(pair)
    path = [venue.token0, venue.token1]
    swap = "swapExactTokensForTokens(uint256,uint256,address[],address,uint256)"
    venue.machine.send(venue.router2, calldata(swap, 10**17, 0, path, "0x" + "77" * 20, 2**64))
    head = await node.head()
    hashes = (await node.block(head.number))["transactions"]
    pre = venue.machine.rpc("debug_traceTransaction", hashes[0], {"tracer": "prestateTracer"})
    tokens = [Token(address=token, symbol="T", decimals=18) for token in path]
    recording = recorded(tmp_path / "block.json.gz", head.number, pre)

    taken = load(recording, [spec_of(venue, pair, 0)], tokens)

    assert {pair: before} == taken.pools
    assert (head.number - 1, PARENT) == (taken.block.number, taken.block.hash)
    write_pools(tmp_path / "pools.json", taken)
    assert taken == read_pools(tmp_path / "pools.json").snapshot
    wrong = msgspec.structs.replace(spec_of(venue, pair, 0), token1=Address("0x" + "ff" * 20))
    with pytest.raises(PoolError, match=f"pool {pair}: token1: the recording says {path[1]}"):
        load(recording, [wrong])


SPEC = PoolSpec(
    id=PAIR,
    kind=PoolKind.CONCENTRATED,
    token0=A,
    token1=B,
    fee_ppm=3000,
    tick_spacing=60,
)


def slot(key: int, place: int) -> int:
    packed = (key % 2**256).to_bytes(32, "big") + place.to_bytes(32, "big")
    return int.from_bytes(keccak(packed), "big")


def v3_words(*, words: dict[int, int], ticks: dict[int, tuple[int, int]]) -> dict[int, int]:
    """Storage of a V3 pool at tick 0 with a liquidity of 10."""
    return {
        0: 2**96,
        4: 10,
        **{slot(number, 6): word for number, word in words.items()},
        **{slot(tick, 5): (net % 2**128) << 128 | gross for tick, (net, gross) in ticks.items()},
    }


def recording_of(words: dict[int, int], contract: Address = PAIR) -> Recording:
    return Recording(block=HEAD, words={contract: words})


@pytest.mark.parametrize(
    ("words", "ticks", "known", "found"),
    [
        # The word of the price is known, and no other.
        ({0: 1 << 5}, {300: (-10, 10)}, (0, 255 * 60), {300: -10}),
        # Neighbours as far as they go on; what lies behind a gap is not known.
        (
            {-1: 1 << 255, 0: 1 << 5, 2: 1},
            {-60: (10, 10), 300: (-10, 10)},
            (-256 * 60, 255 * 60),
            {-60: 10, 300: -10},
        ),
        # A tick that nobody crossed is a stop, and nothing beyond it is known.
        (
            {-1: 1 << 255 | 1 << 3, 0: 1 << 5 | 1 << 9},
            {300: (-10, 10)},
            (-60, 540),
            {-60: 0, 300: -10, 540: 0},
        ),
    ],
)
def test_nothing_is_known_beyond_what_is_recorded(
    words: dict[int, int],
    ticks: dict[int, tuple[int, int]],
    known: tuple[int, int],
    found: dict[int, int],
) -> None:
    """The known ticks end with the recorded words, or at a tick of which only the bit is."""
    recording = recording_of(v3_words(words=words, ticks=ticks))

    pool = load(recording, [SPEC]).pools[PAIR]
    whole = load(recording, [SPEC], replayed=True).pools[PAIR]

    assert isinstance(pool, Concentrated)
    assert isinstance(whole, Concentrated)
    assert (known, found) == (pool.known, dict(pool.ticks))
    assert (MIN_TICK, MAX_TICK) == whole.known
    assert sum(word.bit_count() for word in words.values()) == len(whole.ticks)
    assert len(pool.gross) == len(pool.ticks)


@pytest.mark.parametrize(
    ("left_out", "said"),
    [
        (0, "slot0: is not in the recording; the block did not look at the pool, or found 0"),
        (4, "liquidity: is not in the recording"),
        (slot(0, 6), "ticks: the word of the bitmap at its price is not in the recording"),
    ],
)
def test_a_pool_that_is_not_recorded_is_refused(left_out: int, said: str) -> None:
    """What a state cannot do without is named with its pool; replayed, it was 0."""
    words = v3_words(words={0: 1 << 5}, ticks={300: (-10, 10)})
    del words[left_out]
    recording = recording_of(words)

    with pytest.raises(PoolError, match=f"pool {PAIR}: {said}"):
        load(recording, [SPEC])
    assert PAIR in load(recording, [SPEC], replayed=True).pools


def test_a_pool_of_v4_is_its_managers() -> None:
    """By its id in the manager's storage; its fee is held against the spec's."""
    number = pool_id(A, B, 3000, 60)
    base = slot(int(number, 16), 6)
    packed = 2**96 | 500 << 184 | 3000 << 208  # price, protocol fee of token0, lp fee
    words = {base: packed, base + 3: 7, slot(0, base + 5): 2, slot(60, base + 4): 5 << 128 | 5}
    spec = msgspec.structs.replace(SPEC, id=number, fee_ppm=3000)
    pool = load(recording_of(words, spec.manager), [spec]).pools[number]

    assert isinstance(pool, ConcentratedV4)
    assert (2**96, 7, ((60, 5),)) == (pool.sqrt_price_x96, pool.liquidity, pool.ticks)
    assert (500, 0) == pool.protocol_fee_ppm
    words[base] = 2**96 | 2999 << 208
    with pytest.raises(PoolError, match=f"pool {number}: fee_ppm: the contract says 2999"):
        load(recording_of(words, spec.manager), [spec])
    with pytest.raises(PoolError, match=f"pool {number}: id: given twice"):
        load(recording_of({**words, base: packed}, spec.manager), [spec, spec])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is no JSON"),
        (b"[]", "is no recorded block: Expected `object`"),
        (b"{}", r"is no recorded block: Object missing required field `number`"),
        (b'{"number": 0, "header": {"parentHash": "0x"}, "pre": {}}', "is no recorded .*>= 1"),
        (b'{"number": 1, "header": {}, "pre": {}}', "missing required field `parentHash`"),
        (b'{"number": 1, "header": {"parentHash": "0x"}, "pre": {}}', "hash '0x' is not"),
        (
            b'{"number": 1, "header": {"parentHash": "%s"}, "pre": {"7": {}}}' % PARENT.encode(),
            "address '7' is not",
        ),
        (
            b'{"number": 1, "header": {"parentHash": "%s"}, "pre": '
            b'{"%s": {"storage": {"0x": "1"}}}}' % (PARENT.encode(), A.encode()),
            "is no recorded block: invalid literal",
        ),
        (b"\x1f\x8b\x08\x00", "name a recorded block"),
    ],
)
def test_what_is_no_recording_is_refused(data: bytes, said: str, tmp_path: Path) -> None:
    """One line names the file and what is wrong with it."""
    path = tmp_path / "block.json"
    path.write_bytes(data)

    with pytest.raises(DataError, match=rf"^{path}: .*{said}") as caught:
        read_recording(path)

    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match=r"none.json: No such file or directory; name a recorded"):
        read_recording(tmp_path / "none.json")


@pytest.mark.realdata
def test_pools_of_a_genuine_block_are_read(data_dir: Path) -> None:
    """Uniswap's USDC/WETH pools as block 15,538,827 found them agree on the price of that hour."""
    recording = read_recording(data_dir / "mainnet" / "block_15538827.json.gz")
    usdc = Address("0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48")
    weth = Address("0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2")
    pair = PoolSpec(
        id=Address("0xb4e16d0168e52d35cacd2c6185b44281ec28c9dc"),
        kind=PoolKind.CONSTANT_PRODUCT,
        token0=usdc,
        token1=weth,
    )
    pools = [
        msgspec.structs.replace(
            pair,
            id=Address(name),
            kind=PoolKind.CONCENTRATED,
            fee_ppm=fee,
            tick_spacing=SPACINGS[fee],
        )
        for name, fee in (
            ("0x88e6a0c2ddd26feeb64f039a2c41296fcb3f5640", 500),
            ("0x8ad599c3a0ff1de082011efddc58f1908eb6e6d8", 3000),
        )
    ]
    taken = load(recording, [pair, *pools])
    prices = [taken.mid_price(name, weth) * 10**12 for name in taken.pools]
    given = [taken.quote_in(name, weth, 10**18) for name in taken.pools]

    assert (15_538_826, 3) == (taken.block.number, len(taken.pools))
    assert all(1585 < price < 1592 for price in prices)
    assert all(1580 * 10**6 < amount < 1592 * 10**6 for amount in given)
    with pytest.raises(PoolError, match=f"pool {PAIR}: reserves: is not in the recording"):
        load(recording, [msgspec.structs.replace(pair, id=PAIR)])
