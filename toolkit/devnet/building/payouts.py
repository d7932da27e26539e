"""What bundles get back of their payments, and the transactions by which a builder pays it.

A payout is a transfer from the builder's own account in the same block, behind everything else. Its
gas is the builder's expense: at the base fee, without a tip to himself.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from toolkit.chain.rpc import Rpc
from toolkit.chain.signer import LocalSigner
from toolkit.devnet.building.orders import Order
from toolkit.devnet.building.refunds import RefundRule, refund_wei
from toolkit.devnet.building.simulation import SlotEnv
from toolkit.devnet.building.trials import Deed
from toolkit.model.chain import Address
from toolkit.model.errors import RpcError
from toolkit.model.tx import SignedTransaction, UnsignedTransaction
from toolkit.model.units import WEI_PER_ETHER

_NO_CODE = "0x"
TRANSFER_GAS = 21_000


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle gets back in its place; `objection` says why it is not to be included."""

    recipient: Address | None = None
    refund_wei: int = 0
    gas: int = 0
    objection: str = ""


class Payouts:
    """One builder's refunds in one slot.

    Args:
        rule: the builder's; None where no refund can be asked for.
        env: the block.
        gas: that a payout to each recipient takes; None for one that takes no money.
    """

    def __init__(
        self, rule: RefundRule | None, env: SlotEnv, gas: Mapping[Address, int | None]
    ) -> None:
        self._rule = rule
        self._base_fee_wei = env.base_fee_per_gas
        self._gas = gas

    def due(self, order: Order, deed: Deed) -> Due:
        """What the bundle gets back for what it does in a place."""
        terms, rule = order.refund, self._rule
        if terms is None or rule is None or deed.failure:
            return Due()
        recipient = recipient_of(order, rule)
        if recipient is None:
            return Due(objection="a refund is asked for, and nobody is named to get it")
        gas = self._gas[recipient]
        shared = terms.tx_hashes or (order.transactions[-1].hash,)
        value = sum(each.coinbase_wei for each in deed.effects if each.transaction in shared)
        if gas is not None:
            wei = refund_wei(
                rule.formula,
                value_wei=value,
                percent=terms.percent,
                gas=gas,
                base_fee_wei=self._base_fee_wei,
            )
            if wei > 0:
                return Due(recipient=recipient, refund_wei=wei, gas=gas)
        if rule.kept_when_small:
            return Due()
        return Due(
            objection=f"{terms.percent} % of {value} wei do not cover the payout's own gas"
            if gas is not None
            else f"{recipient} takes no money"
        )

    def most_gas(self, orders: Iterable[Order]) -> int:
        """What has to be kept free of a block's gas, whoever is included."""
        if self._rule is None:
            return 0
        recipients = (recipient_of(each, self._rule) for each in orders)
        return sum(self._gas[each] or 0 for each in recipients if each is not None)

    def worth(self, order: Order, deed: Deed) -> int | None:
        """What the bundle leaves to the builder in wei; None where he does not include it."""
        due = self.due(order, deed)
        if due.objection:
            return None
        return deed.coinbase_wei - due.refund_wei - due.gas * self._base_fee_wei


def recipient_of(order: Order, rule: RefundRule) -> Address | None:
    """Who gets the refund: the one named, or else the first transaction's sender, if anybody."""
    if order.refund is None:
        return None
    if order.refund.recipient is None and not rule.recipient_required:
        return order.transactions[0].sender
    return order.refund.recipient


async def payout_gas(
    rpc: Rpc, payer: Address, recipients: Iterable[Address]
) -> dict[Address, int | None]:
    """What a transfer to each takes; a contract may do something with it, or refuse it."""
    ordered = sorted(set(recipients))
    codes = await rpc.batch([("eth_getCode", (each, "latest")) for each in ordered])
    found: dict[Address, int | None] = {
        each: TRANSFER_GAS for each, code in zip(ordered, codes, strict=True) if code == _NO_CODE
    }
    contracts = [each for each in ordered if each not in found]
    rich = {payer: {"balance": hex(WEI_PER_ETHER)}}
    estimates = await rpc.batch(
        [
            ("eth_estimateGas", ({"from": payer, "to": each, "value": "0x1"}, "latest", rich))
            for each in contracts
        ]
    )
    for each, gas in zip(contracts, estimates, strict=True):
        found[each] = None if isinstance(gas, RpcError) else int(gas, 16)
    return found


def sign_payouts(
    dues: Sequence[Due], signer: LocalSigner, env: SlotEnv, *, chain_id: int, nonce: int
) -> tuple[SignedTransaction, ...]:
    """Make the builder's transfers, in order, from its `nonce` on."""
    return tuple(
        signer.sign_transaction_now(
            UnsignedTransaction(
                type=2,
                chain_id=chain_id,
                nonce=nonce + index,
                to=due.recipient,
                value=due.refund_wei,
                data="0x",
                gas=due.gas,
                max_fee_per_gas=env.base_fee_per_gas,
            )
        )
        for index, due in enumerate(dues)
    )
