"""The genuine V4 PoolManager with pools that were really initialised, filled and taxed.

`Venue4` goes through v4-core's own test routers, as a user would; it reads states by `extsload`,
slot by slot, without the code under test.
"""

import json
from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from tests.pools.venue import MAX, ME, UNISWAP, AnvilMachine, calldata
from toolkit.model.chain import ZERO_ADDRESS, Address, Hash
from toolkit.pools.concentrated_v4 import DYNAMIC_FEE, ConcentratedV4

KEY = "(address,address,uint24,int24,address)"
NO_SETTINGS = (False, False)  # neither claims nor burns
_ETHER = 10**18

Key = tuple[Address, Address, int, int, Address]


class Venue4:
    """A manager and its two test routers on a node, for two tokens that ME has plenty of."""

    def __init__(self, machine: AnvilMachine, token0: Address, token1: Address) -> None:
        self.machine = machine
        self.token0, self.token1 = token0, token1
        self.manager = machine.deploy(_creation("PoolManager", ME))
        self.swapper = machine.deploy(_creation("PoolSwapTest", self.manager))
        self.filler = machine.deploy(_creation("PoolModifyLiquidityTest", self.manager))
        machine.send(self.manager, calldata("setProtocolFeeController(address)", ME))
        for coin in (token0, token1):
            for spender in (self.swapper, self.filler):
                machine.send(coin, calldata("approve(address,uint256)", spender, MAX))

    def key(self, fee: int, spacing: int, *, native: bool = False, hooks: str = "") -> Key:
        """Make a pool's key; with hooks its fee is theirs to set."""
        pair = (ZERO_ADDRESS, self.token1) if native else (self.token0, self.token1)
        hook = Address(hooks or ZERO_ADDRESS)
        return (*pair, DYNAMIC_FEE if hooks else fee, spacing, hook)

    def initialise(self, key: Key, price: int) -> None:
        self.machine.send(self.manager, calldata(f"initialize({KEY},uint160)", key, price))

    def fill(self, key: Key, lower: int, upper: int, liquidity: int) -> None:
        """Add liquidity (or take it away); ten ether go along for a native pool."""
        params = (lower, upper, liquidity, bytes(32))
        data = calldata(
            f"modifyLiquidity({KEY},(int24,int24,int256,bytes32),bytes)", key, params, b""
        )
        value = 10 * _ETHER if key[0] == ZERO_ADDRESS else 0
        self.send_from(ME, self.filler, data, value)

    def tax(self, key: Key, zero_for_one: int, one_for_zero: int) -> None:
        """Set the protocol fee, parts per million a direction, as its controller."""
        fee = zero_for_one | one_for_zero << 12
        self.machine.send(self.manager, calldata(f"setProtocolFee({KEY},uint24)", key, fee))

    def set_fee(self, key: Key, fee: int) -> None:
        """Set a dynamic fee, as the pool's hook."""
        self.machine.rpc("anvil_setBalance", key[4], hex(_ETHER))
        data = calldata(f"updateDynamicLPFee({KEY},uint24)", key, fee)
        self.send_from(key[4], self.manager, data)

    def swap_data(self, key: Key, *, zero_for_one: bool, specified: int, limit: int) -> bytes:
        """Return PoolSwapTest's calldata; as for the manager, `specified` < 0 is an input."""
        return calldata(
            f"swap({KEY},(bool,int256,uint160),(bool,bool),bytes)",
            key,
            (zero_for_one, specified, limit),
            NO_SETTINGS,
            b"",
        )

    def send_from(self, sender: str, to: str, data: bytes, value: int = 0) -> None:
        fields = {"from": sender, "to": to, "data": "0x" + data.hex(), "value": hex(value)}
        self.machine._transact(fields)

    def read(self, key: Key, ticks: set[int]) -> ConcentratedV4:
        """Read a pool's slots one by one; `ticks` are those that positions may begin or end at."""
        number = keccak(encode((KEY,), (key,)))
        base = int.from_bytes(keccak(number + (6).to_bytes(32, "big")), "big")
        slot0 = self._slot(base)
        infos = {tick: self._slot(_entry(tick, base + 4)) for tick in sorted(ticks)}
        held = {tick: info for tick, info in infos.items() if info % 2**128}
        protocol = slot0 >> 184 & 0xFFFFFF
        return ConcentratedV4(
            id=Hash("0x" + number.hex()),
            token0=key[0],
            token1=key[1],
            fee_ppm=slot0 >> 208 & 0xFFFFFF,
            tick_spacing=key[3],
            sqrt_price_x96=slot0 % 2**160,
            tick=_signed(slot0 >> 160 & 0xFFFFFF, 24),
            liquidity=self._slot(base + 3),
            ticks=tuple((tick, _signed(info >> 128, 128)) for tick, info in held.items()),
            gross=tuple(info % 2**128 for info in held.values()),
            hooks=key[4],
            protocol_fee_ppm=(protocol & 0xFFF, protocol >> 12),
            dynamic_fee=key[2] == DYNAMIC_FEE,
        )

    def _slot(self, slot: int) -> int:
        data = calldata("extsload(bytes32)", slot.to_bytes(32, "big"))
        return int.from_bytes(self.machine.call(self.manager, data), "big")


def _creation(name: str, owner: str) -> bytes:
    path = UNISWAP / f"v4-core/out/{name}.sol/{name}.json"
    artefact: dict[str, Any] = json.loads(path.read_text())
    code = artefact["bytecode"]["object"].removeprefix("0x")
    return bytes.fromhex(code) + encode(("address",), (owner,))


def _entry(key: int, slot: int) -> int:
    words = (key % 2**256).to_bytes(32, "big") + slot.to_bytes(32, "big")
    return int.from_bytes(keccak(words), "big")


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value
