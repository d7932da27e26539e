import asyncio
from random import Random

import pytest

from scripts.bench import relay as bench
from toolkit.bundles.auth import RelayAuth
from toolkit.bundles.profiles import PROFILES, Signature
from toolkit.chain.signer import LocalSigner
from toolkit.model.errors import RelayUnavailable

AUTH = RelayAuth(LocalSigner("0x" + "11" * 32))


async def test_endpoints_answer_and_one_hangs() -> None:
    """All endpoints but the last take a bundle at once; the last one never answers."""
    bundle = bench._bundle(Random(1))
    async with bench._endpoints(2) as ports:
        first, second, silent = (bench._relay(port, "titan", AUTH) for port in ports)
        silent.timeout_s = 0.05
        try:
            alone_s = await bench._fanned_out(bundle, (first, second), ())
            beside_s = await bench._fanned_out(bundle, (first, second), (silent,))
            with pytest.raises(RelayUnavailable, match="gave no answer"):
                await silent.send_bundle(bundle)
        finally:
            await asyncio.gather(first.close(), second.close(), silent.close())

    assert 3 == len(ports)
    assert alone_s > 0
    assert beside_s > 0


async def test_a_bundle_that_is_not_taken_is_no_measurement() -> None:
    """An endpoint that is away ends the benchmark, instead of looking fast."""
    gone = bench._relay(1, "titan", AUTH)

    with pytest.raises(RuntimeError, match="titan cannot be reached"):
        await bench._fanned_out(bench._bundle(Random(1)), (gone,), ())
    await gone.close()


def test_the_three_dialects_are_three_and_signed() -> None:
    """What is timed is three different bodies with a signature each, of the same bundle."""
    rows = [PROFILES[name] for name in bench.DIALECTS]

    assert 3 == len({row.dialect for row in rows})
    assert Signature.NONE not in {row.signature for row in rows}
    assert bench._bundle(Random(7)) == bench._bundle(Random(7))


def test_figures_are_the_issues() -> None:
    """Targets are 0.5 ms to write and sign, 10 ms to eight endpoints, 1 ms for one that hangs."""
    times = bench.Times([0.0001] * 9, [0.002] * 9, [0.0025] * 9)

    figures = bench._figures(times, [0.001], [0.05], count=8)

    assert [0.5, 10, None, 1, 10, None] == [figure.target for figure in figures]
    assert 0.5 == pytest.approx(figures[3].ours)
    assert (1, 50) == pytest.approx((figures[-1].ours, figures[-1].peer))
    assert "flashbots 2.0.0" == figures[-1].peer_name
