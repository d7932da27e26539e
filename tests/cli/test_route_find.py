"""`toolkit route swap|arbitrage`: routes from a pools file, as documents and as lines."""

import json
from pathlib import Path
from typing import Any

import pytest

from toolkit.cli.main import main
from toolkit.model.chain import Address
from toolkit.pools.file import read_pools

WETH, USDC, DAI, LONE = ("0x" + digit * 40 for digit in "abcd")
ETHER = 10**18


def pair(number: int, tokens: tuple[str, str], reserves: tuple[int, int]) -> dict[str, Any]:
    return {
        "id": f"0x{number:040x}",
        "kind": "constant_product",
        "tokens": list(tokens),
        "reserves": [str(amount) for amount in reserves],
        "fee_ppm": 3000,
    }


def file(*pools: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": 1,
        "block": {"number": 7, "hash": "0x" + "11" * 32, "timestamp": 1},
        "tokens": [
            {"address": WETH, "symbol": "WETH", "decimals": 18},
            {"address": USDC, "symbol": "USDC", "decimals": 6},
            {"address": DAI, "symbol": "DAI", "decimals": 18},
            {"address": LONE, "symbol": "DAI", "decimals": 18},
        ],
        "pools": list(pools),
    }


BALANCED = (
    pair(1, (WETH, USDC), (1000 * ETHER, 3_000_000 * 10**6)),
    pair(2, (WETH, USDC), (2000 * ETHER, 6_000_000 * 10**6)),
)
APART = (BALANCED[0], pair(3, (WETH, USDC), (1000 * ETHER, 3_200_000 * 10**6)))


@pytest.fixture
def pools(tmp_path: Path) -> Path:
    return tmp_path / "pools.json"


def answered(
    pools: Path, capsys: pytest.CaptureFixture[str], given: dict[str, Any], *words: str
) -> dict[str, Any]:
    pools.write_text(json.dumps(given))
    assert 0 == main(["route", words[0], str(pools), *words[1:], "--json"])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def refused(
    pools: Path, capsys: pytest.CaptureFixture[str], given: dict[str, Any], *words: str
) -> tuple[int, str]:
    pools.write_text(json.dumps(given))
    code = main(["route", words[0], str(pools), *words[1:]])
    return code, capsys.readouterr().err


def run(pools: Path, document: dict[str, Any], held: dict[str, int]) -> dict[str, int]:
    """Swap hop after hop; no token may ever be short."""
    states = {str(name): pool for name, pool in read_pools(pools).snapshot.pools.items()}
    for hop in document["hops"]:
        held[hop["token_in"]] = held.get(hop["token_in"], 0) - int(hop["amount_in"])
        assert 0 <= held[hop["token_in"]]
        given, states[hop["pool"]] = states[hop["pool"]].swap_in(
            Address(hop["token_in"]), int(hop["amount_in"])
        )
        assert int(hop["amount_out"]) == given
        held[hop["token_out"]] = held.get(hop["token_out"], 0) + given
    return held


def test_a_swap_is_split_and_says_how_good_it_is(
    pools: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One third and two thirds for pools of one and two parts; amounts add up hop by hop."""
    words = ("swap", "--in", "WETH", "--out", USDC, "--amount", str(30 * ETHER))
    document = answered(pools, capsys, file(*BALANCED), *words)

    assert {
        "amount_in",
        "amount_out",
        "net_profit",
        "gas",
        "bound",
        "gap_bps",
        "hops",
        "flags",
    } == (set(document))
    held = run(pools, document, {WETH: 30 * ETHER})
    assert (0, int(document["amount_out"])) == (held[WETH], held[USDC])
    small, large = sorted(int(hop["amount_in"]) for hop in document["hops"])
    assert small * 2 == pytest.approx(large, rel=1e-6)
    assert int(document["amount_out"]) <= int(document["bound"])
    assert document["gap_bps"] < 0.5
    assert "0" == document["net_profit"]


def test_an_exact_output_is_bought_with_the_least(
    pools: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The output is there to the unit, for about what the other way round gives."""
    words = ("swap", "--in", "WETH", "--out", "USDC", "--amount", "89000000000", "--exact", "out")
    document = answered(pools, capsys, file(*BALANCED), *words)

    held = run(pools, document, {WETH: int(document["amount_in"])})
    assert 89_000_000_000 <= held[USDC] < 89_000_000_000 + 1000
    assert 30 * ETHER < int(document["amount_in"]) < 31 * ETHER


@pytest.mark.parametrize("limit", [(), ("--max-hops", "2")])
def test_what_pays_is_found_with_its_bound_and_its_gas(
    pools: Path, capsys: pytest.CaptureFixture[str], limit: tuple[str, ...]
) -> None:
    """Over all pools or as one cycle: profit less gas, at most what is proved to be possible."""
    words = (
        "arbitrage",
        "--token",
        "WETH",
        "--gas-price",
        "1000000000",
        "--native",
        "WETH",
        *limit,
    )
    document = answered(pools, capsys, file(*APART), *words)

    held = run(pools, document, {WETH: int(document["amount_in"])})
    profit = held[WETH] - int(document["amount_in"])
    assert int(document["amount_out"]) == held[WETH]
    assert profit - document["gas"] * 10**9 == int(document["net_profit"]) > 0
    assert int(document["net_profit"]) <= int(document["bound"])
    assert document["gap_bps"] < 100
    assert [] == document["flags"]


def test_where_nothing_pays_nothing_is_done(
    pools: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No hops, no gas, and no error: also where gas eats what there is."""
    for given, words in (
        (file(*BALANCED), ()),
        (file(*APART), ("--gas-price", str(10**14), "--native", "WETH")),
        (file(*APART), ("--max-hops", "2", "--gas-price", str(10**14), "--native", "WETH")),
    ):
        document = answered(pools, capsys, given, "arbitrage", "--token", "WETH", *words)

        assert [] == document["hops"]
        assert ["0"] * 3 == [document[name] for name in ("amount_in", "amount_out", "net_profit")]
        assert 0 == document["gas"]
        assert 0 <= int(document["bound"]) < 10**18


def test_people_are_told_in_whole_units(pools: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What it gives, how much more is possible, and every hop on a line of its own."""
    pools.write_text(json.dumps(file(*BALANCED)))
    order = ["--in", "WETH", "--out", "USDC", "--amount", str(30 * ETHER)]
    assert 0 == main(["route", "swap", str(pools), *order])
    lines = capsys.readouterr().out.splitlines()

    assert lines[0].startswith("30 WETH gives 8")
    assert "USDC is possible" in lines[0]
    assert 3 == len(lines)
    assert "(0.3 %): " in lines[1]
    pools.write_text(json.dumps(file(*APART)))
    assert 0 == main(["route", "arbitrage", str(pools), "--token", "WETH"])
    assert " WETH earns 0." in capsys.readouterr().out
    pools.write_text(json.dumps(file(*BALANCED)))
    assert 0 == main(["route", "arbitrage", str(pools), "--token", "WETH"])
    assert "nothing pays; at most 0 WETH is possible\n" == capsys.readouterr().out


def test_a_picture_is_a_file_of_its_own(
    pools: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--picture` draws the route beside the answer."""
    drawn = tmp_path / "route.svg"
    words = (
        "swap",
        "--in",
        "WETH",
        "--out",
        "USDC",
        "--amount",
        str(ETHER),
        "--picture",
        str(drawn),
    )
    answered(pools, capsys, file(*BALANCED), *words)

    assert drawn.read_text().startswith('<svg xmlns="http://www.w3.org/2000/svg"')


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (("--in", "NONE", "--out", "USDC", "--amount", "1"), 2, "--in: no pool has a token 'NONE'"),
        (("--in", "WETH", "--out", "WETH", "--amount", "1"), 1, "is no swap; ask for an arbitrage"),
        (("--in", "WETH", "--out", "USDC", "--amount", "0"), 1, "amount_in 0 must be positive"),
        (("--in", "WETH", "--out", "USDC", "--amount", "-1"), 2, "--amount"),
        (("--in", "WETH", "--out", "USDC", "--amount", "9"), 1, "too few: not a unit of"),
        (("--in", "WETH", "--out", LONE, "--amount", "1"), 1, "no path of up to 2 hops"),
        (("--in", "WETH", "--out", "DAI", "--amount", "1"), 2, "is the symbol of"),
    ],
)
def test_bad_questions_end_in_one_line(
    pools: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    code: int,
    line: str,
) -> None:
    """What, with which values, what to do; nothing of Python's."""
    apart = (pair(8, (DAI, LONE), (ETHER, ETHER)),)
    given, told = refused(pools, capsys, file(*BALANCED, *apart), "swap", *words)

    assert (code, 1) == (given, told.count("\n"))
    assert line in told


def test_gas_that_cannot_be_priced_is_said(pools: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a gas price and no way to the native token the command fails."""
    words = ("arbitrage", "--token", "WETH", "--gas-price", "1", "--native", LONE)
    apart = (pair(8, (DAI, LONE), (ETHER, ETHER)),)
    code, told = refused(pools, capsys, file(*APART, *apart), *words)

    assert 1 == code
    assert f"gas cannot be priced in {WETH}" in told
