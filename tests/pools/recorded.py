"""Swaps of a replayed block, each against the pool's state before it: recorded, then by events."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
from eth_utils.crypto import keccak

from tests.pools.replay import SWAP_TOPICS, Asked, Replay
from toolkit.model.chain import Address, Hash, LogEntry
from toolkit.model.market import PoolId, PoolKind
from toolkit.model.units import PPM
from toolkit.pools.abi import signed, to_address, words
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.concentrated_v4 import DYNAMIC_FEE, ConcentratedV4
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.events import apply, pool_of
from toolkit.pools.misfits import misfit
from toolkit.pools.recorded import Recording, load
from toolkit.pools.snapshot import Pool, PoolSpec, WithTicks

PAIR = (6, 7, 8)  # where a pair keeps token0, token1 and its reserves
# Who deploys pairs, the hash of their creation code, and their fee: by them a pair's address is
# what its tokens make it, so that the fee is known of each.
FACTORIES = {
    "Uniswap V2": (
        "5c69bee701ef814a2b6a3edd4b1652cb9cc5aa6f",
        "96e8ac4277198ff8b6f785478aa9a39f403cb768dd02cbee326c3e7da348845f",
        3000,
    ),
    "SushiSwap": (
        "c0aee478e3658e2610c5f7a4a2e1777ce9e4f2ac",
        "e18a34eb0e04b04f7a0ac29a6e80748dca96319b42c54d679cb821dca90c6303",
        3000,
    ),
    "ShibaSwap": (
        "115934131916c8b277dd010ee02de363c09d037c",
        "65d1a3b1e46c6e4f1be1ad5f99ef14dc488ae0549dc97db9b30afe2241ce1c7a",
        3000,
    ),
    "PancakeSwap": (
        "1097053fd2ea711dad45caccc45eff7548fcb362",
        "57224589c67f3f30a6b0d7a1b54cf3153ab84563bc609ef41dfb34f8b2974d2d",
        2500,
    ),
}
# Pairs of other factories, and how their fee is known.
OTHERS = {
    # Crypto.com's DeFi Swap: slot 3 of its factory, which the block reads, has 30 basis points.
    "0x9ef7e917fb41cc02f78a5c99b42f497ed8979350": 3000,
    # Convergence: the pair's code takes 3 of 1,000.
    "0x3af7a58d54cf014675af2b7ebc222c3166bf5692": 3000,
}
ROUTERS = frozenset(
    {
        "0x7a250d5630b4cf539739df2c5dacb4c659f2488d",  # Uniswap V2 Router02
        "0xf164fc0ec4e93095b804a4795bbe1e041497b92a",  # Uniswap V2 Router01
        "0x68b3465833fb72a70ecdf485e0e4c7bd8665fc45",  # Uniswap SwapRouter02
        "0xef1c6e67703c7bd7107eed8303fbe6ec2554bf6b",  # Uniswap Universal Router
        "0x3fc91a3afd70395cd496c647d5a6cc9d4b2b7fad",  # Uniswap Universal Router 1.2
        "0x66a9893cc07d91d95644aedd05d03f95e1dba8af",  # Uniswap Universal Router 2
        "0xd9e1ce17f2641f24ae83637ab66a2cca9c378b9f",  # SushiSwap Router
        "0x03f7724180aa6b939894b5ca4314783b0b36b329",  # ShibaSwap Router
        "0xeff92a263d31888d860bd50809a8d171709b7b1c",  # PancakeSwap Router
    }
)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A swap: `kind` is V2 router, V2 other, V3 or V4; `wrong` says what differs, if anything."""

    kind: str
    block: int
    transaction: Hash
    log_index: int
    wrong: str = ""


@dataclass
class Pools:
    """The pools of a block as they are met, followed by its logs."""

    replay: Replay
    states: dict[PoolId, Pool] = field(default_factory=dict)
    before_sync: dict[PoolId, Pool] = field(default_factory=dict)

    def judged(self) -> Iterator[Judged]:
        """Go through the block's logs in order."""
        for log in self.replay.logs:
            family = SWAP_TOPICS.get(log.topics[0]) if log.topics else None
            if family and log.log_index not in self.replay.asked:
                yield self._judgement(family, log, "no call of a pool's swap is behind it")
            asked = self.replay.asked.get(log.log_index)
            if asked is None:
                self._follow(log)
                continue
            yield self._judge(log, asked)

    def _judge(self, log: LogEntry, asked: Asked) -> Judged:
        if asked.family == "V2":
            before = self.before_sync.get(log.address)
            if not isinstance(before, ConstantProduct):
                return self._judgement("V2 other", log, f"{log.address}: of no known factory")
            kind = "V2 router" if asked.caller in ROUTERS else "V2 other"
            wrong = _pair_wrong(before, log, exact=kind == "V2 router")
            return self._judgement(kind, log, wrong)
        before = pool_of(self.states, log) or self._met(log, asked)
        self._follow(log)
        after = self.states[before.id]
        return self._judgement(asked.family, log, _ranged_wrong(before, after, log, asked))

    def _judgement(self, kind: str, log: LogEntry, wrong: str) -> Judged:
        return Judged(
            kind=kind,
            block=self.replay.number,
            transaction=log.transaction_hash,
            log_index=log.log_index,
            wrong=wrong,
        )

    def _follow(self, log: LogEntry) -> None:
        pool = pool_of(self.states, log)
        if pool is None and log.address not in self.replay.constants:
            pool = _pair_of(self.replay.recording, log.address)
        elif pool is None:
            pool = self._met(log, None)
        if pool is not None:
            self.before_sync[pool.id] = pool
            self.states[pool.id] = apply(pool, log)

    def _met(self, log: LogEntry, asked: Asked | None) -> Concentrated | ConcentratedV4:
        """Build a pool from the recording the first time that it logs."""
        constants = self.replay.constants.get(log.address)
        if constants is not None:
            token0, token1, fee, spacing = constants
            spec = PoolSpec(
                id=log.address,
                kind=PoolKind.CONCENTRATED,
                token0=token0,
                token1=token1,
                fee_ppm=fee,
                tick_spacing=spacing,
            )
        else:
            assert asked is not None
            spec = _v4_spec(log.address, Hash(log.topics[1]), asked)
        found = _recorded(self.replay.recording, spec)
        assert isinstance(found, WithTicks)
        self.states[found.id] = found
        return found


def _pair_of(recording: Recording, pair: Address) -> Pool | None:
    """A pair as recorded; None where the address is no pair of a known factory."""
    token0, token1, reserves = (recording.word(pair, slot) for slot in PAIR)
    if token0 is None or token1 is None or reserves is None:
        return None
    tokens = [to_address(token) for token in (token0, token1)]
    fee_ppm = _fee_of(pair, keccak(bytes.fromhex("".join(token[2:] for token in tokens))))
    if fee_ppm is None:
        return None
    spec = PoolSpec(
        id=pair,
        kind=PoolKind.CONSTANT_PRODUCT,
        token0=tokens[0],
        token1=tokens[1],
        fee_ppm=fee_ppm,
    )
    return load(recording, [spec]).pools[pair]


def _fee_of(address: Address, salt: bytes) -> int | None:
    for factory, code, fee_ppm in FACTORIES.values():
        made = keccak(b"\xff" + bytes.fromhex(factory) + salt + bytes.fromhex(code))[12:]
        if "0x" + made.hex() == address:
            return fee_ppm
    return OTHERS.get(address)


def _pair_wrong(pair: ConstantProduct, log: LogEntry, *, exact: bool) -> str:
    """Say how a V2 swap's amounts differ from the quote of its state, or break the K check."""
    in0, in1, out0, out1 = words(log.data)
    reserves, fee = (pair.reserve0, pair.reserve1), pair.fee_ppm
    balances = (reserves[0] + in0 - out0, reserves[1] + in1 - out1)
    adjusted = [
        balance * PPM - paid * fee for balance, paid in zip(balances, (in0, in1), strict=True)
    ]
    if adjusted[0] * adjusted[1] < reserves[0] * reserves[1] * PPM**2:
        return f"K: {adjusted} of {reserves}"
    if out0 and out1:
        return "both tokens are taken out" if exact else ""
    # Besides the input, a token that shares its fees among holders may give the pair some of what
    # it has just sent out.
    forward = out1 > 0
    token_in, token_out = (pair.token0, pair.token1)[:: 1 if forward else -1]
    taken, given = (in0, out1) if forward else (in1, out0)
    quoted = pair.quote_in(token_in, taken)
    if exact:
        backward = pair.quote_out(token_out, given)
        return "" if given == quoted or taken == backward else f"{taken} for {given}, not {quoted}"
    return "" if quoted >= given else f"{taken} for {given}, more than {quoted}"


def misfits(replay: Replay, *, more_ppm: int = 0) -> dict[Address, str]:
    """What the block's logs say of each of its pairs, of known factories, with so much more fee."""
    found = {}
    for name in sorted({log.address for log in replay.logs}):
        pair = None if name in replay.constants else _pair_of(replay.recording, name)
        if isinstance(pair, ConstantProduct):
            dearer = msgspec.structs.replace(pair, fee_ppm=pair.fee_ppm + more_ppm)
            found[name] = misfit(dearer, [log for log in replay.logs if log.address == name])
    return found


def _recorded(recording: Recording, spec: PoolSpec) -> Pool:
    """A pool as the block found it; what is not recorded its swaps did not look at either."""
    return load(recording, [spec], replayed=True).pools[spec.id]


def _v4_spec(manager: Address, number: Hash, asked: Asked) -> PoolSpec:
    currency0, currency1, fee, spacing, hooks = asked.words[:5]
    return PoolSpec(
        id=number,
        kind=PoolKind.CONCENTRATED,
        token0=to_address(currency0),
        token1=to_address(currency1),
        fee_ppm=fee,
        tick_spacing=spacing,
        hooks=to_address(hooks),
        dynamic_fee=fee == DYNAMIC_FEE,
        manager=manager,
    )


def _ranged_wrong(before: Pool, after: Pool, log: LogEntry, asked: Asked) -> str:
    """Say how a V3 or V4 swap differs from what the state before it says, amounts and state."""
    assert not isinstance(before, ConstantProduct)
    forward, specified, limit = _terms(asked)
    token_in, token_out = (before.token0, before.token1)[:: 1 if forward else -1]
    if specified > 0:
        swapped: Any = before.swap(token_in, specified, sqrt_price_limit_x96=limit)
    else:
        swapped = before.swap_out(token_out, -specified, sqrt_price_limit_x96=limit)
    amounts = [signed(word) for word in words(log.data)[:2]]
    if asked.family == "V4":
        amounts = [-amount for amount in amounts]
    moved = [swapped.amount_in, -swapped.amount_out][:: 1 if forward else -1]
    if moved != amounts:
        return f"{amounts}, not {moved}"
    return "" if swapped.pool == after else f"the state afterwards is {after}, not {swapped.pool}"


def _terms(asked: Asked) -> tuple[bool, int, int]:
    """Zero for one, the amount (above 0: an exact input), the price limit."""
    first, sign = (1, 1) if asked.family == "V3" else (5, -1)
    forward, specified, limit = asked.words[first : first + 3]
    return bool(forward), sign * signed(specified), limit % 2**160
