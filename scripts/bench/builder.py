"""The devnet's builders: simulating a bundle, and sealing a block of a hundred of them."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from statistics import median

from scripts.bench.figures import Figure, Measured
from scripts.bench.timing import medians
from toolkit.chain.node import Node
from toolkit.chain.rpc import HttpRpc
from toolkit.devnet.accounts import DevAccount
from toolkit.devnet.builders import Builder
from toolkit.devnet.building.sealing import Market
from toolkit.devnet.building.simulation import SlotEnv, simulate
from toolkit.devnet.calldata import MAX_UINT256, encode_call
from toolkit.devnet.crowd.trades import Trade, swap_call
from toolkit.devnet.participants import user_accounts
from toolkit.devnet.pools import POOLS
from toolkit.devnet.protocols import V2_ROUTER, V3_ROUTER, WETH
from toolkit.devnet.public_pool import open_pool, rules_of
from toolkit.devnet.twin import BLOCK_SECONDS, CHAIN_ID, Funding, TwinConfig, build_twin, fork_twin
from toolkit.model.chain import Address, Mode
from toolkit.model.tx import SignedTransaction, UnsignedTransaction
from toolkit.model.units import WEI_PER_ETHER, WEI_PER_GWEI

TIMEOUT_S = 240
BUNDLES = 100
ROUNDS = 200
SEALS = 5
MS = 1e3
_SWAP_WEI = WEI_PER_ETHER
_FEE_RECIPIENT = Address("0x00000000000000000000000000000000000fee00")
_WETH_POOLS = [pool for pool in POOLS if "WETH" in pool.symbols]


class Bench:
    """One builder on a fork, and a hundred accounts that may swap."""

    market: Market

    def __init__(self, rpc: HttpRpc, accounts: Sequence[DevAccount]) -> None:
        self.rpc = rpc
        self.accounts = accounts
        self._nonce = 0

    async def allow(self) -> None:
        """Let the routers have everybody's WETH, in a block of its own."""
        for router in (V2_ROUTER, V3_ROUTER):
            data = encode_call("approve(address,uint256)", router, MAX_UINT256)
            for index in range(len(self.accounts)):
                signed = self._sign(index, 0, WETH, data)
                await self.rpc.call("eth_sendRawTransaction", (signed.raw,))
            self._nonce += 1
        await self.rpc.call("evm_mine")

    def pay(self, index: int, *, place: int = 0) -> SignedTransaction:
        """A transfer with a tip of its own."""
        return self._sign(index, place, self.accounts[0].address, "0x")

    def swap(self, index: int, *, minimum: int = 0, place: int = 0) -> SignedTransaction:
        """A swap in one of the pools, each in its turn."""
        account = self.accounts[index].address
        pool = _WETH_POOLS[index % len(_WETH_POOLS)]
        trade = Trade(pool=pool, token_in=WETH, amount_in=_SWAP_WEI)
        return self._sign(index, place, *swap_call(trade, account, minimum_out=minimum))

    async def exact(self, index: int) -> int:
        """What the swap brings on the parent's state."""
        account = self.accounts[index].address
        pool = _WETH_POOLS[index % len(_WETH_POOLS)]
        trade = Trade(pool=pool, token_in=WETH, amount_in=_SWAP_WEI)
        to, data = swap_call(trade, account)
        return int((await Node(self.rpc).call(to=to, data=data, sender=account))[-64:], 16)

    async def sealing(self, bundles: Sequence[Sequence[SignedTransaction]]) -> tuple[float, int]:
        """Seconds to seal a block of these, and how many of them it has; taken back afterwards."""
        base_fee = (await Node(self.rpc).block("pending"))["baseFeePerGas"]
        mark = await self.rpc.call("evm_snapshot")
        number = hex(self.market.head.number + 1)
        for each in bundles:
            request = {"txs": [signed.raw for signed in each], "blockNumber": number}
            await self.market.builders[0].handle("eth_sendBundle", [request], _FEE_RECIPIENT)
        start = time.perf_counter()
        await self.market.seal()
        taken = time.perf_counter() - start
        landed = sum(each.included for each in self.market.slots[-1].considered)
        await self.rpc.call("evm_revert", (mark,))
        await self.rpc.call("anvil_setNextBlockBaseFeePerGas", (base_fee,))
        await self.market.follow()
        return taken, landed

    def _sign(self, index: int, place: int, to: Address, data: str) -> SignedTransaction:
        return self.accounts[index].signer.sign_transaction_now(
            UnsignedTransaction(
                type=2,
                chain_id=CHAIN_ID,
                nonce=self._nonce + place,
                to=to,
                value=0,
                data=data,
                gas=170_000,
                max_fee_per_gas=100 * WEI_PER_GWEI,
                max_priority_fee_per_gas=(1 + index) * WEI_PER_GWEI // 10,
            )
        )


async def measure(seed: int) -> Measured:
    """Simulate three transactions, and seal a hundred bundles with and without conflicts."""
    async with opened(seed) as bench:
        simulated, mined = await _simulations(bench)
        seals = [await _seals(bench, name, which) for name, which in (await _mixes(bench)).items()]
    return Measured(
        figures=(
            Figure(
                name="simulation of three transactions",
                unit="ms",
                target=1.5,
                ours=simulated * MS,
                peer=mined * MS,
                peer_name="snapshot, mine, revert (tells subscribers of a block that is none)",
            ),
            *seals,
        ),
        not_covered=("bundles that arrive while a block is being built",),
    )


async def _simulations(bench: Bench) -> tuple[float, float]:
    transactions = [bench.pay(0), bench.swap(1), bench.swap(2)]
    head = bench.market.head
    pending = await Node(bench.rpc).block("pending")
    env = SlotEnv(
        number=head.number + 1,
        timestamp=head.timestamp + BLOCK_SECONDS,
        base_fee_per_gas=int(pending["baseFeePerGas"], 16),
        gas_limit=head.gas_limit,
        fee_recipient=_FEE_RECIPIENT,
    )

    async def ours() -> None:
        effects = await simulate(bench.rpc, env, transactions)
        assert all(each.succeeded for each in effects)

    async def theirs() -> None:
        mark = await bench.rpc.call("evm_snapshot")
        for each in transactions:
            await bench.rpc.call("eth_sendRawTransaction", (each.raw,))
        await bench.rpc.call("evm_mine")
        await bench.rpc.call("eth_getBlockReceipts", ("latest",))
        await bench.rpc.call("evm_revert", (mark,))
        await bench.rpc.call("anvil_setNextBlockBaseFeePerGas", (pending["baseFeePerGas"],))

    simulated, mined = await medians((ours, theirs), rounds=ROUNDS, warm_up=5)
    return simulated, mined


async def _mixes(bench: Bench) -> dict[str, list[list[SignedTransaction]]]:
    """Bundles of two transactions: apart; all in a few pools; half of these exact to the wei."""
    count = len(bench.accounts)
    exact = [await bench.exact(index) if index % 2 else 0 for index in range(count)]
    return {
        "that have nothing to do with each other": [
            [bench.pay(index), bench.pay(index, place=1)] for index in range(count)
        ],
        f"that swap in {len(_WETH_POOLS)} pools": [
            [bench.swap(index), bench.pay(index, place=1)] for index in range(count)
        ],
        f"that swap in {len(_WETH_POOLS)} pools, half of them for an exact amount": [
            [bench.swap(index, minimum=exact[index]), bench.pay(index, place=1)]
            for index in range(count)
        ],
    }


async def _seals(bench: Bench, name: str, bundles: Sequence[Sequence[SignedTransaction]]) -> Figure:
    found = [await bench.sealing(bundles) for _ in range(1 + SEALS)][1:]
    landed = {count for _, count in found}
    assert len(landed) == 1, f"the same block had {sorted(landed)} bundles"
    return Figure(
        name=f"sealing {len(bundles)} bundles {name} ({landed.pop()} land)",
        unit="ms",
        target=1_500,
        ours=median(taken for taken, _ in found) * MS,
    )


@asynccontextmanager
async def opened(seed: int) -> AsyncIterator[Bench]:
    """A market on a fork of a twin where every account may swap."""
    accounts = user_accounts(seed, BUNDLES)
    amounts = (("ETH", 1_000 * WEI_PER_ETHER), ("WETH", 100 * WEI_PER_ETHER))
    funded = tuple(Funding(account=each.address, amounts=amounts) for each in accounts)
    twin = await build_twin(TwinConfig(seed=seed, funded=funded))
    try:
        async with await fork_twin(twin) as anvil, HttpRpc(anvil.url) as rpc:
            await rpc.call("anvil_setBlockTimestampInterval", (BLOCK_SECONDS,))
            bench = Bench(rpc, accounts)
            await bench.allow()
            head = await Node(rpc).head()
            builder = Builder(name="one", fee_recipient=_FEE_RECIPIENT, rpc=rpc, head=head)
            bench.market = Market(
                rpc,
                [builder],
                pool=await open_pool(rpc, rules_of("geth")),
                seed=seed,
                chain_id=CHAIN_ID,
                mode=Mode.DEV,
                head=head,
            )
            yield bench
    finally:
        await twin.anvil.stop()
