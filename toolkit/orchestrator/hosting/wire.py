"""What goes between the orchestrator and an agent's own process: frames of JSON, as differences.

JSON because amounts exceed 64 bits, and because it can hold nothing but values: whatever an agent
does to its process, what it can say is text that is checked like any other answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from toolkit.model.chain import Address, Head
from toolkit.model.decision import Intent, Reading
from toolkit.model.errors import ToolkitError
from toolkit.model.market import PoolId, Token
from toolkit.model.tx import FeeQuote
from toolkit.orchestrator.deciding.validation import malformed
from toolkit.orchestrator.hosting.asking import Question, Thought, fresh_view
from toolkit.orchestrator.market import Market
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.concentrated_v4 import ConcentratedV4
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.snapshot import Pool, SetAside, Snapshot
from toolkit.reasoning.agent import View

Order = tuple[tuple[Address, ...], tuple[PoolId, ...], tuple[str, ...]]

HEADER_BYTES = 4
MAX_ANSWER = 2**24
"""Bytes; what an honest agent says fits several times."""


class FrameTooLong(ToolkitError):
    """More was said at once than anybody asked for."""


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """The first frame a worker gets: whom it is to be. `agent` is a pickle."""

    agent: bytes
    name: str
    market: Market
    main: str = ""  # path of the script that `__main__` was, where the agent's class lives in it
    memory_bytes: int


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's first frame; `error` says why it cannot be what it was asked to be."""

    error: str = ""


class Tail(msgspec.Struct, frozen=True):
    """One key's readings: `kept` of the last frame's, from the `start`-th on, then these."""

    start: int
    kept: int
    news: tuple[Reading, ...]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One question; what has not changed since the last one under this name is left out."""

    name: str
    limit: int
    block: Head
    fee: FeeQuote
    wrapped: Address
    balances: dict[Address, int]
    positions: dict[Address, int]
    tokens: tuple[Token, ...]
    constant_product: tuple[ConstantProduct, ...]
    concentrated: tuple[Concentrated, ...]
    concentrated_v4: tuple[ConcentratedV4, ...]
    aside: tuple[SetAside, ...]
    order: Order | None  # of tokens, pools and readings, where it changed
    series: dict[str, Tail]


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """A `Thought` as it travels."""

    intents: tuple[Intent, ...]
    malformed: tuple[str, ...]
    touched: tuple[str, ...]
    failure: str
    lost: str

    def thought(self) -> Thought:
        """Return it as the orchestrator knows it."""
        return Thought(
            intents=self.intents,
            malformed=self.malformed,
            touched=self.touched,
            failure=self.failure,
            lost=self.lost,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """The part of a view that changes little from one block to the next."""

    tokens: Mapping[Address, Token]
    pools: Mapping[PoolId, Pool]
    readings: Mapping[str, tuple[Reading, ...]]

    @property
    def order(self) -> Order:
        """The order that an agent sees when it goes through them."""
        return tuple(self.tokens), tuple(self.pools), tuple(self.readings)


_NOTHING = _Facts(tokens={}, pools={}, readings={})


class Differences:
    """The sender's side: what the receiver has of each name's view."""

    def __init__(self) -> None:
        self._known: dict[str, _Facts] = {}

    def asked(self, question: Question) -> Asked:
        """Describe a question by what is new in it."""
        view, before = question.view, self._known.get(question.name, _NOTHING)
        now = _Facts(
            tokens=view.snapshot.tokens, pools=view.snapshot.pools, readings=dict(view.readings)
        )
        pools = [pool for name, pool in now.pools.items() if before.pools.get(name) != pool]
        self._known[question.name] = now
        return Asked(
            name=question.name,
            limit=question.limit,
            block=view.block,
            fee=view.fee,
            wrapped=view.wrapped,
            balances=dict(view.balances),
            positions=dict(view.positions),
            tokens=tuple(t for name, t in now.tokens.items() if before.tokens.get(name) != t),
            constant_product=tuple(p for p in pools if isinstance(p, ConstantProduct)),
            concentrated=tuple(p for p in pools if isinstance(p, Concentrated)),
            concentrated_v4=tuple(p for p in pools if isinstance(p, ConcentratedV4)),
            aside=tuple(view.snapshot.aside.values()),
            order=None if now.order == before.order else now.order,
            series=_tails(before.readings, now.readings),
        )


class Views:
    """The receiver's side: puts each name's view together again."""

    def __init__(self) -> None:
        self._known: dict[str, _Facts] = {}

    def view(self, asked: Asked) -> View:
        """Rebuild the view of a question. What its agent does to it is not kept."""
        before = self._known.get(asked.name, _NOTHING)
        order = asked.order or before.order
        tokens = {**before.tokens, **{token.address: token for token in asked.tokens}}
        pools: dict[PoolId, Pool] = dict(before.pools)
        pools.update((pool.id, pool) for pool in asked.constant_product)
        pools.update((pool.id, pool) for pool in asked.concentrated)
        pools.update((pool.id, pool) for pool in asked.concentrated_v4)
        readings = dict(before.readings)
        for key, tail in asked.series.items():
            kept = readings.get(key, ())[tail.start : tail.start + tail.kept]
            readings[key] = (*kept, *tail.news)
        facts = _Facts(
            tokens={address: tokens[address] for address in order[0]},
            pools={address: pools[address] for address in order[1]},
            readings={key: readings[key] for key in order[2]},
        )
        self._known[asked.name] = facts
        return fresh_view(
            block=asked.block,
            snapshot=Snapshot(
                block=asked.block,
                tokens=dict(facts.tokens),
                pools=dict(facts.pools),
                aside={one.spec.id: one for one in asked.aside},
            ),
            readings=facts.readings,
            balances=asked.balances,
            positions=asked.positions,
            fee=asked.fee,
            wrapped=asked.wrapped,
        )


def answered(thought: Thought, *, agent: str, market: Market) -> Answered:
    """Pack an answer: what is no intent stays here, and only what is wrong with it travels."""
    wrong = [malformed(intent, agent=agent, market=market) for intent in thought.intents]
    return Answered(
        intents=tuple(
            intent
            for intent, why in zip(thought.intents, wrong, strict=True)
            if not why and isinstance(intent, Intent)
        ),
        malformed=tuple(why for why in wrong if why),
        touched=thought.touched,
        failure=thought.failure,
        lost=thought.lost,
    )


def frame(message: msgspec.Struct) -> bytes:
    """Pack one message with its length."""
    body = msgspec.json.encode(message)
    return len(body).to_bytes(HEADER_BYTES, "big") + body


def answer_length(header: bytes) -> int:
    """Return how long the body of what a worker said is.

    Raises:
        FrameTooLong: longer than anything that was asked for.
    """
    size = int.from_bytes(header, "big")
    if size > MAX_ANSWER:
        raise FrameTooLong(f"{size} bytes at once; an answer has at most {MAX_ANSWER}")
    return size


def _tails(
    before: Mapping[str, tuple[Reading, ...]], now: Mapping[str, tuple[Reading, ...]]
) -> dict[str, Tail]:
    """Describe every series that is not as before."""
    return {
        key: _tail(before.get(key, ()), series)
        for key, series in now.items()
        if key not in before or before[key] != series
    }


def _tail(before: tuple[Reading, ...], now: tuple[Reading, ...]) -> Tail:
    """Describe a series by what is kept: old ones fall off its front, a reorg cuts its end."""
    start = before.index(now[0]) if now and now[0] in before else len(before)
    kept = 0
    for old, new in zip(before[start:], now, strict=False):
        if old != new:
            break
        kept += 1
    return Tail(start, kept, now[kept:])
