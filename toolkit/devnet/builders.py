from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from toolkit.chain.rpc import Rpc
from toolkit.devnet.building.orders import (
    CUSTOM,
    INVALID_PARAMS,
    MAX_ORDERS,
    Order,
    OrderError,
    bundle_hash,
    one_object,
    quantity,
    read_bundle,
    read_private_transaction,
    read_transactions,
    replacement_uuid,
)
from toolkit.devnet.building.simulation import Effect, SlotEnv, simulate
from toolkit.gas.rules import next_base_fee
from toolkit.model.chain import Address, Hash, Head
from toolkit.model.errors import RpcError
from toolkit.model.tx import DYNAMIC_FEE_TYPES, SignedTransaction

BLOCK_SECONDS = 12


@dataclass(slots=True, kw_only=True)
class Builder:
    """A block builder: takes orders, simulates on request, and gives its orders for a slot.

    `head` is the market's word for the newest block; orders whose last block has passed go away.
    """

    name: str
    fee_recipient: Address
    rpc: Rpc = field(repr=False)
    head: Head
    share: float = 1.0  # of the slots, relative to the other builders'
    _orders: OrderedDict[int, Order] = field(default_factory=OrderedDict, repr=False)
    _cancelled: list[Order] = field(default_factory=list, repr=False)
    _count: int = 0

    def advance(self, head: Head) -> None:
        """Take note of a new head and forget what can no longer land."""
        self.head = head
        self._orders = OrderedDict(
            (key, order) for key, order in self._orders.items() if order.last_block > head.number
        )
        self._cancelled.clear()

    def orders(self) -> tuple[Order, ...]:
        """All live orders in order of arrival."""
        return tuple(self._orders.values())

    def cancelled(self) -> tuple[Order, ...]:
        """Orders withdrawn or replaced since the last head, in that order."""
        return tuple(self._cancelled)

    async def handle(self, method: str, params: object, owner: Address) -> object:
        """Answer one authenticated relay request.

        Raises:
            OrderError: refused; carries the JSON-RPC code.
        """
        if method == "eth_callBundle":
            return await self._call_bundle(params)
        if method == "eth_sendBundle":
            return self._send_bundle(params, owner)
        if method == "eth_cancelBundle":
            return self._cancel_bundle(params, owner)
        if method in {"eth_sendPrivateTransaction", "eth_sendPrivateRawTransaction"}:
            order = read_private_transaction(params, owner=owner, head=self.head.number)
            self._add(order)
            return order.transactions[0].hash
        if method == "eth_cancelPrivateTransaction":
            return self._cancel_private(params, owner)
        raise OrderError(-32601, f"method {method} is not offered by this relay")

    def _send_bundle(self, params: object, owner: Address) -> object:
        order = read_bundle(params, owner=owner, head=self.head.number)
        if order.replacement_uuid is not None:
            self._withdraw(order.replacement_uuid, owner)
        if order.transactions:  # an empty bundle with a uuid is a cancellation
            self._add(order)
        return {"bundleHash": order.bundle_hash}

    def _cancel_bundle(self, params: object, owner: Address) -> object:
        uuid = replacement_uuid(one_object(params))
        if uuid is None:
            raise OrderError(INVALID_PARAMS, "replacementUuid is missing")
        return self._withdraw(uuid, owner)

    def _cancel_private(self, params: object, owner: Address) -> object:
        wanted = str(one_object(params).get("txHash")).lower()
        found = [
            key
            for key, order in self._orders.items()
            if order.is_private_transaction
            and order.owner == owner
            and order.transactions[0].hash == wanted
        ]
        for key in found:
            self._drop(key)
        return bool(found)

    def _add(self, order: Order) -> None:
        if len(self._orders) >= MAX_ORDERS:
            raise OrderError(CUSTOM, f"too many orders: {MAX_ORDERS} are waiting already")
        self._count += 1
        self._orders[self._count] = order

    def _withdraw(self, uuid: str, owner: Address) -> list[Hash]:
        keys = [
            key
            for key, order in self._orders.items()
            if order.replacement_uuid == uuid and order.owner == owner
        ]
        return [self._drop(key).bundle_hash for key in keys]

    def _drop(self, key: int) -> Order:
        order = self._orders.pop(key)
        self._cancelled.append(order)
        return order

    async def _call_bundle(self, params: object) -> object:
        fields = one_object(params)
        transactions = read_transactions(fields.get("txs"))
        if not transactions:
            raise OrderError(INVALID_PARAMS, "txs is empty")
        number = quantity(fields, "blockNumber")
        given = fields.get("timestamp")
        env = SlotEnv(
            number=number,
            timestamp=quantity(fields, "timestamp")
            if given
            else self.head.timestamp + BLOCK_SECONDS * max(1, number - self.head.number),
            base_fee_per_gas=next_base_fee(self.head),
            gas_limit=self.head.gas_limit,
            fee_recipient=self.fee_recipient,
        )
        state = fields.get("stateBlockNumber") or "latest"
        if state != "latest":
            state = hex(quantity(fields, "stateBlockNumber"))
        for each in transactions:
            if each.unsigned.fee_cap < env.base_fee_per_gas:
                raise OrderError(
                    CUSTOM,
                    f"err: max fee per gas less than block base fee: address {each.sender},"
                    f" maxFeePerGas: {each.unsigned.fee_cap}, baseFee: {env.base_fee_per_gas}",
                )
        await self._check_nonces(transactions, str(state))
        try:
            effects = await simulate(self.rpc, env, transactions, block=str(state))
        except RpcError as error:
            raise OrderError(CUSTOM, f"err: {error.message}") from None
        state_number = self.head.number if state == "latest" else int(str(state), 16)
        return _call_result(transactions, effects, env, state_number)

    async def _check_nonces(self, transactions: Sequence[SignedTransaction], state: str) -> None:
        senders = list(dict.fromkeys(each.sender for each in transactions))
        counts = await self.rpc.batch(
            [("eth_getTransactionCount", (sender, state)) for sender in senders]
        )
        nonces: dict[Address, int] = {}
        for sender, count in zip(senders, counts, strict=True):
            if isinstance(count, RpcError):
                raise OrderError(CUSTOM, f"err: {count.message}")
            nonces[sender] = int(count, 16)
        for each in transactions:
            nonce, expected = each.unsigned.nonce, nonces[each.sender]
            if nonce != expected:
                side = "low" if nonce < expected else "high"
                raise OrderError(
                    CUSTOM,
                    f"err: nonce too {side}: address {each.sender}, tx: {nonce} state: {expected}",
                )
            nonces[each.sender] += 1


def _call_result(
    transactions: Sequence[SignedTransaction],
    effects: Sequence[Effect],
    env: SlotEnv,
    state_number: int,
) -> Mapping[str, object]:
    """`eth_callBundle`'s answer; sums of wei are decimal strings, counts are numbers."""
    rows = []
    for signed, effect in zip(transactions, effects, strict=True):
        fees = effect.gas_used * effective_tip(signed, env.base_fee_per_gas)
        row: dict[str, object] = {
            "txHash": signed.hash,
            "fromAddress": signed.sender,
            "toAddress": signed.unsigned.to,
            "gasUsed": effect.gas_used,
            "gasPrice": str(effect.coinbase_wei // max(1, effect.gas_used)),
            "gasFees": str(fees),
            "coinbaseDiff": str(effect.coinbase_wei),
            "ethSentToCoinbase": str(effect.coinbase_wei - fees),
        }
        if effect.succeeded:
            row["value"] = effect.output
        else:
            row |= {"error": "execution reverted", "revert": effect.reason}
        rows.append(row)
    gas = sum(effect.gas_used for effect in effects)
    value = sum(effect.coinbase_wei for effect in effects)
    fees = sum(int(str(row["gasFees"])) for row in rows)
    return {
        "bundleGasPrice": str(value // max(1, gas)),
        "bundleHash": bundle_hash(each.hash for each in transactions),
        "coinbaseDiff": str(value),
        "ethSentToCoinbase": str(value - fees),
        "gasFees": str(fees),
        "results": rows,
        "stateBlockNumber": state_number,
        "totalGasUsed": gas,
    }


def effective_tip(signed: SignedTransaction, base_fee_wei: int) -> int:
    """What a unit of gas pays the builder: min(priority fee, fee cap - base fee), in wei."""
    tx = signed.unsigned
    if tx.type in DYNAMIC_FEE_TYPES:
        return min(tx.max_priority_fee_per_gas, tx.max_fee_per_gas - base_fee_wei)
    return tx.gas_price - base_fee_wei
