"""What builders give back of a bundle's payment. There are three rules in use, and they differ."""

from enum import Enum

import msgspec

from toolkit.model.chain import Address, Hash

_WHOLE = 100


class Formula(Enum):
    """From the payment V in wei, its share p, and the payout's own cost gas x base fee.

    Sources: Titan's page on eth_sendBundle and the MEV-Share specification; rbuilder's
    order_commit.rs.
    """

    NET_SHARED = "net_shared"  # (V - gas * base fee) * p: Titan, MEV-Share, BuilderNet
    SHARED_NET = "shared_net"  # V * p - gas * base fee: rbuilder


class RefundRule(msgspec.Struct, frozen=True, kw_only=True):
    """One builder's rule. `most_hashes` None is no limit on the transactions that are shared.

    A refund that does not cover its own payout costs the bundle its place, or, where
    `kept_when_small`, only the refund.
    """

    formula: Formula = Formula.NET_SHARED
    most_percent: int = 99
    most_hashes: int | None = 1
    recipient_required: bool = False  # without one the bundle is discarded, and nobody is told
    kept_when_small: bool = False


class RefundTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What one bundle asks for; no hashes: of its last transaction, no recipient: as the rule says.

    Where the rule has a default, the recipient is the first transaction's sender. A hash that is
    not in the bundle shares nothing.
    """

    percent: int
    recipient: Address | None = None
    tx_hashes: tuple[Hash, ...] = ()


def refund_wei(
    formula: Formula, *, value_wei: int, percent: int, gas: int, base_fee_wei: int
) -> int:
    """The refund in wei, rounded down; zero or less when it does not cover its own payout.

    Args:
        formula: the builder's.
        value_wei: what the shared transactions pay the builder.
        percent: 1 to 100.
        gas: of the payout.
        base_fee_wei: of the block, a unit of gas.
    """
    cost_wei = gas * base_fee_wei
    if formula is Formula.NET_SHARED:
        return (value_wei - cost_wei) * percent // _WHOLE
    return value_wei * percent // _WHOLE - cost_wei
