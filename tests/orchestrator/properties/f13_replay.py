"""A journal is decided again byte for byte, and an agent that decides otherwise is named."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
from msgspec import structs

import toolkit as tk
from tests.orchestrator.worlds import DAI_CAPITAL, DAI_MARKET, random_market, shipped
from toolkit.journal.log import Entry
from toolkit.journal.memory import MemoryBackend
from toolkit.orchestrator.audit.replay import decoded, encoded, replay
from toolkit.orchestrator.mainnet import DAI, WETH
from toolkit.orchestrator.records import Setup
from toolkit.orchestrator.runtime import Orchestrator
from toolkit.testing.decide import decide
from toolkit.testing.fakes import InlineJournal
from toolkit.testing.paper import VAULT_LENDS, PaperChain, PaperSession

BLOCKS = 4
PAST = 70
"""Recorded prices: enough for a momentum of sixty to score."""


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """Buys a little at the third block: always the same, whoever asks."""

    name: str = "settled"

    def on_block(self, view: tk.View) -> Iterable[tk.Intent]:
        """Return the one wish."""
        if view.block.number % 2:
            return ()
        leg = tk.Leg(token_in=DAI.address, token_out=WETH.address, amount_in=10**20)
        return (tk.Intent(agent=self.name, legs=(leg,), edge_wei=10**15),)


@dataclass
class Fickle:
    """Buys an amount that nobody could foresee."""

    entropy: random.Random
    name: str = "fickle"

    def on_block(self, view: tk.View) -> Iterable[tk.Intent]:
        """Return a wish of an unforeseeable size."""
        view.price("price/WETH-DAI")
        amount = 10**20 + self.entropy.randrange(10**18)
        leg = tk.Leg(token_in=DAI.address, token_out=WETH.address, amount_in=amount)
        return (tk.Intent(agent=self.name, legs=(leg,), edge_wei=10**15),)


def registered(agents: Sequence[tk.Agent]) -> bytes:
    """Return the set-up of an orchestrator with these agents, as it is journalled."""
    world = PaperChain((), DAI_CAPITAL, market=DAI_MARKET)
    session = PaperSession(InlineJournal(MemoryBackend()), world)
    made = Orchestrator(
        session,
        agents=agents,
        market=DAI_MARKET,
        perception=world,
        gateway=world,
        lenders=(VAULT_LENDS,),
    )
    return encoded(made.setup)


def in_order_of(entries: Sequence[Entry], agents: Sequence[tk.Agent]) -> list[Entry]:
    """Return a journal whose set-up names the agents in this order: so they are given to a core."""
    first, setup = entries[0], decoded(entries[0], Setup)
    by_name = {one.name: one for one in setup.agents}
    other = structs.replace(setup, agents=tuple(by_name[agent.name] for agent in agents))
    return [structs.replace(first, data=encoded(other)), *entries[1:]]


def check(seed: int) -> None:
    """Try one seed.

    One run serves every question. A core decides it again with its agents in another order; what
    there is besides a core knows them by the set-up alone, which is the same.
    """
    rng, blocks = random.Random(seed), random_market(seed, blocks=BLOCKS, past=PAST)
    agents = [*shipped(), Settled(), Fickle(random.Random(seed))]
    again = [*shipped(), Settled(), Fickle(random.Random(seed))]
    rng.shuffle(again)
    fickle = [Fickle(random.Random(seed + 1)) if one.name == "fickle" else one for one in again]

    entries = decide(agents, blocks, capital=DAI_CAPITAL, market=DAI_MARKET).journal
    other = replay(in_order_of(entries, again), agents=again)
    found = replay(entries, agents=fickle)

    assert registered(again) == entries[0].data, "the order of agents mattered to the set-up"
    assert other.identical, f"a replay in another order differed: {other.divergence}"
    assert other.blocks == BLOCKS, "not every block was decided again"
    assert found.divergence is not None, "nobody noticed the fickle agent"
    assert found.divergence.agent == "fickle", f"{found.divergence.agent} was blamed"
