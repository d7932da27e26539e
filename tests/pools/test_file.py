"""Pools files, both ways, and each way in which one can be wrong."""

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from toolkit.model.chain import Address, Hash
from toolkit.model.errors import DataError
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.concentrated_v4 import POOL_MANAGER, ConcentratedV4
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.file import decode, encode, read_pools, write_pools
from toolkit.pools.snapshot import Pool

A, B, C, V2, V3 = (Address("0x" + digit * 40) for digit in "abc12")
V4 = Hash("0x" + "44" * 32)
DEAD = Address("0x" + "de" * 18 + "4000")
HOOK = Address("0x" + "de" * 18 + "1000")
BLOCK = Hash("0x" + "11" * 32)
PRICE = 2**96


def document() -> dict[str, Any]:
    """A file with a pool of each family."""
    return {
        "version": 1,
        "block": {"number": 22_000_000, "hash": BLOCK, "timestamp": 1_741_000_000},
        "tokens": [
            {"address": A, "symbol": "A", "decimals": 18, "transfer_fee_ppm": 5},
            {"address": B, "symbol": "B", "decimals": 6},
        ],
        "pools": [
            {
                "id": V2,
                "kind": "constant_product",
                "tokens": [A, B],
                "reserves": ["1000", str(2**112 - 1)],
                "fee_ppm": 3000,
            },
            {
                "id": V3,
                "kind": "concentrated",
                "tokens": [A, B],
                "fee_ppm": 500,
                "tick_spacing": 10,
                "sqrt_price_x96": str(PRICE),
                "tick": 0,
                "liquidity": "12345",
                "ticks": [[-100, "12345"], [100, "-12345"]],
            },
            {
                "id": V4,
                "kind": "concentrated",
                "variant": "v4",
                "tokens": [A, B],
                "fee_ppm": 0,
                "tick_spacing": 32767,
                "sqrt_price_x96": "0",
                "tick": 0,
                "liquidity": "0",
                "ticks": [],
                "hooks": HOOK,
                "protocol_fee_ppm": [1000, 500],
            },
        ],
    }


def changed(place: int, **fields: Any) -> bytes:
    """The document with fields of one pool set, or, where they are None, left out."""
    made = document()
    for name, value in fields.items():
        if value is None:
            del made["pools"][place][name]
        else:
            made["pools"][place][name] = value
    return json.dumps(made).encode()


def read(data: bytes) -> Any:
    return decode(data, name="pools.json")


def test_a_file_is_read_field_by_field() -> None:
    """Amounts, tokens and the block are those of the file; nothing is warned of."""
    found = read(json.dumps(document()).encode())
    taken = found.snapshot

    assert () == found.warnings
    assert (22_000_000, BLOCK, 1_741_000_000) == (
        taken.block.number,
        taken.block.hash,
        taken.block.timestamp,
    )
    assert ConstantProduct(
        id=V2, token0=A, token1=B, reserve0=1000, reserve1=2**112 - 1, fee_ppm=3000
    ) == taken.pool(V2)
    assert Concentrated(
        id=V3,
        token0=A,
        token1=B,
        fee_ppm=500,
        tick_spacing=10,
        sqrt_price_x96=PRICE,
        tick=0,
        liquidity=12345,
        ticks=((-100, 12345), (100, -12345)),
    ) == taken.pool(V3)
    assert ConcentratedV4(
        id=V4,
        token0=A,
        token1=B,
        fee_ppm=0,
        tick_spacing=32767,
        sqrt_price_x96=0,
        tick=0,
        liquidity=0,
        ticks=(),
        hooks=HOOK,
        protocol_fee_ppm=(1000, 500),
    ) == taken.pool(V4)
    assert [(5, 18, "A"), (0, 6, "B")] == [
        (token.transfer_fee_ppm, token.decimals, token.symbol) for token in taken.tokens.values()
    ]


def test_tokens_come_in_any_order_and_any_case() -> None:
    """What is a token's goes with it; what has the pool's own direction stays."""
    made = document()
    for pool in made["pools"]:
        pool["tokens"] = [B.upper().replace("X", "x"), A]
    made["pools"][0]["reserves"].reverse()

    assert read(json.dumps(made).encode()) == read(json.dumps(document()).encode())


def test_integers_and_decimal_strings_are_one() -> None:
    """Either form is read, however large the number."""
    other = document()
    other["pools"][0] |= {"reserves": [1000, 2**112 - 1], "fee_ppm": "3000"}
    other["pools"][1] |= {
        "fee_ppm": "500",
        "tick_spacing": "10",
        "sqrt_price_x96": PRICE,
        "tick": "0",
        "liquidity": 12345,
        "ticks": [["-100", 12345], [100, -12345]],
    }
    other["block"] |= {"number": "22000000"}

    assert read(json.dumps(other).encode()) == read(json.dumps(document()).encode())


def test_gas_and_flash_are_kept(tmp_path: Path) -> None:
    """What a file says of a pool for routes is there after reading and writing."""
    data = changed(0, gas=90_000, flash=True)
    data = data.replace(b'"kind": "concentrated"', b'"kind": "concentrated", "flash": false')
    found = read(data)
    write_pools(tmp_path / "p.json", found.snapshot, gas=found.gas, flash=found.flash)

    assert ({V2: 90_000}, frozenset({V2})) == (found.gas, found.flash)
    assert found == read_pools(tmp_path / "p.json")


def test_what_is_written_is_read_again(tmp_path: Path, seed: int) -> None:
    """Random snapshots survive a file to the unit; equal ones are the same bytes."""
    rng = random.Random(seed)
    for _ in range(50):
        pools = [_random_pool(rng, place) for place in range(rng.randrange(6))]
        taken = msgspec.structs.replace(
            read(json.dumps(document()).encode()).snapshot, pools={pool.id: pool for pool in pools}
        )
        other = msgspec.structs.replace(
            taken,
            pools=dict(reversed(taken.pools.items())),
            tokens=dict(reversed(taken.tokens.items())),
        )
        write_pools(tmp_path / "p.json", taken)

        assert taken == read_pools(tmp_path / "p.json").snapshot, seed
        assert encode(other) == (tmp_path / "p.json").read_bytes(), seed


def _random_pool(rng: random.Random, place: int) -> Pool:
    pool = Address(f"0x{place + 1:040x}")
    if rng.random() < 0.3:
        reserve0, reserve1 = (rng.randrange(2 ** rng.choice([1, 64, 112])) for _ in range(2))
        return ConstantProduct(id=pool, token0=A, token1=B, reserve0=reserve0, reserve1=reserve1)
    spacing = rng.choice([1, 10, 60])
    places = sorted(rng.sample(range(-400, 400), rng.randrange(6)))
    curve: dict[str, Any] = {
        "token0": A,
        "token1": B,
        "fee_ppm": rng.randrange(10**6),
        "tick_spacing": spacing,
        "sqrt_price_x96": rng.choice([0, PRICE]),
        "tick": 0,
        "liquidity": rng.randrange(2**128),
        "ticks": tuple((tick * spacing, rng.randrange(-(2**100), 2**100)) for tick in places),
        "known": rng.choice([(-887272, 887272), (-25600, 25599)]),
        "gross": rng.choice([(), tuple(2**101 + 2 * tick for tick in places)]),
    }
    if curve["gross"]:
        curve["ticks"] = tuple((tick, net - net % 2) for tick, net in curve["ticks"])
    if rng.random() < 0.5:
        return Concentrated(id=pool, **curve)
    return ConcentratedV4(
        id=Hash(f"0x{place + 1:064x}"),
        hooks=HOOK,
        protocol_fee_ppm=rng.choice([(0, 0), (1, 1000)]),
        dynamic_fee=rng.random() < 0.5,
        manager=rng.choice([POOL_MANAGER, C]),
        **curve,
    )


@pytest.mark.parametrize(
    ("place", "fields", "said"),
    [
        (0, {"reserves": None}, "reserves: is missing; give a list of 2 decimal strings"),
        (0, {"fee_ppm": None}, "fee_ppm: is missing"),
        (0, {"tokens": None}, "tokens: is missing"),
        (0, {"reserves": ["1", 1.5]}, r"reserves\[1\]: is 1.5, a float; give"),
        (0, {"reserves": ["1", 1.0]}, r"reserves\[1\]: is 1.0, a float; give"),
        (0, {"reserves": ["1", "1.5"]}, r"reserves\[1\]: is '1.5'; give a decimal string"),
        (0, {"reserves": ["1", "1e18"]}, r"reserves\[1\]: is '1e18'; give"),
        (0, {"reserves": ["1", "0x10"]}, r"reserves\[1\]: is '0x10'; give"),
        (0, {"reserves": ["1", " 1"]}, r"reserves\[1\]: is ' 1'; give"),
        (0, {"reserves": ["1", "\u0661"]}, r"reserves\[1\]: is '\u0661'; give"),
        (0, {"reserves": ["1", ""]}, r"reserves\[1\]: is ''; give"),
        (0, {"reserves": ["1", True]}, r"reserves\[1\]: is True; give"),
        (0, {"reserves": ["1", 0, 2]}, "reserves: has 3 items; give 2"),
        (0, {"reserves": {"0": 1}}, "reserves: is {'0': 1}; give a list"),
        (0, {"reserves": [str(2**112), 1]}, rf"reserves\[0\]: {2**112} does not fit uint112"),
        (0, {"reserves": ["-1", 1]}, r"reserves\[0\]: -1 does not fit uint112"),
        (0, {"reserves": ["9" * 5000, 1]}, r"reserves\[0\]: is '9{99}… \(5002 characters\)"),
        (0, {"fee_ppm": 10**6}, "fee_ppm: 1000000 is not between 0 and 999999"),
        (0, {"fee_ppm": 0.003}, "fee_ppm: is 0.003, a float; give"),
        (0, {"kind": "weighted"}, "kind: unknown kind: weighted .known: concentrated, constant_p"),
        (0, {"kind": None}, "kind: is missing"),
        (0, {"kind": 7}, "kind: is 7; give a text"),
        (0, {"tokens": [A, A]}, f"tokens: name one token twice: {A}, {A}"),
        (0, {"tokens": [A]}, "tokens: has 1 items; give 2"),
        (0, {"tokens": [A, "0xb"]}, r"tokens\[1\]: address '0xb' is not 0x followed by 40 hex"),
        (0, {"tokens": [A, 5]}, r"tokens\[1\]: is 5; give a list of 2 addresses"),
        (0, {"tokens": [A, C]}, f"tokens: {C} is not among the tokens of the file"),
        (0, {"gas": -1}, "gas: -1 is not between 0 and"),
        (0, {"gas": 1.5}, "gas: is 1.5, a float; give"),
        (0, {"flash": 1}, "flash: is 1; give true or false"),
        (1, {"liquidity": None}, "liquidity: is missing"),
        (1, {"ticks": None}, "ticks: is missing"),
        (1, {"tick_spacing": None}, "tick_spacing: is missing"),
        (1, {"sqrt_price_x96": None}, "sqrt_price_x96: is missing"),
        (1, {"sqrt_price_x96": 7.9e28}, r"sqrt_price_x96: is 7.9e\+28, a float; give"),
        (1, {"sqrt_price_x96": "1"}, "sqrt_price_x96: sqrt price 1 is outside"),
        (1, {"liquidity": str(2**128)}, f"liquidity: {2**128} does not fit uint128"),
        (1, {"tick": 1}, "tick: 1 does not belong to the price, whose tick is 0"),
        (1, {"tick": 10**30}, "tick: 1000000000000000000000000000000 does not belong"),
        (1, {"tick_spacing": 0}, "tick_spacing: 0 is not between 1 and 16383"),
        (1, {"ticks": [[100, "1"], [-100, "1"]]}, "ticks: -100 is out of order"),
        (1, {"ticks": [[100, "1"], [100, "1"]]}, "ticks: 100 is out of order"),
        (1, {"ticks": [[887280, "1"]]}, "ticks: 887280 is out of order or outside"),
        (1, {"ticks": [[5, "1"]]}, "ticks: 5 is no multiple of the spacing 10"),
        (1, {"ticks": [[10, str(2**127)]]}, f"ticks: the net liquidity {2**127} at 10 does not"),
        (1, {"ticks": [[10, "1", "1"]]}, r"ticks\[0\]: is \[10, '1', '1'\]; give a list of pairs"),
        (1, {"ticks": [[10, "1"], [20, 2.5]]}, r"ticks\[1\]\[1\]: is 2.5, a float; give"),
        (1, {"ticks": [["1_0", "1"]]}, r"ticks\[0\]\[0\]: is '1_0'; give a decimal string"),
        (1, {"ticks": None, "tick": None}, "tick: is missing"),
        (1, {"known": [10, -10]}, r"known: \(10, -10\) is no range"),
        (1, {"gross": [1]}, "gross: .* 2 ticks"),
        (1, {"variant": "v5"}, "variant: unknown variant: v5 .known: v3, v4"),
        (1, {"variant": "v4"}, f"id: hash '{V3}' is not 0x followed by 64 hex digits"),
        (2, {"variant": None}, "id: address '0x4444'... .66 characters. is not 0x followed by 40"),
        (2, {"fee_ppm": 8388608}, "fee_ppm: 8388608 is not between 0 and 1000000"),
        (2, {"protocol_fee_ppm": [1, 1001]}, r"protocol_fee_ppm: \(1, 1001\) are not both"),
        (2, {"protocol_fee_ppm": 1}, "protocol_fee_ppm: is 1; give a list of 2"),
        (2, {"hooks": "0x"}, "hooks: address '0x' is not 0x followed by 40"),
        (2, {"hooks": DEAD}, f"hooks: {DEAD} is never called"),
        (2, {"dynamic_fee": 1}, "dynamic_fee: is 1; give true or false"),
        (2, {"tick_spacing": 32768}, "tick_spacing: 32768 is not between 1 and 32767"),
    ],
)
def test_a_wrong_field_is_named_with_its_pool(
    place: int, fields: dict[str, Any], said: str
) -> None:
    """File, pool, field, what stands there and what should: one line, whatever is wrong."""
    pool = (V2, V3, V4)[place]

    with pytest.raises(DataError, match=rf"^pools.json: pool {pool}: {said}") as caught:
        read(changed(place, **fields))

    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d["pools"][1].update(id=V2), f"pool {V2}: id: is in the file twice"),
        (lambda d: d["pools"][1].update(id="7"), "pool 7: id: address '7' is not 0x"),
        (lambda d: d["pools"][1].update(id=7), r"pools\[1\]: id: is 7; give an address"),
        (lambda d: d["pools"][1].pop("id"), r"pools\[1\]: id: is missing"),
        (lambda d: d["pools"].append(5), r"pools\[3\]: is 5; give a JSON object"),
        (lambda d: d.pop("pools"), "pools: is missing; give a list"),
        (lambda d: d.pop("tokens"), "tokens: is missing; give a list"),
        (lambda d: d.pop("block"), "block: is missing"),
        (lambda d: d.pop("version"), "version: is missing"),
        (lambda d: d.update(version=2), "version: is 2; this toolkit reads 1"),
        (lambda d: d.update(version=1.0), "version: is 1.0, a float"),
        (lambda d: d.update(pools={}), "pools: is {}; give a list"),
        (lambda d: d.update(block=7), "block: is 7; give a JSON object"),
        (lambda d: d["block"].pop("hash"), "block: hash: is missing"),
        (lambda d: d["block"].update(hash="0x11"), "block: hash: hash '0x11' is not 0x"),
        (lambda d: d["block"].update(number=-1), "block: number: -1 is not between 0"),
        (lambda d: d["tokens"][1].pop("decimals"), r"tokens\[1\]: decimals: is missing"),
        (lambda d: d["tokens"][1].update(decimals=256), r"tokens\[1\]: decimals: 256 is not"),
        (lambda d: d["tokens"][1].update(address=A), r"tokens\[1\]: address: 0xa+ is among"),
        (
            lambda d: d["tokens"][1].update(transfer_fee_ppm=10**6),
            r"tokens\[1\]: transfer_fee_ppm: 1000000 is not between 0 and 999999",
        ),
    ],
)
def test_what_is_wrong_outside_of_pools_is_named(
    change: Callable[[dict[str, Any]], object], said: str
) -> None:
    """Version, block, tokens and pools without an id are named by where they are."""
    made = document()
    change(made)

    with pytest.raises(DataError, match=f"^pools.json: {said}"):
        read(json.dumps(made).encode())


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "pools.json: is no JSON at column 1: Input is a zero-length"),
        (b"[]", r"pools.json: is \[\]; give a JSON object"),
        (b'{"version": 1,\n "block": }', "pools.json: is no JSON at line 2, column 11: unexpected"),
        (b'{"version": 1', "pools.json: is no JSON at column 14: unexpected end of data"),
        (b'{"version": "\xff"}', "pools.json: is no JSON at column 1: str is not valid UT"),
        (b"[" * 200_000, "pools.json: is no JSON at column 1026: depth limit exceeded"),
        (b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}", "pools.json: .* depth limit exceeded"),
        (b'{"a":' + b"9" * 400 + b"[" * 200_000, "pools.json: is no JSON at column [67]"),
        (b'{"a":[' + b"9" * 400 + b"," + b"[" * 200_000, "pools.json: .* depth limit exceeded"),
        (b"9" * 100_000, "pools.json: is .*; give a JSON object"),
        (b'{"version": ' + b"9" * 100_000 + b"}", "pools.json: version: is .*; give a decimal"),
        (b'{"version": NaN}', "pools.json: is no JSON at column 13: unexpected character"),
        (b'{"version": ' + b"9" * 4301 + b"}", "pools.json: version: is an integer of 4301 digits"),
        (
            b'{"a":"' + b"9" * 5000 + b'","version": -' + b"9" * 4999 + b"}",
            "pools.json: version: is an integer of 4999 digits",
        ),
        (
            b'{"version": 1, "block": {"number": 1}, "version": 1}',
            "pools.json: 'version': is given twice, which says two",
        ),
        (
            b'{"version": 1, "block": {"number": 1, "number" :2}}',
            "pools.json: block: 'number': is given twice",
        ),
        (
            b'{"version": 1, "block": {"number": 1, "n\\u0075mber": 2}}',
            "pools.json: block: 'number': is given twice",
        ),
        (b'{"version": 1, "a:": 1, "a:": 2}', "pools.json: 'a:': is given twice"),
        (b'{"version": 1, "a": {"b": 1}, "a": {"b": 2}}', "pools.json: 'a': is given twice"),
        (b'{"version": 1, "a\\u003a": 1, "b": 1, "b": 2}', "pools.json: 'b': is given twice"),
        (
            b'{"a:": ' + b"[" * 1022 + b"]" * 1022 + b"}",
            "pools.json: (is nested too deeply|version: is missing)",
        ),
        (b'{"version": 1e999}', "pools.json: is no JSON at column 13: number is infinity"),
    ],
)
def test_what_is_no_json_is_named_with_its_line(data: bytes, said: str) -> None:
    """No text, no object, cut, nested without end: one line each, also at py-ecc's own limit."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(100_000, before))
    try:
        with pytest.raises(DataError, match=f"^{said}"):
            read(data)
    finally:
        sys.setrecursionlimit(before)


def test_no_depth_is_more_than_one_line() -> None:
    """Wherever the interpreter's own limit is met, while fields are counted too."""
    before = sys.getrecursionlimit()
    said = set()
    try:
        sys.setrecursionlimit(1000)
        for depth in range(880, 1023):
            with pytest.raises(DataError) as caught:
                read(b'{"a:": ' + b"[" * depth + b"]" * depth + b"}")
            said.add(str(caught.value))
    finally:
        sys.setrecursionlimit(before)

    assert "pools.json: version: is missing; give a decimal string or an integer" in said
    assert all(one.startswith("pools.json: ") for one in said)


def test_fields_of_inner_objects_and_texts_are_their_own() -> None:
    """What several objects have is not given twice, nor what only looks like a field."""
    made = document()
    made["version:"] = {"a": {"a": "a:"}, "b": [{"a": 1}, {"a": 2}]}
    made["tokens"][0]["symbol"] = '"symbol": "B"'
    made["pools"][0]["kind:"] = "kind"

    file = read(json.dumps(made, indent=1).replace('":', '" :').encode())

    assert '"symbol" : "B"' == file.snapshot.tokens[A].symbol
    assert 2 == len(file.warnings)


@pytest.mark.parametrize("field", ["id", "fee_ppm", "reserves", "gas"])
def test_a_field_of_a_pool_given_twice_is_named(field: str) -> None:
    """Two values of one field may mean either, so neither is taken."""
    made = document()
    made["pools"][0]["gas"] = 1
    pool = json.dumps(made["pools"][0])
    twice = pool[:-1] + f', "{field}": 5}}'

    with pytest.raises(DataError, match=rf"^pools.json: pools\[0\]: '{field}': is given twice"):
        read(json.dumps(made).replace(pool, twice).encode())


def test_no_damage_is_more_than_one_line(seed: int) -> None:
    """Bytes changed, cut out or doubled at random: the file is read, or one line says why not."""
    rng = random.Random(seed)
    whole = encode(read(json.dumps(document()).encode()).snapshot, gas={V2: 1}, flash={V3})
    said: list[str] = []
    for _ in range(2000):
        start = rng.randrange(len(whole))
        end = start + rng.choice([0, 1, 1, 1, 2, 8, 64])
        filling = rng.choice(
            [b"", whole[start:end] * 2, bytes([rng.randrange(256)]), b"1e9", b"[", b'"', b"null"]
        )
        try:
            read(whole[:start] + filling + whole[end:])
        except DataError as error:
            said.append(str(error))

    assert len(said) > 1000
    assert [] == [line for line in said if not line.startswith("pools.json") or "\n" in line], seed


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Reading and writing where nothing can be says where, and why."""
    with pytest.raises(DataError, match=r"none\.json: No such file or directory; name a pools"):
        read_pools(tmp_path / "none.json")
    with pytest.raises(DataError, match="Is a directory"):
        read_pools(tmp_path)
    with pytest.raises(DataError, match="No such file or directory; name another"):
        write_pools(tmp_path / "no" / "p.json", read(json.dumps(document()).encode()).snapshot)


def test_each_unknown_field_is_one_warning() -> None:
    """However often it is there, and shown so that a terminal is safe from it."""
    made = document()
    for pool in made["pools"]:
        pool |= {"dex": "sushi", "\x1b[2J": 1}
    made["pools"].append({**made["pools"][0], "id": V3[:-1] + "3"})
    made["note"] = [1.5]
    found = read(json.dumps(made).encode())

    assert read(json.dumps(document()).encode()).snapshot.pools.items() <= (
        found.snapshot.pools.items()
    )
    assert [
        f"pools.json: pool {V2}: 'dex': unknown field, ignored here and in 1 more",
        f"pools.json: pool {V2}: '\\x1b[2J': unknown field, ignored here and in 1 more",
        f"pools.json: pool {V3}: 'dex': unknown field, ignored here and in 1 more",
        f"pools.json: pool {V3}: '\\x1b[2J': unknown field, ignored here and in 1 more",
        "pools.json: 'note': unknown field, ignored",
    ] == list(found.warnings)
