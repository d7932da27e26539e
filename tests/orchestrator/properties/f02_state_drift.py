"""No order rests on a reading that is too old, of a reverted block, or of a feed that froze."""

import copy
import dataclasses
import pickle
import random
from collections import defaultdict
from collections.abc import Callable
from functools import partial

import toolkit as tk
from tests.orchestrator.properties.feeds import BUY, PRICE, Buyer, World, approved, by_agent, told
from toolkit.model.chain import Hash
from toolkit.model.decision import VetoCause
from toolkit.orchestrator.block import Decision
from toolkit.orchestrator.board.doubts import FactRule
from toolkit.orchestrator.deciding.arbitration import Candidate
from toolkit.testing.decide import GivenBlock, given, main_pool

FEED = "feed/news"
Look = Callable[[tk.View], tk.Reading | None]


def _last(view: tk.View, key: str = FEED) -> tk.Reading | None:
    return view.reading(key)


LOOKS: tuple[Look, ...] = (
    _last,
    lambda view: next(iter(view.readings.get(FEED, ())[-1:]), None),
    lambda view: _last(copy.copy(view)),
    lambda view: _last(copy.deepcopy(view)),
    lambda view: _last(dataclasses.replace(view)),
    lambda view: next(iter(copy.copy(view.readings).get(FEED, ())[-1:]), None),
    lambda view: next(iter(copy.deepcopy(view.readings).get(FEED, ())[-1:]), None),
    lambda view: next(iter(dict(view.readings).get(FEED, ())[-1:]), None),
    lambda view: next(
        (one for key, series in view.readings.items() if key == FEED for one in series[-1:]), None
    ),
    lambda view: next(
        iter(pickle.loads(pickle.dumps(view.readings)).get(FEED, ())[-1:]),
        None,  # its own
    ),
)


class Blind:
    """Looks at nothing that is noted, and buys."""

    name = "blind"

    def on_block(self, view: tk.View) -> tuple[tk.Intent]:
        """Buy on the pools alone."""
        assert view.snapshot.pools
        return (tk.Intent(agent=self.name, legs=(BUY,), edge_wei=10**18),)


def check(seed: int) -> None:
    """Try one seed."""
    rng = random.Random(seed)
    rng.choice((_lagging, _reorging, _frozen))(rng)


def _block(number: int, rng: random.Random, *, fork: str = "", parent: str = "") -> GivenBlock:
    price = f"{2000 + rng.randrange(-20, 20)}"
    return given(number, pools=[main_pool(price)], fork=fork, parent_fork=parent)


def _buyers(rng: random.Random) -> list[Buyer]:
    return [
        Buyer(
            name=f"buyer{n}",
            look=look,
            declares=rng.choice(((), ("head",), (FEED,))),
            valid_for_blocks=rng.choice((1, 2, 50)),
        )
        for n, look in enumerate(rng.sample(LOOKS, 3))
    ]


def _lagging(rng: random.Random) -> None:
    """Lag 0..40 blocks, 3 % dropped, 2 % twice, in any order."""
    buyers, most = _buyers(rng), rng.randrange(4)
    slow, world = rng.choice((1, 3, 41)), World(*buyers, Blind())
    newest = -1
    delivered: dict[int, list[tk.Reading]] = defaultdict(list)
    for number in range(960, 1010):
        said = told(FEED, float(number), _block(number, rng).head, most=most)
        for _ in range(0 if rng.random() < 0.03 else 2 if rng.random() < 0.02 else 1):
            delivered[max(number + rng.randrange(slow), 1000)].append(said)
    for number in range(1000, 1010):
        rng.shuffle(delivered[number])
        newest = max([newest, *(one.block_number for one in delivered[number])])
        decision = world.step(_block(number, rng), delivered[number])
        _only_fresh(decision, buyers, number)
        seen = {b.seen[number].block_number for b in buyers if number in b.seen}
        assert seen <= {newest}, f"shown {seen}; the newest of the feed is {newest}"
        fresh = newest < 0 or number - newest <= most
        assert fresh == ("blind" in by_agent(decision)), "who names nothing rests on everything"


def _only_fresh(decision: Decision, buyers: list[Buyer], block: int) -> None:
    """What is fresh is acted on, what is not is not; and the deadline is the earliest of all."""
    acted = by_agent(decision)
    for buyer in buyers:
        used = buyer.seen.get(block)
        if used is None:
            continue
        age = block - used.block_number
        fresh = age <= used.max_age_blocks
        assert fresh == (buyer.name in acted), (
            f"{buyer.name} acted: {buyer.name in acted}; its reading is {age} blocks old, "
            f"at most {used.max_age_blocks} allowed"
        )
        causes = {one.cause for one in decision.report.verdicts if buyer.name in one.agents}
        assert fresh or causes == {VetoCause.STALE}, f"{buyer.name} was refused for {causes}"
    for one in decision.report.intents:
        for buyer in buyers:
            if buyer.name == one.intent.agent:
                _inherits(one, buyer, block)
    assert all(plan.target_block <= _latest(decision) for plan in decision.plans)


def _inherits(one: Candidate, buyer: Buyer, block: int) -> None:
    used = buyer.seen[block]
    named = {(origin.key, origin.block_hash) for origin in one.provenance.origins}
    latest = min(block + buyer.valid_for_blocks, used.block_number + used.max_age_blocks + 1)
    assert (FEED, used.block_hash) in named, f"{one.intent_id} lost what it rests on"
    assert PRICE in {key for key, _ in named}, f"{one.intent_id} lost its price"
    assert one.provenance.deadline_block <= latest, f"{one.intent_id} got more time"


def _latest(decision: Decision) -> int:
    names = approved(decision)
    return min(
        one.provenance.deadline_block for one in decision.report.intents if one.intent_id in names
    )


def _reorging(rng: random.Random) -> None:
    """Blocks are taken back, and what was read from them arrives before, with and after that."""
    buyers = _buyers(rng)
    world, depth = World(*buyers), rng.randrange(1, 4)
    canonical: dict[int, Hash] = {}
    late: list[tk.Reading] = []
    first = [_block(number, rng) for number in range(1000, 1006)]
    second = [
        _block(number, rng, fork="b", parent="b" if number > 1006 - depth else "")
        for number in range(1006 - depth, 1010)
    ]
    for block in (*first, *second):
        reverted = [b.head.hash for b in first[-depth:]] if block is second[0] else []
        canonical[block.head.number] = block.head.hash
        news = [told(FEED, 1.0, block.head, most=5)] if rng.random() < 0.5 else []
        late += [told(FEED, 2.0, block.head, most=5)] if rng.random() < 0.8 else []
        rng.shuffle(late)
        came = [late.pop() for _ in range(rng.randrange(len(late) + 1))]
        world.step(block, [*news, *came], reverted=reverted)
        for buyer in buyers:
            used = buyer.seen.get(block.head.number)
            assert used is None or canonical[used.block_number] == used.block_hash, (
                f"{buyer.name} was shown a reading of a reverted block {used.block_number}"
            )


def _frozen(rng: random.Random) -> None:
    """One feed stands still with fresh dates while two others move: found within five updates."""
    buyers = [Buyer(name=f"on {key}", look=partial(_last, key=key)) for key in "abc"]
    frozen = rng.choice("abc")
    world = World(*buyers, facts=[FactRule(key="a", sources=("b", "c"))])
    value, step = 2000.0, rng.choice((1e-4, 5e-4, 2e-3))
    past: list[tk.Reading] = []
    for number in range(980, 1000):
        value *= 1 + rng.choice((-step, step))
        past += [told(key, value, _block(number, rng).head) for key in "abc"]
    still, trend = value, rng.choice((-1, 1))
    for number in range(1000, 1008):
        value *= 1 + trend * step * rng.uniform(0.7, 1.5)
        block = _block(number, rng)
        news = [told(key, still if key == frozen else value, block.head) for key in "abc"]
        acted = by_agent(world.step(block, [*past, *news]))
        past = []
        for buyer in buyers:
            believed = buyer.name != f"on {frozen}" or number < 1004
            assert believed == (buyer.name in acted), (
                f"{buyer.name} acted: {buyer.name in acted}, {number - 999} updates after "
                f"{frozen} froze"
            )
