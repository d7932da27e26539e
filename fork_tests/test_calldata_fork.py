"""Plans as Python encodes them, sent as signed transactions to genuine pools."""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from eth_abi.abi import encode
from msgspec.structs import replace

from toolkit.chain.hashing import keccak
from toolkit.chain.node import Node
from toolkit.chain.rpc import HttpRpc
from toolkit.chain.signer import LocalSigner
from toolkit.devnet.anvil import start_anvil
from toolkit.devnet.pools import POOLS
from toolkit.devnet.protocols import BALANCER_VAULT, WETH
from toolkit.devnet.tokens import TOKENS
from toolkit.execution.calldata import (
    ALLOWANCE,
    BALANCE_OF,
    creation_code,
    encode_address_call,
    encode_approvals,
    encode_plan,
    explain_revert,
)
from toolkit.model.chain import ZERO_HASH, Address, Receipt
from toolkit.model.decision import Plan
from toolkit.model.errors import CallReverted
from toolkit.model.market import Funding, FundingKind, Hop, PoolKind, Route
from toolkit.model.tx import UnsignedTransaction
from toolkit.model.units import WEI_PER_ETHER, WEI_PER_GWEI, div_ceil
from toolkit.pools.snapshot import Snapshot
from toolkit.pools.sync import load

SPECS = {pool.name: pool.spec for pool in POOLS}
USDC, USDT = TOKENS["USDC"].address, TOKENS["USDT"].address
V2_USDC = Address(SPECS["V2 USDC/WETH"].id)
V2_USDT = Address(SPECS["V2 WETH/USDT"].id)
V3_USDC = Address(SPECS["V3 USDC/WETH 0.05%"].id)
V3_USDC_LENDER = Address(SPECS["V3 USDC/WETH 0.3%"].id)
V3_STABLE = Address(SPECS["V3 USDC/USDT 0.01%"].id)
LENDERS = {
    FundingKind.OWN: None,
    FundingKind.BALANCER: BALANCER_VAULT,
    FundingKind.V2_FLASH: Address(SPECS["V2 DAI/WETH"].id),
    FundingKind.V3_FLASH: V3_USDC_LENDER,
}

pytestmark = [pytest.mark.fork, pytest.mark.timeout(120)]


@dataclass(kw_only=True)
class Bench:
    """A fork where one account owns an executor and sends one transaction a block."""

    node: Node
    signer: LocalSigner
    executor: Address

    async def send(self, *, to: Address | None, data: str, value: int = 0) -> Receipt:
        """Sign, send and mine."""
        nonce = await self.node.nonce(self.signer.address)
        signed = self.signer.sign_transaction_now(
            UnsignedTransaction(
                type=2,
                chain_id=1,
                nonce=nonce,
                to=to,
                value=value,
                data=data,
                gas=5_000_000,
                max_fee_per_gas=1_000 * WEI_PER_GWEI,
                max_priority_fee_per_gas=1,
            )
        )
        await self.node.send_raw(signed.raw)
        await self.node.rpc.call("evm_mine")
        receipt = await self.node.receipt(signed.hash)
        assert receipt is not None
        return receipt

    async def ask(self, token: Address, function: str, *accounts: Address) -> int:
        """A view of a token that returns a number."""
        data = encode_address_call(function, *accounts)
        return int(await self.node.call(to=token, data=data), 16)

    async def snapshot(self) -> Snapshot:
        """The pools that these tests trade in, as of the newest block."""
        traded = tuple(s for s in SPECS.values() if s.id in {V2_USDC, V2_USDT, V3_USDC, V3_STABLE})
        return await load(self.node, traded, tuple(TOKENS.values()), head=await self.node.head())


@pytest.fixture
async def bench(fork_url: str) -> AsyncIterator[Bench]:
    """A fresh fork with a rich account of its own and its executor."""
    options = ("--fork-url", fork_url, "--no-storage-caching", "--no-mining", "--order", "fifo")
    anvil = await start_anvil((*options, "--hardfork", "prague"))
    async with anvil, HttpRpc(anvil.url) as rpc:
        node = Node(rpc)
        signer = LocalSigner(keccak(b"executor fork test"))
        # Pairs store their price sums once a second: on the wall clock, gas would vary.
        await rpc.call("anvil_setBlockTimestampInterval", (12,))
        await rpc.call("anvil_setBalance", (signer.address, hex(10**6 * WEI_PER_ETHER)))
        fresh = Bench(node=node, signer=signer, executor=signer.address)
        created = await fresh.send(to=None, data=creation_code(WETH))
        assert created.contract_address is not None
        print("gas deployment:", created.gas_used)
        fresh.executor = created.contract_address
        yield fresh


def hop(snapshot: Snapshot, pool: Address, token_in: Address, amount_in: int) -> Hop:
    """A hop with the pool's own integer."""
    state = snapshot.pool(pool)
    constant = pool in {V2_USDC, V2_USDT}
    return Hop(
        pool=pool,
        kind=PoolKind.CONSTANT_PRODUCT if constant else PoolKind.CONCENTRATED,
        token_in=token_in,
        token_out=state.token1 if state.token0 == token_in else state.token0,
        amount_in=amount_in,
        amount_out=snapshot.quote_in(pool, token_in, amount_in),
        fee_ppm=3000,
    )


def plan_of(
    snapshot: Snapshot, legs: list[tuple[Address, Address]], amount: int, kind: FundingKind
) -> Plan:
    """Legs are (pool, token in); each takes what the one before gave. Asks for all of the gain."""
    hops: list[Hop] = []
    for pool, token_in in legs:
        hops.append(hop(snapshot, pool, token_in, hops[-1].amount_out if hops else amount))
    fees = {FundingKind.V2_FLASH: div_ceil(amount * 1000, 997) - amount}
    fees[FundingKind.V3_FLASH] = div_ceil(amount * 3000, 10**6)
    fee = fees.get(kind, 0)
    cycle = hops[-1].token_out == hops[0].token_in
    return Plan(
        verdict_id="fork-1",
        agents=("test",),
        route=Route(
            token_in=hops[0].token_in,
            token_out=hops[-1].token_out,
            amount_in=amount,
            amount_out=hops[-1].amount_out,
            hops=tuple(hops),
            block_hash=snapshot.block.hash,
            block_number=snapshot.block.number,
        ),
        funding=Funding(
            kind=kind, token=hops[0].token_in, amount=amount, lender=LENDERS[kind], fee=fee
        ),
        minimum_profit=hops[-1].amount_out - (amount + fee if cycle else 0),
        tip_wei=0,
        gas_limit=5_000_000,
        target_block=snapshot.block.number + 1,
        parent_hash=snapshot.block.hash,
    )


async def wrap(bench: Bench, amount: int) -> None:
    """Wrap ether of the bench's account."""
    deposit = "0x" + keccak(b"deposit()")[:4].hex()
    await bench.send(to=WETH, data=deposit, value=amount)


async def sell_weth(bench: Bench, pair: Address, amount: int) -> int:
    """Sell WETH straight to a pair: makes it cheap there; returns what came out."""
    await wrap(bench, amount)
    snapshot = await bench.snapshot()
    sale = hop(snapshot, pair, WETH, amount)
    transfer = keccak(b"transfer(address,uint256)")[:4] + encode(
        ["address", "uint256"], [pair, amount]
    )
    await bench.send(to=WETH, data="0x" + transfer.hex())
    first = snapshot.pool(pair).token0 == sale.token_out
    outs = (sale.amount_out, 0) if first else (0, sale.amount_out)
    swap = keccak(b"swap(uint256,uint256,address,bytes)")[:4] + encode(
        ["uint256", "uint256", "address", "bytes"], [*outs, bench.signer.address, b""]
    )
    receipt = await bench.send(to=pair, data="0x" + swap.hex())
    assert receipt.succeeded
    return sale.amount_out


async def approve(bench: Bench, token: Address, amount: int) -> None:
    """Bring the executor's allowance to exactly the amount."""
    current = await bench.ask(token, ALLOWANCE, bench.signer.address, bench.executor)
    for data in encode_approvals(token, bench.executor, amount=amount, current=current):
        assert (await bench.send(to=token, data=data)).succeeded


# Gas of a whole transaction on the twin with recorded token code, measured and rounded up by a
# twentieth: storage is cold, and what a swap costs varies with the ticks that it crosses.
MOST_GAS = {
    (2, FundingKind.OWN): 228_000,
    (2, FundingKind.BALANCER): 272_000,
    (2, FundingKind.V2_FLASH): 314_000,
    (2, FundingKind.V3_FLASH): 286_000,
    (3, FundingKind.OWN): 345_000,
    (3, FundingKind.BALANCER): 376_000,
    (3, FundingKind.V2_FLASH): 443_000,
    (3, FundingKind.V3_FLASH): 404_000,
}
TWO = [(V3_USDC, WETH), (V2_USDC, USDC)]
THREE = [(V3_USDC, WETH), (V3_STABLE, USDC), (V2_USDT, USDT)]


@pytest.mark.parametrize("kind", list(FundingKind))
@pytest.mark.parametrize("legs", [TWO, THREE], ids=["2-hops", "3-hops"])
async def test_a_cycle_realises_what_python_predicted(
    bench: Bench, kind: FundingKind, legs: list[tuple[Address, Address]]
) -> None:
    """On every funding the account gains the predicted amount to the wei, for no more gas."""
    await sell_weth(bench, legs[-1][0], 900 * WEI_PER_ETHER)
    amount = 20 * WEI_PER_ETHER
    if kind is FundingKind.OWN:
        await wrap(bench, amount)
        await approve(bench, WETH, amount)
    before = await bench.ask(WETH, BALANCE_OF, bench.signer.address)
    plan = plan_of(await bench.snapshot(), legs, amount, kind)

    receipt = await bench.send(to=bench.executor, data=encode_plan(plan, bench.executor))

    print(f"gas {len(legs)} hops {kind.value}: {receipt.gas_used}")
    after = await bench.ask(WETH, BALANCE_OF, bench.signer.address)
    assert receipt.succeeded
    assert plan.minimum_profit == after - before
    assert plan.minimum_profit > 0
    assert 0 == await bench.ask(WETH, BALANCE_OF, bench.executor)
    if "MAINNET_RPC_URL" not in os.environ:  # figures of the twin
        assert receipt.gas_used <= MOST_GAS[len(legs), kind]


async def test_a_swap_of_tether_realises_what_python_predicted(bench: Bench) -> None:
    """USDT goes in by an exact allowance, twice, the second time over a stale one."""
    tether = await sell_weth(bench, V2_USDT, 100 * WEI_PER_ETHER)
    for amount in (tether // 3, tether // 5):
        # A stale allowance of another size, as an expired plan leaves it behind.
        await approve(bench, USDT, 7)
        await approve(bench, USDT, amount)
        plan = plan_of(await bench.snapshot(), [(V2_USDT, USDT)], amount, FundingKind.OWN)
        before = await bench.ask(WETH, BALANCE_OF, bench.signer.address)

        receipt = await bench.send(to=bench.executor, data=encode_plan(plan, bench.executor))

        print("gas own swap:", receipt.gas_used)
        after = await bench.ask(WETH, BALANCE_OF, bench.signer.address)
        assert receipt.succeeded
        assert plan.route.amount_out == after - before
        assert 0 == await bench.ask(USDT, ALLOWANCE, bench.signer.address, bench.executor)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"target_block": 5}, "WrongBlock: planned for block 5"),
        ({"parent_hash": "0x" + "77" * 32}, "WrongParent: planned on parent 0x7777"),
        ({"minimum_profit": 10**30}, "ProfitTooLow: net result"),
    ],
)
async def test_a_guard_that_fails_says_why(
    bench: Bench, change: dict[str, object], reason: str
) -> None:
    """Preflight of a plan for another block, parent or result reverts with words."""
    await sell_weth(bench, V2_USDC, 900 * WEI_PER_ETHER)
    plan = plan_of(await bench.snapshot(), TWO, WEI_PER_ETHER, FundingKind.BALANCER)
    loose = replace(plan, target_block=0, parent_hash=ZERO_HASH)
    data = encode_plan(replace(loose, **change), bench.executor)

    with pytest.raises(CallReverted) as raised:
        await bench.node.call(to=bench.executor, data=data, sender=bench.signer.address)

    assert explain_revert(raised.value.data).startswith(reason)


async def test_a_leaked_plan_is_useless_to_others(bench: Bench) -> None:
    """Somebody else's call with the very same calldata is refused."""
    await sell_weth(bench, V2_USDC, 900 * WEI_PER_ETHER)
    plan = plan_of(await bench.snapshot(), TWO, WEI_PER_ETHER, FundingKind.BALANCER)

    with pytest.raises(CallReverted) as raised:
        await bench.node.call(
            to=bench.executor,
            data=encode_plan(plan, bench.executor),
            sender=Address("0x" + "66" * 20),
        )

    assert explain_revert(raised.value.data).startswith("NotOwner:")
