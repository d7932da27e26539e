"""The checks a transaction passes before it enters a pool, each for one row of the rules."""

from collections.abc import Callable, Mapping

import msgspec

from toolkit.devnet.pool_rules import PoolRules, Reason
from toolkit.devnet.pooled import SET_CODE_TYPE, PooledTransaction
from toolkit.model.chain import Address
from toolkit.model.tx import DYNAMIC_FEE_TYPES
from toolkit.model.units import format_units

_MAX_NONCE = 2**64 - 1
_MINIMUM_BLOB_FEE_WEI = 1  # EIP-4844 MIN_BASE_FEE_PER_BLOB_GAS
_SHOWN_DECIMALS = 2
Fields = Mapping[str, object]


class AccountState(msgspec.Struct, frozen=True, kw_only=True):
    """An account at the head: its next nonce, its balance, and whether its code delegates."""

    nonce: int
    balance_wei: int
    delegated: bool = False


class ChainState(msgspec.Struct, frozen=True, kw_only=True):
    """The head's number and gas limit, and the fees of the block that comes next.

    `chain_id` 0 is not compared with a transaction's.
    """

    number: int
    base_fee_wei: int
    blob_base_fee_wei: int
    gas_limit: int
    chain_id: int = 0


class PoolRefusal(Exception):
    """A transaction the pool does not take; `message` and `code` are the client's own."""

    def __init__(self, reason: Reason, message: str, *, code: int) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.code = code


class Applicant(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction at the door, and all that a check may look at."""

    tx: PooledTransaction
    rules: PoolRules
    chain: ChainState
    account: AccountState
    local: bool
    known: bool
    own: Mapping[int, PooledTransaction]  # the sender's, by nonce
    executable: int  # how many of these follow the account's nonce without a gap
    grants: bool  # a pooled authorization is the sender's
    pooled_by: Callable[[Address], tuple[int, bool]]  # how many an account has; are they blobs

    @property
    def held(self) -> PooledTransaction | None:
        """The one it would replace."""
        return self.own.get(self.tx.nonce)

    @property
    def expenditure_wei(self) -> int:
        """What the sender's executable transactions may cost at most."""
        first = self.account.nonce
        span = range(first, first + self.executable)
        return sum(self.own[nonce].worst_cost_wei for nonce in span)

    @property
    def next_nonce(self) -> int:
        """The first nonce that nothing is pooled for."""
        return self.account.nonce + self.executable

    @property
    def replaces_executable(self) -> bool:
        """Whether its nonce is one of the executable ones."""
        return self.account.nonce <= self.tx.nonce < self.next_nonce


def refuse(rules: PoolRules, reason: Reason, fields: Fields) -> PoolRefusal:
    """The client's refusal for `reason`, its text filled in."""
    row = rules.refusal(reason)
    return PoolRefusal(reason, row.text.format(**fields), code=row.code)


def examine(applicant: Applicant, reasons: tuple[Reason, ...]) -> None:
    """Try the rows in order.

    Raises:
        PoolRefusal: the first that does not hold.
    """
    for reason in reasons:
        fields = _CHECKS[reason](applicant)
        if fields is not None:
            raise refuse(applicant.rules, reason, fields)


def _known(a: Applicant) -> Fields | None:
    return {} if a.known else None


def _fee_above_rpc_cap(a: Applicant) -> Fields | None:
    fee, cap = a.tx.gas * a.tx.fee_cap, a.rules.rpc_fee_cap_wei
    if fee <= cap:
        return None
    ether = {"fee_ether": _ether(fee), "cap_ether": _ether(cap)}
    return {"fee": fee, "cap": cap, **ether}


def _ether(amount_wei: int) -> str:
    whole, _, rest = format_units(amount_wei, 18, places=_SHOWN_DECIMALS).partition(".")
    return f"{whole}.{rest:0<{_SHOWN_DECIMALS}}"


def _unprotected(a: Applicant) -> Fields | None:
    return {} if a.tx.chain_id == 0 else None


def _wrong_chain(a: Applicant) -> Fields | None:
    have, want = a.tx.chain_id, a.chain.chain_id
    return {"have": have, "want": want} if have and want and have != want else None


def _too_many_blobs(a: Applicant) -> Fields | None:
    most = a.rules.max_blobs
    return {"have": a.tx.blobs, "permitted": most} if a.tx.blobs > most else None


def _no_blob(a: Applicant) -> Fields | None:
    return {} if a.tx.is_blob and not a.tx.blobs else None


def _minimum_blob_fee(a: Applicant) -> Fields | None:
    if not a.tx.is_blob or a.tx.blob_fee_cap >= _MINIMUM_BLOB_FEE_WEI:
        return None
    return {"fee": a.tx.blob_fee_cap, "minimum": _MINIMUM_BLOB_FEE_WEI}


def _no_authorization(a: Applicant) -> Fields | None:
    return {} if a.tx.type == SET_CODE_TYPE and not a.tx.authorizations else None


def _oversized(a: Applicant) -> Fields | None:
    limit = a.rules.max_blob_bytes if a.tx.is_blob else a.rules.max_bytes
    size = a.tx.size
    if a.tx.is_blob and a.rules.has_subpools:
        size = _data_bytes(a.tx)  # reth measures a blob transaction's input alone
    return {"size": size, "limit": limit} if size > limit else None


def _data_bytes(tx: PooledTransaction) -> int:
    return len(tx.data) // 2 - 1


def _initcode(a: Applicant) -> Fields | None:
    size, limit = _data_bytes(a.tx), a.rules.max_initcode_bytes
    return {"size": size, "limit": limit} if a.tx.to is None and size > limit else None


def _gas_above_cap(a: Applicant) -> Fields | None:
    limit = a.rules.max_gas
    return {"gas": a.tx.gas, "limit": limit} if a.tx.gas > limit else None


def _gas_above_block(a: Applicant) -> Fields | None:
    return {} if a.tx.gas > a.chain.gas_limit else None


def _tip_above_cap(a: Applicant) -> Fields | None:
    return {} if a.tx.tip_cap > a.tx.fee_cap else None


def _nonce_max(a: Applicant) -> Fields | None:
    return {} if a.tx.nonce >= _MAX_NONCE else None


def _intrinsic_gas(a: Applicant) -> Fields | None:
    needed = a.tx.prepaid_gas
    return {"gas": a.tx.gas, "needed": needed} if a.tx.gas < needed else None


def _floor_gas(a: Applicant) -> Fields | None:
    needed = a.tx.floor_gas
    return {"gas": a.tx.gas, "needed": needed} if a.tx.gas < needed else None


def _minimum_tip(a: Applicant) -> Fields | None:
    least = a.rules.minimum_tip_wei
    return {"tip": a.tx.tip_cap, "minimum": least} if a.tx.tip_cap < least else None


def _minimum_fee_cap(a: Applicant) -> Fields | None:
    return {} if a.tx.fee_cap < a.rules.minimum_fee_cap_wei else None


def _nonce_too_low(a: Applicant) -> Fields | None:
    low = a.tx.nonce < a.account.nonce
    return {"next": a.account.nonce, "nonce": a.tx.nonce} if low else None


def _blob_nonce_gap(a: Applicant) -> Fields | None:
    gapped = a.tx.is_blob and a.tx.nonce > a.next_nonce
    return {"next": a.next_nonce, "nonce": a.tx.nonce} if gapped else None


def _funds(a: Applicant) -> Fields | None:
    return _overshot(a, a.tx.worst_cost_wei)


def _overdraft(a: Applicant) -> Fields | None:
    if a.replaces_executable:
        return None
    return _overshot(a, a.expenditure_wei + a.tx.worst_cost_wei)


def _replacement_overdraft(a: Applicant) -> Fields | None:
    if a.held is None or not a.replaces_executable:
        return None
    bump = a.tx.worst_cost_wei - a.held.worst_cost_wei
    return _overshot(a, a.expenditure_wei + bump, bump=bump)


def _overshot(a: Applicant, need: int, *, bump: int = 0) -> Fields | None:
    if need <= a.account.balance_wei:
        return None
    return {
        "balance": a.account.balance_wei,
        "cost": a.tx.worst_cost_wei,
        "pooled": a.expenditure_wei,
        "bump": bump,
        "overshot": need - a.account.balance_wei,
    }


def _blob_overdraft(a: Applicant) -> Fields | None:
    """Blobs of a sender may not go into overdraft, a replacement not push later ones there."""
    if not a.tx.is_blob:
        return None
    others = sum(each.worst_cost_wei for nonce, each in a.own.items() if nonce != a.tx.nonce)
    return _overshot(a, others + a.tx.worst_cost_wei)


def _blob_account_slots(a: Applicant) -> Fields | None:
    if not a.tx.is_blob or a.held is not None or len(a.own) < a.rules.blob_account_slots:
        return None
    return {"pooled": len(a.own)}


def _account_slots(a: Applicant) -> Fields | None:
    """What has the account's next nonce always gets in; a replacement of a later one does not."""
    limit = a.rules.account_slots
    if limit is None or a.local or a.tx.nonce == a.account.nonce:
        return None
    return {} if len(a.own) >= limit else None


def _is_delegated(a: Applicant) -> bool:
    return a.account.delegated or a.grants


def _delegated_gap(a: Applicant) -> Fields | None:
    lone = _is_delegated(a) and not a.executable
    return {} if lone and a.tx.nonce != a.account.nonce else None


def _delegated_limit(a: Applicant) -> Fields | None:
    stacked = _is_delegated(a) and a.executable and not a.replaces_executable
    return {} if stacked else None


def _authority_busy(a: Applicant) -> Fields | None:
    for authority in a.tx.authorities:
        count, blobs = a.pooled_by(authority)
        # geth's blob pool holds its accounts; reth counts transactions and no more.
        if count > 1 or (count and blobs and not a.rules.has_subpools):
            return {}
    return None


def _other_type_pooled(a: Applicant) -> Fields | None:
    other = any(each.is_blob is not a.tx.is_blob for each in a.own.values())
    return {} if other else None


def _replacement(a: Applicant) -> Fields | None:
    if a.held is None or a.tx.is_blob:
        return None
    bump = a.rules.bump
    risen = bump.accepts(a.held.fee_cap, a.tx.fee_cap) and (
        not _compares_tips(a) or bump.accepts(a.held.tip_cap, a.tx.tip_cap)
    )
    return None if risen else {}


def _compares_tips(a: Applicant) -> bool:
    if a.rules.bump.compares_zero_tips:
        return True
    # Of types 0 and 1 reth knows no tip, which is as good as zero.
    tips = [
        each.tip_cap if each.type in DYNAMIC_FEE_TYPES or each.is_blob else 0
        for each in (a.held, a.tx)
        if each is not None
    ]
    return all(tips)


def _blob_fields(a: Applicant) -> tuple[tuple[str, int, int], ...]:
    if a.held is None or not a.tx.is_blob:
        return ()
    return (
        ("gas fee cap", a.held.fee_cap, a.tx.fee_cap),
        ("gas tip cap", a.held.tip_cap, a.tx.tip_cap),
        ("blob gas fee cap", a.held.blob_fee_cap, a.tx.blob_fee_cap),
    )


def _blob_replacement_equal(a: Applicant) -> Fields | None:
    for name, old, new in _blob_fields(a):
        if new <= old and ((old and new) or a.rules.bump.compares_zero_tips):
            return {"field": name, "old": old, "new": new}
    return None


def _blob_replacement(a: Applicant) -> Fields | None:
    bump = a.rules.bump
    for name, old, new in _blob_fields(a):
        compared = (old and new) or bump.compares_zero_tips
        if compared and not bump.accepts(old, new, blob=True):
            return {"field": name, "old": old, "new": new, "percent": bump.blob_percent}
    return None


_CHECKS: Mapping[Reason, Callable[[Applicant], Fields | None]] = {
    Reason.ALREADY_KNOWN: _known,
    Reason.FEE_ABOVE_RPC_CAP: _fee_above_rpc_cap,
    Reason.UNPROTECTED: _unprotected,
    Reason.WRONG_CHAIN: _wrong_chain,
    Reason.TOO_MANY_BLOBS: _too_many_blobs,
    Reason.NO_BLOB: _no_blob,
    Reason.MINIMUM_BLOB_FEE: _minimum_blob_fee,
    Reason.NO_AUTHORIZATION: _no_authorization,
    Reason.OVERSIZED: _oversized,
    Reason.INITCODE: _initcode,
    Reason.GAS_ABOVE_CAP: _gas_above_cap,
    Reason.GAS_ABOVE_BLOCK: _gas_above_block,
    Reason.TIP_ABOVE_CAP: _tip_above_cap,
    Reason.NONCE_MAX: _nonce_max,
    Reason.INTRINSIC_GAS: _intrinsic_gas,
    Reason.FLOOR_GAS: _floor_gas,
    Reason.MINIMUM_TIP: _minimum_tip,
    Reason.MINIMUM_FEE_CAP: _minimum_fee_cap,
    Reason.NONCE_TOO_LOW: _nonce_too_low,
    Reason.BLOB_NONCE_GAP: _blob_nonce_gap,
    Reason.FUNDS: _funds,
    Reason.OVERDRAFT: _overdraft,
    Reason.REPLACEMENT_OVERDRAFT: _replacement_overdraft,
    Reason.BLOB_OVERDRAFT: _blob_overdraft,
    Reason.BLOB_ACCOUNT_SLOTS: _blob_account_slots,
    Reason.ACCOUNT_SLOTS: _account_slots,
    Reason.DELEGATED_GAP: _delegated_gap,
    Reason.DELEGATED_LIMIT: _delegated_limit,
    Reason.AUTHORITY_BUSY: _authority_busy,
    Reason.OTHER_TYPE_POOLED: _other_type_pooled,
    Reason.REPLACEMENT: _replacement,
    Reason.BLOB_REPLACEMENT_EQUAL: _blob_replacement_equal,
    Reason.BLOB_REPLACEMENT: _blob_replacement,
}
