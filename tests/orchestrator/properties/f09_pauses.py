"""No decision that an own trade still shifts is carried out, and pauses disturb nobody else.

Large traders trade at random, in every phase of what their dependents compute. Who has to wait in
which block is worked out again from the journal's fills alone: by direct convolution for a linear
signal, by asking again for another one.
"""

import itertools
import math
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

import toolkit as tk
from tests.orchestrator.worlds import DAI_MARKET, DAI_PRICE, dai_pair
from toolkit.model.chain import ZERO_ADDRESS
from toolkit.model.decision import VetoCause
from toolkit.model.errors import ConfigError
from toolkit.orchestrator import records
from toolkit.orchestrator.audit.replay import decoded
from toolkit.orchestrator.mainnet import DAI, WETH
from toolkit.orchestrator.pausing.decay import Decay, Impact
from toolkit.orchestrator.pausing.pauses import compile_pauses
from toolkit.testing.decide import MAIN_POOL, Decided, GivenBlock, decide, given, price_series

KEY = DAI_PRICE.key
BLOCKS, PAST, FIRST = 4, 40, 1000
CAPITAL = {ZERO_ADDRESS: 10**21, WETH.address: 10**21, DAI.address: 2 * 10**24}
WIDTH, MEMORY, THETA = 6, 30, 0.5
TRADERS = ("taker", "whale")


@dataclass(frozen=True)
class Trader:
    """Swaps what its script says, block by block; reads nothing."""

    name: str
    script: Mapping[int, tuple[bool, int]]
    reads: tuple[str, ...] = ("head",)

    def on_block(self, view: tk.View) -> Iterable[tk.Intent]:
        """Return the block's swap, if there is one."""
        buys, amount = self.script.get(view.block.number, (True, 0))
        if not amount:
            return ()
        pair = (DAI.address, WETH.address) if buys else (WETH.address, DAI.address)
        leg = tk.Leg(token_in=pair[0], token_out=pair[1], amount_in=amount)
        return (tk.Intent(agent=self.name, legs=(leg,), edge_wei=10**17, inputs=("head",)),)


def wish(name: str, *, buys: bool, reason: str) -> tuple[tk.Intent, ...]:
    """A small swap, with what it was decided on."""
    leg = tk.Leg(token_in=WETH.address, token_out=DAI.address, amount_in=10**17)
    if buys:
        leg = tk.Leg(token_in=DAI.address, token_out=WETH.address, amount_in=2 * 10**20)
    return (tk.Intent(agent=name, legs=(leg,), edge_wei=10**15, reason=reason),)


@dataclass(frozen=True)
class Linear:
    """Always trades, the way its filter of the price says; somebody else's agent."""

    name: str = "linear"
    signal_key: str = KEY
    threshold_sds: float = THETA
    memory: int = MEMORY

    def kernel(self) -> tuple[float, ...]:
        """Return the newest price less the mean of the last six."""
        return (1.0 - 1 / WIDTH, *[-1 / WIDTH] * (WIDTH - 1))

    def on_block(self, view: tk.View) -> Iterable[tk.Intent]:
        """Return one small swap."""
        prices = view.history(KEY, WIDTH)
        return wish(self.name, buys=prices[-1] > sum(prices) / WIDTH, reason=repr(prices[-1]))


@dataclass(frozen=True)
class Crooked:
    """Trades with the majority of the last steps: no linear filter of anything."""

    name: str = "crooked"

    def buys(self, prices: Sequence[float]) -> bool:
        """Say which way."""
        return sum(b > a for a, b in itertools.pairwise(prices[-6:])) > 2

    def on_block(self, view: tk.View) -> Iterable[tk.Intent]:
        """Return one small swap."""
        prices = view.history(KEY, 6)
        return wish(self.name, buys=self.buys(prices), reason=repr(prices[-1]))


@dataclass(frozen=True)
class Bystander(Crooked):
    """The same, waiting for nobody."""

    name: str = "bystander"


@dataclass(frozen=True)
class Case:
    """One seed's market, traders and pauses."""

    logs: tuple[float, ...]  # of the blocks FIRST - PAST ... FIRST + BLOCKS - 1
    traders: tuple[Trader, ...]
    pauses: tuple[tk.Pause, ...]

    @property
    def blocks(self) -> list[GivenBlock]:
        """The market, with its past in the first block."""
        past = [math.exp(log) for log in self.logs[:PAST]]
        return [
            given(
                FIRST + n,
                pools=[dai_pair(MAIN_POOL, math.exp(log), 2_000)],
                readings=price_series(past, before=FIRST, source=DAI_PRICE) if n == 0 else (),
                tokens=DAI_MARKET.tokens,
            )
            for n, log in enumerate(self.logs[PAST:])
        ]

    def decided(self, pauses: Sequence[tk.Pause]) -> Decided:
        """Run it."""
        agents: list[tk.Agent] = [*self.traders, Linear(), Crooked(), Bystander()]
        return decide(agents, self.blocks, capital=CAPITAL, market=DAI_MARKET, pauses=pauses)


def case(rng: random.Random) -> Case:
    """Draw one."""
    log, logs = math.log(2_000.0), []
    for _ in range(PAST + BLOCKS):
        log += rng.gauss(0, 1e-3)
        logs.append(log)
    traders = tuple(
        Trader(
            name,
            {
                FIRST + n: (True, rng.randrange(10**21, 10**22))
                if rng.random() < 0.5
                else (False, rng.randrange(10**17, 5 * 10**18))
                for n in range(BLOCKS)
                if rng.random() < 0.6
            },
        )
        for name in TRADERS
    )
    pauses = tuple(
        tk.Pause(
            agent,
            on,
            rng.choice([0.5, 5.0, 20.0]),
            rng.choice([0.02, 0.1, 0.3]),
            rng.choice(["pause", "pause", "subtract", "subtract", "discount"]),
        )
        for agent in ("linear", "crooked")
        for on in TRADERS
        if rng.random() < 0.9
    )
    return Case(tuple(logs), traders, pauses)


@dataclass(frozen=True)
class Hit:
    """An own trade's move, as the fills and plans of the journal tell it."""

    agent: str
    block: int
    move: float
    decay: Decay

    def left(self, block: int) -> float:
        """What is left of it at a block, by the formula."""
        n, decay = block - self.block, self.decay
        if n < 0:
            return 0.0
        near, far = min(abs(self.move), decay.band), max(abs(self.move) - decay.band, 0.0)
        kept = near * math.exp(-n / decay.drift) + far * (1 - decay.reversion) ** n
        return math.copysign(kept, self.move)


def hits(decided: Decided) -> list[Hit]:
    """Every landed trade of a trader; how it fades is as the journal noted it."""
    noted: dict[str, Impact] = {}
    plans: dict[str, records.Planned] = {}
    for entry in decided.journal:
        if entry.kind == records.IMPACT:
            impact = decoded(entry, Impact)
            noted[f"{impact.verdict_id} {impact.agent}"] = impact
        elif entry.kind == records.PLAN:
            planned = decoded(entry, records.Planned)
            plans[planned.plan.verdict_id] = planned
    found = []
    for report in decided.reports:
        for fill in report.fills:
            for agent in fill.agents if fill.landed else ():
                move = plans[fill.verdict_id].log_moves.get(KEY, 0.0)
                known = noted.get(f"{fill.verdict_id} {agent}")
                decay = Decay() if known is None else known.decay
                assert known is None or (known.log_move, known.block_number) == (
                    move,
                    fill.block_number,
                ), f"impact {known} of a fill that moved {move}"
                found.append(Hit(agent, fill.block_number, move, decay))
    return found


def counting(pauses: Iterable[tk.Pause], found: Sequence[Hit], block: int) -> list[Hit]:
    """Those that one of these pauses waits for."""
    return [
        hit
        for hit in found
        if hit.block <= block
        and any(p.on == hit.agent and abs(hit.move) * 1e4 >= p.impact_bps for p in pauses)
    ]


def read(log: float, own: float) -> float:
    """The price that is read where `own` is taken out of its logarithm: six digits of it."""
    price = math.exp(log - own)
    return price if own == 0.0 else float(f"{price:.6g}")


def rms(values: Sequence[float]) -> float:
    """Root of the mean square."""
    return math.sqrt(sum(value * value for value in values) / len(values))


def normal(score: float) -> float:
    """Density of the standard normal distribution."""
    return math.exp(-score * score / 2) / math.sqrt(2 * math.pi)


def filtered(values: Sequence[float]) -> list[float]:
    """Apply the linear dependent's filter wherever all its samples exist."""
    kernel = Linear().kernel()
    return [
        sum(k * values[end - lag] for lag, k in enumerate(kernel))
        for end in range(WIDTH - 1, len(values))
    ]


class Expected:
    """What the linear dependent's pauses must come to, from scratch at each block."""

    def __init__(self, one: Case, found: Sequence[Hit]) -> None:
        self.logs, self.found = one.logs, found
        mine = [pause for pause in one.pauses if pause.agent == "linear"]
        self.waits = [pause for pause in mine if pause.effect != "subtract"]
        self.takes = [pause for pause in mine if pause.effect == "subtract"]
        self.scores = self.mass = 0.0

    def excess(self, block: int) -> dict[str, float]:
        """Return how far above tolerance each effect's worst reason is; call block by block."""
        end = PAST + block - FIRST + 1
        numbers = range(block - MEMORY + 1, block + 1)
        logs = self.logs[end - MEMORY : end]
        waits, takes = (counting(p, self.found, block) for p in (self.waits, self.takes))
        seen = filtered(
            [log - sum(h.left(n) for h in takes) for n, log in zip(numbers, logs, strict=True)]
        )
        shift = filtered([sum(h.left(n) for h in waits) for n in numbers])
        clean = [a - b for a, b in zip(seen, shift, strict=True)]
        spread, spread_seen = rms(clean), rms(seen)
        for value in clean if block == FIRST else clean[-1:]:
            self._count(value / spread)
        density = (64 * 2 * normal(THETA) + self.mass) / (64 + self.scores)
        found: dict[str, float] = {}
        waiting = [p for p in self.waits if any(h.agent == p.on for h in waits)]
        for pause in waiting if len(waiting) > 1 else ():
            alone = [h for h in waits if h.agent == pause.on]
            moved = abs(filtered([sum(h.left(n) for h in alone) for n in numbers])[-1]) / spread
            excess = density * moved - pause.tolerance
            found[pause.effect] = max(found.get(pause.effect, -1.0), excess)
        if waiting:
            effect = min((p.effect for p in waiting), key=lambda e: e != "pause")
            moved = max(abs(shift[-1]) / spread, THETA * abs(spread_seen / spread - 1))
            excess = min(density * moved, 1.0) - min(p.tolerance for p in waiting)
            found[effect] = max(found.get(effect, -1.0), excess)
        return found

    def _count(self, score: float) -> None:
        width = max((self.scores + 64) ** -0.25, 0.1)
        near = sum(normal((score + s * THETA) / width) for s in (-1, 1)) / width
        self.mass = self.mass * (1 - 1 / 20_000) + near
        self.scores = self.scores * (1 - 1 / 20_000) + 1


def told(decided: Decided) -> dict[tuple[int, str], tuple[str, ...]]:
    """Why each agent's small swap was vetoed by a pause, by block and agent."""
    return {
        (verdict.block_number, agent): (verdict.why,)
        for verdict in decided.verdicts
        if verdict.cause is VetoCause.PAUSED
        for agent in verdict.agents
    }


def prices_seen(decided: Decided, agent: str) -> dict[int, float]:
    """The price that each of an agent's intents was decided on."""
    return {
        one.block_number: float(one.intent.reason)
        for report in decided.reports
        for one in report.intents
        if one.intent.agent == agent
    }


def check_linear(one: Case, found: Sequence[Hit], decided: Decided) -> None:
    """Its swaps are vetoed exactly where too many would come out otherwise."""
    vetoes, expected = told(decided), Expected(one, found)
    for block in range(FIRST, FIRST + BLOCKS):
        excess = expected.excess(block).get("pause", -1.0)
        vetoed = (block, "linear") in vetoes
        near = abs(excess) < 1e-9
        assert near or vetoed == (excess > 0), f"block {block}: {excess:+.3e}, vetoed: {vetoed}"


def check_crooked(one: Case, found: Sequence[Hit], decided: Decided) -> None:
    """Its swaps are vetoed exactly where it would do otherwise without the trades."""
    vetoes, agent = told(decided), Crooked()
    mine = [pause for pause in one.pauses if pause.agent == "crooked"]
    takes = [pause for pause in mine if pause.effect == "subtract"]
    waits = [pause for pause in mine if pause.effect != "subtract"]
    for block in range(FIRST, FIRST + BLOCKS):
        numbers = range(block - 5, block + 1)
        logs = [one.logs[n - FIRST + PAST] for n in numbers]
        sides = [
            agent.buys(
                [
                    read(log, sum(hit.left(n) for hit in gone))
                    for n, log in zip(numbers, logs, strict=True)
                ]
            )
            for gone in (
                counting(takes, found, block),
                counting(mine, found, block),
            )
        ]
        live = [p for p in waits if any(h.agent == p.on for h in counting(waits, found, block))]
        pauses = any(pause.effect == "pause" for pause in live) and sides[0] != sides[1]
        assert pauses == ((block, "crooked") in vetoes), f"block {block}: {sides}"


def check_readings(one: Case, found: Sequence[Hit], decided: Decided) -> None:
    """Everybody reads the market's price, less what it declared to have taken out."""
    for agent in ("linear", "crooked", "bystander"):
        takes = [p for p in one.pauses if p.agent == agent and p.effect == "subtract"]
        for block, seen in prices_seen(decided, agent).items():
            gone = sum(hit.left(block) for hit in counting(takes, found, block))
            market = one.logs[block - FIRST + PAST]
            assert math.isclose(math.log(seen), market - gone, abs_tol=6e-6), f"{agent}, {block}"


def check_graph(rng: random.Random) -> None:
    """A graph of pauses is refused exactly when it has a cycle, which is then written out."""
    names = ["a", "b", "c", "d"]
    edges = [(x, y) for x in names for y in names if rng.random() < 0.25]
    left = set(names)
    while free := {x for x in left if not any(a == x and b in left for a, b in edges)}:
        left -= free
    said = ""
    try:
        compile_pauses([tk.Pause(a, b) for a, b in edges], names)
    except ConfigError as error:
        said = str(error)
    path = re.findall(r"[abcd](?= ->|;)", said)
    assert bool(left) == bool(path), f"{edges}: {said}"
    assert path[:1] == path[-1:], f"{path} is no circle"
    assert all(edge in edges for edge in itertools.pairwise(path)), f"{path} of {edges}"


def check(seed: int) -> None:
    """Try one seed."""
    rng = random.Random(seed)
    check_graph(rng)
    one = case(rng)

    decided = one.decided(one.pauses)

    found = hits(decided)
    check_linear(one, found, decided)
    check_crooked(one, found, decided)
    check_readings(one, found, decided)
    assert not [name for _, name in told(decided) if name in {*TRADERS, "bystander"}]
    if rng.random() < 1 / 3:
        check_others(decided, one.decided(()))


def check_others(decided: Decided, free: Decided) -> None:
    """Whoever waits for nobody wants, byte for byte, what it wants where nobody waits."""
    for name in (*TRADERS, "bystander"):
        mine, theirs = (
            [msgspec.json.encode(i) for r in d.reports for i in r.intents if i.intent.agent == name]
            for d in (decided, free)
        )
        assert mine == theirs, f"{name} was disturbed"
