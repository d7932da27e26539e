import random
from collections.abc import Callable

import msgspec
import pytest

from tests.pools.forks import entry, head_of
from tests.pools.positions import OWNER, TOKEN0, TOKEN1, Written, reordered, written
from toolkit.model.chain import ZERO_ADDRESS, Address, Hash, LogEntry
from toolkit.model.errors import PoolError
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.concentrated_v4 import DYNAMIC_FEE, POOL_MANAGER, ConcentratedV4, pool_id
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.events import apply, pool_of, tells
from toolkit.pools.snapshot import Pool
from toolkit.pools.ticks import sqrt_price_at_tick

ID = Address("0x" + "1" * 40)
HEAD = head_of(9, Hash("0x" + "2" * 64), random.Random(0))
PAIR = ConstantProduct(id=ID, token0=TOKEN0, token1=TOKEN1, reserve0=5, reserve1=6)
POOL = Concentrated(
    id=ID,
    token0=TOKEN0,
    token1=TOKEN1,
    fee_ppm=3000,
    tick_spacing=60,
    sqrt_price_x96=2**96,
    tick=0,
    liquidity=10,
    ticks=((-60, 10), (60, 0), (120, -10)),
    gross=(10, 4, 10),
)
EMPTY = msgspec.structs.replace(POOL, sqrt_price_x96=0, liquidity=0, ticks=(), gross=())
FULL = msgspec.structs.replace(POOL, liquidity=2**128 - 1)
EMPTY_RANGE = msgspec.structs.replace(POOL, liquidity=0)
FILED = msgspec.structs.replace(POOL, gross=())


V4 = ConcentratedV4(
    id=pool_id(TOKEN0, TOKEN1, 3000, 60),
    token0=TOKEN0,
    token1=TOKEN1,
    fee_ppm=3000,
    tick_spacing=60,
    sqrt_price_x96=2**96,
    tick=0,
    liquidity=10,
    ticks=POOL.ticks,
    gross=POOL.gross,
    protocol_fee_ppm=(500, 0),
)
NUMBER = bytes.fromhex(V4.id[2:])


def log_of(log: Written) -> LogEntry:
    return entry(log, HEAD, 0)


def sync(reserve0: int, reserve1: int) -> LogEntry:
    return log_of(written(ID, "Sync(uint112,uint112)", (), reserve0, reserve1))


def swap(price: int, liquidity: int, tick: int) -> LogEntry:
    event = "Swap(address,address,int256,int256,uint160,uint128,int24)"
    return log_of(written(ID, event, (OWNER, OWNER), 1, -1, price, liquidity, tick))


def mint(lower: int, upper: int, amount: int) -> LogEntry:
    event = "Mint(address,int24,int24,address,uint128,uint256,uint256)"
    log = written(ID, event, (OWNER, lower, upper), OWNER, amount, 3, 5)
    return log_of(reordered(log, "Mint(address,address,int24,int24,uint128,uint256,uint256)"))


def burn(lower: int, upper: int, amount: int) -> LogEntry:
    event = "Burn(address,int24,int24,uint128,uint256,uint256)"
    return log_of(written(ID, event, (OWNER, lower, upper), amount, 3, 5))


def initialize(price: int, tick: int) -> LogEntry:
    return log_of(written(ID, "Initialize(uint160,int24)", (), price, tick))


def modify(lower: int, upper: int, delta: int) -> LogEntry:
    event = "ModifyLiquidity(bytes32,address,int24,int24,int256,bytes32)"
    log = written(POOL_MANAGER, event, (NUMBER, OWNER), lower, upper, delta, bytes(32))
    return log_of(log)


def swap_v4(price: int, liquidity: int, tick: int) -> LogEntry:
    event = "Swap(bytes32,address,int128,int128,uint160,uint128,int24,uint24)"
    fields = (-1, 1, price, liquidity, tick, 3500)
    return log_of(written(POOL_MANAGER, event, (NUMBER, OWNER), *fields))


def charge(fee: int) -> LogEntry:
    return log_of(written(POOL_MANAGER, "ProtocolFeeUpdated(bytes32,uint24)", (NUMBER,), fee))


def initialize_v4(price: int, tick: int) -> LogEntry:
    event = "Initialize(bytes32,address,address,uint24,int24,address,uint160,int24)"
    indexed = (NUMBER, TOKEN0, TOKEN1)
    return log_of(written(POOL_MANAGER, event, indexed, 3000, 60, ZERO_ADDRESS, price, tick))


MOVED = swap(2**96, 10, 0)
ADDED = mint(-60, 60, 1)


def concentrated(pool: Concentrated, *logs: LogEntry) -> Concentrated:
    for log in logs:
        after = apply(pool, log)
        assert isinstance(after, Concentrated)
        pool = after
    return pool


def test_reserves_are_what_the_last_sync_says() -> None:
    """Balances that changed without a swap (fees on transfer, rebasing) come by the same event."""
    assert apply(PAIR, sync(2**112 - 1, 0)) == msgspec.structs.replace(
        PAIR, reserve0=2**112 - 1, reserve1=0
    )


def test_a_swap_says_price_liquidity_and_tick() -> None:
    """The state after a swap is told by its event, and the ticks stay."""
    price = sqrt_price_at_tick(60)
    after = concentrated(POOL, swap(price, 0, 59))

    assert (price, 0, 59) == (after.sqrt_price_x96, after.liquidity, after.tick)
    assert (POOL.ticks, POOL.gross) == (after.ticks, after.gross)


def test_a_tick_stays_initialised_while_any_position_ends_there() -> None:
    """Net 0 with liquidity on both sides remains a stop; only gross 0 takes it away."""
    two = concentrated(POOL, mint(-60, 180, 3), mint(180, 240, 3))
    one = concentrated(two, burn(-60, 180, 3))
    none = concentrated(one, burn(180, 240, 3))

    assert ((-60, 13), (60, 0), (120, -10), (180, 0), (240, -3)) == two.ticks
    assert (13, 4, 10, 6, 3) == two.gross
    assert ((-60, 10), (60, 0), (120, -10), (180, 3), (240, -3)) == one.ticks
    assert none == POOL


@pytest.mark.parametrize(
    ("lower", "upper", "expected"),
    [(-60, 0, 10), (-60, 60, 15), (0, 60, 15), (60, 120, 10)],
)
def test_liquidity_changes_where_the_price_is_in_the_range(
    lower: int, upper: int, expected: int
) -> None:
    """From the lower tick on, up to but without the upper one."""
    assert expected == concentrated(POOL, mint(lower, upper, 5)).liquidity


def test_ticks_outside_what_is_known_stay_unknown() -> None:
    """A position that reaches out of the known range leaves its far end untold."""
    narrow = msgspec.structs.replace(
        POOL, known=(-60, 70), ticks=((-60, 10), (60, 0)), gross=(10, 4)
    )

    after = concentrated(narrow, mint(-120, 120, 2), mint(0, 120, 1))

    assert ((-60, 10), (0, 1), (60, 0)) == after.ticks
    assert (10, 1, 4) == after.gross
    assert after.liquidity == 13


def test_a_v4_pool_is_followed_from_its_initialisation() -> None:
    """Initialised, funded, charged, swapped, emptied: each step by the manager's event."""
    price = sqrt_price_at_tick(60)
    empty = msgspec.structs.replace(V4, sqrt_price_x96=0, liquidity=0, ticks=(), gross=())
    logs = (initialize_v4(2**96, 0), modify(-60, 120, 9), charge(7 | 1000 << 12))
    states: list[Pool] = [empty]
    for log in (*logs, swap_v4(price, 9, 60), modify(-60, 120, 0), modify(-60, 120, -9)):
        states.append(apply(states[-1], log))

    _, started, funded, charged, swapped, poked, drained = states
    fields = {"sqrt_price_x96": 2**96, "protocol_fee_ppm": (0, 0)}
    assert started == msgspec.structs.replace(empty, **fields)
    fields = {"liquidity": 9, "ticks": ((-60, 9), (120, -9)), "gross": (9, 9)}
    assert funded == msgspec.structs.replace(started, **fields)
    assert charged == msgspec.structs.replace(funded, protocol_fee_ppm=(7, 1000))
    assert swapped == msgspec.structs.replace(charged, sqrt_price_x96=price, tick=60)
    assert poked is swapped
    fields = {"liquidity": 0, "ticks": (), "gross": ()}
    assert drained == msgspec.structs.replace(swapped, **fields)


def test_a_dynamic_fee_starts_at_nothing_and_is_not_told() -> None:
    """The hook sets it in silence: what a Swap says of the fee is what that swap paid."""
    hooks = Address("0x" + "c" * 36 + "0000")
    number = pool_id(TOKEN0, TOKEN1, DYNAMIC_FEE, 60, hooks)
    pool = msgspec.structs.replace(
        V4, id=number, dynamic_fee=True, hooks=hooks, protocol_fee_ppm=(0, 0)
    )
    unborn = msgspec.structs.replace(pool, sqrt_price_x96=0, liquidity=0, ticks=(), gross=())
    logs = [
        msgspec.structs.replace(log, topics=(log.topics[0], number, *log.topics[2:]))
        for log in (swap_v4(2**96, 10, 0), initialize_v4(2**96, 0))
    ]

    assert apply(pool, logs[0]) == pool
    assert apply(unborn, logs[1]) == msgspec.structs.replace(
        unborn, sqrt_price_x96=2**96, fee_ppm=0
    )


@pytest.mark.parametrize(
    ("log", "changes"),
    [
        (modify(-60, 60, 1), {"address": Address("0x" + "9" * 40)}),
        (modify(-60, 60, 1), {"topics": (modify(-60, 60, 1).topics[0], V4.id)[:1]}),
        (modify(-60, 60, 1), {"topics": (modify(-60, 60, 1).topics[0], Hash("0x" + "9" * 64))}),
    ],
)
def test_logs_of_other_managers_and_other_pools_change_nothing(
    log: LogEntry, changes: dict[str, object]
) -> None:
    """A V4 pool is named by its manager and its id, both."""
    foreign = msgspec.structs.replace(log, **changes)

    assert apply(V4, foreign) is V4
    assert pool_of({V4.id: V4}, foreign) is None
    assert pool_of({V4.id: V4}, log) is V4
    assert apply(POOL, msgspec.structs.replace(MOVED, address=V4.manager)) is POOL


def test_a_burn_of_nothing_changes_nothing() -> None:
    """Collecting fees is announced as a Burn of 0, even between ticks that are not initialised."""
    assert apply(POOL, burn(-600, 600, 0)) is POOL


def test_a_pool_is_followed_from_its_initialisation() -> None:
    """Created, initialised, funded: each step by its event."""
    after = concentrated(EMPTY, initialize(2**96, 0), mint(-60, 120, 10))

    assert (2**96, 0, 10) == (after.sqrt_price_x96, after.tick, after.liquidity)
    assert (((-60, 10), (120, -10)), (10, 10)) == (after.ticks, after.gross)


@pytest.mark.parametrize("pool", [PAIR, POOL], ids=["V2", "V3"])
def test_events_of_other_kinds_change_nothing(pool: ConstantProduct | Concentrated) -> None:
    """Transfers, approvals, Collect, SetFeeProtocol and logs without a topic are passed over."""
    other = log_of(
        written(ID, "SetFeeProtocol(uint8,uint8,uint8,uint8)", (), 1, 2, 3, 4),
    )
    anonymous = msgspec.structs.replace(other, topics=())
    foreign = swap(2**96, 1, 0) if pool is PAIR else sync(1, 1)

    assert all(apply(pool, log) is pool for log in (other, anonymous, foreign))


def test_without_gross_what_follows_is_followed_and_the_rest_refused() -> None:
    """Of a pool from a file, only a burn that may end a tick leaves its state in doubt."""
    after = concentrated(FILED, mint(-60, 180, 5), burn(-60, 180, 1))

    assert ((-60, 14), (60, 0), (120, -10), (180, -4)) == after.ticks
    assert after.gross == ()
    with pytest.raises(PoolError, match=f"pool {ID}: gross: is not known at 180"):
        apply(after, burn(-60, 180, 4))
    with pytest.raises(PoolError, match=f"pool {ID}: gross: is not known at 240"):
        apply(after, burn(-60, 240, 4))


def test_what_events_cannot_tell_is_known_beforehand() -> None:
    """Only where liquidity changes at ticks of unknown gross does a node have to be asked."""
    change, price = mint(-60, 180, 5), swap(2**96, 10, 0)

    assert [True, False] == [tells(POOL, change), tells(FILED, change)]
    assert tells(FILED, price)
    assert tells(EMPTY, change)
    assert tells(PAIR, change)
    assert tells(FILED, msgspec.structs.replace(change, topics=()))


@pytest.mark.parametrize(
    ("pool", "log", "field"),
    [
        (POOL, initialize(2**96, 0), "sqrt_price_x96: the pool is initialised a second time"),
        (EMPTY, swap(2**96, 1, 0), "sqrt_price_x96: is 0, the pool is not initialised"),
        (POOL, swap(0, 10, 0), "sqrt_price_x96: 0 is told, which is no price"),
        (V4, swap_v4(0, 10, 0), "sqrt_price_x96: 0 is told, which is no price"),
        (EMPTY, initialize(0, 0), "sqrt_price_x96: 0 is told, which is no price"),
        (EMPTY, mint(-60, 60, 1), "sqrt_price_x96: is 0, the pool is not initialised"),
        (EMPTY, initialize(2**96, 5), "tick: 5 does not belong to the price"),
        (EMPTY, initialize(5, 0), "sqrt_price_x96: "),
        (POOL, swap(2**96, 10, 7), "tick: 7 does not belong to the price"),
        (POOL, mint(60, 60, 1), "tick_lower: 60..60 is no range"),
        (POOL, mint(120, 60, 1), "tick_lower: 120..60 is no range"),
        (POOL, mint(-887280, 60, 1), "tick_lower: -887280..60 is no range"),
        (POOL, mint(-61, 60, 1), "tick_lower: -61 is no multiple of the spacing 60"),
        (POOL, mint(-60, 61, 1), "tick_upper: 61 is no multiple of the spacing 60"),
        (POOL, mint(-60, 60, 2**128 - 5), "ticks: the net liquidity .* at -60 does not fit int128"),
        (FULL, mint(-60, 60, 1), "liquidity: .* does not fit uint128"),
        (EMPTY_RANGE, burn(-60, 120, 1), "liquidity: -1 does not fit uint128"),
        (POOL, burn(-60, 120, 11), "gross: 10 at -60 with -11 more leaves less than"),
        (POOL, burn(-60, 60, 5), "gross: 4 at 60 with -5 more leaves less than"),
        (POOL, burn(180, 240, 1), "gross: 0 at 180 with -1 more leaves less than"),
        (POOL, mint(180, 240, 2**127), "ticks: the net liquidity .* at 180 does not fit int128"),
    ],
)  # fmt: skip
def test_what_cannot_happen_in_a_state_is_refused(
    pool: Concentrated, log: LogEntry, field: str
) -> None:
    """A log that the contract would not have written names the pool and the field."""
    with pytest.raises(PoolError, match=f"pool {pool.id}: {field}"):
        apply(pool, log)


def reworded(at: int, word: int) -> Callable[[LogEntry], LogEntry]:
    """Replace a word of the data."""

    def change(log: LogEntry) -> LogEntry:
        start = 2 + 64 * at
        data = f"{log.data[:start]}{word:064x}{log.data[start + 64 :]}"
        return msgspec.structs.replace(log, data=data)

    return change


def retopiced(at: int, topic: str) -> Callable[[LogEntry], LogEntry]:
    """Replace a topic."""

    def change(log: LogEntry) -> LogEntry:
        topics = (*log.topics[:at], Hash(topic), *log.topics[at + 1 :])
        return msgspec.structs.replace(log, topics=topics)

    return change


def redone(**changes: object) -> Callable[[LogEntry], LogEntry]:
    return lambda log: msgspec.structs.replace(log, **changes)


@pytest.mark.parametrize(
    ("log", "change", "field"),
    [
        (MOVED, redone(data=MOVED.data[:-2]), "Swap data: 320 instead of 322"),
        (MOVED, redone(data=MOVED.data + "00" * 32), "Swap data: 386 instead of 322"),
        (MOVED, redone(data="0x"), "Swap data: 2 instead of 322"),
        (MOVED, redone(data="0x" + "z" * 320), "Swap bytes: 0 instead of 224"),
        (MOVED, redone(data="0x" + " " * 320), "Swap bytes: 64 instead of 224"),
        (MOVED, redone(topics=MOVED.topics[:2]), "Swap topics: 1 instead of 2"),
        (ADDED, redone(topics=(*ADDED.topics, ADDED.topics[1])), "Mint topics: 4 instead of 3"),
        (ADDED, retopiced(2, "0x"), "Mint bytes: 192 instead of 224"),
        (ADDED, retopiced(2, f"0x{2**23:064x}"), "Mint tick_lower: 8388608 does not fit int24"),
        (ADDED, retopiced(1, "0x" + "f" * 64), "Mint owner: .* does not fit uint160"),
        (MOVED, reworded(2, 2**160), "Swap sqrt_price_x96: .* does not fit uint160"),
        (MOVED, reworded(3, 2**128), "Swap liquidity: .* does not fit uint128"),
        (MOVED, reworded(4, 2**255), "Swap tick: .* does not fit int24"),
        (ADDED, reworded(1, 2**128), "Mint amount: .* does not fit uint128"),
    ],
)  # fmt: skip
def test_malformed_logs_of_a_pool_are_refused(
    log: LogEntry, change: Callable[[LogEntry], LogEntry], field: str
) -> None:
    """Too short, too long, not hex, or a value that its type cannot hold: named, not guessed."""
    with pytest.raises(PoolError, match=f"pool {ID}: {field}"):
        apply(POOL, change(log))


@pytest.mark.parametrize(
    ("log", "change", "field"),
    [
        (swap_v4(2**96, 1, 0), reworded(5, 2**24), "Swap fee: .* does not fit uint24"),
        (swap_v4(2**96, 1, 0), reworded(0, 2**127), "Swap amount0: .* does not fit int128"),
        (swap_v4(2**96, 1, 0), redone(data="0x"), "Swap data: 2 instead of 386"),
        (modify(-60, 60, 1), reworded(2, 2**127), "ModifyLiquidity liquidity_delta: .* int128"),
        (modify(-60, 60, 1), reworded(0, 2**23), "ModifyLiquidity tick_lower: .* fit int24"),
        (charge(1001), redone(), "protocol_fee_ppm: .* are not both between 0 and 1000"),
        (charge(1), reworded(0, 2**24), "ProtocolFeeUpdated protocol_fee: .* does not fit uint24"),
        (initialize_v4(2**96, 0), redone(), "sqrt_price_x96: the pool is initialised a second"),
        (swap_v4(2**96, 1, 9), redone(), "tick: 9 does not belong to the price"),
    ],
)  # fmt: skip
def test_malformed_logs_of_a_v4_pool_are_refused(
    log: LogEntry, change: Callable[[LogEntry], LogEntry], field: str
) -> None:
    """Named by the pool's id, not by the manager that they come from."""
    with pytest.raises(PoolError, match=f"pool {V4.id}: {field}"):
        apply(V4, change(log))


@pytest.mark.parametrize("log", [swap_v4(2**96, 1, 0), modify(-60, 60, 1), charge(1)])
def test_a_v4_pool_without_a_price_only_initialises(log: LogEntry) -> None:
    """Nothing else can happen to it first."""
    unborn = msgspec.structs.replace(V4, sqrt_price_x96=0, liquidity=0, ticks=(), gross=())

    with pytest.raises(PoolError, match=f"pool {V4.id}: sqrt_price_x96: is 0"):
        apply(unborn, log)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (reworded(1, 2**112), "Sync reserve1: .* does not fit uint112"),
        (redone(data="0x"), "Sync data: 2 instead of 130"),
    ],
)
def test_malformed_logs_of_a_pair_are_refused(
    change: Callable[[LogEntry], LogEntry], field: str
) -> None:
    """A pair of another kind may write Sync with other types."""
    with pytest.raises(PoolError, match=f"pool {ID}: {field}"):
        apply(PAIR, change(sync(1, 2)))


@pytest.mark.parametrize("gross", [(10,), (10, 4, 9), (10, 0, 10), (10, 2**128, 10)])
def test_a_gross_that_no_tick_can_have_is_refused(gross: tuple[int, ...]) -> None:
    """One for each tick, at least its net, not 0, and a uint128."""
    with pytest.raises(PoolError, match=f"pool {ID}: gross: "):
        msgspec.structs.replace(POOL, gross=gross)
