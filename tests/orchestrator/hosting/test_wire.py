"""What goes to an agent's process and back: nothing is lost, nothing is added."""

import random
from dataclasses import fields

import msgspec
import pytest

from tests.orchestrator.odd_agents import ODDITIES, Misfit, Teller
from tests.orchestrator.worlds import dai_pair, fresh_seeds
from toolkit.model.chain import Address, Hash
from toolkit.model.decision import Reading
from toolkit.model.market import PoolId
from toolkit.orchestrator.deciding.limits import Limits
from toolkit.orchestrator.deciding.validation import Proposal, defect
from toolkit.orchestrator.hosting.asking import Question, Thought, ask, fresh_view
from toolkit.orchestrator.hosting.wire import (
    MAX_ANSWER,
    Answered,
    Asked,
    Differences,
    FrameTooLong,
    Views,
    answer_length,
    answered,
    frame,
)
from toolkit.orchestrator.mainnet import DAI, USDC, WETH
from toolkit.pools.concentrated_v4 import ConcentratedV4
from toolkit.pools.snapshot import Pool, SetAside, Snapshot
from toolkit.pools.states import spec_of
from toolkit.reasoning.agent import View
from toolkit.testing.decide import OFFLINE_MARKET, given, main_pool


def reading(key: str, block: int, value: float, source: str) -> Reading:
    """One dated fact."""
    return Reading(
        key=key,
        value=value,
        source=source,
        block_number=block,
        block_hash=given(block, pools=[]).head.hash,
        observed_at=block,
        max_age_blocks=3,
    )


def managed_pool(number: Hash, *, fee_ppm: int) -> ConcentratedV4:
    """An empty pool of V4's manager."""
    return ConcentratedV4(
        id=number,
        token0=DAI.address,
        token1=WETH.address,
        fee_ppm=fee_ppm,
        tick_spacing=60,
        sqrt_price_x96=2**96,
        tick=0,
        liquidity=0,
        ticks=(),
    )


class History:
    """Views of a world that grows, loses its end to reorgs, and its beginning to age."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.block = 100
        self.series: dict[str, tuple[Reading, ...]] = {}
        self.pools: dict[PoolId, Pool] = {
            pool.id: pool for pool in [dai_pair(Address("0x" + "33" * 20), 2000.0, 10)]
        }
        self.tokens = {token.address: token for token in (DAI, WETH)}
        self.aside = [
            SetAside(spec=spec_of(pool), why=f"{number}", block_number=number)
            for number, pool in enumerate(
                managed_pool(Hash("0x" + digit * 64), fee_ppm=0) for digit in "89"
            )
        ]

    def view(self) -> View:
        """Move on by some blocks or back by one, and look."""
        rng = self.rng
        self.block += rng.choice([1, 1, 1, 2, -1, 0])
        kept = rng.choice([3, 6, 10**6])
        for key in rng.sample(["a", "b", "c", "d"], k=rng.randrange(5)):
            old = tuple(r for r in self.series.get(key, ()) if r.block_number < self.block)
            old = old[: rng.choice([len(old), len(old), max(len(old) - 2, 0)])]
            made = reading(key, self.block, rng.choice([1.0, rng.random()]), f"s{rng.random():.2f}")
            self.series[key] = (*old, made)[-kept:]
        if rng.random() < 0.2:
            self.series.pop(rng.choice(["a", "b", "c", "d"]), None)
        if rng.random() < 0.5:
            pool = Address("0x" + f"{rng.randrange(4):02x}" * 20)
            self.pools[pool] = dai_pair(pool, rng.uniform(1000, 3000), 10)
        if rng.random() < 0.3:
            number = Hash("0x" + f"{rng.randrange(4):02x}" * 32)
            self.pools[number] = managed_pool(number, fee_ppm=rng.randrange(10**6))
        if rng.random() < 0.2:
            self.tokens[USDC.address] = USDC
        block = given(self.block, pools=[]).head
        return fresh_view(
            block=block,
            snapshot=Snapshot(
                block=block,
                tokens=self.tokens,
                pools={**self.pools},
                aside={one.spec.id: one for one in self.aside[: rng.randrange(3)]},
            ),
            readings=dict(self.series),
            balances={WETH.address: rng.randrange(2**200)},
            positions={DAI.address: -rng.randrange(2**100)},
            fee=given(self.block, pools=[]).fee,
            wrapped=WETH.address,
        )


def told(view: View) -> str:
    """All that an agent could say of a view, in its order."""
    (intent,) = Teller().on_block(view)
    return intent.reason


def test_a_view_arrives_as_it_was_sent() -> None:
    """Whatever grew, aged or was reverted in between: values, types and orders are the same."""
    aside = set()
    for seed in fresh_seeds(200):
        history, sent, got = History(seed), Differences(), Views()
        for _ in range(8):
            view = history.view()
            name = history.rng.choice(["one", "two"])
            asked = sent.asked(Question(agent=Teller(), view=view, limit=3, key=name))
            there = got.view(msgspec.json.decode(msgspec.json.encode(asked), type=Asked))

            assert told(view) == told(there), seed
            assert view.snapshot == there.snapshot, seed
            aside.add(len(there.snapshot.aside))
    assert {0, 1, 2} == aside


def test_every_field_of_a_view_travels() -> None:
    """Who adds a field to the view has to tell it to processes too."""
    travels = {"block", "snapshot", "readings", "balances", "positions", "fee", "wrapped"}

    assert travels | {"router"} == {field.name for field in fields(View)}


def test_only_what_is_new_is_sent() -> None:
    """A block that changes one pool and adds one reading costs no more than these."""
    history, sent = History(1), Differences()
    for _ in range(20):
        view = history.view()
    sent.asked(Question(agent=Teller(), view=view, limit=3))

    again = sent.asked(Question(agent=Teller(), view=view, limit=3))

    assert ((), (), (), {}, None) == (
        again.tokens,
        again.constant_product,
        again.concentrated,
        again.series,
        again.order,
    )


@pytest.mark.parametrize("what", sorted(set(ODDITIES) - {"raises", "exits", "mutates", "half way"}))
def test_what_is_wrong_is_told_alike_from_outside(what: str) -> None:
    """An intent that cannot leave its process is refused with the words it gets inside ours."""
    block = given(100, pools=[main_pool("2000")])
    view = fresh_view(
        block=block.head,
        snapshot=block.snapshot,
        readings={},
        balances={},
        positions={},
        fee=block.fee,
        wrapped=WETH.address,
    )
    thought = ask(Question(agent=Misfit(what), view=view, limit=16))
    packed = msgspec.json.encode(answered(thought, agent="misfit", market=OFFLINE_MARKET))
    outside = msgspec.json.decode(packed, type=Answered).thought()

    assert _defects(thought) == _defects(outside)
    assert (thought.touched, thought.failure) == (outside.touched, outside.failure)


def _defects(thought: Thought) -> list[str]:
    made = [(intent, "") for intent in thought.intents] + [(None, w) for w in thought.malformed]
    return sorted(
        defect(
            Proposal(
                agent="misfit",
                intent=intent,
                malformed=wrong,
                touched=(),
                block_number=0,
                block_hash=given(0, pools=[]).head.hash,
            ),
            market=OFFLINE_MARKET,
            limits=Limits(),
            readings={},
        )
        for intent, wrong in made
    )


def test_more_than_an_answer_is_not_read() -> None:
    """A worker cannot make its parent take in more than an answer can be."""
    assert MAX_ANSWER == answer_length(MAX_ANSWER.to_bytes(4, "big"))
    with pytest.raises(FrameTooLong, match="at most"):
        answer_length((MAX_ANSWER + 1).to_bytes(4, "big"))


def test_amounts_beyond_64_bits_travel() -> None:
    """A frame holds whole amounts."""
    answer = Answered(intents=(), malformed=(), touched=(), failure="", lost="")

    assert answer == msgspec.json.decode(frame(answer)[4:], type=Answered)
