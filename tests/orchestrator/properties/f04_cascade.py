"""An agent that breaks down is quarantined at once, and nobody else decides otherwise for it."""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import msgspec

import toolkit as tk
from tests.orchestrator.properties.stage import Clocked, Played, Taker, blocks, play
from toolkit.orchestrator.audit.replay import replay
from toolkit.orchestrator.hosting.containment import Dependence
from toolkit.orchestrator.mainnet import USDC, WETH
from toolkit.orchestrator.records import BlockReport

BLOCKS = 4


def wish(
    amount_in: object = 200 * 10**6, *, token: str = USDC.address, **changes: object
) -> tk.Intent:
    """A small purchase, changed as told."""
    told: dict[str, object] = {"token_in": token, "amount_in": amount_in}
    leg = tk.Leg(token_out=WETH.address, **told)  # type: ignore[arg-type]
    fields: dict[str, object] = {"agent": "bad", "legs": (leg,), "edge_wei": 10**15}
    return tk.Intent(**(fields | changes))  # type: ignore[arg-type]


def flood() -> Iterator[tk.Intent]:
    """Ten thousand messages."""
    for _ in range(10_000):
        yield wish()


def breaks() -> Iterator[tk.Intent]:
    """One message, then an exception."""
    yield wish()
    raise RuntimeError("half way")


# ruff: noqa: ARG005 - every fault has its chance, needed or not
FAULTS: dict[str, Callable[[random.Random], object]] = {
    "nan": lambda rng: [wish(confidence=float("nan"))],
    "infinity": lambda rng: [wish(edge_wei=rng.choice([1, -1]) * float("inf"))],
    "a million times": lambda rng: [wish(200 * 10**6 * 10 ** rng.randrange(5, 60))],
    "decimals": lambda rng: [wish(200 * 10 ** rng.choice([18, 24, 27]))],
    "float": lambda rng: [wish(200.0 * 10 ** rng.randrange(7))],
    "negative": lambda rng: [wish(-rng.randrange(1, 10**9))],
    "endless number": lambda rng: [wish(edge_wei=10 ** rng.randrange(400, 9000))],
    "flood": lambda rng: flood(),
    "exception": lambda rng: breaks(),
    "unknown asset": lambda rng: [wish(token="0x" + "7" * 40)],
    "past block": lambda rng: [wish(valid_for_blocks=-rng.randrange(1, 9))],
    "another's name": lambda rng: [wish(agent="good")],
    "no intents": lambda rng: rng.choice([7, "buy", None, [object()], {1: 2}]),
}


@dataclass(frozen=True)
class Bad:
    """Silent at first; then it fails in one way, chosen by `seed`."""

    seed: int
    since: int
    fault: str
    name: str = "bad"

    def on_block(self, view: tk.View) -> Iterable[tk.Intent]:
        """Fail, once it is time. Whatever it can, it breaks as well."""
        if view.block.number < self.since:
            return ()
        view.balances.clear()  # type: ignore[attr-defined]
        view.positions.clear()  # type: ignore[attr-defined]
        view.snapshot.pools.clear()
        view.snapshot.tokens.clear()
        return FAULTS[self.fault](random.Random(self.seed))  # type: ignore[return-value]


def check(seed: int) -> None:
    """Try one seed."""
    rng = random.Random(seed)
    market = blocks(rng, BLOCKS)
    since = 1000 + rng.randrange(BLOCKS - 1)
    fault = rng.choice([*FAULTS, "silence"])
    clock = None
    if fault == "silence":
        since = 1000
        clock = Clocked(lambda name: 60.0 if name == "bad" else 0.1, budget_s=1.0)
    others = [Taker("good"), Taker("alone", amount=700 * 10**6)]
    relies = [Dependence("waits", on="bad"), Dependence("alone", on="bad", fallback="alone")]
    bad = Bad(seed, since, fault if fault in FAULTS else "nan")
    agents: list[tk.Agent] = [*others, Taker("waits", amount=500 * 10**6), bad]
    rng.shuffle(agents)

    played = play(agents, market, clock=clock, dependences=relies)
    without = play([*others, Taker("waits", amount=500 * 10**6, until=since)], market)

    _contained(played, since)
    for with_it, without_it in zip(played.reports, without.reports, strict=True):
        assert _outputs(with_it) == _outputs(without_it), f"at block {with_it.head.number}"
    assert replay(played.entries, agents=agents).identical


def _contained(played: Played, since: int) -> None:
    """At most one of its messages passes, and after two it is not asked any more."""
    passed = [c for report in played.reports for c in report.intents if c.intent.agent == "bad"]
    assert len(passed) <= 1, f"{len(passed)} of its messages passed"
    for report in played.reports:
        gone = "bad" in report.quarantined
        assert gone or report.head.number < since + 1, f"asked again at {report.head.number}"
        assert not gone or report.head.number >= since, "condemned before it did anything"


def _outputs(report: BlockReport) -> list[bytes]:
    """All that the others said, and all that was done for anybody, as bytes."""
    said = [one for one in report.intents if one.intent.agent in {"good", "alone"}]
    done = (*report.plans, *report.fills)
    books = {name: book for name, book in report.books.items() if name != "bad"}
    return [msgspec.json.encode(one) for one in (*said, *done, books, report.balances)]
