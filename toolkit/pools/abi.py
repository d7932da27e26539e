"""The few functions and events of pools and tokens that snapshots read, and their words."""

from collections.abc import Sequence

from toolkit.model.chain import Address, Hash
from toolkit.model.market import PoolKind

# Selectors: the first four bytes of keccak256 of the signature. A test derives each one anew.
SELECTORS = {
    "token0()": "0x0dfe1681",
    "token1()": "0xd21220a7",
    "getReserves()": "0x0902f1ac",
    "stable()": "0x22be3de1",
    "fee()": "0xddca3f43",
    "tickSpacing()": "0xd0c93a7c",
    "slot0()": "0x3850c7bd",
    "liquidity()": "0x1a686502",
    "tickBitmap(int16)": "0x5339c296",
    "ticks(int24)": "0xf30dba93",
    "extsload(bytes32[])": "0xdbd035ff",
    "symbol()": "0x95d89b41",
    "decimals()": "0x313ce567",
}

# Events after which a pool's state may differ (IUniswapV2Pair.sol, IUniswapV3PoolEvents.sol), or
# that tell whether it is what its spec says: a V2 pair's Swap, and the Sync of Solidly's pairs.
TOPICS = {
    "Sync(uint112,uint112)": Hash(
        "0x1c411e9a96e071241c2f21f7726b17ae89e3cab4c78be50e062b03a9fffbbad1"
    ),
    "Sync(uint256,uint256)": Hash(
        "0xcf2aa50876cdfbb541206f89af0ee78d44a2abf8d328e37fa4917f982149848a"
    ),
    "Swap(address,uint256,uint256,uint256,uint256,address)": Hash(
        "0xd78ad95fa46c994b6551d0da85fc275fe613ce37657fb8d5e3d130840159d822"
    ),
    "Initialize(uint160,int24)": Hash(
        "0x98636036cb66a9c19a37435efc1e90142190214e8abeb821bdba3f2990dd4c95"
    ),
    "Swap(address,address,int256,int256,uint160,uint128,int24)": Hash(
        "0xc42079f94a6350d7e6235f29174924f928cc2ac818eb64fed8004e115fbcca67"
    ),
    # PancakeSwap V3 adds what the protocol took of each token.
    "Swap(address,address,int256,int256,uint160,uint128,int24,uint128,uint128)": Hash(
        "0x19b47279256b2a23a1665c810c8d55a1758940ee09377d4f8d26497a3577dc83"
    ),
    "Mint(address,address,int24,int24,uint128,uint256,uint256)": Hash(
        "0x7a53080ba414158be7ec69b987b5fb7d07dee101fe85488f0853ae16239d0bde"
    ),
    "Burn(address,int24,int24,uint128,uint256,uint256)": Hash(
        "0x0c396cd989a39f4459b5fa1aed6a9a8dcdbc45908acfd67e028cd568da98982c"
    ),
    # IPoolManager.sol and IProtocolFees.sol of Uniswap V4.
    "Initialize(bytes32,address,address,uint24,int24,address,uint160,int24)": Hash(
        "0xdd466e674ea557f56295e2d0218a125ea4b4f0f6f3307b95f85e6110838d6438"
    ),
    "Swap(bytes32,address,int128,int128,uint160,uint128,int24,uint24)": Hash(
        "0x40e9cecb9f5f1f1c5b9c97dec2917b7ee92e57ba5563708daca94dd84ad7112f"
    ),
    "ModifyLiquidity(bytes32,address,int24,int24,int256,bytes32)": Hash(
        "0xf208f4912782fd25c7f114ca3723a2d5dd6f3bcc3ac8db5af63baa85f711d5ec"
    ),
    "ProtocolFeeUpdated(bytes32,uint24)": Hash(
        "0xe9c42593e71f84403b84352cd168d693e2c9fcd1fdbcc3feb21d92b43e6696f9"
    ),
}
STATE_TOPICS: tuple[Hash, ...] = tuple(TOPICS.values())
TICK_TOPICS = frozenset(
    topic for event, topic in TOPICS.items() if event.startswith(("Mint(", "Burn(", "ModifyL"))
)

# What never changes, and what does, in the order they are asked.
CONSTANTS = {
    PoolKind.CONSTANT_PRODUCT: ("token0()", "token1()"),
    PoolKind.CONCENTRATED: ("token0()", "token1()", "fee()", "tickSpacing()"),
}
# What a contract of another kind answers, and one of this kind does not.
FOREIGN = {PoolKind.CONSTANT_PRODUCT: "stable()"}
STATE = {
    PoolKind.CONSTANT_PRODUCT: ("getReserves()",),
    PoolKind.CONCENTRATED: ("slot0()", "liquidity()"),
}

_WORD = 64  # hex digits
_SIGN = 1 << 255


def call_with(signature: str, argument: int) -> str:
    """Calldata of a function of one integer, which may be negative."""
    return f"{SELECTORS[signature]}{argument % (1 << 256):064x}"


def words(answer: str | None) -> tuple[int, ...]:
    """Split an answer into its 32-byte words; () where the call reverted or there is no code."""
    digits = (answer or "0x")[2:]
    whole = len(digits) - len(digits) % _WORD
    return tuple(int(digits[at : at + _WORD], 16) for at in range(0, whole, _WORD))


def signed(word: int) -> int:
    """Read a word as two's complement."""
    return word - (1 << 256) if word >= _SIGN else word


def to_address(word: int) -> Address:
    """Read a word as an address."""
    return Address(f"0x{word % (1 << 160):040x}")


def text(answer: str | None) -> str:
    """Read `string`, or the `bytes32` of some old tokens; "" where it is neither."""
    found = words(answer)
    if len(found) == 1:
        raw = found[0].to_bytes(32, "big").rstrip(b"\0")
    elif len(found) > 2 and found[0] == 32:  # noqa: PLR2004 - offset, length, then the bytes
        raw = _joined(found[2:])[: found[1]]
    else:
        return ""
    decoded = raw.decode("utf-8", errors="replace")
    return decoded if decoded.isprintable() else ""


def _joined(found: Sequence[int]) -> bytes:
    return b"".join(word.to_bytes(32, "big") for word in found)
