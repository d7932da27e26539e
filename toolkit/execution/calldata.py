"""Calldata of the on-chain executor, and what it says when it refuses."""

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from importlib.resources import files

import msgspec
from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError

from toolkit.chain.hashing import selector
from toolkit.chain.reverts import decode_revert
from toolkit.execution.merging import assets, require_mergeable
from toolkit.execution.words import account, bytes32, number, of_arrays
from toolkit.model.chain import ZERO_ADDRESS, Address, address
from toolkit.model.decision import Plan
from toolkit.model.errors import ConfigError
from toolkit.model.market import FundingKind, Hop, PoolKey, PoolKind

MAX_UINT256 = 2**256 - 1

# contracts/src/Executor.sol: FUNDING_* and HOP_*, as words.
_FUNDING = {
    FundingKind.OWN: number(0),
    FundingKind.BALANCER: number(1),
    FundingKind.V2_FLASH: number(2),
    FundingKind.V3_FLASH: number(3),
}
_LENT_BY_VAULTS = (FundingKind.OWN, FundingKind.BALANCER)
_HOP = {PoolKind.CONSTANT_PRODUCT: number(0), PoolKind.CONCENTRATED: number(1)}
_HOP_V4 = 2
_FEE_SHIFT, _SPACING_SHIFT, _HOOKS_SHIFT = 8, 32, 56
_MAX_FEE, _MAX_SPACING = 2**24 - 1, 2**23 - 1  # uint24, int24

_HOP_TYPE = "(address,uint256,address,address,uint256,uint256)"
_PLAN_TYPE = (
    f"(uint256,bytes32,uint8,address,address,uint256,address,uint256,uint256,{_HOP_TYPE}[],"
    "(address,uint256)[])"
)
_BATCH_TYPE = f"(uint256,bytes32,uint256,(address,uint256,uint256)[],{_HOP_TYPE}[])"

EXECUTE = selector(f"execute({_PLAN_TYPE})")
EXECUTE_BATCH = selector(f"executeBatch({_BATCH_TYPE})")
APPROVE = selector("approve(address,uint256)")
ALLOWANCE = selector("allowance(address,address)")
BALANCE_OF = selector("balanceOf(address)")
WITHDRAW = selector("withdraw(address)")
OWNER = selector("owner()")
WETH = selector("WETH()")
UNLIMITED_ALLOWANCE = selector("unlimitedAllowance()")
SET_UNLIMITED_ALLOWANCE = selector("setUnlimitedAllowance(bool)")

_REASONS: Mapping[str, str] = {
    "NotOwner": "only the executor's owner may call it",
    "WrongBlock": "planned for block {want}, this is block {got}",
    "WrongParent": "planned on parent {want}, this block's parent is {got}",
    "HopShort": "hop {index} gave {got}, the plan wants {want}",
    "BadHop": "hop {index} has the unknown kind {kind}",
    "AssetShort": "the batch leaves {got} of {token}, its plans want {want}",
    "ProfitTooLow": "net result {got} is below the minimum {want}",
    "UnexpectedCallback": "{caller} called or paid the executor without being asked to",
    "TipUnfunded": "only {have} wei at hand for a tip of {want} wei",
    "UnlimitedAllowance": "the allowance of {token} exceeds the input; approve exactly that amount",
    "AllowanceNotExact": "the allowance of {token} is {have}, the input is {want}; approve first",
    "TransferFailed": "a transfer of {token} failed or took a fee",
    "BadFunding": "unknown funding kind {funding}",
}


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """A compiled contract; code is 0x hex.

    `runtime` has zeros where `immutables` (byte offsets) say that 32-byte values are filled in
    when the contract is created.
    """

    contract: str
    abi: tuple[dict[str, object], ...]
    bytecode: str
    runtime: str
    solc: str
    immutables: tuple[int, ...] = ()

    def is_code_of(self, code: str) -> bool:
        """Whether deployed code is this contract's, whatever its immutable values are."""
        deployed = bytearray.fromhex(code.removeprefix("0x"))
        for start in self.immutables:
            deployed[start : start + 32] = bytes(32)
        return deployed == bytes.fromhex(self.runtime.removeprefix("0x"))


class _ErrorInput(msgspec.Struct, frozen=True):
    name: str
    type: str


class _ErrorEntry(msgspec.Struct, frozen=True):
    name: str
    inputs: tuple[_ErrorInput, ...]


@cache
def load_artifact(contract: str = "Executor") -> Artifact:
    """Read a compiled contract from the package, once.

    Raises:
        ConfigError: no such contract ships with the toolkit.
    """
    path = files("toolkit.execution").joinpath("artifacts", f"{contract}.json")
    if not path.is_file():
        raise ConfigError(f"no compiled contract {contract!r} ships with the toolkit")
    return msgspec.json.decode(path.read_bytes(), type=Artifact)


def creation_code(weth: Address) -> str:
    """Creation code of an executor that unwraps `weth` to pay tips; its sender becomes owner."""
    return load_artifact().bytecode + encode(["address"], [address(weth)]).hex()


def encode_plan(plan: Plan, executor: Address) -> str:
    """Calldata of `execute` at `executor`; amounts in the smallest units, tip in wei.

    Raises:
        ConfigError: the funding is not for the route's input, a flash loan names no lender, loans
            that no vault can give, an amount does not fit, a pool without an address has no key,
            or the route trades with the executor itself.
    """
    _check(plan, executor)
    route, funding = plan.route, plan.funding
    static = (
        f"{plan.target_block:064x}{bytes32(plan.parent_hash)}{_FUNDING[funding.kind]}"
        f"{account(funding.lender or ZERO_ADDRESS)}"
        f"{account(route.token_in)}{route.amount_in:064x}{account(route.token_out)}"
        f"{plan.minimum_profit:064x}{plan.tip_wei:064x}"
    )
    loans = "".join([f"{account(loan.token)}{loan.amount:064x}" for loan in plan.loans])
    return EXECUTE + of_arrays(static, (len(route.hops), hop_words(plan)), (len(plan.loans), loans))


def encode_batch(plans: Sequence[Plan], executor: Address) -> str:
    """Calldata of `executeBatch` at `executor`: all these swaps with own capital, or none.

    Raises:
        ConfigError: as for `encode_plan`, or the plans must not share a transaction.
    """
    require_mergeable(plans)
    for plan in plans:
        _check(plan, executor)
    touched = assets(plans)
    for asset in touched:
        _uint256(asset.pull, f"input of {asset.token}")
        _uint256(asset.minimum, f"output of {asset.token}")
    tip_wei = _uint256(sum(plan.tip_wei for plan in plans), "tip")
    hops = sum(len(plan.route.hops) for plan in plans)
    return EXECUTE_BATCH + of_arrays(
        f"{number(plans[0].target_block)}{bytes32(plans[0].parent_hash)}{number(tip_wei)}",
        (
            len(touched),
            "".join(
                f"{account(asset.token)}{number(asset.pull)}{number(asset.minimum)}"
                for asset in touched
            ),
        ),
        (hops, "".join(map(hop_words, plans))),
    )


def hop_words(plan: Plan) -> str:
    """Return a plan's swaps as they stand in any calldata that carries them out, hex digits."""
    return "".join([_hop(hop) for hop in plan.route.hops])


def _hop(hop: Hop) -> str:
    venue = account(hop.pool) + _HOP[hop.kind] if hop.key is None else _venue(hop.key)
    return (
        f"{venue}{account(hop.token_in)}{account(hop.token_out)}"
        f"{hop.amount_in:064x}{hop.amount_out:064x}"
    )


@lru_cache(maxsize=4096)  # the same pools, plan after plan
def _venue(key: PoolKey) -> str:
    """Return a V4 pool's manager and, in the word of the hop's kind, its key."""
    for field, value, most in (
        ("fee", key.fee, _MAX_FEE),
        ("tick_spacing", key.tick_spacing, _MAX_SPACING),
    ):
        if not 0 <= value <= most:
            raise ConfigError(f"key of a V4 pool: {field}: {value} is not between 0 and {most}")
    hooks = int(account(key.hooks), 16)
    kind = _HOP_V4 | key.fee << _FEE_SHIFT | key.tick_spacing << _SPACING_SHIFT
    return account(key.manager) + number(kind | hooks << _HOOKS_SHIFT)


def _check(plan: Plan, executor: Address) -> None:
    route, funding = plan.route, plan.funding
    where = f"plan {plan.verdict_id}"
    if (funding.token, funding.amount) != (route.token_in, route.amount_in):
        raise ConfigError(
            f"{where} funds {funding.amount} of {funding.token}, its route takes "
            f"{route.amount_in} of {route.token_in}: fund exactly the route's input"
        )
    if funding.kind is not FundingKind.OWN and funding.lender is None:
        raise ConfigError(f"{where} borrows by {funding.kind.value} but names no lender")
    if not route.hops:
        raise ConfigError(f"{where} has no hops")
    if plan.loans:
        _check_loans(plan, where)
    own = _normal(executor)
    is_own = own == funding.lender
    amounts = [plan.target_block, plan.minimum_profit, plan.tip_wei, route.amount_in]
    amounts += [loan.amount for loan in plan.loans]
    for hop in route.hops:
        is_own = is_own or own == (hop.pool if hop.key is None else hop.key.manager)
        amounts += (hop.amount_in, hop.amount_out)
    if is_own:
        raise ConfigError(f"{where} trades with the executor {executor} itself")
    if min(amounts) < 0 or max(amounts) > MAX_UINT256:
        for amount in amounts:
            _uint256(amount, where)


def _check_loans(plan: Plan, where: str) -> None:
    """Refuse loans that the vault would, or that are not what the plan is funded with."""
    funding, tokens = plan.funding, [loan.token for loan in plan.loans]
    if funding.kind not in _LENT_BY_VAULTS or funding.lender is None:
        raise ConfigError(
            f"{where} borrows {len(tokens)} tokens by {funding.kind.value} of {funding.lender}: "
            "only a Balancer vault lends several, also beside own capital"
        )
    if tokens != sorted(set(tokens)):
        raise ConfigError(f"{where} lists its loans as {tokens}: list each token once, rising")
    lent = {loan.token: loan.amount for loan in plan.loans}
    wanted = funding.amount if funding.kind is FundingKind.BALANCER else 0
    if lent.get(funding.token, 0) != wanted:
        raise ConfigError(
            f"{where} borrows {lent.get(funding.token, 0)} of {funding.token} but is funded with "
            f"{wanted} of it by {funding.kind.value}"
        )


@lru_cache(maxsize=64)  # one executor, plan after plan
def _normal(executor: Address) -> Address:
    return address(executor)


def _uint256(amount: int, what: str) -> int:
    if not 0 <= amount <= MAX_UINT256:
        raise ConfigError(f"{what}: {amount} does not fit an unsigned 256-bit integer")
    return amount


def encode_approve(token: Address, spender: Address, amount: int) -> str:
    """Calldata of `approve` at `token`, for exactly `amount`.

    Raises:
        ConfigError: the amount does not fit, is unlimited, or the token would approve itself.
    """
    if _uint256(amount, f"approval of {token}") == MAX_UINT256:
        raise ConfigError(f"approval of {token} would be unlimited; approve the exact input")
    if address(token) == address(spender):
        raise ConfigError(f"token {token} cannot be its own spender")
    return APPROVE + encode(["address", "uint256"], [spender, amount]).hex()


def encode_approvals(
    token: Address, spender: Address, *, amount: int, current: int
) -> tuple[str, ...]:
    """Calls at `token`, in order, that turn an allowance of `current` into exactly `amount`.

    USDT refuses to change a non-zero allowance into another, so it goes by way of zero, for every
    token alike.
    """
    if current == amount:
        return ()
    steps = (0, amount) if current and amount else (amount,)
    return tuple(encode_approve(token, spender, step) for step in steps)


def encode_withdraw(token: Address) -> str:
    """Calldata that sends the executor's whole balance of `token` (zero: native) to its owner."""
    return WITHDRAW + encode(["address"], [address(token)]).hex()


def encode_address_call(function: str, *accounts: Address) -> str:
    """Calldata of a function, named by its selector, that takes only addresses."""
    return function + encode(["address"] * len(accounts), list(accounts)).hex()


@cache
def _errors() -> dict[str, _ErrorEntry]:
    entries = [entry for entry in load_artifact().abi if entry["type"] == "error"]
    found = msgspec.convert(entries, list[_ErrorEntry])
    return {selector(f"{e.name}({','.join(i.type for i in e.inputs)})"): e for e in found}


def explain_revert(data: str) -> str:
    """Read revert data into one line; knows the executor's own errors besides the general ones."""
    entry = _errors().get(data[:10].lower())
    if entry is None:
        return decode_revert(data)
    try:
        values = decode([i.type for i in entry.inputs], bytes.fromhex(data[10:]))
    except (DecodingError, ValueError):
        return decode_revert(data)
    named = {
        i.name: f"0x{value.hex()}" if isinstance(value, bytes) else value
        for i, value in zip(entry.inputs, values, strict=True)
    }
    return f"{entry.name}: {_REASONS[entry.name].format(**named)}"
