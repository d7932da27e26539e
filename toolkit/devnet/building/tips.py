from toolkit.model.tx import DYNAMIC_FEE_TYPES, SignedTransaction


def effective_tip(signed: SignedTransaction, base_fee_wei: int) -> int:
    """What a unit of gas pays the builder: min(priority fee, fee cap - base fee), in wei."""
    tx = signed.unsigned
    if tx.type in DYNAMIC_FEE_TYPES:
        return min(tx.max_priority_fee_per_gas, tx.max_fee_per_gas - base_fee_wei)
    return tx.gas_price - base_fee_wei
