import json
from random import Random

import pytest

from scripts.bench import quotes as bench
from toolkit.pools.swap_step import swap_step

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]  # kernels may have to be compiled


@pytest.fixture
def works(monkeypatch: pytest.MonkeyPatch) -> dict[str, bench.Work]:
    monkeypatch.setattr(bench, "PAIRS", 60)
    monkeypatch.setattr(bench, "BATCH", 30)
    monkeypatch.setattr(bench, "EVENTS", 4)
    monkeypatch.setattr(bench, "ROUNDS", 1)
    return bench._works(Random(3))


def test_the_stops_that_peers_walk_lead_to_our_amounts(works: dict[str, bench.Work]) -> None:
    """A plain loop over the job's stops, as degenbot's steps are driven, buys what we say."""
    job = json.loads(json.dumps(bench._job(works)))
    pool = job["ticked"]
    for name, work in works.items():
        if name == "pairs":
            continue
        ours = work.packed.quote_in(work.places, work.forward, work.amounts).amounts()
        for amount, expected in zip(job[name]["amounts"], ours, strict=True):
            price, liquidity, left, bought, crossed = (
                int(pool["price"]),
                int(pool["liquidity"]),
                int(amount),
                0,
                0,
            )
            for target, net in job[name]["stops"]:
                price, paid, got, fee = swap_step(price, int(target), liquidity, left, pool["fee"])
                left, bought = left - paid - fee, bought + got
                if not left or price != int(target):
                    break
                liquidity += int(net)
                crossed += 1

            assert expected == bought, name
            assert (crossed > bench.CROSSED) == name.startswith("deep")
            assert crossed == 0 or name.startswith("deep")


def test_another_amount_than_a_peers_ends_the_benchmark() -> None:
    """A speed is worth nothing beside another answer."""
    with pytest.raises(RuntimeError, match="pairs: quote 1 is 3, degenbot says 2"):
        bench._same("degenbot", "pairs", [1, 2], [1, 3])


def test_events_leave_the_pool_as_it_was(works: dict[str, bench.Work]) -> None:
    """Every event of the upkeep is taken back, so that each begins with the same tables."""
    before = works["deep, token0 in"].packed.pools[0]

    figures = bench._upkeep(works["deep, token0 in"])

    assert before == works["deep, token0 in"].packed.pools[0]
    assert {50} == {figure.target for figure in figures}
    assert 8 == len(figures)


def test_targets_are_the_issues(works: dict[str, bench.Work]) -> None:
    """15 and 8 times in pairs, 10 times within a tick, 100 and 1,000 times deep."""
    for work in works.values():
        for who, seconds in (("ours", 1e-9), ("degenbot", 3e-7), ("sdk", 5e-6), ("integers", 1e-7)):
            work.take(who, seconds, 1)
        work.take("ours, from and to integers", 1e-6, 1)
    pairs = bench._pair_figures(works["pairs"])
    shallow = bench._ticked("within a tick, token0 in", works["within a tick, token0 in"])
    deep = bench._ticked("deep, token1 in", works["deep, token1 in"])

    assert [20, 12.5] == pytest.approx([figure.target for figure in pairs if figure.target])
    assert [30] == pytest.approx([figure.target for figure in shallow if figure.target])
    assert [3, 5] == pytest.approx([figure.target for figure in deep if figure.target])
