"""What `eth_callBundle` answers: a bundle's payments on a state, transaction by transaction."""

from collections.abc import Mapping, Sequence

import msgspec

from toolkit.chain.rpc import Rpc
from toolkit.devnet.building.dialects import BuilderProfile
from toolkit.devnet.building.fields import named_fields, read_transactions
from toolkit.devnet.building.identities import bundle_hash
from toolkit.devnet.building.simulation import Effect, SlotEnv, simulate
from toolkit.devnet.building.wire import CUSTOM, INVALID_PARAMS, OrderError, quantity
from toolkit.gas.rules import next_base_fee
from toolkit.model.chain import Address, Head
from toolkit.model.errors import RpcError
from toolkit.model.tx import DYNAMIC_FEE_TYPES, SignedTransaction

BLOCK_SECONDS = 12


class BundleCall(msgspec.Struct, frozen=True, kw_only=True):
    """A simulation that is asked for: these transactions in `env`, on the state of `state`."""

    transactions: tuple[SignedTransaction, ...]
    env: SlotEnv
    state: str  # "latest" or 0x hex


def read_call(
    params: object, *, profile: BuilderProfile, head: Head, fee_recipient: Address
) -> BundleCall:
    """Read the parameters of `eth_callBundle`.

    Raises:
        OrderError: a field is missing or malformed, or a transaction cannot be decoded.
    """
    fields = named_fields(params, profile)
    try:
        transactions = read_transactions(fields.get("txs"), profile=profile)
    except OrderError as error:
        if profile.plain_decode_error and "unable to decode" in str(error):
            raise OrderError(error.code, str(error), plain="unable to decode txs") from None
        raise
    if not transactions:
        raise OrderError(INVALID_PARAMS, "txs is empty")
    number = quantity(fields, "blockNumber")
    blocks = max(1, number - head.number)
    env = SlotEnv(
        number=number,
        timestamp=quantity(fields, "timestamp")
        if fields.get("timestamp")
        else head.timestamp + BLOCK_SECONDS * blocks,
        base_fee_per_gas=next_base_fee(head),
        gas_limit=head.gas_limit,
        fee_recipient=fee_recipient,
    )
    state = fields.get("stateBlockNumber") or "latest"
    if state != "latest":
        state = hex(quantity(fields, "stateBlockNumber"))
    return BundleCall(transactions=transactions, env=env, state=str(state))


async def price(rpc: Rpc, call: BundleCall, *, head: int) -> Mapping[str, object]:
    """Simulate; the answer in the relays' form.

    Raises:
        OrderError: a transaction is invalid there, in the relays' words.
    """
    for each in call.transactions:
        if each.unsigned.fee_cap < call.env.base_fee_per_gas:
            raise OrderError(
                CUSTOM,
                f"err: max fee per gas less than block base fee: address {each.sender},"
                f" maxFeePerGas: {each.unsigned.fee_cap}, baseFee: {call.env.base_fee_per_gas}",
            )
    await _check_nonces(rpc, call)
    try:
        effects = await simulate(rpc, call.env, call.transactions, block=call.state)
    except RpcError as error:
        raise OrderError(CUSTOM, f"err: {error.message}") from None
    return _answer(call, effects, head if call.state == "latest" else int(call.state, 16))


def effective_tip(signed: SignedTransaction, base_fee_wei: int) -> int:
    """What a unit of gas pays the builder: min(priority fee, fee cap - base fee), in wei."""
    tx = signed.unsigned
    if tx.type in DYNAMIC_FEE_TYPES:
        return min(tx.max_priority_fee_per_gas, tx.max_fee_per_gas - base_fee_wei)
    return tx.gas_price - base_fee_wei


async def _check_nonces(rpc: Rpc, call: BundleCall) -> None:
    senders = list(dict.fromkeys(each.sender for each in call.transactions))
    counts = await rpc.batch(
        [("eth_getTransactionCount", (sender, call.state)) for sender in senders]
    )
    nonces: dict[Address, int] = {}
    for sender, count in zip(senders, counts, strict=True):
        if isinstance(count, RpcError):
            raise OrderError(CUSTOM, f"err: {count.message}")
        nonces[sender] = int(count, 16)
    for each in call.transactions:
        nonce, expected = each.unsigned.nonce, nonces[each.sender]
        if nonce != expected:
            side = "low" if nonce < expected else "high"
            raise OrderError(
                CUSTOM,
                f"err: nonce too {side}: address {each.sender}, tx: {nonce} state: {expected}",
            )
        nonces[each.sender] += 1


def _answer(call: BundleCall, effects: Sequence[Effect], state: int) -> Mapping[str, object]:
    """Sums of wei are decimal strings, counts are numbers."""
    rows = [
        _row(signed, effect, call.env.base_fee_per_gas)
        for signed, effect in zip(call.transactions, effects, strict=True)
    ]
    gas = sum(effect.gas_used for effect in effects)
    value = sum(effect.coinbase_wei for effect in effects)
    fees = sum(int(str(row["gasFees"])) for row in rows)
    return {
        "bundleGasPrice": str(value // max(1, gas)),
        "bundleHash": bundle_hash(each.hash for each in call.transactions),
        "coinbaseDiff": str(value),
        "ethSentToCoinbase": str(value - fees),
        "gasFees": str(fees),
        "results": rows,
        "stateBlockNumber": state,
        "totalGasUsed": gas,
    }


def _row(signed: SignedTransaction, effect: Effect, base_fee_wei: int) -> dict[str, object]:
    fees = effect.gas_used * effective_tip(signed, base_fee_wei)
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
        return row | {"value": effect.output}
    return row | {"error": "execution reverted", "revert": effect.reason}
