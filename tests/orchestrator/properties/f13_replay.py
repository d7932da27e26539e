"""A journal is decided again byte for byte, and an agent that decides otherwise is named."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

import toolkit as tk
from tests.orchestrator.worlds import DAI_CAPITAL, DAI_MARKET, random_market, shipped
from toolkit.orchestrator.audit.replay import replay
from toolkit.orchestrator.mainnet import DAI, WETH
from toolkit.testing.decide import Decided, GivenBlock, decide

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


def run(blocks: Sequence[GivenBlock], *agents: tk.Agent) -> Decided:
    """Decide a few blocks of a market."""
    return decide(agents, blocks, capital=DAI_CAPITAL, market=DAI_MARKET)


def check(seed: int) -> None:
    """Try one seed."""
    rng, blocks = random.Random(seed), random_market(seed, blocks=BLOCKS, past=PAST)
    agents = [*shipped(), Settled()]
    again = agents[:]
    rng.shuffle(again)

    first, second = run(blocks, *agents), run(blocks, *again)
    fickle = run(blocks[:2], Settled(), Fickle(random.Random(seed)))  # the first one differs
    found = replay(fickle.journal, agents=[Settled(), Fickle(random.Random(seed + 1))])

    assert first.journal[-1].hash == second.journal[-1].hash, "the order of agents mattered"
    assert replay(first.journal, agents=again).identical, "a replay differed"
    assert found.divergence is not None, "nobody noticed the fickle agent"
    assert found.divergence.agent == "fickle", f"{found.divergence.agent} was blamed"
