"""A core that is fed by hand: honest and dishonest feeds for properties of perception."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

import toolkit as tk
from toolkit.model.chain import ZERO_ADDRESS, Hash, Head
from toolkit.model.decision import Fill, Reading
from toolkit.orchestrator.arguments import agent_setup
from toolkit.orchestrator.block import Decision
from toolkit.orchestrator.board.doubts import FactRule
from toolkit.orchestrator.breaking.hazards import BreakerLimits, Hazard
from toolkit.orchestrator.core import Core
from toolkit.orchestrator.deciding.limits import Limits
from toolkit.orchestrator.mainnet import USDC, WETH
from toolkit.orchestrator.market import Market
from toolkit.orchestrator.records import Inputs, Setup
from toolkit.perception.heads import fee_reading, head_reading
from toolkit.perception.perceived import perceived
from toolkit.perception.pools import pools_reading
from toolkit.perception.prices import price_readings
from toolkit.pools.snapshot import Snapshot
from toolkit.testing.decide import OFFLINE_MARKET, GivenBlock

CAPITAL = {USDC.address: 10**12, WETH.address: 10**20, ZERO_ADDRESS: 10**20}
NO_BREAKERS = BreakerLimits(off=tuple(one for one in Hazard if one is not Hazard.HALT))
"""Only the gate stands between a bad reading and an order."""

BUY = tk.Leg(token_in=USDC.address, token_out=WETH.address, amount_in=10**8)
PRICE = OFFLINE_MARKET.prices[0].key


class World:
    """Blocks go in one after the other; what agents did with them comes out."""

    def __init__(
        self,
        *agents: tk.Agent,
        facts: Sequence[FactRule] = (),
        market: Market = OFFLINE_MARKET,
    ) -> None:
        setup = Setup(
            agents=tuple(agent_setup(agent) for agent in agents),
            limits=Limits(max_plans=64, min_trade_wei=10**12),
            pauses=(),
            market=market,
            breakers=NO_BREAKERS,
            facts=tuple(facts),
        )
        self._core = Core(setup, agents)
        self._market = market
        self._last: Snapshot | None = None

    def step(
        self,
        block: GivenBlock,
        readings: Iterable[Reading] = (),
        *,
        reverted: Sequence[Hash] = (),
        fills: Sequence[Fill] = (),
    ) -> Decision:
        """Decide one block with what feeds brought, besides what the block itself shows."""
        usual = (
            head_reading(block.head),
            fee_reading(block.fee, block.head),
            pools_reading(block.snapshot),
            *price_readings(block.snapshot, self._market.prices),
        )
        seen = perceived(
            block.snapshot,
            since=self._last,
            fee=block.fee,
            balances=CAPITAL,
            readings=(*usual, *readings),
            reverted=tuple(reverted),
        )
        self._last = block.snapshot
        return self._core.advance(Inputs(seen=seen, fills=tuple(fills)))


def told(key: str, value: float | str, head: Head, *, most: int = 1) -> Reading:
    """What a feed says of a block."""
    return Reading(
        key=key,
        value=value,
        source=f"feed of {key}",
        block_number=head.number,
        block_hash=head.hash,
        observed_at=head.timestamp,
        max_age_blocks=most,
    )


def approved(decision: Decision) -> frozenset[str]:
    """Name the intents of which something goes to the market."""
    verdicts = decision.report.verdicts
    return frozenset(intent for one in verdicts if one.approved for intent in one.intents)


def by_agent(decision: Decision) -> dict[str, frozenset[str]]:
    """Name each agent's approved intents."""
    names = approved(decision)
    found: dict[str, frozenset[str]] = {}
    for candidate in decision.report.intents:
        if candidate.intent_id in names:
            agent = candidate.intent.agent
            found[agent] = found.get(agent, frozenset()) | {candidate.intent_id}
    return found


@dataclass
class Buyer:
    """Looks a price up in a way of its own, remembers what it saw, lies about it, and buys."""

    name: str
    look: Callable[[tk.View], tk.Reading | None]
    declares: tuple[str, ...] = ()
    valid_for_blocks: int = 1
    seen: dict[int, tk.Reading] = field(default_factory=dict)  # by block, the newest of each

    def on_block(self, view: tk.View) -> Iterable[tk.Intent]:
        """Buy whenever there is something to buy on."""
        self.seen.pop(view.block.number, None)  # of the block that had this number before
        found = self.look(view)
        if found is None:
            return ()
        self.seen[view.block.number] = found
        return (
            tk.Intent(
                agent=self.name,
                legs=(msgspec.structs.replace(BUY),),
                edge_wei=10**18,
                inputs=self.declares,
                valid_for_blocks=self.valid_for_blocks,
            ),
        )
