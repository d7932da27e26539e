"""Dead at any event, the next life leaves what one life would have left; nothing is sent twice."""

import asyncio
import random
from collections.abc import Iterable, Sequence

import msgspec

import toolkit as tk
from tests.orchestrator.properties.mortal import (
    CAPITAL,
    Doom,
    LastingChain,
    MortalInline,
    life,
    opened,
    state_of,
)
from tests.orchestrator.worlds import DAI_MARKET, DAI_PRICE, random_market
from toolkit.journal.log import Entry
from toolkit.journal.memory import MemoryBackend
from toolkit.orchestrator import records
from toolkit.orchestrator.audit.replay import decoded, replay
from toolkit.orchestrator.mainnet import DAI, WETH
from toolkit.testing.paper import GivenBlock, Paper, PaperChain

BLOCKS = 3
PAST = 20
"""Recorded prices, which every checkpoint holds: nobody here looks back."""
EVENTS = 32  # about as many as a life has
MOST_DEATHS = 2


class Died(BaseException):
    """The process is gone: no handler of an Exception sees it."""


class Steady(msgspec.Struct, frozen=True, kw_only=True):
    """Wants one way in even blocks and the other in odd ones, more of it the higher the price."""

    name: str
    buys_even: bool

    def on_block(self, view: tk.View) -> Iterable[tk.Intent]:
        """Return the wish."""
        more = int(view.price(DAI_PRICE.key))
        if (view.block.number % 2 == 0) is self.buys_even:
            leg = tk.Leg(token_in=DAI.address, token_out=WETH.address, amount_in=more * 10**17)
        else:
            leg = tk.Leg(token_in=WETH.address, token_out=DAI.address, amount_in=more * 10**14)
        return (tk.Intent(agent=self.name, legs=(leg,), edge_wei=10**15),)


AGENTS = (Steady(name="one", buys_even=True), Steady(name="other", buys_even=False))


def _die() -> None:
    raise Died


async def _one(
    backend: MemoryBackend, blocks: Sequence[GivenBlock], sent: list[Paper], at: int
) -> bool:
    """Live once; whether it came to its end."""
    doom = Doom(at, _die)
    journal = MortalInline(backend)
    journal.doom = doom
    chain = LastingChain(
        blocks, entries=tuple(backend.rows), sent=tuple(sent), keep=sent.extend, doom=doom
    )
    try:
        await life(journal, chain, AGENTS, (), checkpoint_blocks=2)
        await journal.close()
    except Died:
        journal.cut = True  # what was not written yet never will be
        return False
    return True


async def _reference(blocks: Sequence[GivenBlock], landed: frozenset[str]) -> tuple[Entry, ...]:
    """One whole life, on a chain where just these plans land."""
    backend = MemoryBackend()
    journal = opened(MortalInline, backend, Doom())
    chain = PaperChain(
        blocks, CAPITAL, market=DAI_MARKET, lands=lambda plan: plan.verdict_id in landed
    )
    await life(journal, chain, AGENTS, (), checkpoint_blocks=2)
    await journal.close()
    return tuple(backend.rows)


async def _check(seed: int) -> None:
    rng = random.Random(seed)
    blocks = random_market(seed, blocks=BLOCKS, past=PAST)
    backend, sent = MemoryBackend(), list[Paper]()
    for _ in range(rng.randint(1, MOST_DEATHS)):
        if await _one(backend, blocks, sent, rng.randint(1, EVENTS)):
            break
    else:
        assert await _one(backend, blocks, sent, 0)
    entries = tuple(backend.rows)
    names = [one.plan.verdict_id for one in sent]
    planned = {
        decoded(one, records.Planned).plan.verdict_id for one in entries if one.kind == records.PLAN
    }
    whole = await _reference(blocks, frozenset(names))

    assert len(set(names)) == len(names), "a plan was sent twice"
    assert planned.issuperset(names), "something was sent that is in no journal"
    assert replay(entries, agents=AGENTS).identical, "the journal is decided otherwise"
    assert state_of(whole, AGENTS) == state_of(entries, AGENTS), "the state is another"


def check(seed: int) -> None:
    """Try one seed."""
    asyncio.run(_check(seed))
