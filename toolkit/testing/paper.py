"""A chain on paper: given blocks one after the other, and plans filled exactly as predicted."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from toolkit.execution.gateway import BALANCER_VAULT
from toolkit.execution.planner import FlashSource
from toolkit.journal.log import Journal
from toolkit.model.chain import ZERO_ADDRESS, ZERO_HASH, Address, Hash, Head, HeadChange, Mode
from toolkit.model.decision import Fill, Plan, Reading
from toolkit.model.market import FundingKind
from toolkit.model.tx import FeeQuote
from toolkit.orchestrator.mainnet import WETH
from toolkit.orchestrator.market import Market
from toolkit.orchestrator.records import flash_key
from toolkit.perception.heads import fee_reading, head_reading
from toolkit.perception.perceived import Perceived, perceived
from toolkit.perception.pools import pools_reading
from toolkit.perception.prices import price_readings
from toolkit.pools.snapshot import Snapshot

VAULT_LENDS = FlashSource(
    kind=FundingKind.BALANCER, lender=BALANCER_VAULT, token=WETH.address, available=2**112
)
"""Offline, a Balancer vault lends any amount of WETH for nothing."""
GAS_MARGIN_PERCENT = 150
"""A plan's gas limit in percent of the gas that a paper fill uses."""


class GivenBlock(msgspec.Struct, frozen=True, kw_only=True):
    """One block of a market that somebody wrote down.

    `readings` come on top of those that a chain gives (head, fee, pools, and the market's prices
    from the snapshot); a reading of the same key replaces it.
    """

    snapshot: Snapshot
    fee: FeeQuote
    readings: tuple[Reading, ...] = ()
    reverted: tuple[Head, ...] = ()

    @property
    def head(self) -> Head:
        """The block's reference."""
        return self.snapshot.block


class Paper(msgspec.Struct, frozen=True, kw_only=True):
    """A plan that will be filled on paper; all of `plans` land, or none."""

    plan: Plan
    plans: tuple[Plan, ...]
    gas_wei: int

    @property
    def together(self) -> tuple[str, ...]:
        """The verdicts of all that share a transaction, where several do."""
        several = len(self.plans) > 1
        return tuple(plan.verdict_id for plan in self.plans) if several else ()


class PaperSession:
    """The session of a world without a chain."""

    def __init__(self, journal: Journal, world: "PaperChain") -> None:
        """Give a journal, and the chain whose heads are followed."""
        self.journal = journal
        self.mode = Mode.DRY  # there is no chain to send to
        self.advance = world.advance


class PaperChain:
    """Perception and gateway in one. The given blocks are the market: fills do not move it.

    Args:
        blocks: rising numbers, except after `reverted`.
        capital: smallest units per token; native under ZERO_ADDRESS.
        market: which tokens and prices there are.
        lands: whether a plan makes it into the chain; each does unless given.
        start: how many of the blocks are past; `capital` is what there is after them.
    """

    def __init__(
        self,
        blocks: Sequence[GivenBlock],
        capital: Mapping[Address, int],
        *,
        market: Market,
        lands: Callable[[Plan], bool] | None = None,
        start: int = 0,
    ) -> None:
        self._blocks = tuple(blocks)
        self._balances = {token.address: 0 for token in market.tokens} | dict(capital)
        self._market = market
        self._lands = lands or (lambda _: True)
        self._next = start
        self._last: Snapshot | None = None
        self._filled: dict[Hash, list[Mapping[str, int]]] = {}

    async def advance(self) -> HeadChange | None:
        """Return the next block's head; None when there is none left."""
        if self._next == len(self._blocks):
            return None
        block = self._blocks[self._next]
        self._next += 1
        for old in block.reverted:
            for changes in self._filled.pop(old.hash, ()):
                self._change(changes, sign=-1)
        return HeadChange(added=(block.head,), reverted=block.reverted)

    async def observe(self, change: HeadChange) -> Perceived:
        """Look at the block of a change."""
        block = next(b for b in self._blocks[: self._next][::-1] if b.head == change.added[-1])
        given_keys = {reading.key for reading in block.readings if reading.block_hash != ZERO_HASH}
        usual = (
            head_reading(block.head),
            fee_reading(block.fee, block.head),
            pools_reading(block.snapshot),
            *price_readings(block.snapshot, self._market.prices),
            _lendable(block.head),
        )
        seen = perceived(
            block.snapshot,
            since=self._last,
            fee=block.fee,
            balances=dict(sorted(self._balances.items())),
            readings=(*block.readings, *(r for r in usual if r.key not in given_keys)),
            reverted=tuple(old.hash for old in block.reverted),
        )
        self._last = block.snapshot
        return seen

    async def agreed(
        self,
        blocks: Mapping[int, Hash],
        head: Head,  # noqa: ARG002 - as Perception
    ) -> int:
        """Return the highest of `blocks` below which none was reverted so far."""
        past = self._blocks[: self._next]
        gone = {old.hash for block in past for old in block.reverted}
        gone -= {block.head.hash for block in past[-1:]}
        lowest = min((number for number, one in blocks.items() if one in gone), default=None)
        return max((n for n in blocks if lowest is None or n < lowest), default=-1)

    async def submit(self, plan: Plan, *, fee: FeeQuote | None = None) -> Paper:
        """Note a plan for the next block, with the gas that it will pay."""
        return Paper(plan=plan, plans=(plan,), gas_wei=_gas_wei(plan, fee))

    async def submit_merged(
        self, plans: Sequence[Plan], *, fee: FeeQuote | None = None
    ) -> tuple[Paper, ...]:
        """Note plans that land together or not at all."""
        whole = tuple(plans)
        return tuple(Paper(plan=one, plans=whole, gas_wei=_gas_wei(one, fee)) for one in whole)

    async def strays(self, change: HeadChange) -> tuple[Fill, ...]:  # noqa: ARG002 - as Gateway
        """Nothing comes late: on paper a transaction is in its block or nowhere."""
        return ()

    async def withdraw(self) -> tuple[str, ...]:
        """Take nothing back: paper has no relays that could be asked."""
        return ()

    async def recover(
        self,
        plans: Sequence[Plan],
        change: HeadChange,  # noqa: ARG002 - as Gateway
    ) -> tuple[Fill, ...]:
        """Tell what became of an earlier process's plans: nobody noted them here."""
        why = "never sent: the process that planned it ended first"
        return tuple(missed(plan, why) for plan in plans)

    async def settle(self, in_flight: Paper, change: HeadChange) -> Fill:
        """Fill a plan exactly as predicted, or lose it."""
        plan, gas_wei = in_flight.plan, in_flight.gas_wei
        head = change.added[-1]
        if not all(map(self._lands, in_flight.plans)) or head.parent_hash != plan.parent_hash:
            return missed(plan, "lost on paper")
        changes = _changes(plan, gas_wei)
        self._change(changes, sign=1)
        self._filled.setdefault(head.hash, []).append(changes)
        return Fill(
            verdict_id=plan.verdict_id,
            agents=plan.agents,
            landed=True,
            block_number=head.number,
            block_hash=head.hash,
            changes=dict(changes),
            predicted_out=plan.minimum_profit,
            realised_out=plan.minimum_profit,
            gas_fee_wei=gas_wei,
            tip_wei=plan.tip_wei,
            together=in_flight.together,
        )

    def _change(self, changes: Mapping[str, int], *, sign: int) -> None:
        for token, change in changes.items():
            known = Address(token)
            self._balances[known] = self._balances.get(known, 0) + sign * change


def _gas_wei(plan: Plan, fee: FeeQuote | None) -> int:
    """On paper, sharing a transaction saves no gas."""
    price = 0 if fee is None else fee.base_fee_per_gas + fee.max_priority_fee_per_gas
    return plan.gas_limit * 100 // GAS_MARGIN_PERCENT * price


def missed(plan: Plan, why: str) -> Fill:
    """Return the outcome of a plan that is not in its block."""
    return Fill(
        verdict_id=plan.verdict_id,
        agents=plan.agents,
        landed=False,
        block_number=plan.target_block,
        missed=why,
    )


def _lendable(head: Head) -> Reading:
    return Reading(
        key=flash_key(VAULT_LENDS),
        value=str(VAULT_LENDS.available),
        source="paper",
        block_number=head.number,
        block_hash=head.hash,
        observed_at=head.timestamp,
        max_age_blocks=0,
    )


def _changes(plan: Plan, gas_wei: int) -> dict[str, int]:
    """A cycle's minimum profit is net of flash fee and tip; a swap pays its tip in native."""
    route = plan.route
    if route.is_cycle:
        return {route.token_in: plan.minimum_profit, ZERO_ADDRESS: -gas_wei}
    return {
        route.token_in: -route.amount_in,
        route.token_out: route.amount_out,
        ZERO_ADDRESS: -gas_wei - plan.tip_wei,
    }
