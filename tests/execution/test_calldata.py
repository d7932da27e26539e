import random
from typing import Any

import pytest
from eth_abi.abi import decode, encode
from msgspec.structs import replace

from tests.execution.swaps import TOKENS, swap
from toolkit.chain.hashing import selector
from toolkit.execution import calldata
from toolkit.execution.calldata import (
    EXECUTE,
    EXECUTE_BATCH,
    creation_code,
    encode_approvals,
    encode_approve,
    encode_batch,
    encode_plan,
    encode_withdraw,
    explain_revert,
    load_artifact,
)
from toolkit.model.chain import ZERO_ADDRESS, Address, Hash
from toolkit.model.decision import Plan
from toolkit.model.errors import ConfigError
from toolkit.model.market import Funding, FundingKind, Hop, Loan, PoolKey, PoolKind, Route

WETH = Address("0x" + "c0" * 20)
USDC = Address("0x" + "a0" * 20)
PAIR = Address("0x" + "11" * 20)
POOL = Address("0x" + "22" * 20)
VAULT = Address("0x" + "33" * 20)
MANAGER = Address("0x" + "44" * 20)
EXECUTOR = Address("0x" + "ee" * 20)
PARENT = Hash("0x" + "ab" * 32)


HOP = Hop(
    pool=PAIR,
    kind=PoolKind.CONSTANT_PRODUCT,
    token_in=WETH,
    token_out=USDC,
    amount_in=10**18,
    amount_out=2_700 * 10**6,
    fee_ppm=3000,
)
BACK = replace(
    HOP,
    pool=POOL,
    kind=PoolKind.CONCENTRATED,
    token_in=USDC,
    token_out=WETH,
    amount_in=2_700 * 10**6,
    amount_out=10**18 + 5,
)


KEY = PoolKey(
    fee=0x800064, tick_spacing=32767, hooks=Address("0x" + "00" * 19 + "cc"), manager=MANAGER
)
V4 = replace(BACK, pool=Hash("0x" + "44" * 32), key=KEY)


def plan(
    *,
    amount: int = 10**18,
    funding: Funding | None = None,
    hops: tuple[Hop, ...] = (HOP, BACK),
    minimum: int = 4,
    tip_wei: int = 1,
) -> Plan:
    return Plan(
        verdict_id="7-1",
        agents=("arbitrage",),
        route=Route(
            token_in=WETH,
            token_out=WETH,
            amount_in=amount,
            amount_out=10**18 + 5,
            hops=hops,
            block_hash=PARENT,
            block_number=6,
        ),
        funding=funding
        or Funding(kind=FundingKind.BALANCER, token=WETH, amount=amount, lender=VAULT),
        minimum_profit=minimum,
        tip_wei=tip_wei,
        gas_limit=400_000,
        target_block=7,
        parent_hash=PARENT,
    )


def decoded(data: str) -> tuple[Any, ...]:
    entry: dict[str, Any] = next(e for e in load_artifact().abi if e.get("name") == "execute")
    kind = entry["inputs"][0]
    *outer, hop, loan = kind["components"]
    types = [c["type"] for c in outer]
    types += [f"({','.join(c['type'] for c in each['components'])})[]" for each in (hop, loan)]
    values: tuple[Any, ...] = decode([f"({','.join(types)})"], bytes.fromhex(data[10:]))[0]
    return values


def test_a_plan_is_encoded_as_the_contract_declares_it() -> None:
    """Every field of a plan arrives in the place that the shipped ABI gives it."""
    data = encode_plan(plan(), EXECUTOR)

    assert (
        7,
        bytes.fromhex("ab" * 32),
        1,
        VAULT,
        WETH,
        10**18,
        WETH,
        4,
        1,
        (
            (PAIR, 0, WETH, USDC, 10**18, 2_700 * 10**6),
            (POOL, 1, USDC, WETH, 2_700 * 10**6, 10**18 + 5),
        ),
        (),
    ) == decoded(data)


def test_a_v4_pool_is_called_by_its_key() -> None:
    """The manager stands in the pool's place; fee, spacing and hooks are in the kind's word."""
    data = encode_plan(plan(hops=(HOP, V4)), EXECUTOR)

    pool, kind, *rest = decoded(data)[9][1]
    assert (MANAGER, [USDC, WETH, V4.amount_in, V4.amount_out]) == (pool, rest)
    assert 2 | 0x800064 << 8 | 32767 << 32 | 0xCC << 56 == kind


@pytest.mark.parametrize(
    ("field", "value"),
    [("fee", 2**24), ("fee", -1), ("tick_spacing", 2**23), ("hooks", "0x1"), ("manager", "0x1")],
)
def test_a_key_that_is_none_is_refused(field: str, value: Any) -> None:
    """What does not fit its place in the word would be another pool's key."""
    broken = replace(V4, key=replace(KEY, **{field: value}))

    with pytest.raises(ConfigError):
        encode_plan(plan(hops=(HOP, broken)), EXECUTOR)


def test_a_number_without_a_key_is_refused() -> None:
    """The executor cannot call a V4 pool of which only the number is known."""
    with pytest.raises(ConfigError, match="is not an address"):
        encode_plan(plan(hops=(HOP, replace(V4, key=None))), EXECUTOR)


LOANS = (Loan(token=USDC, amount=7), Loan(token=WETH, amount=10**18))


def test_loans_arrive_in_order() -> None:
    """All that the vault lends is listed, the input among it; own input is not."""
    own = Funding(kind=FundingKind.OWN, token=WETH, amount=10**18, lender=VAULT)

    lent = decoded(encode_plan(replace(plan(), loans=LOANS), EXECUTOR))
    beside = decoded(encode_plan(replace(plan(funding=own), loans=LOANS[:1]), EXECUTOR))

    assert ((USDC, 7), (WETH, 10**18)) == lent[10]
    assert (0, VAULT, ((USDC, 7),)) == (beside[2], beside[3], beside[10])


@pytest.mark.parametrize(
    ("kind", "lender", "loans", "message"),
    [
        (FundingKind.V3_FLASH, VAULT, LOANS, "only a Balancer vault lends several"),
        (FundingKind.OWN, None, LOANS[:1], "only a Balancer vault lends several"),
        (FundingKind.BALANCER, VAULT, LOANS[::-1], "list each token once, rising"),
        (FundingKind.BALANCER, VAULT, (LOANS[0], LOANS[0]), "list each token once, rising"),
        (FundingKind.BALANCER, VAULT, LOANS[:1], "borrows 0 of"),
        (FundingKind.OWN, VAULT, LOANS, "is funded with 0 of it by own"),
        (
            FundingKind.BALANCER,
            VAULT,
            (Loan(token=USDC, amount=2**256), LOANS[1]),
            "does not fit an unsigned 256-bit integer",
        ),
    ],
)
def test_loans_that_no_vault_gives_are_refused(
    kind: FundingKind, lender: Address | None, loans: tuple[Loan, ...], message: str
) -> None:
    """Another lender, another order, or amounts that are not the funding's."""
    funding = Funding(kind=kind, token=WETH, amount=10**18, lender=lender)

    with pytest.raises(ConfigError, match=message):
        encode_plan(replace(plan(funding=funding), loans=loans), EXECUTOR)


def test_the_selector_is_the_compiled_one() -> None:
    """The hand-written signature of `execute` hashes to what the compiled contract dispatches."""
    push4 = "63" + EXECUTE[2:]

    assert push4 in load_artifact().runtime


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        (FundingKind.OWN, 0),
        (FundingKind.BALANCER, 1),
        (FundingKind.V2_FLASH, 2),
        (FundingKind.V3_FLASH, 3),
    ],
)
def test_every_funding_kind_has_its_number(kind: FundingKind, number: int) -> None:
    """Funding kinds are numbered as in Executor.sol, and own capital needs no lender."""
    lender = None if kind is FundingKind.OWN else VAULT
    funding = Funding(kind=kind, token=WETH, amount=10**18, lender=lender)

    values = decoded(encode_plan(plan(funding=funding), EXECUTOR))

    assert (number, lender or ZERO_ADDRESS) == (values[2], values[3])


def test_random_amounts_survive_the_encoding() -> None:
    """Any amounts a uint256 can hold are read back unchanged (256 random plans)."""
    seed = random.randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(256):
        amount, out, least, tip = (rng.getrandbits(rng.randint(1, 256)) for _ in range(4))

        values = decoded(
            encode_plan(
                plan(
                    amount=amount,
                    hops=(replace(HOP, amount_in=amount, amount_out=out),),
                    minimum=least,
                    tip_wei=tip,
                ),
                EXECUTOR,
            )
        )

        assert (amount, least, tip, out) == (values[5], values[7], values[8], values[9][0][5])


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (
            plan(funding=Funding(kind=FundingKind.OWN, token=WETH, amount=5)),
            "plan 7-1 funds 5 of .*, its route takes 1000000000000000000",
        ),
        (
            plan(funding=Funding(kind=FundingKind.OWN, token=USDC, amount=10**18)),
            "fund exactly the route's input",
        ),
        (
            plan(funding=Funding(kind=FundingKind.V3_FLASH, token=WETH, amount=10**18)),
            "plan 7-1 borrows by v3_flash but names no lender",
        ),
        (plan(hops=()), "plan 7-1 has no hops"),
        (plan(hops=(replace(HOP, pool=EXECUTOR),)), "trades with the executor"),
        (
            plan(hops=(replace(V4, key=replace(KEY, manager=EXECUTOR)),)),
            "trades with the executor",
        ),
        (plan(tip_wei=-1), "-1 does not fit an unsigned 256-bit integer"),
        (plan(hops=(replace(HOP, amount_out=2**256),)), "does not fit"),
    ],
)
def test_a_plan_that_cannot_be_right_is_refused(broken: Plan, message: str) -> None:
    """A plan that contradicts itself is one clear error, never calldata."""
    with pytest.raises(ConfigError, match=message):
        encode_plan(broken, EXECUTOR)


def test_an_approval_is_exact() -> None:
    """An approval names its spender and exactly the amount."""
    data = encode_approve(USDC, EXECUTOR, 77)

    assert selector("approve(address,uint256)") == data[:10]
    assert (EXECUTOR, 77) == decode(["address", "uint256"], bytes.fromhex(data[10:]))


@pytest.mark.parametrize(
    ("spender", "amount", "message"),
    [
        (EXECUTOR, 2**256 - 1, "would be unlimited; approve the exact input"),
        (EXECUTOR, 2**256, "does not fit"),
        (EXECUTOR, -1, "does not fit"),
        (USDC, 1, "cannot be its own spender"),
    ],
)
def test_an_approval_that_is_not_exact_is_refused(
    spender: Address, amount: int, message: str
) -> None:
    """Unlimited and impossible approvals are errors."""
    with pytest.raises(ConfigError, match=message):
        encode_approve(USDC, spender, amount)


@pytest.mark.parametrize(
    ("current", "amount", "steps"),
    [(0, 5, [5]), (5, 5, []), (0, 0, []), (3, 5, [0, 5]), (3, 0, [0]), (2**256 - 1, 5, [0, 5])],
)
def test_an_allowance_changes_by_way_of_zero(current: int, amount: int, steps: list[int]) -> None:
    """A non-zero allowance is reset before it gets another value, as USDT demands."""
    calls = encode_approvals(USDC, EXECUTOR, amount=amount, current=current)

    assert steps == [int(call[-64:], 16) for call in calls]


def test_creation_code_carries_the_wrapped_token() -> None:
    """Creation code is the shipped bytecode followed by the constructor's argument."""
    code = creation_code(WETH)

    assert load_artifact().bytecode + "00" * 12 + WETH[2:] == code


def test_withdraw_names_its_token() -> None:
    """Withdrawing encodes the token, zero for native."""
    assert selector("withdraw(address)") + "00" * 32 == encode_withdraw(ZERO_ADDRESS)


def test_an_unknown_artefact_is_refused() -> None:
    """Asking for a contract that does not ship is one clear error."""
    with pytest.raises(ConfigError, match="no compiled contract 'Nothing' ships"):
        load_artifact("Nothing")


def test_deployed_code_is_recognised_whatever_its_immutables() -> None:
    """Code with other immutable values is still the executor's; with another byte it is not."""
    artifact = load_artifact()
    code = bytearray.fromhex(artifact.runtime[2:])
    for start in artifact.immutables:
        code[start : start + 32] = b"\x07" * 32
    changed = bytes([*code[:-1], code[-1] ^ 1])

    assert artifact.is_code_of("0x" + code.hex())
    assert not artifact.is_code_of("0x" + changed.hex())
    assert not artifact.is_code_of("0x")


@pytest.mark.parametrize(
    ("signature", "types", "values", "reason"),
    [
        ("NotOwner()", [], [], "NotOwner: only the executor's owner may call it"),
        (
            "WrongBlock(uint256,uint256)",
            ["uint256", "uint256"],
            [8, 7],
            "WrongBlock: planned for block 7, this is block 8",
        ),
        (
            "WrongParent(bytes32,bytes32)",
            ["bytes32", "bytes32"],
            [b"\1" * 32, b"\2" * 32],
            f"WrongParent: planned on parent 0x{'02' * 32}, this block's parent is 0x{'01' * 32}",
        ),
        (
            "HopShort(uint256,uint256,uint256)",
            ["uint256"] * 3,
            [1, 9, 10],
            "HopShort: hop 1 gave 9, the plan wants 10",
        ),
        (
            "UnlimitedAllowance(address)",
            ["address"],
            [USDC],
            (
                f"UnlimitedAllowance: the allowance of {USDC} exceeds the input; "
                "approve exactly that amount"
            ),
        ),
        ("Error(string)", ["string"], ["UniswapV2: K"], "UniswapV2: K"),
    ],
)
def test_errors_are_readable(
    signature: str, types: list[str], values: list[object], reason: str
) -> None:
    """The executor's custom errors, and plain ones, become one line with their values."""
    data = selector(signature) + encode(types, values).hex()

    assert reason == explain_revert(data)


@pytest.mark.parametrize("data", ["0x", "0x12345678", selector("WrongBlock(uint256,uint256)")])
def test_undecodable_revert_data_still_gives_a_line(data: str) -> None:
    """Revert data that is empty, foreign or cut short never raises."""
    assert explain_revert(data)


def test_every_error_of_the_contract_has_words() -> None:
    """Each custom error in the shipped ABI is explained, with every value it carries."""
    for head, entry in calldata._errors().items():
        values: dict[str, Any] = {
            "address": USDC,
            "uint256": 4321,
            "uint8": 201,
            "bytes32": b"\x0f" * 32,
        }
        arguments = [values[i.type] for i in entry.inputs]
        data = head + encode([i.type for i in entry.inputs], arguments).hex()

        reason = explain_revert(data)

        assert reason.startswith(f"{entry.name}: ")
        for argument in arguments:
            shown = argument.hex() if isinstance(argument, bytes) else str(argument)
            assert shown in reason


def test_batch_carries_every_asset_once_and_all_hops_in_order() -> None:
    """What the contract reads is what the plans say: guards, the sum of the tips, each token with
    what is taken and returned, and the hops one after the other."""
    plans = (
        swap([(TOKENS[0], 10), (TOKENS[1], 100)], tip_wei=3),
        swap([(TOKENS[0], 5), (TOKENS[2], 7)], name="100-1", first_pool=1, tip_wei=4),
    )

    data = encode_batch(plans, EXECUTOR)

    hop = "(address,uint256,address,address,uint256,uint256)[]"
    kind = f"(uint256,bytes32,uint256,(address,uint256,uint256)[],{hop})"
    (batch,) = decode([kind], bytes.fromhex(data[10:]))
    block, parent, tip, touched, hops = batch
    assert EXECUTE_BATCH == data[:10]
    assert (101, plans[0].parent_hash, 7) == (block, f"0x{parent.hex()}", tip)
    assert ((TOKENS[0], 15, 0), (TOKENS[1], 0, 100), (TOKENS[2], 0, 7)) == touched
    assert [(hop.pool, hop.amount_in, hop.amount_out) for p in plans for hop in p.route.hops] == [
        (hop[0], hop[4], hop[5]) for hop in hops
    ]


def test_batch_with_what_cannot_be_encoded_is_refused() -> None:
    """A plan that trades with the executor itself, and a sum that no token can hold."""
    fine = swap([(TOKENS[0], 10), (TOKENS[1], 100)])
    inside = swap([(TOKENS[2], 5), (TOKENS[3], 7)], name="100-1", first_pool=1)
    executor = inside.route.hops[0].contract
    big = swap([(TOKENS[0], 2**256 - 5), (TOKENS[1], 1)], name="100-2", first_pool=2)

    with pytest.raises(ConfigError, match="trades with the executor"):
        encode_batch((fine, inside), executor)
    with pytest.raises(ConfigError, match="does not fit"):
        encode_batch((fine, big), EXECUTOR)
