"""Lives that end at any event, and a chain on paper that outlives them."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from tests.orchestrator.worlds import DAI_CAPITAL, DAI_MARKET
from toolkit.journal.log import Backend, Entry, Journal
from toolkit.model.chain import ZERO_ADDRESS, Address, HeadChange
from toolkit.model.decision import Fill, Plan
from toolkit.model.tx import FeeQuote
from toolkit.orchestrator import records
from toolkit.orchestrator.audit import memory
from toolkit.orchestrator.audit.recovery import KINDS, recovered
from toolkit.orchestrator.audit.replay import decoded, encoded
from toolkit.orchestrator.pausing.pauses import Pause
from toolkit.orchestrator.runtime import Orchestrator
from toolkit.reasoning.agent import Agent
from toolkit.testing.fakes import InlineJournal
from toolkit.testing.paper import (
    VAULT_LENDS,
    GivenBlock,
    Paper,
    PaperChain,
    PaperSession,
    missed,
)

LOST = "lost on paper"
CAPITAL = {ZERO_ADDRESS: 100 * 10**18, **DAI_CAPITAL}


class Doom:
    """Counts events, and strikes at one of them.

    Args:
        at: the number of the event that is not survived; 0 for none.
        strike: what ends the life; it does not return.
    """

    def __init__(self, at: int = 0, strike: Callable[[], None] = lambda: None) -> None:
        self.at = at
        self.events = 0
        self._strike = strike

    def step(self) -> None:
        """Count an event; nothing comes after the one that is named."""
        self.events += 1
        if self.at and self.events >= self.at:
            self._strike()


class Mortal(Journal):
    """A journal whose process may die before and after whatever it does."""

    doom = Doom()

    def append(
        self,
        kind: str,
        data: msgspec.Struct | Mapping[str, object],
        *,
        cause: int | None = None,
        version: int = 1,
        key: str | None = None,
    ) -> int:
        """Append, if there is a next moment."""
        self.doom.step()
        return super().append(kind, data, cause=cause, version=version, key=key)

    async def commit(self, upto: int | None = None) -> None:
        """Commit, if there is a next moment, and perhaps tell nobody."""
        self.doom.step()
        await super().commit(upto)
        self.doom.step()


class MortalInline(Mortal, InlineJournal):
    """The same, writing in the loop's own thread."""


class LastingChain(PaperChain):
    """A chain on paper that knows what was sent to it, whoever asks.

    Args:
        blocks: all there will be.
        entries: of the journal so far, durable: the life goes on behind the last block in it.
        sent: what earlier lives have sent.
        keep: notes what is sent from now on; what shares a transaction comes at once.
        doom: asked before and after.
    """

    def __init__(
        self,
        blocks: Sequence[GivenBlock],
        *,
        entries: Iterable[Entry],
        sent: Iterable[Paper],
        keep: Callable[[Sequence[Paper]], None],
        doom: Doom,
    ) -> None:
        self._keep, self._doom = keep, doom
        self._sent = {one.plan.verdict_id: one for one in sent}
        start, balances = _past(entries)
        super().__init__(blocks, balances, market=DAI_MARKET, start=start)

    async def submit(self, plan: Plan, *, fee: FeeQuote | None = None) -> Paper:
        """Send a plan."""
        paper = await super().submit(plan, fee=fee)
        self._note((paper,))
        return paper

    async def submit_merged(
        self, plans: Sequence[Plan], *, fee: FeeQuote | None = None
    ) -> tuple[Paper, ...]:
        """Send plans that land together or not at all."""
        papers = await super().submit_merged(plans, fee=fee)
        self._note(papers)
        return papers

    async def recover(self, plans: Sequence[Plan], change: HeadChange) -> tuple[Fill, ...]:
        """Tell what became of an earlier process's plans, by what had been sent."""
        return tuple(
            [
                await self.settle(self._sent[plan.verdict_id], change)
                if plan.verdict_id in self._sent
                else missed(plan, LOST)
                for plan in plans
            ]
        )

    def _note(self, papers: Sequence[Paper]) -> None:
        self._doom.step()
        self._keep(papers)
        self._doom.step()


def _past(entries: Iterable[Entry]) -> tuple[int, dict[Address, int]]:
    """Return how many blocks are decided, and what the accounts hold by what is settled."""
    blocks, balances = 0, dict(CAPITAL)
    for entry in entries:
        if entry.kind == records.PERCEIVED:
            blocks += 1
        elif entry.kind == records.FILL:
            for token, change in decoded(entry, Fill).changes.items():
                balances[Address(token)] = balances.get(Address(token), 0) + change
    return blocks, balances


async def life(
    journal: Journal,
    chain: PaperChain,
    agents: Sequence[Agent],
    pauses: Sequence[Pause],
    *,
    checkpoint_blocks: int,
) -> None:
    """Decide every block that is left, with a checkpoint now and then, and milestones between."""
    usual = memory.CHECKPOINT_BLOCKS, memory.MILESTONE_BLOCKS
    memory.CHECKPOINT_BLOCKS = checkpoint_blocks
    memory.MILESTONE_BLOCKS = max(checkpoint_blocks // 3, 1)
    try:
        orchestrator = Orchestrator(
            PaperSession(journal, chain),
            agents=agents,
            market=DAI_MARKET,
            perception=chain,
            gateway=chain,
            pauses=pauses,
            lenders=(VAULT_LENDS,),
        )
        async with orchestrator:
            while (change := await chain.advance()) is not None:
                await orchestrator.step(change)
    finally:  # another property in this process has its own
        memory.CHECKPOINT_BLOCKS, memory.MILESTONE_BLOCKS = usual


def state_of(entries: Sequence[Entry], agents: Sequence[Agent]) -> bytes:
    """Return what the orchestrator's entries add up to, without what each process reads anew."""
    setup = decoded(next(one for one in entries if one.kind == records.SETUP), records.Setup)
    known = recovered([one for one in entries if one.kind in KINDS], setup, agents)
    assert known is not None
    return encoded(msgspec.structs.replace(known, unwatched_until=-1, market=None))


def opened(kind: type[Mortal], backend: Backend, doom: Doom) -> Mortal:
    """Open a journal that a life may end over."""
    journal = kind(backend)
    journal.doom = doom
    return journal
