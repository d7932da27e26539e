"""Fee estimates from recent blocks: pure, causal, and honest about how little they rest on.

What the protocol fixes is not estimated: the next base fee comes in as an argument. Estimated are
the highest base fee within the horizon, by the empirical quantile of how far it rose over past
horizons, and the tip, by the empirical quantile of the lowest tips that past blocks admitted.
"""

from bisect import insort
from collections.abc import Sequence

import msgspec

from toolkit.gas.rules import base_fee_upper_bound
from toolkit.model.errors import ConfigError
from toolkit.model.tx import FeeQuote
from toolkit.model.units import div_ceil

# A floor of one wei: a tip of zero is refused by nodes' default price limit, a higher floor
# overpays whenever blocks clear for less.
MIN_TIP_WEI = 1
# Tips up to this were paid directly to the builder, or not at all; they tell nothing.
UNPAID_TIP_WEI = 1
# Ratios of base fees are integers in parts per billion, so that a cap never passes a float.
RATIO_SCALE = 10**9


class BlockFees(msgspec.Struct, frozen=True, kw_only=True):
    """A past block's base fee in wei and its admitted tips in wei.

    `tips` are gas-weighted percentiles in rising order, or any tips seen in the block; empty when
    the block was empty or the node did not tell.
    """

    number: int
    base_fee_per_gas: int
    tips: tuple[int, ...] = ()


class EstimatorConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How sure and how far back; counts are in blocks.

    `tip_probability` is the wished probability of being admitted at least once within the
    horizon, `base_fee_quantile` of the cap holding through all of it.
    """

    base_fee_quantile: float = 0.99
    tip_probability: float = 0.95
    base_fee_window: int = 300
    tip_window: int = 20
    min_samples: int = 50

    def __post_init__(self) -> None:
        """Refuse probabilities outside (0, 1) and windows without a block."""
        for name in ("base_fee_quantile", "tip_probability"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be between 0 and 1")
        for name in ("base_fee_window", "tip_window", "min_samples"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1 block")


def estimate(
    history: Sequence[BlockFees],
    *,
    next_base_fee: int,
    gas_limit: int,
    for_block: int,
    horizon_blocks: int,
    config: EstimatorConfig,
) -> FeeQuote:
    """Quote fees that hold from `for_block` for `horizon_blocks` blocks.

    Only blocks before `for_block` are read, so later ones never change the quote. The confidence
    is the wished probability, cut to n / (n + 1) for n blocks with usable tips.

    Args:
        history: blocks in rising order of number; gaps are allowed.
        next_base_fee: the base fee of `for_block`, in wei, known exactly.
        gas_limit: of the newest block, for the bound where history is too short.
        for_block: the first block the quote is meant for.
        horizon_blocks: at least 1; 1 needs no estimate of the base fee at all.
        config: quantiles and windows.
    """
    if horizon_blocks < 1:
        raise ConfigError(f"horizon is {horizon_blocks} blocks; it must be at least 1")
    past = [block for block in history if block.number < for_block]
    cap = _base_fee_cap(past, next_base_fee, gas_limit, horizon_blocks, config)
    lowest = _lowest_tips(past, config.tip_window)
    tip = _tip(lowest, horizon_blocks, config)
    return FeeQuote(
        max_fee_per_gas=cap + tip,
        max_priority_fee_per_gas=tip,
        base_fee_per_gas=next_base_fee,
        for_block=for_block,
        confidence=min(config.tip_probability, len(lowest) / (len(lowest) + 1)),
    )


def _base_fee_cap(
    past: Sequence[BlockFees],
    next_base_fee: int,
    gas_limit: int,
    horizon: int,
    config: EstimatorConfig,
) -> int:
    bound = base_fee_upper_bound(next_base_fee, gas_limit=gas_limit, blocks=horizon - 1)
    rises = _rises(past, horizon, config.base_fee_window)
    if horizon == 1 or len(rises) < config.min_samples:
        return bound
    rise = _quantile_up(rises, config.base_fee_quantile)
    # A full block raises even a fee of zero by one wei, which no ratio expresses.
    slack = horizon - 1
    return min(bound, max(next_base_fee + slack, _scaled_up(next_base_fee, rise)))


def _rises(past: Sequence[BlockFees], horizon: int, window: int) -> list[int]:
    """Sort the last `window` completed ratios max(b[i..i+h-1]) / b[i], in parts per billion."""
    fees = [(block.number, block.base_fee_per_gas) for block in past[-(window + horizon - 1) :]]
    rises: list[int] = []
    for start in range(len(fees) - horizon + 1):
        number, first = fees[start]
        last_number, _ = fees[start + horizon - 1]
        if first > 0 and last_number - number == horizon - 1:
            highest = max(fee for _, fee in fees[start : start + horizon])
            insort(rises, div_ceil(highest * RATIO_SCALE, first))
    return rises


def _lowest_tips(past: Sequence[BlockFees], window: int) -> list[int]:
    """Sort the lowest paid tips of the last `window` blocks that had one."""
    paid = [[tip for tip in block.tips if tip > UNPAID_TIP_WEI] for block in reversed(past)]
    return sorted([min(tips) for tips in paid if tips][:window])


def _tip(lowest: Sequence[int], horizon: int, config: EstimatorConfig) -> int:
    """Bid what was admitted often enough that h tries succeed once with the wished probability.

    With independent blocks one try must succeed with q = 1 - (1 - p) ** (1 / h).
    """
    if not lowest:
        return MIN_TIP_WEI
    one_try = 1.0 - (1.0 - config.tip_probability) ** (1.0 / horizon)
    return max(MIN_TIP_WEI, _quantile_up(lowest, one_try))


def _quantile_up(ordered: Sequence[int], quantile: float) -> int:
    """Return the smallest observed value that more than `quantile` of all values do not exceed."""
    return ordered[min(int(quantile * len(ordered)), len(ordered) - 1)]


def _scaled_up(fee: int, ratio: int) -> int:
    return div_ceil(fee * ratio, RATIO_SCALE)
