"""What the chain did with a plan, read from event logs; pure.

Token amounts are read from ERC-20 `Transfer` and from the wrapped native token's `Deposit` and
`Withdrawal`, which WETH9 emits instead of a transfer. A token that moves balances without events
(rebasing, fees taken silently) is outside what can be told here.
"""

from collections.abc import Iterable, Mapping
from typing import Protocol

from toolkit.chain.hashing import keccak
from toolkit.model.chain import ZERO_ADDRESS, Address, Hash, Receipt
from toolkit.model.market import Hop, PoolId, PoolKind, Route
from toolkit.model.units import BPS

_WORD = 64
_TRANSFER_TOPICS = 3
_PRICE_WORD = 2  # of V3's and V4's Swap: amount0, amount1, sqrtPriceX96, liquidity, tick


def _topic(event: str) -> Hash:
    return Hash("0x" + keccak(event.encode()).hex())


TRANSFER = _topic("Transfer(address,address,uint256)")
DEPOSIT = _topic("Deposit(address,uint256)")
WITHDRAWAL = _topic("Withdrawal(address,uint256)")
V2_SYNC = _topic("Sync(uint112,uint112)")
V2_SWAP = _topic("Swap(address,uint256,uint256,uint256,uint256,address)")
V3_SWAP = _topic("Swap(address,address,int256,int256,uint160,uint128,int24)")
V4_SWAP = _topic("Swap(bytes32,address,int128,int128,uint160,uint128,int24,uint24)")
_PRICED = ((V3_SWAP,), (V4_SWAP,))


class Log(Protocol):
    """What mined and simulated event logs have in common."""

    @property
    def address(self) -> Address:
        """The emitter."""
        ...

    @property
    def topics(self) -> tuple[Hash, ...]:
        """The event's signature and indexed values."""
        ...

    @property
    def data(self) -> str:
        """The other values, 0x hex."""
        ...


def token_changes(
    logs: Iterable[Log], *, own: frozenset[Address], wrapped: Address
) -> dict[Address, int]:
    """Signed changes of the balances of all accounts in `own` together, by token."""
    changes: dict[Address, int] = {}
    for log in logs:
        for account, amount in _movements(log, wrapped):
            if account in own:
                changes[log.address] = changes.get(log.address, 0) + amount
    return {token: change for token, change in changes.items() if change}


def changes_of(
    receipts: Iterable[Receipt], *, own: frozenset[Address], wrapped: Address, tip_wei: int
) -> dict[str, int]:
    """Signed changes of our balances by mined transactions of ours; native as ZERO_ADDRESS.

    native = unwrapped - wrapped - gas - tip, the tip counting where its transaction succeeded.
    """
    mined = tuple(receipts)
    logs = [log for one in mined for log in one.logs]
    changes = {
        str(token): change
        for token, change in token_changes(logs, own=own, wrapped=wrapped).items()
    }
    native = -sum(one.fee_wei for one in mined)
    if all(one.succeeded for one in mined):
        native -= tip_wei
    native -= sum(
        amount
        for log in logs
        if log.address == wrapped and log.topics[:1] != (TRANSFER,)
        for account, amount in _movements(log, wrapped)
        if account in own
    )
    changes[ZERO_ADDRESS] = native
    return changes


def impact_bps(route: Route, logs: Iterable[Log], sqrt_before: Mapping[PoolId, int]) -> float:
    """How far our swaps moved the price of the pool they moved most, in basis points.

    Args:
        route: whose pools are looked at.
        logs: of our transactions.
        sqrt_before: sqrtPriceX96 of the route's V3 and V4 pools before them.
    """
    found = tuple(logs)
    moves = [0.0]
    for pool, hop in {hop.pool: hop for hop in route.hops}.items():
        mine = [log for log in found if _is_of(log, hop)]
        if hop.kind is PoolKind.CONCENTRATED:
            moves.append(_sqrt_move(mine, sqrt_before.get(pool, 0)))
        else:
            moves.append(_reserve_move(mine))
    return max(moves)


def _is_of(log: Log, hop: Hop) -> bool:
    """Whether a log is of a hop's pool; V4's manager names the pool first."""
    if hop.key is None:
        return log.address == hop.pool
    return log.address == hop.key.manager and log.topics[1:2] == (hop.pool,)


def _movements(log: Log, wrapped: Address) -> tuple[tuple[Address, int], ...]:
    """Accounts and signed amounts of one event; an ERC-721 transfer has a fourth topic."""
    if not log.topics or len(log.data) < 2 + _WORD:
        return ()
    amount = int(log.data[2 : 2 + _WORD], 16)
    kind, *parties = log.topics
    if kind == TRANSFER and len(log.topics) == _TRANSFER_TOPICS:
        return (_account(parties[0]), -amount), (_account(parties[1]), amount)
    if log.address == wrapped and kind == DEPOSIT:
        return ((_account(parties[0]), amount),)
    if log.address == wrapped and kind == WITHDRAWAL:
        return ((_account(parties[0]), -amount),)
    return ()


def _account(topic: str) -> Address:
    return Address("0x" + topic[-40:].lower())


def _words(log: Log) -> list[int]:
    return [int(log.data[i : i + _WORD], 16) for i in range(2, len(log.data), _WORD)]


def _sqrt_move(logs: list[Log], before: int) -> float:
    after = [_words(log)[_PRICE_WORD] for log in logs if log.topics[:1] in _PRICED]
    if not after or not before:
        return 0.0
    return abs((after[-1] / before) ** 2 - 1) * BPS


def _reserve_move(logs: list[Log]) -> float:
    """Reserves before = reserves after the last Sync - all inputs + all outputs."""
    synced = [_words(log) for log in logs if log.topics[:1] == (V2_SYNC,)]
    if not synced:
        return 0.0
    after = synced[-1]
    before = list(after)
    for log in logs:
        if log.topics[:1] == (V2_SWAP,):
            in0, in1, out0, out1 = _words(log)
            before = [before[0] - in0 + out0, before[1] - in1 + out1]
    return abs(after[1] * before[0] / (after[0] * before[1]) - 1) * BPS
