"""A chain to simulate on and to check against: a block-on-demand fork of the offline twin."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import pytest
import pytest_asyncio

from toolkit.chain.node import Node
from toolkit.chain.rpc import HttpRpc
from toolkit.devnet.anvil import start_anvil
from toolkit.devnet.calldata import encode_call
from toolkit.devnet.protocols import V2_ROUTER, V3_ROUTER, WETH
from toolkit.devnet.twin import Funding, TwinConfig, build_twin
from toolkit.evm.call import BlockEnv, Call
from toolkit.model.chain import Address, Hash, Head, Receipt
from toolkit.model.tx import AccessListItem, UnsignedTransaction

ALICE = Address("0x" + "a1" * 20)
BOB = Address("0x" + "b0" * 20)
COINBASE = Address("0x" + "c0" * 20)
USDC = Address("0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48")
GWEI = 10**9
DEADLINE = 2**63


def contract(index: int) -> Address:
    return Address(f"0x{0x7E57_0000 + index:040x}")


# One contract a habit that simulators get wrong. Words are returned where there is one to compare.
COUNTER = contract(0)
TELLS_BASE_FEE = contract(1)
INIT_CODE = "60fe5f5360015ff3"
CREATES = "67" + INIT_CODE + "5f52" + "5f600860185ff5" + "5f5260205ff3"
PROGRAMS = {
    # Returns and logs what slot 1 held, and adds one to it.
    "counts": "6001545f52" + "600160015401600155" + "60205fa0" + "60205ff3",
    "tells the base fee": "485f5260205ff3",
    # Writes the calldata's first word to slots 0 to 7: clearing them earns a capped refund.
    "clears": "".join(f"5f3560{key:02x}55" for key in range(8)) + "00",
    "reverts": "60aa5f5260205ffd",
    "is invalid": "fe",
    "loops": "5b5f56",
    "tells the gas price": "3a5f5260205ff3",
    "tells the origin's balance": "32315f5260205ff3",
    "tells the coinbase's balance": "41315f5260205ff3",
    "tells the block": "435f524260205246604052456060524160805260a05ff3",
    "tells the block hash": "6001430340" + "5f5260205ff3",
    "has transient storage": "60015c5f52" + "600160015d" + "60205ff3",
    # Creates a contract of one byte by CREATE2, which fails where there is one already.
    "creates": CREATES,
    "creates another": CREATES,
    "creates what destroys itself": "6133ff5f52" + "5f6002601e5ff5" + "5f5260205ff3",
    # Calls the counter and reverts: what a reverted frame read, it has read.
    "reverts what it called": "5f5f5f5f5f73" + COUNTER[2:] + "5af1" + "5f5ffd",
    "reverts with the base fee it was told": "60205f5f5f5f73" + TELLS_BASE_FEE[2:] + "5af160205ffd",
    "destroys itself": "33ff",
}
HABITS = {name: contract(index) for index, name in enumerate(PROGRAMS)}


@dataclass(slots=True)
class Chain:
    """A node, and the means to really mine what was simulated."""

    node: Node
    chain_id: int = 1

    async def env(self, parent: Head) -> BlockEnv:
        return BlockEnv(
            number=parent.number + 1,
            timestamp=parent.timestamp + 12,
            base_fee_per_gas=2 * GWEI,
            coinbase=COINBASE,
            gas_limit=parent.gas_limit,
        )

    async def mine(self, transactions: Sequence[Call], env: BlockEnv) -> tuple[Receipt, ...]:
        call = self.node.rpc.call
        await call("anvil_setNextBlockBaseFeePerGas", [hex(env.base_fee_per_gas)])
        await call("anvil_setCoinbase", [env.coinbase])
        await call("evm_setNextBlockTimestamp", [hex(env.timestamp)])
        hashes = [
            Hash(await call("eth_sendTransaction", [_sending(sender, transaction)]))
            for sender, transaction in transactions
        ]
        await call("evm_mine")
        receipts = [await self.node.receipt(one) for one in hashes]
        return tuple(receipt for receipt in receipts if receipt is not None)


def _sending(sender: Address, transaction: UnsignedTransaction) -> dict[str, object]:
    fields: dict[str, object] = {
        "from": sender,
        "to": transaction.to,
        "nonce": hex(transaction.nonce),
        "gas": hex(transaction.gas),
        "value": hex(transaction.value),
        "data": transaction.data,
        "accessList": [
            {"address": item.address, "storageKeys": list(item.storage_keys)}
            for item in transaction.access_list
        ],
    }
    if transaction.type == 2:
        fields["maxFeePerGas"] = hex(transaction.max_fee_per_gas)
        fields["maxPriorityFeePerGas"] = hex(transaction.max_priority_fee_per_gas)
    else:
        fields["gasPrice"] = hex(transaction.gas_price)
    if not transaction.access_list:
        del fields["accessList"]
    return fields


class Sender:
    """Makes one account's transactions with rising nonces."""

    def __init__(self, account: Address, nonce: int) -> None:
        self.account = account
        self.nonce = nonce

    def __call__(
        self,
        to: Address | None,
        data: str = "0x",
        *,
        value: int = 0,
        gas: int = 500_000,
        type: int = 2,  # noqa: A002 -- the field's own name
        nonce: int | None = None,
        cap: int = 5 * GWEI,
        tip: int = GWEI // 10,
        access_list: tuple[AccessListItem, ...] = (),
    ) -> Call:
        dynamic = type == 2
        transaction = UnsignedTransaction(
            type=type,
            chain_id=1,
            nonce=self.nonce if nonce is None else nonce,
            to=to,
            value=value,
            data=data,
            gas=gas,
            access_list=access_list,
            gas_price=0 if dynamic else cap,
            max_fee_per_gas=cap if dynamic else 0,
            max_priority_fee_per_gas=tip if dynamic else 0,
        )
        if nonce is None:
            self.nonce += 1
        return self.account, transaction


def v2_swap(amount: int, receiver: Address) -> str:
    return encode_call(
        "swapExactTokensForTokens(uint256,uint256,address[],address,uint256)",
        amount,
        0,
        [WETH, USDC],
        receiver,
        DEADLINE,
    )


def v3_swap(amount: int, receiver: Address) -> str:
    return encode_call(
        "exactInputSingle((address,address,uint24,address,uint256,uint256,uint256,uint160))",
        (WETH, USDC, 500, receiver, DEADLINE, amount, 0, 0),
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chain_url() -> AsyncIterator[str]:
    """The URL of a fork of the twin with two rich accounts and the contracts above."""
    funded = tuple(
        Funding(
            account=account,
            amounts=(("ETH", 10**20), ("WETH", 10**20), ("USDC", 10**12)),
            spenders=(V2_ROUTER, V3_ROUTER),
        )
        for account in (ALICE, BOB)
    )
    twin = await build_twin(TwinConfig(seed=8, funded=funded))
    try:
        options = ("--fork-url", twin.anvil.url, "--no-storage-caching", "--hardfork", "prague")
        behaviour = ("--no-mining", "--order", "fifo", "--auto-impersonate")
        fork = await start_anvil((*options, *behaviour))
        try:
            async with HttpRpc(fork.url) as rpc:
                for name, address in HABITS.items():
                    await rpc.call("anvil_setCode", [address, "0x" + PROGRAMS[name]])
                one = f"0x{1:064x}"
                await rpc.call("anvil_setStorageAt", [COUNTER, one, f"0x{5:064x}"])
                for key in range(8):
                    await rpc.call("anvil_setStorageAt", [HABITS["clears"], f"0x{key:064x}", one])
                await rpc.call("evm_mine")
            yield fork.url
        finally:
            await fork.stop()
    finally:
        await twin.anvil.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def chain(chain_url: str) -> AsyncIterator[Chain]:
    """The chain, on a connection of the test's own."""
    async with HttpRpc(chain_url) as rpc:
        yield Chain(Node(rpc))


@pytest.fixture
def anyone() -> Address:
    """An account without anything."""
    return Address("0x" + "ee" * 20)
