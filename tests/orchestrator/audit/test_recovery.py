"""A restart goes on where the journal ends."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
import pytest

from tests.orchestrator.worlds import (
    DAI_CAPITAL,
    DAI_MARKET,
    DAI_PRICE,
    fresh_seeds,
    held,
    random_market,
    shipped,
)
from toolkit.journal.log import Entry, Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.model.chain import ZERO_ADDRESS, Address, Head, HeadChange
from toolkit.model.decision import Fill, Intent, Leg, VetoCause
from toolkit.model.errors import ConfigError, JournalCorrupt
from toolkit.model.market import Token
from toolkit.orchestrator import records
from toolkit.orchestrator.arguments import agent_setup
from toolkit.orchestrator.audit.recovery import KINDS, recovered
from toolkit.orchestrator.audit.replay import decoded, replay
from toolkit.orchestrator.capital.ledger import LedgerState
from toolkit.orchestrator.core import Core
from toolkit.orchestrator.deciding.limits import Limits
from toolkit.orchestrator.mainnet import DAI, USDC, WETH
from toolkit.orchestrator.market import Market
from toolkit.orchestrator.pausing.decay import Impact
from toolkit.orchestrator.pausing.pauses import Pause, compile_pauses
from toolkit.orchestrator.pausing.watch import ImpactWatch, WatchMemory
from toolkit.orchestrator.records import Inputs
from toolkit.orchestrator.runtime import Orchestrator
from toolkit.perception.perceived import Perceived
from toolkit.reasoning.agent import Agent, View
from toolkit.reasoning.momentum import Momentum
from toolkit.testing.decide import (
    OFFLINE_MARKET,
    PRICE_KEY,
    Decided,
    GivenBlock,
    decide,
    given,
    main_pool,
)
from toolkit.testing.paper import VAULT_LENDS, PaperChain, PaperSession

PAUSES = [Pause("momentum", on="arbitrage", impact_bps=5)]


class Once(msgspec.Struct, frozen=True, kw_only=True):
    """Sells once, in its block."""

    name: str = "once"
    block: int = 1000

    def on_block(self, view: View) -> Iterable[Intent]:
        """Sell half a WETH in its block."""
        view.price(DAI_PRICE.key)
        if view.block.number != self.block:
            return ()
        leg = Leg(token_in=WETH.address, token_out=DAI.address, amount_in=5 * 10**17)
        return (Intent(agent=self.name, legs=(leg,), edge_wei=0),)


class Fragile(msgspec.Struct, frozen=True, kw_only=True):
    """An agent that breaks in its block."""

    name: str = "fragile"
    block: int = 1000

    def on_block(self, view: View) -> Iterable[Intent]:
        """Break."""
        if view.block.number == self.block:
            raise ValueError("boom")
        return ()


def run(
    blocks: Sequence[GivenBlock],
    journal: Path | None = None,
    *,
    agents: Sequence[Agent] | None = None,
    capital: Mapping[Address, int] = DAI_CAPITAL,
    limits: Limits | None = None,
    pauses: Sequence[Pause] = PAUSES,
) -> Decided:
    """One process' life."""
    return decide(
        shipped() if agents is None else agents,
        blocks,
        capital=capital,
        market=DAI_MARKET,
        pauses=pauses,
        limits=limits,
        journal=journal,
    )


def of_kind(decided: Decided, kind: str) -> list[Entry]:
    """The entries of one kind."""
    return [entry for entry in decided.journal if entry.kind == kind]


@pytest.mark.parametrize("seed", [3, *fresh_seeds(2)], ids=lambda _: "seed")
def test_a_restart_decides_as_if_there_had_been_none(seed: int, tmp_path: Path) -> None:
    """Forty blocks in two processes give the verdicts, books and pauses of forty in one."""
    blocks = random_market(seed, blocks=40, gap=8e-3)
    whole = run(blocks)
    # What is underway at the end would land in one process, and be lost on paper in two.
    split = next(n for n in [*range(20, 40), *range(1, 20)] if not whole.reports[n - 1].plans)
    path = tmp_path / "journal.db"

    first = run(blocks[:split], path)
    second = run(blocks[split:], path, capital=held(first))
    result = replay(second.journal)

    assert whole.reports == (*first.reports, *second.reports), seed
    assert whole.ledger == second.ledger
    assert (True, 40) == (result.identical, result.blocks), (seed, result.divergence)
    assert [] == of_kind(second, records.REBASED)


def test_a_pause_outlives_a_restart(tmp_path: Path) -> None:
    """A dependent that waits for an impact still waits in the next process."""
    blocks = random_market(3, blocks=40, gap=0.0, planted={20: 0.02})
    whole = run(blocks)
    waiting = [n for n, r in enumerate(whole.reports) if r.paused and not r.plans]
    split = next(n for n in waiting if whole.reports[n + 1].paused) + 1
    path = tmp_path / "journal.db"

    first = run(blocks[:split], path)
    second = run(blocks[split:], path, capital=held(first))

    assert whole.reports[split].paused == second.reports[0].paused


def test_what_became_of_a_plan_underway_is_asked_after_a_restart(tmp_path: Path) -> None:
    """A plan sent before the end keeps its capital until its block tells its outcome, once."""
    blocks = random_market(3, blocks=4, gap=0.0)
    path = tmp_path / "journal.db"

    first = run(blocks[:1], path, agents=[Once()], pauses=[])
    second = run(blocks[1:2], path, agents=[Once()], pauses=[])
    third = run(blocks[2:], path, agents=[Once()], pauses=[])

    (entry,) = of_kind(third, records.FILL)
    fill = decoded(entry, Fill)
    assert 5 * 10**17 == first.ledger.promised[WETH.address]
    assert {} == second.ledger.promised == third.ledger.promised
    assert (False, "never sent: the process that planned it ended first") == (
        fill.landed,
        fill.missed,
    )
    assert [] == of_kind(third, records.RELEASED)
    assert replay(third.journal, agents=[Once()]).identical


def test_what_moved_while_nobody_watched_is_nobodys(tmp_path: Path) -> None:
    """A changed balance is journalled and enters the opening, not a book, and is no discrepancy."""
    blocks = random_market(3, blocks=4, gap=0.0)
    path = tmp_path / "journal.db"

    first = run(blocks[:2], path, agents=[Once()], pauses=[])
    richer = {**held(first), WETH.address: held(first)[WETH.address] + 7}
    second = run(blocks[2:], path, agents=[Once()], pauses=[], capital=richer)

    (entry,) = of_kind(second, records.REBASED)
    assert {WETH.address: 7} == decoded(entry, records.Rebased).changes
    assert first.ledger.initial[WETH.address] + 7 == second.ledger.initial[WETH.address]
    assert first.ledger.books == second.ledger.books
    assert [{}, {}] == [report.discrepancies for report in second.reports]
    assert replay(second.journal, agents=[Once()]).identical


def test_a_plan_that_lands_just_after_the_restart_is_no_discrepancy() -> None:
    """Balances are taken over up to the block of the last plan underway, and no further."""
    decided = run(random_market(3, blocks=3, gap=0.0), agents=[Once()], pauses=[])
    entries = [entry for entry in decided.journal if entry.kind in KINDS]
    setup = decoded(entries[0], records.Setup)
    seen = [decoded(entry, Perceived) for entry in entries if entry.kind == records.PERCEIVED]
    cut = next(n for n, entry in enumerate(entries) if entry.kind == records.FILL)
    memory = recovered(entries[:cut], setup, [Once()])
    assert memory is not None
    core = Core(setup, [Once(block=0)])
    core.resume(memory)
    moved = {**seen[2].balances, WETH.address: 1}

    again = core.advance(Inputs(seen=seen[0])).report
    landed = core.advance(Inputs(seen=seen[1])).report
    later = core.advance(Inputs(seen=msgspec.structs.replace(seen[2], balances=moved))).report

    assert [{}, {}] == [again.discrepancies, landed.discrepancies]
    assert seen[0].balances != seen[1].balances
    assert {WETH.address: (seen[1].balances[WETH.address], 1)} == later.discrepancies


def test_what_an_earlier_plan_did_counts_once_if_its_outcome_is_told_late() -> None:
    """Its effect was taken over with the balances before anybody could ask what became of it."""
    decided = run(random_market(3, blocks=3, gap=0.0), agents=[Once()], pauses=[])
    entries = [entry for entry in decided.journal if entry.kind in KINDS]
    setup = decoded(entries[0], records.Setup)
    seen = [decoded(entry, Perceived) for entry in entries if entry.kind == records.PERCEIVED]
    cut = next(n for n, entry in enumerate(entries) if entry.kind == records.FILL)
    memory = recovered(entries[:cut], setup, [Once()])
    assert memory is not None
    core = Core(setup, [Once(block=0)])
    core.resume(memory)
    fill = decoded(entries[cut], Fill)

    core.advance(Inputs(seen=seen[1]))
    late = core.advance(Inputs(seen=seen[2], fills=(fill,))).report

    assert {} == late.discrepancies
    assert decided.ledger.initial == core.ledger.state().initial
    assert decided.ledger.books == core.ledger.state().books


def test_outcomes_of_the_last_blocks_are_asked_for_again_after_a_restart() -> None:
    """A plan that ended shortly before is among those whose block may be another, or is."""
    blocks = random_market(3, blocks=20, gap=0.0)
    found = []

    for n in (2, 17, 18):
        decided = run(blocks[:n], agents=[Once()], pauses=[])
        entries = [entry for entry in decided.journal if entry.kind in KINDS]
        setup = decoded(entries[0], records.Setup)
        memory = recovered(entries, setup, [Once()])
        assert memory is not None
        core = Core(setup, [Once()])
        core.resume(memory)
        found.append([plan.verdict_id for plan in core.plans_ended(1020)])

    assert [["1000-0"], ["1000-0"], []] == found
    assert ["1000-0"] == [plan.verdict_id for plan in core.plans_ended(1000)]


class Sold(msgspec.Struct, frozen=True, kw_only=True):
    """Sells a WETH for USDC in block 1000."""

    name: str = "sold"

    def on_block(self, view: View) -> Iterable[Intent]:
        """Sell, once."""
        view.price(PRICE_KEY)
        if view.block.number != 1000:
            return ()
        leg = Leg(token_in=WETH.address, token_out=USDC.address, amount_in=10**18)
        return (Intent(agent=self.name, legs=(leg,), edge_wei=0),)


class Lasting(PaperChain):
    """Paper that one process after the other looks at."""

    async def lived(self, journal: Journal, *, blocks: int, unseen: int = 0) -> LedgerState:
        """Go through so many blocks, of which nobody is told the first."""
        self._last = None
        for _ in range(unseen):
            await self.advance()
        orchestrator = Orchestrator(
            PaperSession(journal, self),
            agents=[Sold()],
            market=OFFLINE_MARKET,
            perception=self,
            gateway=self,
            lenders=(VAULT_LENDS,),
        )
        async with orchestrator:
            for _ in range(blocks - unseen):
                change = await self.advance()
                assert change is not None
                await orchestrator.step(HeadChange(added=change.added))
        return orchestrator.ledger()


def quiet(number: int, fork: str = "", after: str = "", gone: Sequence[Head] = ()) -> GivenBlock:
    """A block of a fork at 2000 USDC, after one of the same or another."""
    pools = [main_pool("2000")]
    return given(number, pools=pools, fork=fork, parent_fork=after, reverted=gone)


async def test_a_fill_that_was_reverted_while_nobody_watched_is_taken_back() -> None:
    """However deep: the first decision of a run stands on a chain that has been looked at."""
    journal = Journal(MemoryBackend())
    capital = {WETH.address: 10**19, USDC.address: 0, ZERO_ADDRESS: 10**20}
    old = [quiet(number) for number in range(1000, 1004)]
    gone = [one.head for one in old[1:]]
    fork = [quiet(1001, "b", "", gone), *(quiet(n, "b", "b") for n in range(1002, 1005))]
    chain = Lasting([*old, *fork], capital, market=OFFLINE_MARKET)

    first = await chain.lived(journal, blocks=4)
    second = await chain.lived(journal, blocks=4, unseen=3)
    entries = tuple(journal.entries())
    (taken,) = (one for one in entries if one.kind == records.REVERTED)

    assert -(10**18) == first.books["sold"][WETH.address]
    assert (capital, {}) == (second.initial, second.books)
    assert ("1000-0",) == decoded(taken, records.Released).verdicts
    assert [] == [one for one in entries if one.kind == records.REBASED]
    assert replay(entries, agents=[Sold()]).identical


class Curious(msgspec.Struct, frozen=True, kw_only=True):
    """Looks at all there is, and sells a little in every block."""

    name: str = "curious"

    def on_block(self, view: View) -> Iterable[Intent]:
        """Sell."""
        for key in view.readings:
            view.reading(key)
        leg = Leg(token_in=WETH.address, token_out=DAI.address, amount_in=10**17)
        return (Intent(agent=self.name, legs=(leg,), edge_wei=0),)


def test_a_source_that_is_gone_stops_nobody(tmp_path: Path) -> None:
    """Who reads everything works on after a restart without it; what was dropped is journalled."""
    blocks = random_market(3, blocks=5, gap=0.0)
    known = next(one for one in blocks[0].readings if one.key == DAI_PRICE.key)
    spoken = [
        msgspec.structs.replace(
            known, key="talk", source="sea", block_number=block.head.number, max_age_blocks=1
        )
        for block in blocks
    ]
    path = tmp_path / "journal.db"
    told = [
        msgspec.structs.replace(block, readings=(*block.readings, word))
        for block, word in zip(blocks[:2], spoken[:2], strict=True)
    ]

    first = run(told, path, agents=[Curious()], pauses=[])
    second = run(blocks[2:], path, agents=[Curious()], pauses=[], capital=held(first))

    (entry,) = of_kind(second, records.DROPPED)
    assert {"talk": 1001} == decoded(entry, records.Dropped).keys
    assert [] == of_kind(first, records.DROPPED)
    assert [True] * 5 == [one.approved for one in (*first.verdicts, *second.verdicts)]
    assert replay(second.journal, agents=[Curious()]).identical


def test_a_price_that_the_set_up_names_is_waited_for(tmp_path: Path) -> None:
    """A source that only fails to speak at the start is no source that was taken away."""
    blocks = random_market(3, blocks=4, gap=0.0)
    path = tmp_path / "journal.db"
    other = msgspec.structs.replace(DAI_PRICE, key="price/other", pool=Address("0x" + "77" * 20))
    market = msgspec.structs.replace(DAI_MARKET, prices=(DAI_PRICE, other))
    known = next(one for one in blocks[0].readings if one.key == DAI_PRICE.key)
    word = msgspec.structs.replace(known, key=other.key, block_number=1000, max_age_blocks=0)
    told = msgspec.structs.replace(blocks[0], readings=(*blocks[0].readings, word))

    decide([Curious()], [told], capital=DAI_CAPITAL, market=market, journal=path)
    later = decide([Curious()], blocks[1:], capital=DAI_CAPITAL, market=market, journal=path)

    assert [] == of_kind(later, records.DROPPED)
    assert {VetoCause.STALE} == {verdict.cause for verdict in later.verdicts}


async def test_what_still_stands_after_a_restart_is_kept() -> None:
    """Blocks that pass while nobody watches take nothing back."""
    journal = Journal(MemoryBackend())
    capital = {WETH.address: 10**19, USDC.address: 0, ZERO_ADDRESS: 10**20}
    chain = Lasting([quiet(number) for number in range(1000, 1008)], capital, market=OFFLINE_MARKET)

    first = await chain.lived(journal, blocks=4)
    second = await chain.lived(journal, blocks=4, unseen=3)

    assert first.books == second.books
    assert replay(tuple(journal.entries()), agents=[Sold()]).identical


def test_the_journal_of_another_chain_is_refused(tmp_path: Path) -> None:
    """Books, plans and block numbers of one chain mean nothing on another."""
    blocks = random_market(3, blocks=2, gap=0.0)
    path = tmp_path / "journal.db"
    run(blocks[:1], path, agents=[Once()], pauses=[])
    other = Token(address=Address("0x" + "51" * 20), symbol="WETH", decimals=18)
    price = msgspec.structs.replace(DAI_PRICE, base=other.address)
    market = Market(
        wrapped=other.address, tokens=(DAI, other), stables=(DAI.address,), prices=(price,)
    )

    with pytest.raises(ConfigError, match="give each chain a journal of its own"):
        decide([Once()], blocks[1:], capital={}, market=market, journal=path)


def test_verdicts_of_a_block_decided_in_two_runs_have_names_of_their_own(tmp_path: Path) -> None:
    """Started again within a block, that block's verdicts are numbered anew."""
    blocks = random_market(3, blocks=1, gap=0.0)
    path = tmp_path / "journal.db"

    first = run(blocks, path, agents=[Once()], pauses=[])
    second = run(blocks, path, agents=[Once()], pauses=[])

    assert ["1000-0", "1000.1-0"] == [d.verdicts[0].verdict_id for d in (first, second)]


def test_an_impact_that_no_pause_waits_for_any_more_is_dropped() -> None:
    """Under other pauses only the impacts that those wait for are remembered."""
    impact = Impact(
        agent="arbitrage", key=DAI_PRICE.key, verdict_id="9-0", block_number=9, log_move=0.01
    )
    memory = WatchMemory(impacts=(impact,))
    names = [agent.name for agent in shipped()]
    kept = []
    for on in ("arbitrage", "rebalancing"):
        watch = ImpactWatch(compile_pauses([Pause("momentum", on=on)], names), shipped())
        watch.resume(memory)
        kept.append(watch.memory().impacts)

    assert [(impact,), ()] == kept


def test_a_quarantine_holds_while_its_agent_is_the_same(tmp_path: Path) -> None:
    """A restart is no pardon; an agent with other parameters is another agent."""
    blocks = random_market(3, blocks=6, gap=0.0)
    path = tmp_path / "journal.db"
    run(blocks[:2], path, agents=[Fragile()], pauses=[])

    same = run(blocks[2:4], path, agents=[Fragile()], pauses=[])
    other = run(blocks[4:], path, agents=[Fragile(block=0)], pauses=[])

    assert {"fragile": "raised ValueError: boom"} == same.reports[0].quarantined
    assert {} == other.reports[0].quarantined
    assert replay(other.journal).identical


def test_a_new_set_up_rules_from_its_start(tmp_path: Path) -> None:
    """Other limits and agents hold from the next run on; a book outlives its agent."""
    blocks = random_market(3, blocks=40, gap=8e-3)
    path = tmp_path / "journal.db"

    first = run(blocks[:20], path)
    second = run(
        blocks[20:],
        path,
        agents=shipped()[::2],
        pauses=[],
        limits=Limits(max_fee_per_gas=1),
        capital=held(first),
    )

    assert any(report.plans for report in first.reports)
    assert not any(report.plans for report in second.reports)
    assert first.ledger.books["momentum"] == second.reports[-1].books["momentum"]
    assert any(first.ledger.books["momentum"].values())
    assert replay(second.journal).identical


def test_a_fill_in_a_block_reverted_meanwhile_is_taken_back(tmp_path: Path) -> None:
    """The first head shows that the last known block is gone: its fills leave the books."""
    blocks = random_market(3, blocks=3, gap=0.0)
    path = tmp_path / "journal.db"
    first = run(blocks[:2], path, agents=[Once()], pauses=[])
    head = msgspec.structs.replace(
        blocks[1].head, hash="0x" + "ab" * 32, parent_hash=blocks[0].head.hash
    )
    fork = msgspec.structs.replace(
        blocks[1], snapshot=msgspec.structs.replace(blocks[1].snapshot, block=head)
    )

    second = run([fork], path, agents=[Once()], pauses=[])

    assert -5 * 10**17 == first.ledger.books["once"][WETH.address]
    assert {} == second.ledger.books
    assert {} == second.reports[0].discrepancies
    assert 1 == len(of_kind(second, records.REVERTED))
    assert replay(second.journal, agents=[Once()]).identical


def test_recorded_history_gives_way_to_what_was_seen(tmp_path: Path) -> None:
    """A history handed over again at the restart neither doubles nor replaces a reading."""
    blocks = random_market(3, blocks=4, gap=0.0)
    path = tmp_path / "journal.db"
    again = msgspec.structs.replace(blocks[2], readings=blocks[0].readings)
    run(blocks[:2], path)

    second = run([again, blocks[3]], path)

    assert run(blocks[:3]).reports[2].intents == second.reports[0].intents
    assert replay(second.journal).identical


def test_a_paused_agent_whose_code_is_gone_is_asked_for() -> None:
    """Without the signal its pauses could not be known: one line says what to give."""

    class Foreign(Momentum, frozen=True, kw_only=True):
        pass

    foreign = Foreign(base=WETH.address, quote=DAI.address, signal_key=DAI_PRICE.key)
    journal = Journal(MemoryBackend())
    blocks = random_market(3, blocks=3)
    for agents in ([shipped()[0], foreign], [shipped()[0], foreign]):
        decide(
            agents,
            blocks[:2],
            capital=DAI_CAPITAL,
            market=DAI_MARKET,
            pauses=PAUSES,
            journal=journal,
        )

    with pytest.raises(ConfigError, match=r"paused momentum, whose code .* add it to `agents`"):
        decide(shipped(), blocks[2:], capital=DAI_CAPITAL, market=DAI_MARKET, journal=journal)


def test_a_plan_that_does_not_follow_is_refused() -> None:
    """A journal whose plan needs more than there was is corrupt, and says which plan."""
    decided = run(random_market(3, blocks=1, gap=0.0), agents=[Once()], pauses=[])
    entries = [entry for entry in decided.journal if entry.kind in KINDS]
    plan = decoded(entries[-1], records.Planned)
    reservation = msgspec.structs.replace(plan.reservation, amount=10**30)
    data = msgspec.json.encode(msgspec.structs.replace(plan, reservation=reservation))
    entries[-1] = msgspec.structs.replace(entries[-1], data=data)
    setup = msgspec.structs.replace(
        decoded(entries[0], records.Setup), agents=(agent_setup(Once()),)
    )

    with pytest.raises(JournalCorrupt, match="plan 1000-0 does not follow"):
        recovered(entries, setup, [Once()])
    assert ZERO_ADDRESS in decided.ledger.initial


def test_an_earlier_runs_agent_is_made_as_it_was() -> None:
    """Old blocks are folded under the old parameters, whatever the new run's agent has."""

    class Foreign(Momentum, frozen=True, kw_only=True):
        pass

    old = Foreign(base=WETH.address, quote=DAI.address, signal_key=DAI_PRICE.key)
    new = msgspec.structs.replace(old, signal_key="price/other")
    blocks = random_market(3, blocks=2, gap=0.0, planted={0: 0.02})
    decided = run(blocks, agents=[shipped()[0], old])
    entries = [entry for entry in decided.journal if entry.kind in KINDS]
    setup = decoded(entries[0], records.Setup)
    agents = tuple(agent_setup(agent) for agent in (shipped()[0], new))

    memory = recovered(entries, msgspec.structs.replace(setup, agents=agents), [shipped()[0], new])

    assert memory is not None
    assert [DAI_PRICE.key] == sorted({impact.key for impact in memory.watch.impacts})
