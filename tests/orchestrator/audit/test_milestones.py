"""Milestones stand for what is before them: for restarts and replays, whatever happened."""

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import msgspec
import pytest
from msgspec import json

from tests.orchestrator.worlds import DAI_CAPITAL, DAI_MARKET, DAI_PRICE, dai_pair, fresh_seeds
from toolkit.journal.log import Entry, Journal, chained
from toolkit.journal.memory import MemoryBackend
from toolkit.model.chain import ZERO_ADDRESS, Head
from toolkit.model.decision import Intent, Leg, Plan
from toolkit.model.errors import JournalCorrupt
from toolkit.model.tx import FeeQuote
from toolkit.orchestrator import records
from toolkit.orchestrator.audit import memory
from toolkit.orchestrator.audit.milestones import Milestone
from toolkit.orchestrator.audit.recovery import KINDS, newest, recovered, resumed
from toolkit.orchestrator.audit.replay import decoded, encoded, replay
from toolkit.orchestrator.breaking.hazards import Hazard
from toolkit.orchestrator.mainnet import DAI, WETH
from toolkit.orchestrator.pausing.pauses import Pause
from toolkit.orchestrator.runtime import Orchestrator
from toolkit.reasoning.agent import View
from toolkit.reasoning.momentum import Momentum
from toolkit.testing.decide import MAIN_POOL, given, price_series
from toolkit.testing.fakes import InlineJournal
from toolkit.testing.orchestra import agent_world, live
from toolkit.testing.paper import GivenBlock, Paper, PaperChain, PaperSession

BLOCKS = 7


CAPITAL = {ZERO_ADDRESS: 10**20, **DAI_CAPITAL}
PAUSES = (Pause("momentum", on="eager", impact_bps=1),)


class Eager(msgspec.Struct, frozen=True, kw_only=True):
    """Buys in most blocks, enough to move the price."""

    name: str = "eager"

    def on_block(self, view: View) -> Iterable[Intent]:
        """Return a wish that landed fills and reorgs make something of."""
        amount = int(view.price(DAI_PRICE.key)) * 10**18
        if view.block.number % 3 == 0:
            return ()
        leg = Leg(token_in=DAI.address, token_out=WETH.address, amount_in=amount)
        return (Intent(agent=self.name, legs=(leg,), edge_wei=10**15),)


AGENTS = (
    Eager(),
    Momentum(
        base=WETH.address,
        quote=DAI.address,
        signal_key=DAI_PRICE.key,
        fast=2,
        slow=3,
        window=4,
        memory=6,
    ),
)


class Kept(MemoryBackend):
    """Entries that outlive the run that wrote them."""

    def close(self) -> None:
        """Stay open."""


class Interrupted(PaperChain):
    """A chain on paper where something happens while a plan is being sent."""

    meanwhile: Callable[[], None]

    async def submit(self, plan: Plan, *, fee: FeeQuote | None = None) -> Paper:
        """Send a plan."""
        self.meanwhile()
        return await super().submit(plan, fee=fee)


def market(rng: random.Random) -> list[GivenBlock]:
    """Blocks of a wandering price, of which some take the last one or two back."""
    chain: list[tuple[Head, str]] = []
    made: list[GivenBlock] = []
    price = 2000.0
    for index in range(BLOCKS):
        gone: list[Head] = []
        if len(chain) > 2 and rng.random() < 0.25:
            gone = [chain.pop()[0] for _ in range(rng.randint(1, 2))]
        price *= 1 + rng.gauss(0, 3e-3)
        block = given(
            chain[-1][0].number + 1 if chain else 1000,
            pools=[dai_pair(MAIN_POOL, price, 900)],
            tokens=DAI_MARKET.tokens,
            readings=price_series([price] * 4, before=1000, source=DAI_PRICE) if not made else (),
            fork=str(index),
            parent_fork=chain[-1][1] if chain else "",
            reverted=gone,
        )
        chain.append((block.head, str(index)))
        made.append(block)
    return made


async def _run(backend: MemoryBackend, blocks: Sequence[GivenBlock], rng: random.Random) -> None:
    """Two runs, the second from what the first left; people halt and let go now and then."""
    half = rng.randrange(2, BLOCKS)
    for start, until in ((0, half), (half, BLOCKS)):
        journal = InlineJournal(backend)
        world = Interrupted(blocks[:until], CAPITAL, market=DAI_MARKET, start=start)
        orchestrator = Orchestrator(
            PaperSession(journal, world),
            agents=AGENTS,
            market=DAI_MARKET,
            perception=world,
            gateway=world,
            pauses=PAUSES,
            lenders=(),
        )
        order = partial(_order, orchestrator, rng)
        world.meanwhile = order
        async with orchestrator:
            while (change := await world.advance()) is not None:
                await orchestrator.step(change)
                order()


def _order(orchestrator: Orchestrator, rng: random.Random) -> None:
    if any(one.hazard is Hazard.HALT for one in orchestrator.status().breakers):
        if not orchestrator.status().waiting:
            orchestrator.reset(Hazard.HALT.value)
    elif rng.random() < 0.15:
        orchestrator.halt("for a while")


def lived(
    monkeypatch: pytest.MonkeyPatch, seed: int, *, every: int, checkpoints: int = 1000
) -> list[Entry]:
    """Return the journal of two runs with a milestone every few blocks."""
    monkeypatch.setattr(memory, "MILESTONE_BLOCKS", every)
    monkeypatch.setattr(memory, "CHECKPOINT_BLOCKS", checkpoints)
    rng, backend = random.Random(seed), Kept()
    asyncio.run(_run(backend, market(rng), rng))
    return backend.rows


HALTED_BEHIND_A_BLOCK = 1008
"""A life where somebody halts between a block and its milestone: one in eight."""


def setup_of(entries: Iterable[Entry]) -> records.Setup:
    """Return the first set-up of a journal."""
    return decoded(next(one for one in entries if one.kind == records.SETUP), records.Setup)


def known(entries: Sequence[Entry]) -> tuple[bytes, bytes]:
    """Return what a restart knows by milestones, and what the fold of everything does."""
    setup = setup_of(entries)
    shortly = resumed(Journal(MemoryBackend(entries)), setup, AGENTS).memory
    whole = recovered((one for one in entries if one.kind in KINDS), setup, AGENTS)
    assert shortly is not None
    assert whole is not None
    return encoded(shortly), encoded(whole)


@pytest.mark.parametrize("seeds", [fresh_seeds(50) for _ in range(4)], ids=lambda _: "seeds")
def test_a_restart_by_milestones_knows_what_the_fold_of_everything_knows(
    seeds: range, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However a journal goes on, and wherever it ends, both are the same bytes."""
    stones = 0
    for seed in seeds:
        rng = random.Random(seed)
        every, checkpoints = rng.randint(1, 4), rng.choice((1000, 4))
        entries = lived(monkeypatch, seed, every=every, checkpoints=checkpoints)
        end = rng.randrange(1, len(entries) + 1)
        stones += sum(one.kind == records.MILESTONE for one in entries[:end])

        shortly, whole = known(entries[:end])

        assert whole == shortly, (seed, end)
    assert stones > len(seeds) // 5  # about one a seed


def test_every_milestone_is_found_right_by_a_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replays say the same at each milestone, also behind a restart."""
    waited = 0
    for seed in (HALTED_BEHIND_A_BLOCK, *fresh_seeds(40)):
        entries = lived(monkeypatch, seed, every=2)

        found = replay(entries, agents=AGENTS)
        stones = [decoded(one, Milestone) for one in entries if one.kind == records.MILESTONE]
        waited += sum(bool(one.rest.ordered) for one in stones)

        assert found.identical, (seed, found.divergence)
        assert stones
    assert waited, "no order came between a block and its milestone"


@pytest.mark.parametrize("seed", fresh_seeds(3), ids=lambda _: "seed")
def test_lives_with_crashes_and_reorgs_replay_with_their_milestones(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What begins from a milestone again decides as what never ended."""
    monkeypatch.setattr(memory, "MILESTONE_BLOCKS", 2)

    coverage = live(agent_world([Eager()])(random.Random(seed)), seed)

    assert 1 == coverage.lives


def test_a_milestone_that_contradicts_the_fold_is_the_first_divergence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever part of it was altered, hash and all, the replay names the entry."""
    entries = lived(monkeypatch, 7, every=3)
    place = next(n for n, one in enumerate(entries) if one.kind == records.MILESTONE)
    stone = entries[place]
    said = json.decode(stone.data)
    for part in sorted(said):
        altered = rechained(entries, place, json.encode({**said, part: None}, order="sorted"))

        found = replay(altered, agents=AGENTS).divergence

        if said[part] is not None:
            assert found is not None, part
            assert (stone.seq, records.MILESTONE) == (found.seq, found.kind), part


def rechained(entries: Sequence[Entry], place: int, data: bytes) -> list[Entry]:
    """Return a journal with other data in one entry, whose hashes fit all the same."""
    made: list[Entry] = []
    for at, one in enumerate(entries):
        previous = made[-1].hash if made else entries[0].previous
        held = data if at == place else one.data
        made.append(chained(one.seq, one.kind, one.version, one.cause, held, previous, one.key))
    return made


def test_a_milestone_that_does_not_follow_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one is missing from the middle, no restart goes on by the later ones."""
    entries = lived(monkeypatch, 7, every=2)
    places = [n for n, one in enumerate(entries) if one.kind == records.MILESTONE]
    second = entries[places[1]]
    since = json.decode(second.data)["since"]
    data = second.data.replace(b'"since":%d' % since, b'"since":%d' % (since + 1))
    broken = rechained(entries, places[1], data)

    assert since == entries[places[0]].seq
    with pytest.raises(JournalCorrupt, match=rf"entry {second.seq} .* goes on from entry"):
        newest(Journal(MemoryBackend(broken)))


def test_a_milestone_says_a_fraction_of_a_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is new is in it: it costs what happened, not what is remembered."""
    monkeypatch.setattr(memory, "MILESTONE_BLOCKS", 1)
    entries = lived(monkeypatch, 7, every=1, checkpoints=BLOCKS)
    last = [one for one in entries if one.kind == records.MILESTONE][-1]

    said = decoded(last, Milestone)

    assert all(len(told[0]) <= 1 for _, _, told in filter(None, said.series.values()))
    assert said.setup is None
