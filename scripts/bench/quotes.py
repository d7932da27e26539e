"""Exact quotes by the batch, beside degenbot, Uniswap's SDKs and Python's integers.

Every peer answers what we answer, round by round in the same run, from an environment of its own
that this benchmark makes; an amount that differs ends the benchmark. The deep pool has 400
initialised ticks around its price; its deep quotes cross more than 100 stops.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import msgspec
import numpy as np

from scripts.bench.checkout import ROOT
from scripts.bench.figures import Figure, Measured
from scripts.bench.timing import versions
from scripts.conformance import environments
from toolkit.model.chain import ZERO_HASH, Address, Head
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.kernels.book import AHEAD, COUNT, START
from toolkit.pools.packed import Packed
from toolkit.pools.snapshot import Pool, Snapshot
from toolkit.pools.ticks import sqrt_price_at_tick
from toolkit.pools.words import to_words

TIMEOUT_S = 1800  # the peers' environments may have to be made
ROUNDS = 7
PAIRS = 100_000
SPACING = 60
SIDE = 200
"""Initialised ticks on each side of the deep pool's price."""
CROSSED = 100
BATCH = 20_000
THEIRS = {"pairs": 20_000, "shallow": 2_000, "deep": 200}
"""How many of the same quotes degenbot answers a round, and how many the SDKs do."""
FEW = {"pairs": 300, "shallow": 100, "deep": 20}
EVENTS = 300
TOKEN0, TOKEN1 = (Address("0x" + digit * 40) for digit in "ab")
NS, US, MS = 1e9, 1e6, 1e3
_PEER_TIMEOUT_S = 120
_MIDDLE = -SPACING // 2  # no edge of a bitmap word is near


@dataclass(slots=True)
class Work:
    """A batch of one pool's quotes; seconds a quote of each who answers, a round each."""

    packed: Packed
    places: np.typing.NDArray[np.int64]
    forward: np.typing.NDArray[np.bool_]
    amounts: list[int]
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def take(self, who: str, seconds: float, count: int) -> None:
        """Note a round."""
        self.seconds.setdefault(who, []).append(seconds / count)

    def of(self, who: str) -> float:
        """Return the median seconds a quote."""
        return median(self.seconds[who])


class Peer:
    """A process that answers a job's works when asked."""

    def __init__(self, command: Sequence[str], job: dict[str, Any]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        self._say(json.dumps(job))

    def ask(self, work: str) -> tuple[float, list[int]]:
        """Return the seconds a work took it, and its amounts.

        Raises:
            RuntimeError: the process has ended.
        """
        self._say(work)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a peer ended at {work!r}; what it said last is above")
        answer = json.loads(line)
        return answer["seconds"], [int(amount) for amount in answer["amounts"]]

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=_PEER_TIMEOUT_S)

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()


async def measure(seed: int) -> Measured:
    """Time quotes, upkeep and first use.

    Raises:
        RuntimeError: a peer's environment cannot be made, or a peer answers something else.
    """
    return await asyncio.to_thread(_measure, seed)


def _measure(seed: int) -> Measured:
    rng = Random(seed)  # noqa: S311 - nothing here is secret
    try:
        degenbot, sdks = environments.degenbot(), environments.uniswap_sdks()
    except environments.EnvironmentFailed as error:
        raise RuntimeError(str(error)) from None
    works = _works(rng)
    job = _job(works)
    with _peer([str(degenbot), str(Path(__file__).with_name("quotes_degenbot.py"))], job) as python:
        script = str(Path(__file__).with_name("quotes_uniswap.mjs"))
        with _peer(["node", script, str(sdks)], job) as node:
            for _ in range(ROUNDS):
                for name, work in works.items():
                    _round(name, work, python, node)
    pools = works["pairs"].packed
    return Measured(
        figures=(
            *_pair_figures(works["pairs"]),
            _many(works["pairs"], pools),
            *(figure for name in works if name != "pairs" for figure in _ticked(name, works[name])),
            *_upkeep(works["deep, token0 in"]),
            *_first_use(),
        ),
        peers={
            "degenbot": environments.version(degenbot, "degenbot"),
            **{
                name: environments.npm_version(sdks, f"@uniswap/{name}")
                for name in ("v2-sdk", "v3-sdk")
            },
            **versions("numba", "numpy"),
        },
        not_covered=(
            "pools of degenbot, which need a node: its step functions in a loop stand for them",
            "conversion from and to Python's integers, but where a figure says so",
        ),
    )


@contextmanager
def _peer(command: Sequence[str], job: dict[str, Any]) -> Iterator[Peer]:
    peer = Peer(command, job)
    try:
        yield peer
    finally:
        peer.close()


def _packed(pools: Sequence[Pool], *, workers: int = 1) -> Packed:
    head = Head(
        number=0,
        hash=ZERO_HASH,
        parent_hash=ZERO_HASH,
        timestamp=0,
        base_fee_per_gas=0,
        gas_limit=0,
        gas_used=0,
    )
    snapshot = Snapshot(block=head, tokens={}, pools={pool.id: pool for pool in pools})
    return Packed.of(snapshot, workers=workers)


def _works(rng: Random) -> dict[str, Work]:
    pairs = [_pair(rng, number) for number in range(PAIRS)]
    amounts = [rng.randrange(1, max(2, pool.reserve0 // 10)) for pool in pairs]
    forward = np.ones(PAIRS, np.bool_)
    works = {"pairs": Work(_packed(pairs), np.arange(PAIRS), forward, amounts)}
    pool = deep_pool(rng)
    for name, low, high in (("within a tick", 1, 40), ("deep", CROSSED + 10, SIDE - 10)):
        for way, token in ((True, "token0"), (False, "token1")):
            reach = [_to_cross(pool, stops, zero_for_one=way) for stops in (low, high)]
            most = (reach[0] // 2, reach[0]) if low == 1 else (reach[0], reach[1])
            drawn = [rng.randrange(*most) for _ in range(BATCH)]
            works[f"{name}, {token} in"] = Work(
                _packed([pool]), np.zeros(BATCH, np.int64), np.full(BATCH, way), drawn
            )
    return works


def _pair(rng: Random, number: int) -> ConstantProduct:
    return ConstantProduct(
        id=Address(f"0x{number + 1:040x}"),
        token0=TOKEN0,
        token1=TOKEN1,
        reserve0=rng.getrandbits(rng.randint(60, 111)) | 1 << 50,
        reserve1=rng.getrandbits(rng.randint(60, 111)) | 1 << 50,
        fee_ppm=rng.choice([3000, 3000, 2500, 1000, 100]),
    )


def deep_pool(rng: Random) -> Concentrated:
    """Nested positions of random size, the price in the middle of a tick."""
    nets: dict[int, int] = {}
    for place in range(1, SIDE + 1):
        liquidity = rng.getrandbits(rng.randint(50, 70)) | 1
        nets[-place * SPACING] = liquidity
        nets[place * SPACING] = -liquidity
    return Concentrated(
        id=Address("0x" + "1" * 40),
        token0=TOKEN0,
        token1=TOKEN1,
        fee_ppm=3000,
        tick_spacing=SPACING,
        sqrt_price_x96=sqrt_price_at_tick(_MIDDLE),
        tick=_MIDDLE,
        liquidity=sum(net for tick, net in nets.items() if tick <= _MIDDLE),
        ticks=tuple(sorted(nets.items())),
    )


def _to_cross(pool: Concentrated, stops: int, *, zero_for_one: bool) -> int:
    """The input that moves the price over so many initialised ticks."""
    limit = sqrt_price_at_tick((-stops if zero_for_one else stops) * SPACING)
    token = TOKEN0 if zero_for_one else TOKEN1
    return pool.swap(token, 2**250, sqrt_price_limit_x96=limit).amount_in


def _job(works: dict[str, Work]) -> dict[str, Any]:
    """What peers are told: numbers beyond a double's as strings."""
    pool = deep_pool_of(works)
    pairs = works["pairs"]
    rows = [
        [str(amount), str(state.reserve0), str(state.reserve1), str(state.fee_ppm)]
        for amount, state in zip(pairs.amounts, pairs.packed.pools, strict=True)
        if isinstance(state, ConstantProduct)
    ]
    job: dict[str, Any] = {
        "pairs": rows[: THEIRS["pairs"]],
        "few": [row for row in rows[: THEIRS["pairs"]] if row[3] == "3000"][: FEW["pairs"]],
        "ticked": {
            "price": str(pool.sqrt_price_x96),
            "liquidity": str(pool.liquidity),
            "tick": pool.tick,
            "fee": pool.fee_ppm,
            "ticks": [[tick, str(net)] for tick, net in pool.ticks],
        },
    }
    for name, work in works.items():
        if name == "pairs":
            continue
        way, size = bool(work.forward[0]), _size(name)
        job[name] = {
            "zero_for_one": way,
            "stops": _stops(work, pool, zero_for_one=way),
            "amounts": [str(amount) for amount in work.amounts[: THEIRS[size]]],
            "few": [str(amount) for amount in work.amounts[: FEW[size]]],
        }
    return job


def deep_pool_of(works: dict[str, Work]) -> Concentrated:
    """Return the pool of the deep works."""
    (pool,) = works["deep, token0 in"].packed.pools
    assert isinstance(pool, Concentrated)
    return pool


def _size(name: str) -> str:
    return "deep" if name.startswith("deep") else "shallow"


def _stops(work: Work, pool: Concentrated, *, zero_for_one: bool) -> list[tuple[str, str]]:
    """(price, signed net) of the stops ahead, as far as our own table has them."""
    work.packed.quote_in(work.places[:1], work.forward[:1], [2**250])
    book, run = work.packed.tables.book, 0 if zero_for_one else 1
    start, ahead, count = (int(book.run[run, column]) for column in (START, AHEAD, COUNT))
    nets = dict(pool.ticks)
    sign = -1 if zero_for_one else 1
    # The last row is the end of all prices, at which no tick is.
    return [
        (str(sqrt_price_at_tick(tick)), str(sign * nets.get(tick, 0)))
        for tick in map(int, book.stop[start + ahead : start + count - 1])
    ]


def _round(name: str, work: Work, degenbot: Peer, sdks: Peer) -> None:
    words = to_words(work.amounts)
    start = time.perf_counter()
    quotes = work.packed.quote_in(work.places, work.forward, words)
    work.take("ours", time.perf_counter() - start, len(words))
    ours = quotes.amounts()
    start = time.perf_counter()
    work.packed.quote_in(work.places, work.forward, work.amounts).amounts()
    work.take("ours, from and to integers", time.perf_counter() - start, len(words))
    seconds, amounts = degenbot.ask(name)
    work.take("degenbot", seconds, len(amounts))
    _same("degenbot", name, amounts, ours[: len(amounts)])
    seconds, amounts = sdks.ask(name)
    work.take("sdk", seconds, len(amounts))
    if name == "pairs":
        fees = [pool.fee_ppm for pool in work.packed.pools]
        ours = [one for one, fee in zip(ours, fees, strict=True) if fee == 3000]  # noqa: PLR2004
    _same("the SDK", name, amounts, ours[: len(amounts)])
    take, count = (_in_integers, THEIRS["pairs"]) if name == "pairs" else (_step_loop, FEW["deep"])
    work.take("integers", take(work, count), count)


def _same(who: str, name: str, theirs: Sequence[int], ours: Sequence[int | None]) -> None:
    for place, (one, other) in enumerate(zip(theirs, ours, strict=True)):
        if one != other:
            raise RuntimeError(f"{name}: quote {place} is {other}, {who} says {one}")


def _in_integers(work: Work, count: int) -> float:
    rows = [
        (amount, pool.reserve0, pool.reserve1, 10**6 - pool.fee_ppm)
        for amount, pool in zip(work.amounts[:count], work.packed.pools, strict=False)
        if isinstance(pool, ConstantProduct)
    ]
    start = time.perf_counter()
    for amount, into, out, kept in rows:
        paid = amount * kept
        _ = paid * out // (into * 10**6 + paid)
    return time.perf_counter() - start


def _step_loop(work: Work, count: int) -> float:
    (pool,) = work.packed.pools
    token = TOKEN0 if work.forward[0] else TOKEN1
    start = time.perf_counter()
    for amount in work.amounts[:count]:
        pool.quote_in(token, amount)
    return time.perf_counter() - start


def _pair_figures(work: Work) -> tuple[Figure, ...]:
    ours, degenbot, integers = (work.of(who) * NS for who in ("ours", "degenbot", "integers"))
    name = f"constant product, {PAIRS:,} quotes, one core, each"
    return (
        _figure(f"{name}; 15 times as fast", ours, degenbot / 15, degenbot, "degenbot"),
        _figure(f"{name}; 8 times as fast", ours, integers / 8, integers, "Python's integers"),
        _figure(name, ours, None, work.of("sdk") * NS, "@uniswap/v2-sdk"),
        _figure(
            f"{name}, from and to Python's integers", work.of("ours, from and to integers") * NS
        ),
    )


def _ticked(name: str, work: Work) -> tuple[Figure, ...]:
    """Targets: within a tick degenbot's tenth; deep its hundredth, and the SDK's thousandth."""
    ours, degenbot, sdk = (work.of(who) * NS for who in ("ours", "degenbot", "sdk"))
    deep = name.startswith("deep")
    title = f"concentrated, {name}, each"
    times, times_sdk = (100, 1000) if deep else (10, None)
    return (
        _figure(f"{title}; {times} times as fast", ours, degenbot / times, degenbot, "degenbot"),
        _figure(
            f"{title}; 1,000 times as fast" if times_sdk else title,
            ours,
            sdk / times_sdk if times_sdk else None,
            sdk,
            "@uniswap/v3-sdk",
        ),
        _figure(title, ours, None, work.of("integers") * NS, "Python's integers, step by step"),
    )


def _figure(
    name: str,
    ours: float,
    target: float | None = None,
    peer: float | None = None,
    who: str = "",
) -> Figure:
    return Figure(name=name, unit="ns", target=target, ours=ours, peer=peer, peer_name=who)


def _many(work: Work, one: Packed) -> Figure:
    """All pairs at once, on as many cores as there are, two at most."""
    words, cores = to_words(work.amounts), min(2, os.cpu_count() or 1)
    packed = _packed(one.pools, workers=cores)
    taken = _median(lambda: packed.quote_in(work.places, work.forward, words), 3 * ROUNDS)
    name = f"{PAIRS:,} constant product pools quoted, {cores} cores"
    return Figure(name=name, unit="ms", target=5, ours=taken * MS)


def _median(work: Callable[[], object], rounds: int) -> float:
    taken = []
    for number in range(rounds + 1):
        start = time.perf_counter()
        work()
        if number:
            taken.append(time.perf_counter() - start)
    return median(taken)


def _upkeep(deep: Work) -> tuple[Figure, ...]:
    """An event taken in, and taken back: alone, and with the stops that the next deep quote makes.

    The second is what event and quote take together, less what the quote takes without an event.
    """
    (pool,) = deep.packed.pools
    assert isinstance(pool, Concentrated)
    figures = []
    words = to_words(deep.amounts[:1])

    def quote() -> None:
        deep.packed.quote_in(deep.places[:1], deep.forward[:1], words)

    for what, other in _events(pool):
        states = [pool, other]

        def event(states: list[Concentrated] = states) -> None:
            states.reverse()
            deep.packed.put(states[0])

        def and_quote(event: Callable[[], None] = event) -> None:
            event()
            quote()

        alone, both, plain = (_median(work, EVENTS) for work in (event, and_quote, quote))
        name = f"tables of {len(pool.ticks)} ticks after {what}"
        for title, taken in (
            (name, alone),
            (f"{name}, with what the next deep quote makes anew", both - plain),
        ):
            figures.append(Figure(name=title, unit="µs", target=50, ours=taken * US))
        if deep.packed.pools[0] is not pool:
            event()
    return tuple(figures)


def _events(pool: Concentrated) -> Iterator[tuple[str, Concentrated]]:
    yield "a Swap", pool.swap(TOKEN0, _to_cross(pool, 3, zero_for_one=True)).pool
    ends = (pool.ticks[0][0], pool.ticks[-1][0])
    for what, (lower, upper) in (
        ("a Mint or Burn around the price", (-10 * SPACING, 10 * SPACING)),
        ("a Mint or Burn with two new ticks", (-SIDE * SPACING - 600, SIDE * SPACING + 600)),
        ("a Mint or Burn over all of its ticks", ends),
    ):
        nets = dict(pool.ticks)
        for tick, change in ((lower, 10**18), (upper, -(10**18))):
            nets[tick] = nets.get(tick, 0) + change
        yield (
            what,
            msgspec.structs.replace(
                pool, ticks=tuple(sorted(nets.items())), liquidity=pool.liquidity + 10**18
            ),
        )


def _first_use() -> Iterator[Figure]:
    """`toolkit warmup` of a family in new processes: with an empty cache, then with a full one."""
    for family in ("constant_product", "concentrated"):
        with tempfile.TemporaryDirectory() as folder:
            cold, *warm = (_warmed(family, folder) for _ in range(4))
        for state, target, taken in (("cold", 25, cold), ("warm", 1.5, median(warm))):
            name = f"first use of {family}, {state} cache"
            yield Figure(name=name, unit="s", target=target, ours=taken)


def _warmed(family: str, folder: str) -> float:
    """Seconds from nothing loaded to answers, without Python's own start."""
    done = subprocess.run(
        [sys.executable, "-m", "toolkit", "warmup", "--only", family, "--json"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": folder},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or ["nothing"]
        raise RuntimeError(f"toolkit warmup --only {family} failed: {said[-1]}")
    return float(json.loads(done.stdout)["seconds"])
