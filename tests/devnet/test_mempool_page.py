"""The page for bot authors says what the code does."""

from pathlib import Path

import pytest

from toolkit.chain.rpc import HttpRpc
from toolkit.devnet.faults import FaultKind, FaultRates
from toolkit.devnet.pool_answers import PoolAnswers
from toolkit.devnet.pool_rules import GETH, RETH
from toolkit.devnet.strict_node import StrictNode

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "mempool.md").read_text()


def test_every_fault_is_described() -> None:
    """Each kind, and each rate, is named on the page."""
    names = {kind.value for kind in FaultKind} | set(FaultRates.__struct_fields__)

    assert set() == {name for name in names if f"`{name}`" not in PAGE}


@pytest.mark.parametrize(
    "number",
    [
        f"{GETH.global_slots:,} executable and {GETH.global_queue:,} queued",
        f"| {GETH.account_queue} |",
        f"{GETH.max_gas:,}",
        f"{RETH.subpool_slots:,} in each of four",
        f"{GETH.guaranteed_slots} kept even when the pool is full | {RETH.account_slots} |",
        f"{GETH.minimum_tip_wei} wei, none | none, {RETH.minimum_fee_cap_wei} wei",
        f"{GETH.max_bytes // 1024} KiB, with blobs 1 MiB | {RETH.max_bytes // 1024} KiB",
    ],
)
def test_the_numbers_are_the_rules(number: str) -> None:
    """The table's numbers are those of the rules."""
    assert number in PAGE


async def test_every_method_is_listed(strict: StrictNode) -> None:
    """What answers from the pool is named, but for other spellings of the same."""
    async with HttpRpc(strict.rpc_url) as rpc:
        answers = PoolAnswers(rpc, strict.public_pool)
    names = {name for name in answers.methods if not name.startswith("hardhat_")}

    assert {"eth_sendUnsignedTransaction"} == {name for name in names if f"`{name}`" not in PAGE}
