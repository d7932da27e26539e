"""Own trades, feeds and breakers, watched for those who wait for them."""

import math
import random
from collections.abc import Mapping, Sequence

import msgspec
import pytest

from tests.orchestrator.pausing.test_decay import BPS
from tests.orchestrator.pausing.test_signals import KEY, Small, moved, series, walk
from tests.orchestrator.worlds import buys, fresh_seeds, sells
from toolkit.model.decision import Fill, Reading
from toolkit.model.errors import ConfigError
from toolkit.orchestrator.mainnet import USDC, WETH
from toolkit.orchestrator.pausing.decay import HORIZON, Decay
from toolkit.orchestrator.pausing.pauses import Breaker, Effect, Feed, Pause, compile_pauses
from toolkit.orchestrator.pausing.watch import ImpactWatch, WatchMemory, World
from toolkit.pools.snapshot import Snapshot
from toolkit.reasoning.agent import Agent, View
from toolkit.testing.decide import OFFLINE_MARKET, given, main_pool
from toolkit.testing.oscillators import Donchian

DONCHIAN = Donchian(base=WETH.address, quote=USDC.address)


class Other:
    """Somebody whose trades others wait for."""

    def __init__(self, name: str) -> None:
        self.name = name

    def on_block(self, view: View) -> tuple[()]:
        """Want nothing."""
        assert view
        return ()


class Waiting(Small):
    """A small linear signal, as an agent."""

    def on_block(self, view: View) -> tuple[()]:
        """Want nothing."""
        assert view
        return ()


AGENTS: tuple[Agent, ...] = (Waiting(), DONCHIAN, Other("arbitrage"), Other("taker"))


def watch(*pauses: Pause) -> ImpactWatch:
    """A watch over these pauses."""
    return ImpactWatch(compile_pauses(pauses, [agent.name for agent in AGENTS]), AGENTS)


def world(
    readings: Sequence[Reading],
    block: int,
    *,
    doubts: Mapping[str, str] | None = None,
    tripped: Mapping[str, str] | None = None,
) -> World:
    """What a block shows; readings after it are not known yet."""
    snapshot: Snapshot = given(block, pools=[main_pool("2000")]).snapshot
    known = tuple(reading for reading in readings if reading.block_number <= block)
    return World(
        block=block,
        readings={KEY: known} if known else {},
        snapshot=snapshot,
        market=OFFLINE_MARKET,
        doubts=doubts or {},
        tripped=tripped or {},
    )


def fill(block: int, agent: str = "arbitrage") -> Fill:
    """A landed trade."""
    return Fill(verdict_id=f"{block - 1}-0", agents=(agent,), landed=True, block_number=block)


LOGS = walk(random.Random(11), 400)


def test_an_own_trade_pauses_until_the_predicted_end() -> None:
    """The dependent is paused from the block of the fill, and free from the predicted one on."""
    one = watch(Pause("small", "arbitrage"))
    readings = series(LOGS)
    one.landed(fill(250), {KEY: 40 * BPS}, world(readings, 250))
    found = {block: one.assess(world(readings, block)) for block in range(250, 400)}

    paused = [block for block, mine in found.items() if any(each.paused for each in mine)]

    (first,) = found[250]
    assert 250 == paused[0]
    assert ("249-0",) == first.because
    assert f"free from block {first.until_block}" in first.why
    assert abs(first.until_block - paused[-1] - 1) <= max(4, len(paused) // 2)
    assert () == found[399]


def test_a_trade_below_the_threshold_of_others_or_of_another_price_is_nothing() -> None:
    """Only trades of the declared agent, of the declared size, in the price it reads, count."""
    one = watch(Pause("small", "arbitrage"))
    now = world(series(LOGS), 300)

    assert () == one.landed(fill(300), {KEY: 9.9 * BPS}, now)
    assert () == one.landed(fill(300, "taker"), {KEY: 80 * BPS}, now)
    assert () == one.landed(fill(300), {"price/other": 80 * BPS}, now)
    assert () == one.assess(now)


def test_a_discount_weighs_and_does_not_pause() -> None:
    """The weight is such that the share decided otherwise stays within what is tolerated."""
    one = watch(Pause("small", "arbitrage", effect="discount"))
    now = world(series(LOGS), 300)
    one.landed(fill(300), {KEY: 80 * BPS}, now)

    (found,) = one.assess(now)

    assert not found.paused
    assert math.isclose(found.tolerance, found.scale * found.flip_probability)


def test_subtracted_trades_are_taken_out_of_what_is_read() -> None:
    """The dependent reads the price as it would be; nothing is paused, nobody else is affected."""
    for seed in fresh_seeds(200):
        rng = random.Random(seed)
        logs = walk(rng, 80)
        one = watch(Pause("small", "arbitrage", effect="subtract"))
        base = series(logs)
        for at in (70, 75):
            one.landed(fill(at), {KEY: rng.uniform(-90, 90) * BPS}, world(base, at))
        impacts = one.memory().impacts
        dirty = {KEY: series(moved(logs, impacts))}

        found = one.as_given("small", dirty)[KEY]

        pairs = zip(base, found, strict=True)
        close = all(math.isclose(float(a.value), float(b.value), rel_tol=5e-6) for a, b in pairs)
        assert close, f"seed {seed}"
        assert dirty is one.as_given("taker", dirty), f"seed {seed}"
        assert not any(each.paused for each in one.assess(world(dirty[KEY], 79))), f"seed {seed}"


def test_a_price_that_stood_still_stands_still_without_own_trades_too() -> None:
    """What is a little wrong in how trades fade does not make prices creep."""
    one = watch(Pause("small", "arbitrage", effect="subtract"))
    readings = series([1e-6 * (n % 2) for n in range(70)])
    one.landed(fill(40), {KEY: 30 * BPS}, world(readings, 40))
    impacts = one.memory().impacts
    wrong = msgspec.structs.replace(
        impacts[0], decay=msgspec.structs.replace(impacts[0].decay, drift=239.0)
    )
    dirty = {KEY: series(moved([0.0] * 70, [wrong]))}

    cleaned = [float(reading.value) for reading in one.as_given("small", dirty)[KEY][60:]]

    assert len(set(cleaned)) < len(cleaned)


def test_a_subtraction_is_the_same_block_by_block() -> None:
    """What was taken out yesterday is remembered, and comes out as if done at once."""
    one, other = (watch(Pause("small", "arbitrage", effect="subtract")) for _ in range(2))
    full = series(LOGS[:80])
    for each in (one, other):
        each.landed(fill(60), {KEY: 50 * BPS}, world(full, 60))
    for end in range(60, 80):
        one.as_given("small", {KEY: full[:end]})

    assert other.as_given("small", {KEY: full}) == one.as_given("small", {KEY: full})


@pytest.mark.parametrize("effect", ["pause", "discount"])
@pytest.mark.parametrize(
    ("on", "changes", "words"),
    [
        (Feed(KEY), {"doubts": {KEY: "sources disagree"}}, "in doubt: sources disagree"),
        (Breaker("gas"), {"tripped": {"gas": "20 times the usual"}}, "gas is not closed: 20"),
    ],
)
def test_feeds_and_breakers_pause_while_they_last(
    on: Feed | Breaker, changes: dict[str, Mapping[str, str]], effect: Effect, words: str
) -> None:
    """A doubted feed or an open breaker stops its dependent, or lets it count little."""
    one = watch(Pause("small", on, effect=effect))
    readings = series(LOGS)

    (found,) = one.assess(world(readings, 300, **changes))

    assert (effect == "pause", 1.0 if effect == "pause" else 0.05) == (found.paused, found.scale)
    assert words in found.why
    assert () == one.assess(world(readings, 301))


def test_a_feed_that_is_old_or_never_came_pauses() -> None:
    """A feed is as good as doubted when it is too old, and when there was none."""
    one = watch(Pause("small", Feed(KEY)))
    old = series(LOGS[:100])

    assert () == one.assess(world(old, 100))
    assert "2 blocks old; at most 1" in one.assess(world(old, 101))[0].why
    assert "has given nothing" in one.assess(world((), 101))[0].why


def test_pauses_of_one_agent_compose() -> None:
    """Trades that cancel still pause who declared each; the joint end is the last of all."""
    both = watch(Pause("small", "arbitrage"), Pause("small", "taker", 10.0, 0.02))
    alone = watch(Pause("small", "arbitrage"))
    now = world(series(LOGS), 300)
    for each in (both, alone):
        each.landed(fill(300), {KEY: 80 * BPS}, now)
        each.landed(fill(300, "taker"), {KEY: -80 * BPS}, now)

    (one,), (two,) = both.assess(now), alone.assess(now)

    assert one.paused
    assert two.paused
    assert one.until_block >= two.until_block


def test_an_agent_without_a_linear_signal_is_asked_twice() -> None:
    """While an own trade is young, its answers with and without it decide whether it waits."""
    one = watch(Pause("donchian", "arbitrage"))
    now = world(series(LOGS), 300)
    assert () == one.asked_twice()
    one.landed(fill(300), {KEY: 30 * BPS}, now)
    buy, sell = [buys("donchian", 1000)], [sells("donchian", 10**18)]

    assert ("donchian",) == one.asked_twice()
    assert () == one.assess(now)
    assert () == one.compared("donchian", buy, buy, now)
    for other in (sell, [], None):
        (found,) = one.compared("donchian", buy, other, now)
        assert (True, 1.0) == (found.paused, found.flip_probability)
        assert ("299-0",) == found.because
    one.assess(world(series(LOGS), 300 + HORIZON))
    assert () == one.asked_twice()


def test_the_other_view_holds_no_own_trade() -> None:
    """What the second question shows is the price without the trades that count."""
    one = watch(Pause("donchian", "arbitrage"))
    logs = LOGS[:310]
    base = series(logs)
    one.landed(fill(300), {KEY: 30 * BPS}, world(base, 300))
    dirty = {KEY: series(moved(logs, one.memory().impacts))}

    found = one.without("donchian", dirty)[KEY]

    pairs = zip(base, found, strict=True)
    assert all(math.isclose(float(a.value), float(b.value), rel_tol=5e-6) for a, b in pairs)
    assert dirty[KEY][:300] == found[:300]


def test_a_fill_told_late_is_taken_out_of_the_past_too() -> None:
    """A trade that was settled blocks later is assessed as if it had been known at once."""
    logs = LOGS[:330]
    late, prompt = watch(Pause("small", "arbitrage")), watch(Pause("small", "arbitrage"))
    readings = series(logs)
    for block in range(300, 326):
        if block == 320:
            prompt.landed(fill(320), {KEY: 60 * BPS}, world(readings, 320))
        prompt.assess(world(readings, block))
        late.assess(world(readings, block))
    late.landed(fill(320), {KEY: 60 * BPS}, world(readings, 320))

    (soon,), (told,) = (one.assess(world(readings, 326)) for one in (prompt, late))
    assert (soon.contamination, soon.paused) == (told.contamination, told.paused)
    assert math.isclose(soon.flip_probability, told.flip_probability, rel_tol=0.05)


def test_a_reverted_fill_is_forgotten() -> None:
    """Once its block is gone a trade shifts nothing, as if it had never been."""
    one, never = watch(Pause("small", "arbitrage")), watch(Pause("small", "arbitrage"))
    readings = series(LOGS)
    one.landed(fill(300), {KEY: 60 * BPS}, world(readings, 300))
    one.assess(world(readings, 300))
    one.forget(["299-0"])

    assert never.assess(world(readings, 301)) == one.assess(world(readings, 301))
    assert () == one.memory().impacts


def test_own_fills_teach_when_their_next_sample_is_there() -> None:
    """The step after a move is learned once; what it taught fades the next impact."""
    one = watch(Pause("small", "arbitrage"))
    logs = [*LOGS[:301], *(LOGS[300] - 57 * BPS + log - LOGS[301] for log in LOGS[301:330])]
    readings = series(logs)
    one.landed(fill(300), {KEY: 60 * BPS}, world(readings, 300))
    before = one.memory().impacts[0].decay.reversion
    for block in (300, 301, 302, 303):
        one.assess(world(readings, block))
    one.landed(fill(310), {KEY: 60 * BPS}, world(readings, 310))

    assert math.isclose(Decay().reversion, before)
    assert one.memory().impacts[1].decay.reversion > before + 0.1
    assert 5 == one.memory().lessons[KEY].reversion.count


def test_memory_survives_the_journal_and_goes_on() -> None:
    """A watch resumed from its memory, as a checkpoint keeps it, assesses what the first would."""
    pauses = (Pause("small", "arbitrage"), Pause("donchian", "arbitrage"))
    for seed in fresh_seeds(50):
        rng = random.Random(seed)
        readings = series(walk(rng, 120))
        first = watch(*pauses)
        for block in range(90, 110):
            if rng.random() < 0.3:
                moves = {KEY: rng.uniform(-80, 80) * BPS}
                first.landed(fill(block), moves, world(readings, block))
            first.assess(world(readings, block))
        kept = msgspec.json.decode(msgspec.json.encode(first.memory()), type=WatchMemory)
        second = watch(*pauses)
        second.resume(kept)

        for block in range(110, 120):
            expected = first.assess(world(readings, block))
            assert expected == second.assess(world(readings, block)), f"seed {seed}"
        assert first.memory() == second.memory(), f"seed {seed}"


def test_a_changed_signal_begins_anew() -> None:
    """What was learned of another filter is not taken over; what others taught of prices is."""
    one = watch(Pause("small", "arbitrage"))
    one.assess(world(series(LOGS), 300))
    memory = one.memory()
    other = {"small": msgspec.structs.replace(memory.signals["small"], mark="another")}
    two = watch(Pause("small", "arbitrage"))

    two.resume(msgspec.structs.replace(memory, signals=other))

    assert 0.0 < memory.signals["small"].track.scores
    assert 0.0 == two.memory().signals["small"].track.scores


class Broken(Waiting):
    """A dependent whose signal cannot be had."""

    def kernel(self) -> tuple[float, ...]:
        """Fail."""
        raise ValueError("no weights today")


class Weightless(Waiting):
    """A dependent whose signal is none."""

    def kernel(self) -> tuple[float, ...]:
        """Return nothing."""
        return ()


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (Broken(), "pause of small: its signal cannot be had: it raised ValueError: no weights"),
        (Weightless(), "pause of small: a linear signal's kernel needs 1..512 finite weights"),
    ],
)
def test_a_signal_that_is_none_is_refused_at_the_start(agent: Agent, words: str) -> None:
    """A dependent whose kernel fails or is none is refused by name, with the reason."""
    agents = (agent, Other("arbitrage"))
    pauses = compile_pauses([Pause("small", "arbitrage")], ["small", "arbitrage"])

    with pytest.raises(ConfigError, match=words):
        ImpactWatch(pauses, agents)
