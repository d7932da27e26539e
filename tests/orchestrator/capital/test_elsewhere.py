"""Holdings on another chain count here, less what it takes to bring them."""

from typing import Any

import msgspec
import pytest

from toolkit.model.chain import Address
from toolkit.model.decision import TradingState
from toolkit.model.errors import ConfigError
from toolkit.model.units import PPM
from toolkit.orchestrator.capital.elsewhere import (
    Elsewhere,
    Link,
    capital_elsewhere,
    held_elsewhere,
    pnl_elsewhere_wei,
)
from toolkit.orchestrator.mainnet import USDC, WETH
from toolkit.orchestrator.market import Side

NOW = 1_700_000_000
FREE = Link(transfer_blocks=0, haircut_ppm=0)


def there(
    held: int,
    *,
    link: Link = FREE,
    chain: str = "base",
    agent: str = "a",
    state: TradingState = TradingState.ACTIVE,
    age_s: int = 0,
) -> Elsewhere:
    """Another chain on which one agent holds some WETH."""
    return Elsewhere(
        chain=chain,
        block_number=5,
        observed_at=NOW - age_s,
        state=state,
        pnl_wei=held,
        books={agent: {WETH.address: held}},
        balances={WETH.address: 1_000, USDC.address: 500},
        link=link,
    )


def held(*others: Elsewhere, side: Side, agent: str | None = "a") -> int:
    """What counts of WETH."""
    return held_elsewhere(others, WETH.address, side, now_s=NOW, agent=agent)


def test_what_adds_up_counts_in_full_and_what_offsets_less_the_haircut() -> None:
    """A long there is a long here at its whole size; against a sale it counts 3 % less."""
    other = there(1_000, link=Link(transfer_blocks=0, haircut_ppm=30_000))
    short = there(-1_000, link=Link(transfer_blocks=0, haircut_ppm=30_000))

    assert 1_000 == held(other, side=Side.BUY)
    assert 970 == held(other, side=Side.SELL)
    assert -1_000 == held(short, side=Side.SELL)
    assert -970 == held(short, side=Side.BUY)


def test_a_transfer_costs_the_root_of_its_time() -> None:
    """Four times as long under way is twice the risk; all of it is the most there is."""
    links = [Link(transfer_blocks=n, haircut_ppm=1_000, sigma_ppm=500) for n in (0, 100, 400)]

    assert [1_000, 6_000, 11_000] == [link.cost_ppm for link in links]
    assert PPM == Link(transfer_blocks=10**12, haircut_ppm=1_000).cost_ppm


def test_an_offset_that_is_not_known_of_counts_for_nothing() -> None:
    """What was told too long ago, or is on a halted chain, adds up but offsets nothing."""
    late = there(1_000, link=Link(transfer_blocks=0, haircut_ppm=0, max_age_s=60), age_s=61)
    halted = there(1_000, state=TradingState.HALTED)
    reducing = there(1_000, state=TradingState.REDUCING)

    assert [0, 0, 1_000] == [held(one, side=Side.SELL) for one in (late, halted, reducing)]
    assert [1_000] * 3 == [held(one, side=Side.BUY) for one in (late, halted, reducing)]
    assert 0 == capital_elsewhere([late, halted], WETH.address, now_s=NOW)


def test_chains_and_agents_are_added_up() -> None:
    """One agent's own counts alone, everybody's together; wealth and gains are summed."""
    half = Link(transfer_blocks=0, haircut_ppm=PPM // 2)
    others = [there(1_000), there(-300, chain="op", link=half), there(50, chain="gno", agent="b")]

    assert 1_000 - 150 == held(*others, side=Side.BUY)
    assert 1_000 - 300 == held(*others, side=Side.SELL)
    assert 1_050 - 150 == held(*others, side=Side.BUY, agent=None)
    assert 1_000 + 500 + 1_000 == capital_elsewhere(others, WETH.address, now_s=NOW)
    assert 750 == pnl_elsewhere_wei(others)
    assert 0 == held_elsewhere(others, Address("0x" + "99" * 20), Side.BUY, now_s=NOW)


def test_plans_underway_count_where_they_would_add() -> None:
    """What may be bought there counts against buying here, and what may be sold against selling."""
    underway = msgspec.structs.replace(
        there(100),
        rising={"a": {WETH.address: 40}, "b": {WETH.address: 1}},
        falling={"a": {WETH.address: -300}},
    )

    assert 140 == held(underway, side=Side.BUY)
    assert 141 == held(underway, side=Side.BUY, agent=None)
    assert -200 == held(underway, side=Side.SELL)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("transfer_blocks", -1),
        ("haircut_ppm", -1),
        ("haircut_ppm", 0.5),
        ("haircut_ppm", PPM + 1),
        ("sigma_ppm", -1),
    ],
)
def test_a_link_that_cannot_be_is_refused(field: str, value: float) -> None:
    """Negative times, fractions and costs of more than all are refused by name and value."""
    values: dict[str, Any] = {"transfer_blocks": 1, "haircut_ppm": 1} | {field: value}

    with pytest.raises(ConfigError, match=f"link.{field} is {value}"):
        Link(**values)
