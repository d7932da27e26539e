"""The genuine contracts in one EVM of this process, their states written to order, and asked.

A state is put straight into the contracts' storage, so that pools no faucet could fund can be
asked too; what answers is their own code. `UniswapV2Router02`'s library and `UniswapV2Pair` for
V2, `QuoterV2` and `UniswapV3Pool` for V3, `PoolManager` for V4.
"""

import msgspec
from eth_abi.abi import decode, encode

from tests.pools.oracle.asker import V3_ANSWER, V3_ASKER, V4_ANSWER, V4_ASKER
from tests.pools.oracle.draws import Question
from tests.pools.venue import ME, Refused, Revm, Venue, calldata
from tests.pools.venue_v4 import creation_v4
from toolkit.chain.hashing import keccak
from toolkit.model.chain import Address
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.concentrated_v4 import DYNAMIC_FEE, ConcentratedV4
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.tick_walk import WORD
from toolkit.pools.ticks import MAX_SQRT_PRICE, MIN_SQRT_PRICE

Amounts = tuple[int, int]  # what the pool takes, what it gives

_WORD = 2**256
_HELD = 2**255  # of each token by each pool: more than any of them can give
# Where the contracts keep what (their declarations, in order).
_TOKEN_BALANCES = 1
_PAIR_RESERVES = 8
_V3 = {"slot0": 0, "liquidity": 4, "ticks": 5, "bitmap": 6}
_V4_POOLS = 6
_V4 = {"slot0": 0, "liquidity": 3, "ticks": 4, "bitmap": 5}


class Bytecode:
    """Tokens, a pair, V3 pools and the V4 manager, whose states can be set."""

    def __init__(self) -> None:
        self.revm = Revm()
        self.venue = Venue(self.revm)
        self.token0, self.token1 = self.venue.token0, self.venue.token1
        self.pair = self.venue.make_pair(10**6, 10**6)
        self.manager = self.revm.deploy(creation_v4("PoolManager", ME))
        self.asker3, self.asker4 = self.revm.deploy(V3_ASKER), self.revm.deploy(V4_ASKER)
        self._pools: dict[tuple[int, int], Address] = {}
        self._written: dict[str, set[int]] = {}

    # -- V2

    def load_pair(self, reserve0: int, reserve1: int) -> ConstantProduct:
        """Give the pair these reserves, and the balances that go with them."""
        self._put(self.pair, _PAIR_RESERVES, reserve0 | reserve1 << 112)
        self._fund(self.token0, self.pair, reserve0)
        self._fund(self.token1, self.pair, reserve1)
        return ConstantProduct(
            id=self.pair,
            token0=self.token0,
            token1=self.token1,
            reserve0=reserve0,
            reserve1=reserve1,
        )

    def ask_pair(
        self, pool: ConstantProduct, question: Question
    ) -> tuple[Amounts | None, ConstantProduct | None]:
        """Ask the router's library, then let the pair do it; None where one of them reverts.

        The library answers beyond uint112, where the pair reverts: that is None too. It also
        answers 0, which the pair does not send: that is an answer without a state.
        """
        reserves = (pool.reserve0, pool.reserve1)
        into, out = reserves if question.zero_for_one else reserves[::-1]
        name = "getAmountOut" if question.exact_in else "getAmountIn"
        try:
            answer = self.venue.ask(
                self.venue.router2,
                f"{name}(uint256,uint256,uint256)",
                question.amount,
                into,
                out,
                out="uint256",
            )
        except Refused:
            return None, None
        taken, given = (question.amount, answer) if question.exact_in else (answer, question.amount)
        return self._swapped(pool, question, taken, given)

    def _swapped(
        self, pool: ConstantProduct, question: Question, taken: int, given: int
    ) -> tuple[Amounts | None, ConstantProduct | None]:
        coin = self.token0 if question.zero_for_one else self.token1
        into = pool.reserve0 if question.zero_for_one else pool.reserve1
        outputs = (0, given) if question.zero_for_one else (given, 0)
        swap = calldata("swap(uint256,uint256,address,bytes)", *outputs, ME, b"")
        before = self.revm.evm.snapshot()
        self._fund(coin, self.pair, (into + taken) % _WORD)
        try:
            self.revm.call(self.pair, swap)
        except Refused:
            return (taken, given) if self._fits() else None, None
        else:
            self.revm.send(self.pair, swap)
            return (taken, given), self.venue.read_pair(self.pair)
        finally:
            self.revm.evm.revert(before)
            self._fund(coin, self.pair, into)

    def _fits(self) -> bool:
        """Whether the pair could hold what it has been sent: `sync` looks at nothing else."""
        try:
            self.revm.call(self.pair, calldata("sync()"))
        except Refused as error:
            if b"OVERFLOW".hex() not in str(error):
                raise
            return False
        return True

    # -- V3

    def pool3(self, fee: int, spacing: int) -> Address:
        """Return the factory's pool of this fee and spacing; 500, 3000 and 10000 have theirs."""
        found = self._pools.get((fee, spacing))
        if found is None:
            factory = self.venue.factory3
            enabled = self.venue.ask(factory, "feeAmountTickSpacing(uint24)", fee, out="int24")
            assert enabled in (0, spacing), f"the fee {fee} has the spacing {enabled} already"
            if not enabled:
                self.revm.send(factory, calldata("enableFeeAmount(uint24,int24)", fee, spacing))
            pair = (self.token0, self.token1, fee)
            self.revm.send(factory, calldata("createPool(address,address,uint24)", *pair))
            found = Address(
                self.venue.ask(factory, "getPool(address,address,uint24)", *pair, out="address")
            )
            for coin in (self.token0, self.token1):
                self._fund(coin, found, _HELD)
            self._pools[fee, spacing] = found
        return found

    def load3(self, pool: Concentrated) -> None:
        """Write a state into the V3 pool at its address."""
        self._clear(pool.id)
        if pool.sqrt_price_x96:
            observed = 1 << 200 | 1 << 216  # one observation, as after `initialize`
            unlocked = 1 << 240
            self._put(pool.id, _V3["slot0"], _price(pool) | observed | unlocked)
        self._write_ticks(pool.id, pool, base=0, places=_V3)

    def ask3(
        self, pool: Concentrated, question: Question
    ) -> tuple[Amounts | None, Concentrated | None]:
        """Ask QuoterV2, and the pool itself for what the quoter leaves out."""
        into, out = self.token0, self.token1
        if not question.zero_for_one:
            into, out = out, into
        name = "quoteExactInputSingle" if question.exact_in else "quoteExactOutputSingle"
        fields = (into, out, question.amount, pool.fee_ppm, question.limit)
        try:
            quoted, price, _, _ = self.venue.ask(
                self.venue.quoter,
                f"{name}((address,address,uint256,uint24,uint160))",
                fields,
                out="uint256,uint160,uint32,uint256",
            )
        except Refused:
            return None, None
        specified = question.amount if question.exact_in else -question.amount
        swap = calldata(
            "swap(address,bool,int256,uint160,bytes)",
            self.asker3,
            question.zero_for_one,
            specified,
            question.limit or _open_limit(question),
            b"",
        )
        answer = self._asked(self.asker3, pool.id, swap)
        assert len(answer) == V3_ANSWER, "the pool reverts where its quoter answers"
        amount0, amount1, after, tick, liquidity = decode(
            ("int256", "int256", "uint160", "int24", "uint128"), answer
        )
        taken, given = (amount0, -amount1) if question.zero_for_one else (amount1, -amount0)
        assert (quoted, price) == (given if question.exact_in else taken, after)
        return (taken, given), msgspec.structs.replace(
            pool, sqrt_price_x96=after, tick=tick, liquidity=liquidity
        )

    # -- V4

    def load4(self, pool: ConcentratedV4) -> None:
        """Write a state into the manager, under the id of the pool's key."""
        self._clear(self.manager)
        base = _slot4(pool)
        if pool.sqrt_price_x96:
            protocol = pool.protocol_fee_ppm[0] | pool.protocol_fee_ppm[1] << 12
            slot0 = _price(pool) | protocol << 184 | pool.fee_ppm << 208
            self._put(self.manager, base + _V4["slot0"], slot0)
        self._write_ticks(self.manager, pool, base=base, places=_V4)

    def ask4(
        self, pool: ConcentratedV4, question: Question
    ) -> tuple[Amounts | None, ConcentratedV4 | None]:
        """Ask `PoolManager.swap`; without a limit also as V4Quoter does.

        V4Quoter refuses an exact output that is not given in full (NotEnoughLiquidity).
        """
        fee = DYNAMIC_FEE if pool.dynamic_fee else pool.fee_ppm
        key = (pool.token0, pool.token1, fee, pool.tick_spacing, pool.hooks)
        specified = -question.amount if question.exact_in else question.amount
        if specified == 2**255:
            return None, None  # no int256, so the manager cannot even be asked
        params = (question.zero_for_one, specified, question.limit or _open_limit(question))
        swap = calldata(
            "swap((address,address,uint24,int24,address),(bool,int256,uint160),bytes)",
            key,
            params,
            b"",
        )
        unlock = calldata("unlock(bytes)", _slot4(pool).to_bytes(32, "big") + swap)
        answer = self._asked(self.asker4, self.manager, unlock)
        if len(answer) != V4_ANSWER:
            return None, None
        delta, _, _, slot0, _, _, liquidity = decode(("uint256",) * 7, answer)
        amount0, amount1 = _signed(delta >> 128, 128), _signed(delta % 2**128, 128)
        taken, given = (-amount0, amount1) if question.zero_for_one else (-amount1, amount0)
        if not question.limit and not question.exact_in and given != question.amount:
            return None, None
        return (taken, given), msgspec.structs.replace(
            pool,
            sqrt_price_x96=slot0 % 2**160,
            tick=_signed(slot0 >> 160 & 0xFFFFFF, 24),
            liquidity=liquidity,
        )

    # -- storage

    def _asked(self, asker: str, target: str, payload: bytes) -> bytes:
        """Return what came back through an asker: its answer, or how the contract reverts."""
        raw = self.revm.call(asker, encode(("address",), (target,)) + payload)
        assert raw[:32] == bytes(32), "a swap that nobody pays for went through"
        return raw[32:]

    def _fund(self, coin: str, owner: str, amount: int) -> None:
        self.revm.evm.insert_account_storage(coin, _entry(int(owner, 16), _TOKEN_BALANCES), amount)

    def _put(self, contract: str, slot: int, value: int) -> None:
        self.revm.evm.insert_account_storage(contract, slot, value)
        self._written.setdefault(contract, set()).add(slot)

    def _clear(self, contract: str) -> None:
        for slot in self._written.pop(contract, ()):
            self.revm.evm.insert_account_storage(contract, slot, 0)

    def _write_ticks(
        self,
        contract: str,
        pool: Concentrated | ConcentratedV4,
        *,
        base: int,
        places: dict[str, int],
    ) -> None:
        """Write liquidity, each tick's gross and net, and the bitmap."""
        self._put(contract, base + places["liquidity"], pool.liquidity)
        words: dict[int, int] = {}
        for (tick, net), gross in zip(pool.ticks, pool.gross, strict=True):
            info = _entry(tick, base + places["ticks"])
            self._put(contract, info, gross | net % 2**128 << 128)
            self._put(contract, info + 3, 1 << 248)  # V3's `initialized`; unused by V4
            place = tick // pool.tick_spacing
            words[place // WORD] = words.get(place // WORD, 0) | 1 << place % WORD
        for word, bits in words.items():
            self._put(contract, _entry(word, base + places["bitmap"]), bits)


def _open_limit(question: Question) -> int:
    return MIN_SQRT_PRICE + 1 if question.zero_for_one else MAX_SQRT_PRICE - 1


def _slot4(pool: ConcentratedV4) -> int:
    return _entry(int(pool.id, 16), _V4_POOLS)


def _price(pool: Concentrated | ConcentratedV4) -> int:
    return pool.sqrt_price_x96 | pool.tick % 2**24 << 160


def _entry(key: int, slot: int) -> int:
    """Return the slot of a mapping's entry."""
    return int.from_bytes(
        keccak((key % _WORD).to_bytes(32, "big") + slot.to_bytes(32, "big")), "big"
    )


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value
