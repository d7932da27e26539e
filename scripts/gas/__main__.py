"""Measure what parts of a plan cost: `python -m scripts.gas --plans 400 --seed 1 --write`.

Random plans run on a twin with recorded token code (TOOLKIT_DATA) and on one with stand-ins; three
of four are fitted, and what is printed is how far the estimates of the others are off.
"""

import argparse
import asyncio
import os
import random
from pathlib import Path

import msgspec

from scripts.gas.field import open_field
from scripts.gas.fit import Sample, errors, fit
from scripts.gas.measure import run_plans, warm
from toolkit.devnet.tokens import TokenLevel, token_codes
from toolkit.routing.gas import GasTable

TABLE = Path(__file__).resolve().parents[2] / "toolkit" / "routing" / "gas.json"
_WORST = 10


async def measure(seed: int, count: int) -> list[Sample]:
    """Run as many random plans on a fresh twin."""
    recorded = token_codes()[0] is TokenLevel.RECORDED
    rng = random.Random(f"gas/{seed}/{recorded}")  # noqa: S311 - a scenario, not a secret
    async with open_field() as field:
        await warm(field)
        return [Sample(ran, recorded) async for ran in run_plans(field, rng, count)]


def measured(seed: int, count: int) -> list[Sample]:
    """Run plans on a twin of each kind."""
    samples = asyncio.run(measure(seed, count))
    if samples[0].recorded:
        del os.environ["TOOLKIT_DATA"]
        samples += asyncio.run(measure(seed, count // 2))
    return samples


def told(what: str, samples: list[Sample], table: GasTable) -> None:
    """Print how far estimates are off, and the plans of the worst."""
    found = sorted(zip(errors(samples, table), samples, strict=True), key=lambda one: -abs(one[0]))
    sizes = [abs(error) for error, _ in found]
    mean = sum(sizes) / len(sizes)
    print(f"{what}: {len(sizes)} plans, mean {mean:.3%}, worst {sizes[0]:.3%}")
    for error, sample in found[:_WORST]:
        plan = sample.ran.plan
        hops = " ".join("V4" if hop.key else hop.kind.value for hop in plan.route.hops)
        print(f"  {error:+.3%} of {sample.ran.gas_used}: {plan.funding.kind.value}, {hops}")


def main() -> None:
    """Measure, fit, print residuals; write the table where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, prog="scripts.gas")
    parser.add_argument("--plans", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help=f"write {TABLE.name}")
    options = parser.parse_args()
    samples = measured(options.seed, options.plans)
    learnt = [one for place, one in enumerate(samples) if place % 4]
    unseen = samples[::4]
    source = (
        f"python -m scripts.gas --plans {options.plans} --seed {options.seed} --write: receipts of "
        f"{len(learnt)} plans on the twin, pools and owner's balances in use"
    )
    table = fit(learnt, source)
    told("fitted", learnt, table)
    told("unseen", unseen, table)
    if options.write:
        TABLE.write_bytes(msgspec.json.format(msgspec.json.encode(table), indent=1) + b"\n")
        print(f"wrote {TABLE}")


if __name__ == "__main__":
    main()
