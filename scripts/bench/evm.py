"""Simulating a V3 swap on genuine bytecode: in this process, by Anvil, and by py-evm."""

from scripts.bench.figures import Figure, Measured
from scripts.bench.timing import medians, versions
from toolkit.chain.node import Node
from toolkit.chain.rpc import HttpRpc
from toolkit.devnet.calldata import encode_call
from toolkit.devnet.protocols import V3_ROUTER, WETH
from toolkit.devnet.twin import Funding, Twin, TwinConfig, build_twin
from toolkit.evm.call import BlockEnv, Call
from toolkit.evm.node import NodeSimulator
from toolkit.evm.pyevm import PyEvmSimulator
from toolkit.evm.simulator import open_simulator
from toolkit.model.chain import Address
from toolkit.model.tx import UnsignedTransaction

TRADER = Address("0x" + "7a" * 20)
USDC = Address("0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48")
ETHER = 10**18
MS = 1e3


def _swap(nonce: int) -> Call:
    order = (WETH, USDC, 500, TRADER, 2**63, ETHER, 0, 0)
    signature = "exactInputSingle((address,address,uint24,address,uint256,uint256,uint256,uint160))"
    return TRADER, UnsignedTransaction(
        type=2,
        chain_id=1,
        nonce=nonce,
        to=V3_ROUTER,
        value=0,
        data=encode_call(signature, order),
        gas=500_000,
        max_fee_per_gas=5 * 10**9,
        max_priority_fee_per_gas=10**9,
    )


async def measure(seed: int) -> Measured:
    """Time a swap's simulation on a block whose state was read before, and on a new one."""
    funding = Funding(
        account=TRADER, amounts=(("ETH", 10 * ETHER), ("WETH", 10 * ETHER)), spenders=(V3_ROUTER,)
    )
    twin = await build_twin(TwinConfig(seed=seed, funded=(funding,)))
    try:
        async with HttpRpc(twin.anvil.url) as rpc:
            return await _measure(twin, Node(rpc))
    finally:
        await twin.anvil.stop()


async def _measure(twin: Twin, node: Node) -> Measured:
    head = twin.head
    env = BlockEnv(
        number=head.number + 1,
        timestamp=head.timestamp + 12,
        base_fee_per_gas=10**9,
        coinbase=TRADER,
        gas_limit=head.gas_limit,
    )
    swap = [_swap(await node.nonce(TRADER))]
    warm, by_node, reference = open_simulator(node), NodeSimulator(node), PyEvmSimulator(node)

    async def ours() -> object:
        return await warm.simulate(swap, parent=head, env=env)

    async def cold() -> object:
        return await open_simulator(node).simulate(swap, parent=head, env=env)

    async def anvil() -> object:
        return await by_node.simulate(swap, parent=head, env=env)

    async def pyevm() -> object:
        return await reference.simulate(swap, parent=head, env=env)

    assert await ours() == await anvil() == await pyevm()
    known, unknown, anvil_s = await medians((ours, cold, anvil), rounds=50, warm_up=5)
    (pyevm_s,) = await medians((pyevm,), rounds=5, warm_up=0)
    return Measured(
        figures=(
            _beside_anvil("a V3 swap, state known", known, anvil_s),
            _beside_anvil("a V3 swap, state read first", unknown, anvil_s),
            Figure(name="a V3 swap by py-evm, the reference", unit="ms", ours=pyevm_s * MS),
        ),
        peers=versions("py-evm"),
        not_covered=("bundles of our executor, whose parent-hash guard leaves them to the node",),
    )


def _beside_anvil(name: str, ours_s: float, anvil_s: float) -> Figure:
    return Figure(
        name=name,
        unit="ms",
        ours=ours_s * MS,
        peer=anvil_s * MS,
        peer_name="Anvil eth_simulateV1",
    )
