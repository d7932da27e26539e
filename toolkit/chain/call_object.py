"""A signed transaction as the execution APIs write a call, so that `eth_simulateV1` runs it."""

from toolkit.chain.tx_params import access_objects, authorization_objects
from toolkit.model.tx import DYNAMIC_FEE_TYPES, SignedTransaction


def call_object(signed: SignedTransaction) -> dict[str, object]:
    """The call that does what the transaction does; its chain id and signature are not in it."""
    tx = signed.unsigned
    fields: dict[str, object] = {
        "from": signed.sender,
        "gas": hex(tx.gas),
        "value": hex(tx.value),
        "input": tx.data,
        "nonce": hex(tx.nonce),
    }
    if tx.to is not None:
        fields["to"] = tx.to
    if tx.type in DYNAMIC_FEE_TYPES:
        fields["maxFeePerGas"] = hex(tx.max_fee_per_gas)
        fields["maxPriorityFeePerGas"] = hex(tx.max_priority_fee_per_gas)
    else:
        fields["gasPrice"] = hex(tx.gas_price)
    if tx.access_list:
        fields["accessList"] = access_objects(tx.access_list)
    if tx.authorization_list:
        fields["authorizationList"] = authorization_objects(tx.authorization_list)
    return fields
