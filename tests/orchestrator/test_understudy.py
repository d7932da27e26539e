"""The understudy decides what was decided, a block later, while somebody waits for the node."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from tests.orchestrator.worlds import DAI_CAPITAL, DAI_MARKET, random_market, shipped
from toolkit.journal.log import Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.model.chain import ZERO_ADDRESS
from toolkit.model.errors import NodeError
from toolkit.orchestrator.arguments import agent_setup
from toolkit.orchestrator.block import Decision
from toolkit.orchestrator.core import Core
from toolkit.orchestrator.deciding.limits import Limits
from toolkit.orchestrator.hosting.asking import ask
from toolkit.orchestrator.records import Inputs, Setup
from toolkit.orchestrator.understudy import MOST_DUE, SENDING_TURNS, Understudy
from toolkit.orchestrator.writing import BlockWriter
from toolkit.reasoning.agent import Agent
from toolkit.testing.paper import VAULT_LENDS, PaperChain

BLOCKS = 6


def core(agents: Sequence[Agent] = ()) -> Core:
    """Make a core of some agents; of one that wishes for cycles alone unless told."""
    agents = agents or [one for one in shipped() if one.name == "arbitrage"]
    setup = Setup(
        agents=tuple(agent_setup(agent) for agent in agents),
        limits=Limits(),
        pauses=(),
        market=DAI_MARKET,
        lenders=(VAULT_LENDS,),
    )
    return Core(setup, agents)


async def blocks(seed: int, *, count: int = BLOCKS) -> list[Inputs]:
    """Perceive a few blocks of a seeded market."""
    world = PaperChain(
        random_market(seed, blocks=count, gap=8e-3),
        {ZERO_ADDRESS: 10**20, **DAI_CAPITAL},
        market=DAI_MARKET,
    )
    seen = []
    while (change := await world.advance()) is not None:
        seen.append(Inputs(seen=await world.observe(change)))
    return seen


def decided(first: Core, second: Understudy, inputs: Inputs) -> Decision:
    """Decide a block, which the understudy watches."""
    thoughts = {one.name: ask(one) for one in first.begin(inputs)}
    decision = first.decide(thoughts)
    second.watch(inputs, thoughts, decision)
    return decision


def told(journal: Journal) -> list[tuple[str, bytes]]:
    """Return what a journal says, without its numbers."""
    return [(entry.kind, entry.data) for entry in journal.entries()]


async def test_it_decides_what_was_decided() -> None:
    """Each block is written by the understudy as it was written before, byte for byte.

    One in which an exchange was wished for is only folded in; those behind it come out alike.
    """
    rehearsed = [0, 0]
    for seed in range(3, 9):
        first, second = core(shipped()), Understudy(core(shipped()))
        for inputs in await blocks(seed):
            journal = Journal(MemoryBackend())
            BlockWriter(journal).write(inputs, decided(first, second, inputs))
            again = told(second.rehearse())
            rehearsed[bool(again)] += 1

            assert again in ([], told(journal)), seed
    assert all(rehearsed), "blocks of both kinds"


async def test_what_was_rehearsed_is_not_rehearsed_again() -> None:
    """Without a new block there is nothing to go over."""
    first, second = core(), Understudy(core())
    inputs = (await blocks(3))[0]
    decided(first, second, inputs)
    second.rehearse()

    assert [] == told(second.rehearse())


async def test_it_rehearses_while_the_look_is_under_way() -> None:
    """A look that waits leaves the time to rehearse; its answer is handed on."""
    first, watched = core(), Understudy(core())
    inputs = (await blocks(3))[0]
    decided(first, watched, inputs)

    async def look() -> bool:
        for _ in range(SENDING_TURNS + 2):
            await asyncio.sleep(0)
        return bool(told(watched.rehearse()))

    assert not await watched.beside(look()), "there was something left to rehearse"


async def test_who_is_answered_at_once_does_not_wait_for_a_rehearsal() -> None:
    """Nothing is rehearsed where nobody waits."""
    first, watched = core(), Understudy(core())
    inputs = (await blocks(3))[0]
    decided(first, watched, inputs)

    async def look() -> str:
        return "seen"

    assert "seen" == await watched.beside(look())
    assert told(watched.rehearse()), "it was rehearsed already"


async def test_what_waits_to_be_rehearsed_is_bounded() -> None:
    """Where no look ever waits, one block in several is rehearsed all the same."""
    first, watched = core(), Understudy(core())

    async def look() -> None:
        """Know at once."""

    for inputs in await blocks(3, count=MOST_DUE):
        await watched.beside(look())
        decided(first, watched, inputs)
    await watched.beside(look())

    assert [] == told(watched.rehearse())


async def test_a_rehearsal_changes_nothing_of_what_it_stands_beside() -> None:
    """Both go on from one memory; whatever the understudy decides, the other stays as it is."""
    before, world = core(shipped()), await blocks(3)
    for inputs in world[:3]:
        before.advance(inputs)
    memory = before.memory()
    first, third, second = core(shipped()), core(shipped()), Understudy(core(shipped()))
    for one in (first, third, second):
        one.resume(memory)
    known = msgspec.json.encode((first.memory(), memory))
    for inputs in world[3:]:
        decided(third, second, inputs)
        second.rehearse()

    assert known == msgspec.json.encode((first.memory(), memory))


async def test_a_look_that_fails_fails_as_without_an_understudy() -> None:
    """What the look raises is raised."""

    async def look() -> None:
        await asyncio.sleep(0)
        raise NodeError("gone")

    with pytest.raises(NodeError, match="gone"):
        await Understudy(core()).beside(look())


async def test_who_is_cancelled_leaves_no_look_behind() -> None:
    """A step that is cancelled while it waits ends no sooner than its look."""
    ended = asyncio.Event()

    async def look() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    waiting = asyncio.create_task(Understudy(core()).beside(look()))
    for _ in range(2):  # it begins, and then its look does
        await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert ended.is_set()
