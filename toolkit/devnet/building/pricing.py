"""What `eth_callBundle` answers: a bundle's payments on a state, transaction by transaction."""

from collections.abc import Mapping, Sequence

import msgspec

from toolkit.chain.rpc import Rpc
from toolkit.devnet.building.admission import following_nonces, nonce_fault, spenders
from toolkit.devnet.building.dialects import BuilderProfile
from toolkit.devnet.building.fields import named_fields, read_transactions
from toolkit.devnet.building.identities import bundle_hash
from toolkit.devnet.building.simulation import Effect, SlotEnv, simulate
from toolkit.devnet.building.tips import effective_tip
from toolkit.devnet.building.wire import CUSTOM, INVALID_PARAMS, OrderError, quantity
from toolkit.gas.rules import next_base_fee
from toolkit.model.chain import Address, Head
from toolkit.model.errors import RpcError
from toolkit.model.tx import SignedTransaction

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
    state = "latest"
    if fields.get("stateBlockNumber") not in (None, "", "latest"):
        state = hex(quantity(fields, "stateBlockNumber"))
    return BundleCall(transactions=transactions, env=env, state=state)


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


async def _check_nonces(rpc: Rpc, call: BundleCall) -> None:
    accounts = sorted({each for signed in call.transactions for each in spenders(signed)})
    counts = await rpc.batch(
        [("eth_getTransactionCount", (account, call.state)) for account in accounts]
    )
    nonces: dict[Address, int] = {}
    for account, count in zip(accounts, counts, strict=True):
        if isinstance(count, RpcError):
            raise OrderError(CUSTOM, f"err: {count.message}")
        nonces[account] = int(count, 16)
    fault = nonce_fault(call.transactions, nonces)
    if fault is None:
        return
    # By identity: the same transaction may stand before itself.
    place = next(index for index, each in enumerate(call.transactions) if each is fault)
    before = call.transactions[:place]
    nonce, expected = fault.unsigned.nonce, following_nonces(before, nonces)[fault.sender]
    side = "low" if nonce < expected else "high"
    raise OrderError(
        CUSTOM, f"err: nonce too {side}: address {fault.sender}, tx: {nonce} state: {expected}"
    )


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
