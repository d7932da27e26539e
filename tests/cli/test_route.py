"""`toolkit route quote`: one quote, or a stream of them, from a pools file."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from toolkit.cli import route_batch
from toolkit.cli.main import main
from toolkit.model.chain import Address
from toolkit.pools.file import read_pools

ROOT = Path(__file__).resolve().parents[2]
A, B, POOL, V3 = ("0x" + digit * 40 for digit in "ab12")
FILE: dict[str, Any] = {
    "version": 1,
    "block": {"number": 1, "hash": "0x" + "11" * 32, "timestamp": 1},
    "tokens": [
        {"address": A, "symbol": "USDC", "decimals": 6},
        {"address": B, "symbol": "WETH", "decimals": 18},
    ],
    "pools": [
        {
            "id": POOL,
            "kind": "constant_product",
            "tokens": [A, B],
            "reserves": [str(2 * 10**12), str(10**21)],
            "fee_ppm": 3000,
        },
        {
            "id": V3,
            "kind": "concentrated",
            "tokens": [A, B],
            "fee_ppm": 500,
            "tick_spacing": 10,
            "sqrt_price_x96": str(2**96),
            "tick": 0,
            "liquidity": str(10**18),
            "ticks": [[-1000, str(10**18)], [1000, str(-(10**18))]],
        },
    ],
}
ONE = ["--pool", POOL, "--in", "USDC", "--out", "WETH", "--amount", "2000000000"]
GIVEN = "996006981039903216"  # 2000 USDC x 0.997 into 2 million USDC and 1000 WETH


@pytest.fixture
def pools(tmp_path: Path) -> str:
    (tmp_path / "pools.json").write_text(json.dumps(FILE))
    return str(tmp_path / "pools.json")


def quote(*words: str) -> int:
    return main(["route", "quote", *words])


def query(**fields: object) -> str:
    return json.dumps(
        {"pool": POOL, "in": "USDC", "out": "WETH", "amount": "2000000000", "exact": "in"} | fields
    )


def piped(*words: str, stdin: str, reader: str = "cat") -> "subprocess.CompletedProcess[str]":
    """The command between two other processes."""
    command = f'"{sys.executable}" -m toolkit route quote {" ".join(words)} | {reader}'
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_one_quote_is_told_to_people_and_to_programs(
    pools: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exact integer first, in whole units behind it; with --json the integer as a string."""
    codes = [
        quote(pools, *ONE),
        quote(pools, *ONE, "--json"),
        quote(pools, *ONE[:-1], GIVEN, "--exact", "out"),
        quote(pools, *ONE[:-1], GIVEN, "--exact", "out", "--json"),
    ]
    said = capsys.readouterr()

    assert [0] * 4 == codes
    assert "" == said.err
    assert [
        f"{GIVEN} (0.996006981039903216 WETH out)",
        json.dumps({"amount": GIVEN}),
        "2000000000 (2000 USDC in)",
        json.dumps({"amount": "2000000000"}),
    ] == said.out.splitlines()


def test_a_price_limit_is_passed_on(pools: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A concentrated pool stops there."""
    words = ["--pool", V3, "--in", A, "--out", B, "--amount", str(10**18), "--json"]
    quote(pools, *words)
    quote(pools, *words, "--sqrt-price-limit", str(2**96 - 2**80))
    whole, limited = (
        int(json.loads(line)["amount"]) for line in capsys.readouterr().out.split("\n")[:2]
    )

    assert 0 < limited < whole


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (ONE[:-2], 2, "--amount missing; give them, or --batch QUERIES"),
        ([], 2, "--pool, --in, --out, --amount missing; give them, or --batch QUERIES"),
        ([*ONE[:-1], "1.5"], 2, "argument --amount: '1.5' is no whole number of smallest units"),
        ([*ONE[:-1], "-1"], 2, "argument --amount: '-1' is no whole number of smallest units"),
        ([*ONE[:-1], "9" * 5000], 2, "' is no whole number of smallest units of up to 78"),
        ([*ONE[:-1], "0"], 1, f"pool {POOL}: amount_in: 0 is not positive"),
        ([*ONE[:-1], str(2**255)], 1, f"pool {POOL}: amount_in: {2**255} lifts the reserve beyond"),
        ([*ONE, "--exact", "half"], 2, "argument --exact: invalid choice: 'half'"),
        ([*ONE, "--sqrt-price-limit", "5"], 1, f"pool {POOL}: sqrt_price_limit_x96: 5 given, but"),
        (["--pool", "0x9", *ONE[2:]], 2, "pools.json: pool: '0x9' is not the id of one of the 2"),
        ([*ONE[:3], "DAI", *ONE[4:]], 2, f"pools.json: pool {POOL}: in: 'DAI' is neither of its"),
        ([*ONE, "--batch", "-"], 2, "--batch has pool, tokens and amount in its lines"),
        (["--batch", "/no/such"], 2, "queries '/no/such': No such file or directory; name a file"),
    ],
)
def test_what_cannot_be_quoted_is_one_line(
    pools: str, words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bad usage and bad input are 2, what the contract would revert on is 1."""
    assert code == quote(pools, *words)
    out, err = capsys.readouterr()
    assert "" == out
    assert said in err
    assert 1 == err.count("\n")


def test_a_bad_pools_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A float is named with file, pool and field, also as JSON."""
    bad = json.loads(json.dumps(FILE))
    bad["pools"][0]["reserves"][0] = 1.5
    (tmp_path / "bad.json").write_text(json.dumps(bad))

    assert 2 == quote(str(tmp_path / "bad.json"), *ONE, "--json")
    out, err = capsys.readouterr()
    assert f"bad.json: pool {POOL}: reserves[0]: is 1.5, a float; give" in err
    assert f"toolkit: {json.loads(out)['error']}\n" == err


def test_unknown_fields_are_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line each on stderr; the answer stays alone on stdout."""
    odd = json.loads(json.dumps(FILE))
    odd["pools"][0]["dex"] = "sushi"
    (tmp_path / "odd.json").write_text(json.dumps(odd))
    (tmp_path / "q.jsonl").write_text(f"{query(note=1)}\n{query(note=2)}\n")

    assert 0 == quote(str(tmp_path / "odd.json"), "--batch", str(tmp_path / "q.jsonl"))
    out, err = capsys.readouterr()
    assert 2 * f'{{"amount": "{GIVEN}"}}\n' == out
    assert (
        f"toolkit: warning: {tmp_path}/odd.json: pool {POOL}: 'dex': unknown field, ignored\n"
        "toolkit: warning: line 1: 'note': unknown field, ignored\n"
    ) == err


def test_a_batch_is_answered_line_by_line(
    pools: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What reverts has an error, what is no query one with its number; the rest goes on."""
    lines = [query(), query(amount=0), "", "{", query(pool=V3, exact="out"), query(amount=1.5)]
    (tmp_path / "q.jsonl").write_text("\n".join(lines))

    code = quote(pools, "--batch", str(tmp_path / "q.jsonl"))

    out, err = capsys.readouterr()
    answers = [json.loads(line) for line in out.splitlines()]
    assert 2 == code
    assert [
        {"amount": GIVEN},
        {"error": f"pool {POOL}: amount_in: 0 is not positive"},
        {"error": "line 4: is no JSON at column 2: unexpected end of data"},
        {"amount": str(read_pools(pools).snapshot.quote_out(Address(V3), Address(B), 2 * 10**9))},
        {"error": "line 6: amount: is 1.5, a float; give a decimal string or an integer"},
    ] == answers
    assert (
        f"toolkit: 2 of 6 lines of {tmp_path}/q.jsonl are no queries of these pools; the first: "
        "line 4: is no JSON at column 2: unexpected end of data\n"
    ) == err


def test_reverts_alone_are_a_success(
    pools: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A batch of which every line was understood exits 0, with --json as without."""
    (tmp_path / "q.jsonl").write_text(f"{query(amount=0)}\n{query()}\n")
    words = (pools, "--batch", str(tmp_path / "q.jsonl"))

    assert [0, 0] == [quote(*words), quote(*words, "--json")]
    first, second, *again = capsys.readouterr().out.splitlines()
    assert [first, second] == again
    assert ("error", "amount") == (*json.loads(first), *json.loads(second))


def test_a_reader_that_has_seen_enough_ends_a_batch_quietly(pools: str) -> None:
    """`| head -1` of many answers has the first, exits 0, and says nothing."""
    done = piped(pools, "--batch", "-", stdin=f"{query()}\n" * 20_000, reader="head -1")

    assert (0, f'{{"amount": "{GIVEN}"}}\n', "") == (done.returncode, done.stdout, done.stderr)


def test_an_answer_does_not_wait_for_the_next_question(pools: str) -> None:
    """A program that asks through a pipe has each answer before it asks on."""
    buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    with subprocess.Popen(
        [sys.executable, "-m", "toolkit", "route", "quote", pools, "--batch", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**buffered, "PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(3):
            process.stdin.write(f"{query()}\n")
            process.stdin.flush()

            assert f'{{"amount": "{GIVEN}"}}\n' == process.stdout.readline()
        process.stdin.close()
        assert 0 == process.wait()


def test_what_is_read_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a line without an end no more is at hand than says that it is too long."""
    monkeypatch.setattr(route_batch, "MAX_LINE", 100)
    monkeypatch.setattr(route_batch, "CHUNK", 64)
    (tmp_path / "q").write_bytes(b"x" * 10_000 + b"\nshort\n" + b"y" * 10_000)
    with (tmp_path / "q").open("rb") as stream:
        lines = [line for some in route_batch._read(stream) for line in some]

    assert [b"x", b"s", b"y"] == [line[:1] for line in lines]
    assert max(map(len, lines)) <= 101 + 64


def test_unknown_fields_without_end_are_told_so_often(
    pools: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each once, and no more than twenty of them."""
    lines = [query(**{f"field{number % 30}": 1}) for number in range(60)]
    (tmp_path / "q.jsonl").write_text("\n".join(lines))

    assert 0 == quote(pools, "--batch", str(tmp_path / "q.jsonl"))
    assert [f"'field{number}'" for number in range(20)] == [
        line.split(": ")[3] for line in capsys.readouterr().err.splitlines()
    ]


def test_a_line_without_an_end_is_not_kept(
    pools: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond its bound a line is broken, counted once, and the next one is read."""
    monkeypatch.setattr(route_batch, "MAX_LINE", 1000)
    (tmp_path / "q.jsonl").write_text(f"{'x' * 10_000}\n{query()}\n{' ' * 1001}")

    assert 2 == quote(pools, "--batch", str(tmp_path / "q.jsonl"))
    assert [
        {"error": "line 1: is longer than 1000 bytes; give a JSON object"},
        {"amount": GIVEN},
    ] == [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_compiled_answers_are_the_same(
    pools: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that is long enough for the kernels has the answers and errors of a short one."""
    amounts = [0, 1, -1, 10**6, 10**12, 10**30, 2**255, 2**256, 2**256 + 10**6, "x"]
    lines = [
        query(pool=pool, amount=amount, exact=exact, sqrt_price_limit_x96=limit)
        for pool in (POOL, V3)
        for amount in amounts
        for exact in ("in", "out")
        for limit in (0, 2**96 - 2**80)
    ]
    (tmp_path / "q.jsonl").write_text("\n".join(lines))
    words = (pools, "--batch", str(tmp_path / "q.jsonl"))
    quote(*words)
    alone = capsys.readouterr().out
    monkeypatch.setattr(route_batch, "COMPILED_FROM", 1)
    quote(*words)

    assert len(lines) == len(alone.splitlines())
    assert alone == capsys.readouterr().out  # the other stream says when compiling takes long


@pytest.mark.realdata
def test_recorded_quotes_are_answered(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mainnet pool's recorded state, as a pools file, gives QuoterV2's recorded answers."""
    raw = gzip.decompress(
        (data_dir / "pools" / "v3_wbtc_weth_24407242_quotes_half.json.gz").read_bytes()
    )
    recorded = json.loads(raw)["data"]
    (tmp_path / "pools.json").write_text(json.dumps(as_pools_file(recorded["state"])))
    asked = [key.split("|") for key in recorded["onchain_quotes"]]
    (tmp_path / "q.jsonl").write_text("\n".join(map(as_query, asked)))

    assert 0 == quote(str(tmp_path / "pools.json"), "--batch", str(tmp_path / "q.jsonl"))
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(asked) >= 40
    assert [{"amount": str(value)} for value in recorded["onchain_quotes"].values()] == answers


def as_pools_file(state: dict[str, Any]) -> dict[str, Any]:
    """The recorded state in the published format."""
    scalars, tokens = state["scalars"], [state["token0"], state["token1"]]
    pool = {
        "id": state["pool"],
        "kind": "concentrated",
        "tokens": [token["address"] for token in tokens],
        "fee_ppm": scalars["fee"],
        **{name: scalars[name] for name in ("tick_spacing", "sqrt_price_x96", "tick", "liquidity")},
        "ticks": sorted([int(tick), str(row[1])] for tick, row in state["tick_data"].items()),
    }
    names = ("address", "symbol", "decimals")
    return {
        "version": 1,
        "block": {"number": state["block"], "hash": "0x" + "00" * 32, "timestamp": 0},
        "tokens": [{name: token[name] for name in names} for token in tokens],
        "pools": [pool],
    }


def as_query(asked: list[str]) -> str:
    """A recorded question; it was asked with the furthest price as its limit."""
    pool, function, pair, amount = asked
    token_in, token_out = pair.split("->")
    least, most = 4295128740, 1461446703485210103287273052203988822378723970341
    return json.dumps(
        {
            "pool": pool,
            "in": token_in,
            "out": token_out,
            "amount": amount,
            "exact": "in" if "Input" in function else "out",
            "sqrt_price_limit_x96": str(least if token_in == "WBTC" else most),
        }
    )
