"""What became of a plan, told as a fill."""

from collections.abc import Sequence

from toolkit.chain.multicall import aggregate
from toolkit.chain.node import Node
from toolkit.execution.fills import changes_of, impact_bps
from toolkit.execution.merging import attributed
from toolkit.model.chain import Address, Hash, Receipt
from toolkit.model.decision import Fill, Plan
from toolkit.model.market import Hop, PoolId, PoolKind
from toolkit.pools.manager import slot0_of

_SLOT0 = "0x3850c7bd"  # slot0() of UniswapV3Pool.sol; its first word is sqrtPriceX96
_EXTSLOAD = "0x1e2eaeaf"  # extsload(bytes32) of the PoolManager: a slot as it is
_PRICES = 2**160  # what shares a word with a price stands above it


async def filled(
    node: Node,
    plan: Plan,
    plans: Sequence[Plan],
    mined: Sequence[Receipt],
    *,
    own: frozenset[Address],
    wrapped: Address,
    whole: bool = True,
) -> Fill:
    """Tell what `mined`, which carried `plans` in one transaction, did for one of them.

    Args:
        node: where prices before the plan are read.
        plan: the one that is told of.
        plans: all that were carried.
        mined: receipts in one block.
        own: every account of ours.
        wrapped: the wrapped native token.
        whole: whether these are all of its transactions; a part of them does nothing but cost gas.

    Raises:
        NodeError: the chain could not be read.
    """
    tip_wei = sum(one.tip_wei for one in plans) if whole else 0
    changes = changes_of(mined, own=own, wrapped=wrapped, tip_wei=tip_wei)
    landed = whole and all(one.succeeded for one in mined)
    logs = [log for one in mined for log in one.logs]
    found = Fill(
        verdict_id=plan.verdict_id,
        agents=plan.agents,
        landed=landed,
        block_number=mined[0].block_number,
        block_hash=mined[0].block_hash,
        tx_hashes=tuple(one.transaction_hash for one in mined),
        changes=changes,
        predicted_out=plan.minimum_profit,
        realised_out=changes.get(plan.route.token_out, 0),
        gas_fee_wei=sum(one.fee_wei for one in mined),
        tip_wei=tip_wei if landed else 0,
        impact_bps=impact_bps(plan.route, logs, await _sqrt_prices(node, plan)) if landed else 0.0,
        missed="" if landed else ("mined, but reverted" if whole else "mined outside its bundle"),
    )
    return found if len(plans) == 1 else attributed(plans, found)[plans.index(plan)]


def lost(plan: Plan, missed: str) -> Fill:
    """Tell of a plan that did nothing, and why."""
    return Fill(
        verdict_id=plan.verdict_id,
        agents=plan.agents,
        landed=False,
        block_number=plan.target_block,
        predicted_out=plan.minimum_profit,
        missed=missed,
    )


async def _sqrt_prices(node: Node, plan: Plan) -> dict[PoolId, int]:
    """sqrtPriceX96 of the route's V3 and V4 pools on the parent block."""
    hops = {hop.pool: hop for hop in plan.route.hops if hop.kind is PoolKind.CONCENTRATED}
    calls = [(hop.contract, _price_call(hop)) for _, hop in sorted(hops.items())]
    words = await aggregate(node, calls, block=plan.parent_hash) if calls else []
    found = zip(sorted(hops), words, strict=True)
    return {pool: int(word[:66], 16) % _PRICES for pool, word in found if word}


def _price_call(hop: Hop) -> str:
    """Calldata that is answered by a word with the price in its last 160 bits."""
    if hop.key is None:
        return _SLOT0
    return f"{_EXTSLOAD}{slot0_of(Hash(hop.pool)):064x}"
