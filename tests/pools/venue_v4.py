"""The genuine PoolManager of Uniswap V4 beside the other contracts of a `Venue`."""

import json

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from tests.pools.venue import MAX, ME, UNISWAP, Machine, Venue, calldata
from toolkit.model.chain import ZERO_ADDRESS, Address
from toolkit.model.market import PoolKind
from toolkit.pools.concentrated_v4 import DYNAMIC_FEE, ConcentratedV4, pool_id
from toolkit.pools.snapshot import PoolSpec
from toolkit.pools.ticks import MAX_SQRT_PRICE, MIN_SQRT_PRICE, sqrt_price_at_tick

KEY = "(address,address,uint24,int24,address)"
POOLS, SLOT0, LIQUIDITY, TICKS = 6, 0, 3, 4
NATIVE_WEI = 10**19
OPEN = {True: MIN_SQRT_PRICE + 1, False: MAX_SQRT_PRICE - 1}
# A hook's address says by its last 14 bits when it is called: this one never is, so anybody may
# be it. It sets dynamic fees.
FEE_SETTER = Address("0x" + "c" * 36 + "0000")


class VenueV4:
    """A manager, the routers of its own tests, and pools of the venue's two tokens."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self.machine: Machine = venue.machine
        self.manager = Address(self._deploy("PoolManager", ME))
        self.liquidity = self._deploy("PoolModifyLiquidityTest", self.manager)
        self.swapper = self._deploy("PoolSwapTest", self.manager)
        self.machine.send(self.manager, calldata("setProtocolFeeController(address)", ME))
        for coin in (venue.token0, venue.token1):
            for spender in (self.liquidity, self.swapper):
                self.machine.send(coin, calldata("approve(address,uint256)", spender, MAX))

    def make_pool(
        self, fee: int, spacing: int, tick: int, extra: int = 0, *, native: bool = False
    ) -> PoolSpec:
        """Initialise a pool at a tick; with the fee of DYNAMIC_FEE it is the fee setter's."""
        spec = self.spec(fee, spacing, native=native)
        price = sqrt_price_at_tick(tick) + extra
        self.machine.send(
            self.manager, calldata(f"initialize({KEY},uint160)", self.key(spec), price)
        )
        return spec

    def spec(self, fee: int, spacing: int, *, native: bool = False) -> PoolSpec:
        """Name a pool of the venue's tokens, or of the native currency and token1."""
        dynamic = fee == DYNAMIC_FEE
        hooks = FEE_SETTER if dynamic else ZERO_ADDRESS
        token0, token1 = self.venue.token0, self.venue.token1
        if native:
            token0 = ZERO_ADDRESS
        return PoolSpec(
            id=pool_id(token0, token1, fee, spacing, hooks),
            kind=PoolKind.CONCENTRATED,
            token0=token0,
            token1=token1,
            fee_ppm=0 if dynamic else fee,
            tick_spacing=spacing,
            hooks=hooks,
            dynamic_fee=dynamic,
            manager=self.manager,
        )

    def key(self, spec: PoolSpec) -> tuple[object, ...]:
        """The pool's key as the manager takes it."""
        fee = DYNAMIC_FEE if spec.dynamic_fee else spec.fee_ppm
        return spec.token0, spec.token1, fee, spec.tick_spacing, spec.hooks

    def modify(self, spec: PoolSpec, lower: int, upper: int, delta: int) -> None:
        """Add signed liquidity to a range; what is not needed of a native value comes back."""
        signature = f"modifyLiquidity({KEY},(int24,int24,int256,bytes32),bytes)"
        data = calldata(signature, self.key(spec), (lower, upper, delta, bytes(32)), b"")
        self.machine.send(self.liquidity, data, value=native_value(spec))

    def swap(self, spec: PoolSpec, specified: int, *, zero_for_one: bool) -> None:
        """Swap; `specified` below 0 is an exact input."""
        data = self.swap_data(spec, specified, zero_for_one=zero_for_one)
        self.machine.send(self.swapper, data, value=native_value(spec))

    def swap_data(
        self, spec: PoolSpec, specified: int, *, zero_for_one: bool, limit: int = 0
    ) -> bytes:
        """Return the swapper's calldata of a swap up to a price limit (0: none)."""
        signature = f"swap({KEY},(bool,int256,uint160),(bool,bool),bytes)"
        terms = (zero_for_one, specified, limit or OPEN[zero_for_one])
        return calldata(signature, self.key(spec), terms, (False, False), b"")

    def charge(self, spec: PoolSpec, zero_for_one_ppm: int, one_for_zero_ppm: int) -> None:
        """Set the protocol's fees."""
        fee = zero_for_one_ppm | one_for_zero_ppm << 12
        self.machine.send(
            self.manager, calldata(f"setProtocolFee({KEY},uint24)", self.key(spec), fee)
        )

    def set_fee(self, spec: PoolSpec, fee_ppm: int) -> None:
        """Set a dynamic fee as the hook, which tells nobody; it needs ether for that on a node."""
        data = calldata(f"updateDynamicLPFee({KEY},uint24)", self.key(spec), fee_ppm)
        self.machine.send(self.manager, data, sender=FEE_SETTER)

    def read_pool(self, spec: PoolSpec, ticks: set[int]) -> ConcentratedV4:
        """Read a pool slot by slot, its ticks where positions were: slow and independent."""
        base = self._entry(int(spec.id, 16), POOLS)
        first = self._slot(base + SLOT0)
        held = {tick: self._slot(self._entry(tick, base + TICKS)) for tick in sorted(ticks)}
        protocol, fee = first >> 184 & 0xFFFFFF, first >> 208 & 0xFFFFFF
        return ConcentratedV4(
            id=pool_id(*self.key(spec)),  # type: ignore[arg-type]  # the key is of mixed types
            token0=spec.token0,
            token1=spec.token1,
            fee_ppm=fee,
            tick_spacing=spec.tick_spacing,
            sqrt_price_x96=first % 2**160,
            tick=_signed(first >> 160 & 0xFFFFFF, 24),
            liquidity=self._slot(base + LIQUIDITY),
            ticks=tuple((tick, _signed(word >> 128, 128)) for tick, word in held.items() if word),
            gross=tuple(word % 2**128 for word in held.values() if word),
            hooks=spec.hooks,
            protocol_fee_ppm=(protocol % 2**12, protocol >> 12),
            dynamic_fee=spec.dynamic_fee,
            manager=spec.manager,
        )

    def _slot(self, slot: int) -> int:
        asked = calldata("extsload(bytes32)", slot.to_bytes(32, "big"))
        return int.from_bytes(self.machine.call(self.manager, asked), "big")

    def _entry(self, key: int, slot: int) -> int:
        packed = (key % 2**256).to_bytes(32, "big") + slot.to_bytes(32, "big")
        return int.from_bytes(keccak(packed), "big")

    def _deploy(self, name: str, owner: str) -> str:
        return self.machine.deploy(creation_v4(name, owner))


def creation_v4(name: str, owner: str) -> bytes:
    """Return the creation code of a v4-core contract of one address."""
    code = json.loads((UNISWAP / f"v4-core/out/{name}.sol/{name}.json").read_text())
    raw = bytes.fromhex(code["bytecode"]["object"].removeprefix("0x"))
    return raw + encode(("address",), (owner,))


def native_value(spec: PoolSpec) -> int:
    """Return what to send along, in wei, so that no question is too big for it."""
    return NATIVE_WEI if spec.token0 == ZERO_ADDRESS else 0


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value
