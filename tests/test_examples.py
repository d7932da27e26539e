"""What authors are told to write works as it stands."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import toolkit as tk
from toolkit.model.decision import Verdict
from toolkit.testing.decide import OFFLINE_MARKET, decide, given, main_pool, price_series

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "scripts" / "examples").glob("*.py"))
MAX_LINES = 40
TIMEOUT_S = 120  # minutes on a machine that is busy otherwise, seconds on its own
SAYS = {
    "key_pool.py": r"^6 payments by 3 keys, asked for twice and sent once: True, in order: True$",
    "find_route.py": r"10 WETH give [\d.]+ USDC over \d pool\(s\)\n[\d.]+ WETH through \d pools",
    "own_agent.py": r"(?m)^\d+ \['dip'\] \[True\]$",
    "port_flashbots_script.py": r"^2 receipts, 42000 of 42000 gas simulated$",
    "port_web3_script.py": r"^status 1 in block \d+$",
    "quote_pools.py": r"(?m)^concentrated: [\d.]+ WETH buy \d+\.\d+ USDT$",
    "send_bundle.py": r"^landed in block \d+, our fees were 0\.00\d+ ETH$",
    "send_transaction.py": r"^confirmed in block \d+ for 0\.000\d+ ETH$",
}
PASTED = {
    ("README.md", "tk.connect"): r"^Confirmed\(",
    ("README.md", "BuyTheDip"): r"^dip: 0 defects in \d+ answers, seed \d+\n$",
    ("docs/bundles.md", "session.bundle()"): r"^Landed\(bundle_hash='0x",
    ("docs/pools.md", "tk.read_pools"): r"^996006981039903216\n$",
    ("docs/pools.md", "Packed.of"): r"^\[1993998011983982051, None\] pool 0xc+: amount_in: 0 is",
    ("docs/orchestration.md", "tk.Orchestrator"): r"^(\d+ \d \[.*\]\n){3}$",
    ("docs/orchestration.md", "tk.testing.fuzz"): r"^theirs: 1 defect .*\n  unit error: ",
    ("docs/orchestration.md", "tk.testing.decide"): r"^\[\('100-0', True, 'share 10000 bps",
}
"""What a block says when it is run, by its page and a word that only it has.

A block that needs names of its reader's own is marked `py`, and not run.
"""


def run(arguments: Sequence[str], folder: Path) -> str:
    """Run Python there, as an author would with the toolkit installed; what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        timeout=TIMEOUT_S,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout


def pasted(page: str, word: str) -> str:
    """The one Python block of a page that has this word in it."""
    (found,) = [block for block in blocks(page) if word in block]
    return found


def blocks(page: str) -> list[str]:
    """Every Python block of a page."""
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def verdicts(prices: Sequence[float]) -> tuple[Verdict, ...]:
    """What becomes of the README's agent when WETH's price took this path up to now."""
    names: dict[str, Any] = {}
    exec(compile(pasted("README.md", "BuyTheDip"), "README.md", "exec"), names)
    block = given(
        100,
        pools=(main_pool(f"{prices[-1]:.2f}"),),
        base_fee_wei=tk.gwei(1),
        readings=price_series(prices[:-1], before=100),
    )
    (usdc,) = (token for token in OFFLINE_MARKET.tokens if token.symbol == "USDC")
    capital = {usdc.address: tk.parse_units("10000", usdc.decimals)}
    return decide([names["BuyTheDip"]()], [block], capital=capital).verdicts


def test_every_example_is_held_to_what_it_says() -> None:
    """There is no example without an expectation, and none for an example that is gone."""
    assert sorted(SAYS) == [path.name for path in EXAMPLES]


@pytest.mark.timeout(2 * TIMEOUT_S)
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(path: Path, tmp_path: Path) -> None:
    """An example runs from any folder, offline, without a warning, and does what it is for."""
    said = run([str(path)], tmp_path)

    assert re.search(SAYS[path.name], said), said
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_needs_nothing_but_the_public_names(path: Path) -> None:
    """An example is short and imports the toolkit as `tk`, and nothing else that is installed."""
    text = path.read_text()
    imported = set(re.findall(r"^(?:import|from) (\S+)(?: as (\w+))?", text, re.MULTILINE))

    assert len(text.splitlines()) <= MAX_LINES
    assert ("toolkit", "tk") in imported
    assert {name for name, _ in imported} - {"toolkit"} <= sys.stdlib_module_names | {
        "collections.abc"
    }


@pytest.mark.parametrize("page", sorted({page for page, _ in PASTED}))
def test_every_block_is_held_to_what_it_says(page: str) -> None:
    """There is no block in a page without an expectation; each word names one."""
    words = [word for of, word in PASTED if of == page]

    assert sorted(blocks(page)) == sorted(pasted(page, word) for word in words)


@pytest.mark.timeout(2 * TIMEOUT_S)
@pytest.mark.parametrize(("page", "word"), PASTED, ids="-".join)
def test_a_block_runs_as_it_stands(page: str, word: str, tmp_path: Path) -> None:
    """What a page shows, pasted into a file, runs without a warning and says what it is for."""
    script = tmp_path / "pasted.py"
    script.write_text(pasted(page, word))

    said = run([str(script)], tmp_path)

    assert re.search(PASTED[page, word], said), said


def test_readme_agent_buys_a_dip_and_nothing_else() -> None:
    """The README's agent wishes for a trade 0.5 % below its high, which the market approves."""
    (bought,) = verdicts([3000.0] * 29 + [2980.0])

    assert bought.approved, bought.why
    assert (500 * 10**6,) == tuple(leg.amount_in for leg in bought.legs)
    assert () == verdicts([3000.0] * 29 + [2990.0])
    assert () == verdicts([3000.0] * 10 + [2980.0])
