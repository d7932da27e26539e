"""Bundles on their way to builders: written and signed, to eight endpoints, with one that hangs.

The endpoints are a process of their own on loopback that answers at once. The official client
sends the same bundle to the same endpoint, round by round beside ours, from its own environment.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from statistics import median, quantiles
from typing import NamedTuple

import orjson

from scripts.bench.checkout import ROOT
from scripts.bench.figures import Figure, Measured
from scripts.bench.timing import versions
from scripts.conformance import environments
from toolkit.bundles.auth import RelayAuth
from toolkit.bundles.fanout import fan_out
from toolkit.bundles.limits import Rates
from toolkit.bundles.profiles import PROFILES
from toolkit.bundles.relay import Relay
from toolkit.chain.signer import LocalSigner
from toolkit.model.bundle import Bundle
from toolkit.model.chain import Address
from toolkit.model.tx import UnsignedTransaction

TIMEOUT_S = 900  # the official client's environment may have to be made
DIALECTS = ("flashbots", "titan", "builder0x69")
"""Three that differ in what they write, and all look at signatures."""
TRANSACTIONS = 2
CALLDATA_BYTES = 228  # a V3 exactInputSingle
BLOCK = 21_000_000
ROUNDS = 500
PEER_ROUNDS = 50
WARM_UP = 20
MS = 1e3
_PEER = Path(__file__).with_name("relay_peer.py")
_KEY = "0x" + "11" * 32


class Times(NamedTuple):
    """Seconds of each round."""

    sealing: list[float]
    alone: list[float]
    beside_a_hanging_one: list[float]


async def measure(seed: int) -> Measured:
    """Time a bundle of two transactions with 228 bytes of calldata each."""
    bundle = _bundle(Random(seed))  # noqa: S311 - these keys sign nothing that is sent
    auth = RelayAuth(LocalSigner(_KEY))
    names = [name for name, row in PROFILES.items() if row.host]
    async with _endpoints(len(names)) as ports:
        relays = [_relay(port, name, auth) for port, name in zip(ports[:-1], names, strict=True)]
        hanging = _relay(ports[-1], "flashbots", auth)
        try:
            times = await _rounds(bundle, relays, hanging)
            ours, theirs, version = await _beside_the_official(bundle, relays[0], ports[0])
        finally:
            for relay in (*relays, hanging):
                await relay.close()
    return Measured(
        figures=_figures(times, ours, theirs, count=len(names)),
        peers={"flashbots": version, **versions("aiohttp", "coincurve")},
        not_covered=("TLS and a network between us and the builders",),
    )


def _figures(
    times: Times, ours: Sequence[float], theirs: Sequence[float], *, count: int
) -> tuple[Figure, ...]:
    cost = median(times.beside_a_hanging_one) - median(times.alone)
    return (
        Figure(
            name=f"a bundle written and signed in {len(DIALECTS)} dialects, median",
            unit="ms",
            target=0.5,
            ours=median(times.sealing) * MS,
        ),
        Figure(
            name=f"a bundle to {count} endpoints until all answered, 99th percentile",
            unit="ms",
            target=10,
            ours=_p99(times.alone) * MS,
        ),
        Figure(name="the same, median", unit="ms", ours=median(times.alone) * MS),
        Figure(
            name="what one more that hangs costs the others, median",
            unit="ms",
            target=1,
            ours=max(0.0, cost) * MS,
        ),
        Figure(
            name=f"{count} endpoints beside one that hangs, 99th percentile",
            unit="ms",
            target=10,
            ours=_p99(times.beside_a_hanging_one) * MS,
        ),
        Figure(
            name="a bundle to one endpoint, round trip, median",
            unit="ms",
            ours=median(ours) * MS,
            peer=median(theirs) * MS,
            peer_name="flashbots 2.0.0",
        ),
    )


def _p99(seconds: Sequence[float]) -> float:
    return quantiles(seconds, n=100)[-1]


def _bundle(rng: Random) -> Bundle:
    signer = LocalSigner("0x" + rng.randbytes(32).hex())
    signed = [
        signer.sign_transaction_now(
            UnsignedTransaction(
                type=2,
                chain_id=1,
                nonce=nonce,
                to=Address("0x" + rng.randbytes(20).hex()),
                value=0,
                data="0x" + rng.randbytes(CALLDATA_BYTES).hex(),
                gas=300_000,
                max_fee_per_gas=30 * 10**9,
                max_priority_fee_per_gas=10**9,
            )
        )
        for nonce in range(TRANSACTIONS)
    ]
    return Bundle(
        transactions=tuple(one.raw for one in signed),
        hashes=tuple(one.hash for one in signed),
        target_block=BLOCK,
    )


def _relay(port: int, name: str, auth: RelayAuth) -> Relay:
    return Relay(
        f"http://127.0.0.1:{port}/",
        name=name,
        auth=auth,
        authorization="account",
        timeout_s=60,
        rates=Rates(),  # the pace of the benchmark is no builder's
    )


async def _rounds(bundle: Bundle, relays: Sequence[Relay], hanging: Relay) -> Times:
    """Each round does all three in turn, so that they meet the same disturbances."""
    times = Times([], [], [])
    three = [relay for relay in relays if relay.name in DIALECTS]
    for number in range(WARM_UP + ROUNDS):
        start = time.perf_counter()
        for relay in three:
            await relay.seal_bundle(bundle)
        sealed_s = time.perf_counter() - start
        alone_s = await _fanned_out(bundle, relays, ())
        beside_s = await _fanned_out(bundle, relays, (hanging,))
        if number >= WARM_UP:
            times.sealing.append(sealed_s)
            times.alone.append(alone_s)
            times.beside_a_hanging_one.append(beside_s)
    return times


async def _fanned_out(bundle: Bundle, relays: Sequence[Relay], silent: Sequence[Relay]) -> float:
    start = time.perf_counter()
    tasks = await fan_out((*silent, *relays), bundle, newest_head=lambda: BLOCK - 1)
    answers = await asyncio.gather(*tasks[len(silent) :])
    taken_s = time.perf_counter() - start
    for task in tasks[: len(silent)]:
        task.cancel()
    await asyncio.gather(*tasks[: len(silent)], return_exceptions=True)
    refused = [answer.why for answer in answers if not answer.accepted]
    if refused:
        raise RuntimeError(f"an endpoint did not take the bundle: {refused[0]}")
    return taken_s


async def _beside_the_official(
    bundle: Bundle, relay: Relay, port: int
) -> tuple[list[float], list[float], str]:
    """Round trips of ours and of the official client, in turn, and its version."""
    try:
        python = await asyncio.to_thread(environments.flashbots)
    except environments.EnvironmentFailed as error:
        raise RuntimeError(str(error)) from None
    job = {
        "relay": f"http://127.0.0.1:{port}/",
        "key": _KEY,
        "transactions": bundle.transactions,
        "block": BLOCK,
    }
    ours: list[float] = []
    theirs: list[float] = []
    async with _process(python, "-W", "ignore", str(_PEER)) as (write, read):
        write.write(orjson.dumps(job) + b"\n")
        for number in range(PEER_ROUNDS + 1):
            start = time.perf_counter()
            await relay.send_bundle(bundle)
            ours_s = time.perf_counter() - start
            write.write(b"\n")
            said = await read.readline()
            if not said:
                raise RuntimeError("the official client ended before it had sent its bundles")
            if number:
                ours.append(ours_s)
                theirs.append(float(said))
    return ours, theirs, environments.version(python, "flashbots")


@asynccontextmanager
async def _endpoints(count: int) -> AsyncIterator[list[int]]:
    async with _process(sys.executable, "-m", "scripts.bench.relay_stub", str(count)) as (_, read):
        yield orjson.loads(await read.readline())


@asynccontextmanager
async def _process(
    *command: str | Path,
) -> AsyncIterator[tuple[asyncio.StreamWriter, asyncio.StreamReader]]:
    """A process that ends when its standard input does."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, cwd=ROOT)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.stdin, process.stdout
    finally:
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 5)
        except TimeoutError:
            process.kill()
            await process.wait()
