"""What a builder is offered of a profit, and by which way it is paid; exact to the wei, pure."""

import msgspec

from toolkit.model.checks import require_integer
from toolkit.model.units import PPM

_MOST_WEI = 2**128 - 1
_MOST_GAS = 2**63 - 1


class Bid(msgspec.Struct, frozen=True, kw_only=True):
    """A profit, divided: what goes to the builder by either way, and what is kept, all in wei.

    `priority_fee_per_gas` is for every own transaction; over the gas that was counted on it pays
    `priority_wei`. `coinbase_wei` is what the author's own calldata sends to the coinbase.
    """

    priority_fee_per_gas: int
    priority_wei: int
    coinbase_wei: int
    kept_wei: int

    @property
    def paid_wei(self) -> int:
        """What the builder gets."""
        return self.priority_wei + self.coinbase_wei


class BidPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a profit is offered: min(cap, share of it), at least a tip for each gas unit.

    For bundles that an author writes; the orchestrator's plans have `execution.planner.TipPolicy`,
    whose tips are transfers only and are a share of what a plan nets on its snapshot.

    Args:
        cap_wei: never more than this, in wei.
        share_ppm: of the profit, in millionths; rounded down.
        min_tip_per_gas: what builders ask for at least, in wei for each unit of gas.
        coinbase_ppm: of the offer, what goes to the coinbase as a transfer, which is paid only by
            a call that succeeds; the rest is priority fees, which a reverted one pays as well.

    Raises:
        ConfigError: a field out of range.
    """

    cap_wei: int
    share_ppm: int = 900_000
    min_tip_per_gas: int = 0
    coinbase_ppm: int = 0

    def __post_init__(self) -> None:
        """Check what msgspec does not check when a value is made by hand."""
        for field in ("cap_wei", "min_tip_per_gas"):
            require_integer(f"bid.{field}", getattr(self, field), most=_MOST_WEI)
        for field in ("share_ppm", "coinbase_ppm"):
            require_integer(f"bid.{field}", getattr(self, field), most=PPM)

    def bid(self, *, profit_wei: int, gas: int) -> Bid | None:
        """Divide a profit; None where it does not pay: then nothing is offered, and nothing sent.

        What priority fees cannot express, less than a wei for each unit of gas, is added to the
        transfer where there is one, and is kept otherwise. Paid and kept are the profit, exactly.

        Args:
            profit_wei: after the base fee of `gas`, before anything for the builder; a loss is
                negative.
            gas: what the own transactions use together.

        Raises:
            ConfigError: no gas, or numbers that are none.
        """
        require_integer("profit_wei", profit_wei, least=-_MOST_WEI, most=_MOST_WEI)
        require_integer("gas", gas, least=1, most=_MOST_GAS)
        floor_wei = gas * self.min_tip_per_gas
        if profit_wei <= 0 or floor_wei > min(profit_wei, self.cap_wei):
            return None
        offer_wei = max(floor_wei, min(self.cap_wei, profit_wei * self.share_ppm // PPM))
        transfer_wei = offer_wei * self.coinbase_ppm // PPM
        per_gas = (offer_wei - transfer_wei) // gas
        priority_wei = per_gas * gas
        coinbase_wei = offer_wei - priority_wei if self.coinbase_ppm else 0
        return Bid(
            priority_fee_per_gas=per_gas,
            priority_wei=priority_wei,
            coinbase_wei=coinbase_wei,
            kept_wei=profit_wei - priority_wei - coinbase_wei,
        )
