"""Gas by part: a least-squares fit of what plans used, by the counts of `toolkit.routing.gas`."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from scripts.gas.measure import Ran
from toolkit.devnet.tokens import TOKENS
from toolkit.model.chain import Address
from toolkit.routing.gas import REFUND_QUOTIENT, GasTable, Uses, gas_units, uses_of

Part = tuple[str, Address | None]  # of a token of its own, or of any plain one


class Sample(NamedTuple):
    """A plan that ran, and whether its tokens had mainnet's code, which differs by token."""

    ran: Ran
    recorded: bool


def fit(samples: Sequence[Sample], source: str) -> GasTable:
    """Fit all parts at once, every plan's relative error weighing the same.

    What was refunded is known by the counts, so the parts explain what was used before it. A part
    that would come out below zero is none: the others tell its cost.
    """
    counted = [(uses(sample), sample) for sample in samples]
    parts = sorted({part for of, _ in counted for part in of}, key=str)
    used = np.array([sample.ran.gas_used for _, sample in counted], dtype=np.float64)
    gross = used + np.array([_refunded(sample) for _, sample in counted])
    table = np.array([[of.get(part, 0) for part in parts] for of, _ in counted]) / used[:, None]
    values = _not_negative(table, gross / used)
    found = {part: float(value) for part, value in zip(parts, values, strict=True)}
    plain = {name: round(value, 1) for (name, token), value in found.items() if token is None}
    own: dict[Address, dict[str, float]] = {}
    for (name, token), value in found.items():
        if token is not None:
            own.setdefault(token, {})[name] = round(value, 1)
    return GasTable(source=source, parts=plain, tokens=own)


def errors(samples: Sequence[Sample], table: GasTable) -> list[float]:
    """Return each estimate's relative error, above zero where it is too high."""
    return [estimate(sample, table) / sample.ran.gas_used - 1 for sample in samples]


def estimate(sample: Sample, table: GasTable) -> int:
    """What a plan is reckoned to use."""
    plan = sample.ran.plan
    if not sample.recorded:  # stand-ins are plain tokens
        table = GasTable(source=table.source, parts=table.parts, tokens={})
    return gas_units(
        plan.route,
        sample.ran.snapshot,
        funding=plan.funding.kind,
        lender=plan.funding.lender,
        tipped=plan.tip_wei > 0,
        table=table,
    )


def uses(sample: Sample) -> dict[Part, int]:
    """What is counted of a plan, each part once."""
    counted = _counted(sample)
    found: dict[Part, int] = {(name, None): count for name, count in counted.parts.items()}
    known = {token.address for token in TOKENS.values()} if sample.recorded else set()
    for (name, token), count in counted.tokens.items():
        part = (name, token if token in known else None)
        found[part] = found.get(part, 0) + count
    return found


def _counted(sample: Sample) -> Uses:
    plan = sample.ran.plan
    return uses_of(
        plan.route,
        sample.ran.snapshot.pools,
        plan.funding.kind,
        lender=plan.funding.lender,
        tipped=plan.tip_wei > 0,
    )


def _refunded(sample: Sample) -> float:
    """What was given back: at most a fifth of the whole, which is a quarter of what was left."""
    return min(_counted(sample).refund, sample.ran.gas_used / (REFUND_QUOTIENT - 1))


def _not_negative(
    table: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Solve by least squares, leaving out what comes out below zero, the worst first."""
    kept = list(range(table.shape[1]))
    while True:
        values = np.linalg.lstsq(table[:, kept], wanted, rcond=1e-9)[0]
        worst = int(np.argmin(values))
        if values[worst] >= 0:
            break
        del kept[worst]
    whole = np.zeros(table.shape[1])
    whole[kept] = values
    return whole
