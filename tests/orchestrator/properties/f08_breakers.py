"""A breaker binds the very block that shows its evidence: without it, that schedule loses.

In each schedule one of the eight things goes wrong (or a person says halt), and from then on
whatever raises exposure loses. Every other breaker is off, so nothing else can save it. Agents
are written against the public API alone.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import toolkit as tk
from toolkit.model.chain import ZERO_ADDRESS, Address, Hash
from toolkit.model.decision import Fill, Plan, TradingState
from toolkit.orchestrator.arguments import agent_setup
from toolkit.orchestrator.block import Decision
from toolkit.orchestrator.breaking.breakers import BreakerChange
from toolkit.orchestrator.breaking.gauges import MIN_FEES
from toolkit.orchestrator.breaking.hazards import BreakerLimits, Hazard
from toolkit.orchestrator.core import Core
from toolkit.orchestrator.deciding.limits import Limits
from toolkit.orchestrator.mainnet import USDC, WETH
from toolkit.orchestrator.market import Market
from toolkit.orchestrator.records import Command, Inputs, Setup, Vitals
from toolkit.perception.heads import fee_reading, head_reading
from toolkit.perception.perceived import Perceived, perceived
from toolkit.perception.pools import pools_reading
from toolkit.perception.prices import PriceSource, price_readings
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.snapshot import Snapshot
from toolkit.testing.decide import given

POOLS = (Address("0x" + "11" * 20), Address("0x" + "22" * 20))
KEYS = ("price/WETH-USDC", "side/WETH-USDC")
MARKET = Market(
    wrapped=WETH.address,
    tokens=(USDC, WETH),
    stables=(USDC.address,),
    prices=tuple(
        PriceSource(key=key, pool=pool, base=WETH.address, quote=USDC.address)
        for key, pool in zip(KEYS, POOLS, strict=True)
    ),
)
ETHER = 10**18
LIMITS = Limits(
    min_trade_wei=10**15,
    max_trade_wei=5 * ETHER,
    max_position_wei=10**4 * ETHER,
    agent_risk_wei=10**4 * ETHER,
    class_risk_wei=10**4 * ETHER,
)
COOLDOWN = 2
TRIED = COOLDOWN + 4  # blocks after which a probe has been made, if any is
PROBE_WEI = ETHER // 10
PPM = 10**6
DRAWDOWN_PPM = 500
HALTING = {Hazard.REORG, Hazard.SIMULATION, Hazard.CLOCK, Hazard.HALT}
MANUAL = {Hazard.DRAWDOWN, Hazard.AGENTS, Hazard.HALT}
BITE_PPM = 200_000
"""What whoever raises exposure loses of it while things go wrong."""


@dataclass(frozen=True)
class Bull:
    """Buys, whatever happens."""

    clip: int
    name: str = "bull"
    reads: tuple[str, ...] = KEYS

    def on_block(self, view: tk.View) -> Iterable[tk.Intent]:
        """Return the same wish as ever."""
        view.price(KEYS[0])
        leg = tk.Leg(token_in=USDC.address, token_out=WETH.address, amount_in=self.clip)
        return (tk.Intent(agent=self.name, legs=(leg,), edge_wei=10 * ETHER),)


@dataclass(frozen=True)
class Leaver:
    """Buys for some blocks, and sells some of it every block from then on."""

    until: int
    name: str = "leaver"

    def on_block(self, view: tk.View) -> Iterable[tk.Intent]:
        """Return the wish of the day."""
        view.price(KEYS[0])
        held = view.positions.get(WETH.address, 0)
        if view.block.number < self.until:
            leg = tk.Leg(token_in=USDC.address, token_out=WETH.address, amount_in=2000 * 10**6)
        elif held >= ETHER // 10:
            leg = tk.Leg(token_in=WETH.address, token_out=USDC.address, amount_in=ETHER // 50)
        else:
            return ()
        return (tk.Intent(agent=self.name, legs=(leg,), edge_wei=10 * ETHER),)


@dataclass(frozen=True)
class Mayfly:
    """Dies in its block."""

    name: str
    last: int

    def on_block(self, view: tk.View) -> Iterable[tk.Intent]:
        """Return nothing, or die."""
        if view.block.number >= self.last:
            raise RuntimeError("spent")
        return ()


@dataclass
class Trial:
    """One schedule: a market, what goes wrong in it from `onset` on, and for how long."""

    rng: random.Random
    hazard: Hazard
    onset: int
    lasts: int
    core: Core = field(init=False)
    balances: dict[Address, int] = field(init=False)
    sent: tuple[Plan, ...] = ()
    lost_wei: int = 0  # by plans that were decided in spite of the evidence
    bought_wei: int = 0  # likewise, while the price fell
    evidence_at: int | None = None
    trips: list[BreakerChange] = field(default_factory=list)
    price: int = 2000 * 10**4
    last: Snapshot | None = None

    def __post_init__(self) -> None:
        """Set everything up."""
        clip = self.rng.randrange(1000, 8000) * 10**6
        agents: Sequence[tk.Agent] = [
            Bull(clip),
            Leaver(until=self.onset - 2),
            *(Mayfly(f"mayfly{n}", self.onset) for n in range(3) if self._is(Hazard.AGENTS)),
        ]
        limits = BreakerLimits(
            drawdown_ppm=DRAWDOWN_PPM,
            reorg_blocks=100,
            cooldown_blocks=COOLDOWN,
            probe_wei=PROBE_WEI,
            probes=self.rng.choice([1, 2]),
            off=tuple(one for one in Hazard if one not in {self.hazard, Hazard.HALT}),
        )
        self.core = Core(
            Setup(
                agents=tuple(agent_setup(agent) for agent in agents),
                limits=LIMITS,
                pauses=(),
                market=MARKET,
                breakers=limits,
            ),
            agents,
        )
        self.balances = {
            ZERO_ADDRESS: 100 * ETHER,
            USDC.address: 400_000 * 10**6,
            WETH.address: 50 * ETHER,
        }

    def is_wrong(self, block: int) -> bool:
        """Whether things go wrong in a block."""
        return self.onset <= block < self.onset + self.lasts

    def run(self, block: int, *commands: Command) -> Decision:
        """Let one block happen."""
        fills = tuple(self._filled(plan, block) for plan in self.sent)
        if self.hazard is Hazard.HALT and block == self.onset:
            commands = (Command(verb="halt", why="enough"), *commands)
        seen = self._seen(block)
        decision = self.core.advance(
            Inputs(seen=seen, fills=fills, commands=commands, vitals=self._vitals(block))
        )
        self.trips += [one.data for one in decision.records if isinstance(one.data, BreakerChange)]
        self._note_evidence(block, fills, decision)
        self.sent = decision.plans
        return decision

    def _is(self, hazard: Hazard) -> bool:
        return self.hazard is hazard

    def _vitals(self, block: int) -> Vitals:
        if not self.is_wrong(block):
            return Vitals(clock_skew_s=self.rng.randrange(-30, 30), messages=50)
        if self.hazard is Hazard.CLOCK:
            return Vitals(clock_skew_s=self.rng.choice([-1, 1]) * self.rng.randrange(60, 9999))
        if self.hazard is Hazard.MESSAGES:
            kind = self.rng.choice(["money", "command", ""])
            return Vitals(messages=10**6, dropped={kind: 1} if kind else {})
        return Vitals()

    def _seen(self, block: int) -> Perceived:
        wrong = self.is_wrong(block)
        if self.hazard is Hazard.DRAWDOWN and wrong:
            self.price = self.price * 99 // 100
        strays = self.hazard is Hazard.ORACLE and wrong
        prices = (self.price, self.price * 97 // 100 if strays else self.price)
        depth = 10**5
        pools = [
            ConstantProduct(
                id=pool,
                token0=USDC.address,
                token1=WETH.address,
                reserve0=price * depth * 10**2,
                reserve1=depth * ETHER,
            )
            for pool, price in zip(POOLS, prices, strict=True)
        ]
        dear = self.hazard is Hazard.GAS and wrong
        one = given(block, pools=pools, base_fee_wei=20 * 10**9 if dear else 10**9)
        readings = (
            head_reading(one.head),
            fee_reading(one.fee, one.head),
            pools_reading(one.snapshot),
            *price_readings(one.snapshot, MARKET.prices),
        )
        depth_back = 3 if self.hazard is Hazard.REORG and wrong else 0
        seen = perceived(
            one.snapshot,
            since=self.last,
            fee=one.fee,
            balances=dict(self.balances),
            readings=readings,
            reverted=tuple(Hash(f"0x{block:062x}{n:02x}") for n in range(depth_back)),
        )
        self.last = one.snapshot
        return seen

    def _filled(self, plan: Plan, block: int) -> Fill:
        """Land a plan; one that raises exposure while things go wrong is bitten."""
        route = plan.route
        bites = raises(plan) and self.hazard is not Hazard.DRAWDOWN and self.is_wrong(block - 1)
        got = route.amount_out * (PPM - BITE_PPM) // PPM if bites else route.amount_out
        changes = {
            route.token_in: -route.amount_in,
            route.token_out: got,
            ZERO_ADDRESS: -plan.tip_wei - 10**14,
        }
        for token, change in changes.items():
            self.balances[token] += change
        in_spite = self.evidence_at is not None and block - 1 >= self.evidence_at
        if bites and in_spite:
            self.lost_wei += route.amount_out - got
        if raises(plan) and in_spite and self._falls(block - 1):
            self.bought_wei += got
        return Fill(
            verdict_id=plan.verdict_id,
            agents=plan.agents,
            landed=True,
            block_number=block,
            block_hash=Hash(f"0x{block:064x}"),
            changes={str(token): change for token, change in changes.items()},
            predicted_out=route.amount_out,
            realised_out=got,
            gas_fee_wei=10**14,
        )

    def _falls(self, block: int) -> bool:
        return self.hazard is Hazard.DRAWDOWN and self.is_wrong(block)

    def _note_evidence(self, block: int, fills: Sequence[Fill], decision: Decision) -> None:
        """Tell by other means than the breaker's own from which block on it had to know."""
        if self.evidence_at is not None:
            return
        if self.hazard is Hazard.SIMULATION:
            known = any(fill.realised_out < fill.predicted_out for fill in fills)
        elif self.hazard is Hazard.DRAWDOWN:
            known = (
                -sum(decision.report.pnl_wei.values()) * PPM >= DRAWDOWN_PPM * self._capital_wei()
            )
        else:
            known = self.is_wrong(block)
        if known:
            self.evidence_at = block

    def _capital_wei(self) -> int:
        return 150 * ETHER + 400_000 * 10**4 * ETHER // self.price


def raises(plan: Plan) -> bool:
    """Whether a plan adds to what is held of the base asset."""
    return plan.route.token_out == WETH.address


def check(seed: int) -> None:
    """Try one seed."""
    rng = random.Random(seed)
    hazard = list(Hazard)[seed % len(Hazard)]
    slow = hazard in {Hazard.DRAWDOWN, Hazard.SIMULATION}
    lasts = {Hazard.DRAWDOWN: 4, Hazard.SIMULATION: 3}.get(hazard) or rng.randrange(2, 4)
    calm = MIN_FEES + 1 if hazard is Hazard.GAS else 4
    trial = Trial(rng, hazard, onset=1000 + calm + rng.randrange(2), lasts=lasts)
    states: dict[int, TradingState] = {}
    for block in range(1000, trial.onset + lasts):
        decision = trial.run(block)
        states[block] = decision.report.state
        _hold(trial, block, decision, states)

    assert trial.evidence_at is not None, f"{hazard.value}: nothing went wrong"
    _lost_nothing(trial)
    assert trial.trips, f"{hazard.value}: nothing tripped"
    first = trial.trips[0]
    assert (hazard, trial.evidence_at) == (first.hazard, first.block_number)
    assert slow or first.block_number == trial.onset
    assert first.evidence.measured >= first.evidence.bound
    wanted = TradingState.HALTED if hazard in HALTING else TradingState.REDUCING
    assert wanted is states[trial.evidence_at], f"{hazard.value}: {states[trial.evidence_at]}"
    _recovers(trial, trial.onset + lasts, states)
    _lost_nothing(trial)


def _lost_nothing(trial: Trial) -> None:
    assert trial.lost_wei == 0, f"{trial.hazard.value}: lost {trial.lost_wei} wei"
    assert trial.bought_wei == 0, f"{trial.hazard.value}: bought {trial.bought_wei} wei in a fall"


def _hold(trial: Trial, block: int, decision: Decision, states: dict[int, TradingState]) -> None:
    """What is planned in a block is within what its state permits."""
    bought = [plan for plan in decision.plans if raises(plan)]
    if states[block] is TradingState.HALTED:
        assert not decision.plans, f"{trial.hazard.value}: planned in block {block} though halted"
    elif states[block] is TradingState.REDUCING and not _half_open(trial):
        assert not bought, f"{trial.hazard.value}: raised exposure in block {block}"
        assert decision.plans, f"{trial.hazard.value}: nobody could leave in block {block}"
    elif states[block] is TradingState.ACTIVE:
        assert bought, f"{trial.hazard.value}: the bull was kept from buying in block {block}"


def _half_open(trial: Trial) -> bool:
    return bool(trial.trips) and trial.trips[-1].by == "calm"


def _recovers(trial: Trial, start: int, states: dict[int, TradingState]) -> None:
    """Calm brings probes of the declared size and then the end; or a person does."""
    manual = trial.hazard in MANUAL
    probes: list[int] = []
    for block in range(start, start + TRIED + 2):
        commands = (
            (Command(verb="reset", target=trial.hazard.value),)
            if manual and block == start + TRIED
            else ()
        )
        decision = trial.run(block, *commands)
        states[block] = decision.report.state
        _hold(trial, block, decision, states)
        if states[block] is TradingState.REDUCING:
            # What the leaver sells to the bull is raised as well, though not on the market.
            inside = sum(verdict.netted_in for verdict in decision.report.verdicts)
            probes += [plan.route.amount_in + inside for plan in decision.plans if raises(plan)]
        if manual and block < start + TRIED:
            assert states[block] is not TradingState.ACTIVE, "nobody reset it"
            assert not any(raises(plan) for plan in decision.plans), "nobody let it be tried"
    assert states[block] is TradingState.ACTIVE, f"{trial.hazard.value}: it never closed"
    assert ("command" if manual else "probes") == trial.trips[-1].by
    if not manual:
        exact = PROBE_WEI * trial.price // 10**16
        assert probes, "no probe was let through"
        assert all(exact - 2 <= amount <= exact for amount in probes), f"{probes} for {exact}"
