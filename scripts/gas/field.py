"""A twin with V4 and narrow positions on which an executor runs plan after plan."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from fractions import Fraction

from toolkit.chain.hashing import keccak
from toolkit.chain.node import Node
from toolkit.chain.rpc import HttpRpc
from toolkit.devnet.calldata import encode_call
from toolkit.devnet.editor import ChainEditor, Sending
from toolkit.devnet.pools import FAR_FUTURE, POOLS
from toolkit.devnet.pools_v4 import add_pools_v4
from toolkit.devnet.protocols import V3_POSITIONS, WETH
from toolkit.devnet.tokens import TOKENS
from toolkit.devnet.twin import PROVIDER, Funding, TwinConfig, build_twin, fund
from toolkit.execution.calldata import (
    BALANCE_OF,
    creation_code,
    encode_address_call,
    encode_approve,
    encode_plan,
    explain_revert,
)
from toolkit.execution.planner import paid_tip_wei
from toolkit.model.chain import Address, Receipt
from toolkit.model.decision import Plan
from toolkit.model.errors import CallReverted
from toolkit.model.market import PoolId
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.snapshot import Pool, PoolSpec, Snapshot
from toolkit.pools.sync import load

OWNER = Address("0x" + keccak(b"toolkit gas field owner")[12:].hex())
HUGE = 10**12  # whole units of every token
_GAS = 15_000_000
_WIDTHS = (1, 3, 8)  # spacings to either side of the price: ticks that trades cross


@dataclass(kw_only=True)
class Field:
    """One account with an executor, plenty of every token, and a chain of its own."""

    node: Node
    editor: ChainEditor
    specs: tuple[PoolSpec, ...]
    known: dict[PoolId, Pool]
    executor: Address = OWNER

    async def send(self, to: Address, data: str, *, what: str = "a plan", value: int = 0) -> None:
        """Send from the owner and mine."""
        sending = Sending(sender=OWNER, to=to, data=data, gas=_GAS, what=what, value=value)
        await self.editor.transact([sending])

    async def snapshot(self) -> Snapshot:
        """All pools as of the newest block; those that nobody touched are not read again."""
        head = await self.node.head()
        specs = [spec for spec in self.specs if spec.id not in self.known]
        read = await load(self.node, specs, tuple(TOKENS.values()), head=head)
        self.known |= read.pools
        return Snapshot(block=head, tokens=read.tokens, pools=dict(self.known))

    async def balances(self, account: Address) -> dict[Address, int]:
        """What an account holds of every token."""
        tokens = [token.address for token in TOKENS.values()]
        asked = [
            ("eth_call", ({"to": t, "data": encode_address_call(BALANCE_OF, account)}, "latest"))
            for t in tokens
        ]
        answers = await self.editor.apply(asked)
        return {token: int(word, 16) for token, word in zip(tokens, answers, strict=True)}

    async def execute(self, plan: Plan) -> Receipt:
        """Run a plan in the next block, in which nothing else happens.

        Raises:
            AssertionError: it reverted; says why.
        """
        data = encode_plan(plan, self.executor)
        fields = {"from": OWNER, "to": self.executor, "data": data, "gas": hex(_GAS)}
        fields |= {"maxFeePerGas": hex(10**12), "maxPriorityFeePerGas": "0x1"}
        fields |= {"value": hex(paid_tip_wei(plan))}
        sent, _ = await self.editor.apply([("eth_sendTransaction", (fields,)), ("evm_mine", ())])
        for touched in (plan.funding.lender, *(hop.pool for hop in plan.route.hops)):
            if touched is not None:
                self.known.pop(touched, None)
        receipt = await self.node.receipt(sent)
        assert receipt is not None
        if not receipt.succeeded:
            why = await self.why(data)
            raise AssertionError(f"{plan.verdict_id} reverted: {why}\n{plan}")
        return receipt

    async def why(self, data: str) -> str:
        """Ask what a call reverts with, on the block before its own."""
        try:
            await self.node.call(to=self.executor, data=data, sender=OWNER)
        except CallReverted as error:
            return explain_revert(error.data)
        return "it does not any more"

    async def approve(self, token: Address, amount: int) -> None:
        """Let the executor take exactly an amount."""
        await self.send(token, encode_approve(token, self.executor, amount))


@asynccontextmanager
async def open_field(config: TwinConfig | None = None) -> AsyncIterator[Field]:
    """Build a twin with V4 pools and narrow positions, and an executor on it."""
    config = config or TwinConfig()
    prices = {symbol: Fraction(1) for symbol in TOKENS}
    prices |= {"WETH": config.weth_usd, "WBTC": config.wbtc_usd}
    twin = await build_twin(config)
    try:
        async with HttpRpc(twin.anvil.url) as rpc:
            editor, node = ChainEditor(rpc), Node(rpc)
            specs = (*(pool.spec for pool in POOLS), *await add_pools_v4(editor, prices))
            field = Field(node=node, editor=editor, specs=specs, known={})
            await _narrow(field)
            amounts = [(symbol, HUGE * 10**of.decimals) for symbol, of in TOKENS.items()]
            amounts.append(("ETH", 10**27))
            await fund(editor, [Funding(account=OWNER, amounts=tuple(amounts))])
            field.executor = await _deploy(field)
            yield field
    finally:
        await twin.anvil.stop()


async def _deploy(field: Field) -> Address:
    fields = {"from": OWNER, "data": creation_code(WETH), "gas": hex(_GAS)}
    fields |= {"maxFeePerGas": hex(10**12), "maxPriorityFeePerGas": "0x1"}
    sent, _ = await field.editor.apply([("eth_sendTransaction", (fields,)), ("evm_mine", ())])
    receipt = await field.node.receipt(sent)
    assert receipt is not None
    assert receipt.contract_address is not None
    return receipt.contract_address


async def _narrow(field: Field) -> None:
    """Add positions near the price to every V3 pool, so that trades cross ticks."""
    amounts = [(symbol, HUGE * 10**of.decimals) for symbol, of in TOKENS.items()]
    account = Funding(account=PROVIDER, amounts=tuple(amounts))
    await fund(field.editor, [account])
    snapshot = await field.snapshot()
    sendings = []
    for pool in snapshot.pools.values():
        if not isinstance(pool, Concentrated):
            continue
        middle = pool.tick // pool.tick_spacing
        for width in _WIDTHS:
            low, high = (middle - width) * pool.tick_spacing, (middle + width) * pool.tick_spacing
            data = encode_call(
                "mint((address,address,uint24,int24,int24,uint256,uint256,uint256,uint256,"
                "address,uint256))",
                (
                    *(pool.token0, pool.token1, pool.fee_ppm, low, high),
                    *(_worth(pool.token0), _worth(pool.token1), 0, 0, PROVIDER, FAR_FUTURE),
                ),
            )
            sendings.append(Sending(sender=PROVIDER, to=V3_POSITIONS, data=data, what="a position"))
    await field.editor.transact(sendings)
    field.known.clear()


def _worth(token: Address) -> int:
    """About 200,000 dollars of a token at the twin's default prices."""
    known = next(one for one in TOKENS.values() if one.address == token)
    dollars = {"WETH": 1500, "WBTC": 22_500}.get(known.symbol, 1)
    return int(200_000 * 10**known.decimals // dollars)
