"""`toolkit replay`, `why` and `whatif` tell a journal's words without obeying any of them."""

import io
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec import structs

from toolkit.cli.main import main
from toolkit.model.decision import Intent, Leg, Verdict
from toolkit.orchestrator.mainnet import USDC, WETH
from toolkit.orchestrator.market import Market
from toolkit.reasoning.agent import Agent, View
from toolkit.testing.decide import OFFLINE_MARKET, Decided, decide, given, main_pool

EVIL = "\x1b[2J\x1b]0;owned\x07\r\n\u202egnol \u200b"
COIN = structs.replace(WETH, symbol=f"W{EVIL}")
MARKET = Market(
    wrapped=WETH.address,
    tokens=(COIN, USDC),
    stables=OFFLINE_MARKET.stables,
    prices=OFFLINE_MARKET.prices,
)


@dataclass
class Spoken:
    """Wishes for a trade, with whatever there is to say, and may rest on what nobody wrote."""

    reads: tuple[str, ...]
    name: str = "spoken"

    def on_block(self, view: View) -> Iterable[Intent]:
        """Sell one."""
        for key in self.reads:
            view.reading(key)
        leg = Leg(token_in=WETH.address, token_out=USDC.address, amount_in=10**18)
        yield Intent(agent=self.name, legs=(leg,), edge_wei=10**17, reason=EVIL + "x" * 400)


@dataclass
class Raising:
    """Fails in words of its own."""

    name: str = "raising"

    def on_block(self, view: View) -> Iterable[Intent]:
        """Fail."""
        raise ValueError(f"at {view.block.number}: {EVIL * 100}")


def run(journal: Path, *, reads: tuple[str, ...] = ()) -> Decided:
    """Two blocks of a market with an evil token."""
    agents: list[Agent] = [Spoken(reads), Raising()]
    blocks = [
        given(number, pools=(main_pool("2000"),), tokens=(COIN, USDC)) for number in (100, 101)
    ]
    capital = {WETH.address: 50 * 10**18}
    return decide(agents, blocks, capital=capital, market=MARKET, journal=journal)


@pytest.mark.parametrize("reads", [(), (f"key {EVIL}{'k' * 30_000}",)], ids=["landed", "vetoed"])
def test_what_agents_and_tokens_say_is_shown_and_does_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], reads: tuple[str, ...]
) -> None:
    """No line of any of the three holds more than text, and none goes on for ever."""
    journal = tmp_path / "journal.db"
    decided = run(journal, reads=reads)
    spoken: Verdict = next(one for one in decided.verdicts if "spoken" in one.agents)
    raising: Verdict = next(one for one in decided.verdicts if "raising" in one.agents)
    where = ("--journal", str(journal))

    codes = [
        main(["replay", str(journal)]),
        main(["why", spoken.verdict_id, *where]),
        main(["why", raising.verdict_id, *where]),
        main(["whatif", spoken.verdict_id, "--without", "raising", *where]),
    ]
    said = capsys.readouterr().out.split("\n")

    assert [0] * 4 == codes
    assert (not reads) == spoken.approved
    assert [] == [line for line in said if not line.isprintable() or len(line) > 1_100]
    assert any("W\\x1b[2J\\x1b]0;owned\\x07 \\u202egnol \\u200b" in line for line in said)
    assert any("ValueError: at 100: \\x1b[2J" in line for line in said)


def test_a_terminal_without_the_letters_gets_a_tree_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where an output cannot write a branch or a name, it is escaped: no traceback."""
    journal = tmp_path / "journal.db"
    decided = run(journal)
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))

    code = main(["why", decided.verdicts[0].verdict_id, "--journal", str(journal)])

    assert 0 == code
    assert b"\\u2514\\u2500 " in written.getvalue()
