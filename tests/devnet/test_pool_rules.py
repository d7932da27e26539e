"""Each row of each profile refuses in the client's words; the rows' sources are in the rules."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import pytest

from tests.devnet.pool_world import (
    ALICE,
    BOB,
    GWEI,
    World,
    replace_chain,
    small,
)
from toolkit.chain.node_errors import classify
from toolkit.devnet.mempool import PoolRefusal, Reason
from toolkit.devnet.pool_rules import PROFILES, PoolRules, pool_rules
from toolkit.model.chain import Address
from toolkit.model.errors import ConfigError, RejectedByNode
from toolkit.model.tx import AccessListItem


def known(w: World) -> None:
    w.add(w.send())


def above_rpc_cap(w: World) -> None:
    w.send(gas=10_000_000, fee_cap=101 * GWEI)


def unprotected(w: World) -> None:
    w.send(type=0, chain_id=0)


def too_many_blobs(w: World) -> None:
    w.add(w.blob(blobs=7))


def oversized(w: World) -> None:
    w.send(size=131_073, data="0x" + "00" * 131_073, gas=10_000_000)


def initcode(w: World) -> None:
    w.send(to=None, data="0x" + "00" * 49_153, size=50_000, gas=10_000_000)


def above_gas_cap(w: World) -> None:
    w.send(gas=2**24 + 1)


def above_block(w: World) -> None:
    World(w.rules, replace_chain(gas_limit=10_000_000)).send(gas=10_000_001)


def tip_above_cap(w: World) -> None:
    w.send(fee_cap=GWEI, tip_cap=GWEI + 1)


def wrong_chain(w: World) -> None:
    w.send(chain_id=1)


def nonce_max(w: World) -> None:
    w.send(2**64 - 1)


def intrinsic(w: World) -> None:
    item = AccessListItem(address=BOB)
    w.send(gas=23_399, access_list=(item,))


def floor(w: World) -> None:
    # 100 bytes, none zero: 21,000 + 1,600 prepaid, 21,000 + 4,000 at least (EIP-7623).
    w.send(gas=24_999, data="0x" + "ff" * 100)


def minimum_tip(w: World) -> None:
    w.send(tip_cap=0)


def minimum_fee_cap(w: World) -> None:
    w.send(fee_cap=6, tip_cap=1)


def minimum_blob_fee(w: World) -> None:
    w.add(w.blob(blob_fee_cap=0))


def no_blob(w: World) -> None:
    w.add(w.blob(blobs=0))


def no_authorization(w: World) -> None:
    w.send(type=4, gas=60_000)


def nonce_too_low(w: World) -> None:
    w.send(4)


def blob_gap(w: World) -> None:
    w.add(w.blob(6))


def funds(w: World) -> None:
    w.add(w.tx(gas=21_000, fee_cap=10 * GWEI, value=7), balance_wei=210_000 * GWEI + 6)


def overdraft(w: World) -> None:
    first = w.tx(5, fee_cap=10 * GWEI, value=0)
    w.add(first, balance_wei=300_000 * GWEI)
    w.add(w.tx(6, fee_cap=10 * GWEI, value=0), balance_wei=300_000 * GWEI)


def replacement_overdraft(w: World) -> None:
    for nonce in (5, 6):
        w.add(w.tx(nonce, fee_cap=10 * GWEI, value=0), balance_wei=500_000 * GWEI)
    raised = w.tx(5, fee_cap=20 * GWEI, tip_cap=4 * GWEI, value=0)
    w.add(raised, balance_wei=500_000 * GWEI)


def blob_overdraft(w: World) -> None:
    fees = {"fee_cap": 10 * GWEI, "blob_fee_cap": 1, "value": 0}
    cost = 210_000 * GWEI + 131_072
    w.add(w.blob(5, **fees), balance_wei=2 * cost - 1)
    w.add(w.blob(6, **fees), balance_wei=2 * cost - 1)


def seventeenth_blob(w: World) -> None:
    for nonce in range(5, 22):
        w.add(w.blob(nonce))


def seventeenth(w: World) -> None:
    for nonce in range(5, 22):
        w.send(nonce)


def delegated_gap(w: World) -> None:
    w.add(w.tx(6), delegated=True)


def delegated_second(w: World) -> None:
    w.add(w.tx(5), delegated=True)
    w.add(w.tx(6), delegated=True)


def busy_authority(w: World) -> None:
    for nonce in (5, 6):
        w.send(nonce, sender=BOB)
    w.send(type=4, gas=60_000, authorizations=1, authorities=(BOB,))


def other_type(w: World) -> None:
    w.add(w.blob(5))
    w.send(6)


def replacement(w: World) -> None:
    w.send(fee_cap=1_000, tip_cap=100)
    w.send(fee_cap=1_099, tip_cap=200)


def blob_equal(w: World) -> None:
    w.add(w.blob(tip_cap=5))
    w.add(w.blob(tip_cap=5, fee_cap=60 * GWEI, blob_fee_cap=3 * GWEI))


def blob_penalty(w: World) -> None:
    w.add(w.blob(tip_cap=5))
    w.add(w.blob(tip_cap=9, fee_cap=60 * GWEI, blob_fee_cap=3 * GWEI))


def fill(w: World) -> None:
    """Six executable transactions of six accounts."""
    for index in range(6):
        sender = Address(f"0x{index + 1:040x}")
        w.send(5, sender=sender, tip_cap=(10 + index) * GWEI)


def cheap_newcomer(w: World) -> None:
    full = World(small(w.rules))
    fill(full)
    full.send(5, tip_cap=10 * GWEI)


def too_large_newcomer(w: World) -> None:
    full = World(msgspec.structs.replace(w.rules, global_slots=1, global_queue=1))
    full.send(5, sender=BOB)
    full.send(5, size=4 * 32_768, tip_cap=9 * GWEI)


def worst_newcomer(w: World) -> None:
    cheap_newcomer(w)


def future_newcomer(w: World) -> None:
    full = World(small(w.rules))
    fill(full)
    full.send(7, tip_cap=19 * GWEI)


@dataclass(frozen=True)
class Row:
    profiles: str
    reason: Reason
    scenario: Callable[[World], None]
    text: str
    code: int = -32000


GETH_FUNDS = "insufficient funds for gas * price + value: balance "
RETH_FUNDS = "insufficient funds for gas * price + value: have "
WEI = 210_000 * GWEI
ROWS = (
    Row(
        "geth strict",
        Reason.FEE_ABOVE_RPC_CAP,
        above_rpc_cap,
        "tx fee (1.01 ether) exceeds the configured cap (1.00 ether)",
    ),
    Row(
        "reth",
        Reason.FEE_ABOVE_RPC_CAP,
        above_rpc_cap,
        "tx fee (1010000000000000000 wei) exceeds the configured cap (1000000000000000000 wei)",
    ),
    Row(
        "geth strict",
        Reason.UNPROTECTED,
        unprotected,
        "only replay-protected (EIP-155) transactions allowed over RPC",
    ),
    Row("geth strict reth", Reason.ALREADY_KNOWN, known, "already known"),
    Row(
        "geth strict",
        Reason.TOO_MANY_BLOBS,
        too_many_blobs,
        "transaction blob limit exceeded: blob count 7, limit 6",
    ),
    Row(
        "reth",
        Reason.TOO_MANY_BLOBS,
        too_many_blobs,
        "too many blobs in transaction: have 7, permitted 6",
    ),
    Row(
        "geth strict reth",
        Reason.OVERSIZED,
        oversized,
        "oversized data: transaction size 131073, limit 131072",
    ),
    Row(
        "geth strict",
        Reason.INITCODE,
        initcode,
        "max initcode size exceeded: code size 49153 limit 49152",
    ),
    Row("reth", Reason.INITCODE, initcode, "max initcode size exceeded"),
    Row(
        "geth strict",
        Reason.GAS_ABOVE_CAP,
        above_gas_cap,
        "transaction gas limit too high (cap: 16777216, tx: 16777217)",
    ),
    Row("reth", Reason.GAS_ABOVE_CAP, above_gas_cap, "gas limit too high", -32003),
    Row("geth strict reth", Reason.GAS_ABOVE_BLOCK, above_block, "exceeds block gas limit"),
    Row(
        "geth strict",
        Reason.TIP_ABOVE_CAP,
        tip_above_cap,
        "max priority fee per gas higher than max fee per gas",
    ),
    Row(
        "reth",
        Reason.TIP_ABOVE_CAP,
        tip_above_cap,
        "max priority fee per gas higher than max fee per gas",
        -32003,
    ),
    Row(
        "geth strict",
        Reason.WRONG_CHAIN,
        wrong_chain,
        "invalid sender: invalid chain id for signer: have 1 want 31337",
    ),
    Row("reth", Reason.WRONG_CHAIN, wrong_chain, "invalid chain ID"),
    Row("geth strict", Reason.NONCE_MAX, nonce_max, "nonce has max value"),
    Row("reth", Reason.NONCE_MAX, nonce_max, "nonce has max value", -32003),
    Row(
        "geth strict",
        Reason.INTRINSIC_GAS,
        intrinsic,
        "intrinsic gas too low: gas 23399, minimum needed 23400",
    ),
    Row("reth", Reason.INTRINSIC_GAS, intrinsic, "intrinsic gas too low"),
    Row(
        "geth strict",
        Reason.FLOOR_GAS,
        floor,
        "insufficient gas for floor data gas cost: gas 24999, minimum needed 25000",
    ),
    Row("reth", Reason.FLOOR_GAS, floor, "intrinsic gas too low"),
    Row(
        "geth strict",
        Reason.MINIMUM_TIP,
        minimum_tip,
        "transaction gas price below minimum: gas tip cap 0, minimum needed 1",
    ),
    Row("reth", Reason.MINIMUM_FEE_CAP, minimum_fee_cap, "transaction underpriced"),
    Row(
        "geth strict",
        Reason.MINIMUM_BLOB_FEE,
        minimum_blob_fee,
        "transaction gas price below minimum: blob fee cap 0, minimum needed 1",
    ),
    Row("geth strict reth", Reason.NO_BLOB, no_blob, "blobless blob transaction"),
    Row(
        "geth strict",
        Reason.NO_AUTHORIZATION,
        no_authorization,
        "set code tx must have at least one authorization tuple",
    ),
    Row(
        "reth",
        Reason.NO_AUTHORIZATION,
        no_authorization,
        "no items in authorization list for EIP7702 transaction",
    ),
    Row(
        "geth strict reth",
        Reason.NONCE_TOO_LOW,
        nonce_too_low,
        "nonce too low: next nonce 5, tx nonce 4",
    ),
    Row(
        "geth strict",
        Reason.BLOB_NONCE_GAP,
        blob_gap,
        "nonce too high: tx nonce 6, gapped nonce 5",
    ),
    Row("reth", Reason.BLOB_NONCE_GAP, blob_gap, "nonce too high"),
    Row(
        "geth strict",
        Reason.FUNDS,
        funds,
        f"{GETH_FUNDS}{WEI + 6}, tx cost {WEI + 7}, overshot 1",
    ),
    Row("reth", Reason.FUNDS, funds, f"{RETH_FUNDS}{WEI + 6} want {WEI + 7}", -32003),
    Row(
        "geth strict",
        Reason.OVERDRAFT,
        overdraft,
        f"{GETH_FUNDS}{300_000 * GWEI}, queued cost {WEI}, tx cost {WEI},"
        f" overshot {120_000 * GWEI}",
    ),
    Row(
        "geth strict",
        Reason.REPLACEMENT_OVERDRAFT,
        replacement_overdraft,
        f"{GETH_FUNDS}{500_000 * GWEI}, queued cost {2 * WEI}, tx bumped {WEI},"
        f" overshot {130_000 * GWEI}",
    ),
    Row(
        "reth",
        Reason.BLOB_OVERDRAFT,
        blob_overdraft,
        f"{RETH_FUNDS}{2 * (WEI + 131_072) - 1} want {WEI + 131_072}",
        -32003,
    ),
    Row(
        "geth strict",
        Reason.BLOB_ACCOUNT_SLOTS,
        seventeenth_blob,
        "account limit exceeded: pooled 16 txs",
    ),
    Row("reth", Reason.ACCOUNT_SLOTS, seventeenth, "txpool is full", -32003),
    Row(
        "geth strict reth",
        Reason.DELEGATED_GAP,
        delegated_gap,
        "gapped-nonce tx from delegated accounts",
    ),
    Row(
        "geth strict reth",
        Reason.DELEGATED_LIMIT,
        delegated_second,
        "in-flight transaction limit reached for delegated accounts",
    ),
    Row(
        "geth strict reth",
        Reason.AUTHORITY_BUSY,
        busy_authority,
        "authority already reserved",
    ),
    Row(
        "geth strict reth",
        Reason.OTHER_TYPE_POOLED,
        other_type,
        "address already reserved",
    ),
    Row(
        "geth strict reth",
        Reason.REPLACEMENT,
        replacement,
        "replacement transaction underpriced",
    ),
    Row(
        "geth strict",
        Reason.BLOB_REPLACEMENT_EQUAL,
        blob_equal,
        "replacement transaction underpriced: new tx gas tip cap 5 <= 5 queued",
    ),
    Row(
        "reth",
        Reason.BLOB_REPLACEMENT_EQUAL,
        blob_equal,
        "replacement transaction underpriced",
    ),
    Row(
        "geth strict",
        Reason.BLOB_REPLACEMENT,
        blob_penalty,
        "replacement transaction underpriced: new tx gas tip cap 9 < 5 queued"
        " + 100% replacement penalty",
    ),
    Row(
        "reth",
        Reason.BLOB_REPLACEMENT,
        blob_penalty,
        "replacement transaction underpriced",
    ),
    Row("geth strict", Reason.POOL_UNDERPRICED, cheap_newcomer, "transaction underpriced"),
    Row("geth strict", Reason.POOL_FULL, too_large_newcomer, "txpool is full"),
    Row("reth", Reason.POOL_FULL, worst_newcomer, "txpool is full", -32003),
    Row(
        "geth strict",
        Reason.FUTURE_REPLACES_PENDING,
        future_newcomer,
        "future transaction tries to replace pending",
    ),
)
CASES = [(name, row) for row in ROWS for name in row.profiles.split()]


@pytest.mark.parametrize(
    ("name", "row"), CASES, ids=[f"{name}-{row.reason.name}" for name, row in CASES]
)
def test_row_refuses_in_the_clients_words(name: str, row: Row) -> None:
    """What breaks a rule is refused with the client's own text and code."""
    with pytest.raises(PoolRefusal) as caught:
        row.scenario(World(PROFILES[name]))

    refused = caught.value
    assert (row.reason, row.text, row.code) == (refused.reason, refused.message, refused.code)


@pytest.mark.parametrize(
    ("name", "row"), CASES, ids=[f"{name}-{row.reason.name}" for name, row in CASES]
)
def test_no_refusal_is_unknown_to_the_toolkit(name: str, row: Row) -> None:
    """Whatever a pool answers, a lane knows what to do about it."""
    with pytest.raises(PoolRefusal) as caught:
        row.scenario(World(PROFILES[name]))

    assert isinstance(classify(caught.value.code, caught.value.message), RejectedByNode)


@pytest.mark.parametrize("rules", PROFILES.values(), ids=PROFILES.keys())
def test_every_row_of_a_profile_has_a_case(rules: PoolRules) -> None:
    """No row of the rules is untested, and none has no source."""
    tested = {row.reason for name, row in CASES if name == rules.name}

    assert set(rules.refusals) == tested
    assert set(rules.rpc_checks + rules.checks) <= tested
    assert all(row.source for row in rules.refusals.values())


@pytest.mark.parametrize("name", list(PROFILES))
def test_just_within_each_limit_is_accepted(name: str) -> None:
    """One unit less than what a row refuses goes in."""
    rules = PROFILES[name]
    allowed = (
        {"gas": 10_000_000, "fee_cap": 100 * GWEI},
        {"size": 131_072, "data": "0x" + "00" * 131_000, "gas": 2_000_000},
        {"to": None, "data": "0x" + "00" * 49_152, "gas": 2_000_000},
        {"gas": 2**24},
        {"fee_cap": 2 * GWEI, "tip_cap": 2 * GWEI},
        {"gas": 23_400, "access_list": (AccessListItem(address=BOB),)},
        {"gas": 25_000, "data": "0x" + "ff" * 100},
        {"type": 4, "gas": 46_000, "authorizations": 1},
        {"fee_cap": 7, "tip_cap": 1},
        {"nonce": 2**64 - 2},
    )

    assert [World(rules).send(**change).sender for change in allowed] == [ALICE] * len(allowed)


def test_unknown_profile() -> None:
    """A profile that does not exist is named together with those that do."""
    with pytest.raises(ConfigError, match="'nethermind' is not known: use one of geth, reth, stri"):
        pool_rules("nethermind")
